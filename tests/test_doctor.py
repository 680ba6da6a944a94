"""The doctor: each check says ok where all is well, and names a fix where it is not."""

import resource
import socket
from pathlib import Path

import pytest

from qrt import doctor


def test_every_check_that_is_not_ok_names_its_fix(tmp_path):
    checks = list(doctor.diagnose("tcp://127.0.0.1:0", tmp_path / "not" / "yet"))
    assert len({check.name for check in checks}) == len(checks)
    assert all(check.detail and bool(check.fix) == (check.status != "ok") for check in checks)
    assert not (tmp_path / "not").exists()
    assert list(tmp_path.iterdir()) == []


def test_an_old_interpreter_fails():
    check = doctor.interpreter((3, 10, 4))
    assert (check.status, "3.11" in check.fix) == ("fail", True)
    assert doctor.interpreter((3, 11, 0)).status == "ok"


def test_a_taken_port_fails_and_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        check = doctor.stream_port(address)
        assert check.status == "fail"
        assert address in check.detail
    assert doctor.stream_port(address).status == "ok"


@pytest.mark.parametrize(
    "address", ["ipc:///tmp/x", "tcp://127.0.0.1:port", "tcp://127.0.0.1", "", "tcp://127.0.0.1:99999"]
)
def test_an_address_that_cannot_be_tried_is_a_warning(address):
    assert doctor.stream_port(address).status == "warn"


def test_an_unwritable_folder_fails():
    # /proc refuses new files to everyone, root included.
    (_, check) = doctor.disk(Path("/proc/self/fd"))
    assert check.status == "fail"
    assert "--runs" in check.fix


def test_rights_are_judged_by_their_limits():
    infinity = resource.RLIM_INFINITY
    assert doctor.priority(0, 0, root=False).status == "warn"
    assert doctor.priority(99, 99, root=False).status == "ok"
    assert doctor.priority(0, 0, root=True).status == "ok"
    assert doctor.locked_memory(1 << 16, infinity, root=False).status == "warn"
    assert doctor.locked_memory(infinity, infinity, root=False).status == "ok"


def test_the_kernel_is_known_by_its_file_or_its_banner():
    assert doctor.flavour("6.1", "", "1").status == "ok"
    assert doctor.flavour("6.1", "SMP PREEMPT_RT", "").status == "ok"
    assert doctor.flavour("6.1", "SMP PREEMPT_DYNAMIC", "").status == "warn"


def test_governors_and_clocks():
    assert doctor.governor([]).status == "ok"
    assert doctor.governor(["performance", "performance"]).status == "ok"
    assert doctor.governor(["performance", "powersave"]).status == "warn"
    assert doctor.clock("tsc").status == "ok"
    assert doctor.clock("hpet").status == "warn"


def test_the_worst_counts():
    ok, warn, fail = (doctor.Check("x", status, "") for status in ("ok", "warn", "fail"))
    assert doctor.worst([ok, warn, fail]) == "fail"
    assert doctor.worst([ok, warn]) == "warn"
    assert doctor.worst([]) == "ok"
