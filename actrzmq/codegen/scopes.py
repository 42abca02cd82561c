"""The names that each scope of a .proto file defines, and so may hide."""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto

from actrzmq.codegen.naming import is_speakable

NameSet = frozenset[str]


def number_constants(message: DescriptorProto) -> list[str]:
    """The constants that the class of `message` has for the numbers of its fields."""
    fields = (*message.field, *message.extension)
    constants = dict.fromkeys(f"{field.name.upper()}_FIELD_NUMBER" for field in fields)
    return [name for name in constants if is_speakable(name) and name not in names_of(message)]


def names_of(scope: DescriptorProto | FileDescriptorProto) -> NameSet:
    """The names that `scope` defines."""
    types = scope.message_type if isinstance(scope, FileDescriptorProto) else scope.nested_type
    fields = () if isinstance(scope, FileDescriptorProto) else scope.field
    values = (value.name for enum in scope.enum_type for value in enum.value)
    declared = (*types, *scope.enum_type, *scope.extension, *fields)
    return frozenset((*(each.name for each in declared), *values))


def identifiers(file: FileDescriptorProto) -> Iterator[str]:
    """Every name that the stub of `file` may define, in any scope."""
    pending: list[DescriptorProto | FileDescriptorProto] = [file]
    while pending:
        scope = pending.pop()
        yield from names_of(scope)
        if isinstance(scope, FileDescriptorProto):
            yield from (f"{extension.name.upper()}_FIELD_NUMBER" for extension in scope.extension)
            pending += scope.message_type
        else:
            yield from number_constants(scope)
            pending += scope.nested_type
