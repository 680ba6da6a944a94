"""Every instrument of a lab, from opening to safe.

    with OpenLab(lab, library) as lab_open:    identified, error queues empty, all outputs off and read back
        lab_open.configure()                   frequencies, levels, ranges, clocks: set and verified
        lab_open.upload(segments)              what changed, read back
        lab_open.outputs(True)                 sources, then generators, then the digitizer; verified
    # outputs off and read back, on each way out: at the end, on an error, on Ctrl-C

Nothing is opened before every driver is known to be able to do what the lab wants of it. All instruments are tried
before a failure is reported, so that one message names every one that is missing. Where safe could not be verified the
message says UNKNOWN; on the way out of another error it is added to that error as a note, and `unsafe` keeps it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from qrt.drivers.link import open_link
from qrt.drivers.settings import Dials
from qrt.drivers.switch import Driver
from qrt.errors import ConfigError, InstrumentError
from qrt.packages import offered
from qrt.transport import Library
from qrt.types import Found, Lab, Segment
from qrt.units import PS_PER_S

GROUP = "qrt.drivers"


@runtime_checkable
class Generator(Protocol):
    """A driver of a waveform generator."""

    def configure(self, channel: int, amplitude_v: float, sample_rate_hz: float) -> None:
        """Set full scale and sample clock."""

    def upload(self, channel: int, segments: list[bytes]) -> None:
        """Make a channel's memory hold exactly these segments."""

    def output(self, channel: int, on: bool) -> None:  # noqa: FBT001 - the value itself
        """Switch an output."""

    def run(self, on: bool) -> None:  # noqa: FBT001 - the value itself
        """Wait for triggers, or abort."""


@runtime_checkable
class MicrowaveSource(Protocol):
    """A driver of a source."""

    def tune(self, frequency_hz: float, level_dbm: float) -> None:
        """Set frequency and level."""

    def output(self, on: bool) -> None:  # noqa: FBT001 - the value itself
        """Switch the output."""


@runtime_checkable
class AnalogInput(Protocol):
    """A driver of a digitizer."""

    def configure(self, channel: int, range_v: float, sample_rate_hz: float) -> None:
        """Set full scale and sample clock."""

    def input(self, channel: int, on: bool) -> None:  # noqa: FBT001 - the value itself
        """Switch an input."""

    def run(self, on: bool) -> None:  # noqa: FBT001 - the value itself
        """Wait for triggers, or abort."""


@runtime_checkable
class TableGenerator(Generator, Protocol):
    """A driver of a generator that plays from a table when it is triggered: what a mailbox needs."""

    @staticmethod
    def room() -> tuple[int, int]:
        """Return how many segments a channel holds, and how many samples in all."""

    def forget_table(self) -> None:
        """Take the table for unknown."""

    def table(self, plays: NDArray[Any]) -> None:
        """Make a trigger play these, mailbox.PLAY_DTYPE by start."""


@runtime_checkable
class SegmentedInput(AnalogInput, Protocol):
    """A driver of a digitizer with segmented memory that triggers the rack: what a mailbox needs."""

    @staticmethod
    def room() -> tuple[int, int]:
        """Return the samples of the longest record, and of all records of one arm together."""

    def forget_windows(self) -> None:
        """Take windows and trigger settings for unknown."""

    def windows(self, windows: Sequence[tuple[int, int]]) -> None:
        """Record these at each trigger: start after it and size, in samples."""

    def play(self, number: int, time: int, count: int, distance: int, *, goes_on: bool) -> list[NDArray[np.int16]]:
        """Trigger shots from `number` on, and return int16 [shots, samples] of each window."""


