"""A plant's configuration, in SI, and the checks that name what is wrong with it. Pure: the C structs are plant.py's.

Signs and units are those of ffi/qrt_plant.h. The C code checks once more what it is given (ffi/plant/config.c); here each fault has
its path, its value and what is allowed, and all of them come together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

QUBITS_MAX = 4  # QRT_PLANT_QUBITS_MAX
COUPLERS_MAX = 6  # QRT_PLANT_COUPLERS_MAX
LINES_MAX = 11  # QRT_PLANT_LINES_MAX


@dataclass(frozen=True)
class QubitConfig:
    """A transmon with its readout resonator. SI units; angular frequencies and rates in rad/s."""

    frequency_hz: float
    t1_s: float
    t2_s: float
    thermal_population: float
    drive_rad_per_s_per_v: float
    resonator_hz: float
    kappa_rad_per_s: float
    chi_rad_per_s: float
    readout_rad_per_s_per_v: float
    efficiency: float
    output_phase_rad: float = 0.0
    frequency_drift_hz_per_s: float = 0.0  # what moves from shot to shot, and stands still within one
    frequency_walk_hz_per_root_s: float = 0.0
    phase_walk_rad_per_root_s: float = 0.0


@dataclass(frozen=True)
class LineConfig:
    """An I+Q pair of DAC channels, an upper-sideband mixer and its source: of a qubit, of a coupler, or of neither, the feedline."""

    qubit: int | None
    source_hz: float
    volts_per_count_i: float
    volts_per_count_q: float
    output_on: bool = True
    offset_v_i: float = 0.0
    offset_v_q: float = 0.0
    gain_imbalance: float = 0.0
    skew_rad: float = 0.0
    swap_iq: bool = False
    coupler: int | None = None


@dataclass(frozen=True)
class CouplerConfig:
    """Two qubits (indices a, b) that a tone on the coupler's line couples: frequency shifts by the square of its envelope in volts.

    H / h = |V|^2 (zz |11><11| + stark_a |1><1|_a + stark_b |1><1|_b)
    """

    qubits: tuple[int, int]
    zz_hz_per_v2: float
    stark_hz_per_v2: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class AdcConfig:
    """The real ADC on the feedline's output. `volts_per_sqrt_hz_root` is the gain of the amplifier chain."""

    volts_per_count: float
    volts_per_sqrt_hz_root: float
    bits: int = 12
    input_on: bool = True


# Magnitudes beyond which the C code's own assertions would end the process: far beyond any hardware.
QUBIT_LARGEST = {
    "frequency_hz": 1e13,
    "drive_rad_per_s_per_v": 1e12,
    "resonator_hz": 1e13,
    "kappa_rad_per_s": 1e12,
    "chi_rad_per_s": 1e12,
    "readout_rad_per_s_per_v": 1e12,
    "output_phase_rad": 1e6,
    "frequency_drift_hz_per_s": 1e9,
}
QUBIT_RATES = ("frequency_walk_hz_per_root_s", "phase_walk_rad_per_root_s")
LINE_LARGEST = {
    "source_hz": 1e13,
    "volts_per_count_i": 1e-2,
    "volts_per_count_q": 1e-2,
    "offset_v_i": 1e2,
    "offset_v_q": 1e2,
    "gain_imbalance": 1e2,
    "skew_rad": 1e6,
}


@dataclass(frozen=True)
class PlantConfig:
    """The whole plant. Counts bound the lent memory; thresholds are dephasing exponents of one readout tone."""

    qubits: tuple[QubitConfig, ...]
    lines: tuple[LineConfig, ...]
    adc: AdcConfig
    tick_ps: int = 1000
    sample_ticks: int = 1
    feedback_latency_ticks: int = 0
    granularity_ticks: int = 1
    drift_interval_ticks: int = 0  # what drifts moves at the first shot of each such interval; 0: at every shot
    trigger_period_fs: int = 0  # by the host's clock; 0: no trigger of the hardware's own starts the shots
    trigger_jitter_ns: int = 0  # each is up to so much later, evenly
    answer_ns_max: int = 0  # what the port has for the samples of a capture; needed with late ones only
    late_answer_share: int = 0  # of 2^32: of the captures, whose samples come late ...
    late_answer_ns: int = 0  # ... by this, by the host's clock, from the first question; 0: never
    late_decision_share: int = 0  # of 2^32: of the plays and captures after an outcome
    late_decision_ns: int = 0
    capture_samples_max: int = 16384
    segment_count_max: int = 256
    segment_samples_max: int = 131072
    tone_samples_max: int = 4096
    response_count_max: int = 24
    projective_exponent: float = 8.0
    negligible_exponent: float = 0.05
    couplers: tuple[CouplerConfig, ...] = ()


