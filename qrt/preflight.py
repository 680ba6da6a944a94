"""What a paced run asks of the machine, what it gets, and what it costs where it does not get it.

`look` reads the machine's facts and changes nothing. `plan` decides from them, and from the period, what to ask: a pure rule. `hold`
does the asking that concerns the whole process (raise the soft limits, keep cores out of deep sleep) for as long as its block
lasts; what concerns the kernel's thread alone (cores, timer slack, priority), that thread asks for itself and reads back. `judge`
turns asked and in force into a list of properties, again a pure rule. Nothing is assumed to hold because it was asked for, and
nothing fails here: a property that is not in force is named, with its cost and its fix. Everything works without privileges.
"""

from __future__ import annotations

import os
import resource
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from qrt.kernel import ThreadAsked, ThreadFound, try_thread

PRIORITY: Final = 49  # below the kernel's own threads for interrupts, which have 50
SHARE_PERMILLE: Final = 900  # of a period, for spin and shot together
SLEEPING_PERIOD_NS: Final = 100_000  # in a shorter period there is no time to sleep, so no right to real-time priority
LOCKED_BYTES: Final = 64 << 20  # the kernel's arena: rings, rows and stack
STEAL_SHARE: Final = 0.001
CLOCK_SOURCES: Final = frozenset({"tsc", "kvm-clock", "arch_sys_counter", "hyperv_clocksource_tsc_page"})
LATENCY_FILE: Final = Path("/dev/cpu_dma_latency")
CAP_IPC_LOCK, CAP_SYS_NICE = 14, 23
LIMITS_FILE: Final = "/etc/security/limits.d/realtime.conf"


@dataclass(frozen=True)
class Machine:
    """The facts that a plan and a judgement need. Empty or None: the machine does not tell."""

    cores: tuple[int, ...]  # that this process may use
    isolated: tuple[int, ...]  # kept free of other tasks, by the machine's owner
    locked_bytes: int  # that may be locked; -1: any number
    priority_max: int  # that may be asked for; 0: none
    bandwidth: tuple[int, int] | None  # µs of µs that real-time threads may use; the first is -1 where there is no cap
    clock_source: str
    latency_us: int | None  # the longest wake-up from sleep states that is allowed now
    latency_writable: bool
    steal_ticks: int  # taken by the host from all cores since the machine started
    ticks: int  # of all cores, since then


@dataclass(frozen=True)
class Plan:
    """What a run asks for, and why it does not ask for more."""

    thread: ThreadAsked
    spin_share_permille: int
    locked_bytes: int
    reason: str = ""  # why no priority is asked for, where it could be


@dataclass(frozen=True)
class Property:
    """One property of the machine: what was asked, what is in force; where it is not as asked, what that costs and the fix."""

    name: str
    asked: str
    in_force: str
    holds: bool
    cost: str = ""
    fix: str = ""


# ---- The machine's facts ---------------------------------------------------------------------------------------------


