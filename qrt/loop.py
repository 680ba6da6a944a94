"""The opened lab and the loop on it: from pulses to armed hardware to rows.

`Loop` opens a lab's instruments, and its twin where the lab is simulated, and sets them. `arm` compiles, uploads what changed, reads
it back, switches the outputs on and takes the port. Calibration sees `Loop.measure`; a run takes what `arm` returns and attaches a
recorder. Nothing is decided here about what is measured or what becomes of it.

Seeds: every arm gets its own, derived from the run's seed and the number of the arm, so that one seed repeats a whole session. Time: a
lab is idle for `IDLE_S` before each arm, on the twin too, where it relaxes the plant in closed form.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from types import TracebackType
from typing import Any, Final, Protocol, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from qrt import kernel
from qrt.compiling import KEPT
from qrt.drivers.lab import OpenLab
from qrt.drivers.settings import Dials
from qrt.errors import ConfigError, InstrumentError, RunError
from qrt.packages import offered
from qrt.preflight import Plan
from qrt.pump import MailboxPort, Rack, rack_limits, rehearsal
from qrt.reasons import PORT_FAILED, SUSTAINED, StoppedError, place_of, raise_for
from qrt.slots import bind
from qrt.sweeps import MeasureSwept, Reach
from qrt.timeline import schedule
from qrt.types import Found, Lab, Measured, PortLimits, Pulses, Sequence, Truth

IDLE_S: Final = 1e-3  # the least that uploading and arming take on a rack
READER: Final = 0
NO_PLAN: Final = Plan(kernel.ThreadAsked(), 0, 0)  # virtual time asks nothing of the machine
POLL_S: Final = 0.02  # how often a waiting run looks at Ctrl-C


class ArmedPort(Protocol):
    """Hardware that is ready to be played: what a twin, a mailbox, or later a card's library, hands over."""

    @property
    def address(self) -> int: ...
    @property
    def limits(self) -> PortLimits: ...


class SimulatedLab(Protocol):
    """What the loop needs of a twin."""

    @property
    def limits(self) -> PortLimits: ...
    def arm(self, seed: int, idle_s: float) -> ArmedPort: ...
    def watch(self, tones: Mapping[str, int]) -> None: ...
    def known(self) -> Truth: ...
    def plant_bytes(self) -> bytes: ...
    def close(self) -> None: ...


class Stop(Protocol):
    """What tells a run to end: threading.Event, or anything with its `is_set`."""

    def is_set(self) -> bool: ...


class Never:
    """A stop that never comes."""

    def is_set(self) -> bool:
        """Return False."""
        return False


NEVER: Final = Never()


class Armed(msgspec.Struct, frozen=True):
    """A lab that waits for its kernel."""

    sequence: Sequence
    port: ArmedPort
    seed: int
    image: bytes  # of the twin's plant, its state included; empty on a rack
    rehearsed: NDArray[Any] | None = None  # what shots that are alike ask a mailbox for


