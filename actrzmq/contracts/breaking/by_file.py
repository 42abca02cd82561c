"""Level FILE: each file with the file of the same path, and what they declare by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeVar

from actrzmq.contracts.breaking.enums import compare_enums
from actrzmq.contracts.breaking.fields import compare_fields
from actrzmq.contracts.breaking.finding import Breaks, Broken, Finding, Level
from actrzmq.contracts.breaking.messages import compare_messages
from actrzmq.contracts.breaking.schema import Cardinality, Enum, Extension, Field, File, Message, Schema, Service
from actrzmq.contracts.breaking.services import compare_methods
from actrzmq.contracts.breaking.types import part_pairs, type_text

Declared = TypeVar("Declared", Message, Enum, Service)

FILE = Level.FILE


def compare_by_file(old: Schema, new: Schema) -> Iterator[Finding]:
    """What breaks code that was generated from `old`."""
    comparison = _Comparison(old, new)
    for path, file in sorted(old.files.items()):
        for broken in comparison.file(file):
            yield broken.within(path)


class _Comparison:
    def __init__(self, old: Schema, new: Schema) -> None:
        self._old = old
        self._new = new
        self._homes = (_homes(old), _homes(new))
        self._messages_of = (_by_file(old.messages), _by_file(new.messages))
        self._enums_of = (_by_file(old.enums), _by_file(new.enums))
        self._services_of = (_by_file(old.services), _by_file(new.services))
        self._extensions_of = (_extensions_by_file(old), _extensions_by_file(new))

    def file(self, old: File) -> Breaks:
        new = self._new.files.get(old.path)
        if new is None:
            yield Broken("FILE_NO_DELETE", old.path, "the file is gone, or no longer exported")
            return
        if old.package != new.package:
            yield Broken("FILE_SAME_PACKAGE", old.path, f"the package was {old.package!r} and is {new.package!r} now")
        if old.syntax != new.syntax:
            yield Broken("FILE_SAME_SYNTAX", old.path, f"the syntax was {old.syntax} and is {new.syntax} now")
        yield from self._messages(old.path)
        yield from self._enums(old.path)
        yield from self._services(old.path)
        yield from self._extensions(old.path)

    def _messages(self, path: str) -> Breaks:
        olds, news = (found.get(path, {}) for found in self._messages_of)
        for name, old in olds.items():
            if old.is_map_entry:  # told as part of the map
                continue
            new = news.get(name)
            if new is None or new.is_map_entry:
                yield Broken("MESSAGE_NO_DELETE", old.full_name, f"message {name} is gone from {path}")
                continue
            yield from compare_messages(old, new, FILE)
            for number in sorted(old.fields.keys() & new.fields.keys()):
                yield from self._type(old.fields[number], new.fields[number])

    def _type(self, old: Field, new: Field) -> Breaks:
        if (old.cardinality is Cardinality.MAP) != (new.cardinality is Cardinality.MAP):
            return  # that is the finding
        for was, now in part_pairs(old, new, (self._old, self._new)):
            if was.kind != now.kind or not self._is_same(was.type_name, now.type_name):
                yield Broken(
                    "FIELD_SAME_TYPE",
                    old.full_name,
                    f"field {old.number} had the type {type_text(old, self._old)} and has "
                    f"{type_text(new, self._new)} now",
                )
                return

    def _is_same(self, old: str, new: str) -> bool:
        """Whether two type names mean the same declaration, be it in another package now."""
        homes, new_homes = self._homes
        return old == new or (old in homes and homes[old] == new_homes.get(new))

    def _enums(self, path: str) -> Breaks:
        olds, news = (found.get(path, {}) for found in self._enums_of)
        for name, old in olds.items():
            if name in news:
                yield from compare_enums(old, news[name], FILE)
            else:
                yield Broken("ENUM_NO_DELETE", old.full_name, f"enum {name} is gone from {path}")

    def _services(self, path: str) -> Breaks:
        olds, news = (found.get(path, {}) for found in self._services_of)
        for name, old in olds.items():
            if name in news:
                yield from self._methods(old, news[name])
            else:
                yield Broken("SERVICE_NO_DELETE", old.full_name, f"service {name} is gone from {path}")

    def _methods(self, service: Service, now: Service) -> Breaks:
        for name, old in sorted(service.methods.items()):
            new = now.methods.get(name)
            if new is None:
                yield Broken("RPC_NO_DELETE", old.full_name, f"method {name} is gone from {now.full_name}")
                continue
            yield from compare_methods(old, new, FILE)
            for side, was, is_now in (
                ("request", old.request, new.request),
                ("response", old.response, new.response),
            ):
                if not self._is_same(was, is_now):
                    yield Broken(
                        f"RPC_SAME_{side.upper()}_TYPE", old.full_name, f"the {side} was {was} and is {is_now} now"
                    )

    def _extensions(self, path: str) -> Breaks:
        olds, news = (found.get(path, {}) for found in self._extensions_of)
        for old in (one for same in olds.values() for one in same):
            same_number = news.get(old.field.number, [])
            new = next((one for one in same_number if self._is_same(old.extendee, one.extendee)), None)
            if new is None:
                yield Broken(
                    "EXTENSION_NO_DELETE",
                    old.field.full_name,
                    f"extension {old.field.number} of {old.extendee} is gone from {path}",
                )
                continue
            yield from compare_fields(old.field, new.field, FILE)
            yield from self._type(old.field, new.field)


def _by_file(elements: Mapping[str, Declared]) -> dict[str, dict[str, Declared]]:
    """What each file declares, by name without the package."""
    found: dict[str, dict[str, Declared]] = {}
    for element in elements.values():
        found.setdefault(element.file, {})[element.local_name] = element
    return found


def _extensions_by_file(schema: Schema) -> dict[str, dict[int, list[Extension]]]:
    """The extensions in each file, by number."""
    found: dict[str, dict[int, list[Extension]]] = {}
    for extension in schema.extensions:
        found.setdefault(extension.file, {}).setdefault(extension.field.number, []).append(extension)
    return found


def _homes(schema: Schema) -> dict[str, tuple[str, str]]:
    """Where each type is declared: its file, and its name there."""
    declared: list[Message | Enum] = [*schema.messages.values(), *schema.enums.values()]
    return {one.full_name: (one.file, one.local_name) for one in declared}
