"""One run of the generator: from folders of .proto files to a plan of what to write."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorProto
from msgspec import Struct

from actrzmq.codegen.build import build_project
from actrzmq.codegen.locate import IMPORT, IMPORT_OPTION, Places
from actrzmq.codegen.protoc import compile_protos
from actrzmq.codegen.render import render
from actrzmq.codegen.scaffold import scaffolds
from actrzmq.codegen.sources import Source, read_sources
from actrzmq.codegen.writer import Plan, plan
from actrzmq.contracts.bundle import CONTRACT_FILE, Contract, contract_file, contract_of, to_json
from actrzmq.contracts.wellknown import COMES_WITH_PROTOC
from actrzmq.errors import ActrConfigError

LOCAL = "local"
REMOTE = "remote"

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
    contract = _contract(exports, *local)
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
            f"{_shown(protos)} is no folder; put the .proto files into {_shown(protos)}/{LOCAL}, or name their "
            "folder with --input"
        )
    root = _local_root(protos)
    exports = _export_paths(inputs.exports, root)
    local, *remotes = _compile(
        read_sources(root, _shown(root), leave_out | {protos / REMOTE}),
        *(_dependency(protos / REMOTE, alias) for alias in inputs.aliases),
    )
    return exports, local, remotes


def _check_output(protos: Path, output: Path) -> None:
    if not output.name.isidentifier():
        raise ActrConfigError(
            f"--output {output.name!r}: it becomes a Python package, so its name has to be an identifier"
        )
    if output == protos or output in protos.parents:
        raise ActrConfigError(f"--output {_shown(output)} contains the .proto files; name a folder of its own")


def _local_root(protos: Path) -> Path:
    local = protos / LOCAL
    if not local.is_dir():
        return protos
    if local.is_symlink():
        raise ActrConfigError(f"{_shown(local)} is a symbolic link; put the folder itself there")
    for stray in sorted(protos.glob("*.proto")):
        raise ActrConfigError(f"{_shown(stray)} is outside of {_shown(local)} and would be left out; move it there")
    return local


def _dependency(remote: Path, alias: str) -> dict[str, Source]:
    folder = remote / alias
    if folder.parent != remote or alias in ("", ".", ".."):
        raise ActrConfigError(f"the dependency {alias!r} can't be the name of a folder")
    if remote.is_symlink() or folder.is_symlink():
        raise ActrConfigError(f"{_shown(folder)} is a symbolic link; put the .proto files themselves there")
    sources = read_sources(folder, _shown(folder)) if folder.is_dir() else {}
    if not sources:
        raise ActrConfigError(
            f"the dependency {alias!r} has no files in {_shown(folder)}; put the .proto files there that it exports"
        )
    return sources


def _export_paths(exports: Sequence[Path], root: Path) -> frozenset[str]:
    paths = set()
    for export in exports:
        path = Path(os.path.abspath(export))
        if not path.is_relative_to(root):
            raise ActrConfigError(
                f"the manifest exports {_shown(path)}, which is not below {_shown(root)}, where imports begin"
            )
        paths.add(path.relative_to(root).as_posix())
    return frozenset(paths)


def _compile(*roots: dict[str, Source]) -> list[Compiled]:
    with ThreadPoolExecutor() as pool:  # each waits for a protoc of its own
        return list(zip(roots, pool.map(compile_protos, roots), strict=True))


def _contract(
    exports: frozenset[str], sources: Mapping[str, Source], descriptors: Mapping[str, FileDescriptorProto]
) -> Contract:
    for path in sorted(exports):
        if path not in sources:
            raise ActrConfigError(f"the manifest exports {path}, but there is no such file")
        _check_imports(descriptors[path], sources[path], exports)
    return contract_of(contract_file(path, sources[path].text, descriptors[path]) for path in sorted(exports))


def _check_imports(file: FileDescriptorProto, source: Source, exports: frozenset[str]) -> None:
    places = Places(file, source.shown)
    for field, imports in ((IMPORT, file.dependency), (IMPORT_OPTION, file.option_dependency)):
        for at, imported in enumerate(imports):
            if imported not in exports and not imported.startswith(COMES_WITH_PROTOC):
                raise ActrConfigError(
                    f"{places.where(field, at)}: {file.name} is exported and imports {imported}, which is not, so "
                    "nobody else could read it; export that file as well"
                )


def _shown(path: Path) -> str:
    """`path` as messages say it: from the current folder, if it is below."""
    current = Path.cwd()
    return str(path.relative_to(current) if path.is_relative_to(current) else path)
