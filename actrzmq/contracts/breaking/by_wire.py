"""Level WIRE: what travels, from the methods down. Services and methods go by name, since calls do; fields and enum
values by number; messages and enums by where they are used, whatever they are called.

Types that have kept their name are compared and what breaks in them is told as theirs. One that has another name where
it is used is compared as well; if it differs, or something renamed within it does, that is told of the place that uses
it. What is not used by any method, such as what travels in streams, is looked for by its name, then under a new one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from actrzmq.contracts.breaking.fields import compare_fields
from actrzmq.contracts.breaking.finding import Finding, Level
from actrzmq.contracts.breaking.pairs import Pair, Pairs, Place
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
        for old in self._old.extensions:
            extendees = self._pairs.counterparts(old.extendee) | {old.extendee}
            new = next((one for one in self._new.extensions if _is_there(old, one, extendees)), None)
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
        kinds: tuple[tuple[str, Mapping[str, Message | Enum], Mapping[str, Message | Enum]], ...] = (
            ("MESSAGE_NO_DELETE", *_without_entries(self._old, self._new)),
            ("ENUM_NO_DELETE", self._old.enums, self._new.enums),
        )
        used = self._pairs.olds()
        guesses = [
            (rule, olds[name], [Pair(name, other) for other in sorted(news.keys() - olds.keys())])
            for rule, olds, news in kinds
            for name in sorted(olds.keys() - news.keys() - used)
        ]
        for _, _, pairs in guesses:
            for pair in pairs:
                self._pairs.add(pair)
        reasons = self._pairs.reasons()
        for rule, old, pairs in guesses:
            if all(pair in reasons for pair in pairs):
                yield Finding(
                    rule, old.file, old.full_name, "it is gone, and nothing that is new does the same on the wire"
                )

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


def _is_there(old: Extension, new: Extension, extendees: set[str]) -> bool:
    return old.field.number == new.field.number and new.extendee in extendees


def _without_entries(old: Schema, new: Schema) -> tuple[dict[str, Message], dict[str, Message]]:
    """The messages of both that are not the entries of a map."""
    olds, news = (
        {name: message for name, message in schema.messages.items() if not message.is_map_entry}
        for schema in (old, new)
    )
    return olds, news
