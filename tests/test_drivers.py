"""The drivers against the simulated instruments, with nothing wrong and with each seeded fault."""

import re
import signal
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from qrt.drivers.lab import OpenLab, driver_kinds
from qrt.errors import ConfigError, InstrumentError
from qrt.firmware_sim.twin import TwoTransmons, open_twin
from qrt.types import Lab, Segment

AWGS = ("awg_q0", "awg_q1", "awg_readout")
SOURCES = ("lo_q0", "lo_q1", "lo_readout")


def read_lab(project: Path, timeout_s: float = 2.0, **faults: dict[str, Any]) -> Lab:
    """Return the lab of the tests with these faults."""
    raw = tomllib.loads((project / "tests" / "lab.toml").read_text())
    raw["twin"]["parameters"]["faults"] = faults
    for instrument in raw["instruments"].values():
        instrument["timeout_s"] = timeout_s
    return msgspec.convert(raw, Lab)


class Labs:
    """Opens twins that are closed at the test's end."""

    def __init__(self, project: Path, ending: ExitStack) -> None:
        self.project, self.ending = project, ending

    def __call__(self, timeout_s: float = 2.0, **faults: dict[str, Any]) -> tuple[Lab, TwoTransmons]:
        lab = read_lab(self.project, timeout_s, **faults)
        twin = open_twin(lab)
        self.ending.callback(twin.close)
        return lab, twin


@pytest.fixture
def labs(project: Path) -> Iterator[Labs]:
    with ExitStack() as ending:
        yield Labs(project, ending)


def segment(rng: np.random.Generator, size: int) -> Segment:
    i, q = rng.integers(-32768, 32768, (2, size), dtype=np.int16)
    return Segment(i, q)


def switches(twin: TwoTransmons) -> dict[str, list[bool]]:
    """Return what the simulated instruments' outputs and inputs are, whatever anybody says."""
    return {
        name: [value for (key, _), value in instrument.values.items() if key in {"output", "input"}]
        for name, instrument in twin.instruments.items()
    }


def all_off(twin: TwoTransmons) -> bool:
    return not any(any(values) for values in switches(twin).values())


def test_every_instrument_is_found_and_off(labs: Labs) -> None:
    lab, twin = labs()
    with OpenLab(lab, twin) as opened:
        assert [found.name for found in opened.found] == list(lab.instruments)
        assert {found.transport for found in opened.found} == {"VISA (pyvisa-sim)", "serial (pty)"}
        assert all(
            found.idn.startswith("Q-RT,") and found.address == lab.instruments[found.name].address
            for found in opened.found
        )
        assert all_off(twin)
        assert all(
            count <= 1 for name, count in opened.counters.items() if name.endswith(("fence_count", "clear_count"))
        )
        assert not any(
            count
            for name, count in opened.counters.items()
            if name.endswith(("retry_count", "timeout_count", "malformed_count"))
        )


def test_what_the_lab_says_stands_in_the_instruments(labs: Labs) -> None:
    lab, twin = labs()
    with OpenLab(lab, twin) as opened:
        opened.configure()
        opened.outputs(True)
        for line in lab.lines.values():
            awg, source = twin.instruments[line.awg], twin.instruments[line.source]
            assert [awg.value("amplitude_v", n) for n in (1, 2)] == [line.amplitude_v] * 2
            assert awg.value("sample_rate_hz") == 1e9
            assert awg.memory.running
            assert (source.value("frequency_hz"), source.value("power_dbm")) == (line.source_hz, line.source_dbm)
        assert twin.instruments["dig"].value("range_v", 1) == lab.digitizer.range_v
        assert all(all(values) for values in switches(twin).values())
        opened.outputs(False)
        assert all_off(twin)
        assert not twin.instruments["awg_q0"].memory.running


