"""Whether a new version of a contract still does for those who hold the old one."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from google.protobuf.descriptor_pb2 import FileDescriptorProto

from actrzmq.contracts.breaking.by_file import compare_by_file
from actrzmq.contracts.breaking.by_wire import compare_by_wire
from actrzmq.contracts.breaking.finding import Finding, Level
from actrzmq.contracts.breaking.reading import read_schema
from actrzmq.contracts.bundle import Contract

__all__ = ["Finding", "Level", "Verdict", "compare", "judge"]


class Verdict(StrEnum):
    """What a new version is to an old one."""

    IDENTICAL = "identical"
    """They have the same fingerprint."""
    COMPATIBLE = "compatible"
    """All that was is still there and means the same."""
    BREAKING = "breaking"


def compare(
    old: Sequence[FileDescriptorProto], new: Sequence[FileDescriptorProto], level: Level
) -> tuple[Finding, ...]:
    """What `new` breaks for those who hold `old`; empty where it breaks nothing.

    Both are descriptors as protoc makes them, with all type names resolved; of types that they only import,
    the name counts. The findings are sorted by file, element and rule, and each is there once.
    """
    comparison = compare_by_file if level is Level.FILE else compare_by_wire
    found = set(comparison(read_schema(old), read_schema(new)))
    return tuple(sorted(found, key=lambda one: (one.file, one.element, one.rule, one.message)))


def judge(old: Contract, new: Contract, level: Level = Level.WIRE) -> tuple[Verdict, tuple[Finding, ...]]:
    """What `new` is to those who hold `old`, with what breaks.

    At level WIRE the same fingerprint settles it. At level FILE it does not: the file may have moved.
    """
    same = old.fingerprint == new.fingerprint
    if same and level is Level.WIRE:
        return Verdict.IDENTICAL, ()
    found = compare([file.parsed() for file in old.files], [file.parsed() for file in new.files], level)
    if found:
        return Verdict.BREAKING, found
    return (Verdict.IDENTICAL if same else Verdict.COMPATIBLE), ()
