"""What a run and its batch process say to each other: values, and how they cross. No process, ring or law lives here.

To the process: `Shape` when it is spawned, and `Consume` with the descriptors when the lab is armed. From it: `{"law", "is"}` for
each law that is compiled or tried, `{"versions"}` or `{"problems"}`; then for each batch an `Update`, where there are laws, and its
sums; at last `{"end"}`, or `{"error"}` for what ends a run.
"""

from __future__ import annotations

import socket
from typing import Any, Final

import msgpack
import msgspec

BATCH_READER: Final = 1  # which reader of the rows ring the batch process is
MESSAGE_BYTES_MAX: Final = 1 << 17  # 64 bits, the most there are, need 80 kB; a socket takes 200 kB
SOURCE_BYTES_MAX: Final = 1 << 16  # of all laws' files together: they cross when the process is spawned
STATE_BYTES_MAX: Final = 1 << 15  # of all laws of a run together: they cross with every batch


class Asked(msgspec.Struct, frozen=True):
    """A controller as the process is asked for it: names are resolved as far as that goes without its law."""

    name: str
    law: str  # entry point, or absolute path of a file
    output: str
    bit: int | None
    own: tuple[bool, ...]  # [captures] those of the controller's qubit
    setpoint: float
    minimum: float | None
    maximum: float | None
    every: int
    parameters: dict[str, Any]
    source: bytes | None = None  # what the file holds, the same for every process of a run; None: to be looked for


class Shape(msgspec.Struct, frozen=True):
    """What the estimates and laws of a run are compiled for."""

    bit_count: int
    observables: tuple[tuple[int, ...], ...]  # each a product of Z on these bits
    batch_shots: int
    capture_count: int = 0
    controllers: tuple[Asked, ...] = ()
    emit_count: int = 0  # emitted columns of a row, which they pass over


class Points(msgspec.Struct, frozen=True):
    """Which point of a sweep a shot is at: `shot // shots_per_point % count`, those of one leg of a run after those of another."""

    count: int = 1  # of a leg
    shots_per_point: int = 1
    leg_shots: int = 0  # 0: there is one leg

    def of(self, shots: Any) -> Any:
        """Return the points of these shots."""
        if not self.leg_shots:
            return shots // self.shots_per_point % self.count
        return shots // self.leg_shots * self.count + shots % self.leg_shots // self.shots_per_point % self.count


class EpochsTo(msgspec.Struct, frozen=True):
    """Where epochs go, and what makes words of values."""

    delay: int
    abort: bool  # a refused update ends the run, instead of leaving everything as it was
    encode: dict[str, Any]  # sweeps.Encode
    values: dict[str, float]  # of the outputs, before the first update


class Refused(msgspec.Struct, frozen=True):
    """An update of a controller that was not taken."""

    controller: str
    batch: int
    value: float  # in force and kept
    reason: str
    ended: bool = False  # its process with it: the law did not step

    @property
    def text(self) -> str:
        """Say it in one line."""
        return f"controller {self.controller!r} at batch {self.batch}, value {self.value:.9g}: {self.reason}"


class Update(msgspec.Struct, frozen=True):
    """What the laws made of a batch: the epoch that takes effect at the first shot of batch `epoch`."""

    epoch: int
    batch: int
    values: dict[str, float]  # of every output
    words: list[int]
    states: list[list[tuple[str, list[int], bytes]]]  # [controllers][leaves]: dtype, shape, data
    counters: dict[str, dict[str, int]] = {}  # what each law has counted since the run began
    in_force: int = 0  # epoch of the batch's last shot
    refused: tuple[Refused, ...] = ()
    busy_ns: int = 0


class Resume(msgspec.Struct, frozen=True):
    """Where a process goes on that takes the place of one which was ended: nothing is computed twice, nothing left out."""

    batches_summed: int = 0
    last: Update | None = None  # None: no batch was stepped yet
    values: dict[int, dict[str, float]] = {}  # by epoch, of those that rows to come may show
    refused: tuple[Refused, ...] = ()  # in the batch that comes next: the laws that ended the process


class Consume(msgspec.Struct, frozen=True):
    """Where the rows are and what to do with them; sent with the descriptors of the rows ring, the batch's memory and the epochs ring."""

    ring_bytes: int
    memory_bytes: int
    tables: list[list[float]]  # [bits][outcome]: a_k(b), the product weights of mitigation.md 5.2
    points: Points = Points()
    epochs_bytes: int = 0  # 0: they go nowhere
    epochs: EpochsTo | None = None
    resume: Resume = Resume()


def still_needed(values: dict[int, dict[str, float]], update: Update) -> dict[int, dict[str, float]]:
    """Return the values of all epochs, by number, that shots after the update's batch may show: the one in force, and later ones.

    An epoch is taken at the first shot of the batch of its number, or never.
    """
    values = values | {update.epoch: update.values}
    return {number: one for number, one in values.items() if number == update.in_force or number > update.batch}


def send(channel: socket.socket, message: Any) -> None:
    """Send a struct or a map."""
    body = msgpack.packb(msgspec.to_builtins(message, builtin_types=(bytes,)))
    assert len(body) <= MESSAGE_BYTES_MAX
    channel.send(body)


def send_with(channel: socket.socket, message: Any, descriptors: list[int]) -> None:
    """Send a struct with descriptors."""
    body = msgpack.packb(msgspec.to_builtins(message, builtin_types=(bytes,)))
    assert len(body) <= MESSAGE_BYTES_MAX
    socket.send_fds(channel, [body], descriptors)


def decoded(body: bytes) -> dict[str, Any]:
    """Return the map in a message."""
    message: dict[str, Any] = msgpack.unpackb(body, strict_map_key=False)
    return message
