"""Emitted columns, from the kernel to the arrays of a run: recorded, described, streamed, replayed, compared.

The pulses of an ordinary program get operations that emit what is known anyway: its own outcomes, and a count of shots' constants. So each
column can be compared with the bits of the same row.
"""

import json
import shutil
from contextlib import ExitStack
from pathlib import Path
from threading import Event

import msgspec
import numpy as np
import pytest

from qrt import config
from qrt.against import compare
from qrt.client import open_run
from qrt.compile import compile_pulses
from qrt.compiling import Compiling
from qrt.errors import RecordError
from qrt.image import from_image
from qrt.layout import Layout, decode_image, decode_layout, encode_image, encode_layout
from qrt.playback import differing_field
from qrt.playing import Play
from qrt.qasm import parse_program
from qrt.replay import replay
from qrt.session import Session
from qrt.store import bound_hash
from qrt.types import Bits, Computed, Emit, Lookup, Pulses

KINDS = ("int", "uint", "bool", "angle", "duration")
COLUMNS = ("n", "big", "same", "turn", "wait")


def emitting(pulses: Pulses) -> Pulses:
    """Let q0's sequencer emit after all else: c[0] + 2 c[1] - 1, that with an unsigned wrap, whether both are one, quarters, ticks."""
    first, second = Bits((0,)), Bits((1,))
    both = Bits((0, 1))
    values = (
        Computed("-", both, 1),
        Computed("-", both, 1),
        Computed("==", first, second),
        Computed("*", both, 1 << 62),
        Lookup((0, 10, 200, 3000), both),
    )
    (name, ops), *others = pulses.blocks.items()
    ops = (*ops, *(Emit(column, value) for column, value in enumerate(values)))
    return msgspec.structs.replace(pulses, blocks={name: ops, **dict(others)}, outputs=COLUMNS, output_kinds=KINDS)


class EmittingProgram(Compiling):
    """A program that emits, compiled each time."""

    def sequence(self, calibration):
        super().sequence(calibration)
        return compile_pulses(self.pulses(), self._asked.lab, self._asked.limits)

    def pulses(self) -> Pulses:
        return emitting(super().pulses())


class Emitting(Session):
    """A session whose program emits."""

    def _compiling(self, limits):
        return EmittingProgram(self.program, self.inputs, self.lab, limits, reach=None, rounds=False)


PROGRAM = """OPENQASM 3;
include "stdgates.inc";
qubit[2] q;
bit[2] c;
h q[0];
c[0] = measure q[0];
if (c[0]) x q[0];
c[1] = measure q[0];
"""


def ran(lab, calibration, runs, seed: int = 5, shots: int = 3000):
    session = Emitting(
        lab=lab,
        lab_hash=config.lab_hash(lab),
        bound_hash=bound_hash(lab),
        program=parse_program(PROGRAM, "p.qasm"),
        text=PROGRAM,
        inputs={},
        shots=shots,
        sweep=(),
        order="point",
        seed=seed,
        runs=Path(runs),
        events=lambda event: None,
    )
    session.prepare(calibration)
    with ExitStack() as stack:
        session.open(stack, publish=False, stop=Event(), abort=Event())
        session.calibrate()
        summary, _ = Play(session).play()
    return open_run(summary.run)


@pytest.fixture(scope="module")
def recorded(demo_lab, demo_calibration, tmp_path_factory):
    return ran(demo_lab, demo_calibration, tmp_path_factory.mktemp("runs"))


def test_columns_by_name_in_their_own_units(recorded) -> None:
    both = recorded.bits["c[0]"].astype(np.int64) + 2 * recorded.bits["c[1]"]
    assert set(both.tolist()) == {0, 1, 2, 3}
    assert list(recorded.values) == list(COLUMNS)
    found = recorded.values
    assert (found["n"] == both - 1).all()
    assert found["n"].dtype == np.int64
    assert found["big"].dtype == np.uint64
    assert set(found["big"].tolist()) == {2**64 - 1, 0, 1, 2}
    assert (found["same"] == (recorded.bits["c[0]"] == recorded.bits["c[1]"])).all()
    assert found["same"].dtype == np.bool_
    np.testing.assert_allclose(found["turn"], both * np.pi / 2, rtol=1e-15)
    np.testing.assert_allclose(found["wait"], np.array([0, 10, 200, 3000])[both] * 1e-9, rtol=1e-15)
    with pytest.raises(KeyError, match="no output 'm'; there are: n, big, same, turn, wait"):
        found["m"]


