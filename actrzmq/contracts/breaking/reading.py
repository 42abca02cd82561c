"""From descriptors to a `Schema`: features are resolved, and what a syntax leaves unsaid is said."""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FeatureSet,
    FieldDescriptorProto,
    FileDescriptorProto,
    ServiceDescriptorProto,
)

from actrzmq.contracts import features as edition
from actrzmq.contracts.breaking.schema import (
    Cardinality,
    Enum,
    Extension,
    Field,
    File,
    Message,
    Method,
    Schema,
    Service,
)
from actrzmq.contracts.fingerprint import default_json_name

# Extension ranges and reserved ranges of messages end before their `end`, those of enums with it.
_Ranges = tuple[tuple[int, int], ...]


def read_schema(files: Iterable[FileDescriptorProto]) -> Schema:
    """The schema of `files`, as protoc makes them (all type names resolved)."""
    files = tuple(files)
    schema = Schema({}, {}, {}, {}, [])
    for file in files:
        _File(file, schema).read_enums()
    for file in files:  # the default of a field may be the first value of another file's enum
        _File(file, schema).read()
    return schema


class _File:
    """One file on its way into a schema."""

    def __init__(self, file: FileDescriptorProto, schema: Schema) -> None:
        self._file = file
        self._schema = schema
        self._features = edition.features_of(file)

    def read_enums(self) -> None:
        for enum in self._file.enum_type:
            self._enum(enum, "", self._features)
        for message in self._file.message_type:
            self._enums_in(message, "", self._features)

    def read(self) -> None:
        file = self._file
        syntax = f"edition {file.edition}" if edition.is_edition(file) else file.syntax or "proto2"
        self._schema.files[file.name] = File(file.name, file.package, syntax)
        for message in file.message_type:
            self._message(message, "", self._features)
        for service in file.service:
            self._service(service)
        for extension in file.extension:
            self._extension(extension, file.package, self._features)

    def _full(self, local: str) -> str:
        return f"{self._file.package}.{local}" if self._file.package else local

    def _enums_in(self, message: DescriptorProto, scope: str, parent: FeatureSet) -> None:
        features = edition.inherit(parent, message)
        for enum in message.enum_type:
            self._enum(enum, f"{scope}{message.name}.", features)
        for nested in message.nested_type:
            self._enums_in(nested, f"{scope}{message.name}.", features)

    def _enum(self, enum: EnumDescriptorProto, scope: str, parent: FeatureSet) -> None:
        values: dict[int, list[str]] = {}
        for value in enum.value:
            values.setdefault(value.number, []).append(value.name)
        local = scope + enum.name
        self._schema.enums[self._full(local)] = Enum(
            full_name=self._full(local),
            local_name=local,
            file=self._file.name,
            values={number: tuple(names) for number, names in values.items()},
            is_closed=edition.inherit(parent, enum).enum_type == FeatureSet.CLOSED,
            reserved_ranges=tuple(sorted((taken.start, taken.end) for taken in enum.reserved_range)),
            reserved_names=frozenset(enum.reserved_name),
        )

    def _message(self, message: DescriptorProto, scope: str, parent: FeatureSet) -> None:
        local = scope + message.name
        features = edition.inherit(parent, message)
        reader = _Fields(self._schema, message, self._full(local), features)
        self._schema.messages[self._full(local)] = Message(
            full_name=self._full(local),
            local_name=local,
            file=self._file.name,
            fields={field.number: reader.field(field) for field in message.field},
            oneofs=tuple(name for at, name in enumerate(one.name for one in message.oneof_decl) if reader.is_real(at)),
            reserved_ranges=_ranges((taken.start, taken.end) for taken in message.reserved_range),
            reserved_names=frozenset(message.reserved_name),
            extension_ranges=_ranges((taken.start, taken.end) for taken in message.extension_range),
            is_map_entry=message.options.map_entry,
            is_message_set=message.options.message_set_wire_format,
        )
        for nested in message.nested_type:
            self._message(nested, f"{local}.", features)
        for extension in message.extension:
            self._extension(extension, self._full(local), features)

    def _extension(self, field: FieldDescriptorProto, scope: str, parent: FeatureSet) -> None:
        reader = _Fields(self._schema, DescriptorProto(), scope, parent)
        extendee = field.extendee.removeprefix(".")
        self._schema.extensions.append(Extension(self._file.name, extendee, reader.field(field)))

    def _service(self, service: ServiceDescriptorProto) -> None:
        full = self._full(service.name)
        methods = {
            method.name: Method(
                full_name=f"{full}.{method.name}",
                request=method.input_type.removeprefix("."),
                response=method.output_type.removeprefix("."),
                client_streaming=method.client_streaming,
                server_streaming=method.server_streaming,
                idempotency=method.options.idempotency_level,
            )
            for method in service.method
        }
        self._schema.services[full] = Service(
            full_name=full, local_name=service.name, file=self._file.name, methods=methods
        )