class Loop:
    """One lab, opened. A context manager: leaving it makes the outputs safe, whatever happened."""

    def __init__(self, lab: Lab, seed: int, *, stop: Stop = NEVER, abort: Stop = NEVER) -> None:
        self.lab = lab
        self.seed = seed
        self.arm_count = 0
        self._stop, self._abort = stop, abort
        self._on = False
        self._stack = ExitStack()
        self._twin: Any = None
        self._open: OpenLab | None = None
        self._rack: Rack | None = None
        self._mailbox: MailboxPort | None = None  # of the last arm
        self._counts: Counter[str] = Counter()  # of the mailboxes before it
        self._erased_count = 0  # shots that `measure` lost
        self.compiled_count = self.kept_count = 0  # sequences of `arm`'s own: compiled, and there from before

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            if self.lab.twin is not None:
                self._twin = load_twin(self.lab)
                stack.callback(self._twin.close)
            self._open = stack.enter_context(OpenLab(self.lab, self._twin))
            self._open.configure()
            if self.lab.mailbox is not None:
                self._rack = Rack(self.lab, self._open)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    @property
    def found(self) -> tuple[Found, ...]:
        """The instruments, as they answered."""
        return self._lab().found

    @property
    def counters(self) -> dict[str, int]:
        """Every retry, discarded byte and the like of the control plane, what was compiled here, and the shots that measuring lost."""
        mailbox = {f"mailbox.{name}": count for name, count in self._counts.items()}
        return (
            self._lab().counters
            | mailbox
            | {"measured.shots_erased": self._erased_count}
            | {"measured.compiled": self.compiled_count, "measured.kept": self.kept_count}
        )

    @property
    def limits(self) -> PortLimits:
        """What the port can do."""
        if self._twin is None:
            return limits_of(self.lab)
        limits: PortLimits = self._twin.limits
        return limits

    def watch(self, tones: Mapping[str, int]) -> None:
        """Ask for the mean product of Z in the truth of arms from now on: of each qubit at its readout tone of that index."""
        if self._twin is not None:
            self._twin.watch(tones)

    @property
    def truth(self) -> Truth:
        """What the plant knows of the last arm."""
        assert self._twin is not None, "a rack knows no truth"
        truth: Truth = self._twin.known()
        return truth

    @property
    def dials(self) -> Dials:
        """The settings of the instruments."""
        return self._lab().dials

    def arm(
        self,
        pulses: Pulses | Callable[[], Pulses],
        reach: Reach | None = None,
        *,
        sequence: Sequence | None = None,
        settle_s: float = 0.0,
    ) -> Armed:
        """Bring the lab to where the kernel can start: compiled, uploaded, read back, outputs on.

        reach: of varied operands; sequence: what the pulses were compiled to, where they were, and then nobody asks for them but a mailbox;
        settle_s: what a twin's plant idles beside `IDLE_S`, where settings were changed.
        """
        if sequence is None:
            found = KEPT.played(pulses() if callable(pulses) else pulses, self.lab, self.limits, reach)
            self.compiled_count, self.kept_count = self.compiled_count + (not found.hit), self.kept_count + found.hit
            sequence = found.sequence
        rehearsed = None
        if self._rack is not None:
            rehearsed = self._rehearsed(pulses() if callable(pulses) else pulses, sequence, reach)
        self._lab().upload(sequence.segments)
        return self._armed(sequence, rehearsed, settle_s)

    def again(
        self, armed: Armed, sequence: Sequence, pulses: Callable[[], Pulses], reach: Reach | None, *, settle_s: float
    ) -> Armed:
        """Arm once more in a run that goes on: nothing is said to a line that holds its segments.

        reach: where operands may have other values than before, and a mailbox rehearses again; None: they have not.
        """
        self._lab().upload_changed(sequence.segments)
        rehearsed = armed.rehearsed
        if self._rack is not None and reach is not None:
            rehearsed = self._rehearsed(pulses(), sequence, reach)
        return self._armed(sequence, rehearsed, settle_s)

    def _armed(self, sequence: Sequence, rehearsed: NDArray[Any] | None, settle_s: float) -> Armed:
        """Switch on what is not, and let the port take what the instruments hold."""
        lab = self._lab()
        if not self._on:
            lab.outputs(on=True)
            self._on = True
            if self._rack is not None:
                self._rack.waits = True
        if self._rack is not None:
            self._rack.arm()
        seed = derived_seed(self.seed, self.arm_count)
        self.arm_count += 1
        port: ArmedPort | None = None if self._twin is None else self._twin.arm(seed, IDLE_S + settle_s)
        if self._rack is not None:
            self._mailbox = MailboxPort(self.lab, self._rack, sequence, self.limits, rehearsed)
            port = self._mailbox
        assert port is not None, "limits_of refuses a lab without a port"
        image = b"" if self._twin is None else self._twin.plant_bytes()
        return Armed(sequence, port, seed, image, rehearsed)

    def _rehearsed(self, pulses: Pulses, sequence: Sequence, reach: Reach | None) -> NDArray[Any] | None:
        """Return what shots that are alike ask a mailbox for, None where they differ. ProgramError for what it cannot play."""
        found = rehearsal(sequence, lambda: schedule(pulses, self.limits, reach), self.lab, self.limits)
        if found.report is not None:
            raise_for(found.report, sequence)
        return found.requests

    def asked_to_end(self) -> bool:
        """Return whether the run was told to stop or abort."""
        return self._stop.is_set() or self._abort.is_set()

    def check_asked(self) -> None:
        """Raise StoppedError if the run was told to end; between the run's steps, while no kernel plays."""
        if self.asked_to_end():
            raise StoppedError("stopped as asked, before the first shot of the run: nothing is recorded")

    def safe(self) -> None:
        """Switch every output off, read back; the next arm switches them on again."""
        self._on = False
        self._lab().safe()

    def measure(self, pulses: Pulses, shots: int, reach: Reach | None = None) -> Measured:
        """Run pulses for some shots and return their rows, with the captures themselves where they are `raw`: types.Measure.

        With a `reach`, whose grid the shots go through, the kernel's slots change from point to point. On a twin or a mailbox always in
        virtual time: only the run itself is paced. Raises StoppedError if it was told to end, RunError if the kernel ended early.
        """
        self.check_asked()
        armed = self.arm(pulses, reach)
        sequence = armed.sequence
        sweep = kernel.NO_SWEEP if reach is None else bind(sequence.parameters, reach).sweep
        dtype = kernel.row_dtype(len(sequence.slots), sequence.emit_count)
        raw_samples = kernel.raw_samples_max(sequence)
        raw_count = shots * int(np.count_nonzero(sequence.captures["raw"]))
        waits = self._twin is not None or self._rack is not None
        pacing = kernel.Pacing.VIRTUAL if waits else kernel.Pacing.REAL
        with ExitStack() as stack:
            rows = stack.enter_context(kernel.Ring.create(dtype.itemsize, power_of_two(shots), 1))
            raw = None
            if raw_samples:
                slot_size = kernel.raw_dtype(raw_samples).itemsize
                raw = stack.enter_context(kernel.Ring.create(slot_size, power_of_two(raw_count), 1))
            config = kernel_config(self.lab, armed, kernel.Rings(rows=rows, raw=raw), shots, pacing, sweep=sweep)
            report = self.play(stack.enter_context(kernel.Kernel(config)))
            self._erased_count += report.shots_erased
            if report.status is not kernel.Status.OK:
                self.check_asked()
            raise_for(report, sequence)
            measured = _drained(rows, dtype)
            captures = (
                {} if raw is None else _by_capture(_drained(raw, kernel.raw_dtype(raw_samples)), sequence, measured)
            )
            return Measured(measured, captures)

    @property
    def measure_swept(self) -> MeasureSwept | None:
        """How to run pulses over a grid in one arm; None where the port plays one shot again and again."""
        return self.measure if self._rack is None else None

    def play(self, loop: kernel.Kernel, turn: Callable[[], None] = lambda: None) -> kernel.Report:
        """Start the kernel and wait for its end, passing Ctrl-C on; `turn` is called every `POLL_S`."""
        with self._served(loop):
            loop.start()
            while not loop.wait(POLL_S):
                if self._abort.is_set():
                    loop.abort()
                elif self._stop.is_set():
                    loop.stop()
                turn()
            return loop.join()

    @contextmanager
    def _served(self, loop: kernel.Kernel) -> Iterator[None]:
        """Serve the mailbox, if there is one, while a kernel plays on it; raise what went wrong with it."""
        port = self._mailbox
        if port is None:
            yield
            return
        pump = port.pump(loop.config.shot_first + loop.config.shot_count)
        pump.start()
        try:
            yield
        finally:
            loop.abort()  # where it has not ended: somebody must answer it until it has
            report = loop.join()
            try:
                pump.join()
            except InstrumentError as error:
                raise RunError(f"the kernel stopped{place_of(report, port.sequence)}: {error}") from error
            finally:
                self._counts.update(port.counters)
                self._counts.update(pump.desk.counters)
        if report.status in PORT_FAILED and (why := port.failure()):
            many = SUSTAINED if report.status is kernel.Status.ERASED else ""
            raise RunError(f"the kernel stopped{place_of(report, port.sequence)}: {many}{why}")

    def _lab(self) -> OpenLab:
        assert self._open is not None, "entered"
        return self._open


