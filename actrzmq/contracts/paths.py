"""Paths of published .proto files: names that mean the same file on every system, and stay where they belong."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

from actrzmq.errors import ActrConfigError

MAX_PATH_BYTES = 255
MAX_DEPTH = 16

_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", re.ASCII)
# Windows opens a device, not a file, under these names, whatever their extension.
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)


def check_proto_path(path: str) -> PurePosixPath:
    """`path`, if it may be the path of a .proto file below the root of a contract.

    Such a path is relative, with `/` between parts of ASCII letters, digits, `_`, `-` and `.`, none of which
    begins with `.` or `-`. Raises `ActrConfigError` for anything else, absolute paths, `..`, drive letters,
    device names, NUL and control characters among it.
    """
    parts = path.split("/")
    if len(path) > MAX_PATH_BYTES or len(parts) > MAX_DEPTH:
        raise ActrConfigError(
            f"proto file {path[:80]!r}…: a path may have {MAX_PATH_BYTES} bytes and {MAX_DEPTH} parts"
        )
    for part in parts:
        if not _PART.fullmatch(part) or part.endswith(".") or _DEVICES.fullmatch(part):
            raise ActrConfigError(
                f"proto file {path!r}: {part!r} can't be part of its path; expected ASCII letters, digits, '_', "
                "'-' and '.', with none of the last two in front, and no name that a system reserves"
            )
    if not path.endswith(".proto"):
        raise ActrConfigError(f"proto file {path!r}: expected a name that ends in .proto")
    return PurePosixPath(path)


def check_distinct(paths: Iterable[str]) -> None:
    """Raise `ActrConfigError` where two of `paths` are one file on a system that ignores case."""
    seen: dict[str, str] = {}
    for path in paths:
        other = seen.setdefault(path.lower(), path)
        if other != path:
            raise ActrConfigError(
                f"proto files {other!r} and {path!r} differ only in case; some file systems hold one of them only"
            )
