"""Rendering `.pyi` stubs of message modules from descriptors.

protoc's own break where a field or type is called like a keyword, and know nothing of `.route_key`. A name
that Python can't say is left out here; `getattr(message, "from")` still reaches it. Whatever a stub imports
goes by a name that the .proto file does not have.
"""

from __future__ import annotations

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    EnumValueDescriptorProto,
    FieldDescriptorProto,
)
from google.protobuf.message import Message

from actrzmq.codegen.model import Module, Root, TypeRef
from actrzmq.codegen.naming import is_speakable
from actrzmq.codegen.references import Imports
from actrzmq.codegen.scopes import NameSet, identifiers, names_of, number_constants
from actrzmq.codegen.text import docstring, header
from actrzmq.contracts.wellknown import WELL_KNOWN

_SCALARS = {
    FieldDescriptorProto.TYPE_DOUBLE: "float",
    FieldDescriptorProto.TYPE_FLOAT: "float",
    FieldDescriptorProto.TYPE_BOOL: "bool",
    FieldDescriptorProto.TYPE_STRING: "str",
    FieldDescriptorProto.TYPE_BYTES: "bytes",
}
_CONTAINERS = "google.protobuf.internal.containers"

# What protobuf takes in place of these messages, besides a dictionary of their fields.
_INSTEAD = {
    "google.protobuf.Timestamp": ("datetime", "datetime"),
    "google.protobuf.Duration": ("datetime", "timedelta"),
    "google.protobuf.ListValue": ("collections.abc", "Iterable"),
}

# A field of such a name stands in place of what the base class says, whose type it would contradict.
_OF_EVERY_MESSAGE = frozenset(dir(Message))


def render_stub(root: Root, module: Module) -> str:
    """The text of the stub of `module`."""
    stub = _Stub(root, module)
    body = stub.body()
    lines = [docstring(f"Types of {module.path}."), "", *stub.imports(), "", *body]
    return header(module.path) + "\n".join(lines) + "\n"


