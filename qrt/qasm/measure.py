"""Measurements: into bits of the program, or into a bit of their own where the outcome goes elsewhere."""

from __future__ import annotations

from openqasm3 import ast

from qrt.qasm.context import Run
from qrt.qasm.indices import indexed
from qrt.qasm.kinds import BIT, Type, Typed
from qrt.qasm.program import Measurement
from qrt.qasm.quantum import indices, qubits
from qrt.qasm.runtime import bits_word
from qrt.qasm.scope import BitRegister, Cell


def bits(run: Run, node: ast.QASMNode) -> BitRegister:
    """Return the bits that a target names."""
    match node:
        case ast.Identifier(name=name):
            found: BitRegister = run.find(node, name, "bit", (BitRegister,))
            return found
        case ast.IndexedIdentifier(name=ast.Identifier(name=name), indices=indices):
            register: BitRegister = run.find(node, name, "bit", (BitRegister,))
            for index in indices:
                register = indexed(run, node, register, index, name)
            return register
    raise run.refuse(node, "a bit, a register of bits, or a part of one such as c[0] is needed here")


def measure(run: Run, node: ast.QASMNode, measure_: ast.QuantumMeasurement, register: BitRegister | None) -> None:
    """Pair qubits with bits; without bits, the outcomes are for the record alone."""
    measured_ = indices(run, measure_.qubit)
    if register is None:
        for index in measured_:
            _one(run, node, index, None)
        return
    if len(register.cells) != len(measured_):
        raise run.refuse(node, f"{len(measured_)} qubits are measured into {len(register.cells)} bits")
    for index, cell in zip(measured_, register.cells, strict=True):
        _one(run, node, index, cell)


def _one(run: Run, node: ast.QASMNode, index: int, cell: Cell | None) -> None:
    """Measure one qubit; a program with pulses may say how."""
    if run.pulsing is not None:
        run.pulsing.measure(run, node, index, None if cell is None else BitRegister((cell,), sized=False))
    else:
        run.add(Measurement(index, None if cell is None else run.outcome_bit(cell), run.source(node)))


def measured(run: Run, node: ast.QuantumMeasurement) -> Typed:
    """Return the outcomes of a measurement as a value, in bits that live as long as the block."""
    found = qubits(run, node.qubit)
    register = run.new_bits("measured", len(found.indices) if found.sized else None)
    measure(run, node, node, register)
    type_ = Type("bit", len(register.cells)) if register.sized else BIT
    return Typed(type_, bits_word([cell.value for cell in register.cells]))
