"""What `[twin.parameters]` of a lab may hold, and its strict reading.

Only the twin reads these: the physics of each qubit and coupler, which of them a line leads to, the converter's noise scale, what
the port can do, and seeded faults. Names are SI with their unit at the end; rates are given divided by 2 pi, as papers
print them, and become angular when they enter the plant.

`Parameters` is an entry point of group `qrt.twin_parameters`: the host walks a lab file along these types and asks
`problems` for the rest, so that everything that is wrong with a lab is told in one list before anything is opened. What is
read here was checked there, or is refused as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Annotated

import msgspec

from qrt.errors import ConfigError, Problem, nearest
from qrt.firmware_sim.models import GROUP, models, settings
from qrt.firmware_sim.plant_config import COUPLERS_MAX, LINES_MAX, QUBITS_MAX
from qrt.types import SOME, Lab

PATH = ("twin", "parameters")
FEEDLINE = "feedline"

PERIOD_NS = (1e3, 1e9)  # of a trigger, as ffi/plant/trigger.c bounds it

Positive = Annotated[float, msgspec.Meta(gt=0.0)]
NonNegative = Annotated[float, msgspec.Meta(ge=0.0)]
Hertz = Annotated[float, msgspec.Meta(ge=1e6, le=40e9)]
Share = Annotated[float, msgspec.Meta(gt=0.0, le=1.0)]
Part = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
Small = Annotated[float, msgspec.Meta(ge=-0.5, le=0.5)]
Shift = Annotated[float, msgspec.Meta(ge=-1e12, le=1e12)]


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
    efficiency: Share  # part of the photons' information that reaches the converter
    thermal_population: Annotated[float, msgspec.Meta(ge=0.0, lt=0.5)] = 0.0
    output_phase_rad: float = 0.0
    # What moves from shot to shot, and stands still within one. A walk is Brownian: sigma after t seconds is the rate times sqrt(t).
    frequency_drift_hz_per_s: Annotated[float, msgspec.Meta(ge=-1e9, le=1e9)] = 0.0  # ramp of the 0-1 frequency
    frequency_walk_hz_per_root_s: Annotated[float, msgspec.Meta(ge=0.0, le=1e9)] = 0.0
    phase_walk_rad_per_root_s: Annotated[float, msgspec.Meta(ge=0.0, le=1e9)] = 0.0  # of the output phase


class Coupler(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Two qubits that a tone on the coupler's line couples while it is on; see qrt_plant_coupler in ffi/qrt_plant.h.

    The tone shifts a qubit's frequency by `stark_hz_per_v2` times the square of its envelope in volts, and by `zz_hz_per_v2` times the
    same more while the other qubit is in level 1.
    """

    qubits: tuple[str, str]
    zz_hz_per_v2: Shift
    stark_hz_per_v2: tuple[Shift, Shift] = (0.0, 0.0)  # of each of the two


