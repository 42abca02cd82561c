"""Rendering: a model in, the text of every generated file out. Nothing here reads or writes."""

from __future__ import annotations

from google.protobuf.descriptor_pb2 import FileDescriptorProto

from actrzmq.codegen.model import Method, Module, Project, Reading, Root
from actrzmq.codegen.references import Imports, References, files_of
from actrzmq.codegen.services import actor_module, render_actor, render_client
from actrzmq.codegen.stubs import render_stub
from actrzmq.codegen.text import block, bytes_literal, call, docstring, header
from actrzmq.contracts.fingerprint import ServiceFingerprint, file_fingerprint, service_fingerprint

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
                files[f"{actor_module(service)}.py"] = render_actor(project.local, service)
    return files


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
            files[f"{folder}/{module.client}.py"] = render_client(root, module)
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
    files = "".join(f"    # {file.name}\n{bytes_literal(_serialized(file), 4)},\n" for file in root.files)
    if root.alias:
        files += f'    fingerprint="{_fingerprint(root)}",\n'
    return (
        f"{header(PROTOS)}{docstring('The descriptors of the files, imports before importers.')}\n\n"
        f"from actrzmq.runtime.descriptors import Files\n\nFILES = Files(\n{files})\n"
    )


def _fingerprint(root: Root) -> ServiceFingerprint:
    """That of the contract which the files of a dependency are; by it a node knows what it has agreed on."""
    return service_fingerprint((module.path, file_fingerprint(_bare(module.descriptor))) for module in root.modules)


def _serialized(file: FileDescriptorProto) -> bytes:
    return _bare(file).SerializeToString(deterministic=True)


def _bare(file: FileDescriptorProto) -> FileDescriptorProto:
    bare = FileDescriptorProto()
    bare.CopyFrom(file)
    bare.ClearField("source_code_info")
    return bare


def _messages(root: Root, module: Module) -> str:
    imports = Imports(module.package)
    files = files_of(imports, root)
    names = "".join(f'{python} = _types["{name}"]\n' for name, python in module.exposed.items())
    return (
        f"{header(module.path)}{docstring(f'Messages and enums of {module.path}.')}\n\n"
        f"{block(imports.lines())}"
        f'DESCRIPTOR, _types = {files}.module("{module.path}", __name__)\n{names}'
    )


def _routes(root: Root) -> str:
    imports = Imports(root.package)
    imports.absolute("actrzmq.runtime", "messages")
    types = References(root, imports)
    rows = []
    for module in root.modules:
        for service in module.services:
            rows += [_declaration(method, types) for method in service.methods]
        for reading in module.readings:
            rows += _reading(reading, types)
    doc = docstring("Which method takes which request, and what it answers.")
    return f"{header(PROTOS)}{doc}\n\n{block(imports.lines())}" + "\n".join(rows) + "\n"


def _declaration(method: Method, types: References) -> str:
    arguments = [types.value(method.request), f'"{method.route_key}"', types.value(method.response)]
    if method.idempotent:
        arguments.append("idempotent=True")
    return call("messages.declare", arguments, 0)


def _reading(reading: Reading, types: References) -> list[str]:
    request = types.value(reading.request)
    rows = []
    if reading.route_key:
        rows.append(call("messages.name_route", [request, f'"{reading.route_key}"'], 0))
    if reading.response:
        rows.append(call("messages.name_response", [request, types.value(reading.response)], 0))
    for name in reading.refused:
        rows.append(call("messages.refuse", [request, f'"{name}"', f'"{reading.constants}"'], 0))
    return rows
