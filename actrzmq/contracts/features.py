"""What an edition's features mean for one element of a .proto file, as far as they reach the wire."""

from __future__ import annotations

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FeatureSet,
    FieldDescriptorProto,
    FileDescriptorProto,
    OneofDescriptorProto,
)

# Editions 2023 and 2024 agree on everything that reaches the wire; what 2024 added is about names
# and visibility in source code.
EDITION_DEFAULTS = FeatureSet(
    field_presence=FeatureSet.EXPLICIT,
    enum_type=FeatureSet.OPEN,
    repeated_field_encoding=FeatureSet.PACKED,
    utf8_validation=FeatureSet.VERIFY,
    message_encoding=FeatureSet.LENGTH_PREFIXED,
)

PROTO3 = FeatureSet(
    field_presence=FeatureSet.IMPLICIT,
    enum_type=FeatureSet.OPEN,
    repeated_field_encoding=FeatureSet.PACKED,
    utf8_validation=FeatureSet.VERIFY,
    message_encoding=FeatureSet.LENGTH_PREFIXED,
)

PROTO2 = FeatureSet(
    field_presence=FeatureSet.EXPLICIT,
    enum_type=FeatureSet.CLOSED,
    repeated_field_encoding=FeatureSet.EXPANDED,
    utf8_validation=FeatureSet.NONE,
    message_encoding=FeatureSet.LENGTH_PREFIXED,
)

Element = FileDescriptorProto | DescriptorProto | FieldDescriptorProto | OneofDescriptorProto | EnumDescriptorProto

_UNPACKABLE = {
    FieldDescriptorProto.TYPE_STRING,
    FieldDescriptorProto.TYPE_BYTES,
    FieldDescriptorProto.TYPE_MESSAGE,
    FieldDescriptorProto.TYPE_GROUP,
}


def is_edition(file: FileDescriptorProto) -> bool:
    """Whether `file` is written in an edition; features of proto2 and proto3 follow from their syntax."""
    return file.syntax == "editions"


def features_of(file: FileDescriptorProto) -> FeatureSet:
    """The features that hold in `file` where nothing else is said; for proto2 and proto3, those that mean the same."""
    return inherit(EDITION_DEFAULTS if is_edition(file) else PROTO3 if file.syntax == "proto3" else PROTO2, file)


def inherit(parent: FeatureSet, element: Element) -> FeatureSet:
    """The features that hold at `element`: its own where set, else those of `parent`, which encloses it."""
    merged = FeatureSet()
    merged.CopyFrom(parent)
    if element.options.HasField("features"):
        merged.MergeFrom(element.options.features)
    return merged


def is_repeated(field: FieldDescriptorProto) -> bool:
    return field.label == FieldDescriptorProto.LABEL_REPEATED


def is_message(field: FieldDescriptorProto) -> bool:
    return field.type in (FieldDescriptorProto.TYPE_MESSAGE, FieldDescriptorProto.TYPE_GROUP)


def is_implicit(field: FieldDescriptorProto, features: FeatureSet) -> bool:
    """Whether a singular field is left out of the wire when it has its default."""
    return (
        features.field_presence == FeatureSet.IMPLICIT
        and not is_repeated(field)
        and not is_message(field)
        and not field.HasField("oneof_index")
        and not field.extendee
    )


def is_required(field: FieldDescriptorProto, features: FeatureSet) -> bool:
    return features.field_presence == FeatureSet.LEGACY_REQUIRED and not is_repeated(field)


def is_expanded(field: FieldDescriptorProto, features: FeatureSet) -> bool:
    """Whether a repeated number is written one by one, each with its tag."""
    return (
        features.repeated_field_encoding == FeatureSet.EXPANDED and is_repeated(field) and field.type not in _UNPACKABLE
    )


def is_unchecked(field: FieldDescriptorProto, features: FeatureSet) -> bool:
    """Whether a string may carry bytes that are not UTF-8."""
    return features.utf8_validation == FeatureSet.NONE and field.type == FieldDescriptorProto.TYPE_STRING


def is_delimited(field: FieldDescriptorProto, features: FeatureSet) -> bool:
    """Whether a message travels between two tags, as proto2's groups do, rather than behind its length."""
    return features.message_encoding == FeatureSet.DELIMITED and is_message(field)