def look() -> Machine:
    """Return the facts of this machine and this process. Changes nothing."""
    has = _capabilities()
    locked = resource.getrlimit(resource.RLIMIT_MEMLOCK)[1]
    priority = resource.getrlimit(resource.RLIMIT_RTPRIO)[1]
    steal, ticks = steal_of(_text("/proc/stat"))
    runtime, period = _text("/proc/sys/kernel/sched_rt_runtime_us"), _text("/proc/sys/kernel/sched_rt_period_us")
    return Machine(
        cores=tuple(sorted(os.sched_getaffinity(0))),
        isolated=cores_of(_text("/sys/devices/system/cpu/isolated")),
        locked_bytes=-1 if has >> CAP_IPC_LOCK & 1 else locked,
        priority_max=99 if has >> CAP_SYS_NICE & 1 or priority == resource.RLIM_INFINITY else priority,
        bandwidth=(int(runtime), int(period)) if runtime and period else None,
        clock_source=_text("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        latency_us=_latency_us(),
        latency_writable=os.access(LATENCY_FILE, os.W_OK),
        steal_ticks=steal,
        ticks=ticks,
    )


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:  # this machine has no such file, which the caller says
        return ""


def _capabilities() -> int:
    lines = _text("/proc/self/status").splitlines()
    return next((int(line.split()[1], 16) for line in lines if line.startswith("CapEff:")), 0)


def _latency_us() -> int | None:
    try:
        with LATENCY_FILE.open("rb", buffering=0) as file:
            return int(struct.unpack("=i", file.read(4))[0])
    except (OSError, struct.error):
        return None


def cores_of(text: str) -> tuple[int, ...]:
    """Return the cores of a list as the system writes it: `0-2,5`."""
    cores: list[int] = []
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        cores += range(int(first), int(last or first) + 1)
    return tuple(cores)


def steal_of(stat: str) -> tuple[int, int]:
    """Return the ticks that the host took from all cores, and all ticks, from the text of /proc/stat."""
    line = next((line for line in stat.splitlines() if line.startswith("cpu ")), "cpu 0")
    numbers = [int(number) for number in line.split()[1:9]]  # user nice system idle iowait irq softirq steal
    return (numbers[7] if len(numbers) > 7 else 0), sum(numbers)


# ---- What to ask -----------------------------------------------------------------------------------------------------


def plan(machine: Machine, period_ns: int, locked_bytes: int = LOCKED_BYTES) -> Plan:
    """Return what a run of this period asks for.

    A priority is asked for where it is allowed and the period leaves time to sleep: the system stops a real-time thread that
    takes its core for itself. A thread with a priority, or with an isolated core to go to, is bound to a core; an ordinary one
    is left free to flee from a busy one.
    """
    free = [core for core in machine.cores if core in machine.isolated]
    if period_ns < SLEEPING_PERIOD_NS:
        reason = (
            f"a period of {period_ns} ns leaves no time to sleep, and a real-time thread that only spins is stopped"
        )
        return Plan(ThreadAsked(cores=tuple(free[-1:])), 1000, locked_bytes, reason)
    priority = min(PRIORITY, machine.priority_max)
    bound = free[-1:] or (machine.cores[-1:] if priority and len(machine.cores) > 1 else ())
    return Plan(ThreadAsked(cores=tuple(bound), priority=priority), SHARE_PERMILLE, locked_bytes)


# ---- What holds ------------------------------------------------------------------------------------------------------


def judge(
    machine: Machine, asked: Plan, found: ThreadFound, *, held: bool = True, locked: bool | None = None
) -> tuple[Property, ...]:
    """Return the properties in order.

    held: whether this is about a run, which asks for what concerns the whole process, too, or about what one could get. locked: whether
    the kernel's memory was; None before that is known: what limits allow counts.
    """
    return (
        _memory(machine, asked.locked_bytes, locked=locked),
        _priority(asked, found),
        _cores(machine, asked.thread, found),
        _slack(asked.thread, found),
        _sleep_states(machine, held=held),
        _bandwidth(machine, asked, found),
        _clock_source(machine),
        _steal(machine),
    )


def _memory(machine: Machine, size: int, *, locked: bool | None) -> Property:
    limit = "any amount" if machine.locked_bytes < 0 else f"{machine.locked_bytes >> 10} KiB"
    holds = locked if locked is not None else machine.locked_bytes < 0 or machine.locked_bytes >= size
    told = "" if locked is None else ", locked" if locked else ", not all locked"
    cost = "pages that the kernel plays from may be evicted; a shot that needs one then waits for the disk"
    fix = f"a line `@realtime - memlock unlimited` in {LIMITS_FILE}, and your user in that group"
    return _property("locked memory", f"{size >> 20} MiB", f"{limit} allowed{told}", cost, fix, holds=holds)


def _priority(asked: Plan, found: ThreadFound) -> Property:
    policies = {os.SCHED_OTHER: "ordinary", os.SCHED_FIFO: "SCHED_FIFO", os.SCHED_RR: "SCHED_RR"}
    policy = policies.get(found.policy, f"policy {found.policy}")
    now = f"{policy} {found.priority}" if found.priority > 0 else policy
    refused = f" ({os.strerror(found.priority_error)})" if found.priority_error else ""
    wanted = asked.thread.priority
    holds = bool(wanted) and (found.policy, found.priority) == (os.SCHED_FIFO, wanted)
    cost = asked.reason or "any other thread may keep this one from its core, for milliseconds"
    fix = f"a line `@realtime - rtprio {PRIORITY}` in {LIMITS_FILE}, and your user in that group"
    fix = "a longer period, or a core of its own (isolcpus=)" if asked.reason else fix
    wish = f"SCHED_FIFO {wanted}" if wanted else "nothing"
    return _property("real-time priority", wish, now + refused, cost, fix, holds=holds)


def _cores(machine: Machine, asked: ThreadAsked, found: ThreadFound) -> Property:
    now = f"core{'s' if len(found.cores) > 1 else ''} {', '.join(map(str, found.cores))}"
    refused = f" ({os.strerror(found.cores_error)})" if found.cores_error else ""
    alone = bool(found.cores) and set(found.cores) <= set(machine.isolated)
    told = ", isolated" if alone else ", shared with other tasks"
    wish = f"core {asked.cores[0]}" if asked.cores else "nothing"
    cost = "interrupts and other tasks on that core delay releases"
    fix = "boot with isolcpus= and nohz_full= for one core"
    return _property(
        "core", wish, now + refused + told, cost, fix, holds=alone and (not asked.cores or found.cores == asked.cores)
    )


def _slack(asked: ThreadAsked, found: ThreadFound) -> Property:
    refused = f" ({os.strerror(found.slack_error)})" if found.slack_error else ""
    cost = f"the system may delay every wake-up by {found.slack_ns} ns"
    fix = "report it: Linux grants this to every thread"
    holds = 0 <= found.slack_ns <= asked.slack_ns
    return _property("timer slack", f"{asked.slack_ns} ns", f"{found.slack_ns} ns{refused}", cost, fix, holds=holds)


def _sleep_states(machine: Machine, *, held: bool) -> Property:
    rights = "may be asked for" if machine.latency_writable else "may not be asked for"
    now = "not told" if machine.latency_us is None else f"{machine.latency_us} µs now"
    cost = "a core that sleeps deeply takes 50 to 100 µs longer to wake"
    fix = f"a udev rule that gives your group write access to {LATENCY_FILE}"
    holds = machine.latency_us == 0 or (machine.latency_writable and not held)
    return _property("sleep states", "0 µs", f"{now}, {rights}", cost, fix, holds=holds)


def _bandwidth(machine: Machine, asked: Plan, found: ThreadFound) -> Property:
    wish = f"{asked.spin_share_permille / 10:g} % of a core"
    if found.priority <= 0:
        return Property("real-time bandwidth", wish, "ordinary thread: no cap", holds=True)
    if machine.bandwidth is None:
        return Property("real-time bandwidth", wish, "not told", holds=True)
    runtime, period = machine.bandwidth
    now = "no cap" if runtime < 0 else f"{runtime} µs of {period} µs"
    cost = "the system stops the thread for the rest of the second once it has used its share"
    fix = "sysctl kernel.sched_rt_runtime_us=-1"
    holds = runtime < 0 or runtime * 1000 > asked.spin_share_permille * period
    return _property("real-time bandwidth", wish, now, cost, fix, holds=holds)


def _clock_source(machine: Machine) -> Property:
    now = machine.clock_source or "not told"
    cost = "each look at the clock is a system call, or slow: spinning ends up to some µs late"
    fix = "boot with clocksource=tsc where the processor's counter is stable"
    return _property(
        "clock source",
        "one that is read without a system call",
        now,
        cost,
        fix,
        holds=now in CLOCK_SOURCES | {"not told"},
    )


def _steal(machine: Machine) -> Property:
    share = machine.steal_ticks / max(machine.ticks, 1)
    cost = (
        "the host stops this machine now and then; releases in such a stop are misses, and no setting here avoids them"
    )
    fix = "a machine of its own, or a host that binds the virtual cores"
    return _property("host steal", "none", f"{share * 100:.2f} % of the time", cost, fix, holds=share < STEAL_SHARE)


def _property(name: str, asked: str, in_force: str, cost: str, fix: str, *, holds: bool) -> Property:
    return Property(name, asked, in_force, holds, "" if holds else cost, "" if holds else fix)


# ---- For the time of a run -------------------------------------------------------------------------------------------


def survey(period_ns: int = 1_000_000) -> tuple[Property, ...]:
    """Return what a run of this period would get here. Changes nothing: what a thread gets is tried on one that ends at once."""
    machine = look()
    asked = plan(machine, period_ns)
    return judge(machine, asked, try_thread(asked.thread), held=False)


class Held:
    """What `hold` did. `plan` goes into the kernel's Config; `before` is what holds at the start, `after` at the end."""

    def __init__(self, machine: Machine, asked: Plan, refusals: tuple[str, ...]) -> None:
        self.machine = machine
        self.plan = asked
        self.refusals = refusals  # what was asked of the system for the process, and refused
        self.before = judge(machine, asked, try_thread(asked.thread))

    def after(self, found: ThreadFound, *, locked: bool) -> tuple[Property, ...]:
        """Return the properties as the kernel's thread read them back; steal is that of the time in between."""
        now = look()
        steal, ticks = now.steal_ticks - self.machine.steal_ticks, now.ticks - self.machine.ticks
        return judge(replace(now, steal_ticks=steal, ticks=ticks), self.plan, found, locked=locked)


@contextmanager
def hold(period_ns: int, locked_bytes: int = LOCKED_BYTES) -> Iterator[Held]:
    """Raise this process's soft limits as far as allowed, and keep all cores out of deep sleep until the block ends."""
    limits = {"locked memory": resource.RLIMIT_MEMLOCK, "real-time priority": resource.RLIMIT_RTPRIO}
    before = {limit: resource.getrlimit(limit) for limit in limits.values()}
    refusals = []
    for name, limit in limits.items():
        try:
            resource.setrlimit(limit, (before[limit][1], before[limit][1]))
        except (OSError, ValueError) as error:
            refusals.append(f"{name}: the limit stays at {before[limit][0]}: {error}")
    device = -1
    try:
        try:
            device = os.open(LATENCY_FILE, os.O_RDWR | os.O_CLOEXEC)
            os.write(device, struct.pack("=i", 0))
        except OSError as error:
            refusals.append(f"sleep states: {LATENCY_FILE}: {error.strerror}")
        machine = look()
        yield Held(machine, plan(machine, period_ns, locked_bytes), tuple(refusals))
    finally:
        if device >= 0:
            os.close(device)
        for limit, values in before.items():
            resource.setrlimit(limit, values)