def test_segments_go_through_scpi_and_only_what_changed_is_sent(labs: Labs, rng: np.random.Generator) -> None:
    lab, twin = labs()
    first, second, third = segment(rng, 30), segment(rng, 1000), segment(rng, 40)
    with OpenLab(lab, twin) as opened:

        def sent() -> int:
            return opened.counters["awg_readout.segment_sent_count"]

        opened.outputs(True)
        opened.upload({"readout": (first, second)})
        memory = twin.instruments["awg_readout"].memory
        assert memory.running
        assert memory.segments == {
            1: {0: first.i.astype("<i2").tobytes(), 1: second.i.astype("<i2").tobytes()},
            2: {0: first.q.astype("<i2").tobytes(), 1: second.q.astype("<i2").tobytes()},
        }
        assert sent() == 4
        opened.upload({"readout": (first, second)})
        assert (sent(), opened.counters["awg_readout.segment_kept_count"]) == (4, 4)
        opened.upload({"readout": (first, Segment(second.i, second.i))})
        assert sent() == 5
        opened.upload({"readout": (third,)})
        assert sent() == 7
        assert [sorted(memory.segments[n]) for n in (1, 2)] == [[0], [0]]


def test_a_segment_that_the_instrument_lost_is_sent_again(labs: Labs, rng: np.random.Generator) -> None:
    lab, twin = labs()
    memory = {"readout": (segment(rng, 30),)}
    with OpenLab(lab, twin) as opened:
        opened.upload(memory)
        twin.instruments["awg_readout"].memory.segments[2][0] = b"\1\0" * 30
        opened.upload(memory)
        assert twin.instruments["awg_readout"].memory.segments[2][0] == memory["readout"][0].q.tobytes()
        assert opened.counters["awg_readout.segment_lost_count"] == 1
        assert opened.counters["awg_readout.segment_sent_count"] == 3


def test_memory_that_is_too_small_is_an_error_that_names_it(labs: Labs) -> None:
    lab, twin = labs()
    long = Segment(np.zeros(65000, np.int16), np.zeros(65000, np.int16))
    with (
        OpenLab(lab, twin) as opened,
        pytest.raises(InstrumentError, match=r"awg_q0 .*TRACe1:DATA 1.*Out of memory;536 samples free"),
    ):
        opened.upload({"drive_q0": (long, long)})


class Boom(Exception):  # noqa: N818
    """Something that goes wrong in the middle."""


@pytest.mark.parametrize("kind", [Boom, KeyboardInterrupt, SystemExit])
def test_outputs_are_off_after_an_error_and_after_ctrl_c(labs: Labs, kind: type[BaseException]) -> None:
    lab, twin = labs()
    with pytest.raises(kind), OpenLab(lab, twin) as opened:  # noqa: PT012 - the middle of a run is the point
        opened.outputs(True)
        assert not all_off(twin)
        raise kind
    assert all_off(twin)


@pytest.mark.parametrize("name", ["awg_q0", "lo_q0"])
def test_ctrl_c_in_the_middle_of_a_query_leaves_outputs_off(labs: Labs, name: str) -> None:
    lab, twin = labs(**{name: {"late_s": 0.5, "late_after": 9}})

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt), OpenLab(lab, twin) as opened:  # noqa: PT012 - the same
            opened.outputs(True)
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            while True:
                opened._drivers[name].link.query("*IDN?")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert all_off(twin)
    assert opened.unsafe == ()
    assert opened.counters[f"{name}.discarded_bytes"] == len(twin.instruments[name].identity) + 1


def test_an_instrument_that_is_on_when_it_is_opened_is_switched_off(labs: Labs) -> None:
    lab, twin = labs(lo_q0={"starts_on": True}, awg_q1={"starts_on": True})
    assert not all_off(twin)
    with OpenLab(lab, twin):
        assert all_off(twin)


def test_off_that_is_ignored_is_tried_on_a_second_path(labs: Labs) -> None:
    lab, twin = labs(awg_q0={"ignores_off": True})
    with OpenLab(lab, twin) as opened:
        opened.outputs(True)
    assert all_off(twin)
    counts = {name: count for name, count in opened.counters.items() if name.endswith(".safe_by_reset_count")}
    assert counts["awg_q0.safe_by_reset_count"] == 2  # when it was opened, and when it was left
    assert sum(counts.values()) == 2


def test_an_output_that_stays_on_is_said_aloud(labs: Labs) -> None:
    lab, twin = labs(lo_q1={"refuses_off": True, "starts_on": True})
    with pytest.raises(InstrumentError, match=r"lo_q1 at serial:lo-q1.*OUTPut still ON.*-200"), OpenLab(lab, twin):
        pass
    assert switches(twin)["lo_q1"] == [True]
    assert not any(any(values) for name, values in switches(twin).items() if name != "lo_q1")


