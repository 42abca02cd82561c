"""The .proto files of one import root, read once and held in memory: nothing else is ever compiled."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from actrzmq.contracts.paths import check_distinct, check_proto_path
from actrzmq.errors import ActrConfigError

MAX_FILES = 2000
MAX_FILE_BYTES = 4 * 1024 * 1024
MAX_BYTES = 32 * 1024 * 1024

_VENDORED = "google/protobuf/"


class Source(Struct, frozen=True):
    """One .proto file."""

    path: str
    """Relative to its import root, with `/`; by this name others import it."""
    shown: str
    """How messages to the user call it."""
    file: Path
    text: str


def read_sources(root: Path, shown: str, leave_out: frozenset[Path] = frozenset()) -> dict[str, Source]:
    """The .proto files below `root`, by path, except below the folders `leave_out`.

    Names that begin with a dot are skipped, like copies of protobuf's own files, which come with protoc.
    Raises `ActrConfigError` for symbolic links, names that can't be published, text that is not UTF-8, and
    more than 2,000 files, 4 MiB in one or 32 MiB in all.
    """
    sources: dict[str, Source] = {}
    left = MAX_BYTES
    for file in _walk(root, shown, leave_out):
        path = file.relative_to(root).as_posix()
        where = f"{shown}/{path}"
        check_proto_path(path)
        if path.startswith(_VENDORED):
            continue
        source = read_source(file, path, where)
        left -= len(source.text.encode())
        if left < 0 or len(sources) == MAX_FILES:
            raise ActrConfigError(f"{shown} holds more than {MAX_FILES} .proto files or {MAX_BYTES} bytes")
        sources[path] = source
    check_distinct(sources)
    return sources


def read_source(file: Path, path: str, shown: str) -> Source:
    """The one file `file`. Raises `ActrConfigError` for more than 4 MiB and for text that is not UTF-8."""
    return Source(path, shown, file, _decode(_read(file, shown), shown))


def _walk(root: Path, shown: str, leave_out: frozenset[Path]) -> Iterator[Path]:
    for folder, folders, files in os.walk(root, onerror=_raise):
        here = Path(folder)
        folders[:] = sorted(name for name in folders if name[0] != "." and here / name not in leave_out)
        names = sorted(name for name in files if name[0] != "." and name.endswith(".proto"))
        for name in [*folders, *names]:
            if (here / name).is_symlink():
                where = f"{shown}/{(here / name).relative_to(root).as_posix()}"
                raise ActrConfigError(
                    f"{where!r} is a symbolic link, which may lead out of the project; put the file itself there"
                )
        yield from (here / name for name in names)


def _raise(error: OSError) -> None:
    raise ActrConfigError(f"{error.filename} can't be read: {error.strerror}")


def _read(file: Path, where: str) -> bytes:
    if not file.exists():
        raise ActrConfigError(f"{where}: there is no such file")
    if not file.is_file():
        raise ActrConfigError(f"{where} is not a regular file")
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ActrConfigError(f"{where} can't be read: {error.strerror}") from None
    if len(content) > MAX_FILE_BYTES:
        raise ActrConfigError(f"{where} has more than {MAX_FILE_BYTES} bytes")
    return content


def _decode(content: bytes, where: str) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ActrConfigError(f"{where}:{line}: expected UTF-8, found byte {content[error.start]:#04x}") from None
