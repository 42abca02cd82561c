"""Pools of descriptors, and how files come into one: with all that they import, imports first."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import Default, DescriptorPool

from actrzmq.contracts.wellknown import COMES_WITH_PROTOC, WELL_KNOWN


def found(pool: DescriptorPool, path: str) -> FileDescriptor | None:
    """The file `path` in `pool`, if it is there."""
    try:
        return pool.FindFileByName(path)
    except KeyError:
        return None


def copy_well_known(path: str, pool: DescriptorPool) -> None:
    """Put the file `path` into `pool` if it is one of protobuf's own, with its imports."""
    if path in WELL_KNOWN and found(pool, path) is None:
        import_module(WELL_KNOWN[path])
        file = Default().FindFileByName(path)
        for imported in file.dependencies:
            copy_well_known(imported.name, pool)
        pool.AddSerializedFile(file.serialized_pb)


def fresh_pool(files: Iterable[FileDescriptorProto]) -> DescriptorPool:
    """A pool of nothing but `files`, which have imports before importers, and protobuf's own that they import.

    Raises `TypeError` for files that don't fit together, or that no compiler would have made.
    """
    pool = DescriptorPool()
    for file in files:
        for path in file.dependency:
            copy_well_known(path, pool)
            if path.startswith(COMES_WITH_PROTOC) and found(pool, path) is None:
                # Features of one language, say: Python has no such module, and only options need what is in it.
                pool.AddSerializedFile(FileDescriptorProto(name=path).SerializeToString())
        pool.AddSerializedFile(file.SerializeToString())
    return pool