def test_an_instrument_that_falls_silent_is_unknown_and_the_others_are_off(labs: Labs) -> None:
    lab, twin = labs(timeout_s=0.1, awg_q0={"silent_after": 8})
    with pytest.raises(InstrumentError, match="awg_q0") as caught, OpenLab(lab, twin) as opened:  # noqa: PT012 - the same
        opened.outputs(True)
        opened.configure()
    assert opened.unsafe
    assert "output state UNKNOWN: awg_q0 at TCPIP0::awg-q0::INSTR" in opened.unsafe[0]
    assert "output state UNKNOWN" in "".join(caught.value.__notes__)
    assert not any(any(values) for name, values in switches(twin).items() if name != "awg_q0")


@pytest.mark.parametrize(
    ("name", "fault", "what"),
    [
        (
            "awg_q0",
            {"absent": True},
            r"awg_q0 at TCPIP0::awg-q0::INSTR: open: VISA cannot open it: .*[^. ] \(after 0\.\d+ s\); check .*instruments\.awg_q0\.address",
        ),
        (
            "lo_q0",
            {"absent": True},
            r"lo_q0 at serial:lo-q0: open: no serial line 'lo-q0'.*instruments\.lo_q0\.address",
        ),
        (
            "awg_q0",
            {"silent_after": 0},
            (
                r"awg_q0 at TCPIP0::awg-q0::INSTR: `\*IDN\?`: the session could not be fenced: no reply at all \(after 0\.\d+ s\); "
                r"check that it is switched on"
            ),
        ),
        (
            "lo_q0",
            {"silent_after": 1},
            r"lo_q0 at serial:lo-q0: `\*IDN\?`: no reply by the deadline \(after 0\.\d+ s\); .*raise its `timeout_s`",
        ),
        (
            "dig",
            {"garbage": True},
            (
                r"dig at TCPIP0::dig::INSTR: `\*IDN\?`: the session could not be fenced: \d+ bytes came, but not the token "
                r"\(after 0\.\d+ s\); end other programs"
            ),
        ),
        (
            "dig",
            {"idn": "Q-RT,DIG2,1,1.0"},
            r"expected `Q-RT,DIG1,<serial>,<firmware>`, got 'Q-RT,DIG2,1,1.0'; check `instruments.dig`",
        ),
        ("lo_q0", {"idn": "ACME,SRC1,1,1.0"}, r"expected `Q-RT,SRC1,"),
        ("lo_q0", {"idn": "hello"}, r"expected `Q-RT,SRC1,.*got 'hello'"),
    ],
)
def test_an_instrument_that_does_not_open(labs: Labs, name: str, fault: dict[str, Any], what: str) -> None:
    lab, twin = labs(timeout_s=0.15, **{name: fault})
    with pytest.raises(InstrumentError) as caught, OpenLab(lab, twin):
        pass
    assert re.search(what, str(caught.value), re.DOTALL), str(caught.value)
    assert all_off(twin)
    assert re.search(r"after \d+\.\d+ s", str(caught.value))
    if not fault.get("absent"):
        assert "last messages" in str(caught.value)
        assert "> b'*" in str(caught.value)


def test_every_instrument_that_does_not_open_is_named(labs: Labs) -> None:
    lab, twin = labs(awg_q0={"absent": True}, lo_q1={"absent": True}, dig={"idn": "x"})
    with pytest.raises(InstrumentError) as caught, OpenLab(lab, twin):
        pass
    assert all(f"{name} at " in str(caught.value) for name in ("awg_q0", "lo_q1", "dig"))


def test_a_wrong_instrument_is_told_nothing_more(labs: Labs) -> None:
    lab, twin = labs(lo_q0={"idn": "ACME,9000,1,1"})
    twin.instruments["lo_q0"].values["output", ()] = True
    with pytest.raises(InstrumentError, match="ACME"), OpenLab(lab, twin):
        pass
    assert switches(twin)["lo_q0"] == [True]  # what OUTPut 0 means to somebody else's instrument is not known


