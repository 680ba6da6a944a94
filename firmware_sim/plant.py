"""The plant's Python face: configuration in SI, lent memory, the port's address, truth, state.

The physics is in C (ffi/plant); here are only the conversions to its structs and the checks that name what is wrong. Signs and
units are those of ffi/qrt_plant.h. A plant is single-threaded: while a kernel plays on its port, nothing else may call it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qrt.errors import BugError, ConfigError, MachineError
from qrt.firmware_sim._plant import ffi, lib
from qrt.units import TURN, amplitude_word, frequency_word, phase_word

_ffi: Any = ffi
_lib: Any = lib

QUBITS_MAX = 4
COUPLERS_MAX = 6
LINES_MAX = 11
TONES_MAX = 64

PATH_DTYPE = np.dtype([("shot", "<i8"), ("tick", "<i8"), ("population", "<f8"), ("qubit", "<i4"), ("level", "<i4")])
"""One entry of the state path, as qrt_plant_path: a projective tone's start or a jump; `level` is the one after."""


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


@dataclass(frozen=True)
class Truth:
    """What the plant knows and the runtime must not.

    `population_sum[q, k]`, float64, and `shot_count[q, k]`, int64, shape [qubits, 64]: population of level 1 at the start of the
    k-th projective tone of a shot on qubit q, summed over the shots that had one. The counts are samples, jumps and responses.
    """

    population_sum: NDArray[np.float64]
    shot_count: NDArray[np.int64]
    dac_clip_count: int
    adc_clip_count: int
    jump_count: int
    response_miss_count: int


@dataclass(frozen=True)
class Peek:
    """One qubit at one tick: Bloch vector in the frame at the configured f_qubit, level 0 at z = +1; the fields if in level 0 and 1."""

    x: float
    y: float
    z: float
    fields: tuple[complex, complex]


def _problems(config: PlantConfig) -> list[str]:
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
    """Check where lines lead and what couplers join, with the function of `_problems`."""
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


def _fill(config: PlantConfig) -> Any:
    """Return the C struct. Owned by Python; the plant copies it."""
    struct = _ffi.new("qrt_plant_config *")
    struct.abi = _lib.QRT_PLANT_ABI
    struct.size = _ffi.sizeof("qrt_plant_config")
    struct.qubit_count = len(config.qubits)
    struct.line_count = len(config.lines)
    struct.coupler_count = len(config.couplers)
    for name in (
        "tick_ps",
        "sample_ticks",
        "feedback_latency_ticks",
        "granularity_ticks",
        "drift_interval_ticks",
        "trigger_period_fs",
        "trigger_jitter_ns",
        "answer_ns_max",
        "capture_samples_max",
        "segment_count_max",
        "segment_samples_max",
        "tone_samples_max",
        "response_count_max",
        "projective_exponent",
        "negligible_exponent",
    ):
        setattr(struct, name, getattr(config, name))
    for index, qubit in enumerate(config.qubits):
        for name in QubitConfig.__dataclass_fields__:
            setattr(struct.qubits[index], name, getattr(qubit, name))
    for index, line in enumerate(config.lines):
        for name in LineConfig.__dataclass_fields__:
            value = getattr(line, name)
            setattr(struct.lines[index], name, -1 if value is None else value)
    for index, coupler in enumerate(config.couplers):
        for name in CouplerConfig.__dataclass_fields__:
            setattr(struct.couplers[index], name, getattr(coupler, name))
    struct.faults.answer_share, struct.faults.answer_ns = config.late_answer_share, config.late_answer_ns
    struct.faults.decision_share, struct.faults.decision_ns = config.late_decision_share, config.late_decision_ns
    for name in AdcConfig.__dataclass_fields__:
        setattr(struct.adc, name, getattr(config.adc, name))
    return struct


def _status_name(status: int) -> str:
    name: str = _ffi.string(_ffi.cast("qrt_status", status)) if status else "0"
    return name


def _must(status: int, what: str) -> None:
    """Raise BugError unless `status` is QRT_OK: a check in Python should have come first."""
    if status != _lib.QRT_OK:
        raise BugError(f"{what}: {_status_name(status)} ({status})")


