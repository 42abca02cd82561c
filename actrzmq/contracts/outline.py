"""What a .proto file declares, for people: services, messages and enums, with their comments.

Descriptors say it for machines; this is the same with names resolved, comments attached, and everything that
protoc adds by itself (map entries, oneofs around `optional` fields) put back as it was written.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    MethodDescriptorProto,
    MethodOptions,
    ServiceDescriptorProto,
)
from msgspec import Struct

# Field numbers in the paths of source info.
_PACKAGE = 2
_SYNTAX = 12
_FILE_MESSAGE = 4
_FILE_ENUM = 5
_FILE_SERVICE = 6
_FIELD = 2
_NESTED = 3
_NESTED_ENUM = 4
_VALUE = 2
_METHOD = 2

_Path = tuple[int, ...]


class Type(Struct, frozen=True, omit_defaults=True):
    """What a field holds: a scalar (`int32`), or a message or enum by its full name."""

    name: str
    is_declared: bool = False
    """A message or enum of some file, and no scalar."""


class Field(Struct, frozen=True, omit_defaults=True):
    """One field of a message."""

    name: str
    number: int
    type: Type
    label: str = ""
    """`repeated`, `optional`, `required`, or nothing."""
    key: str = ""
    """Of a map: the type of its keys; `type` is that of its values."""
    oneof: str = ""
    default: str = ""
    deprecated: bool = False
    doc: str = ""


class Value(Struct, frozen=True, omit_defaults=True):
    """One value of an enum."""

    name: str
    number: int
    deprecated: bool = False
    doc: str = ""


class Enum(Struct, frozen=True, omit_defaults=True):
    """An enum."""

    name: str
    """Its full name."""
    values: tuple[Value, ...]
    doc: str = ""
    deprecated: bool = False


class Message(Struct, frozen=True, omit_defaults=True):
    """A message, and what is declared inside it."""

    name: str
    """Its full name."""
    fields: tuple[Field, ...]
    messages: tuple[Message, ...] = ()
    enums: tuple[Enum, ...] = ()
    reserved: tuple[str, ...] = ()
    """Numbers, ranges and names that must not be used again, as a .proto file writes them."""
    doc: str = ""
    deprecated: bool = False


class Method(Struct, frozen=True, omit_defaults=True):
    """One rpc."""

    name: str
    route_key: str
    request: str
    response: str
    client_streaming: bool = False
    server_streaming: bool = False
    idempotency: str = ""
    """`NO_SIDE_EFFECTS` or `IDEMPOTENT`, where the file says so."""
    doc: str = ""
    deprecated: bool = False


class Service(Struct, frozen=True, omit_defaults=True):
    """A service."""

    name: str
    """Its full name."""
    methods: tuple[Method, ...]
    doc: str = ""
    deprecated: bool = False


class Outline(Struct, frozen=True, omit_defaults=True):
    """One .proto file."""

    path: str
    package: str
    syntax: str
    imports: tuple[str, ...]
    services: tuple[Service, ...]
    messages: tuple[Message, ...]
    enums: tuple[Enum, ...]
    doc: str = ""

    def all_messages(self) -> Iterator[Message]:
        """Every message, those inside others too, an outer one before its inner ones."""
        return _walk(self.messages)

    def all_enums(self) -> Iterator[Enum]:
        """Every enum, those inside messages too."""
        yield from self.enums
        for message in self.all_messages():
            yield from message.enums


def outline(file: FileDescriptorProto) -> Outline:
    """The outline of `file`; without comments where the descriptor carries no source info."""
    return _Reader(file).read()


def _walk(messages: Iterable[Message]) -> Iterator[Message]:
    for message in messages:
        yield message
        yield from _walk(message.messages)


class _Reader:
    """Reads one descriptor."""

    def __init__(self, file: FileDescriptorProto) -> None:
        self._file = file
        self._docs = {
            tuple(location.path): location.leading_comments or location.trailing_comments
            for location in file.source_code_info.location
        }

    def read(self) -> Outline:
        file = self._file
        scope = file.package
        return Outline(
            path=file.name,
            package=file.package,
            syntax=file.syntax or "proto2",
            imports=tuple(file.dependency),
            services=tuple(
                self._service(service, scope, (_FILE_SERVICE, at)) for at, service in enumerate(file.service)
            ),
            messages=tuple(
                self._message(message, scope, (_FILE_MESSAGE, at)) for at, message in enumerate(file.message_type)
            ),
            enums=tuple(self._enum(enum, scope, (_FILE_ENUM, at)) for at, enum in enumerate(file.enum_type)),
            doc=self._doc((_SYNTAX,)) or self._doc((_PACKAGE,)),
        )

    def _doc(self, path: _Path) -> str:
        lines = self._docs.get(path, "").strip("\n").splitlines()
        return "\n".join(line.rstrip().removeprefix(" ") for line in lines).strip()

    def _service(self, service: ServiceDescriptorProto, scope: str, path: _Path) -> Service:
        name = _join(scope, service.name)
        return Service(
            name=name,
            methods=tuple(self._method(method, name, (*path, _METHOD, at)) for at, method in enumerate(service.method)),
            doc=self._doc(path),
            deprecated=service.options.deprecated,
        )

    def _method(self, method: MethodDescriptorProto, service: str, path: _Path) -> Method:
        level = method.options.idempotency_level
        return Method(
            name=method.name,
            route_key=f"{service}.{method.name}",
            request=method.input_type.removeprefix("."),
            response=method.output_type.removeprefix("."),
            client_streaming=method.client_streaming,
            server_streaming=method.server_streaming,
            idempotency=MethodOptions.IdempotencyLevel.Name(level) if level else "",
            doc=self._doc(path),
            deprecated=method.options.deprecated,
        )

    def _message(self, message: DescriptorProto, scope: str, path: _Path) -> Message:
        name = _join(scope, message.name)
        maps = {
            f".{name}.{nested.name}": (nested.field[0], nested.field[1])
            for nested in message.nested_type
            if nested.options.map_entry and len(nested.field) == 2
        }
        return Message(
            name=name,
            fields=tuple(
                self._field(field, message, maps, (*path, _FIELD, at)) for at, field in enumerate(message.field)
            ),
            messages=tuple(
                self._message(nested, name, (*path, _NESTED, at))
                for at, nested in enumerate(message.nested_type)
                if not nested.options.map_entry
            ),
            enums=tuple(self._enum(enum, name, (*path, _NESTED_ENUM, at)) for at, enum in enumerate(message.enum_type)),
            reserved=tuple(_reserved(message)),
            doc=self._doc(path),
            deprecated=message.options.deprecated,
        )

    def _field(
        self,
        field: FieldDescriptorProto,
        message: DescriptorProto,
        maps: dict[str, tuple[FieldDescriptorProto, FieldDescriptorProto]],
        path: _Path,
    ) -> Field:
        entry = maps.get(field.type_name)
        in_oneof = field.HasField("oneof_index") and not field.proto3_optional
        return Field(
            name=field.name,
            number=field.number,
            type=_type(entry[1] if entry else field),
            label="" if entry or in_oneof else self._label(field),
            key=_type(entry[0]).name if entry else "",
            oneof=message.oneof_decl[field.oneof_index].name if in_oneof else "",
            default=field.default_value,
            deprecated=field.options.deprecated,
            doc=self._doc(path),
        )

    def _label(self, field: FieldDescriptorProto) -> str:
        if field.label == FieldDescriptorProto.LABEL_REPEATED:
            return "repeated"
        if field.label == FieldDescriptorProto.LABEL_REQUIRED:
            return "required"
        is_old = self._file.syntax in ("", "proto2")
        return "optional" if field.proto3_optional or is_old else ""

    def _enum(self, enum: EnumDescriptorProto, scope: str, path: _Path) -> Enum:
        return Enum(
            name=_join(scope, enum.name),
            values=tuple(
                Value(value.name, value.number, value.options.deprecated, self._doc((*path, _VALUE, at)))
                for at, value in enumerate(enum.value)
            ),
            doc=self._doc(path),
            deprecated=enum.options.deprecated,
        )


def _join(scope: str, name: str) -> str:
    return f"{scope}.{name}" if scope else name


def _type(field: FieldDescriptorProto) -> Type:
    if field.type_name:
        return Type(field.type_name.removeprefix("."), is_declared=True)
    return Type(FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower())


def _reserved(message: DescriptorProto) -> Iterator[str]:
    for span in message.reserved_range:  # their ends are exclusive
        last = "max" if span.end > 536_870_911 else str(span.end - 1)
        yield str(span.start) if span.end == span.start + 1 else f"{span.start} to {last}"
    yield from (json.dumps(name, ensure_ascii=False) for name in message.reserved_name)
