"""`qrt replay`: a recorded run, played again and compared row by row."""

from __future__ import annotations

from pathlib import Path

from qrt.commands.screen import Screen, printable, spaced
from qrt.replay import Verdict, replay


def again(folder: str | Path, screen: Screen) -> Verdict:
    """Play the run in `folder` again, write what came of it and return that."""
    verdict = replay(folder)
    for note in verdict.notes:
        screen.line(f"   note: {printable(note)}")
    if verdict.same:
        screen.line(
            f"   {spaced(verdict.shots)} shots played again, the same in every bit: digest {verdict.digest[:16]}…"
        )
    else:
        screen.line(f"   {spaced(verdict.shots)} shots played again, not the same: {printable(verdict.difference)}")
        screen.line(f"   digest {verdict.digest}, on record {verdict.recorded}")
    return verdict