class Port:
    """The plant's port: `address` of a qrt_port for the kernel, and its properties. Valid as long as the plant lives.

    The methods call the port's functions as the kernel would, through the same pointers, one at a time: for tests and for a
    look by hand. Each raises BugError with the status if it is not QRT_OK.
    """

    def __init__(self, plant: Plant) -> None:
        self._plant = plant
        self._struct = _ffi.new("qrt_port *")
        _must(_lib.qrt_plant_port(plant.handle, self._struct), "qrt_plant_port")

    def begin_shot(self, shot: int, tick: int) -> None:
        """Begin shot `shot` at `tick`, counted from the run's start like all ticks here."""
        _must(self._struct.begin_shot(self._struct.self, shot, tick), f"begin_shot({shot}, {tick})")

    def play(
        self, line: int, segment: int, tick: int, *, amplitude: float = 1.0, frequency: float = 0.0, phase: float = 0.0
    ) -> None:
        """Play a segment: `amplitude` in [-1, 1], NCO `frequency` in Hz, NCO `phase` at `tick` in rad."""
        struct = _ffi.new("qrt_play *")
        struct.tick, struct.line, struct.segment = tick, line, segment
        struct.amplitude = amplitude_word(amplitude)
        struct.frequency = frequency_word(frequency, self._plant.config.tick_ps)
        struct.phase = phase_word(phase) % TURN
        _must(self._struct.play(self._struct.self, struct), f"play(line={line}, segment={segment}, tick={tick})")

    def capture_begin(self, tick: int, sample_count: int, slot: int = 0) -> None:
        """Announce a capture of `sample_count` samples from `tick`."""
        struct = _ffi.new("qrt_capture *", (tick, sample_count, 0, slot))
        _must(
            self._struct.capture_begin(self._struct.self, struct), f"capture_begin({tick}, {sample_count}, slot={slot})"
        )

    def capture_end(self, sample_count: int, slot: int = 0) -> NDArray[np.int16]:
        """Return a copy of the samples of a capture that was begun, int16 counts, shape [sample_count]."""
        samples = _ffi.new("const int16_t **")
        _must(self._struct.capture_end(self._struct.self, slot, samples), f"capture_end({slot})")
        return np.frombuffer(_ffi.buffer(samples[0], 2 * sample_count), dtype=np.int16).copy()

    def triggers(self, now_ns: int) -> tuple[int, int]:
        """Return how many triggers there were until `now_ns`, and when the last one was; the first question is their origin."""
        count, last_ns = _ffi.new("int64_t *"), _ffi.new("int64_t *")
        _must(self._struct.triggers(self._struct.self, now_ns, count, last_ns), f"triggers({now_ns})")
        return count[0], last_ns[0]

    @property
    def has_trigger(self) -> bool:
        """Whether the hardware's own clock starts the shots."""
        return bool(self._struct.triggers)

    def safe(self) -> None:
        """Turn every output off until the next `Plant.start`."""
        _must(self._struct.safe(self._struct.self), "safe")

    @property
    def address(self) -> int:
        return int(_ffi.cast("uintptr_t", self._struct))

    @property
    def feedback_latency_ticks(self) -> int:
        return int(self._struct.feedback_latency_ticks)

    @property
    def granularity_ticks(self) -> int:
        return int(self._struct.granularity_ticks)

    @property
    def sample_ticks(self) -> int:
        return int(self._struct.sample_ticks)

    @property
    def line_count(self) -> int:
        return int(self._struct.line_count)

    @property
    def channel_count(self) -> int:
        return int(self._struct.channel_count)

    @property
    def capture_samples_max(self) -> int:
        return int(self._struct.capture_samples_max)

    @property
    def outstanding_max(self) -> int:
        return int(self._struct.outstanding_max)


class PortWords:
    """A port by its address, its functions called with the machine's own words, as instruments hold them.

    What is to be played or recorded again and again is made once (`make_play`, `make_capture`). Each call raises ValueError with the
    status if it is not QRT_OK: what hardware refuses is for the instrument to tell.
    """

    def __init__(self, address: int) -> None:
        self._port = _ffi.cast("qrt_port *", address)
        self._samples = _ffi.new("const int16_t **")

    def begin_shot(self, shot: int, tick: int) -> None:
        """Begin a shot."""
        self._must(self._port.begin_shot(self._port.self, shot, tick))

    def make_play(self, line: int, segment: int, amplitude: int, frequency: int, phase: int) -> Any:
        """Return what `play` takes."""
        play = _ffi.new("qrt_play *")
        play.line, play.segment, play.amplitude = line, segment, amplitude
        play.frequency, play.phase = frequency, phase
        return play

    def play(self, play: Any, tick: int) -> None:
        """Play at a tick."""
        play.tick = tick
        self._must(self._port.play(self._port.self, play))

    def make_capture(self, sample_count: int, slot: int) -> Any:
        """Return what `capture_begin` takes."""
        return _ffi.new("qrt_capture *", (0, sample_count, 0, slot))

    def capture_begin(self, capture: Any, tick: int) -> None:
        """Announce a capture at a tick."""
        capture.tick = tick
        self._must(self._port.capture_begin(self._port.self, capture))

    def capture_end(self, capture: Any) -> bytes:
        """Return the samples of a capture that was announced, little-endian int16."""
        self._must(self._port.capture_end(self._port.self, capture.slot, self._samples))
        return bytes(_ffi.buffer(self._samples[0], 2 * capture.sample_count))

    def _must(self, status: int) -> None:
        if status != _lib.QRT_OK:
            raise ValueError(_status_name(status).removeprefix("QRT_ERR_"))


