"""The lab as configured: instruments, lines, qubits, couplers, timing, and what a driver says of its settings.

Field names are the TOML keys; `Meta` bounds are the allowed sets that config names in its errors.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

Positive = Annotated[float, msgspec.Meta(gt=0.0)]
NonNegative = Annotated[float, msgspec.Meta(ge=0.0)]
Count = Annotated[int, msgspec.Meta(ge=1)]
SOME = msgspec.Meta(min_length=1)  # of a table of names: it must not be empty


class Instrument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One instrument: its driver (an entry point of group `qrt.drivers`), where it is, and how long it may take to answer."""

    driver: str
    address: str  # a VISA resource name, or `serial:<device>` for a serial line
    timeout_s: Positive = 2.0
    settle_s: NonNegative | None = None  # after one of its settings was changed; None: what its driver says


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An I+Q pair of DAC channels with the source that its mixer converts up with."""

    awg: str  # instrument name
    i_channel: Annotated[int, msgspec.Meta(ge=1, le=64)]
    q_channel: Annotated[int, msgspec.Meta(ge=1, le=64)]
    source: str  # instrument name
    source_hz: Annotated[float, msgspec.Meta(ge=1e6, le=40e9)]
    source_dbm: Annotated[float, msgspec.Meta(ge=-30.0, le=25.0)] = 10.0
    amplitude_v: Annotated[float, msgspec.Meta(gt=0.0, le=5.0)] = 1.0  # full scale of each channel, peak


class Digitizer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The real ADC channel that sees the feedline's intermediate frequency."""

    instrument: str
    channel: Annotated[int, msgspec.Meta(ge=1, le=64)]
    range_v: Annotated[float, msgspec.Meta(gt=0.0, le=50.0)]  # full scale, peak: clips at +-range_v


class Readout(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Nominal readout of one qubit; the calibration refines frequency, weights and threshold."""

    frequency_hz: Annotated[float, msgspec.Meta(ge=1e6, le=40e9)]  # nominal, of the tone
    amplitude: Annotated[float, msgspec.Meta(gt=0.0, le=1.0)]  # of full scale
    duration_ns: Positive = 1000.0  # of the tone and of the integration
    depletion_ns: NonNegative = 500.0  # after the tone, for the photons to leave before the next pulse


class Qubit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One qubit as its owner knows it before calibration."""

    drive_line: str
    readout_line: str
    frequency_hz: Annotated[float, msgspec.Meta(ge=1e6, le=40e9)]  # nominal, 0-1 transition
    pulse_ns: Positive  # duration of the sx pulse
    t1_ns: Positive  # expected, to size waits; never used as a result
    readout: Readout


class Coupler(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What joins two qubits: a tone on a line of its own shifts the phase of level 11 against the others while it is on."""

    qubits: tuple[str, str]
    line: str
    frequency_hz: Annotated[float, msgspec.Meta(ge=1e6, le=40e9)]  # of the tone
    pulse_ns: Positive  # duration of the cz pulse


class Stream(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where results are published."""

    address: str = "tcp://127.0.0.1:5557"


class Timing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The lab's quantum of time and the period of its shots."""

    tick_ps: Count = 1000
    sample_ticks: Count = 1
    shot_period_ns: Positive = 7000.0
    pacing: Literal["virtual", "real", "external"] = "virtual"  # external: by the hardware's trigger
    late_tolerance_ns: NonNegative = 50_000.0
    late_policy: Literal["skip", "abort"] = "skip"
    late_port_policy: Literal["erase", "abort"] = "erase"  # a late decision or answer, of a port with its own clock
    stretch_max: Annotated[int, msgspec.Meta(ge=0, le=65536)] = 0  # periods that a shot may take beyond its own


class Mailbox(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A rack without a fast path: shots are played from the generators' tables, triggered and fetched over SCPI."""

    shots_per_arm: Annotated[int, msgspec.Meta(ge=1, le=4096)] = 1  # through the digitizer's segmented memory
    deadline_s: Annotated[float, msgspec.Meta(gt=0.0, le=3600.0)] = 5.0  # from the request of a capture to its samples
    feedback_latency_ns: NonNegative = 5e6  # from the last sample of a capture to the first tick of a branch


class Twin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The simulated counterpart: an entry point of group `qrt.twins`, and its own parameters.

    The entry point of the same name in group `qrt.twin_parameters` is their type: a msgspec Struct, along which they are checked with the
    rest of the lab, and whose method `problems(lab)` yields an errors.Problem for whatever does not fit between them and the lab.
    """

    kind: str
    parameters: dict[str, Any] = {}


class Controller(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A feedback law in the loop: what it acts on and what it sets, from batch to batch.

    `parameters` are the law's own: checked along the type that it declares where it is loaded, in the batch process.
    """

    law: str  # an entry point of group `qrt.controllers`, or the path of a file that ends in `.py`
    output: str  # an input of the program, or `threshold.<qubit>`
    bit: str | None = (
        None  # the bit whose mean, less the setpoint, is the law's signal; None: a law that looks at the shots itself
    )
    setpoint: Annotated[float, msgspec.Meta(ge=0.0, le=1.0)] = 0.5
    minimum: float | None = None  # of the output
    maximum: float | None = None
    every: Count = 1  # step at every so many batches
    parameters: dict[str, Any] = {}


class Control(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How batches and their results are handed over."""

    batch_shots: Annotated[int, msgspec.Meta(ge=1, le=65536)] = 1000
    delay_batches: Annotated[int, msgspec.Meta(ge=0, le=64)] = (
        1  # results of batch k act from batch k + 1 + d on; 0: stop and wait
    )
    policy: Literal["hold", "abort"] = "hold"  # for an update that is refused, or late
    deadline_s: Annotated[float, msgspec.Meta(gt=0.0, le=3600.0)] = 5.0  # wall time for the laws of one batch
    restarts_max: Annotated[int, msgspec.Meta(ge=0, le=100)] = 3  # of the batch process, in one run


class Lab(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A configured set of instruments, lines and qubits. Without `twin` it is a real rack."""

    name: str
    instruments: Annotated[dict[str, Instrument], SOME]
    lines: Annotated[dict[str, Line], SOME]
    digitizer: Digitizer
    qubits: Annotated[dict[str, Qubit], SOME]
    couplers: dict[str, Coupler] = {}
    timing: Timing = Timing()
    stream: Stream = Stream()
    runs: str = "runs"  # folder, relative to where the command is called
    mailbox: Mailbox | None = None  # None: the port is a fast path
    twin: Twin | None = None
    controllers: dict[str, Controller] = {}
    externs: dict[str, str] = {}  # functions for programs, each `path/file.py:function`
    control: Control = Control()


class Setting(msgspec.Struct, frozen=True):
    """A setting of an instrument as its driver declares it, for sweeps: how it is set, within what, and when it holds, or why not."""

    name: str  # its end is its unit: `frequency_hz`
    unit: str
    header: str  # SCPI: `<header> <value>` sets it, `<header>?` reads it back
    low: float  # what the instrument takes
    high: float
    resolution: float  # what it rounds to: what is read back may differ by as much from what was asked for, and no more
    settle_s: float = 0.0  # from the command until the signal holds
    words: tuple[str, ...] = ()  # what the instrument is told and says for 0, 1, ...; empty: the number itself
    kept: str = ""  # why no sweep changes it; empty: any may
