"""One version of a contract, ready to be compared: every element by its full name, with what holds of it spelt out."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Cardinality(StrEnum):
    """How often a field may occur, and whether its absence can be told."""

    EXPLICIT = "optional with presence"
    IMPLICIT = "optional without presence"
    REQUIRED = "required"
    REPEATED = "repeated"
    MAP = "a map"


class Field(Struct, frozen=True, kw_only=True):
    """A field, or an extension."""

    name: str
    full_name: str
    number: int
    cardinality: Cardinality
    kind: str
    """A scalar's name, `enum`, `message`, or `group` for a message that travels between two tags."""
    type_name: str
    """The full name of the enum or message; empty for scalars."""
    json_name: str
    default: str | None
    """What an absent field reads as, where that is a value of its own; None for repeated fields and messages."""
    oneof: str | None
    checks_utf8: bool


class Message(Struct, frozen=True, kw_only=True):
    """A message, with the nested ones beside it and not inside."""

    full_name: str
    local_name: str
    """Without the package."""
    file: str
    fields: dict[int, Field]
    oneofs: tuple[str, ...]
    reserved_ranges: tuple[tuple[int, int], ...]
    """Here and for enums: first and last number."""
    reserved_names: frozenset[str]
    extension_ranges: tuple[tuple[int, int], ...]
    is_map_entry: bool
    is_message_set: bool


class Enum(Struct, frozen=True, kw_only=True):
    """An enum; a number has several names where aliases are allowed."""

    full_name: str
    local_name: str
    file: str
    values: dict[int, tuple[str, ...]]
    is_closed: bool
    reserved_ranges: tuple[tuple[int, int], ...]
    reserved_names: frozenset[str]


class Method(Struct, frozen=True, kw_only=True):
    """A method of a service."""

    full_name: str
    request: str
    response: str
    client_streaming: bool
    server_streaming: bool
    idempotency: int
    """As in `MethodOptions`: 0 unknown, 1 without side effects, 2 idempotent."""


class Service(Struct, frozen=True, kw_only=True):
    """A service, with its methods by name."""

    full_name: str
    local_name: str
    file: str
    methods: dict[str, Method]


class Extension(Struct, frozen=True):
    """A field that `file` adds to the message `extendee`."""

    file: str
    extendee: str
    field: Field


class File(Struct, frozen=True):
    """What is said of a file as a whole."""

    path: str
    package: str
    syntax: str


class Schema(Struct, frozen=True):
    """The files of one version, and all that they declare, by full name."""

    files: dict[str, File]
    messages: dict[str, Message]
    enums: dict[str, Enum]
    services: dict[str, Service]
    extensions: list[Extension]
