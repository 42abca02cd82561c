"""Where things go: which module a file becomes, what that module defines, and which types it holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from google.protobuf.descriptor_pb2 import DescriptorProto, EnumDescriptorProto, FileDescriptorProto
from msgspec import Struct

from actrzmq.codegen.locate import ENUM, MESSAGE, Places
from actrzmq.codegen.model import TypeRef
from actrzmq.codegen.naming import Names, identifier, is_speakable
from actrzmq.codegen.sources import Source
from actrzmq.contracts.wellknown import WELL_KNOWN

# Names that generated modules and packages use themselves.
_IN_MODULES = ("DESCRIPTOR", "_files", "_types")
_IN_PACKAGES = ("_descriptors", "_routes")

_Declared = DescriptorProto | EnumDescriptorProto


class Folders:
    """Which package and which modules each file of a root gets."""

    def __init__(self, package: tuple[str, ...]) -> None:
        self._names: dict[tuple[str, ...], Names] = {}
        self._packages: dict[tuple[str, ...], tuple[str, ...]] = {(): package}

    def place(self, source: Source) -> tuple[tuple[str, ...], str, str]:
        """The package of a file, and the names of its message module and its client module."""
        *folders, file = PurePosixPath(source.path).parts
        package = self._package(tuple(folders), source.shown)
        stem = file.removesuffix(".proto")
        names = self._names_in(package)
        module, client = (names.claim(identifier(f"{stem}_{kind}"), file, source.shown) for kind in ("pb2", "client"))
        return package, module, client

    def _package(self, folders: tuple[str, ...], shown: str) -> tuple[str, ...]:
        known = self._packages.get(folders)
        if known is None:
            parent = self._package(folders[:-1], shown)
            folder = folders[-1]
            name = self._names_in(parent).claim(identifier(folder), f"{folder}/", f"the folder of {shown}")
            known = self._packages[folders] = (*parent, name)
        return known

    def _names_in(self, package: tuple[str, ...]) -> Names:
        return self._names.setdefault(package, Names("/".join(("generated", *package)), _IN_PACKAGES))


def expose(file: FileDescriptorProto, shown: str) -> dict[str, str]:
    """What the module of `file` defines: each name of the .proto file, and how it is called in Python."""
    names = Names(f"the module of {shown}", _IN_MODULES)
    exposed: dict[str, str] = {}
    # A name that can stay as it is has the first claim to it.
    for name, where in sorted(_top_level(file, shown), key=lambda item: identifier(item[0]) != item[0]):
        if name not in exposed:
            exposed[name] = names.claim(identifier(name), name, f"{name} ({where})")
    return exposed


def _top_level(file: FileDescriptorProto, shown: str) -> Iterator[tuple[str, str]]:
    places = Places(file, shown)
    for at, message in enumerate(file.message_type):
        yield message.name, places.where(MESSAGE, at)
    for at, enum in enumerate(file.enum_type):
        yield enum.name, places.where(ENUM, at)
        yield from ((value.name, places.where(ENUM, at)) for value in enum.value)
    for extension in file.extension:
        yield extension.name, shown
        yield f"{extension.name.upper()}_FIELD_NUMBER", shown


class Type(Struct, frozen=True):
    """A message or enum: how to refer to it, and what it is."""

    ref: TypeRef
    descriptor: _Declared


def find_types(
    descriptors: Mapping[str, FileDescriptorProto], exposed: Mapping[str, Mapping[str, str]]
) -> dict[str, Type]:
    """Every message and enum by full name; `exposed` says, by path, what the modules define."""
    found: dict[str, Type] = {}
    for path, file in descriptors.items():
        names = exposed.get(path, {})
        top: list[_Declared] = [*file.message_type, *file.enum_type]
        for declared in top:
            attribute = declared.name if path in WELL_KNOWN else names.get(declared.name)
            full_name = f"{file.package}.{declared.name}" if file.package else declared.name
            found.update(_with_nested(declared, full_name, path, attribute))
    return found


def _with_nested(declared: _Declared, full_name: str, path: str, attribute: str | None) -> Iterator[tuple[str, Type]]:
    yield full_name, Type(TypeRef(full_name, path, attribute), declared)
    if isinstance(declared, DescriptorProto):
        inside: list[_Declared] = [*declared.nested_type, *declared.enum_type]
        for nested in inside:
            inner = f"{attribute}.{nested.name}" if attribute and is_speakable(nested.name) else None
            yield from _with_nested(nested, f"{full_name}.{nested.name}", path, inner)
