"""`qrt watch`: what a running lab publishes, one line a document, until Ctrl-C.

Pages of shots, epochs, estimates and heartbeats come many a second: of each kind, and of each estimate, a line is written at most twice a
second, and the last one before a run's `stop`. What was lost on the way is said where it was lost, and summed up at the end. With
`--json` every document is one object on a line, arrays as lists.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from math import hypot
from typing import Any

import click
import msgspec
import numpy as np

from qrt.commands.screen import printable, spaced
from qrt.publisher import Seen, Tally
from qrt.publisher import watch as listen
from qrt.wire import Message

FREQUENT = frozenset({"event_page", "epoch", "estimate", "heartbeat"})
PERIOD_S = 0.5


class Sparing:
    """Writes a document's line, or keeps it for a while if one of its kind was written just before."""

    def __init__(self) -> None:
        self._said_at: dict[str, float] = {}
        self._kept: dict[str, str] = {}

    def write(self, message: Message) -> None:
        """Write the line of a document; before a `stop`, those that were kept."""
        doc = message.header.doc
        line = f"{doc:<10} {printable(describe(message))}"
        if doc not in FREQUENT or message.body.get("refused"):
            if doc == "stop":
                for kept in self._kept.values():
                    click.echo(kept)
                self._kept.clear()
            click.echo(line)
            return
        kind = f"{doc} {message.body.get('name', '')}"
        now = time.monotonic()
        if now - self._said_at.get(kind, -PERIOD_S) < PERIOD_S:
            self._kept[kind] = line
        else:
            self._said_at[kind] = now
            self._kept.pop(kind, None)
            click.echo(line)


def watch(address: str, *, as_json: bool) -> None:
    """Write what comes from `address`; returns at Ctrl-C, with the counts of what came and what did not."""
    tally = Tally()
    coming = listen(address, tally=tally)  # refuses a bad address
    if not as_json:
        click.echo(f"listening on {address}; Ctrl-C ends")
    sparing = Sparing()
    try:
        for seen in coming:
            if as_json:
                click.echo(as_object(seen))
            else:
                _write(seen, sparing)
            sys.stdout.flush()
    except KeyboardInterrupt:
        counts = {"delivered": tally.delivered, "skipped": tally.skipped, "before": tally.before}
        if as_json:
            click.echo(msgspec.json.encode(counts).decode())
        else:
            said = f"{spaced(tally.delivered)} documents, {spaced(tally.skipped)} skipped, {spaced(tally.before)} before this began"
            click.echo(f"\n{said}")


def as_object(seen: Seen) -> str:
    """Return one line of JSON for what came."""
    if seen.message is None:
        return msgspec.json.encode({"refusal": seen.refusal}).decode()
    line = {
        "topic": seen.message.topic,
        "skipped_count": seen.skipped_count,
        "header": seen.message.header,
        "body": seen.message.body,
    }
    return msgspec.json.encode(line, enc_hook=_listed).decode()


def _listed(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise NotImplementedError(type(value))


def _write(seen: Seen, sparing: Sparing) -> None:
    if seen.skipped_count:
        click.echo(f"{spaced(seen.skipped_count)} skipped")
    if seen.message is None:
        click.echo(f"refused: {printable(seen.refusal)}")
    else:
        sparing.write(seen.message)


def describe(message: Message) -> str:
    """Return a document in one line. Keys that a document of another version lacks are left out."""
    body, header = message.body, message.header
    match header.doc:
        case "start":
            said = {
                "calibration_hash": str(body.get("calibration_hash"))[:12],
                "seed": body.get("seed"),
                "clock": body.get("clock"),
            }
            return f"{header.run}{' (simulated)' if body.get('simulated') else ''} {_pairs(said)}"
        case "event_page":
            shots = body.get("data", {}).get("shot", ())
            last = int(shots[-1]) if len(shots) else "none"
            return f"{len(shots)} shots up to {last}, {_durable(header.durable_shot)}"
        case "estimate":
            terms = [float(value) for value in body.get("stderr", {}).values()]
            return f"{body.get('name')} = {body.get('value', float('nan')):+.4f} ± {hypot(*terms):.4f}, from {body.get('shots')} shots"
        case "heartbeat":
            return f"{body.get('state')}, {_durable(header.durable_shot)}"
        case "stop":
            said = {"shots": body.get("num_events", {}).get("primary"), "digest": str(body.get("digest"))[:12]}
            return (
                f"{body.get('exit_status')}{': ' if body.get('reason') else ''}{body.get('reason', '')} {_pairs(said)}"
            )
        case "epoch":
            values = _pairs({name: f"{value:.9g}" for name, value in body.get("values", {}).items()})
            refused = "".join(f"; refused: {one}" for one in body.get("refused", ()))
            return f"{body.get('epoch')} from shot {body.get('first_shot')} on: {values}{refused}"
        case "leg":
            values = _pairs({name: f"{value:.9g}" for name, value in body.get("values", {}).items()})
            return f"{body.get('leg')} from shot {body.get('first_shot')} on: {values}; {body.get('dead_s', 0.0):.3g} s without a shot"
        case "miss":
            return _pairs(body)
        case _:
            return header.run


def _durable(durable_shot: int) -> str:
    return f"durable up to {durable_shot - 1}" if durable_shot else "nothing durable yet"


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
