"""Building the model: names are decided, types resolved, and what can't be generated is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FileDescriptorProto,
    MethodDescriptorProto,
    MethodOptions,
    ServiceDescriptorProto,
)

from actrzmq.codegen.layout import Folders, Type, expose, find_types
from actrzmq.codegen.locate import METHOD, SERVICE, Places
from actrzmq.codegen.model import LOCAL, REMOTE, Method, Module, Project, Reading, Root, Service
from actrzmq.codegen.naming import IN_HANDLERS, Names, constant, identifier, snake, spell
from actrzmq.codegen.sources import Source
from actrzmq.contracts.wellknown import WELL_KNOWN
from actrzmq.errors import ActrConfigError

Sources = Mapping[str, Source]
Descriptors = Mapping[str, FileDescriptorProto]

_Named = TypeVar("_Named", ServiceDescriptorProto, MethodDescriptorProto)


def build_project(
    local: tuple[Sources, Descriptors] | None,
    exports: frozenset[str],
    remotes: Mapping[str, tuple[Sources, Descriptors]],
) -> Project:
    """The model of all roots; `exports` are paths in the local one, `remotes` go by alias.

    Raises `ActrConfigError`, with file and line, for streaming methods and for names that clash.
    """
    packages = Names("generated/remote")
    claimed = {
        alias: packages.claim(identifier(snake(alias)), alias, f"the dependency {alias!r}")
        for alias in sorted(remotes, key=lambda alias: (snake(alias) != alias, alias))
    }
    return Project(
        _root(LOCAL, None, *local, exports) if local else None,
        tuple(_root((REMOTE, claimed[alias]), alias, *remotes[alias]) for alias in sorted(remotes)),
    )


def _root(
    package: tuple[str, ...],
    alias: str | None,
    sources: Sources,
    descriptors: Descriptors,
    exports: frozenset[str] = frozenset(),
) -> Root:
    folders = Folders(package)
    exposed = {path: expose(descriptors[path], sources[path].shown) for path in sorted(sources)}
    types = find_types(descriptors, exposed)
    handled = Names("generated")  # dependencies have no actor modules, but nothing is lost by naming them
    modules = []
    for path, names in exposed.items():
        folder, name, client = folders.place(sources[path])
        services = _Services(sources[path], descriptors[path], types, handled, exported=path in exports).all()
        modules.append(
            Module(
                path=path,
                package=folder,
                name=name,
                client=client,
                descriptor=descriptors[path],
                exposed=names,
                services=services,
                readings=_readings(services, types, None if alias is None else client),
                shown=sources[path].shown,
            )
        )
    files = tuple(file for path, file in descriptors.items() if path not in WELL_KNOWN)
    return Root(package, alias, tuple(modules), files, {name: found.ref for name, found in types.items()})


class _Services:
    """The services of one file."""

    def __init__(
        self,
        source: Source,
        file: FileDescriptorProto,
        types: Mapping[str, Type],
        modules: Names,
        *,
        exported: bool,
    ) -> None:
        self._file = file
        self._path = source.path
        self._places = Places(file, source.shown)
        self._types = types
        self._modules = modules
        self._exported = exported
        self._classes = Names(f"the services of {source.shown}")
        self._constants = Names(f"the route keys of {source.shown}", {"TYPE_CHECKING"})

    def all(self) -> tuple[Service, ...]:
        """The file's services, in its order."""
        found = {
            at: self._service(at, service)
            for at, service in _plain_first(self._file.service, lambda name: name == snake(name))
        }
        return tuple(found[at] for at in sorted(found))

    def _service(self, at: int, service: ServiceDescriptorProto) -> Service:
        where = self._places.where(SERVICE, at)
        full_name = f"{self._file.package}.{service.name}" if self._file.package else service.name
        holder = f"service {full_name} ({where})"
        names = Names(f"the handler of {full_name}", IN_HANDLERS)
        methods = {
            index: self._method(full_name, service.name, (at, index), method, names)
            for index, method in _plain_first(service.method, lambda name: name == snake(name))
        }
        return Service(
            name=service.name,
            full_name=full_name,
            python=self._classes.claim(spell(service.name), service.name, holder),
            module=self._modules.claim(spell(snake(service.name)), service.name, holder),
            path=self._path,
            exported=self._exported,
            methods=tuple(methods[index] for index in sorted(methods)),
            doc=self._places.doc(SERVICE, at),
            where=where,
        )

    def _method(
        self, service: str, short: str, at: tuple[int, int], method: MethodDescriptorProto, names: Names
    ) -> Method:
        path = (SERVICE, at[0], METHOD, at[1])
        where = self._places.where(*path)
        if method.client_streaming or method.server_streaming:
            raise ActrConfigError(
                f"{where}: rpc {method.name} uses `stream`, which actrzmq does not generate; declare it without, "
                "and let it start a stream (Context.register_stream and Context.send_stream)"
            )
        holder = f"rpc {service}.{method.name} ({where})"
        return Method(
            name=method.name,
            python=names.claim(identifier(snake(method.name)), method.name, holder),
            constant=self._constants.claim(constant(short, method.name), f"{short}.{method.name}", holder),
            route_key=f"{service}.{method.name}",
            request=self._types[method.input_type.removeprefix(".")].ref,
            response=self._types[method.output_type.removeprefix(".")].ref,
            idempotent=method.options.idempotency_level != MethodOptions.IDEMPOTENCY_UNKNOWN,
            doc=self._places.doc(*path),
        )


def _plain_first(items: Iterable[_Named], is_plain: Callable[[str], bool]) -> list[tuple[int, _Named]]:
    """`items` with their numbers; in front those that keep their names, since they have the first claim."""
    return sorted(enumerate(items), key=lambda item: not is_plain(item[1].name))


def _readings(services: Iterable[Service], types: Mapping[str, Type], client: str | None) -> tuple[Reading, ...]:
    """What `.route_key` and `.Response` give, for request types of the services' own file."""
    users: dict[str, list[tuple[Service, Method]]] = {}
    for service in services:
        for method in service.methods:
            if method.request.path == service.path:
                users.setdefault(method.request.full_name, []).append((service, method))
    return tuple(_reading(types[name], uses, client) for name, uses in sorted(users.items()))


def _reading(request: Type, uses: list[tuple[Service, Method]], client: str | None) -> Reading:
    free = [name for name in ("route_key", "Response") if name not in _attributes(request.descriptor)]
    if len(uses) == 1:
        _, method = uses[0]
        return Reading(
            request.ref,
            method.route_key if "route_key" in free else None,
            method.response if "Response" in free else None,
        )
    constants = (f"{client or f'{service.module}_actor'}.{method.constant}" for service, method in uses)
    return Reading(request.ref, refused=tuple(free), constants=", ".join(constants))


def _attributes(message: DescriptorProto | EnumDescriptorProto) -> set[str]:
    """The names that a message itself gives a meaning as attributes of its class."""
    assert isinstance(message, DescriptorProto), "protoc let a method take an enum"
    enums = message.enum_type
    return {
        *(field.name for field in message.field),
        *(nested.name for nested in message.nested_type),
        *(enum.name for enum in enums),
        *(value.name for enum in enums for value in enum.value),
        *(extension.name for extension in message.extension),
    }