class Wiring(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a line leads, to one of the two, and how bad its mixer is."""

    drives: str | None = None  # a qubit's name, or "feedline"
    couples: str | None = None  # a coupler's name
    gain_imbalance: Small = 0.0  # (g_Q - g_I) / mean
    skew_rad: Small = 0.0  # departure from 90 degrees
    leakage_v_i: Small = 0.0  # DC at the mixer's port, added to the instrument's own offset
    leakage_v_q: Small = 0.0
    swap_iq: bool = False  # a wiring fault: the two cables are exchanged


class Converter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The chain behind the feedline: amplifier gain and the ADC's resolution."""

    volts_per_root_photon_rate: Positive  # volts for sqrt(kappa eta)|alpha| of one sqrt(photon/s); sets the noise, too
    bits: Annotated[int, msgspec.Meta(ge=2, le=16)] = 14


class PortFaults(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What comes too late on the simulated fast path, as on a card with a clock of its own, for tests; the default is nothing.

    Which captures and plays are late is drawn from the seed, anew in every shot.
    """

    late_answers: Part = 0.0  # of the captures: their samples come after `port.answer_ns`
    late_answer_ns: Positive | None = None  # so long after they are first asked for; None: never
    late_decisions: Part = 0.0  # of what begins in a shot after an outcome of it: its tick has passed
    late_decision_ns: NonNegative = 1000.0  # by so much


class Port(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the simulated fast path can do; published latencies of real controllers can be set here."""

    feedback_latency_ns: NonNegative = 300.0
    granularity_ns: Positive | None = None  # None: one sample
    capture_samples_max: Annotated[int, msgspec.Meta(ge=1, le=65536)] = 8192
    answer_ns: Annotated[float, msgspec.Meta(gt=0.0, le=3.6e12)] = 1e6  # what it has for the samples of a capture
    faults: PortFaults = PortFaults()


class Trigger(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The hardware's own clock, which starts a shot every `timing.shot_period_ns` as it sees it: external pacing."""

    drift_ppm: Annotated[float, msgspec.Meta(ge=-1000.0, le=1000.0)] = (
        0.0  # its period is longer by this, by the host's clock
    )
    jitter_ns: NonNegative = 0.0  # each trigger is up to so much later, evenly; whole ns


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

    qubits: Annotated[Mapping[str, Transmon], SOME]
    lines: Annotated[Mapping[str, Wiring], SOME]
    adc: Converter
    couplers: Mapping[str, Coupler] = {}
    port: Port = Port()
    drift_interval_ns: NonNegative = (
        0.0  # what drifts in the qubits moves at the first shot of each such interval; 0: at every shot
    )
    trigger: Trigger | None = None  # None: shots are released by the host
    projective_exponent: Positive = 8.0  # a tone that dephases by more collapses: coherence left 3e-4
    negligible_exponent: NonNegative = 0.05  # a tone that dephases by less does not; between the two it is refused
    faults: Mapping[str, Faults] = {}

    def problems(self, lab: Lab) -> Iterator[Problem]:
        """Yield what is wrong between tables: names that do not meet, physics that cannot be, durations off the port's grid."""
        yield from self._names(lab)
        yield from self._wiring(lab)
        yield from self._physics()
        yield from self._instruments(lab)
        yield from self._grid(lab)
        yield from self._trigger(lab)

    def _names(self, lab: Lab) -> Iterator[Problem]:
        """Yield qubits and lines that the lab and the twin do not share, and more of them than the plant has room for."""
        for group, given, wanted, count_max in (
            ("qubits", self.qubits, lab.qubits, QUBITS_MAX),
            ("lines", self.lines, lab.lines, LINES_MAX),
        ):
            for name in wanted:
                if name not in given:
                    yield Problem((*PATH, group, name), f"missing; the lab has it in [{group}]")
            for name in given:
                if name not in wanted:
                    yield Problem((*PATH, group, name), f"not in the lab's [{group}]; {nearest(name, wanted)}")
            if len(given) > count_max:
                yield Problem((*PATH, group), f"{len(given)} are more than the plant's {count_max}")

    def _wiring(self, lab: Lab) -> Iterator[Problem]:
        """Yield lines that lead nowhere or to two places, and couplers of what is not there or that no line leads to."""
        for name, wiring in self.lines.items():
            path = (*PATH, "lines", name)
            if (wiring.drives is None) == (wiring.couples is None):
                yield Problem(path, 'leads to one place: `drives`, a qubit or "feedline", or `couples`, a coupler')
                continue
            key, wanted, allowed = (
                ("drives", wiring.drives, [FEEDLINE, *self.qubits])
                if wiring.couples is None
                else ("couples", wiring.couples, list(self.couplers))
            )
            if wanted not in allowed:
                yield Problem((*path, key), f"{wanted!r} is nothing to {key[:-1]}; {nearest(str(wanted), allowed)}")
        for name in lab.couplers:
            if name not in self.couplers:
                yield Problem((*PATH, "couplers", name), "missing; the lab has it in [couplers]")
        for name, coupler in self.couplers.items():
            path = (*PATH, "couplers", name)
            for qubit in coupler.qubits:
                if qubit not in self.qubits:
                    yield Problem(
                        (*path, "qubits"), f"{qubit!r} is no qubit of the twin; {nearest(qubit, self.qubits)}"
                    )
            if coupler.qubits[0] == coupler.qubits[1]:
                yield Problem((*path, "qubits"), f"{coupler.qubits[0]!r} twice; a coupler joins two qubits")
            if name not in [wiring.couples for wiring in self.lines.values()]:
                text = f'no line leads to it; add `couples = "{name}"` to one of [{".".join(PATH)}.lines]'
                yield Problem(path, text)
        if len(self.couplers) > COUPLERS_MAX:
            yield Problem((*PATH, "couplers"), f"{len(self.couplers)} are more than the plant's {COUPLERS_MAX}")

    def _physics(self) -> Iterator[Problem]:
        """Yield numbers that contradict one another."""
        for name, qubit in self.qubits.items():
            if qubit.t2_s > 2 * qubit.t1_s:
                yield Problem(
                    (*PATH, "qubits", name, "t2_s"),
                    f"{qubit.t2_s:g} is above 2 t1_s; allowed: up to {2 * qubit.t1_s:g} s",
                )
        low, high = self.negligible_exponent, self.projective_exponent
        if low >= high:
            yield Problem(
                (*PATH, "negligible_exponent"), f"{low:g} is not below projective_exponent, which is {high:g}"
            )

    def _instruments(self, lab: Lab) -> Iterator[Problem]:
        """Yield instruments that have no simulated model, and faults of what is not there."""
        known_models = models()
        for name, instrument in lab.instruments.items():
            if instrument.driver not in known_models:
                near = nearest(instrument.driver, known_models)
                text = f"{instrument.driver!r} has no simulated model; {near} (entry points of group {GROUP})"
                yield Problem(("instruments", name, "driver"), text)
        for name, faults in self.faults.items():
            path = (*PATH, "faults", name)
            if name not in lab.instruments:
                yield Problem(path, f"no such instrument; {nearest(name, lab.instruments)}")
            elif (model := known_models.get(lab.instruments[name].driver)) is not None:
                known = settings(model)
                for key in faults.clamp:
                    if key not in known:
                        yield Problem((*path, "clamp", key), f"no such setting; {nearest(key, known)}")

    def _trigger(self, lab: Lab) -> Iterator[Problem]:
        """Yield what external pacing lacks, and a trigger that could not be; other pacings have none."""
        trigger, period_ns = self.trigger, lab.timing.shot_period_ns
        if lab.timing.pacing != "external":
            return
        if trigger is None:
            text = "'external' needs a trigger; add [twin.parameters.trigger], or choose virtual or real"
            yield Problem(("timing", "pacing"), text)
            return
        path = (*PATH, "trigger")
        if trigger.jitter_ns != int(trigger.jitter_ns) or trigger.jitter_ns >= period_ns * (1 - 1e-3) / 2:
            text = (
                f"{trigger.jitter_ns:g} is not a whole number of ns below half of timing.shot_period_ns = {period_ns:g}"
            )
            yield Problem((*path, "jitter_ns"), text)
        if not PERIOD_NS[0] <= period_ns * (1 + trigger.drift_ppm * 1e-6) <= PERIOD_NS[1]:
            text = f"a trigger comes every {PERIOD_NS[0]:g} to {PERIOD_NS[1]:g} ns, not every {period_ns:g} (timing.shot_period_ns)"
            yield Problem(path, text)

    def _grid(self, lab: Lab) -> Iterator[Problem]:
        """Yield durations of the port that are no whole ticks, or samples, and those of qubits that its granularity does not fit."""
        tick_ns = Fraction(lab.timing.tick_ps, 1000)
        wanted: list[tuple[tuple[str, ...], float, Fraction, str]] = [
            ((*PATH, "port", "feedback_latency_ns"), self.port.feedback_latency_ns, tick_ns, "timing.tick_ps"),
            ((*PATH, "drift_interval_ns"), self.drift_interval_ns, tick_ns, "timing.tick_ps"),
        ]
        if self.port.granularity_ns is not None:
            sample_ns, words = tick_ns * lab.timing.sample_ticks, "timing.tick_ps x timing.sample_ticks"
            wanted.append(((*PATH, "port", "granularity_ns"), self.port.granularity_ns, sample_ns, words))
            grid_ns, words = _exact(self.port.granularity_ns), "twin.parameters.port.granularity_ns"
            for name, qubit in lab.qubits.items():
                path = ("qubits", name)
                wanted += [
                    ((*path, "pulse_ns"), qubit.pulse_ns, grid_ns, words),
                    ((*path, "readout", "duration_ns"), qubit.readout.duration_ns, grid_ns, words),
                    ((*path, "readout", "depletion_ns"), qubit.readout.depletion_ns, grid_ns, words),
                ]
        for place, value, step_ns, words in wanted:
            below = _exact(value) // step_ns * step_ns
            if below != _exact(value):
                may_be_zero = place[-1] in {"depletion_ns", "feedback_latency_ns", "drift_interval_ns"}
                near = [f"{float(one):.12g}" for one in (below, below + step_ns) if one or may_be_zero]
                text = f"{value:.12g} is not a whole multiple of {float(step_ns):.12g} ns ({words})"
                yield Problem(place, f"{text}; nearest: {' and '.join(near)}")


def read_parameters(lab: Lab) -> Parameters:
    """Return the twin's parameters. Raises ConfigError for a lab that was made in Python and not checked, if it does not hold."""
    assert lab.twin is not None
    try:
        parameters = msgspec.convert(lab.twin.parameters, Parameters)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{'.'.join(PATH)}: {error}") from error
    problems = [f"{'.'.join(one.path)}: {one.text}" for one in parameters.problems(lab)]
    if problems:
        raise ConfigError("\n".join(problems))
    return parameters


def _exact(value: float) -> Fraction:
    """Return a TOML number as the decimal that it prints as."""
    return Fraction(repr(value))
