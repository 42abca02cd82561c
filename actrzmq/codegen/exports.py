"""Which .proto files a project exports, where its imports begin, and the contract that they make."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorProto

from actrzmq.codegen.locate import IMPORT, IMPORT_OPTION, Places
from actrzmq.codegen.protoc import compile_protos
from actrzmq.codegen.sources import Source, read_sources
from actrzmq.contracts.bundle import Contract, contract_file, contract_of
from actrzmq.contracts.wellknown import COMES_WITH_PROTOC
from actrzmq.errors import ActrConfigError

LOCAL = "local"
REMOTE = "remote"


def local_contract(protos: Path, exports: Iterable[Path] | None = None) -> Contract:
    """The contract of the files `exports` below the folder `protos` as they are now; of all files where it is None.

    Raises `ActrConfigError`, with file and line where there is one, for what can't be published.
    """
    root = local_root(protos)
    sources = read_sources(root, shown(root), frozenset({protos / REMOTE}))
    paths = frozenset(sources) if exports is None else export_paths(exports, root)
    return exported(paths, sources, compile_protos(sources))


def dependency_contract(protos: Path, alias: str) -> Contract:
    """The contract that lies in `protos` for a dependency. Raises `ActrConfigError` as `local_contract` does."""
    sources = dependency_sources(protos / REMOTE, alias)
    return exported(frozenset(sources), sources, compile_protos(sources))


def local_root(protos: Path) -> Path:
    """The folder where the imports of a project's own files begin."""
    local = protos / LOCAL
    if not local.is_dir():
        return protos
    if local.is_symlink():
        raise ActrConfigError(f"{shown(local)} is a symbolic link; put the folder itself there")
    for stray in sorted(protos.glob("*.proto")):
        raise ActrConfigError(f"{shown(stray)} is outside of {shown(local)} and would be left out; move it there")
    return local


def dependency_sources(remote: Path, alias: str) -> dict[str, Source]:
    """The files of a dependency, which lie in the folder of its alias below `remote`."""
    folder = remote / alias
    if folder.parent != remote or alias in ("", ".", ".."):
        raise ActrConfigError(f"the dependency {alias!r} can't be the name of a folder")
    if remote.is_symlink() or folder.is_symlink():
        raise ActrConfigError(f"{shown(folder)} is a symbolic link; put the .proto files themselves there")
    sources = read_sources(folder, shown(folder)) if folder.is_dir() else {}
    if not sources:
        raise ActrConfigError(
            f"the dependency {alias!r} has no files in {shown(folder)}; `actr install` fetches and locks them"
        )
    return sources


def export_paths(exports: Iterable[Path], root: Path) -> frozenset[str]:
    """The paths of `exports`, relative to the root of their imports."""
    paths = set()
    for export in exports:
        path = Path(os.path.abspath(export))
        if not path.is_relative_to(root):
            raise ActrConfigError(
                f"the manifest exports {shown(path)}, which is not below {shown(root)}, where imports begin"
            )
        paths.add(path.relative_to(root).as_posix())
    return frozenset(paths)


def exported(
    exports: frozenset[str], sources: Mapping[str, Source], descriptors: Mapping[str, FileDescriptorProto]
) -> Contract:
    """The contract of the files with the paths `exports`."""
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


def shown(path: Path) -> str:
    """`path` as messages say it: from the current folder, if it is below."""
    current = Path.cwd()
    return str(path.relative_to(current) if path.is_relative_to(current) else path)
