"""What the documents of a run hold: one function each, from values to the map that is recorded and streamed. Pure.

The vocabulary is Bluesky's, and its schemas validate `start`, `descriptor`, `event_page` and `stop`. An event is a shot, so the columns
of a page are as long as its `seq_num`; a column may have further axes. Exact time is in `tick`; the float `time` of a shot is the
run's start plus its ticks, which in virtual pacing is simulated time. `timestamps` repeats that one column by reference.

Streams are the third part of a topic: `control` for what every listener wants to know, `primary` for the shots, `estimates`. A stream
of control never shares a topic with data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from qrt.types import Estimate
from qrt.wire import REQUIRED

STREAM_OF: Final[Mapping[str, str]] = {
    "start": "control",
    "descriptor": "primary",
    "event_page": "primary",
    "epoch": "control",
    "leg": "control",
    "estimate": "estimates",
    "miss": "control",
    "heartbeat": "control",
    "stop": "control",
}
assert STREAM_OF.keys() == REQUIRED.keys()

# Columns of a page in the order of wire.md: field of the row, units, what the kernel says it is.
COLUMNS: Final = (
    ("shot", "", "index of the shot"),
    ("tick", "tick", "start of the shot, from the run's start"),
    ("epoch", "", "parameters in force"),
    ("outcomes", "", "per capture: 0, 1, or 255 where it was not executed"),
    ("iq", "counts", "per capture: demodulated i and q"),
    ("bits", "", "final bits of the program, bit k is bits[k]"),
    ("shot_weight", "", "signed factor of the shot in an average"),
    ("flags", "", "1: skipped, 2: erased: the hardware was too late for it"),
)
EMITTED: Final = (
    "emitted",
    "",
    "per output: what the program put there, 0 where it did not",
)  # of programs with outputs
LATENESS: Final = ("lateness_ns", "ns", "release after due time; telemetry, outside the digest")

# Names for the numbers of qrt_core.h.
MISS_CLASSES: Final = ("late_release", "late_sink", "late_epoch", "late_decision", "late_port")
ERASING: Final = frozenset({"late_decision", "late_port"})
MISS_POLICIES: Final = ("skip", "abort", "hold", "erase")
MISS_CAUSES: Final = ("sink", "page_fault", "switch", "budget", "outside", "steal", "stopped", "batch", "port")


def start(
    uid: str,
    time_s: float,
    *,
    program_hash: str,
    lab_hash: str,
    calibration_hash: str | None,
    seed: int,
    clock: str,
    versions: Mapping[str, str],
    operator: str,
    simulated: bool,
    **extra: Any,
) -> dict[str, Any]:
    """Return the `start` document. Keys, also those of `extra` and nested ones, hold neither `.` nor `/`: the schema's rule."""
    return {
        "uid": uid,
        "time": time_s,
        "program_hash": program_hash,
        "lab_hash": lab_hash,
        "calibration_hash": calibration_hash,
        "seed": seed,
        "clock": clock,
        "versions": dict(versions),
        "operator": operator,
        "simulated": simulated,
        **extra,
    }


