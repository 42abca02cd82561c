"""Single .proto files, wherever they lie, with what they import from beside them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from actrzmq.codegen.exports import LOCAL, REMOTE, shown
from actrzmq.codegen.protoc import compile_protos
from actrzmq.codegen.sources import MAX_FILES, Source, read_source
from actrzmq.contracts.bundle import ContractFile, contract_file
from actrzmq.contracts.paths import check_proto_path
from actrzmq.errors import ActrConfigError

PROTOS = "protos"

# It may find too much, in comments; what then is not there is not read.
_IMPORT = re.compile(
    r"""(?:^[^\S\n]*+|[;/]\s*+)import\s++(?:(?:public|weak|option)\s++)?+["']([^"'\n]++)["']""", re.MULTILINE
)


def loose_file(file: Path) -> ContractFile:
    """The file `file`, compiled with what it imports.

    Imports begin in `protos/local` or `protos/remote/<alias>` where the file is below one, else in its own
    folder. Raises `ActrConfigError`, with file and line where there is one, for what can't be read or compiled.
    """
    file = Path(os.path.abspath(file))
    root = _root_of(file)
    path = file.relative_to(root).as_posix()
    sources = _with_imports(root, path)
    return contract_file(path, sources[path].text, compile_protos(sources)[path])


def _root_of(file: Path) -> Path:
    for folder in file.parents:
        if folder.name == LOCAL and folder.parent.name == PROTOS:
            return folder
        if folder.parent.name == REMOTE and folder.parent.parent.name == PROTOS:
            return folder
    return file.parent


def _with_imports(root: Path, path: str) -> dict[str, Source]:
    """The source at `path` and those that it leads to. What is not there is left for protoc to complain about."""
    sources: dict[str, Source] = {}
    todo = [path]
    while todo:
        path = todo.pop()
        if path in sources or (sources and not _is_file(root, path)):
            continue
        if len(sources) == MAX_FILES:
            raise ActrConfigError(f"{shown(root)}: more than {MAX_FILES} files, one imported by the other")
        check_proto_path(path)
        sources[path] = read_source(root / path, path, shown(root / path))
        todo += _imports(sources[path].text)
    return sources


def _is_file(root: Path, path: str) -> bool:
    file = root / path
    return ".." not in file.parts and not Path(path).is_absolute() and "\0" not in path and file.is_file()


def _imports(text: str) -> Iterable[str]:
    return _IMPORT.findall(text)
