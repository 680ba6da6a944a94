"""The armed image: everything that the kernel and the simulated hardware played from, as named arrays and plain fields.

`to_image` takes a sequence and the plant's bytes apart for the record, `from_image` puts them together again; a replay needs nothing else.
The segments are the ones that stood in the instruments' memory, as part of the plant's bytes; `segments` keeps the compiler's own copy
for the reader. Of a sweep it holds the rules, not the values of each shot; of epochs what was in force at the first shot and how later ones
come: they are the run's, and stand in its journal. Pure: where the image is written and found is record.py's and client.py's business.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from qrt import kernel
from qrt.errors import RecordError
from qrt.layout import Image, decode_image, encode_image
from qrt.types import CaptureSlot, OutputKind, Segment, Sequence

VERSION: Final = 4
ARRAYS: Final[Mapping[str, np.dtype[Any]]] = {
    "instructions": kernel.INSTRUCTION_DTYPE,
    "entries": np.dtype(np.uint32),
    "frames": kernel.FRAME_DTYPE,
    "captures": kernel.CAPTURE_DTYPE,
    "weights": np.dtype(np.int16),
    "table": np.dtype(np.int64),
    "factors": np.dtype(np.float64),
}


class ArmedEpochs(msgspec.Struct, frozen=True):
    """What a kernel that takes epochs begins with, and when they are due."""

    values: NDArray[np.int64]  # [values] in force before the first shot
    delay: int  # results of batch k take effect at batch k + 1 + delay; 0: stop and wait
    batch_shots: int
    first: int = 0  # the number of what is in force: 0, or of a leg what the one before ended with

    @classmethod
    def of(cls, epochs: kernel.Epochs | None) -> Self | None:
        """Return what of a kernel's epochs an image holds."""
        return None if epochs is None else cls(epochs.values, epochs.delay, epochs.batch_shots, epochs.first)


class Played(msgspec.Struct, frozen=True):
    """An image put together again."""

    sequence: Sequence
    plant: bytes  # empty: the run was on hardware
    twin: str  # which entry point of group `qrt.ports` makes a port of `plant`
    shot_count: int
    tick_ps: int
    seed: int  # of the random words that instructions draw
    sweep: kernel.Sweep = kernel.NO_SWEEP
    axes: Mapping[str, NDArray[np.float64]] = {}  # what the sweep's axes are called, and their values; or nothing
    epochs: ArmedEpochs | None = None
    stretched_first: int = 0  # periods by which what came before the first shot was stretched or paused
    shot_first: int = 0  # of a leg


Parts = tuple[Mapping[str, NDArray[Any]], Mapping[str, Any]]  # arrays and fields
NOTHING: Final = np.zeros(0)


