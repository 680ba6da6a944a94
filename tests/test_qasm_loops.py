"""Control flow: what a shot does is what Python does with the same program, for all outcomes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from qrt.errors import ProgramError
from qrt.qasm.program import Branch, Statement
from tests.statement_machine import Machine, elaborated, shot

HEAD = "qubit q; bit c; "


def deepest(statements: tuple[Statement, ...]) -> int:
    return max(
        (1 + max(deepest(one.then), deepest(one.otherwise)) for one in statements if isinstance(one, Branch)), default=0
    )


# ---- Known ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loop", "wanted"),
    [
        ("for int i in [0:3]", [0, 1, 2, 3]),
        ("for int i in [0:2:5]", [0, 2, 4]),
        ("for int i in [3:-1:1]", [3, 2, 1]),
        ("for int i in [3:1]", []),
        ("for uint[4] i in {1, 7, 2}", [1, 7, 2]),
        ("for int i in v", [5, 6, 7]),
        ("for int i in v[0:1]", [5, 6]),
        ('for bit i in "110"', [0, 1, 1]),
        ("for int i in [k:2*k]", [2, 3, 4]),
    ],
)
def test_for_goes_through(loop: str, wanted: list[int]) -> None:
    text = f"array[int[8], 3] v = {{5, 6, 7}}; const int k = 2; qubit q; {loop} {{ rz(i * 1.0) q; }}"
    assert [one[2] for one in shot(text).done] == wanted


def test_loops_with_known_conditions_leave_nothing() -> None:
    text = (
        HEAD
        + "int n = 0; while (n < 5) { n += 1; if (n == 2) continue; if (n == 4) { break; } rz(n) q; } if (n == 4) { x q; } else { y q; }"
    )
    program = elaborated(text)
    assert [one[0::2] for one in Machine(program).done] == [("rz", 1.0), ("rz", 3.0), ("x",)]
    assert not any(isinstance(one, Branch) for one in program.statements)


def test_blocks_have_their_own_names() -> None:
    text = HEAD + "int n = 1; { int n = 2; rz(n) q; { int n = 3; n += 1; rz(n) q; } n = 5; rz(n) q; } rz(n) q;"
    text += " for int n in {7} { rz(n) q; } rz(n) q;"
    assert [one[2] for one in shot(text).done] == [2, 4, 5, 1, 7, 1]


def test_switch_on_what_is_known() -> None:
    for value, wanted in ((0, "x"), (1, "y"), (2, "y"), (3, "h")):
        text = (
            f"qubit q; int k = {value}; switch (k) {{ case 0 {{ x q; }} case 1, 2 {{ rz(1) q; }} default {{ h q; }} }}"
        )
        assert shot(text).done[0][0] == wanted.replace("y", "rz")
    assert shot("qubit q; switch (7) { case 0 { x q; } } sx q;").done == [("sx", 0)]


# ---- On outcomes: against Python, for all outcomes -----------------------------------------------------------------------------

Measure = Callable[[], int]
Done = list[tuple[Any, ...]]


def counted(measure: Measure, done: Done) -> int:
    n = 0
    while n < 4:
        if not measure():
            break
        done.append(("x", 0))
        n += 1
    return n


def tried(measure: Measure, done: Done) -> int:
    n, more = 0, True
    while more and n < 3:
        n += 1
        if measure():
            done.append(("x", 0))
        else:
            more = False
    return n


def searched(measure: Measure, done: Done) -> int:
    found = 9
    for i in range(4):
        if measure():
            found = i
            break
        if i == 1:
            continue
        done.append(("x", 0))
    return found


def skipped(measure: Measure, done: Done) -> int:
    total = 0
    for i in range(4):
        if measure():
            continue
        total += 1 << i
        done.append(("h", 0))
    return total


def nested(measure: Measure, done: Done) -> int:
    total = 0
    for i in range(3):
        for j in range(2):
            if measure():
                break
            total += 10 * i + j
        else:
            done.append(("x", 0))
            if i == 1 and total > 9:
                break
        done.append(("h", 0))
    return total


def chosen(measure: Measure, done: Done) -> int:
    value = measure() + 2 * measure()
    result = 0
    if value == 0:
        done.append(("x", 0))
        result = 5
    elif value in {1, 3}:
        done.append(("h", 0))
        result = 6 + measure()
    else:
        result = 8
    return result


def returned(measure: Measure, done: Done) -> int:
    def f(k: int) -> int:
        for i in range(k):
            if measure():
                done.append(("x", 0))
                return i
        done.append(("h", 0))
        return 7

    return f(2) * 10 + f(1)


NESTED = """int total = 0;
for int i in [0:2] {
  bool all = true;
  for int j in [0:1] { c = measure q; if (c) { all = false; break; } total += 10 * i + j; }
  if (all) { x q; if (i == 1 && total > 9) break; }
  h q;
}
o = total;"""
CHOSEN = """bit[2] d; d[0] = measure q; d[1] = measure q;
switch (d) {
  case 0 { x q; o = 5; }
  case 1, 3 { h q; c = measure q; o = 6 + int(c); }
  default { o = 8; }
}"""
RETURNED = """def f(qubit p, int k) -> int {
  bit b;
  for int i in [0:k-1] { b = measure p; if (b) { x p; return i; } }
  h p; return 7; }