class OpenLab:
    """A lab's instruments while they are open. `library` is what a simulated lab opens with, None for a rack."""

    def __init__(self, lab: Lab, library: Library | None = None) -> None:
        self.lab = lab
        self.found: tuple[Found, ...] = ()
        self.unsafe: tuple[str, ...] = ()  # instruments whose outputs could not be verified off, and why
        self._library = library
        self._drivers: dict[str, Driver] = {}
        self._kinds = driver_kinds(lab)
        self._held: dict[str, tuple[Segment, ...]] = {}  # by line, what its channels were last seen to hold
        self.line_kept_count = 0  # uploads that were left out, since the line holds them
        self.dials = Dials(lab, self.driver)
        self._sample_rate_hz = PS_PER_S / (lab.timing.tick_ps * lab.timing.sample_ticks)

    @property
    def counters(self) -> dict[str, int]:
        """Every retry, time-out, discarded byte and segment, as `<instrument>.<counter>`."""
        own = {f"{name}.{key}": count for name, one in self._drivers.items() for key, count in one.counters.items()}
        return own | self.dials.counters | {"upload.lines_kept": self.line_kept_count}

    def __enter__(self) -> Self:
        """Open and identify every instrument and leave its outputs off. Raises InstrumentError that names all failures."""
        try:
            found = self._each_failure([partial(self._open, name) for name in self.lab.instruments])
            if found:
                raise InstrumentError("\n".join(found))
        except BaseException as error:
            self._leave(error)
            raise
        self.found = tuple(
            Found(name, driver.link.address, driver.link.transport, driver.idn)
            for name, driver in self._drivers.items()
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Go safe and close. Raises InstrumentError if safe could not be verified and nothing else went wrong."""
        self._leave(error)
        if self.unsafe and error is None:
            raise InstrumentError("\n".join(self.unsafe))

    def driver(self, name: str) -> Driver:
        """Return the driver of an instrument of the lab."""
        return self._drivers[name]

    def configure(self) -> None:
        """Set sources, generators and digitizer as the lab says, each value read back."""
        for line in self.lab.lines.values():
            source, generator = self._drivers[line.source], self._drivers[line.awg]
            assert isinstance(source, MicrowaveSource)
            assert isinstance(generator, Generator)
            source.tune(line.source_hz, line.source_dbm)
            for channel in (line.i_channel, line.q_channel):
                generator.configure(channel, line.amplitude_v, self._sample_rate_hz)
        digitizer = self._drivers[self.lab.digitizer.instrument]
        assert isinstance(digitizer, AnalogInput)
        digitizer.configure(self.lab.digitizer.channel, self.lab.digitizer.range_v, self._sample_rate_hz)

    def upload(self, segments: Mapping[str, tuple[Segment, ...]]) -> None:
        """Make each line's two channels hold the line's segments; sends what changed, and reads it back."""
        for name, memory in segments.items():
            self._held.pop(name, None)  # not known, should this fail
            line = self.lab.lines[name]
            generator = self._drivers[line.awg]
            assert isinstance(generator, Generator)
            generator.upload(line.i_channel, [to_bytes(segment.i) for segment in memory])
            generator.upload(line.q_channel, [to_bytes(segment.q) for segment in memory])
            self._held[name] = memory

    def upload_changed(self, segments: Mapping[str, tuple[Segment, ...]]) -> None:
        """Do the same for those lines alone that were last seen to hold something else: nothing at all is said to the others."""
        changed = {name: memory for name, memory in segments.items() if not same_segments(self._held.get(name), memory)}
        self.line_kept_count += len(segments) - len(changed)
        self.upload(changed)

    def outputs(self, on: bool) -> None:  # noqa: FBT001 - the value itself
        """Switch everything on (sources first) or off (sources last), each switch read back."""
        for step in self._switch_steps(on=on)[:: 1 if on else -1]:
            step()

    def safe(self) -> None:
        """Switch every output off, on every instrument, whatever fails; raises InstrumentError with all that did."""
        self.unsafe = tuple(self._each_failure([driver.safe for driver in self._drivers.values()]))
        if self.unsafe:
            raise InstrumentError("\n".join(self.unsafe))

    def _switch_steps(self, *, on: bool) -> list[Callable[[], None]]:
        """Return what to do to switch on, in order."""
        sources: dict[str, Callable[[], None]] = {}
        channels: list[Callable[[], None]] = []
        generators: dict[str, Callable[[], None]] = {}
        for line in self.lab.lines.values():
            source, generator = self._drivers[line.source], self._drivers[line.awg]
            assert isinstance(source, MicrowaveSource)
            assert isinstance(generator, Generator)
            sources[line.source] = partial(source.output, on)
            channels += [partial(generator.output, channel, on) for channel in (line.i_channel, line.q_channel)]
            generators[line.awg] = partial(generator.run, on)
        digitizer = self._drivers[self.lab.digitizer.instrument]
        assert isinstance(digitizer, AnalogInput)
        reception = [partial(digitizer.input, self.lab.digitizer.channel, on), partial(digitizer.run, on)]
        return [*sources.values(), *channels, *generators.values(), *reception]

    def _open(self, name: str) -> None:
        """Open one instrument, identify it, leave its outputs off."""
        instrument = self.lab.instruments[name]
        link = open_link(name, instrument.address, instrument.timeout_s, self._library)
        driver: Driver = self._kinds[name](link)
        try:
            driver.identify()
        except BaseException:
            link.close()  # not the instrument that the driver knows: nothing more is sent to it
            raise
        self._drivers[name] = driver
        driver.safe()

    def _each_failure(self, tasks: list[Callable[[], None]]) -> list[str]:
        """Do every task, whatever the others do, and return the messages of those that failed."""
        failures = []
        for task in tasks:
            try:
                task()
            except InstrumentError as error:
                failures.append(str(error))
        return failures

    def _leave(self, error: BaseException | None) -> None:
        """Go safe, close everything, and note on the error what could not be verified."""
        try:
            self.safe()
        except InstrumentError as unsafe:
            if error is not None:
                error.add_note(f"while going safe: {unsafe}")
        finally:
            for driver in self._drivers.values():
                driver.link.close()


def driver_kinds(lab: Lab) -> dict[str, Any]:
    """Return the driver of each instrument. Raises ConfigError with every name that is unknown or cannot do its part."""
    known = offered(GROUP)
    problems, kinds = [], {}
    for name, instrument in lab.instruments.items():
        if instrument.driver in known:
            kinds[name] = known[instrument.driver].load()
        else:
            problems.append(
                f"instruments.{name}.driver: {instrument.driver!r} is not one of {', '.join(sorted(known))}"
            )
    generator, digitizer = (Generator, AnalogInput) if lab.mailbox is None else (TableGenerator, SegmentedInput)
    wanted: list[tuple[str, str, type]] = [("digitizer.instrument", lab.digitizer.instrument, digitizer)]
    for key, line in lab.lines.items():
        wanted += [(f"lines.{key}.awg", line.awg, generator), (f"lines.{key}.source", line.source, MicrowaveSource)]
    for path, name, part in wanted:
        if name not in lab.instruments:
            problems.append(f"{path}: {name!r} is not one of {', '.join(lab.instruments)}")
        elif name in kinds and not issubclass(kinds[name], part):
            problems.append(
                f"{path}: {name!r} has the driver {lab.instruments[name].driver!r}, which is no {part.__name__}"
            )
    if problems:
        raise ConfigError("\n".join(problems))
    return kinds


def same_segments(held: tuple[Segment, ...] | None, wanted: tuple[Segment, ...]) -> bool:
    """Return whether what a line holds is, sample for sample, what it should."""
    return (
        held is not None
        and len(held) == len(wanted)
        and all(
            np.array_equal(one.i, other.i) and np.array_equal(one.q, other.q)
            for one, other in zip(held, wanted, strict=True)
        )
    )


def to_bytes(samples: NDArray[np.int16]) -> bytes:
    """Return samples as the generators take them: little-endian int16."""
    assert samples.dtype == np.int16
    return samples.astype("<i2", copy=False).tobytes()