def test_the_folder_says_how_to_read_them(recorded) -> None:
    readme = (recorded.path / "README.txt").read_text()
    line = next(line for line in readme.splitlines() if '"emitted"' in line).partition("#")[0].strip()
    layout = json.loads((recorded.path / "layout.json").read_text())
    names = {"layout": layout, "NAME": "n", "np": np}
    names["rows"] = np.memmap(recorded.path / "shots.bin", np.dtype(layout["dtype"]), "r")
    exec(line, names)
    assert (names["value"] == recorded.values["n"]).all()
    assert layout["output_kinds"] == list(KINDS)


def test_pages_carry_the_columns(recorded) -> None:
    configuration = recorded.descriptor["configuration"]["kernel"]["data"]
    assert (configuration["outputs"], configuration["output_kinds"]) == (list(COLUMNS), list(KINDS))
    assert recorded.descriptor["data_keys"]["emitted"]["shape"] == [len(COLUMNS)]
    pages = [message for message in recorded.messages() if message.header.doc == "event_page"]
    emitted = np.concatenate([page.body["data"]["emitted"] for page in pages])
    assert (emitted == recorded.rows["emitted"]).all()


def test_replay_is_the_same_and_sees_a_changed_column(recorded, tmp_path) -> None:
    assert replay(recorded.path).same
    folder = shutil.copytree(recorded.path, tmp_path / "changed")
    rows = np.memmap(folder / "shots.bin", recorded.layout.dtype, "r+")
    rows["emitted"][17, 3] ^= 1
    rows.flush()
    verdict = replay(folder)
    assert not verdict.same
    assert differing_field(rows[17], recorded.rows[17]) == "emitted"
    # The folder's program does not emit: compiled again, its rows have other sizes.
    assert verdict.difference.startswith("shot 17: tick ")
    assert verdict.difference.endswith("the image is not what the folder's program, lab and calibration compile to")


def test_runs_are_compared_with_their_columns(recorded, demo_lab, demo_calibration, tmp_path) -> None:
    assert compare(recorded.path, ran(demo_lab, demo_calibration, tmp_path).path).same
    other = shutil.copytree(recorded.path, tmp_path / "other")
    layout = json.loads((other / "layout.json").read_text())
    (other / "layout.json").write_text(json.dumps({**layout, "outputs": ["m", *layout["outputs"][1:]]}))
    with pytest.raises(RecordError, match="outputs of its rows: m, big, same, turn, wait; there: n, big"):
        compare(recorded.path, other)


def test_an_image_and_a_layout_that_do_not_fit_their_columns_are_refused(recorded) -> None:
    image = recorded.image()
    assert from_image(image).sequence.outputs == COLUMNS
    old = {name: value for name, value in image.fields.items() if name not in {"outputs", "output_kinds"}}
    assert from_image(msgspec.structs.replace(image, fields=old)).sequence.outputs == ()
    for changes in (
        {"outputs": ["n"]},
        {"output_kinds": ["complex"] * 5},
        {"outputs": [], "output_kinds": list(KINDS)},
    ):
        with pytest.raises(RecordError, match="armed image: not whole"):
            from_image(decode_image(encode_image(image.arrays, {**image.fields, **changes})))
    data = json.loads(encode_layout(recorded.layout, "u"))
    for changes in ({"outputs": ["n"]}, {"output_kinds": ["int"]}):
        with pytest.raises(RecordError, match=r"rows with emitted \(5,\) for"):
            decode_layout(json.dumps({**data, **changes}).encode(), Path("layout.json"))
    with pytest.raises(RecordError, match="not the layout of a run"):
        decode_layout(json.dumps({**data, "output_kinds": ["complex"] * 5}).encode(), Path("layout.json"))
    with pytest.raises(RecordError, match="names occur twice among outputs"):
        encode_layout(msgspec.structs.replace(recorded.layout, outputs=("n",) * 5), "u")
    uid, read = decode_layout(encode_layout(recorded.layout, "u"), Path("layout.json"))
    assert (uid, read) == ("u", recorded.layout)
    fields = [(name, "i8") for name in ("shot", "tick", "bits", "flags")]
    before = Layout(np.dtype([*fields, ("outcomes", "u1", (0,)), ("iq", "i8", (0, 2))]), (), ())
    entry = json.loads(encode_layout(before, "u"))
    del entry["outputs"], entry["output_kinds"]
    assert decode_layout(json.dumps(entry).encode(), Path("layout.json"))[1] == before
