"""What qrt.run takes as a program, and where an error about it points: in the text, and in the Python that made it."""

import inspect
import subprocess
import sys

import openqasm3
import oqpy
import pytest
from openpulse.printer import dumps
from openqasm3.visitor import QASMVisitor

import qrt
from qrt.errors import ProgramError, RunError
from qrt.programs import given
from qrt.qasm import parse_program
from qrt.run import Prepared, run

TEXT = """OPENQASM 3.0;
include "stdgates.inc";
input float theta;
qubit q;
bit c;
rx(theta / 2) q;
c = measure q;
if (c == 1) {
  x q;
} else {
  id q;
}
c = measure q;
"""  # a bit that is read twice has no estimate: no batch process starts


def line():
    """Return the line of the caller."""
    return inspect.currentframe().f_back.f_lineno


@pytest.fixture
def prepare(play):
    """Return a function that checks a program as `run` does before it opens anything."""
    return lambda program, **more: Prepared(program, play.keywords | more)


# ---- Forms -----------------------------------------------------------------------------------------------------------------


def test_all_forms_are_played_alike(play, tmp_path):
    path = tmp_path / "p.qasm"
    path.write_text(TEXT)
    tree = openqasm3.parse(TEXT)
    digests = {
        run(program, **play.keywords | {"inputs": {"theta": 1.0}}).summary.digest
        for program in (TEXT, path, str(path), tree, TEXT.replace("\n", " "))
    }
    assert len(digests) == 1


def test_the_record_keeps_a_text_that_means_the_same(play):
    found = run(openqasm3.parse(TEXT), **play.keywords | {"inputs": {"theta": 1.0}})
    kept = found.record.file("program.qasm").decode()
    assert openqasm3.parse(kept) == openqasm3.parse(TEXT)
    assert run(kept, **play.keywords | {"inputs": {"theta": 1.0}}).summary.digest == found.summary.digest


class Spans(QASMVisitor):
    """Collects every node's place."""

    def __init__(self):
        self.found = []

    def visit(self, node, context=None):
        self.found.append((type(node).__name__, node.span))
        return super().visit(node)


def test_every_statement_of_a_tree_gets_the_place_that_the_parser_gives_it():
    """The printer's places against those of the standard's parser on the printed text: line and column at which each begins."""
    program = given(openqasm3.parse(TEXT))
    assert program.text == dumps(openqasm3.parse(TEXT))
    ours, parsers = Spans(), Spans()
    ours.visit(program.tree)
    parsers.visit(parse_program(program.text, "p").tree)
    statements = {
        "Include",
        "IODeclaration",
        "QubitDeclaration",
        "QuantumGate",
        "QuantumMeasurementStatement",
        "BranchingStatement",
    }
    begins = [
        [(kind, span.start_line, span.start_column) for kind, span in one.found if kind in statements]
        for one in (ours, parsers)
    ]
    assert begins[0] == begins[1]
    assert len(begins[0]) == 9


def test_what_is_no_program_is_refused(prepare):
    for wrong in (None, 7, ["x q;"], b"qubit q;"):
        with pytest.raises(ProgramError, match=f"a program of type {type(wrong).__name__}; allowed: the path"):
            prepare(wrong)
    with pytest.raises(ProgramError, match=r"absent.qasm: cannot be read"):
        prepare("absent.qasm")


def test_a_builder_that_cannot_write_its_program_says_so(prepare):
    program = oqpy.Program()
    with oqpy.If(program, oqpy.BitVar(name="c") == 1):
        program.gate(oqpy.Qubit("q"), "x")
        with pytest.raises(ProgramError, match="oqpy cannot write this program: Cannot add subprogram with unclosed"):
            prepare(program)


def test_oqpy_is_not_loaded_for_a_text(project):
    code = "import sys, qrt.run; from qrt.programs import given; given('qubit q; x q;'); print('oqpy' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"


# ---- Places ----------------------------------------------------------------------------------------------------------------


def refusal(prepare, program, **more):
    with pytest.raises(ProgramError) as caught:
        prepare(program, **more)
    return str(caught.value)


def test_an_error_in_an_oqpy_program_names_the_line_of_python(prepare):
    program, q, c = qrt.Program(), oqpy.Qubit("q"), oqpy.BitVar(name="c")
    program.gate(q, "h")
    program.measure(q, c)
    with oqpy.If(program, c == 1):
        program.gate(q, "hh"); wrong = line()  # fmt: skip  # noqa: E702
    program.gate(q, "x")
    told = refusal(prepare, program)
    assert told.startswith("<oqpy>:7:")
    assert told.endswith(
        f"hh q;\n    made at {__file__}:{wrong}: " + 'program.gate(q, "hh"); wrong = line()  # fmt: skip  # noqa: E702'
    )