def load_twin(lab: Lab) -> SimulatedLab:
    """Return the lab's twin with its instruments at their addresses. ConfigError names an unknown kind and those there are."""
    assert lab.twin is not None
    twin: SimulatedLab = named_entry("qrt.twins", lab.twin.kind, "twin.kind")(lab)
    return twin


def limits_of(lab: Lab) -> PortLimits:
    """Return what the lab's port can do, with no instrument opened. ConfigError for a lab that has none."""
    if lab.twin is None and lab.mailbox is None:
        raise _portless(lab)
    if lab.twin is None:
        return rack_limits(lab)
    with closing(load_twin(lab)) as twin:
        return twin.limits


def _portless(lab: Lab) -> ConfigError:
    return ConfigError(
        f"lab {lab.name!r} has no [twin] and no [mailbox], and no driver of a fast path exists yet; add a [mailbox] section to play it "
        "over SCPI, or a [twin] section to run it simulated"
    )


def named_entry(group: str, name: str, where: str) -> Any:
    """Return what an entry point names. ConfigError if there is none of that name."""
    known = offered(group)
    if name not in known:
        raise ConfigError(
            f"{where}: {name!r} is not one of {', '.join(sorted(known)) or 'none'} (entry points of group {group})"
        )
    return known[name].load()


