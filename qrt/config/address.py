"""Which addresses results may be published on: of this machine alone.

Messages are neither signed nor encrypted, so nobody else shall hear them or pose as the run. Other addresses come with CURVE keys in a
later version, and are refused until then with that reason. The lab file is checked by this rule, and so is whoever publishes without one.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final

ALLOWED: Final = "tcp://127.0.0.1:PORT, tcp://[::1]:PORT, tcp://localhost:PORT, ipc://PATH"
_TCP: Final = re.compile(r"tcp://(?P<host>\[[0-9a-fA-F:]+\]|[^:\[\]/]+):(?P<port>\d{1,5}|\*)")


def stream_address(address: str) -> str:
    """Return the address as ZeroMQ takes it, `*` being any free port; ValueError, with the reason and what is allowed, for all others."""
    if address.startswith("ipc://") and len(address) > len("ipc://"):
        return address
    match = _TCP.fullmatch(address)
    if match is None or (match["port"] != "*" and not 0 < int(match["port"]) < 65536):
        raise ValueError(f"{address!r} is not an address to publish on; allowed: {ALLOWED}")
    host = "127.0.0.1" if match["host"] == "localhost" else match["host"].strip("[]")
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False  # a name or an interface: nobody knows where that leads
    if not loopback:
        reason = "off this machine anyone could listen or pose as the run, and keys (CURVE) are not there yet"
        raise ValueError(f"{address!r} is refused: {reason}; allowed: {ALLOWED}")
    return f"tcp://{f'[{host}]' if ':' in host else host}:{match['port']}"
