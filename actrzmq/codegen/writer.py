"""Putting generated files in place: all of them or none, and only what changed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from msgspec import Struct

from actrzmq.codegen.text import MARK
from actrzmq.errors import ActrConfigError

# A contract can't begin with a comment: it is JSON.
_MARKS = (MARK, '{ "generated": "by actr gen')


class Plan(Struct, frozen=True):
    """What a run would change."""

    output: Path
    write: dict[Path, str]
    """Files that are new or differ, with what is to be in them."""
    remove: tuple[Path, ...]
    """Files that were generated once, and would not be any more."""
    unchanged: int

    @property
    def is_empty(self) -> bool:
        return not self.write and not self.remove


def plan(output: Path, files: Mapping[str, str], once: Mapping[Path, str]) -> Plan:
    """What it takes to have exactly `files` below `output`, and `once` where no such file exists yet.

    Raises `ActrConfigError` where a file is in the way that was not generated.
    """
    wanted = {output / path: text for path, text in files.items()}
    present = set(_generated(output))
    write = {}
    for path, text in wanted.items():
        _check_inside(path, output)
        if _content(path) == text.encode():
            continue
        if os.path.lexists(path) and path not in present and not _is_blank(path):
            raise ActrConfigError(
                f"{path} is in the way: `actr gen` did not write it and won't replace it; move it, or name "
                "another folder with --output"
            )
        write[path] = text
    fresh = {path: text for path, text in once.items() if not os.path.lexists(path)}
    stale = tuple(sorted(present - wanted.keys()))
    return Plan(output, write | fresh, stale, len(wanted) - len(write))


def apply(changes: Plan) -> None:
    """Carry out `changes`. Everything is written beside the output first, then moved into place file by file.

    Raises `ActrConfigError` where the file system refuses.
    """
    if changes.is_empty:
        return
    try:
        changes.output.parent.mkdir(parents=True, exist_ok=True)
        stage = Path(mkdtemp(prefix=f".{changes.output.name}-", dir=changes.output.parent))
        try:
            staged = dict(zip(changes.write, _stage(changes.write.values(), stage), strict=True))
            for path, file in staged.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                file.replace(path)
        finally:
            rmtree(stage, ignore_errors=True)
        for path in changes.remove:
            path.unlink()
            _remove_empty(path.parent, changes.output)
    except OSError as error:
        raise ActrConfigError(f"{error.filename} can't be written: {error.strerror}") from error


def _stage(texts: Iterable[str], folder: Path) -> Iterator[Path]:
    for number, text in enumerate(texts):
        file = folder / str(number)
        file.write_bytes(text.encode())
        yield file


def _generated(output: Path) -> Iterator[Path]:
    """The files below `output` whose first line says that they are ours."""
    for folder, folders, names in os.walk(output):
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in names:
            path = Path(folder, name)
            if not path.is_symlink() and path.is_file() and _is_ours(path):
                yield path


def _is_ours(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(64).startswith(tuple(mark.encode() for mark in _MARKS))


def _is_blank(path: Path) -> bool:
    content = _content(path)
    return content is not None and not content.strip()


def _content(path: Path) -> bytes | None:
    if path.is_symlink() or not path.is_file():
        return None
    return path.read_bytes()


def _check_inside(path: Path, output: Path) -> None:
    """Refuse a folder that is a symbolic link: what lies behind it is not ours to write."""
    for folder in path.parents:
        if folder == output:
            return
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            raise ActrConfigError(f"{folder} is not a folder of generated code but something else; move it away")


def _remove_empty(folder: Path, output: Path) -> None:
    """Remove `folder` and those around it, up to `output`, if nothing but byte code is left in them."""
    while folder != output and {entry.name for entry in folder.iterdir()} <= {"__pycache__"}:
        rmtree(folder)
        folder = folder.parent