class _Stub:
    """One stub in the making."""

    def __init__(self, root: Root, module: Module) -> None:
        self._root = root
        self._module = module
        self._taken = frozenset(identifiers(module.descriptor))
        self._imports = Imports(module.package)
        self._readings = {reading.request.full_name: reading for reading in module.readings}
        self._aliases: dict[str, str] = {}

    def imports(self) -> list[str]:
        """The import statements for what `body` uses."""
        return self._imports.lines()

    def body(self) -> list[str]:
        """The declarations."""
        file, exposed = self._module.descriptor, self._module.exposed
        prefix = f"{file.package}." if file.package else ""
        lines = [f"DESCRIPTOR: {self._use('google.protobuf.descriptor', 'FileDescriptor')}"]
        for enum in file.enum_type:
            lines += self._enum(enum, exposed[enum.name], prefix + enum.name, names_of(file))
            lines += [f"{exposed[value.name]}: {self._hint(prefix + enum.name, frozenset())}" for value in enum.value]
        for message in file.message_type:
            lines += self._message(message, exposed[message.name], prefix + message.name)
        for extension in file.extension:
            lines.append(f"{exposed[extension.name]}: {self._extension()}")
            lines.append(f"{exposed[f'{extension.name.upper()}_FIELD_NUMBER']}: {self._builtin('int')}")
        return [*lines, *(f"{alias} = {name}" for name, alias in self._aliases.items())]

    def _message(self, message: DescriptorProto, name: str, full_name: str) -> list[str]:
        names = names_of(message)
        maps = {f".{full_name}.{nested.name}": nested for nested in message.nested_type if nested.options.map_entry}
        lines = []
        for enum in filter(_is_said, message.enum_type):
            lines += self._enum(enum, enum.name, f"{full_name}.{enum.name}", names)
        for nested in filter(_is_said, message.nested_type):
            lines += self._message(nested, nested.name, f"{full_name}.{nested.name}")
        lines += self._enum_values(message, full_name, names)
        lines += [f"{constant}: {self._class_variable(self._builtin('int'))}" for constant in number_constants(message)]
        lines += [f"{field.name}: {self._extension()}" for field in filter(_is_said, message.extension)]
        lines += [f"{field.name}: {self._attribute(field, maps, names)}" for field in filter(_is_said, message.field)]
        lines += self._reading(full_name, names)
        lines.append(self._constructor(message, maps, names))
        base = self._use("google.protobuf.message", "Message")
        return ["", f"class {name}({base}):", *_indent(lines)]

    def _enum(self, enum: EnumDescriptorProto, name: str, full_name: str, around: NameSet) -> list[str]:
        names = frozenset(value.name for value in enum.value)
        meta = self._use("google.protobuf.internal.enum_type_wrapper", "EnumTypeWrapper")
        lines = [
            f"{value.name}: {self._class_variable(self._hint(full_name, names | around))}"
            for value in filter(_is_said, enum.value)
        ]
        return ["", f"class {name}({self._builtin('int')}, metaclass={meta}):", *_indent(lines or ["..."])]

    def _enum_values(self, message: DescriptorProto, full_name: str, names: NameSet) -> list[str]:
        return [
            f"{value.name}: {self._class_variable(self._hint(f'{full_name}.{enum.name}', names))}"
            for enum in message.enum_type
            for value in filter(_is_said, enum.value)
        ]

    def _reading(self, full_name: str, names: NameSet) -> list[str]:
        reading = self._readings.get(full_name)
        lines = []
        if reading is not None and reading.route_key:
            lines.append(f"route_key: {self._class_variable(self._builtin('str'))}")
        if reading is not None and reading.response:
            response = self._hint(reading.response.full_name, names | {"Response", "route_key"})
            kind = self._builtin("type")
            lines.append(f"Response: {self._class_variable(f'{kind}[{response}]')}")
        return lines

    def _constructor(self, message: DescriptorProto, maps: dict[str, DescriptorProto], names: NameSet) -> str:
        own = "self"
        while own in names:
            own += "_"
        parameters = [
            f"{field.name}: {self._argument(field, maps, names)} | None = ..."
            for field in filter(_is_said, message.field)
        ]
        if len(parameters) < len(message.field):  # fields that only a dictionary can name
            rest = "fields"
            while rest in names:
                rest += "_"
            parameters.append(f"**{rest}: {self._use('typing', 'Any')}")
        star = "*, " if parameters and not parameters[0].startswith("**") else ""
        listed = f", {star}{', '.join(parameters)}" if parameters else ""
        return f"def __init__({own}{listed}) -> None: ..."

    def _attribute(self, field: FieldDescriptorProto, maps: dict[str, DescriptorProto], names: NameSet) -> str:
        if field.name in _OF_EVERY_MESSAGE:
            return self._use("typing", "Any")
        if field.type_name in maps:
            key, value = maps[field.type_name].field
            kind = "MessageMap" if _is_message(value) else "ScalarMap"
            return f"{self._use(_CONTAINERS, kind)}[{self._one(key, names)}, {self._one(value, names)}]"
        one = self._one(field, names)
        if field.label != FieldDescriptorProto.LABEL_REPEATED:
            return one
        kind = "RepeatedCompositeFieldContainer" if _is_message(field) else "RepeatedScalarFieldContainer"
        return f"{self._use(_CONTAINERS, kind)}[{one}]"

    def _argument(self, field: FieldDescriptorProto, maps: dict[str, DescriptorProto], names: NameSet) -> str:
        if field.type_name in maps:
            key, value = maps[field.type_name].field
            return f"{self._mapping()}[{self._one(key, names)}, {self._one(value, names)}]"
        one = self._one(field, names)
        if _is_message(field):
            one = f"{one} | {self._mapping()}[{self._builtin('str')}, {self._use('typing', 'Any')}]"
            instead = _INSTEAD.get(field.type_name.removeprefix("."))
            if instead:
                one += f" | {self._use(*instead)}" + (f"[{self._use('typing', 'Any')}]" * (instead[1] == "Iterable"))
        elif field.type == FieldDescriptorProto.TYPE_ENUM:
            one = f"{one} | {self._builtin('str')}"
        if field.label == FieldDescriptorProto.LABEL_REPEATED:
            return f"{self._use('collections.abc', 'Iterable')}[{one}]"
        return one

    def _one(self, field: FieldDescriptorProto, names: NameSet) -> str:
        """The type of one value of `field`."""
        if field.type_name:
            return self._hint(field.type_name.removeprefix("."), names)
        return self._builtin(_SCALARS.get(field.type, "int"))

    def _hint(self, full_name: str, names: NameSet) -> str:
        """A message or enum, as said in a class that defines `names`."""
        ref = self._root.types[full_name]
        module = self._root.module_of(ref.path)
        if ref.attribute is None or (module is None and ref.path not in WELL_KNOWN):
            return self._use("typing", "Any")
        if module is None:
            package, _, name = WELL_KNOWN[ref.path].rpartition(".")
            return f"{self._use(package, name)}.{ref.attribute}"
        if module.path != self._module.path:
            return f"{self._imports.module(module.package, module.name, self._free(module.name))}.{ref.attribute}"
        return self._own(ref, names)

    def _own(self, ref: TypeRef, names: NameSet) -> str:
        head, dot, rest = (ref.attribute or "").partition(".")
        if head in names:
            # A field, say, has the name of this type, and in the class body stands for it.
            head = self._aliases.setdefault(head, self._free(head))
        return head + dot + rest

    def _extension(self) -> str:
        handle = self._use("google.protobuf.internal.extension_dict", "_ExtensionFieldDescriptor")
        return f"{handle}[{self._use('typing', 'Any')}, {self._use('typing', 'Any')}]"

    def _class_variable(self, hint: str) -> str:
        return f"{self._use('typing', 'ClassVar')}[{hint}]"

    def _mapping(self) -> str:
        return self._use("collections.abc", "Mapping")

    def _builtin(self, name: str) -> str:
        return self._use("builtins", name)

    def _use(self, package: str, name: str) -> str:
        return self._imports.absolute(package, name, self._free(name))

    def _free(self, name: str) -> str:
        called = f"_{name.lstrip('_')}"
        while called in self._taken:
            called += "_"
        return called


def _is_said(declared: DescriptorProto | EnumDescriptorProto | FieldDescriptorProto | EnumValueDescriptorProto) -> bool:
    return is_speakable(declared.name)


def _is_message(field: FieldDescriptorProto) -> bool:
    return field.type in (FieldDescriptorProto.TYPE_MESSAGE, FieldDescriptorProto.TYPE_GROUP)


def _indent(lines: list[str]) -> list[str]:
    return [f"    {line}" if line else "" for line in lines]
