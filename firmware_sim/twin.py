"""The twin `two_transmons`: the lab's instruments as models, wired to the plant.

    open_twin(lab)        models at the lab's addresses (VISA and serial), inert physics
    twin.arm(seed, idle)  the plant as the instruments were told by SCPI: segments in memory, switches, levels, ranges
    port.address          what the kernel plays on

Nothing bypasses the simulated firmware: the plant's segments are copied from the generators' memories, and a line whose
generator was not started, whose output or whose source is off sends nothing. On a lab with a [mailbox], where nothing plays on the
port's address, the digitizer's trigger output is wired to the generators and plays on it (`rack`). The physical state goes on from arm to
arm, `idle_s` apart. What an arm was made of can be had as bytes (`plant_bytes`) and made again from them
(`plant_from_bytes`), which is what a replay does: no instrument is needed for it.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from fractions import Fraction
from math import tau
from types import TracebackType
from typing import Any, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from qrt.errors import ConfigError, InstrumentError, RecordError
from qrt.firmware_sim.awg2 import FULL_SCALE_COUNTS, MEMORY_SAMPLES, SEGMENT_COUNT_MAX
from qrt.firmware_sim.faults import faulty_instrument
from qrt.firmware_sim.models import models
from qrt.firmware_sim.parameters import Faults, Parameters, Port, Trigger, read_parameters
from qrt.firmware_sim.plant import Plant
from qrt.firmware_sim.plant import Truth as PlantTruth
from qrt.firmware_sim.plant_config import AdcConfig, CouplerConfig, LineConfig, PlantConfig, QubitConfig
from qrt.firmware_sim.rack import Rack
from qrt.firmware_sim.serial import SerialRack
from qrt.firmware_sim.visa import visa_rack
from qrt.scpi import Instrument
from qrt.types import Lab, Line, PortLimits, Timing, Truth

SERIAL_PREFIX = "serial:"
REFERENCE_DBM = 10.0  # the level at which a line's volts are those of its generator
FS_PER_NS = 10**6
IMAGE_VERSION = 3
OUTSTANDING_MAX = 16  # captures at once, as qrt_port.h allows

Samples = NDArray[np.int16]


class Segments(msgspec.Struct, frozen=True):
    """One segment of one line as bytes of little-endian int16."""

    line: int
    index: int
    i: bytes
    q: bytes


class Image(msgspec.Struct, frozen=True):
    """What an arm was made of."""

    version: int
    config: PlantConfig
    state: bytes | None  # before the start; None: equilibrium
    segments: tuple[Segments, ...]
    seed: int
    idle_s: float
    state_crc: int = 0  # CRC-32 of `state`: it is trusted bit by bit once it is restored


class ArmedPort:
    """A plant that has been started, and its port; both live as long as this object."""

    def __init__(self, image: Image, plant: Plant | None = None) -> None:
        self.image = image
        self.plant = plant if plant is not None else make_plant(image)
        self._port = self.plant.port()
        self.address = self._port.address
        self.limits = PortLimits(
            feedback_latency_ticks=self._port.feedback_latency_ticks,
            granularity_ticks=self._port.granularity_ticks,
            sample_ticks=self._port.sample_ticks,
            capture_samples_max=self._port.capture_samples_max,
            segment_count_max=image.config.segment_count_max,
            segment_samples_max=image.config.segment_samples_max,
            outstanding_max=self._port.outstanding_max,
        )

    def truth(self) -> PlantTruth:
        """Return what the plant knows of the shots since the start; not while a kernel plays."""
        return self.plant.truth()


def make_plant(image: Image) -> Plant:
    """Return a plant that has been started as the image says."""
    plant = Plant(image.config)
    for segment in image.segments:
        plant.segment(segment.line, segment.index, np.frombuffer(segment.i, "<i2"), np.frombuffer(segment.q, "<i2"))
    if image.state is not None:
        plant.restore(image.state)
    plant.start(image.seed, image.idle_s)
    return plant


def plant_from_bytes(data: bytes) -> ArmedPort:
    """Return the armed port that `plant_bytes` described, at its start, and without faults: what was too late is the record's to say.

    Raises RecordError.
    """
    try:
        image = msgspec.msgpack.decode(data, type=Image)
    except msgspec.MsgspecError as error:
        raise RecordError(f"these {len(data)} bytes are no armed plant: {error}") from error
    if image.version != IMAGE_VERSION:
        raise RecordError(f"an armed plant of version {image.version}; this program reads version {IMAGE_VERSION}")
    if zlib.crc32(image.state or b"") != image.state_crc:
        raise RecordError(
            "an armed plant whose saved state does not match its CRC-32: changed or damaged; replay a whole copy"
        )
    try:
        faultless = replace(image.config, answer_ns_max=0, late_answer_share=0, late_decision_share=0)
        return ArmedPort(msgspec.structs.replace(image, config=faultless))
    except (ValueError, ConfigError) as error:
        raise RecordError(f"an armed plant that does not hold: {error}") from error


class TwoTransmons:
    """The twin of a lab. Inert until it is entered; `open_twin` returns it entered."""

    def __init__(self, lab: Lab, parameters: Parameters, seed: int = 0) -> None:
        self.lab = lab
        self.parameters = parameters
        self.qubits = tuple(parameters.qubits)  # the order of truth's first axis
        self.lines = tuple(lab.lines)  # line index of the port -> name
        self.instruments: dict[str, Instrument] = {}
        self.visa_library: Any = None
        self._places: dict[str, dict[str, tuple[Instrument, Faults]]] = {"visa": {}, "serial": {}}
        self._armed: ArmedPort | None = None
        self._watched: Mapping[int, int] = {}
        self._ending = ExitStack()
        self._build(seed)

    def __enter__(self) -> Self:
        """Put the models at their addresses."""
        self.visa_library = visa_rack(self._places["visa"])
        self._ending.callback(self.visa_library.close)
        self._serial = self._ending.enter_context(SerialRack(self._places["serial"]))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the shells."""
        self.close()

    def close(self) -> None:
        """End the shells; the addresses are gone. Armed ports live on as long as somebody holds them."""
        self._ending.close()

    def serial_path(self, address: str) -> str:
        """Return the device file behind a serial address. Raises KeyError if nothing is there."""
        return self._serial.path(address)

    def arm(self, seed: int, idle_s: float) -> ArmedPort:
        """Start the plant as the instruments stand now, `idle_s` after the last run's end.

        Raises InstrumentError if they stand in a way that the port cannot play.
        """
        config = self._plant_config()
        segments = tuple(self._segments())
        previous = self._armed
        state = None
        if previous is not None:
            previous.plant.start(0, 0.0)  # ends what an aborted run may have left under way
            state = previous.plant.save()
        image = Image(IMAGE_VERSION, config, state, segments, seed, idle_s, zlib.crc32(state or b""))
        plant = None
        if previous is not None and (previous.image.config, previous.image.segments) == (config, segments):
            plant = previous.plant  # its cached responses stay
            plant.start(seed, idle_s)
        self._armed = ArmedPort(image, plant)
        self._armed.plant.watch(self._watched)
        if self.lab.mailbox is not None:
            generators = {place: self.instruments[line.awg] for place, line in enumerate(self.lab.lines.values())}
            rack = Rack(self._armed.address, generators, self.lab.timing.sample_ticks)
            self.instruments[self.lab.digitizer.instrument].wires = rack
        return self._armed

    @property
    def limits(self) -> PortLimits:
        """What the port will be able to do, known before anything is armed."""
        port, timing = self.parameters.port, self.lab.timing
        return PortLimits(
            feedback_latency_ticks=_feedback_ticks(self.lab, port),
            granularity_ticks=_granularity_ticks(port, timing),
            sample_ticks=timing.sample_ticks,
            capture_samples_max=port.capture_samples_max,
            segment_count_max=SEGMENT_COUNT_MAX,
            segment_samples_max=MEMORY_SAMPLES,
            outstanding_max=OUTSTANDING_MAX,
        )

    def truth(self) -> PlantTruth:
        """Return what the plant knows since the last arm; not while a kernel plays."""
        assert self._armed is not None
        return self._armed.truth()

    def watch(self, tones: Mapping[str, int]) -> None:
        """Let the truth of arms from now on hold the mean product of Z of these qubits, each at its tone of that index in the shot."""
        self._watched = {self.qubits.index(name): tone for name, tone in tones.items()}

    def known(self) -> Truth:
        """Return the same by names: mean populations, the mean product, and everything that the physics clipped or let jump."""
        truth = self.truth()
        population = {
            (name, tone): float(truth.population_sum[index, tone]) / int(truth.shot_count[index, tone])
            for index, name in enumerate(self.qubits)
            for tone in np.flatnonzero(truth.shot_count[index]).tolist()
        }
        product = truth.product_sum / truth.product_count if truth.product_count else None
        names = ("dac_clip_count", "adc_clip_count", "jump_count", "response_miss_count")
        return Truth(population, {f"plant.{name}": getattr(truth, name) for name in names}, product)

    def plant_bytes(self) -> bytes:
        """Return what the last arm was made of."""
        assert self._armed is not None
        return msgspec.msgpack.encode(self._armed.image)

    def _build(self, seed: int) -> None:
        """Make the models; the parameters' reader has seen that there is one for each instrument."""
        known = models()
        for name, instrument in self.lab.instruments.items():
            faults = self.parameters.faults.get(name, Faults())
            serial = f"{zlib.crc32(f'{seed} {name}'.encode()) % 10**6:06d}"
            self.instruments[name] = faulty_instrument(known[instrument.driver], serial, faults)
            kind = "serial" if instrument.address.startswith(SERIAL_PREFIX) else "visa"
            if not faults.absent:
                self._places[kind][instrument.address] = (self.instruments[name], faults)

    def _plant_config(self) -> PlantConfig:
        parameters, timing = self.parameters, self.lab.timing
        port = parameters.port
        trigger = parameters.trigger if timing.pacing == "external" else None
        digitizer = self.instruments[self.lab.digitizer.instrument]
        channel = self.lab.digitizer.channel
        bits = parameters.adc.bits
        self._check_clock(self.lab.digitizer.instrument)
        return PlantConfig(
            qubits=tuple(_qubit_config(self.parameters, name) for name in self.qubits),
            lines=tuple(self._line_config(name, line) for name, line in self.lab.lines.items()),
            adc=AdcConfig(
                volts_per_count=digitizer.value("range_v", channel) / 2 ** (bits - 1),
                volts_per_sqrt_hz_root=parameters.adc.volts_per_root_photon_rate,
                bits=bits,
                input_on=digitizer.value("input", channel) and digitizer.memory.running,
            ),
            tick_ps=timing.tick_ps,
            sample_ticks=timing.sample_ticks,
            feedback_latency_ticks=_feedback_ticks(self.lab, port),
            granularity_ticks=_granularity_ticks(port, timing),
            drift_interval_ticks=_ticks(parameters.drift_interval_ns, timing.tick_ps),
            trigger_period_fs=0 if trigger is None else _trigger_period_fs(trigger, timing),
            trigger_jitter_ns=0 if trigger is None else int(trigger.jitter_ns),
            answer_ns_max=round(port.answer_ns) if port.faults.late_answers else 0,
            late_answer_share=_share(port.faults.late_answers),
            late_answer_ns=round(port.faults.late_answer_ns or 0.0),
            late_decision_share=_share(port.faults.late_decisions),
            late_decision_ns=round(port.faults.late_decision_ns),
            capture_samples_max=port.capture_samples_max,
            segment_count_max=SEGMENT_COUNT_MAX,
            segment_samples_max=MEMORY_SAMPLES,
            projective_exponent=parameters.projective_exponent,
            negligible_exponent=parameters.negligible_exponent,
            couplers=tuple(
                CouplerConfig(self._pair(one.qubits), one.zz_hz_per_v2, one.stark_hz_per_v2)
                for one in parameters.couplers.values()
            ),
        )

    def _pair(self, names: tuple[str, str]) -> tuple[int, int]:
        return self.qubits.index(names[0]), self.qubits.index(names[1])

    def _line_config(self, name: str, line: Line) -> LineConfig:
        wiring = self.parameters.lines[name]
        source, generator = self.instruments[line.source], self.instruments[line.awg]
        self._check_clock(line.awg)
        gain = 10 ** ((source.value("power_dbm") - REFERENCE_DBM) / 20)
        on = [bool(generator.value("output", channel)) for channel in (line.i_channel, line.q_channel)]
        volts = [
            gain * generator.value("amplitude_v", channel) / FULL_SCALE_COUNTS * is_on
            for channel, is_on in zip((line.i_channel, line.q_channel), on, strict=True)
        ]
        offsets = [
            gain * generator.value("offset_v", channel) * is_on
            for channel, is_on in zip((line.i_channel, line.q_channel), on, strict=True)
        ]
        if wiring.swap_iq:  # behind the cables: the mixer's port for I has the scale of the channel that plays Q
            volts.reverse()
            offsets.reverse()
        return LineConfig(
            qubit=self.qubits.index(wiring.drives) if wiring.drives in self.qubits else None,
            coupler=None if wiring.couples is None else tuple(self.parameters.couplers).index(wiring.couples),
            source_hz=source.value("frequency_hz"),
            volts_per_count_i=volts[0],
            volts_per_count_q=volts[1],
            output_on=bool(source.value("output")) and generator.memory.running and any(on),
            offset_v_i=offsets[0] + wiring.leakage_v_i,
            offset_v_q=offsets[1] + wiring.leakage_v_q,
            gain_imbalance=wiring.gain_imbalance,
            skew_rad=wiring.skew_rad,
            swap_iq=wiring.swap_iq,
        )

    def _segments(self) -> list[Segments]:
        """Return what is in the generators' memories; a channel without a segment plays zeros, a shorter one ends in zeros."""
        found = []
        for place, line in enumerate(self.lab.lines.values()):
            memory: Mapping[int, dict[int, bytes]] = self.instruments[line.awg].memory.segments
            first, second = memory[line.i_channel], memory[line.q_channel]
            for index in sorted({*first, *second}):
                i, q = first.get(index, b""), second.get(index, b"")
                size = max(len(i), len(q))
                found.append(Segments(place, index, i.ljust(size, b"\0"), q.ljust(size, b"\0")))
        return found

    def _check_clock(self, name: str) -> None:
        """The port moves one sample per `sample_ticks`; an instrument with another clock would play at another speed."""
        timing = self.lab.timing
        wanted_hz = 1e12 / (timing.tick_ps * timing.sample_ticks)
        found_hz = self.instruments[name].value("sample_rate_hz")
        if abs(found_hz - wanted_hz) > 1e-6 * wanted_hz:
            raise InstrumentError(
                f"{name}: sample clock is {found_hz:g} Hz, the lab's [timing] needs {wanted_hz:g} Hz; configure it before arming"
            )


