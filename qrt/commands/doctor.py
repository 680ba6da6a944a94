"""`qrt doctor`: the checks of `qrt.doctor`, written as lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from qrt.commands.screen import Screen
from qrt.doctor import Check, diagnose, worst
from qrt.types import Stream

COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


def doctor(lab_path: str | None, *, silent: bool) -> dict[str, Any]:
    """Write every check and return them with the worst status; the lab's addresses are checked if one is given."""
    stream, runs = Stream().address, "runs"
    if lab_path is not None:
        from qrt import config

        lab = config.load(lab_path)
        stream, runs = lab.stream.address, lab.runs
    screen = Screen(silent=silent)
    checks: list[Check] = []
    for check in diagnose(stream, Path(runs)):
        checks.append(check)
        screen.line(f"{click.style(check.status.ljust(4), fg=COLOURS[check.status])}  {check.name}: {check.detail}")
        if check.fix:
            screen.line(f"      fix: {check.fix}")
    return {"status": worst(checks), "checks": [msgspec.to_builtins(check) for check in checks]}
