"""What `[twin.parameters]` of a lab may hold, and its strict reading.

Only the twin reads these: the physics of each qubit, which qubit a line drives, the converter's noise scale, what the
port can do, and seeded faults. Names are SI with their unit at the end; rates are given divided by 2 pi, as papers
print them, and become angular when they enter the plant. Reading collects every problem with its TOML path before it
raises, as the host's own configuration does: nothing is opened on a lab that does not hold.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from qrt.errors import ConfigError
from qrt.types import Lab

PATH = "twin.parameters"
FEEDLINE = "feedline"
QUBITS_MAX = 4  # QRT_PLANT_QUBITS_MAX
LINES_MAX = 8  # QRT_PLANT_LINES_MAX

Positive = Annotated[float, msgspec.Meta(gt=0.0)]
NonNegative = Annotated[float, msgspec.Meta(ge=0.0)]
Hertz = Annotated[float, msgspec.Meta(ge=1e6, le=40e9)]
Fraction = Annotated[float, msgspec.Meta(gt=0.0, le=1.0)]
Small = Annotated[float, msgspec.Meta(ge=-0.5, le=0.5)]


class Transmon(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One transmon with its readout resonator, as it really is: the lab's nominal values may be off."""

    frequency_hz: Hertz  # 0-1 transition, resonator empty
    t1_s: Positive
    t2_s: Positive  # Ramsey, resonator empty; at most 2 T1
    rabi_hz_per_v: Positive  # Rabi frequency for one volt of resonant tone at the line's output, source at 10 dBm
    resonator_hz: Hertz  # midway between the two pulled resonances
    kappa_hz: Positive  # energy decay rate / 2 pi
    chi_hz: Annotated[float, msgspec.Meta(ge=-1e8, le=1e8)]  # / 2 pi; pulled by -chi in level 0, +chi in level 1
    readout_hz_per_v: Positive  # drive of the resonator / 2 pi, for one volt on the feedline
    efficiency: Fraction  # part of the photons' information that reaches the converter
    thermal_population: Annotated[float, msgspec.Meta(ge=0.0, lt=0.5)] = 0.0
    output_phase_rad: float = 0.0