o = f(q, 2) * 10 + f(q, 1);"""
PROGRAMS = [
    (tried, "int n = 0; bool more = true; while (more && n < 3) { n += 1; c = measure q; if (c) x q; else { more = false; } } o = n;"),
    (counted, "int n = 0; while (n < 4) { c = measure q; if (!c) break; x q; n += 1; } o = n;"),
    (searched, "int found = 9; for int i in [0:3] { c = measure q; if (c) { found = i; break; } if (i == 1) continue; x q; } o = found;"),
    (skipped, "int total = 0; for uint i in [0:3] { c = measure q; if (c) { continue; } total += 1 << i; h q; } o = total;"),
    (nested, NESTED),
    (chosen, CHOSEN),
    (returned, RETURNED),
]  # fmt: skip


def shots(program: Callable[[Measure, Done], int]) -> Iterator[tuple[list[int], Done, int]]:
    """Every way through a program: the outcomes it asks for, what it does, what it returns."""
    pending: list[list[int]] = [[]]
    while pending:
        outcomes = pending.pop()
        done: Done = []
        asked = iter(outcomes)

        def measure(asked: Iterator[int] = asked, done: Done = done) -> int:
            done.append(("measure", 0))
            return next(asked)

        try:
            result = program(measure, done)
        except StopIteration:
            pending += [[*outcomes, 0], [*outcomes, 1]]
        except RuntimeError:
            pending += [[*outcomes, 0], [*outcomes, 1]]
        else:
            yield outcomes, done, result


@pytest.mark.parametrize(("python", "text"), PROGRAMS, ids=lambda one: getattr(one, "__name__", ""))
def test_a_shot_does_what_python_does_for_all_outcomes(python: Callable[[Measure, Done], int], text: str) -> None:
    declared = text.index("}", text.rindex("return")) + 1 if "def " in text else 0
    program = elaborated(f"output int[16] o; {text[:declared]} {HEAD} {text[declared:]}")
    count = 0
    for outcomes, done, result in shots(python):
        machine = Machine(program, outcomes)
        assert (machine.done, machine.outputs["o"]) == (done, result), outcomes
        assert next(machine.outcomes, None) is None
        count += 1
    assert count >= 4


def test_ends_of_a_program() -> None:
    program = elaborated(
        HEAD + "output int o; o = 1; for int i in [0:2] { c = measure q; if (c) { o = 10 + i; end; } x q; } y q;"
    )
    for ones in range(4):
        outcomes = [0] * ones + [1] if ones < 3 else [0] * 3
        machine = Machine(program, outcomes)
        assert machine.outputs["o"] == (10 + ones if ones < 3 else 1)
        assert len(machine.done) == 2 * ones + (1 if ones < 3 else 2)
    assert shot(HEAD + "x q; end; y q;").done == [("x", 0)]


def test_what_is_declared_where_only_one_side_goes_on_is_seen_by_gates_and_subroutines():
    text = HEAD + (
        "c = measure q; if (c) end; const int n = 3; gate three p { x p; for int i in [1:n - 1] { x p; } } "
        "def two(qubit p) { for int i in [2:n] { sx p; } } three q; two(q);"
    )
    assert [one[0] for one in shot(text, [0]).done[1:]] == ["x"] * 3 + ["sx"] * 2
    assert len(shot(text, [1]).done) == 1


def test_branches_nest_two_hundred_deep() -> None:
    program = elaborated(
        HEAD
        + "int[16] n = 0; c = measure q; while (c && n < 200) { n += 1; x q; c = measure q; } output int[16] o; o = n;"
    )
    assert deepest(program.statements) == 200
    for ones in (0, 1, 77, 199, 200):
        machine = Machine(program, [1] * ones + [0] if ones < 200 else [1] * 201)
        assert machine.outputs["o"] == ones
        assert machine.done.count(("x", 0)) == ones


def test_short_circuits_leave_the_right_side_alone() -> None:
    text = (
        HEAD
        + "def f(qubit p) -> bool { x p; return true; } if (false && f(q)) { h q; } if (true || f(q)) { sx q; } if (true && f(q)) { h q; }"
    )
    assert shot(text).done == [("sx", 0), ("x", 0), ("h", 0)]


def test_all_small_ifs_of_two_bits() -> None:
    conditions = [
        "c[0] && c[1]",
        "c[0] || c[1]",
        "!(c[0] && !c[1])",
        "c == 3",
        "c != 1",
        "c > 1",
        "2 <= c",
        "c[0] == c[1]",
        "bool(c)",
        "c[0] ^ c[1]",
    ]
    for condition in conditions:
        program = elaborated(
            f"qubit q; bit[2] c; c[0] = measure q; c[1] = measure q; if ({condition}) {{ x q; }} else {{ h q; }}"
        )
        for one, other in itertools.product((0, 1), repeat=2):
            text = (
                condition.replace("c[0]", str(one))
                .replace("c[1]", str(other))
                .replace("&&", " and ")
                .replace("||", " or ")
            )
            text = text.replace("!=", "~=").replace("!", " not ").replace("~=", "!=")
            wanted = eval(text, {"c": one + 2 * other})
            assert Machine(program, (one, other)).done[-1] == (("x", 0) if wanted else ("h", 0)), condition


# ---- Refused ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (
            "while (c) { x q; c = measure q; }",
            "a loop without bound (256 iterations are possible where outcomes decide): count, as in",
        ),
        ("while (true) { }", "this loop makes more than 100000 iterations"),
        ("for int i in [0:400] { for int j in [0:400] { x q; } }", "this loop makes more than 100000 "),
        ("for int i in [0:0:5] { }", "a range with a step of 0 does not end"),
        ("for int i in [0:] { }", "a range of a loop has a start and an end"),
        ("for int i in [0:100000000] { }", "a range of 100000001 numbers; possible are 1048576"),
        ("for float f in [0:1] { }", "a range of a float is not exact"),
        (
            "for int i in 3 { }",
            "a loop goes through a range, a set, an array of one dimension or bits, not through an int",
        ),
        ("for int[3] i in {9, 1s} { }", "duration cannot be converted to int[3]"),
        ("switch (1.5) { case 1 { x q; } }", "a switch is on whole numbers, not on a float"),
        ("switch (1) { case 1 { x q; } case 1 { y q; } }", "case 1 is there already"),
        ("int k = 1; switch (1) { case c { x q; } }", "a constant is needed here, not a bit that depends on outcomes"),
        ("box[1us] { end; }", "what leaves a box"),
        ("def f() { end; } f();", "end in 'f': let it return a value"),
        ("return 1;", "not OpenQASM 3"),
        ("for int i in [0:1] { int n = 1; } n = 2;", "'n' is no declared variable"),
        ("if (c) { qubit r; }", "qubit declarations must be global"),
        ("if (1ns) { x q; }", "duration is neither true nor false"),
    ],
)
def test_control_flow_that_means_nothing(body: str, wanted: str) -> None:
    with pytest.raises(ProgramError) as caught:
        elaborated(HEAD + body)
    assert wanted in str(caught.value)
    assert str(caught.value).startswith("p.qasm:1:")


def test_variables_of_a_block_that_is_over_are_not_set_where_its_sides_meet() -> None:
    program = elaborated(
        HEAD + "for int i in [0:2] { int k = 0; c = measure q; if (c) { k = 1; rz(k) q; break; } rz(k) q; }"
    )
    assert program.variables == ()
    text = "output int o; int n = 0; for int i in [0:2] { int k = i; c = measure q; if (c) { k += 10; } if (k > 9) break; n = n + k; }"
    program = elaborated(f"{HEAD}{text} o = n;")
    for outcomes, wanted in (((1,), 0), ((0, 1), 0), ((0, 0, 1), 1), ((0, 0, 0), 3)):
        assert Machine(program, outcomes).outputs["o"] == wanted
