"""The bodies of `cal` and `defcal`: trees whose nodes and errors have places in the file, in the standard parser's time."""

import openpulse
import pytest
from openpulse import ast

from qrt.errors import ProgramError
from qrt.qasm.grammar import syntax_tree

BODIES = """OPENQASM 3.0;
defcalgrammar "openpulse";
cal {
  extern port d0; extern frame f1;
    port p; waveform w = {1.0 + 0.5im, -2.0};
  extern drag(complex[float[64]], duration, duration, float[64]) -> waveform;
}
defcal sx $0 { play(f1, w); }
defcal measure $1 -> bit
{
  bit b = capture_v2(f1, w);
  if (b) { play(f1, w); } else { delay[20ns] f1; }
  return b;
}
cal {}
for int i in [0:2] { cal { shift_phase(f1, i * pi); } }
"""


def nodes(node):
    """Yield a node of the tree and those inside it."""
    yield node
    for value in vars(node).values():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, ast.QASMNode):
                yield from nodes(one)


def words(text, span):
    """Return the text from where a span begins, to the end of its line."""
    return text.splitlines()[span.start_line - 1][span.start_column :]


def test_bodies_are_trees_that_stand_where_the_file_has_them():
    tree = syntax_tree(BODIES, "a.qasm")
    cal, sx, measure, empty, loop = tree.statements[1:]
    assert [type(one) for one in (cal, sx, measure, empty)] == [
        ast.CalibrationStatement,
        ast.CalibrationDefinition,
        ast.CalibrationDefinition,
        ast.CalibrationStatement,
    ]
    assert empty.body == []
    assert isinstance(loop.block[0].body[0].expression, ast.FunctionCall)
    found = [words(BODIES, one.span) for body in (cal, sx, measure, loop.block[0]) for one in body.body]
    starts = [
        "port d0;", "frame f1;", "port p;", "waveform w", "extern drag", "play(f1", "bit b", "if (b)", "return b", "shift_phase",
    ]  # fmt: skip
    assert [one.startswith(start) for one, start in zip(found, starts, strict=True)] == [True] * len(starts)
    inside = [one for one in nodes(measure) if isinstance(one, ast.DelayInstruction)]
    assert words(BODIES, inside[0].span).startswith("delay[20ns] f1")


def test_the_trees_are_the_packages_own():
    """But for the places, and `extern port`, which its grammar lacks."""
    text = BODIES.replace("extern port", "port").replace("extern frame", "frame")
    assert repr_without_places(syntax_tree(BODIES, "a.qasm")) == repr_without_places(openpulse.parse(text))


def repr_without_places(tree):
    for node in nodes(tree):
        node.span = None
    return repr(tree)


@pytest.mark.parametrize(
    ("body", "line", "column", "words"),
    [
        ("cal { play(f w); }", 2, 14, ["not OpenPulse", "play(f"]),
        ("cal {\n\n  play(f, ;\n}", 4, 11, ["not OpenPulse"]),
        ("cal { f.frequency = 3e9; }", 2, 8, ["set_frequency(f, value)"]),
        ("cal { waveform w = [1, 2]; }", 2, 20, ["braces", "{0.1, 0.2 + 0.1im}"]),
        ("cal { play(f, w); ) }", 2, 19, ["no statement begins with ')'"]),
        ('defcal x $0 {\n  play(f, "w); }', 3, 11, ["not OpenPulse"]),
        ("cal { extern frame; }", 2, 19, ["not OpenPulse"]),
        ("cal {\n  return 1; }", 3, 3, ["'return' statement outside"]),
    ],
)
def test_errors_of_syntax_inside_bodies_stand_where_the_file_has_them(body, line, column, words):
    with pytest.raises(ProgramError) as caught:
        syntax_tree(f"qubit q;\n{body}", "a.qasm")
    message = str(caught.value)
    assert message.startswith(f"a.qasm:{line}:{column}: "), message
    assert all(word in message for word in words)
