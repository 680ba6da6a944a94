"""What this machine can do for Q-RT: one check a line, each ok, warn or fail, and what to do where it is not ok.

A check asks the machine one thing and answers with a `Check`; `diagnose` makes them all, in under two seconds, and raises nothing:
what a check cannot find out is a warning that says so. Nothing here changes the machine, opens an instrument or sends a byte; the
one file that the disk check writes is removed again. `warn` means that simulated runs and virtual time work, but that real pacing or
a rack would suffer; `fail` means that a run cannot work.
"""

from __future__ import annotations

import os
import platform
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

import msgspec

PYTHON_MIN: Final = (3, 11)
FREE_BYTES_FAIL, FREE_BYTES_WARN = 256 << 20, 4 << 30
SYNC_WARN_S: Final = 0.050  # a commit that takes longer holds the durable shot back visibly

Status = Literal["ok", "warn", "fail"]


class Check(msgspec.Struct, frozen=True):
    """One line of the doctor: what was looked at, how it is, and the fix where it is not ok."""

    name: str
    status: Status
    detail: str
    fix: str = ""


def diagnose(stream: str, runs: Path) -> Iterator[Check]:
    """Yield all checks in order, for a lab that publishes on `stream` and keeps its runs in the folder `runs`."""
    yield interpreter(sys.version_info[:3])
    yield core()
    yield from visa_backends()
    yield serial_ports()
    yield flavour(platform.release(), read(Path("/proc/version")), read(Path("/sys/kernel/realtime")))
    yield governor(
        [read(path) for path in sorted(Path("/sys/devices/system/cpu").glob("cpu*/cpufreq/scaling_governor"))]
    )
    yield from pacing()
    yield stream_port(stream)
    yield from disk(runs)


def worst(checks: list[Check]) -> Status:
    """Return the most serious status."""
    order: tuple[Status, ...] = ("fail", "warn", "ok")
    return next((status for status in order if any(check.status == status for check in checks)), "ok")


def read(path: Path) -> str:
    """Return a small system file's text, or an empty string where this machine has none."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def interpreter(running: tuple[int, int, int]) -> Check:
    """Check the version of Python."""
    detail = f"Python {'.'.join(map(str, running))}, {platform.machine()}, {os.cpu_count()} cores"
    if running[:2] < PYTHON_MIN:
        return Check("interpreter", "fail", detail, "install Python 3.11 or newer, then: make PYTHON=python3.11")
    return Check("interpreter", "ok", detail)


def core() -> Check:
    """Check that the C core loads, and name the instruction set that it chose."""
    try:
        from qrt import kernel
    except ImportError as error:
        return Check(
            "C core", "fail", f"does not load: {error}", "make venv, or: pip install --editable . (needs a C compiler)"
        )
    names = ", ".join(kernel.isa_names())
    return Check("C core", "ok", f"instruction set {kernel.isa_selected()}, of {names} (QRT_ISA= forces one)")


def visa_backends() -> Iterator[Check]:
    """Check PyVISA and its pure-Python and simulated backends."""
    for package, use, missing in (
        ("pyvisa", "instruments by VISA", "fail"),
        ("pyvisa-sim", "simulated instruments", "fail"),
        ("pyvisa-py", "a rack without a vendor's VISA library", "warn"),
    ):
        try:
            yield Check(package, "ok", f"{version(package)}: {use}")
        except PackageNotFoundError:
            status: Status = "fail" if missing == "fail" else "warn"
            yield Check(package, status, f"not installed: {use} will not work", f"pip install {package}")


def serial_ports() -> Check:
    """List the serial ports, and check that they may be opened."""
    try:
        from serial.tools.list_ports import comports
    except ImportError as error:
        return Check("serial ports", "fail", f"pyserial does not load: {error}", "pip install pyserial")
    devices = sorted(port.device for port in comports())
    closed = [device for device in devices if not os.access(device, os.R_OK | os.W_OK)]
    if closed:
        detail = f"no right to open {', '.join(closed)}"
        return Check("serial ports", "warn", detail, "add yourself to the group dialout, then log in again")
    return Check("serial ports", "ok", ", ".join(devices) or "none; simulated labs bring their own")


def flavour(release: str, banner: str, realtime: str) -> Check:
    """Check the kernel's preemption model."""
    if realtime == "1" or "PREEMPT_RT" in banner:
        return Check("Linux kernel", "ok", f"{release}, PREEMPT_RT")
    detail = f"{release}, not PREEMPT_RT: real pacing has a longer tail"
    return Check("Linux kernel", "warn", detail, "install a PREEMPT_RT kernel for real pacing")


def governor(governors: list[str]) -> Check:
    """Check that no core changes its frequency while a run is paced."""
    names = sorted(set(filter(None, governors)))
    if not names:
        return Check("frequency governor", "ok", "none: the host decides, or the frequency is fixed")
    if names == ["performance"]:
        return Check("frequency governor", "ok", "performance on every core")
    return Check("frequency governor", "warn", ", ".join(names), "cpupower frequency-set --governor performance")


def pacing() -> Iterator[Check]:
    """List what a paced run would get of this machine, as `qrt.preflight` sees it; it tries on a thread that ends at once."""
    try:
        from qrt import preflight
    except ImportError:
        return  # without the C core, which has a line of its own
    for found in preflight.survey():
        wish = "" if found.asked == "nothing" else f"; asked: {found.asked}"
        if found.holds:
            yield Check(found.name, "ok", f"{found.in_force}{wish}")
        else:
            yield Check(found.name, "warn", f"{found.in_force}{wish}; {found.cost}", found.fix)


def stream_port(address: str) -> Check:
    """Check that the stream's address can be bound now."""
    parts = urlsplit(address)
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if parts.scheme != "tcp" or host is None or port is None:
        detail = f"{address} is not of the form tcp://host:port; not tried"
        return Check("stream port", "warn", detail, "set stream.address in the lab file")
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            fix = "end the program that has it (ss -ltnp names it), or set another stream.address in the lab file"
            return Check("stream port", "fail", f"{address}: {error.strerror}", fix)
    return Check("stream port", "ok", f"{address} is free")


def disk(runs: Path) -> Iterator[Check]:
    """Check that the folder of the runs can be written, has room, and makes data durable."""
    folder = next(parent for parent in (runs.absolute(), *runs.absolute().parents) if parent.exists())
    free = shutil.disk_usage(folder).free
    fix = "free some space, or choose another folder: qrt run --runs FOLDER"
    status: Status = "fail" if free < FREE_BYTES_FAIL else "warn" if free < FREE_BYTES_WARN else "ok"
    yield Check("disk space", status, f"{free / 2**30:.1f} GiB free in {folder}", "" if status == "ok" else fix)
    yield _durability(folder)


def _durability(folder: Path) -> Check:
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".qrt-doctor-") as file:
            file.write(bytes(4096))
            file.flush()
            started = time.monotonic()
            os.fsync(file.fileno())
            took_s = time.monotonic() - started
    except OSError as error:
        return Check(
            "run folder",
            "fail",
            f"{folder}: {error.strerror}",
            "choose a folder that you may write: qrt run --runs FOLDER",
        )
    detail = f"{folder} can be written; fsync took {took_s * 1e3:.1f} ms"
    if took_s > SYNC_WARN_S:
        return Check(
            "run folder", "warn", detail, "a local disk makes shots durable sooner; a network mount is not recommended"
        )
    return Check("run folder", "ok", detail)
