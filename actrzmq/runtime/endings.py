"""How streams have ended whose senders do not know it yet, or may ask for it again."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Mapping
from sys import getsizeof

from msgspec import Struct

from actrzmq.errors import ActrRuntimeError, Status
from actrzmq.identity import Serial
from actrzmq.wire.codec import OPEN_AT_ONCE

COMPLETE = 256
"""Streams that have ended well, remembered so that a second `end_stream` has nothing to do, at most."""
UNHEARD = OPEN_AT_ONCE
"""Endings of which a sender has still to be told, at most: as many as one node can end at once."""
TEXTS = 32 * 1024 * 1024
"""Bytes that the texts of these may take, before what is added is cut: a receiver may have much to say."""
CUT = 200
"""Characters that are left of such a text."""

Key = tuple[Serial, str]
"""To whom a stream went, and its id."""


class _Cause(Struct):
    """What an error says, but for its stream and how far that came: one for all streams that end by it."""

    kind: type[ActrRuntimeError]
    words: tuple[tuple[str, ...], ...]
    code: Status
    details: tuple[tuple[str, str], ...]
    retryable: bool
    may_have_run: bool
    size: int
    users: int = 0


class _Ending(Struct, frozen=True, gc=False):
    """How one stream has ended, in 0.3 KiB; an error with texts of its own takes 1 KiB."""

    cause: _Cause
    last: str | None
    is_failure: bool
    """Has anything of what was sent failed? Else it is only one who goes on sending that is told."""


class Endings:
    """The latest endings of one node's streams: those that were complete, and those of which somebody is to be told."""

    def __init__(self, counters: Counter[str]) -> None:
        self._counters = counters
        self._complete: OrderedDict[Key, None] = OrderedDict()
        self._unheard: OrderedDict[Key, _Ending] = OrderedDict()
        self._causes: dict[tuple[object, ...], _Cause] = {}
        self._texts = 0

    def add(self, key: Key, outcome: ActrRuntimeError | None, farewell: ActrRuntimeError | None) -> None:
        """A stream has ended with `outcome`; where that is None, `farewell` is for one who goes on sending."""
        error = outcome or farewell
        if error is None:
            self._complete[key] = None
            if len(self._complete) > COMPLETE:
                self._complete.popitem(last=False)
            return
        last = error.details.get("last")
        self._unheard[key] = _Ending(self._cause(error, key[1], last), last, outcome is not None)
        if len(self._unheard) > UNHEARD:
            self._let_go(self._unheard.popitem(last=False)[1].cause)
            self._counters["streams.endings_forgotten"] += 1

    def take(self, key: Key, *, goes_on: bool = False) -> ActrRuntimeError | None:
        """What the sender of that stream is told, once; `goes_on`: does he want to send more?"""
        self._complete.pop(key, None)
        ending = self._unheard.pop(key, None)
        if ending is None:
            return None
        self._let_go(ending.cause)
        return _error(ending, key[1]) if ending.is_failure or goes_on else None

    def __contains__(self, key: Key) -> bool:
        return key in self._complete or key in self._unheard

    def _cause(self, error: ActrRuntimeError, stream_id: str, last: str | None) -> _Cause:
        """What `error` says: the same one for all that say the same."""
        message, details = error.message, error.details
        cause = self._find(error, message, details, stream_id, last)
        if not cause.users and self._texts + cause.size > TEXTS:
            kept: dict[str, str] = {key: details[key][:CUT] for key in ("last", "peer") if key in details}
            cause = self._find(error, message if len(message) <= CUT else f"{message[:CUT]}…", kept, stream_id, last)
        if not cause.users:
            self._causes[_fields(cause)] = cause
            self._texts += cause.size
        cause.users += 1
        return cause

    def _find(
        self, error: ActrRuntimeError, message: str, details: Mapping[str, str], stream_id: str, last: str | None
    ) -> _Cause:
        """The cause that says so: one that is known, or else a new one."""
        parts = message.split(_what(stream_id))
        words = tuple((part,) if last is None else tuple(part.split(_how_far(last))) for part in parts)
        rest = tuple((key, "" if key == "last" else value) for key, value in details.items())
        size = sum(getsizeof(word) for part in words for word in part) + sum(getsizeof(value) for _, value in rest)
        cause = _Cause(type(error), words, error.code, rest, error.retryable, error.may_have_run, size)
        return self._causes.get(_fields(cause), cause)

    def _let_go(self, cause: _Cause) -> None:
        cause.users -= 1
        if not cause.users:
            del self._causes[_fields(cause)]
            self._texts -= cause.size


def _fields(cause: _Cause) -> tuple[object, ...]:
    return cause.kind, cause.words, cause.code, cause.details, cause.retryable, cause.may_have_run


def _error(ending: _Ending, stream_id: str) -> ActrRuntimeError:
    """The error that it was."""
    cause, last = ending.cause, ending.last
    parts = (part[0] if last is None else _how_far(last).join(part) for part in cause.words)
    return cause.kind(
        _what(stream_id).join(parts),
        code=cause.code,
        details={key: last if key == "last" and last is not None else value for key, value in cause.details},
        retryable=cause.retryable,
        may_have_run=cause.may_have_run,
    )


def _what(stream_id: str) -> str:
    return f"stream {stream_id}"


def _how_far(last: str) -> str:
    return f"(after {last} frame"
