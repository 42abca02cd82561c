"""Fingerprints: two contracts with the same one mean the same, whatever their comments, layout and order.

The keys of a plain proto2 or proto3 file are those that other implementations of the Actr model write.
What only newer or rarer parts of the language can say (extensions, groups, features of an edition) is
added behind them, and only where it changes what bytes on the wire mean.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from hashlib import sha256
from pathlib import PurePosixPath
from typing import Any, NewType

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FeatureSet,
    FieldDescriptorProto,
    FileDescriptorProto,
    MethodDescriptorProto,
    MethodOptions,
    ServiceDescriptorProto,
)

from actrzmq.contracts import features as edition

FileFingerprint = NewType("FileFingerprint", str)
"""`semantic:<64 hex>`"""
ServiceFingerprint = NewType("ServiceFingerprint", str)
"""`service_semantic:<64 hex>`"""

FILE_PREFIX = "semantic:"
SERVICE_PREFIX = "service_semantic:"

Canonical = dict[str, Any]

_LABELS = {FieldDescriptorProto.LABEL_REQUIRED: "required", FieldDescriptorProto.LABEL_REPEATED: "repeated"}


def file_fingerprint(file: FileDescriptorProto) -> FileFingerprint:
    """The fingerprint of one file, from its descriptor as protoc makes it (all type names resolved)."""
    text = json.dumps(canonical_file(file), indent=2, ensure_ascii=False)
    return FileFingerprint(FILE_PREFIX + sha256(text.encode()).hexdigest())


def service_fingerprint(files: Iterable[tuple[str, FileFingerprint]]) -> ServiceFingerprint:
    """The fingerprint of the exported files of one service, given as (path, file fingerprint)."""
    lines = sorted((PurePosixPath(path).name, digest.removeprefix(FILE_PREFIX)) for path, digest in files)
    text = "\n".join(f"{name}:{digest}" for name, digest in lines)
    return ServiceFingerprint(SERVICE_PREFIX + sha256(text.encode()).hexdigest())


def canonical_file(file: FileDescriptorProto) -> Canonical:
    """What `file` means, as plain dictionaries and lists in the one order that is hashed."""
    scope = f".{file.package}" if file.package else ""
    # Outside an edition the syntax says it all, so every feature stays unset there and adds no key.
    features = FeatureSet()
    if edition.is_edition(file):
        features = edition.inherit(edition.EDITION_DEFAULTS, file)
    return _without_empty(
        package=file.package,
        syntax=file.syntax or "proto2",
        imports=sorted(file.dependency),
        messages=_by_name(_message(message, scope, features) for message in file.message_type),
        enums=_by_name(_enum(enum, features) for enum in file.enum_type),
        services=_by_name(_service(service) for service in file.service),
        extensions=_extensions(file.extension, features),
    )


def _message(message: DescriptorProto, scope: str, parent: FeatureSet) -> Canonical:
    scope = f"{scope}.{message.name}"
    features = edition.inherit(parent, message)
    entries = {f"{scope}.{nested.name}" for nested in message.nested_type if nested.options.map_entry}

    def field_features(field: FieldDescriptorProto) -> FeatureSet:
        around = features
        if field.HasField("oneof_index"):
            around = edition.inherit(features, message.oneof_decl[field.oneof_index])
        own = edition.inherit(around, field)
        # A map's entries always travel behind their length, and are always written in full.
        if field.type_name in entries or message.options.map_entry:
            own.ClearField("message_encoding")
            own.ClearField("field_presence")
        return own

    return _without_empty(
        name=message.name,
        fields=_by_number(_field(field, field_features(field)) for field in message.field),
        nested_messages=_by_name(_message(nested, scope, features) for nested in message.nested_type),
        nested_enums=_by_name(_enum(enum, features) for enum in message.enum_type),
        oneofs=[oneof.name for oneof in message.oneof_decl],
        reserved_ranges=sorted(
            ({"start": taken.start, "end": taken.end} for taken in message.reserved_range),
            key=lambda taken: (taken["start"], taken["end"]),
        ),
        reserved_names=[{"name": name} for name in sorted(message.reserved_name)],
        extensions=_extensions(message.extension, features),
        message_set=message.options.message_set_wire_format,
        not_maps=_posing_as_maps(message, scope),
    )


def _posing_as_maps(message: DescriptorProto, scope: str) -> list[str]:
    """Repeated fields that read exactly like a map but are none: of equal keys a map keeps the last.

    Maps are common and have no key of their own, so these rare fields have one.
    """
    entries = {f"{scope}.{nested.name}": nested for nested in message.nested_type if not nested.options.map_entry}
    return sorted(
        field.name
        for field in message.field
        if edition.is_repeated(field)
        and field.type_name == f"{scope}.{_entry_name(field.name)}"
        and field.type_name in entries
        and _members(entries[field.type_name]) == [(1, "key"), (2, "value")]
    )


def _entry_name(field: str) -> str:
    """What protoc calls the entries of the map `field`."""
    return "".join(part[:1].upper() + part[1:] for part in field.split("_")) + "Entry"


def _members(message: DescriptorProto) -> list[tuple[int, str]]:
    return sorted((field.number, field.name) for field in message.field)


def _field(field: FieldDescriptorProto, features: FeatureSet) -> Canonical:
    json_name = field.json_name or default_json_name(field.name)
    is_group = field.type == FieldDescriptorProto.TYPE_GROUP
    options = {
        "default": field.default_value,
        "deprecated": "true" if field.options.deprecated else "",
        "json_name": json_name,
        "packed": _packed(field, features),
    }
    return _without_empty(
        name=field.name,
        number=field.number,
        label="required" if edition.is_required(field, features) else _LABELS.get(field.label),
        type_name=field.type_name or _scalar_name(field),
        oneof_index=field.oneof_index if field.HasField("oneof_index") else None,
        default=field.default_value,
        json_name=json_name,
        deprecated=field.options.deprecated,
        options=_without_empty(**options),
        delimited=is_group or edition.is_delimited(field, features),
        implicit=edition.is_implicit(field, features),
        unchecked=edition.is_unchecked(field, features),
    )


def _packed(field: FieldDescriptorProto, features: FeatureSet) -> str | None:
    if field.options.HasField("packed"):
        return str(field.options.packed).lower()
    return "false" if edition.is_expanded(field, features) else None


def _scalar_name(field: FieldDescriptorProto) -> str:
    return FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()


def _extensions(fields: Iterable[FieldDescriptorProto], parent: FeatureSet) -> list[Canonical]:
    extensions = [{"extendee": field.extendee} | _field(field, edition.inherit(parent, field)) for field in fields]
    return sorted(extensions, key=lambda field: (field["extendee"], field["number"], field["name"]))


def _enum(enum: EnumDescriptorProto, parent: FeatureSet) -> Canonical:
    numbers = [value.number for value in enum.value]
    default = numbers[0] if numbers else 0
    # An absent field reads as the first value declared. That is 0 in every open enum; elsewhere the order
    # of declaration counts, unless it is the order that is hashed anyway.
    usual = 0 if 0 in numbers else min(numbers, default=0)
    return _without_empty(
        name=enum.name,
        values=_by_number({"name": value.name, "number": value.number} for value in enum.value),
        first=None if default == usual else default,
        closed=edition.inherit(parent, enum).enum_type == FeatureSet.CLOSED,
    )


def _service(service: ServiceDescriptorProto) -> Canonical:
    return _without_empty(name=service.name, methods=_by_name(_method(method) for method in service.method))


def _method(method: MethodDescriptorProto) -> Canonical:
    level = method.options.idempotency_level
    return _without_empty(
        name=method.name,
        input_type=method.input_type,
        output_type=method.output_type,
        client_streaming=method.client_streaming,
        server_streaming=method.server_streaming,
        idempotency_level=MethodOptions.IdempotencyLevel.Name(level) if level else None,
    )


def default_json_name(name: str) -> str:
    """The JSON name that protoc gives a field: `message_count` becomes `messageCount`."""
    head, *rest = name.split("_")
    return head + "".join(part[:1].upper() + part[1:] for part in rest)


def _by_name(items: Iterable[Canonical]) -> list[Canonical]:
    return sorted(items, key=_key("name"))


def _by_number(items: Iterable[Canonical]) -> list[Canonical]:
    return sorted(items, key=_key("number", "name"))


def _key(*names: str) -> Callable[[Canonical], tuple[Any, ...]]:
    return lambda item: tuple(item[name] for name in names)


def _without_empty(**items: Any) -> Canonical:
    """`items` without what is absent, empty or false. A number stays, even if it is 0."""
    return {key: value for key, value in items.items() if value is not False and value not in (None, "", [], {})}
