"""The examples once more, built with oqpy: what a reader of examples/ would write in Python. Names and order are those of the texts."""

import oqpy
from oqpy.base import logical_and

import qrt

SECOND = oqpy.convert_float_to_duration(1.0)


def begun(*bits, qubits=("q",)):
    """Return a program, its qubits and its bits."""
    return qrt.Program(), *(oqpy.Qubit(name) for name in qubits), *(oqpy.BitVar(name=name) for name in bits)


def rabi():
    program, q, c = begun("c")
    theta, t = oqpy.FloatVar("input", "theta"), oqpy.DurationVar("input", "t")
    program.gate(q, "rx", theta)
    program.delay(t, q)
    program.measure(q, c)
    return program


def t1():
    program, q, c = begun("c")
    t = oqpy.DurationVar("input", "t")
    program.gate(q, "x")
    program.delay(t, q)
    program.measure(q, c)
    return program


def ramsey():
    program, q, c = begun("c")
    t, detuning_hz = oqpy.DurationVar("input", "t"), oqpy.FloatVar("input", "detuning_hz")
    program.gate(q, "sx")
    program.delay(t, q)
    program.gate(q, "rz", 2 * oqpy.pi * detuning_hz * (t / SECOND))
    program.gate(q, "sx")
    program.measure(q, c)
    return program


def echo():
    program, q, c = begun("c")
    half, detuning_hz = oqpy.DurationVar("input", "half"), oqpy.FloatVar("input", "detuning_hz")
    program.gate(q, "sx")
    for turn in ("x", "sx"):
        program.delay(half, q)
        program.gate(q, "rz", 2 * oqpy.pi * detuning_hz * (half / SECOND))
        program.gate(q, turn)
    program.measure(q, c)
    return program


def iq_clouds():
    program, q, c = begun("c")
    level = oqpy.IntVar("input", "level")
    with oqpy.If(program, level == 1):
        program.gate(q, "x")
    program.measure(q, c)
    return program


def active_reset():
    program, q, before, after = begun("before", "after")
    program.gate(q, "h")
    program.measure(q, before)
    with oqpy.If(program, before == 1):
        program.gate(q, "x")
    program.measure(q, after)
    return program


def track_frequency():
    program, q, c = begun("c")
    detuning_hz = oqpy.FloatVar("input", "detuning_hz")
    program.gate(q, "sx")
    program.delay(19963e-9, q)
    program.gate(q, "rz", -oqpy.pi / 2 - 2 * oqpy.pi * 20e-6 * detuning_hz)
    program.gate(q, "sx")
    program.measure(q, c)
    return program


def repeat_until_success():
    program, q = begun()
    found, tries = oqpy.BitVar(1, "found"), oqpy.IntVar("output", "tries", size=8)
    program.set(tries, 0)
    with oqpy.While(program, logical_and(found == 1, tries < 10)):
        program.gate(q, "h")
        program.measure(q, found)
        program.increment(tries, 1)
    return program


def conditional_phase():
    program, one, other, look, phase = begun("look", "phase", qubits=("one", "other"))
    theta = oqpy.FloatVar("input", "theta")
    program.declare([one, other])
    program.gate(one, "h")
    program.measure(one, look)
    program.gate(other, "sx")
    with oqpy.If(program, look == 1):
        program.gate(other, "rz", theta)
    program.gate(other, "sx")
    program.measure(other, phase)
    return program


def bell():
    program, one, other = begun(qubits=("one", "other"))
    a, b, seen = oqpy.FloatVar("input", "a"), oqpy.FloatVar("input", "b"), oqpy.BitVar(size=2, name="seen")
    program.declare([one, other])
    program.gate(one, "h")
    program.gate([one, other], "cx")
    program.gate(one, "ry", -a)
    program.gate(other, "ry", -b)
    program.measure(one, seen[0])
    program.measure(other, seen[1])
    return program


BUILDERS = {
    one.__name__: one
    for one in (
        rabi,
        t1,
        ramsey,
        echo,
        iq_clouds,
        active_reset,
        track_frequency,
        repeat_until_success,
        conditional_phase,
        bell,
    )
}
