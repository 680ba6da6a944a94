"""The plant's Python face: lent memory, the port's address, truth, state.

The physics is in C (ffi/plant); here are only the conversions of a config (plant_config.py) and of what is asked to its structs. Signs
and units are those of ffi/qrt_plant.h. A plant is single-threaded: while a kernel plays on its port, nothing else may call it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qrt.errors import BugError, ConfigError, MachineError
from qrt.firmware_sim._plant import ffi, lib
from qrt.firmware_sim.plant_config import (
    QUBITS_MAX,
    AdcConfig,
    CouplerConfig,
    LineConfig,
    PlantConfig,
    QubitConfig,
    problems,
)
from qrt.units import TURN, amplitude_word, frequency_word, phase_word

_ffi: Any = ffi
_lib: Any = lib

TONES_MAX = int(_lib.QRT_PLANT_TONES_MAX)

PATH_DTYPE = np.dtype([("shot", "<i8"), ("tick", "<i8"), ("population", "<f8"), ("qubit", "<i4"), ("level", "<i4")])
"""One entry of the state path, as qrt_plant_path: a projective tone's start or a jump; `level` is the one after."""


@dataclass(frozen=True)
class Truth:
    """What the plant knows and the runtime must not.

    `population_sum[q, k]`, float64, and `shot_count[q, k]`, int64, shape [qubits, 64]: population of level 1 at the start of the
    k-th projective tone of a shot on qubit q, summed over the shots that had one. `product_sum` is of the product of Z that was
    watched, over `product_count` shots. The other counts are samples, jumps and responses.
    """

    population_sum: NDArray[np.float64]
    shot_count: NDArray[np.int64]
    product_sum: float
    product_count: int
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
        found = problems(config)
        if found:
            raise ConfigError("plant: " + "\n".join(found))
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

    def watch(self, tones: Mapping[int, int]) -> None:
        """Let the truth hold, from the next shot on, the product of Z of these qubits, each at its tone of that index in the shot."""
        indices = [tones.get(qubit, -1) for qubit in range(QUBITS_MAX)]
        _must(_lib.qrt_plant_watch(self.handle, indices), f"qrt_plant_watch({dict(tones)})")

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
            product_sum=float(struct.product_sum),
            product_count=int(struct.product_count),
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