def kernel_config(
    lab: Lab,
    armed: Armed,
    rings: kernel.Rings,
    shots: int,
    pacing: kernel.Pacing,
    *,
    plan: Plan = NO_PLAN,
    sweep: kernel.Sweep = kernel.NO_SWEEP,
    epochs: kernel.Epochs | None = None,
    shot_first: int = 0,
    stretched_first: int = 0,
    goes_on: bool = False,
) -> kernel.Config:
    """Return the kernel's configuration for an armed lab.

    plan: what its thread asks of the machine, for real pacing; sweep: what the slots are
    worth in each shot; epochs: where the values of controlled outputs come from. Where a run arms several times: shot_first,
    stretched_first: what came before, in shots and in periods that these were stretched by; goes_on: this may not be the last.
    """
    timing = lab.timing
    return kernel.Config(
        sequence=armed.sequence,
        port=armed.port.address,
        rings=rings,
        shot_count=shots,
        shot_first=shot_first,
        stretched_first=stretched_first,
        port_origin_tick=(shot_first + stretched_first) * armed.sequence.period_ticks,
        rings_stay_open=goes_on,
        pacing=pacing,
        late_policy=kernel.Policy[timing.late_policy.upper()],
        late_port_policy=kernel.Policy[timing.late_port_policy.upper()],
        tick_ps=timing.tick_ps,
        late_tolerance_ns=int(timing.late_tolerance_ns),
        sweep=sweep,
        seed=armed.seed,
        epochs=epochs,
        late_epoch_policy=kernel.Policy[lab.control.policy.upper()],
        thread=plan.thread,
        spin_share_permille=plan.spin_share_permille,
    )


def derived_seed(seed: int, arm: int) -> int:
    """Return the 64-bit seed of an arm: the first bytes of BLAKE2b over seed and number."""
    return int.from_bytes(hashlib.blake2b(f"{seed} {arm}".encode(), digest_size=8).digest(), "little")


def power_of_two(count: int) -> int:
    """Return the smallest power of two >= count, at least 1."""
    return 1 << max(count - 1, 0).bit_length()


def _drained(ring: kernel.Ring, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return a copy of everything in a closed ring."""
    parts = []
    while len(part := ring.peek(READER, dtype)):
        parts.append(part.copy())
        ring.release(READER, len(part))
    return np.concatenate(parts) if parts else np.zeros(0, dtype)


def _by_capture(records: NDArray[Any], sequence: Sequence, rows: NDArray[Any]) -> dict[int, NDArray[np.int16]]:
    """Return the samples [shots, samples] of each raw capture, without those of shots that were erased after it."""
    records = records[rows["flags"][records["shot"]] == 0]
    lengths = sequence.captures["sample_count"]
    return {
        int(index): records["samples"][records["capture"] == index][:, : lengths[index]]
        for index in np.flatnonzero(sequence.captures["raw"])
    }