def descriptor(
    run: str,
    time_s: float,
    *,
    dtype: np.dtype[Any],
    captures: Sequence[str],
    bits: Sequence[str],
    tick_ps: int,
    outputs: Sequence[str] = (),
    output_kinds: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the `descriptor` of the stream `primary`: dtype, shape, units and source of each column of its pages."""
    keys = {}
    for name, units, what in (*_columns(dtype), LATENESS):
        field = dtype.fields[name][0] if dtype.fields and name in dtype.fields else np.dtype("<i8")
        base, shape = field.subdtype or (field, ())
        kind = "number" if base.kind == "f" else "integer"
        keys[name] = {
            "dtype": "array" if shape else kind,
            "dtype_numpy": base.newbyteorder("<").str,
            "shape": list(shape),
            "units": units,
            "source": f"kernel: {what}",
        }
    configuration: dict[str, Any] = {"captures": list(captures), "bits": list(bits), "tick_ps": tick_ps}
    if outputs:
        configuration |= {"outputs": list(outputs), "output_kinds": list(output_kinds)}
    return {
        "uid": descriptor_uid(run),
        "run_start": run,
        "time": time_s,
        "name": "primary",
        "data_keys": keys,
        "object_keys": {"kernel": list(keys)},
        "configuration": {
            "kernel": {"data": configuration, "timestamps": dict.fromkeys(configuration, time_s), "data_keys": {}}
        },
    }


def _columns(dtype: np.dtype[Any]) -> tuple[tuple[str, str, str], ...]:
    return (*COLUMNS, EMITTED) if "emitted" in (dtype.names or ()) else COLUMNS


def descriptor_uid(run: str) -> str:
    """Return the uid of a run's descriptor of `primary`."""
    return f"{run}/primary"


def event_page(
    run: str, rows: NDArray[Any], lateness_ns: NDArray[np.int64], *, time_s: float, tick_ps: int
) -> dict[str, Any]:
    """Return a page of shots.

    rows: [shots] kernel.row_dtype; lateness_ns: [shots]; time_s: the run's start. The columns are copies.
    """
    assert len(rows) == len(lateness_ns)
    time = time_s + rows["tick"] * (tick_ps * 1e-12)
    shots = rows["shot"].tolist()
    data = {name: np.ascontiguousarray(rows[name]) for name, _, _ in _columns(rows.dtype)}
    data["lateness_ns"] = np.array(lateness_ns, dtype=np.int64)
    return {
        "descriptor": descriptor_uid(run),
        "seq_num": (rows["shot"] + 1).tolist(),  # Bluesky counts from 1
        "uid": [f"{run}/{shot}" for shot in shots],
        "time": time,
        "timestamps": dict.fromkeys(data, time),
        "data": data,
    }


def epoch(
    number: int,
    first_shot: int,
    *,
    batch: int,
    values: Mapping[str, float],
    words: Sequence[int],
    controllers: Sequence[str],
    refused: Sequence[str],
    ended: Sequence[str],
    busy_ns: int,
) -> dict[str, Any]:
    """Return the `epoch` document: what these controllers made of a batch, to take effect at a shot, if the run gets there.

    words: what the kernel loads, by slot; refused: updates that were not taken, in words; ended: controllers whose laws ended
    their process and so did not step; busy_ns: telemetry.
    """
    return {
        "epoch": number,
        "first_shot": first_shot,
        "batch": batch,
        "values": dict(values),
        "words": list(words),
        "controllers": list(controllers),
        "refused": list(refused),
        "ended": list(ended),
        "busy_ns": busy_ns,
    }


def leg(
    index: int,
    first_shot: int,
    shots: int,
    *,
    asked: Mapping[str, float],
    values: Mapping[str, float],
    settle_s: float,
    dead_s: float,
) -> dict[str, Any]:
    """Return the `leg` document: from this shot on these settings and inputs are held.

    asked: what was wanted of each; values: what instruments say that they are now, of an input the same; settle_s: that was waited
    for, or idled; dead_s: telemetry, wall time since the shots before.
    """
    return {
        "leg": index,
        "first_shot": first_shot,
        "shots": shots,
        "asked": dict(asked),
        "values": dict(values),
        "settle_s": settle_s,
        "dead_s": dead_s,
    }


def estimate(value: Estimate) -> dict[str, Any]:
    """Return the `estimate` document; its numbers are finite, an unknown truth is null."""
    fields: dict[str, Any] = msgspec.to_builtins(value)
    return fields


def miss(row: Any) -> dict[str, Any]:
    """Return the `miss` document of one qrt_miss, with names for its class, policy and cause.

    Of an erased shot also what its replay needs: how far it came, and whether the hardware played it to its end all the same.
    """
    body = {
        "shot": int(row["shot"]),
        "tick": int(row["tick"]),
        "class": MISS_CLASSES[int(row["miss_class"])],
        "lateness_ns": int(row["lateness_ns"]),
        "policy": MISS_POLICIES[int(row["policy"])],
        "cause": MISS_CAUSES[int(row["cause"])],
        "skipped_count": int(row["skipped_count"]),
    }
    if body["class"] in ERASING:
        body |= {"done_count": int(row["done_count"]), "played_on": bool(row["played_on"])}
    return body


def heartbeat(last_seq: Mapping[str, int], counters: Mapping[str, int], state: str) -> dict[str, Any]:
    """Return the `heartbeat` document: the last `seq` of every topic, so that a viewer can count what it did not see."""
    return {"last_seq": dict(last_seq), "counters": dict(counters), "state": state}


def stop(
    run: str, time_s: float, *, exit_status: str, reason: str, shots: int, counters: Mapping[str, int], digest: str
) -> dict[str, Any]:
    """Return the `stop` document. exit_status: success, abort or fail; digest: SHA-256 of shots.bin, in hex."""
    assert exit_status in {"success", "abort", "fail"}
    return {
        "uid": f"{run}/stop",
        "run_start": run,
        "time": time_s,
        "exit_status": exit_status,
        "reason": reason,
        "num_events": {"primary": shots},
        "counters": dict(counters),
        "digest": digest,
    }