def _share(part: float) -> int:
    """Return a part as a share of 2^32; all of it is one less, which no test can tell."""
    return min(round(part * 2**32), 2**32 - 1)


def _qubit_config(parameters: Parameters, name: str) -> QubitConfig:
    qubit = parameters.qubits[name]
    return QubitConfig(
        frequency_hz=qubit.frequency_hz,
        t1_s=qubit.t1_s,
        t2_s=qubit.t2_s,
        thermal_population=qubit.thermal_population,
        drive_rad_per_s_per_v=tau * qubit.rabi_hz_per_v,
        resonator_hz=qubit.resonator_hz,
        kappa_rad_per_s=tau * qubit.kappa_hz,
        chi_rad_per_s=tau * qubit.chi_hz,
        readout_rad_per_s_per_v=tau * qubit.readout_hz_per_v,
        efficiency=qubit.efficiency,
        output_phase_rad=qubit.output_phase_rad,
        frequency_drift_hz_per_s=qubit.frequency_drift_hz_per_s,
        frequency_walk_hz_per_root_s=qubit.frequency_walk_hz_per_root_s,
        phase_walk_rad_per_root_s=qubit.phase_walk_rad_per_root_s,
    )


def _feedback_ticks(lab: Lab, port: Port) -> int:
    """Return the feedback latency of the lab's port: of its mailbox, or of the simulated fast path."""
    latency_ns = port.feedback_latency_ns if lab.mailbox is None else lab.mailbox.feedback_latency_ns
    return _ticks(latency_ns, lab.timing.tick_ps)


def _granularity_ticks(port: Port, timing: Timing) -> int:
    return timing.sample_ticks if port.granularity_ns is None else _ticks(port.granularity_ns, timing.tick_ps)


def _trigger_period_fs(trigger: Trigger, timing: Timing) -> int:
    """Return how often the hardware starts a shot, by the host's clock."""
    return round(Fraction(repr(timing.shot_period_ns)) * FS_PER_NS * (1 + Fraction(repr(trigger.drift_ppm)) / 10**6))


def _ticks(duration_ns: float, tick_ps: int) -> int:
    """Return a duration of the port in ticks; the parameters' reader has seen that it is whole."""
    return round(duration_ns * 1000 / tick_ps)


def open_twin(lab: Lab, seed: int = 0) -> TwoTransmons:
    """Return the twin of a lab with its instruments at their addresses. Raises ConfigError with every problem."""
    return TwoTransmons(lab, read_parameters(lab), seed).__enter__()
