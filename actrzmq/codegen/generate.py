"""One run of the generator: from folders of .proto files to a plan of what to write."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorProto
from msgspec import Struct

from actrzmq.codegen.build import build_project
from actrzmq.codegen.exports import LOCAL, REMOTE, dependency_sources, export_paths, exported, local_root, shown
from actrzmq.codegen.protoc import compile_protos
from actrzmq.codegen.render import render
from actrzmq.codegen.scaffold import scaffolds
from actrzmq.codegen.sources import Source, read_sources
from actrzmq.codegen.writer import Plan, plan
from actrzmq.contracts.bundle import CONTRACT_FILE, to_json
from actrzmq.errors import ActrConfigError

Compiled = tuple[dict[str, Source], dict[str, FileDescriptorProto]]
"""The files of one import root, and the descriptors of them and of all that they import."""


class Inputs(Struct, frozen=True):
    """Where a run reads from, and what the manifest says about it."""

    protos: Path
    exports: tuple[Path, ...] = ()
    """Files below the local import root."""
    aliases: tuple[str, ...] = ()
    """The dependencies; their files lie below `remote/<alias>`."""


def generate(inputs: Inputs, output: Path) -> Plan:
    """What has to change below `output` for the .proto files as they are. Nothing is written.

    Raises `ActrConfigError`, with file and line where there is one, for whatever can't be generated.
    """
    output = Path(os.path.abspath(output))
    _check_output(Path(os.path.abspath(inputs.protos)), output)
    exports, local, remotes = compile_roots(inputs, frozenset({output}))
    contract = exported(exports, *local)
    project = build_project(local if local[0] else None, exports, dict(zip(inputs.aliases, remotes, strict=True)))
    files = render(project)
    if contract.files:
        files[CONTRACT_FILE] = to_json(contract)
    in_package = (output.parent / "__init__.py").exists()
    once = scaffolds(project, output.name, in_package=in_package)
    return plan(output, files, {output.parent / name: text for name, text in once.items()})


def compile_roots(
    inputs: Inputs, leave_out: frozenset[Path] = frozenset()
) -> tuple[frozenset[str], Compiled, list[Compiled]]:
    """The paths of what is exported, the local root, and that of each dependency, in the order of `inputs.aliases`.

    Raises `ActrConfigError`, with file and line where there is one, for what can't be read or compiled.
    """
    protos = Path(os.path.abspath(inputs.protos))
    if not protos.is_dir():
        raise ActrConfigError(
            f"{shown(protos)} is no folder; put the .proto files into {shown(protos)}/{LOCAL}, or name their "
            "folder with --input"
        )
    root = local_root(protos)
    exports = export_paths(inputs.exports, root)
    local, *remotes = _compile(
        read_sources(root, shown(root), leave_out | {protos / REMOTE}),
        *(dependency_sources(protos / REMOTE, alias) for alias in inputs.aliases),
    )
    return exports, local, remotes


def _check_output(protos: Path, output: Path) -> None:
    if not output.name.isidentifier():
        raise ActrConfigError(
            f"--output {output.name!r}: it becomes a Python package, so its name has to be an identifier"
        )
    if output == protos or output in protos.parents:
        raise ActrConfigError(f"--output {shown(output)} contains the .proto files; name a folder of its own")


def _compile(*roots: dict[str, Source]) -> list[Compiled]:
    with ThreadPoolExecutor() as pool:  # each waits for a protoc of its own
        return list(zip(roots, pool.map(compile_protos, roots), strict=True))
