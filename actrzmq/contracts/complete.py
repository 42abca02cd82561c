"""Whether the files of a contract are whole: each import is there, none goes in circles, and all fit together."""

from __future__ import annotations

import re
from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter

from google.protobuf.descriptor_pb2 import FileDescriptorProto

from actrzmq.contracts.pools import fresh_pool
from actrzmq.contracts.wellknown import COMES_WITH_PROTOC
from actrzmq.errors import ActrConfigError

# What was matched is never given back, so that each letter of a source from anywhere is looked at a few times only.
_IMPORT = re.compile(r"""^[^\S\n]*+import\s++(?:\w++\s++)?+(["'])([^"'\n]++)\1""", re.MULTILINE)


def check_complete(files: Mapping[str, FileDescriptorProto], sources: Mapping[str, str]) -> None:
    """Raise `ActrConfigError` unless `files`, by path, can be loaded with nothing but themselves and protobuf's own.

    `sources` are their texts, by which the message finds the line of an import.
    """
    for path, file in files.items():
        if file.name != path:
            raise ActrConfigError(f"proto file {path!r} has a descriptor that calls it {file.name!r:.300}")
        for imported in (*file.dependency, *file.option_dependency):
            if not isinstance(imported, str):  # protobuf reads text that is not UTF-8 as bytes
                raise ActrConfigError(f"proto file {path!r} imports {imported!r:.300}, which is no text")
            if imported not in files and not imported.startswith(COMES_WITH_PROTOC):
                raise ActrConfigError(
                    f"{where_imported(path, sources[path], imported)} imports {imported!r:.300}, which is neither in "
                    "the contract nor one of protobuf's own files; export that file as well"
                )
    try:
        fresh_pool(files[path] for path in imports_first(files))
    except TypeError as error:
        raise ActrConfigError(f"the files of the contract don't fit together: {str(error)!r:.300}") from None


def where_imported(path: str, source: str, imported: str) -> str:
    """`path:line` of the statement in `source` that imports `imported`; `path` alone where it can't be found."""
    for statement in _IMPORT.finditer(source):
        if statement[2] == imported:
            return f"{path}:{source.count(chr(10), 0, statement.start(1)) + 1}"
    return path


def imports_first(files: Mapping[str, FileDescriptorProto]) -> list[str]:
    """The paths of `files` in an order in which a pool takes them. Raises `ActrConfigError` for a circle."""
    order = TopologicalSorter(
        {path: [other for other in file.dependency if other in files] for path, file in files.items()}
    )
    try:
        return list(order.static_order())
    except CycleError as error:
        circle = " -> ".join(error.args[1][:5])
        raise ActrConfigError(f"the imports of the contract go in a circle: {circle}") from None
