"""The first version of a service's implementation: written once, the user's from then on."""

from __future__ import annotations

from string import Template

from actrzmq.codegen.model import Method, Project, Root, Service, TypeRef
from actrzmq.codegen.naming import IMPORTABLE, identifier
from actrzmq.codegen.services import actor_module
from actrzmq.codegen.text import docstring
from actrzmq.contracts.wellknown import WELL_KNOWN

_SCAFFOLD = Template("""\
${doc}

from __future__ import annotations

import logging

from actrzmq import Context
${imports}

logger = logging.getLogger(__name__)


class ${own}(${actor}.${name}Handler):
${methods}""")

_METHOD = Template("""\
    async def ${python}(self, req: ${request}, ctx: Context) -> ${response}:
        raise NotImplementedError("${name}.${python} is not written yet")
""")


def scaffolds(project: Project, output: str, *, in_package: bool) -> dict[str, str]:
    """For each exported service the name of its file, beside the package `output`, and its text.

    `in_package`: the file becomes part of a package, and imports `output` from it.
    """
    if project.local is None:
        return {}
    generated = f".{output}" if in_package else output
    return {
        f"{_module(service, output)}.py": _scaffold(project.local, service, generated)
        for service in project.services
        if service.exported
    }


def _module(service: Service, output: str) -> str:
    name = identifier(service.module)
    return f"{name}_" if name in IMPORTABLE or name == output else name


def _scaffold(root: Root, service: Service, generated: str) -> str:
    actor = actor_module(service)
    types = _Types(root, service, generated)
    methods = [_method(service, method, types) for method in service.methods]
    return _SCAFFOLD.substitute(
        doc=docstring(f"The service `{service.full_name}`. Begun by `actr gen`, which won't touch it again."),
        imports="\n".join([f"from {generated} import {actor}", *sorted(types.imports)]),
        own=identifier(service.python),
        name=service.python,
        actor=actor,
        methods="\n".join(methods) or "    pass\n",
    )


def _method(service: Service, method: Method, types: _Types) -> str:
    return _METHOD.substitute(
        name=service.python,
        python=method.python,
        request=types.hint(method.request),
        response=types.hint(method.response),
    )


class _Types:
    """How a scaffold names messages: `pb2.…` where all come from the service's own file."""

    def __init__(self, root: Root, service: Service, generated: str) -> None:
        self._root = root
        self._service = service
        self._generated = generated
        self.imports: set[str] = set()

    def hint(self, ref: TypeRef) -> str:
        """The type, for annotations."""
        module = self._root.module_of(ref.path)
        if ref.attribute is None or (module is None and ref.path not in WELL_KNOWN):
            self.imports.add("from google.protobuf.message import Message")
            return "Message"
        if module is None:
            package, _, name = WELL_KNOWN[ref.path].rpartition(".")
            self.imports.add(f"from {package} import {name}")
            return f"{name}.{ref.attribute}"
        called = "pb2" if ref.path == self._service.path else "_".join((*module.package[1:], module.name))
        renamed = f" as {called}" if called != module.name else ""
        self.imports.add(f"from {'.'.join((self._generated, *module.package))} import {module.name}{renamed}")
        return f"{called}.{ref.attribute}"
