"""Dead letters: what was dropped, by whom, from whom, to whom and why. Never what was in it.

A node notes what it drops and tells the broker with its next renewal; the broker notes what it drops itself. Letters
that differ in nothing are one letter with a count, so a flood takes one place. Counters say how much was dropped in
all; letters say whose it was, as far as they are kept.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from msgspec import Struct

from actrzmq.wire.messages import MAX_INT, DeadLetter

KEPT = 500
"""Letters of one realm that the broker keeps."""
REALMS = 64
"""Realms of which it keeps any."""
NOTED = 200
"""Letters that a node keeps until it can tell them."""
TOLD_AT_ONCE = 32
"""Letters that a node tells with one renewal."""


class _Note(NamedTuple):
    reason: str
    what: str
    name: str
    peer: str
    is_ours: bool


class Drops:
    """What a node has dropped and not told yet. Over `NOTED` kinds at once, it only counts: `untold`."""

    def __init__(self) -> None:
        self._notes: OrderedDict[_Note, int] = OrderedDict()
        self.untold = 0

    def note(self, reason: str, what: str, name: str, peer: str, *, is_ours: bool = False, count: int = 1) -> None:
        """`what` of that `name` (a route, a stream id) was dropped; it came from `peer` or, `is_ours`, was for it."""
        note = _Note(reason, what, name, peer, is_ours)
        if note in self._notes or len(self._notes) < NOTED:
            self._notes[note] = min(self._notes.get(note, 0) + count, MAX_INT)
        else:
            self.untold += count

    def take(self, me: str) -> tuple[DeadLetter, ...]:
        """Some of them, the oldest first, once; `me` is this node's id."""
        letters: list[DeadLetter] = []
        while self._notes and len(letters) < TOLD_AT_ONCE:
            note, count = self._notes.popitem(last=False)
            sender, to = (me, note.peer) if note.is_ours else (note.peer, me)
            letters.append(DeadLetter(note.reason, note.what, note.name, sender, to, count=count))
        return tuple(letters)

    def __len__(self) -> int:
        return len(self._notes)


class _Kept(Struct):
    count: int
    at: int


class DeadLetters:
    """The latest letters of each realm; what is too much is forgotten, the oldest first."""

    def __init__(self) -> None:
        self._realms: OrderedDict[int, OrderedDict[DeadLetter, _Kept]] = OrderedDict()

    def add(self, realm: int, letter: DeadLetter, now: int) -> None:
        """Keep `letter`; like ones are counted together."""
        kept = self._realms.setdefault(realm, OrderedDict())
        self._realms.move_to_end(realm)
        key = DeadLetter(letter.reason, letter.what, letter.name, letter.sender, letter.to, letter.by)
        known = kept.setdefault(key, _Kept(0, now))
        known.count = min(known.count + max(1, letter.count), MAX_INT)
        known.at = now
        kept.move_to_end(key)
        if len(kept) > KEPT:
            kept.popitem(last=False)
        if len(self._realms) > REALMS:
            self._realms.popitem(last=False)

    def latest(self, realm: int, now: int) -> list[DeadLetter]:
        """Those of `realm`, the latest first."""
        kept = self._realms.get(realm, OrderedDict[DeadLetter, _Kept]())
        return [
            DeadLetter(one.reason, one.what, one.name, one.sender, one.to, one.by, known.count, max(0, now - known.at))
            for one, known in reversed(kept.items())
        ]

    def __len__(self) -> int:
        return sum(map(len, self._realms.values()))
