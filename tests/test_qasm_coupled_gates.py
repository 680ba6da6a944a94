"""Gates on several qubits: what is left of them, gates on one qubit and cz, against the matrices of reference_gates.

Whole programs of gates are multiplied up twice: the statements that elaboration leaves, and the standard's tree by the reference
interpreter. Both agree up to one phase; under control, phases are part of the gate and must agree, too.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable

import numpy as np
import openqasm3
import pytest

from tests.reference_gates import GATES, Matrix, controlled, embedded
from tests.reference_interpreter import Choices, Interpreter, Product
from tests.statement_machine import Machine, elaborated, shot

TURN = math.tau / 2**64  # a word of an angle
NATIVE = ("x", "sx", "h", "id")


class Whole(Product):
    """The unitary of a program, whose qubits are declared one after another."""

    def __init__(self) -> None:
        super().__init__(0)

    def grow(self, count: int) -> None:
        self.matrix = np.kron(self.matrix, np.eye(2 ** (count - self.count)))
        self.count = count


def wanted(text: str) -> Matrix:
    """What the standard says of a program of gates."""
    interpreter = Interpreter(openqasm3.parse(text), {}, Choices(()), {})
    interpreter.state = Whole()
    interpreter.run()
    return interpreter.state.matrix


def product(done: Iterable[tuple], count: int) -> Matrix:
    """What statements do: native gates, as (name, qubit), (name, qubit, angle) or ("cz", one, other)."""
    whole = np.eye(2**count, dtype=complex)
    for name, *rest in done:
        if name == "cz":
            matrix, places = GATES["cz"][1](), rest
        elif name in NATIVE:
            matrix, places = GATES[name][1](), rest[:1]
        else:
            angle = rest[1] * TURN if isinstance(rest[1], int) else rest[1]
            matrix, places = GATES[name][1](angle), rest[:1]
        whole = embedded(matrix, places, count) @ whole
    return whole


def same(one: Matrix, other: Matrix) -> bool:
    return bool(abs(abs(np.trace(one.conj().T @ other)) - len(one)) < 1e-8)


def coupled(done: Iterable[tuple]) -> int:
    return sum(one[0] == "cz" for one in done)


COUNTS = {
    "cx": 1, "CX": 1, "cy": 1, "cz": 1, "ch": 1, "swap": 3, "cp(0.7)": 2, "cphase(0.7)": 2, "cp(pi)": 1, "cp(0)": 0,
    "crx(0.7)": 2, "cry(-2.9)": 2, "crz(5.5)": 2, "cu(0.3, 0.5, 0.7, 1.1)": 2, "ccx": 6, "cswap": 8, "ctrl @ s": 2,
    "ctrl @ sx": 2, "negctrl @ x": 1, "inv @ ctrl @ t": 2, "ctrl @ inv @ sx": 2, "ctrl @ U(0.3, 0.5, 0.7)": 2,
    "ctrl @ u3(0.3, 0.5, 0.7)": 2, "ctrl @ u2(0.3, 0.7)": 2, "ctrl @ inv @ U(0.3, 0.5, 0.7)": 2,
    "inv @ ctrl @ u3(0.3, 0.5, 0.7)": 2, "inv @ ctrl @ u2(0.3, 0.7)": 2, "ctrl @ id": 0, "ctrl @ pow(0.5) @ x": 2,
    "pow(0.5) @ cx": 2, "ctrl @ pow(0.3) @ h": 6, "pow(-0.3) @ swap": 4, "pow(3) @ cp(0.4)": 2, "pow(2) @ swap": 6,
    "ctrl @ pow(1.7) @ t": 2, "ctrl @ pow(0.5) @ sdg": 2, "inv @ cu(0.3, 0.5, 0.7, 1.1)": 2, "ctrl(2) @ z": 6,
    "ctrl @ ctrl @ s": 6, "negctrl @ ctrl @ ry(0.9)": 4, "ctrl(2) @ U(0.3, 0.5, 0.7)": 14, "ctrl @ swap": 8,
    "ctrl @ cp(0.7)": 6, "ctrl @ negctrl @ gphase(0.7)": 2, "negctrl(2) @ gphase(pi)": 1,
    "ctrl @ cu(0.3, 0.5, 0.7, 1.1)": 16, "negctrl(3) @ x": 14, "ctrl @ pow(0.5) @ swap": 18,
}  # fmt: skip


@pytest.mark.parametrize("gate", COUNTS)
def test_gates_with_their_phases_and_how_many_cz_they_take(gate: str) -> None:
    name = gate.rsplit(" @ ", maxsplit=1)[-1].partition("(")[0]
    size = 0 if name == "gphase" else int(math.log2(len(GATES[name][1](*[0.1] * GATES[name][0]))))
    for modifier in gate.split(" @ ")[:-1]:
        kind, _, count = modifier.partition("(")
        size += int(count.rstrip(")") or 1) if kind in {"ctrl", "negctrl"} else 0
    places = random.Random(size).sample(range(4), size)
    text = f"qubit[4] q; {gate} {', '.join(f'q[{place}]' for place in places)};"
    done = shot(text).done
    assert same(product(done, 4), wanted(text))
    assert coupled(done) == COUNTS[gate]


def test_modifiers_of_definitions_keep_their_phases() -> None:
    text = """
    gate inner(t) a, b { s a; gphase(t / 3); inv @ crz(t) b, a; pow(0.5) @ x a; cu(t, 0.2, t / 2, 0.1) a, b; }
    gate outer(t) a, b, c { negctrl @ inner(2 * t) c, a, b; for int i in [1 : 2] { cp(i * t) a, c; } h b; }
    qubit[4] q;
    """
    for call in (
        "outer(0.4) q[2], q[0], q[1];",
        "ctrl @ outer(0.4) q[3], q[2], q[0], q[1];",
        "inv @ outer(0.4) q[2], q[0], q[1];",
        "negctrl @ inv @ pow(2) @ inner(-0.9) q[1], q[3], q[0];",
        "ctrl @ negctrl @ inner(0.3) q[1], q[2], q[3], q[0];",
        "pow(-2) @ ctrl @ inner(0.3) q[1], q[3], q[0];",
    ):
        assert same(product(shot(text + call).done, 4), wanted(text + call)), call


def test_registers_go_side_by_side() -> None:
    text = "qubit[2] q; qubit[2] r; h q; cx q, r; ctrl @ gphase(0.3) r; swap q[0], r; cz q, r[1];"
    assert same(product(shot(text.replace("swap q[0], r;", "").replace("cz q, r[1];", "")).done, 4),
                wanted("qubit[4] q; h q[0]; h q[1]; cx q[0], q[2]; cx q[1], q[3]; p(0.3) q[2]; p(0.3) q[3];"))  # fmt: skip
    with pytest.raises(Exception, match="stands twice"):
        shot("qubit[2] q; cx q, q[1];")


@pytest.mark.parametrize(
    "gate",
    ["crx(a)", "cry(a)", "crz(a)", "cp(a)", "cu(a, a, a, a)", "inv @ crz(a)", "inv @ crx(a)", "inv @ cry(a)", "ctrl @ u3(a, a, a)",
     "pow(3) @ crz(a)", "inv @ ctrl @ U(a, a, a)", "inv @ ctrl @ u2(a, a)", "inv @ ctrl @ u3(a, a, a)", "ctrl @ cry(a)"],
)  # fmt: skip
def test_angles_of_outcomes(gate: str) -> None:
    head = "qubit[4] q; bit[3] c; angle[3] a = 0;"
    rest = "c[0] = measure q[3]; c[1] = measure q[3]; c[2] = measure q[3]; a = c;"
    operands = "q[1], q[0], q[2]" if "ctrl @ cry" in gate else "q[1], q[0]"
    program = elaborated(f"{head} {rest} {gate} {operands};")
    for value in range(8):
        machine = Machine(program, [value >> k & 1 for k in range(3)])
        done = [one for one in machine.done if one[0] != "measure"]
        known = gate.replace("a)", f"{value * math.tau / 8!r})").replace("a,", f"{value * math.tau / 8!r},")
        assert same(product(done, 4), wanted(f"qubit[4] q; {known} {operands};")), value


def test_the_inverse_of_a_known_angle_is_not_taken_modulo_a_turn() -> None:
    for gate in ("pow(-1) @ cry(a)", "inv @ crz(a)", "pow(3) @ crx(a)", "inv @ ctrl @ u3(a, a, a)"):
        text = f"qubit[2] q; angle[16] a = 13 * pi / 8; {gate} q[0], q[1];"
        assert same(product(shot(text).done, 2), wanted(text)), gate


def test_random_circuits() -> None:
    rng = random.Random(20)
    names = sorted({*GATES} - {"u2", "id"})
    for _ in range(40):
        lines = ["qubit[4] q;"]
        for _ in range(12):
            name = rng.choice(names)
            angles, make = GATES[name]
            size = int(math.log2(len(make(*[0.1] * angles))))
            modifiers = rng.choice(["", "", "inv @ ", "ctrl @ ", "negctrl @ ", "pow(2) @ ", "inv @ ctrl @ "])
            size += "ctrl" in modifiers
            values = f"({', '.join(f'{rng.uniform(-6, 6):.3f}' for _ in range(angles))})" if angles else ""
            places = rng.sample(range(4), size)
            lines.append(f"{modifiers}{name}{values} {', '.join(f'q[{place}]' for place in places)};")
        text = "\n".join(lines)
        assert same(product(shot(text).done, 4), wanted(text)), text


def test_controls_of_the_reference_are_the_standard_s() -> None:
    """What both sides rest on: the first operand is the control, and ctrl keeps the phase of what it controls."""
    assert np.allclose(wanted("qubit[2] q; cx q[0], q[1];"), controlled(GATES["x"][1]()))
    assert np.allclose(wanted("qubit[2] q; ctrl @ gphase(0.3) q[1];"), np.diag(np.exp([0, 0.3j, 0, 0.3j])))
