"""What every system does, the same for all: the handler, the load of a caller, the frames of a stream, the checks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator

import msgspec

from benchmarks.generated.messages_pb2 import Note

SLOW_S = 0.01
"""What the callback of a slow stream takes for each frame."""

Figures = dict[str, float]
clock = time.perf_counter


class Rpc(msgspec.Struct, frozen=True, tag="rpc"):
    """Call without a pause, with so many calls `in_flight`, for so many `seconds` after the `warm_up`."""

    size: int
    in_flight: int
    seconds: float
    warm_up: float = 0.2


class Stream(msgspec.Struct, frozen=True, tag="stream"):
    """Send `streams` at once for so many `seconds`; frames are `raw` bytes, or a message encoded and decoded for each.

    With `slow`, one more stream has a callback that takes 10 ms; only the others are counted.
    """

    size: int
    seconds: float
    streams: int = 1
    raw: bool = False
    slow: bool = False


class Idle(msgspec.Struct, frozen=True, tag="idle"):
    """Open so many `streams`, one frame on each, and leave them open."""

    streams: int


class Discover(msgspec.Struct, frozen=True, tag="discover"):
    """Look a type up again and again, with so many lookups `in_flight`."""

    in_flight: int
    seconds: float


Task = Rpc | Stream | Idle | Discover


class Wrong(Exception):
    """A system answered or delivered something else than it should have: its figures are worth nothing."""


async def echo(request: Note) -> Note:
    """The handler: every server awaits it for every call."""
    return Note(number=request.number, body=request.body)


def check(reply: Note, number: int, size: int) -> None:
    """Is this the reply to call `number`?"""
    if reply.number != number or len(reply.body) != size:
        raise Wrong(f"call {number}: a reply to {reply.number} with {len(reply.body)} bytes")


async def drive(call: Callable[[Note], Awaitable[Note]], task: Rpc) -> Figures:
    """Keep `in_flight` calls open, each in a task of its own, and see how many are answered."""
    body = bytes(task.size)
    meter = Meter(task)

    async def lane(number: int) -> None:
        while meter.runs():
            number += 1
            before = clock()
            check(await call(Note(number=number, body=body)), number, task.size)
            meter.took(before, clock())

    await asyncio.gather(*[lane(at << 32) for at in range(task.in_flight)])
    return meter.figures()


class Meter:
    """Counts what is done after the warm-up, and how long each took."""

    def __init__(self, task: Rpc | Discover) -> None:
        self._begin = clock() + getattr(task, "warm_up", 0.0)
        self._end = self._begin + task.seconds
        self._seconds = task.seconds
        self._took: list[float] = []
        self._all = 0

    def runs(self) -> bool:
        """Is there time left?"""
        return clock() < self._end

    def took(self, before: float, after: float) -> None:
        """One is done."""
        self._all += 1
        if self._begin <= after < self._end:
            self._took.append(after - before)

    def figures(self) -> Figures:
        """Calls a second, latencies in µs, and `all`, which is what was done in the warm-up as well."""
        if not self._took:
            raise Wrong(f"nothing was answered within {self._seconds} s")
        took = sorted(self._took)
        return {
            "rate": len(took) / self._seconds,
            "p50": quantile(took, 0.5) * 1e6,
            "p99": quantile(took, 0.99) * 1e6,
            "p99.9": quantile(took, 0.999) * 1e6,
            "all": self._all,
        }


def quantile(ordered: list[float], part: float) -> float:
    """The value below which `part` of them lie."""
    return ordered[min(int(len(ordered) * part), len(ordered) - 1)]


async def produce(task: Stream, send: Callable[[int, bytes], Awaitable[None]]) -> None:
    """Give `send` frame after frame, until the time is over."""
    for number, payload in enumerate(payloads(task), 1):
        await send(number, payload)


def payloads(task: Stream) -> Iterator[bytes]:
    """The frames of one stream; each is encoded when it is asked for."""
    if not task.raw:
        for note in notes(task):
            yield note.SerializeToString()
        return
    body = bytes(task.size)
    end = clock() + task.seconds
    while clock() < end:
        yield body


def notes(task: Stream) -> Iterator[Note]:
    """The messages of one stream, for a system that encodes them itself."""
    body = bytes(task.size)
    end = clock() + task.seconds
    number = 0
    while clock() < end:
        number += 1
        yield Note(number=number, body=body)


class Tally:
    """Counts and checks the frames of one stream at its receiver."""

    def __init__(self, task: Stream) -> None:
        self._size = task.size
        self._raw = task.raw
        self.count = 0
        self.first = self.last = 0.0
        self.done: asyncio.Future[None] | None = None

    def take(self, payload: bytes) -> None:
        """A frame has come. Raises if it is not the next one."""
        if not self._raw:
            self.take_note(Note.FromString(payload))
            return
        if not self.count:
            self.first = clock()
        self.count += 1
        if len(payload) != self._size:
            raise Wrong(f"frame {self.count} has {len(payload)} bytes, not {self._size}")

    def take_note(self, note: Note) -> None:
        """The same, for a message that has been decoded."""
        if not self.count:
            self.first = clock()
        self.count += 1
        if note.number != self.count or len(note.body) != self._size:
            raise Wrong(f"frame {self.count} came as number {note.number} with {len(note.body)} bytes")

    def end(self) -> None:
        """The stream is over."""
        self.last = clock()
        if self.done is not None and not self.done.done():
            self.done.set_result(None)


def summary(tallies: list[Tally], task: Stream) -> Figures:
    """What all these streams came to: frames and megabytes (of 1,000,000 bytes) a second."""
    frames = sum(tally.count for tally in tallies)
    if frames < 2:
        raise Wrong(f"{frames} frames came within {task.seconds} s")
    rate = frames / (max(tally.last for tally in tallies) - min(tally.first for tally in tallies if tally.count))
    return {"rate": rate, "MB/s": rate * task.size / 1e6, "all": frames}


def command(task: Stream | Idle, name: str) -> Note:
    """The request to send the streams of `task`; `name` is what they go by."""
    return Note(command=msgspec.json.encode((name, task)).decode())


def commanded(request: Note) -> tuple[str, Stream | Idle]:
    """The name and the task in such a request."""
    return msgspec.json.decode(request.command, type=tuple[str, Stream | Idle])
