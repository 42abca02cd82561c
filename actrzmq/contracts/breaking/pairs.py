"""Types of the old and the new version that have to be the same on the wire, and whether they are.

A pair leads to others, where a field has a message or an enum for its type; a type may lead back to itself. So all
pairs are collected first; then what is wrong with one makes wrong what leads to it, as long as names have changed.
"""

from __future__ import annotations

from collections import defaultdict

from msgspec import Struct

from actrzmq.contracts.breaking.enums import compare_enums
from actrzmq.contracts.breaking.finding import Broken, Level
from actrzmq.contracts.breaking.messages import compare_messages
from actrzmq.contracts.breaking.schema import Field, Message, Schema
from actrzmq.contracts.breaking.types import are_alike, part_pairs, type_text

# Two contracts with n types each could name n² pairs. What is counted are their fields, and the pairs themselves.
MAX_RENAMED = 50_000


class Pair(Struct, frozen=True):
    """An old type and a new one, by full name."""

    old: str
    new: str

    @property
    def is_renamed(self) -> bool:
        return self.old != self.new


class Place(Struct, frozen=True):
    """Where a pair is used, and what to tell of that place if the pair is not the same on the wire."""

    rule: str
    element: str
    words: str
    pair: Pair

    def broken(self, reason: str) -> Broken:
        return Broken(self.rule, self.element, f"{self.words}, which differs on the wire ({reason})")


class Pairs:
    """All pairs that have been asked for or follow from those."""

    def __init__(self, old: Schema, new: Schema) -> None:
        self._schemas = (old, new)
        self._broken: dict[Pair, list[Broken]] = {}
        self._places: dict[Pair, list[Place]] = {}
        self._counterparts: dict[str, set[str]] = {}
        self._renamed = 0

    def add(self, pair: Pair) -> None:
        """Compare `pair`, and all that follow from it."""
        todo = [pair]
        while todo:
            pair = todo.pop()
            if pair not in self._broken:
                self._counterparts.setdefault(pair.old, set()).add(pair.new)
                self._broken[pair], self._places[pair] = self._compare(pair)
                todo += [place.pair for place in self._places[pair]]

    def counterparts(self, old: str) -> set[str]:
        """What stands where `old` stood."""
        return self._counterparts.get(old, set())

    def olds(self) -> set[str]:
        """The old types that something stands for."""
        return set(self._counterparts)

    def kept(self) -> dict[str, list[Broken]]:
        """What breaks in each type that has kept its name, by that name."""
        reasons = self.reasons()
        return {
            pair.old: [
                *broken,
                *(place.broken(reasons[place.pair]) for place in self._places[pair] if place.pair in reasons),
            ]
            for pair, broken in self._broken.items()
            if not pair.is_renamed
        }

    def reasons(self) -> dict[Pair, str]:
        """Why a type with another name is not the same; nothing where it is."""
        users = defaultdict(list)
        for pair, places in self._places.items():
            for place in places:
                users[place.pair].append(pair)
        reasons = {
            pair: f"{broken[0].element}: {broken[0].message}"
            for pair, broken in self._broken.items()
            if broken and pair.is_renamed
        }
        todo = list(reasons)
        for pair in todo:  # it grows meanwhile
            for user in users[pair]:
                if user.is_renamed and user not in reasons:
                    reasons[user] = reasons[pair]
                    todo.append(user)
        return reasons

    def types_of(self, old: Field, new: Field) -> tuple[list[Broken], list[Place]]:
        """What breaks by the type of a field, and the pairs that have to be the same for the rest to hold."""
        broken, places = [], []
        words = (
            f"field {old.number} had the type {type_text(old, self._schemas[0])} and has "
            f"{type_text(new, self._schemas[1])} now"
        )
        for was, now in part_pairs(old, new, self._schemas):
            if was.kind == now.kind:
                if was.type_name:
                    pair = Pair(was.type_name, now.type_name)
                    places.append(Place("FIELD_WIRE_COMPATIBLE_TYPE", old.full_name, words, pair))
            else:
                # Some bytes mean something to both, but not the same: 2**40 is 0 to whoever reads an int32.
                rule = "FIELD_SAME_TYPE" if are_alike(was, now) else "FIELD_WIRE_COMPATIBLE_TYPE"
                broken.append(Broken(rule, old.full_name, words))
        return broken, places

    def _compare(self, pair: Pair) -> tuple[list[Broken], list[Place]]:
        olds, news = self._schemas
        if pair.is_renamed:
            self._renamed += 1 + self._size(pair)
            if self._renamed > MAX_RENAMED:
                return [Broken("", pair.old, "too many types were renamed to follow them all")], []
        if pair.old in olds.messages and pair.new in news.messages:
            return self._compare_messages(olds.messages[pair.old], news.messages[pair.new])
        if pair.old in olds.enums and pair.new in news.enums:
            return list(compare_enums(olds.enums[pair.old], news.enums[pair.new], Level.WIRE)), []
        if pair.is_renamed:
            return [Broken("", pair.old, f"nothing is known of what {pair.old} and {pair.new} hold")], []
        return [], []  # one of protobuf's own

    def _size(self, pair: Pair) -> int:
        olds, news = self._schemas
        sides = ((olds, pair.old), (news, pair.new))
        return sum(
            len(side.messages[name].fields) if name in side.messages else len(side.enums[name].values)
            for side, name in sides
            if name in side.messages or name in side.enums
        )

    def _compare_messages(self, old: Message, new: Message) -> tuple[list[Broken], list[Place]]:
        broken = list(compare_messages(old, new, Level.WIRE))
        places = []
        for number in sorted(old.fields.keys() & new.fields.keys()):
            worse, further = self.types_of(old.fields[number], new.fields[number])
            broken += worse
            places += further
        return broken, places