def test_a_branch_is_made_where_its_with_stands_and_a_variable_where_it_is_used_first(prepare):
    program, q, c = qrt.Program(), oqpy.Qubit("q"), oqpy.BitVar(name="c")
    program.measure(q, c)
    branch = line() + 1
    with oqpy.If(program, c == oqpy.FloatVar(0.5, name="half") / 0):
        program.gate(q, "x")
    program.gate(q, "x")
    assert f"made at {__file__}:{branch}:" in refusal(prepare, program)
    program = qrt.Program()
    wrong = oqpy.ComplexVar("input", name="w")
    program.gate(q, "rz", wrong); first = line()  # fmt: skip  # noqa: E702
    program.gate(q, "rz", wrong)
    assert f"made at {__file__}:{first}:" in refusal(prepare, program)


def test_a_port_and_a_function_of_the_lab_are_made_where_they_are_used_first(prepare):
    frame = oqpy.FrameVar(oqpy.PortVar("drive_qx"), 5e9, name="f")
    program = qrt.Program()
    program.play(frame, oqpy.WaveformVar([0.1, 0.1], name="w")); wrong = line()  # fmt: skip  # noqa: E702
    program.play(frame, oqpy.WaveformVar([0.1, 0.1], name="v"))
    told = refusal(prepare, program)
    assert "the lab has no port 'drive_qx'" in told
    assert f"made at {__file__}:{wrong}:" in told
    program = qrt.Program()
    shape = oqpy.declare_waveform_generator("absent", [("length", oqpy.duration)])
    program.play(oqpy.FrameVar(oqpy.PortVar("drive_q0"), 5e9, name="f"), oqpy.WaveformVar([0.1, 0.1], name="w"))
    program.play(oqpy.FrameVar(oqpy.PortVar("drive_q0"), 5e9, name="f"), shape(40e-9)); wrong = line()  # fmt: skip  # noqa: E702
    told = refusal(prepare, program)
    assert "the lab provides no function 'absent'" in told
    assert f"made at {__file__}:{wrong}:" in told


def test_programs_that_are_put_together_keep_their_lines(prepare):
    q = oqpy.Qubit("q")
    part, whole = qrt.Program(), qrt.Program()
    part.gate(q, "hh"); wrong = line()  # fmt: skip  # noqa: E702
    whole.gate(q, "x")
    whole += part
    assert f"made at {__file__}:{wrong}:" in refusal(prepare, whole)
    assert f"made at {__file__}:{wrong}:" in refusal(prepare, whole + qrt.Program())


def test_oqpys_own_program_and_a_tree_have_their_text(prepare):
    program = oqpy.Program()
    program.gate(oqpy.Qubit("q"), "hh")
    told = refusal(prepare, program)
    assert told.startswith("<oqpy>:3:1: gate 'hh'")
    assert told.endswith("\n    hh q;")
    told = refusal(prepare, openqasm3.parse("OPENQASM 3;\n\n\nqubit q; hh q;\n"))
    assert told.startswith("<tree>:3:1: gate 'hh'")
    assert "made at" not in told


def test_a_shot_that_is_too_long_names_the_line_of_python(prepare):
    program, q, c = qrt.Program(), oqpy.Qubit("q"), oqpy.BitVar(name="c")
    program.measure(q, c)
    with oqpy.If(program, c == 1):
        program.delay(4e-6, q)
    program.delay(4e-6, q); wrong = line()  # fmt: skip  # noqa: E702
    program.measure(q, c)
    assert f"made at {__file__}:{wrong}:" in refusal(prepare, program)


def test_what_the_kernel_says_of_a_line_is_told_of_the_python_too():
    program, q = qrt.Program(), oqpy.Qubit("q")
    program.gate(q, "x")
    program.gate(q, "sx"); wrong = line()  # fmt: skip  # noqa: E702
    one = given(program)
    told = RunError(
        "the kernel stopped in shot 3, tick 40, sequencer q0, line 4 of the program: why\nshots 0 to 2 are kept"
    )
    one.place(told)
    assert str(told).endswith(
        f"shots 0 to 2 are kept\n    made at {__file__}:{wrong}: "
        'program.gate(q, "sx"); wrong = line()  # fmt: skip  # noqa: E702'
    )
    other = RunError("the disk is full")
    one.place(other)
    assert str(other) == "the disk is full"
