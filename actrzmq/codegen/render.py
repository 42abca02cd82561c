"""Rendering: a model in, the text of every generated file out. Nothing here reads or writes."""

from __future__ import annotations

from collections.abc import Iterable
from string import Template

from google.protobuf.descriptor_pb2 import FileDescriptorProto

from actrzmq.codegen.model import Method, Module, Project, Root, Service, TypeRef
from actrzmq.codegen.naming import identifier
from actrzmq.codegen.stubs import render_stub
from actrzmq.codegen.text import Imports, bytes_literal, docstring, header
from actrzmq.contracts.bundle import CONTRACT_FILE
from actrzmq.contracts.wellknown import WELL_KNOWN

PROTOS = "the project's .proto files"


def render(project: Project) -> dict[str, str]:
    """Every generated file but the contract: its path below the output folder, and its text."""
    files = {"__init__.py": _package(PROTOS, "Code made of the project's .proto files.")}
    if project.remotes:
        files["remote/__init__.py"] = _package(PROTOS, "What the dependencies offer.")
    for root in project.roots:
        files |= _root(root)
    if project.local:
        for module in project.local.modules:
            for service in module.services:
                files[f"{actor_module(service)}.py"] = _actor(project.local, service)
    return files


def actor_module(service: Service) -> str:
    """The name of a service's actor module."""
    return identifier(f"{service.module}_actor")


def _package(origin: str, doc: str, body: str = "") -> str:
    return f"{header(origin)}{docstring(doc)}\n{body}"


def _root(root: Root) -> dict[str, str]:
    base = "/".join(root.package)
    about = f"the dependency {root.alias}" if root.alias else "the project's own .proto files"
    routes = [method for module in root.modules for service in module.services for method in service.methods]
    files = {f"{base}/_descriptors.py": _descriptors(root)}
    for module in root.modules:
        folder = "/".join(module.package)
        files.setdefault(f"{folder}/__init__.py", _package(PROTOS, f"A folder of {about}."))
        files[f"{folder}/{module.name}.py"] = _messages(root, module)
        files[f"{folder}/{module.name}.pyi"] = render_stub(root, module)
        if root.alias and module.services:
            files[f"{folder}/{module.client}.py"] = _client(root, module)
    # Folders that hold nothing but folders are packages as well.
    for module in root.modules:
        for depth in range(len(root.package), len(module.package)):
            folder = "/".join(module.package[:depth])
            files.setdefault(f"{folder}/__init__.py", _package(PROTOS, f"A folder of {about}."))
    body = "\nfrom . import _routes\n" if routes else ""
    files[f"{base}/__init__.py"] = _package(PROTOS, f"The messages of {about}.", body)
    if routes:
        files[f"{base}/_routes.py"] = _routes(root)
    return files


def _descriptors(root: Root) -> str:
    files = "".join(f"    # {file.name}\n{bytes_literal(_bare(file), 4)},\n" for file in root.files)
    return (
        f"{header(PROTOS)}{docstring('The descriptors of the files, imports before importers.')}\n\n"
        f"from actrzmq.runtime.descriptors import Files\n\nFILES = Files(\n{files})\n"
    )


def _bare(file: FileDescriptorProto) -> bytes:
    bare = FileDescriptorProto()
    bare.CopyFrom(file)
    bare.ClearField("source_code_info")
    return bare.SerializeToString(deterministic=True)


def _messages(root: Root, module: Module) -> str:
    imports = Imports(module.package)
    files = _files(imports, root)
    names = "".join(f'{python} = _types["{name}"]\n' for name, python in module.exposed.items())
    return (
        f"{header(module.path)}{docstring(f'Messages and enums of {module.path}.')}\n\n"
        f"{_block(imports.lines(relative=True))}"
        f'DESCRIPTOR, _types = {files}.module("{module.path}", __name__)\n{names}'
    )


def _routes(root: Root) -> str:
    imports = Imports(root.package)
    imports.absolute("actrzmq.runtime", "messages")
    types = _Types(root, imports)
    rows = []
    for module in root.modules:
        for service in module.services:
            for method in service.methods:
                request, response = types.value(method.request), types.value(method.response)
                rows.append(f'messages.declare({request}, "{method.route_key}", {response})')
        for reading in module.readings:
            request = types.value(reading.request)
            if reading.route_key:
                rows.append(f'messages.name_route({request}, "{reading.route_key}")')
            if reading.response:
                rows.append(f"messages.name_response({request}, {types.value(reading.response)})")
            rows += [f'messages.refuse({request}, "{name}", "{reading.constants}")' for name in reading.refused]
    return (
        f"{header(PROTOS)}{docstring('Which method takes which request, and what it answers.')}\n\n"
        f"{_block(imports.lines(relative=False))}{_block(imports.lines(relative=True))}" + "\n".join(rows) + "\n"
    )


_CLIENT = Template("""
class ${name}Client(client.ServiceClient):
    ${doc}
""")

_CLIENT_METHOD = Template("""
    async def ${python}(
        self, req: ${request}, timeout_ms: int = 30000
    ) -> ${response}:
        ${doc}
        return await self._call(${constant}, req, ${response_class}, timeout_ms)
""")


