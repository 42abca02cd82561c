"""The descriptors behind one folder of generated code, and the classes made of them.

The files of a folder join protobuf's default pool together or not at all. The default pool has room for one
file of a name and one symbol of a name in the whole process, so two dependencies that define the same names
differently can't both be there: the second gets a pool of its own, and with it its own well-known types.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any, cast

from google.protobuf import symbol_database
from google.protobuf.descriptor import Descriptor, FileDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import Default, DescriptorPool
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from actrzmq.contracts.fingerprint import default_json_name
from actrzmq.contracts.pools import copy_well_known, found
from actrzmq.contracts.wellknown import WELL_KNOWN

_contracts: dict[str, Sequence[FileDescriptorProto]] = {}
"""The contracts of dependencies whose generated code was imported, by fingerprint."""


def generated_contract(fingerprint: str) -> Sequence[FileDescriptorProto] | None:
    """The files of the contract with that fingerprint, if its generated code was imported in this process."""
    return _contracts.get(fingerprint)


class Files:
    """The files of one folder of generated code, in one pool; `serialized` has imports before importers.

    `fingerprint` is that of the contract which the files are, where they are a dependency's.
    """

    def __init__(self, *serialized: bytes, fingerprint: str = "") -> None:
        self._protos = [FileDescriptorProto.FromString(content) for content in serialized]
        if fingerprint:
            _contracts[fingerprint] = self._protos
        _import_well_known(self._protos)
        self.pool = self._default_pool() or self._private_pool()

    def module(self, path: str, name: str) -> tuple[FileDescriptor, dict[str, Any]]:
        """The descriptor of the file `path`, and by name all that its module `name` is to hold."""
        file = self.pool.FindFileByName(path)
        names: dict[str, Any] = {}
        for extension, field in file.extensions_by_name.items():
            names[f"{extension.upper()}_FIELD_NUMBER"] = field.number
            names[extension] = field
        for message, descriptor in file.message_types_by_name.items():
            names[message] = _at_home(GetMessageClass(descriptor), name)
        for enum, values in file.enum_types_by_name.items():
            names[enum] = EnumTypeWrapper(values)
            names |= {value.name: value.number for value in values.values}
        return file, names

    def message(self, full_name: str) -> type[Message]:
        """The class of a message in this pool. For well-known types of a private pool the only way to it."""
        return GetMessageClass(self.pool.FindMessageTypeByName(full_name))

    def _default_pool(self) -> DescriptorPool | None:
        pool = Default()
        if not all(_fits(proto, pool) for proto in self._protos):
            return None
        # Should protobuf see a conflict that we don't, the files added until then do no harm.
        with suppress(TypeError):
            for proto in self._protos:
                if found(pool, proto.name) is None:
                    pool.AddSerializedFile(proto.SerializeToString())
            return pool
        return None

    def _private_pool(self) -> DescriptorPool:
        pool = DescriptorPool()
        for proto in self._protos:
            for path in proto.dependency:
                copy_well_known(path, pool)
            pool.AddSerializedFile(proto.SerializeToString())
        return pool


def _import_well_known(protos: list[FileDescriptorProto]) -> None:
    for proto in protos:
        for path in proto.dependency:
            if path in WELL_KNOWN:
                import_module(WELL_KNOWN[path])


def _fits(proto: FileDescriptorProto, pool: DescriptorPool) -> bool:
    """Whether `pool` has this very file, or room for it."""
    present = found(pool, proto.name)
    if present is not None:
        return _plain(FileDescriptorProto.FromString(present.serialized_pb)) == _plain(proto)
    prefix = f"{proto.package}." if proto.package else ""
    return not any(_is_taken(pool, prefix + name) for name in _symbols(proto)) and not any(
        _is_number_taken(pool, extension) for extension in _all_extensions(proto)
    )


def _plain(proto: FileDescriptorProto) -> FileDescriptorProto:
    """`proto` without what protoc's own Python modules leave out of theirs."""
    plain = FileDescriptorProto()
    plain.CopyFrom(proto)
    plain.ClearField("source_code_info")
    for field in _all_fields(plain):
        if field.json_name == default_json_name(field.name):
            field.ClearField("json_name")
    return plain


def _symbols(proto: FileDescriptorProto) -> Iterator[str]:
    yield from (message.name for message in proto.message_type)
    yield from (service.name for service in proto.service)
    yield from (extension.name for extension in proto.extension)
    for enum in proto.enum_type:
        yield enum.name
        yield from (value.name for value in enum.value)


def _is_taken(pool: DescriptorPool, symbol: str) -> bool:
    try:
        pool.FindFileContainingSymbol(symbol)
    except KeyError:
        return False
    return True


def _is_number_taken(pool: DescriptorPool, extension: FieldDescriptorProto) -> bool:
    try:
        extendee = pool.FindMessageTypeByName(extension.extendee.removeprefix("."))
        pool.FindExtensionByNumber(extendee, extension.number)
    except KeyError:
        return False
    return True


def _all_messages(proto: FileDescriptorProto) -> Iterator[DescriptorProto]:
    pending = list(proto.message_type)
    while pending:
        message = pending.pop()
        pending.extend(message.nested_type)
        yield message


def _all_extensions(proto: FileDescriptorProto) -> Iterator[FieldDescriptorProto]:
    yield from proto.extension
    for message in _all_messages(proto):
        yield from message.extension


def _all_fields(proto: FileDescriptorProto) -> Iterator[FieldDescriptorProto]:
    yield from _all_extensions(proto)
    for message in _all_messages(proto):
        yield from message.field


def _at_home(message: type[Message], module: str) -> type[Message]:
    """`message`, told which module it can be found in, so that it prints and pickles like other classes."""
    # A class has no module until somebody claims it; the first to come keeps it.
    if message.__module__ is None:
        for claimed in _with_nested(message):
            claimed.__module__ = module
            if claimed.DESCRIPTOR.file.pool is Default():
                # How protobuf finds the class of a nested message that was pickled.
                symbol_database.Default().RegisterMessage(claimed)
    return message


def _with_nested(message: type[Message]) -> Iterator[type[Message]]:
    yield message
    for name, descriptor in message.DESCRIPTOR.nested_types_by_name.items():
        nested = GetMessageClass(cast(Descriptor, descriptor))
        setattr(message, name, nested)  # a reference, so that what we say of the class is not forgotten
        yield from _with_nested(nested)