class Wiring(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a line leads, and how bad its mixer is."""

    drives: str  # a qubit's name, or "feedline"
    gain_imbalance: Small = 0.0  # (g_Q - g_I) / mean
    skew_rad: Small = 0.0  # departure from 90 degrees
    leakage_v_i: Small = 0.0  # DC at the mixer's port, added to the instrument's own offset
    leakage_v_q: Small = 0.0
    swap_iq: bool = False  # a wiring fault: the two cables are exchanged


class Converter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The chain behind the feedline: amplifier gain and the ADC's resolution."""

    volts_per_root_photon_rate: Positive  # volts for sqrt(kappa eta)|alpha| of one sqrt(photon/s); sets the noise, too
    bits: Annotated[int, msgspec.Meta(ge=2, le=16)] = 14


class Port(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the simulated fast path can do; published latencies of real controllers can be set here."""

    feedback_latency_ns: NonNegative = 300.0
    granularity_ns: Positive = 1.0
    capture_samples_max: Annotated[int, msgspec.Meta(ge=1, le=65536)] = 8192


class Faults(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is wrong with one simulated instrument, for tests; the default is nothing."""

    absent: bool = False  # nothing at its address
    silent_after: Annotated[int, msgspec.Meta(ge=0)] | None = None  # answers so many queries, then none
    late_s: NonNegative = 0.0  # each reply comes this much later
    late_after: Annotated[int, msgspec.Meta(ge=0)] = 0  # but not before so many were in time
    late_count: Annotated[int, msgspec.Meta(ge=0)] = 1  # so many replies are late, then none
    garbage: bool = False  # replies are bytes without meaning
    half_block: bool = False  # sends half of a block and nothing more
    corrupt_block: bool = False  # flips a bit in each block that it stores
    idn: str | None = None  # answers *IDN? with this
    refuses_off: bool = False  # OUTPut 0 is an error, and the output is on, after *RST as well
    ignores_off: bool = False  # OUTPut 0 is accepted, and the output stays on; *RST helps
    starts_on: bool = False  # its outputs are on when it is opened
    clamp: Mapping[str, float] = {}  # setting -> value above which it silently stays


class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of `[twin.parameters]`."""

    qubits: Mapping[str, Transmon]
    lines: Mapping[str, Wiring]
    adc: Converter
    port: Port = Port()
    projective_exponent: Positive = 8.0  # a tone that dephases by more collapses: coherence left 3e-4
    negligible_exponent: NonNegative = 0.05  # a tone that dephases by less does not; between the two it is refused
    faults: Mapping[str, Faults] = {}


# Tables inside [twin.parameters]: the struct of each, and whether there is one for every name.
TABLES: dict[str, tuple[type[msgspec.Struct], bool]] = {
    "qubits": (Transmon, True),
    "lines": (Wiring, True),
    "adc": (Converter, False),
    "port": (Port, False),
    "faults": (Faults, True),
}


def read_parameters(lab: Lab) -> Parameters:
    """Return the twin's parameters. Raises ConfigError with every problem, one a line."""
    assert lab.twin is not None
    problems = _struct_problems(PATH, Parameters, lab.twin.parameters)
    parameters = None
    if not problems:
        parameters = msgspec.convert(lab.twin.parameters, Parameters)
        problems = list(_cross_problems(lab, parameters))
    if problems or parameters is None:
        raise ConfigError("\n".join(problems))
    return parameters


def _struct_problems(path: str, kind: type[msgspec.Struct], given: Any) -> list[str]:
    """Return what is wrong with the fields of one table and of those inside it, each with its path."""
    if not isinstance(given, dict):
        return [f"{path}: {given!r} is not a table of {', '.join(kind.__struct_fields__)}"]
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    problems = []
    for name in given:
        if name not in fields:
            near = difflib.get_close_matches(str(name), fields, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"allowed: {', '.join(fields)}"
            problems.append(f"{path}.{name}: unknown key; {hint}")
    for name, field in fields.items():
        if name not in given:
            if field.required:
                problems.append(f"{path}.{name}: missing")
            continue
        problems += _field_problems(f"{path}.{name}", kind, field, given[name])
    return problems


def _field_problems(path: str, kind: type[msgspec.Struct], field: Any, value: Any) -> list[str]:
    """Return what is wrong with one field; tables inside are looked into, so that every problem has its own path."""
    if kind is Parameters and field.name in TABLES:
        inner, named = TABLES[field.name]
        if not named:
            return _struct_problems(path, inner, value)
        if not isinstance(value, dict):
            return [f"{path}: {value!r} is not a table of tables"]
        return [line for key, table in value.items() for line in _struct_problems(f"{path}.{key}", inner, table)]
    try:
        msgspec.convert(value, field.type)
    except msgspec.ValidationError as error:
        return [f"{path}: {value!r}: {error}"]
    return []


def _cross_problems(lab: Lab, parameters: Parameters) -> list[str]:
    """Return what is wrong between tables: names that do not meet, and physics that cannot be."""
    problems = []
    groups = (("qubits", parameters.qubits, lab.qubits), ("lines", parameters.lines, lab.lines))
    for group, given, wanted in groups:
        problems += [
            f"{PATH}.{group}.{name}: missing; the lab has it in [{group}]" for name in wanted if name not in given
        ]
        problems += [
            f"{PATH}.{group}.{name}: not in the lab's [{group}]; there are {', '.join(wanted)}"
            for name in given
            if name not in wanted
        ]
    for name, wiring in parameters.lines.items():
        allowed = [FEEDLINE, *parameters.qubits]
        if wiring.drives not in allowed:
            problems.append(f"{PATH}.lines.{name}.drives: {wiring.drives!r} is not one of {', '.join(allowed)}")
    for name, qubit in parameters.qubits.items():
        if qubit.t2_s > 2 * qubit.t1_s:
            problems.append(f"{PATH}.qubits.{name}.t2_s: {qubit.t2_s:g} is above 2 t1_s = {2 * qubit.t1_s:g}")
    if parameters.negligible_exponent >= parameters.projective_exponent:
        problems.append(
            f"{PATH}.negligible_exponent: {parameters.negligible_exponent:g} is not below projective_exponent"
        )
    problems += [
        f"{PATH}.faults.{name}: no such instrument; there are {', '.join(lab.instruments)}"
        for name in parameters.faults
        if name not in lab.instruments
    ]
    problems += _port_problems(lab, parameters.port)
    for group, table, count_max in (("qubits", parameters.qubits, QUBITS_MAX), ("lines", parameters.lines, LINES_MAX)):
        if len(table) > count_max:
            problems.append(f"{PATH}.{group}: {len(table)} are more than the plant's {count_max}")
    return problems


def _port_problems(lab: Lab, port: Port) -> list[str]:
    """Return which durations of the port are no whole number of ticks, or of samples where it must be."""
    tick_ns = lab.timing.tick_ps / 1000
    steps = (
        ("feedback_latency_ns", port.feedback_latency_ns, tick_ns),
        ("granularity_ns", port.granularity_ns, tick_ns * lab.timing.sample_ticks),
    )
    return [
        f"{PATH}.port.{name}: {value:g} is not a whole multiple of {step:g} ns"
        for name, value, step in steps
        if abs(value / step - round(value / step)) > 1e-9
    ]
