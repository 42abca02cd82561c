"""What a comparison finds, and how strictly it looks."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

from msgspec import Struct


class Level(StrEnum):
    """What must not break."""

    FILE = "FILE"
    """Code that was generated from the old files: names count, and which file they are in."""
    WIRE = "WIRE"
    """Programs with the old contract that talk to programs with the new: names of messages and fields are free."""


class Finding(Struct, frozen=True):
    """One thing that breaks."""

    rule: str
    """One of buf's ids, as `FIELD_SAME_TYPE`."""
    file: str
    """The old file's path, relative to the root of its imports."""
    element: str
    """The full name of what broke, as the old contract has it; the path for the file itself."""
    message: str
    """What was and what is, in one sentence without its full stop."""

    def __str__(self) -> str:
        return f"{self.file}: {self.rule} {self.element}: {self.message}"


class Broken(Struct, frozen=True):
    """A finding whose file the one who asked knows."""

    rule: str
    element: str
    message: str

    def within(self, file: str) -> Finding:
        return Finding(self.rule, file, self.element, self.message)


Breaks = Iterator[Broken]