def _client(root: Root, module: Module) -> str:
    imports = Imports(module.package)
    imports.absolute("typing", "Final")
    imports.absolute("actrzmq.runtime", "client")
    hints = Imports(module.package)
    types = _Types(root, imports, hints)
    body = "".join(_constants(service) for service in module.services)
    for service in module.services:
        doc = docstring(service.doc or f"Calls `{service.full_name}` at one destination.", 4).lstrip()
        body += "\n" + _CLIENT.substitute(name=service.python, doc=doc)
        for method in service.methods:
            body += _CLIENT_METHOD.substitute(
                python=method.python,
                constant=method.constant,
                request=types.hint(method.request),
                response=types.hint(method.response),
                response_class=types.value(method.response),
                doc=docstring(method.doc or f"Calls `{method.route_key}`.", 8).lstrip(),
            )
    doc = docstring(f"Calls to the services of {module.path}.")
    return f"{header(module.path)}{doc}\n\n{_preamble(imports, hints)}{body}"


_ACTOR = Template('''

class ${name}Handler(ABC):
    ${doc}
${abstract}

class ${name}Dispatcher(Dispatcher):
    """The routes of `${full_name}`."""

    service = "${full_name}"
    exported = ${exported}
${contract}    routes = (
${routes}    )


class ${name}Workload(WorkloadBase):
    """`${full_name}`, ready to be attached to an `ActrSystem`."""

    def __init__(self, handler: ${name}Handler) -> None:
        super().__init__(${name}Dispatcher(), handler)
''')

_HANDLER_METHOD = Template("""
    @abstractmethod
    async def ${python}(
        self, req: ${request}, ctx: Context
    ) -> ${response}:
        ${doc}
""")


def _actor(root: Root, service: Service) -> str:
    imports, hints = Imports(()), Imports(())
    for package, name in (("abc", "ABC"), ("abc", "abstractmethod"), ("typing", "Final")):
        imports.absolute(package, name)
    for name in ("Dispatcher", "Route", "WorkloadBase"):
        imports.absolute("actrzmq.runtime.workload", name)
    if service.exported:
        imports.absolute("pathlib", "Path")
    if service.methods:
        hints.absolute("actrzmq.runtime.context", "Context")
    types = _Types(root, imports, hints)
    body = _ACTOR.substitute(
        name=service.python,
        full_name=service.full_name,
        doc=docstring(service.doc or f"What `{service.full_name}` does.", 4).lstrip(),
        abstract="".join(_handler_method(method, types) for method in service.methods),
        exported=service.exported,
        contract=f'    contract = Path(__file__).with_name("{CONTRACT_FILE}")\n' if service.exported else "",
        routes="".join(_route(method, types) for method in service.methods),
    )
    doc = docstring(f"The service `{service.full_name}`: subclass its handler, attach its workload.")
    return f"{header(service.path)}{doc}\n\n{_preamble(imports, hints)}{_constants(service)}{body}"


def _handler_method(method: Method, types: _Types) -> str:
    return _HANDLER_METHOD.substitute(
        python=method.python,
        request=types.hint(method.request),
        response=types.hint(method.response),
        doc=docstring(method.doc or f"Answers `{method.route_key}`.", 8).lstrip(),
    )


def _route(method: Method, types: _Types) -> str:
    fields = [method.constant, f'"{method.python}"', types.value(method.request), types.value(method.response)]
    if method.idempotent:
        fields.append("idempotent=True")
    return f"        Route({', '.join(fields)}),\n"


def _constants(service: Service) -> str:
    return "".join(f'{method.constant}: Final = "{method.route_key}"\n' for method in service.methods)


def _preamble(imports: Imports, hints: Imports) -> str:
    """The import statements; those of `hints` are for type checkers only."""
    hinted = [*hints.lines(relative=False), *hints.lines(relative=True)]
    if hinted:
        imports.absolute("typing", "TYPE_CHECKING")
    guarded = _block(["if TYPE_CHECKING:", *(f"    {line}" for line in hinted)]) if hinted else ""
    future = "from __future__ import annotations\n\n"
    return future + _block(imports.lines(relative=False)) + _block(imports.lines(relative=True)) + guarded


def _block(lines: Iterable[str]) -> str:
    text = "\n".join(lines)
    return f"{text}\n\n" if text else ""


def _files(imports: Imports, root: Root) -> str:
    return imports.module((*root.package, "_descriptors"), "FILES", "_files")


class _Types:
    """How one generated file refers to message types."""

    def __init__(self, root: Root, imports: Imports, hints: Imports | None = None) -> None:
        self._root = root
        self._imports = imports
        self._hints = hints or imports

    def value(self, ref: TypeRef) -> str:
        """An expression for the class, as it is at run time."""
        module = self._root.module_of(ref.path)
        if module is None or ref.attribute is None:
            # Also well-known types: those of a private pool are other classes than protobuf's modules hold.
            return f'{_files(self._imports, self._root)}.message("{ref.full_name}")'
        return f"{self._imports.module(module.package, module.name)}.{ref.attribute}"

    def hint(self, ref: TypeRef) -> str:
        """The type, for annotations."""
        module = self._root.module_of(ref.path)
        if ref.attribute is None or (module is None and ref.path not in WELL_KNOWN):
            return self._hints.absolute("google.protobuf.message", "Message")
        if module is None:
            package, _, name = WELL_KNOWN[ref.path].rpartition(".")
            return f"{self._hints.absolute(package, name)}.{ref.attribute}"
        return f"{self._imports.module(module.package, module.name)}.{ref.attribute}"
