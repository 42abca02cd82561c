"""Level WIRE: what travels, from the methods down. Services and methods go by name, since calls do; fields and enum
values by number; messages and enums by where they are used, whatever they are called.

Types that have kept their name are compared and what breaks in them is told as theirs. One that has another name where
it is used is compared as well; if it differs, or something renamed within it does, that is told of the place that uses
it. What is not used by any method, such as what travels in streams, is looked for by its name, then under a new one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct

from actrzmq.contracts.breaking.fields import compare_fields
from actrzmq.contracts.breaking.finding import Finding, Level
from actrzmq.contracts.breaking.pairs import MAX_RENAMED, Pair, Pairs, Place
from actrzmq.contracts.breaking.schema import Enum, Extension, Message, Schema
from actrzmq.contracts.breaking.services import compare_methods

WIRE = Level.WIRE


def compare_by_wire(old: Schema, new: Schema) -> Iterator[Finding]:
    """What breaks programs that hold `old` and talk to programs that hold `new`."""
    comparison = _Comparison(old, new)
    yield from comparison.services()
    comparison.types()
    yield from comparison.extensions()
    yield from comparison.lost()
    yield from comparison.broken()


class _Comparison:
    def __init__(self, old: Schema, new: Schema) -> None:
        self._old = old
        self._new = new
        self._pairs = Pairs(old, new)
        self._places: list[tuple[str, Place]] = []

    def services(self) -> Iterator[Finding]:
        """What breaks for callers, and the pairs of types that methods take and give."""
        for name, service in sorted(self._old.services.items()):
            now = self._new.services.get(name)
            if now is None:
                yield Finding("SERVICE_NO_DELETE", service.file, name, f"service {name} is gone")
                continue
            for short, old in sorted(service.methods.items()):
                new = now.methods.get(short)
                if new is None:
                    yield Finding("RPC_NO_DELETE", service.file, old.full_name, f"method {short} is gone from {name}")
                    continue
                yield from (broken.within(service.file) for broken in compare_methods(old, new, WIRE))
                for side, was, is_now in (
                    ("request", old.request, new.request),
                    ("response", old.response, new.response),
                ):
                    words = f"the {side} was {was} and is {is_now} now"
                    place = Place(f"RPC_SAME_{side.upper()}_TYPE", old.full_name, words, Pair(was, is_now))
                    self._places.append((service.file, place))
                    self._pairs.add(place.pair)

    def types(self) -> None:
        """The pairs of types that have kept their names."""
        for name, message in sorted(self._old.messages.items()):
            if name in self._new.messages and not message.is_map_entry:
                self._pairs.add(Pair(name, name))
        for name in sorted(self._old.enums.keys() & self._new.enums.keys()):
            self._pairs.add(Pair(name, name))

    def extensions(self) -> Iterator[Finding]:
        """What breaks in fields that were added to messages from outside."""
        news: dict[int, list[Extension]] = {}
        for one in self._new.extensions:
            news.setdefault(one.field.number, []).append(one)
        for old in self._old.extensions:
            extendees = self._pairs.counterparts(old.extendee) | {old.extendee}
            new = next((one for one in news.get(old.field.number, []) if one.extendee in extendees), None)
            if new is None:
                yield Finding(
                    "EXTENSION_NO_DELETE",
                    old.file,
                    old.field.full_name,
                    f"extension {old.field.number} of {old.extendee} is gone",
                )
                continue
            yield from (broken.within(old.file) for broken in compare_fields(old.field, new.field, WIRE))
            broken, places = self._pairs.types_of(old.field, new.field)
            yield from (one.within(old.file) for one in broken)
            for place in places:
                self._places.append((old.file, place))
                self._pairs.add(place.pair)

    def lost(self) -> Iterator[Finding]:
        """Types that nothing refers to, and that are not there any more, under whatever name."""
        old, new = self._old, self._new
        gone = [
            *self._gone("MESSAGE_NO_DELETE", _without_entries(old), _without_entries(new)),
            *self._gone("ENUM_NO_DELETE", old.enums, new.enums),
        ]
        # The likely ones first: where a package got another name, there are as many as messages.
        for guess in (_Gone.from_namesakes, _Gone.from_all):
            pairs = {one: guess(one, MAX_RENAMED // len(gone)) for one in gone}
            for pair in (pair for guessed in pairs.values() for pair in guessed):
                self._pairs.add(pair)
            reasons = self._pairs.reasons()
            gone = [one for one in gone if all(pair in reasons for pair in pairs[one])]
        for one in gone:
            message = "it is gone, and nothing that is new does the same on the wire"
            yield Finding(one.rule, one.old.file, one.old.full_name, message)

    def _gone(self, rule: str, olds: Mapping[str, Message | Enum], news: Mapping[str, Message | Enum]) -> list[_Gone]:
        fresh = sorted(news.keys() - olds.keys())
        by_last: dict[str, list[str]] = {}
        for name in fresh:
            by_last.setdefault(_last(name), []).append(name)
        used = self._pairs.olds()
        return [
            _Gone(rule, olds[name], by_last.get(_last(name), []), fresh)
            for name in sorted(olds.keys() - news.keys() - used)
        ]

    def broken(self) -> Iterator[Finding]:
        """What breaks in types, and where those with another name are used."""
        files = {name: message.file for name, message in self._old.messages.items()}
        files |= {name: enum.file for name, enum in self._old.enums.items()}
        for name, found in self._pairs.kept().items():
            yield from (broken.within(files[name]) for broken in found)
        reasons = self._pairs.reasons()
        for file, place in self._places:
            if place.pair in reasons:
                yield place.broken(reasons[place.pair]).within(file)


class _Gone(Struct, frozen=True, eq=False):
    """A type that is not there under its name, and the new ones that it may be now."""

    rule: str
    old: Message | Enum
    namesakes: list[str]
    """Those whose last name is the same."""
    fresh: list[str]
    """All."""

    def from_namesakes(self, most: int) -> list[Pair]:
        return [Pair(self.old.full_name, name) for name in self.namesakes[:most]]

    def from_all(self, most: int) -> list[Pair]:
        return [Pair(self.old.full_name, name) for name in self.fresh[:most]]


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _without_entries(schema: Schema) -> dict[str, Message]:
    """The messages that are not the entries of a map."""
    return {name: message for name, message in schema.messages.items() if not message.is_map_entry}