@dataclass
class _Memory:
    """Lent memory: a 64-byte aligned view into an array that stays alive with it."""

    size: int
    whole: NDArray[np.uint8] = field(init=False)
    view: NDArray[np.uint8] = field(init=False)

    def __post_init__(self) -> None:
        self.whole = np.zeros(self.size + 64, dtype=np.uint8)
        start = -self.whole.ctypes.data % 64
        self.view = self.whole[start : start + self.size]


class Plant:
    """Transmons on one multiplexed feedline. Starts in thermal equilibrium with empty resonators.

    Raises ConfigError with every problem of the config, one a line.
    """

    def __init__(self, config: PlantConfig) -> None:
        problems = _problems(config)
        if problems:
            raise ConfigError("plant: " + "\n".join(problems))
        self.config = config
        struct = _fill(config)
        size = int(_lib.qrt_plant_size(struct))
        if size == 0:
            raise ConfigError(
                "plant: a value is out of range, or a resonator is too slow (kappa) for 65536 samples of memory"
            )
        self._memory = _Memory(size)
        self.handle: Any = _ffi.cast("qrt_plant *", _ffi.from_buffer(self._memory.view))
        _must(_lib.qrt_plant_init(self.handle, size, struct), "qrt_plant_init")
        self._port = Port(self)
        self._path: NDArray[np.void] | None = None

    def segment(self, line: int, index: int, i: NDArray[np.int16], q: NDArray[np.int16]) -> None:
        """Put a segment into a line's memory: `i` and `q`, int16 counts, shape [samples].

        Raises ValueError: no such line or index, shapes that differ, nothing in it, or no room left.
        """
        i = np.ascontiguousarray(i, dtype=np.int16)
        q = np.ascontiguousarray(q, dtype=np.int16)
        if i.ndim != 1 or i.shape != q.shape or i.size == 0:
            raise ValueError(
                f"segment {index} of line {line}: I has shape {i.shape}, Q {q.shape}; both must be [samples]"
            )
        data = (_ffi.from_buffer("int16_t[]", i), _ffi.from_buffer("int16_t[]", q))
        status = _lib.qrt_plant_segment(self.handle, line, index, *data, i.size)
        if status != _lib.QRT_OK:
            raise ValueError(f"segment {index} of line {line}, {i.size} samples: {_status_name(status)}")

    def start(self, seed: int, idle_s: float = 0.0) -> None:
        """Begin a run at tick 0, `idle_s` >= 0 seconds after the last one ended. `seed` is unsigned, 64 bits."""
        _must(_lib.qrt_plant_start(self.handle, seed, idle_s), f"qrt_plant_start(idle_s={idle_s})")

    def port(self) -> Port:
        return self._port

    def truth(self) -> Truth:
        """Return a copy of the accumulators since `start`."""
        struct = _ffi.new("qrt_plant_truth *")
        _must(_lib.qrt_plant_read_truth(self.handle, struct), "qrt_plant_read_truth")
        shape = (QUBITS_MAX, TONES_MAX)
        population = np.frombuffer(_ffi.buffer(struct.population_sum), dtype=np.float64).reshape(shape)
        shots = np.frombuffer(_ffi.buffer(struct.shot_count), dtype=np.int64).reshape(shape)
        count = len(self.config.qubits)
        return Truth(
            population_sum=population[:count].copy(),
            shot_count=shots[:count].copy(),
            dac_clip_count=int(struct.dac_clip_count),
            adc_clip_count=int(struct.adc_clip_count),
            jump_count=int(struct.jump_count),
            response_miss_count=int(struct.response_miss_count),
        )

    def log_path(self, count_max: int) -> None:
        """Keep the first `count_max` entries of the state path from now on; 0 ends it."""
        self._path = np.zeros(count_max, dtype=PATH_DTYPE)
        address = _ffi.cast("qrt_plant_path *", self._path.ctypes.data) if count_max else _ffi.NULL
        _must(_lib.qrt_plant_log_path(self.handle, address, count_max), "qrt_plant_log_path")

    @property
    def path(self) -> NDArray[np.void]:
        """A copy of the state path, PATH_DTYPE, shape [entries that fitted]."""
        if self._path is None:
            return np.zeros(0, dtype=PATH_DTYPE)
        return self._path[: self.path_count].copy()

    @property
    def path_count(self) -> int:
        """Entries since `log_path` or `start`, those that did not fit included."""
        return int(_lib.qrt_plant_path_count(self.handle))

    def save(self) -> bytes:
        """Return the physical state: fields, qubits, seed, shot, tick. No capture may be outstanding."""
        size = int(_lib.qrt_plant_state_size())
        state = _ffi.new("char[]", size)
        _must(_lib.qrt_plant_save(self.handle, state, size), "qrt_plant_save")
        return bytes(_ffi.buffer(state, size))

    def restore(self, state: bytes) -> None:
        """Put back what `save` returned on a plant of the same config and segments.

        Raises ValueError: the size is another one.
        """
        size = int(_lib.qrt_plant_state_size())
        if len(state) != size:
            raise ValueError(f"plant state has {len(state)} bytes; this version's has {size}")
        _must(_lib.qrt_plant_restore(self.handle, _ffi.from_buffer(state), size), "qrt_plant_restore")

    def peek(self, qubit: int, tick: int) -> Peek:
        """Let time pass until `tick` and read a qubit. For tests.

        Raises ValueError: no such qubit, or a tick that is already past.
        """
        bloch, fields = _ffi.new("double[3]"), _ffi.new("double[4]")
        status = _lib.qrt_plant_peek(self.handle, qubit, tick, bloch, fields)
        if status != _lib.QRT_OK:
            raise ValueError(f"qubit {qubit} at tick {tick}: {_status_name(status)}")
        return Peek(bloch[0], bloch[1], bloch[2], (complex(fields[0], fields[1]), complex(fields[2], fields[3])))

    def joint(self, tick: int) -> NDArray[np.float64]:
        """Let time pass until `tick` and read the joint state of all qubits. For tests.

        joint[mu_0, mu_1, ...] = <sigma_mu_0 (x) sigma_mu_1 (x) ...>, sigma = 1, X, Y, Z, level 0 at Z = +1, each in the frame at
        its configured f_qubit; shape [4] * qubits. Raises ValueError: a tick that is already past.
        """
        count = len(self.config.qubits)
        tensor = np.empty(4**count)
        status = _lib.qrt_plant_joint(self.handle, tick, _ffi.from_buffer("double[]", tensor))
        if status != _lib.QRT_OK:
            raise ValueError(f"joint state at tick {tick}: {_status_name(status)}")
        return tensor.reshape((4,) * count).transpose()  # the first qubit is the lowest digit

    def drift(self, qubit: int) -> tuple[float, float]:
        """Return how far a qubit's frequency, Hz, and its output phase, rad modulo 2 pi, have moved in this shot. For tests."""
        frequency, phase = _ffi.new("double *"), _ffi.new("double *")
        _must(_lib.qrt_plant_drift(self.handle, qubit, frequency, phase), f"qrt_plant_drift({qubit})")
        return frequency[0], phase[0]


def isa_names() -> tuple[str, ...]:
    """Return the instruction sets that this machine can run, best first."""
    return tuple(_ffi.string(_lib.qrt_plant_isa_name(i)).decode() for i in range(_lib.qrt_plant_isa_count()))


def isa_selected() -> str:
    """Return the instruction set in use."""
    name: str = _ffi.string(_lib.qrt_plant_isa_selected()).decode()
    return name


def isa_select(name: str) -> None:
    """Use an instruction set from now on, in this process.

    Raises ValueError: this machine does not have it.
    """
    if _lib.qrt_plant_isa_select(name.encode()) != _lib.QRT_OK:
        raise ValueError(f"instruction set {name!r}: must be one of {isa_names()}")


def _select_from_environment(name: str) -> None:
    """Use what QRT_ISA names, as the kernel does; raises MachineError if this machine does not have it."""
    try:
        isa_select(name)
    except ValueError:
        raise MachineError(
            f"QRT_ISA={name}: the simulated hardware has {', '.join(isa_names())} here; set one of these, or unset QRT_ISA"
        ) from None


if os.environ.get("QRT_ISA"):
    _select_from_environment(os.environ["QRT_ISA"])
