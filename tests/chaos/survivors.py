"""What those who had something open with a process were told after it was killed, and how soon."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from tests.chaos.ledger import Ledger
from tests.chaos.verdict import Call, Stream, Verdict

GONE = "ActrTransportError"


class Told(Struct):
    """One survivor: what it had open, how long it waited, and whether what it was told is right."""

    what: str
    key: str
    after: float
    said: str
    is_right: bool


def survivors(ledger: Ledger, verdict: Verdict, process: str, at: float) -> Iterator[Told]:
    """All that was open with `process` when it was killed."""
    ids = {line.key for line in ledger[process] if line.what == "up"}
    to_it = {line.key for lines in ledger.values() for line in lines if line.what == "invoke" and line.value in ids}
    for call in verdict.calls.values():
        if call.caller and call.invoked < at and _is_up(call.caller, at, verdict):
            yield from _caller(call, process, call.key in to_it, at)
        elif call.caller == process:
            yield from _callee(call, at, verdict)
    for stream in verdict.streams.values():
        if stream.receiver == process and stream.sender and _is_up(stream.sender, at, verdict):
            yield from _sender(stream, at)
        elif stream.sender == process and stream.receiver and _is_up(stream.receiver, at, verdict):
            yield from _receiver(stream, at)


def _is_up(process: str, at: float, verdict: Verdict) -> bool:
    """Was it not killed before, and long enough after?"""
    end = verdict.killed.get(process)
    return end is None or end > at + 3


def _caller(call: Call, process: str, is_to_it: bool, at: float) -> Iterator[Told]:
    runs_there = any(where == process for where, _ in call.ran)
    if not (runs_there or (is_to_it and not call.ran)):
        return
    if call.told and call.told[0].at <= at:
        return
    if not call.told:
        yield Told("caller", call.key, float("inf"), "nothing", False)
        return
    told = call.told[0]
    is_done = any(where == process for where, _ in call.left)
    right = {f"unknown:{GONE}"}
    if is_done:
        right |= {"ok", "error"}
    if not runs_there:
        right |= {f"rejected:{GONE}", "rejected:ActrNotFound"}
    yield Told("caller", call.key, told.at - at, told.value, told.value in right)


def _callee(call: Call, at: float, verdict: Verdict) -> Iterator[Told]:
    for where, begun in call.ran:
        if begun > at or not _is_up(where, at, verdict):
            continue
        left = [when for process, when in call.left if process == where]
        if left and left[0] <= at:
            continue
        after = left[0] - at if left else float("inf")
        yield Told("handler", call.key, after, "ended" if left else "nothing", bool(left))


def _sender(stream: Stream, at: float) -> Iterator[Told]:
    if not stream.sent:
        yield Told("sender", stream.key, float("inf"), "nothing", False)
    elif stream.sent[0].at > at:
        said = stream.sent[0]
        is_right = said.value in (GONE, "ActrNotFound") or (said.what == "ended" and len(stream.got) == said.number)
        yield Told("sender", stream.key, said.at - at, said.value, is_right)


def _receiver(stream: Stream, at: float) -> Iterator[Told]:
    if not stream.closed:
        yield Told("receiver", stream.key, float("inf"), "nothing", False)
    elif stream.closed[0].at > at:
        said = stream.closed[0]
        is_complete = said.value == "ok" and said.number == stream.pushed
        last_is_right = said.number == len(stream.got) or (said.number == -1 and not stream.got)
        yield Told(
            "receiver", stream.key, said.at - at, said.value, is_complete or (said.value == GONE and last_is_right)
        )
