"""Rendering what belongs to a service: the actor module of one that runs here, the client of one elsewhere."""

from __future__ import annotations

from string import Template

from actrzmq.codegen.model import Method, Module, Root, Service
from actrzmq.codegen.naming import identifier
from actrzmq.codegen.references import Imports, References
from actrzmq.codegen.text import block, call, docstring, header
from actrzmq.contracts.bundle import CONTRACT_FILE


def actor_module(service: Service) -> str:
    """The name of a service's actor module."""
    return identifier(f"{service.module}_actor")


_CLIENT = Template("""
class ${name}Client(client.ServiceClient):
    ${doc}
""")

_CLIENT_METHOD = Template("""
    async def ${python}(
        self,
        req: ${request},
        timeout_ms: int = 30000,
        *,
        wait: bool = False,
        metadata: ${metadata} | None = None,
    ) -> ${response}:
        ${doc}
        return await self._call(
            ${constant}, req, ${response_class}, timeout_ms, wait=wait, metadata=metadata
        )
""")


def render_client(root: Root, module: Module) -> str:
    imports = Imports(module.package)
    imports.absolute("typing", "Final")
    imports.absolute("actrzmq.runtime", "client")
    hints = imports.apart()
    types = References(root, imports, hints)
    has_methods = any(service.methods for service in module.services)
    metadata = f"{hints.absolute('collections.abc', 'Mapping')}[str, str]" if has_methods else ""
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
                metadata=metadata,
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


def render_actor(root: Root, service: Service) -> str:
    imports = Imports(())
    hints = imports.apart()
    for package, name in (("abc", "ABC"), ("abc", "abstractmethod"), ("typing", "Final")):
        imports.absolute(package, name)
    for name in ("Dispatcher", "Route", "WorkloadBase"):
        imports.absolute("actrzmq.runtime.workload", name)
    if service.exported:
        imports.absolute("pathlib", "Path")
    if service.methods:
        hints.absolute("actrzmq.runtime.context", "Context")
    types = References(root, imports, hints)
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


def _handler_method(method: Method, types: References) -> str:
    return _HANDLER_METHOD.substitute(
        python=method.python,
        request=types.hint(method.request),
        response=types.hint(method.response),
        doc=docstring(method.doc or f"Answers `{method.route_key}`.", 8).lstrip(),
    )


def _route(method: Method, types: References) -> str:
    fields = [method.constant, f'"{method.python}"', types.value(method.request), types.value(method.response)]
    if method.idempotent:
        fields.append("idempotent=True")
    return call("Route", fields, 8) + ",\n"


def _constants(service: Service) -> str:
    return "".join(f'{method.constant}: Final = "{method.route_key}"\n' for method in service.methods)


def _preamble(imports: Imports, hints: Imports) -> str:
    """The import statements; those of `hints` are for type checkers only."""
    hinted = [line for line in hints.lines() if line]
    if hinted:
        imports.absolute("typing", "TYPE_CHECKING")
    guarded = block(["if TYPE_CHECKING:", *(f"    {line}" for line in hinted)]) if hinted else ""
    return f"from __future__ import annotations\n\n{block(imports.lines())}{guarded}"
