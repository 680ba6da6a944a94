"""Ctrl-C of the command, and the signals by which a machine or a closing terminal ends a program: outputs must not stay on for them."""

from __future__ import annotations

import signal

from qrt import interrupt

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupt(interrupt.Interrupt):
    """While entered, the first signal sets `stop`, the second sets `abort`, and a third is Python's own KeyboardInterrupt."""

    def __init__(self) -> None:
        super().__init__(SIGNALS)