class _Fields:
    """The fields of one message."""

    def __init__(self, schema: Schema, message: DescriptorProto, scope: str, features: FeatureSet) -> None:
        self._schema = schema
        self._message = message
        self._scope = scope
        self._features = features
        self._entries = {f".{scope}.{nested.name}" for nested in message.nested_type if nested.options.map_entry}
        # The oneof of a proto3 `optional` is made up by protoc.
        self._made_up = {field.oneof_index for field in message.field if field.proto3_optional}

    def is_real(self, oneof: int) -> bool:
        """Whether the oneof with this index is in the source."""
        return oneof not in self._made_up

    def field(self, field: FieldDescriptorProto) -> Field:
        features = self._features_of(field)
        cardinality = self._cardinality(field, features)
        kind = FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
        in_oneof = field.HasField("oneof_index") and self.is_real(field.oneof_index)
        return Field(
            name=field.name,
            full_name=f"{self._scope}.{field.name}" if self._scope else field.name,
            number=field.number,
            cardinality=cardinality,
            kind="group" if edition.is_delimited(field, features) else kind,
            type_name=field.type_name.removeprefix("."),
            json_name=field.json_name or default_json_name(field.name),
            default=None if edition.is_repeated(field) else self._default(field, kind),
            oneof=self._message.oneof_decl[field.oneof_index].name if in_oneof else None,
            checks_utf8=kind == "string" and not edition.is_unchecked(field, features),
        )

    def _features_of(self, field: FieldDescriptorProto) -> FeatureSet:
        around = self._features
        if field.HasField("oneof_index"):
            around = edition.inherit(around, self._message.oneof_decl[field.oneof_index])
        features = edition.inherit(around, field)
        # A map's entries always travel behind their length, and are always written in full.
        if field.type_name in self._entries or self._message.options.map_entry:
            features.message_encoding = FeatureSet.LENGTH_PREFIXED
            features.field_presence = FeatureSet.EXPLICIT
        return features

    def _cardinality(self, field: FieldDescriptorProto, features: FeatureSet) -> Cardinality:
        if edition.is_repeated(field):
            return Cardinality.MAP if field.type_name in self._entries else Cardinality.REPEATED
        if field.label == FieldDescriptorProto.LABEL_REQUIRED or edition.is_required(field, features):
            return Cardinality.REQUIRED
        return Cardinality.IMPLICIT if edition.is_implicit(field, features) else Cardinality.EXPLICIT

    def _default(self, field: FieldDescriptorProto, kind: str) -> str | None:
        if edition.is_message(field):
            return None
        if kind == "enum":
            return self._default_number(field)
        return field.default_value or {"bool": "false", "string": "", "bytes": ""}.get(kind, "0")

    def _default_number(self, field: FieldDescriptorProto) -> str:
        """An enum's default by its number, which stays when names change."""
        enum = self._schema.enums.get(field.type_name.removeprefix("."))
        if enum is None:  # one of protobuf's own
            return field.default_value
        named = (number for number, names in enum.values.items() if field.default_value in names)
        return str(next(named if field.default_value else iter(enum.values), 0))


def _ranges(ranges: Iterable[tuple[int, int]]) -> _Ranges:
    return tuple(sorted((start, end - 1) for start, end in ranges))