@pytest.mark.parametrize(
    ("name", "clamp", "what"),
    [
        (
            "awg_q0",
            {"amplitude_v": 0.3},
            r"awg_q0 at .*SOURce1:VOLTage 0\.5`: setting not taken: sent 0\.5, read back 0\.3",
        ),
        ("lo_readout", {"frequency_hz": 6e9}, r"lo_readout .*sent 7000000000\.0, read back 6000000000\.0"),
        (
            "dig",
            {"range_v": 0.2},
            r"dig .*sent 0\.5, read back 0\.2.*digitizer\.range_v = 0\.5 in the lab file: .* takes 0\.01 to 50 V",
        ),
    ],
)
def test_a_setting_that_is_not_taken(labs: Labs, name: str, clamp: dict[str, float], what: str) -> None:
    lab, twin = labs(**{name: {"clamp": clamp}})
    with pytest.raises(InstrumentError, match=what), OpenLab(lab, twin) as opened:
        opened.configure()
    assert all_off(twin)


def test_a_refused_setting_comes_with_the_instruments_own_words(labs: Labs) -> None:
    lab, twin = labs()
    loud = msgspec.structs.replace(lab.lines["drive_q0"], source_dbm=99.0)
    lab = msgspec.structs.replace(lab, lines=lab.lines | {"drive_q0": loud})
    with (
        pytest.raises(InstrumentError, match=r'sent 99\.0, read back -30\.0.*reports -222,"Data out of range'),
        OpenLab(lab, twin) as opened,
    ):
        opened.configure()


def test_a_segment_that_is_stored_wrongly(labs: Labs, rng: np.random.Generator) -> None:
    lab, twin = labs(awg_q0={"corrupt_block": True})
    with (
        pytest.raises(InstrumentError, match=r"TRACe1:DATA 0,`: segment read back differs at sample 20 of 40"),
        OpenLab(lab, twin) as opened,
    ):
        opened.upload({"drive_q0": (segment(rng, 40),)})


def test_half_a_block_names_both_sizes(labs: Labs, rng: np.random.Generator) -> None:
    lab, twin = labs(timeout_s=0.15, awg_q0={"half_block": True})
    with (
        pytest.raises(InstrumentError, match=r"expected 2000 bytes of block data, got 997 by the deadline \(after 0"),
        OpenLab(lab, twin) as opened,
    ):
        opened.upload({"drive_q0": (segment(rng, 1000),)})
    assert all_off(twin)  # the session was fenced again, and answered


@pytest.mark.parametrize("name", ["awg_q0", "lo_q0"])
def test_a_late_reply_is_discarded_on_the_real_way(labs: Labs, name: str) -> None:
    lab, twin = labs(timeout_s=0.3, **{name: {"late_s": 0.35, "late_after": 7}})
    with OpenLab(lab, twin) as opened:
        link = opened._drivers[name].link
        for _ in range(20):
            try:
                assert link.query("*IDN?").startswith("Q-RT,")
            except InstrumentError:
                break
        for value in (5, 6, 7):
            link.command(f"*SRE {value}")
            assert link.query("*SRE?") == str(value)
        assert opened.counters[f"{name}.timeout_count"] == 1
        assert opened.counters[f"{name}.discarded_bytes"] == len(twin.instruments[name].identity) + 1


def test_a_lab_that_its_drivers_cannot_serve_is_refused_before_anything_opens(project: Path) -> None:
    lab = read_lab(project)
    line = msgspec.structs.replace(lab.lines["drive_q0"], awg="lo_q0", source="nobody")
    unknown = msgspec.structs.replace(lab.instruments["dig"], driver="acme")
    lab = msgspec.structs.replace(
        lab, lines=lab.lines | {"drive_q0": line}, instruments=lab.instruments | {"dig": unknown}
    )
    with pytest.raises(ConfigError) as caught:
        OpenLab(lab)
    text = str(caught.value)
    assert "instruments.dig.driver: 'acme' is not one of qrt_awg2, qrt_dig1, qrt_source1" in text
    assert "lines.drive_q0.awg: 'lo_q0' has the driver 'qrt_source1', which is no Generator" in text
    assert "lines.drive_q0.source: 'nobody' is not one of awg_q0" in text


def test_drivers_come_from_entry_points(project: Path) -> None:
    kinds = driver_kinds(read_lab(project))
    assert {kind.__name__ for kind in kinds.values()} == {"Awg2", "Dig1", "Source1"}


def test_names_of_outputs_cover_the_lab(labs: Labs) -> None:
    _, twin = labs()
    assert set(switches(twin)) == {*AWGS, *SOURCES, "dig"}
