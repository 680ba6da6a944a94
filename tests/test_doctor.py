"""The doctor: each check says ok where all is well, and names a fix where it is not."""

import socket
from pathlib import Path

import pytest

from qrt import doctor, preflight


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


def test_the_kernel_is_known_by_its_file_or_its_banner():
    assert doctor.flavour("6.1", "", "1").status == "ok"
    assert doctor.flavour("6.1", "SMP PREEMPT_RT", "").status == "ok"
    assert doctor.flavour("6.1", "SMP PREEMPT_DYNAMIC", "").status == "warn"


def test_governors():
    assert doctor.governor([]).status == "ok"
    assert doctor.governor(["performance", "performance"]).status == "ok"
    assert doctor.governor(["performance", "powersave"]).status == "warn"


def test_what_a_paced_run_gets_is_the_preflights_list():
    names = [found.name for found in preflight.survey()]
    assert [check.name for check in doctor.pacing()] == names
    assert {check.status for check in doctor.pacing()} <= {"ok", "warn"}


def test_the_worst_counts():
    ok, warn, fail = (doctor.Check("x", status, "") for status in ("ok", "warn", "fail"))
    assert doctor.worst([ok, warn, fail]) == "fail"
    assert doctor.worst([ok, warn]) == "warn"
    assert doctor.worst([]) == "ok"