def to_image(played: Played) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Return the arrays and the fields of an image."""
    sequence = played.sequence
    arrays: dict[str, NDArray[Any]] = {name: getattr(sequence, name) for name in ARRAYS}
    arrays["source_lines"] = np.asarray(sequence.source_lines, dtype=np.int32)
    arrays["plant"] = np.frombuffer(played.plant, dtype=np.uint8)
    arrays["sweep.slots"], arrays["sweep.table"] = played.sweep.slots, played.sweep.table
    for index, values in enumerate(played.axes.values()):
        arrays[f"axis.{index}"] = values
    if played.epochs is not None:
        arrays["epoch.values"] = played.epochs.values
    for line, memory in sequence.segments.items():
        for index, segment in enumerate(memory):
            arrays[f"segment.{line}.{index}.i"] = segment.i
            arrays[f"segment.{line}.{index}.q"] = segment.q
    fields = {
        "v": VERSION,
        "budget": sequence.budget,
        "period_ticks": sequence.period_ticks,
        "emit_count": sequence.emit_count,
        "outputs": list(sequence.outputs),
        "output_kinds": list(sequence.output_kinds),
        "stretch_max": sequence.stretch_max,
        "lines": list(sequence.lines),
        "sequencers": list(sequence.sequencers),
        "bits": list(sequence.bits),
        "slots": msgspec.to_builtins(sequence.slots),
        "segment_counts": {line: len(memory) for line, memory in sequence.segments.items()},
        "twin": played.twin,
        "shot_count": played.shot_count,
        "tick_ps": played.tick_ps,
        "seed": played.seed,
        "stretched_first": played.stretched_first,
        "shot_first": played.shot_first,
        "sweep": {
            "points": list(played.sweep.points),
            "order": played.sweep.order.name.lower(),
            "shots_per_point": played.sweep.shots_per_point,
        },
        "axes": list(played.axes),
        "epochs": _epoch_fields(played.epochs),
    }
    return arrays, fields


def to_part(before: Parts, own: Parts) -> bytes:
    """Return what a leg's image has otherwise than that of the leg before it, both as `to_image` gives them.

    Of a plant of the same size only those bytes stand there that differ: its segments, the most of it, seldom do.
    """
    arrays = {name: one for name, one in own[0].items() if not np.array_equal(one, before[0].get(name, NOTHING))}
    plant, first = arrays.get("plant"), before[0]["plant"]
    if plant is not None and len(plant) == len(first):
        places = np.flatnonzero(plant != first).astype(np.uint32)
        del arrays["plant"]
        arrays |= {"plant.places": places, "plant.bytes": plant[places]}
    return encode_image(arrays, {name: one for name, one in own[1].items() if before[1].get(name) != one})


def with_part(before: Image, data: bytes) -> Image:
    """Return the image of a leg, from that of the leg before it. RecordError where the part does not belong to this one."""
    part = decode_image(data)
    arrays = {**before.arrays, **part.arrays}
    try:
        if "plant.places" in part.arrays:
            plant = before.arrays["plant"].copy()
            plant[arrays.pop("plant.places")] = arrays.pop("plant.bytes")
            arrays["plant"] = plant
    except (KeyError, IndexError, ValueError) as error:
        raise RecordError(f"armed image of a leg: not whole: {error!r}") from error
    return Image(arrays, {**before.fields, **part.fields})


def _epoch_fields(epochs: ArmedEpochs | None) -> dict[str, int] | None:
    if epochs is None:
        return None
    return {"delay": epochs.delay, "batch_shots": epochs.batch_shots, "first": epochs.first}


def from_image(image: Image) -> Played:
    """Return what an image holds. RecordError if it is not one of this version."""
    fields, arrays = image.fields, image.arrays
    if fields.get("v") != VERSION:
        raise RecordError(f"armed image of version {fields.get('v')}; this program reads version {VERSION}")
    try:
        for name, dtype in ARRAYS.items():
            _vector(arrays, name, dtype)
        vectors: dict[str, Any] = {name: arrays[name] for name in ARRAYS}
        sequence = Sequence(
            **vectors,
            budget=int(fields["budget"]),
            period_ticks=int(fields["period_ticks"]),
            emit_count=int(fields["emit_count"]),
            outputs=tuple(map(str, fields.get("outputs", ()))),  # an image from before there were any has none
            output_kinds=msgspec.convert(fields.get("output_kinds", ()), tuple[OutputKind, ...]),
            stretch_max=int(fields["stretch_max"]),
            segments=_segments(arrays, fields["segment_counts"]),
            lines=tuple(fields["lines"]),
            sequencers=tuple(fields["sequencers"]),
            bits=tuple(fields["bits"]),
            slots=msgspec.convert(fields["slots"], tuple[CaptureSlot, ...]),
            source_lines=tuple(arrays["source_lines"].tolist()),
        )
        pairs = (("sequencers", "entries"), ("slots", "captures"), ("source_lines", "instructions"))
        for names, array in pairs:
            if len(getattr(sequence, names)) != len(getattr(sequence, array)):
                raise ValueError(f"{names} are not as many as {array}")
        if not len(sequence.outputs) == len(sequence.output_kinds) in {0, sequence.emit_count}:
            raise ValueError(f"outputs are not as many as {sequence.emit_count} emitted columns")
        numbers = {name: int(fields[name]) for name in ("shot_count", "tick_ps", "seed", "stretched_first")}
        numbers["shot_first"] = int(fields.get("shot_first", 0))
        sweep = _sweep(arrays, fields["sweep"])
        axes, epochs = _axes(arrays, fields["axes"], sweep), _epochs(arrays, fields["epochs"])
        plant = arrays["plant"].tobytes()
        return Played(sequence, plant, fields["twin"], sweep=sweep, axes=axes, epochs=epochs, **numbers)
    except (KeyError, TypeError, ValueError, msgspec.ValidationError) as error:
        raise RecordError(f"armed image: not whole: {error!r}") from error


def _segments(arrays: Mapping[str, NDArray[Any]], counts: Mapping[str, int]) -> dict[str, tuple[Segment, ...]]:
    return {
        line: tuple(
            Segment(arrays[f"segment.{line}.{index}.i"], arrays[f"segment.{line}.{index}.q"]) for index in range(count)
        )
        for line, count in counts.items()
    }


def _vector(arrays: Mapping[str, NDArray[Any]], name: str, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return an array of the image; ValueError if it is not a vector of this dtype."""
    if arrays[name].dtype != dtype or arrays[name].ndim != 1:
        raise ValueError(f"{name} is not a vector of {dtype}")
    return arrays[name]


def _sweep(arrays: Mapping[str, NDArray[Any]], fields: Mapping[str, Any]) -> kernel.Sweep:
    return kernel.Sweep(
        points=tuple(map(int, fields["points"])),
        slots=_vector(arrays, "sweep.slots", kernel.SLOT_DTYPE),
        table=_vector(arrays, "sweep.table", np.dtype(np.int64)),
        order=kernel.Order[str(fields["order"]).upper()],
        shots_per_point=int(fields["shots_per_point"]),
    )


def sweep_points(sweep: kernel.Sweep, shape: tuple[int, ...], shots: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return int64 [axes, shots]: which point of each axis these shots are at. shape: of the grid, whose axes the kernel may join."""
    each = sweep.shots_per_point if sweep.order is kernel.Order.POINT else 1
    point = shots // each % math.prod(shape)
    return np.array(np.unravel_index(point, shape)) if shape else np.zeros((0, len(shots)), np.int64)


def _axes(arrays: Mapping[str, NDArray[Any]], names: Any, sweep: kernel.Sweep) -> dict[str, NDArray[np.float64]]:
    axes = {str(name): _vector(arrays, f"axis.{index}", np.dtype(float)) for index, name in enumerate(names)}
    if axes and math.prod(map(len, axes.values())) != math.prod(sweep.points):
        raise ValueError(f"axes of {[len(values) for values in axes.values()]} points; the sweep has {sweep.points}")
    return axes


def _epochs(arrays: Mapping[str, NDArray[Any]], fields: Mapping[str, Any] | None) -> ArmedEpochs | None:
    if fields is None:
        return None
    values = _vector(arrays, "epoch.values", np.dtype(np.int64))
    epochs = ArmedEpochs(values, int(fields["delay"]), int(fields["batch_shots"]), int(fields.get("first", 0)))
    if epochs.batch_shots < 1 or epochs.delay < 0 or epochs.first < 0:
        raise ValueError(f"epochs of {epochs.batch_shots} shots, {epochs.delay} batches late")
    return epochs
