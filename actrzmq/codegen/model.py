"""What is generated from: roots of imports, their files, services and methods, with every name decided."""

from __future__ import annotations

from google.protobuf.descriptor_pb2 import FileDescriptorProto
from msgspec import Struct

LOCAL = ("local",)
REMOTE = "remote"


class TypeRef(Struct, frozen=True):
    """A message or an enum, as others name it."""

    full_name: str
    """`package.Outer.Inner`, without a leading dot."""
    path: str
    """The file that declares it."""
    attribute: str | None
    """How its module says it (`Outer.Inner`); None where Python can't, or the file has no module of ours."""


class Method(Struct, frozen=True):
    """One rpc."""

    name: str
    python: str
    constant: str
    route_key: str
    request: TypeRef
    response: TypeRef
    idempotent: bool
    doc: str


class Service(Struct, frozen=True):
    """One service of one file."""

    name: str
    full_name: str
    python: str
    """What its classes begin with."""
    module: str
    """Its name in snake case: of the actor module, and of the scaffold."""
    path: str
    exported: bool
    methods: tuple[Method, ...]
    doc: str
    where: str


class Reading(Struct, frozen=True):
    """What reading `.route_key` and `.Response` of a request class gives; None: the attribute is not ours."""

    request: TypeRef
    route_key: str | None = None
    response: TypeRef | None = None
    refused: tuple[str, ...] = ()
    """Which of the two raise, since several methods take the message."""
    constants: str = ""
    """What that error recommends."""


class Module(Struct, frozen=True):
    """One file with its module."""

    path: str
    package: tuple[str, ...]
    """The Python package below the generated one: `("remote", "echo_server")`."""
    name: str
    """`stream_server_pb2`"""
    client: str
    """`stream_server_client`"""
    descriptor: FileDescriptorProto
    exposed: dict[str, str]
    """What the module defines: names of the .proto file to names in Python."""
    services: tuple[Service, ...]
    readings: tuple[Reading, ...]
    shown: str


class Root(Struct, frozen=True):
    """One import root: the local files, or those of one dependency."""

    package: tuple[str, ...]
    alias: str | None
    """The dependency's, None for the local root."""
    modules: tuple[Module, ...]
    files: tuple[FileDescriptorProto, ...]
    """All that the descriptor pool needs, imports before importers, well-known types left out."""
    types: dict[str, TypeRef]
    """All messages and enums that the files know, by full name."""

    def module_of(self, path: str) -> Module | None:
        """The module made of the file `path`, if there is one."""
        return next((module for module in self.modules if module.path == path), None)


class Project(Struct, frozen=True):
    """All that one run generates from."""

    local: Root | None
    remotes: tuple[Root, ...]

    @property
    def roots(self) -> tuple[Root, ...]:
        return (*((self.local,) if self.local else ()), *self.remotes)

    @property
    def services(self) -> tuple[Service, ...]:
        """Those that this project runs itself."""
        return tuple(service for module in self.local.modules for service in module.services) if self.local else ()
