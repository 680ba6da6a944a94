"""Values that a caller gives for a program's inputs, checked along their types and exact as the decimals that they print as."""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Mapping
from fractions import Fraction

from qrt.errors import ProgramError
from qrt.qasm.expressions import Duration, Exact, Value
from qrt.qasm.program import Program

WHOLE = {"int": "a whole number", "uint": "a whole number, at least 0", "bool": "0 or 1", "bit": "0 or 1"}


def input_values(program: Program, inputs: Mapping[str, float], varied: Collection[str] = ()) -> dict[str, Value]:
    """Return the values of the inputs that are not varied; of a duration in seconds. Raises ProgramError for wrong and absent ones."""
    declared = {one.name: one for one in program.inputs}
    for name in (*inputs, *varied):
        if name not in declared:
            near = difflib.get_close_matches(name, declared, 1)
            hint = f"did you mean {near[0]}?" if near else f"its inputs: {', '.join(declared) or 'none'}"
            raise ProgramError(f"{program.path}:1:1: the program has no input {name!r}; {hint}")
    values: dict[str, Value] = {}
    for name, one in declared.items():
        if name in varied:
            continue
        if name not in inputs:
            form = f"--input {name}=100e-9, in seconds" if one.kind == "duration" else f"--input {name}=1.5"
            raise ProgramError(
                f"{one.source.where}input {name!r} has no value; give one for each of: {', '.join(declared)} ({form}; or a --sweep)"
            )
        value = inputs[name]
        truth = isinstance(value, bool) and one.kind in {"bool", "bit"}
        if (isinstance(value, bool) and not truth) or not math.isfinite(value):
            raise ProgramError(f"{one.source.where}input {name!r} is {value}; a finite number is needed")
        whole = value == int(value)
        wrong = (one.kind == "uint" and value < 0) or (one.kind in {"bool", "bit"} and value not in {0, 1})
        if one.kind in WHOLE and (wrong or not whole):
            raise ProgramError(f"{one.source.where}input {name!r} is {value}; {one.kind} is {WHOLE[one.kind]}")
        exact = Fraction(value) if isinstance(value, int) else Fraction(repr(float(value)))
        values[name] = Duration(exact) if one.kind == "duration" else Exact(exact)
    return values