def problems(config: PlantConfig) -> list[str]:
    """Return what is wrong, one sentence each: path, value, allowed set."""
    found: list[str] = []

    def check(path: str, value: object, allowed: str, *, holds: bool) -> None:
        if not holds:
            found.append(f"{path} = {value!r}: must be {allowed}")

    check("qubits", len(config.qubits), f"1 to {QUBITS_MAX} of them", holds=1 <= len(config.qubits) <= QUBITS_MAX)
    check("lines", len(config.lines), f"at most {LINES_MAX} of them", holds=len(config.lines) <= LINES_MAX)
    for index, qubit in enumerate(config.qubits):
        path = f"qubits[{index}]."
        check(path + "t1_s", qubit.t1_s, "positive", holds=qubit.t1_s > 0)
        check(
            path + "t2_s", qubit.t2_s, "positive, at most 2 t1_s", holds=0 < qubit.t2_s <= 2 * qubit.t1_s * (1 + 1e-9)
        )
        check(
            path + "thermal_population", qubit.thermal_population, "in [0, 1]", holds=0 <= qubit.thermal_population <= 1
        )
        check(path + "efficiency", qubit.efficiency, "in [0, 1]", holds=0 <= qubit.efficiency <= 1)
        check(path + "kappa_rad_per_s", qubit.kappa_rad_per_s, "positive", holds=0 < qubit.kappa_rad_per_s < inf)
        for name, largest in QUBIT_LARGEST.items():
            check(
                path + name, getattr(qubit, name), f"within +-{largest:g}", holds=abs(getattr(qubit, name)) <= largest
            )
        for name in QUBIT_RATES:
            check(path + name, getattr(qubit, name), "in [0, 1e9]", holds=0 <= getattr(qubit, name) <= 1e9)
    _check_wiring(config, check)
    interval = config.drift_interval_ticks
    check("drift_interval_ticks", interval, "0 or more", holds=interval >= 0)
    check("adc.bits", config.adc.bits, "2 to 16", holds=2 <= config.adc.bits <= 16)
    check("adc.volts_per_count", config.adc.volts_per_count, "positive", holds=config.adc.volts_per_count > 0)
    gain = config.adc.volts_per_sqrt_hz_root
    check("adc.volts_per_sqrt_hz_root", gain, "within +-1e3", holds=abs(gain) <= 1e3)
    for name in ("late_answer_share", "late_decision_share"):
        share = getattr(config, name)
        check(name, share, "0 to 2^32 - 1", holds=0 <= share < 1 << 32)
    needs = config.late_answer_share > 0
    check("answer_ns_max", config.answer_ns_max, "positive with late answers", holds=config.answer_ns_max >= needs)
    for name in ("late_answer_ns", "late_decision_ns"):
        check(name, getattr(config, name), "0 or more", holds=getattr(config, name) >= 0)
    check("response_count_max", config.response_count_max, "17 to 64", holds=17 <= config.response_count_max <= 64)
    whole = (
        config.sample_ticks > 0 and config.granularity_ticks > 0 and config.granularity_ticks % config.sample_ticks == 0
    )
    check(
        "granularity_ticks",
        config.granularity_ticks,
        f"a multiple of sample_ticks = {config.sample_ticks}",
        holds=whole,
    )
    period, jitter = config.trigger_period_fs, config.trigger_jitter_ns
    check("trigger_period_fs", period, "0, or 10^9 to 10^15", holds=period == 0 or 10**9 <= period <= 10**15)
    check(
        "trigger_jitter_ns", jitter, "below half of the period", holds=jitter == 0 or 0 < jitter < period // 10**6 // 2
    )
    return found


def _check_wiring(config: PlantConfig, check: Callable[..., None]) -> None:
    """Check where lines lead and what couplers join, with the function of `problems`."""
    leads = [(line.qubit, line.coupler) for line in config.lines]
    for index, line in enumerate(config.lines):
        known = line.qubit is None or 0 <= line.qubit < len(config.qubits)
        check(f"lines[{index}].qubit", line.qubit, f"None or 0 to {len(config.qubits) - 1}", holds=known)
        known = line.coupler is None or (line.qubit is None and 0 <= line.coupler < len(config.couplers))
        allowed = f"None or, without a qubit, 0 to {len(config.couplers) - 1}"
        check(f"lines[{index}].coupler", line.coupler, allowed, holds=known)
        lead = leads[index]
        check(f"lines[{index}]: (qubit, coupler)", lead, "on one line only", holds=leads.count(lead) == 1)
        for name, largest in LINE_LARGEST.items():
            value = getattr(line, name)
            check(f"lines[{index}].{name}", value, f"within +-{largest:g}", holds=abs(value) <= largest)
    count = len(config.couplers)
    check("couplers", count, f"at most {COUPLERS_MAX} of them", holds=count <= COUPLERS_MAX)
    for index, coupler in enumerate(config.couplers):
        a, b = coupler.qubits
        pair = a != b and all(0 <= one < len(config.qubits) for one in (a, b))
        check(f"couplers[{index}].qubits", (a, b), f"two of 0 to {len(config.qubits) - 1}", holds=pair)
        shifts = (coupler.zz_hz_per_v2, *coupler.stark_hz_per_v2)
        check(
            f"couplers[{index}]: (zz, stark, stark)", shifts, "within +-1e12", holds=all(abs(x) <= 1e12 for x in shifts)
        )
