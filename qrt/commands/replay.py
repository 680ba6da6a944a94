"""`qrt replay`: a recorded run, played again and compared row by row, held against another run, or its batch side computed again."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from qrt.against import Comparison, compare
from qrt.commands.screen import Screen, printable, spaced
from qrt.recompute import Recomputed, recompute
from qrt.replay import Verdict, replay

SOURCES_TOLD: Final = 24  # lines; --json has all of them


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


def against(folder: str | Path, other: str | Path, screen: Screen) -> Comparison:
    """Compare the runs in two folders, write what they were made of and where they part, and return that."""
    found = compare(folder, other)
    for name, path, shots in zip("AB", (found.a, found.b), found.shots, strict=True):
        screen.line(f"   {name}: {printable(path)}: {spaced(shots)} shots")
    for note in found.notes:
        screen.line(f"   note: {printable(note)}")
    count = len(found.sources)
    if count:
        screen.line(f"   not made of the same: {spaced(count)} difference{'s' if count > 1 else ''}")
        rows = [(one.name, f"A {printable(one.a)}", f"B {printable(one.b)}") for one in found.sources[:SOURCES_TOLD]]
        screen.table((), rows)
    if count > SOURCES_TOLD:
        screen.line(f"   and {spaced(count - SOURCES_TOLD)} more, which --json lists")
    if found.same:
        made = "though not made of the same" if count else "and made of the same"
        screen.line(f"   the same in every bit, {made}: digest {found.digests[0][:16]}…")
    else:
        screen.line(f"   first difference: {printable(found.difference)}")
        screen.line(f"   digest of A {found.digests[0]}, of B {found.digests[1]}")
    return found


def computed(folder: str | Path, screen: Screen) -> Recomputed:
    """Compute the batch side of the run in `folder` again, write what came of it and return that."""
    found = recompute(folder)
    for note in found.notes:
        screen.line(f"   note: {printable(note)}")
    for line in verdict_lines(found):
        screen.line(f"   {printable(line)}")
    return found


def verdict_lines(found: Recomputed) -> list[str]:
    """Return what computing again found, in lines."""
    documents = f"{spaced(found.estimates)} estimates" + (f" and {spaced(found.epochs)} epochs" if found.epochs else "")
    head = f"{spaced(found.numbers)} numbers in {documents} computed again"
    if found.largest is None:
        return [head, "the same in every bit"]
    largest = f"the largest deviation: {found.largest.text}"
    if found.off is None:
        return [head, f"within {found.tolerance:g}; {largest}"]
    return [head, f"beyond {found.tolerance:g}: {found.difference}", largest]
