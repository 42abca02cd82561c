"""Reads `Actr.lock.toml` into a `Lock`. Its file names came over the network once: they are data here."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from unicodedata import normalize

from actrzmq.manifest import values
from actrzmq.manifest.model import Lock, LockedDependency, LockedFile
from actrzmq.manifest.toml import Table, read_toml

VERSION = 1
MAX_FILES = 10_000

_DEPENDENCY = (
    "name",
    "package",
    "actr_type",
    "fingerprint",
    "files",
    "cached_at",
    "published_at",
    "description",
    "tags",
)


def load_lock(path: Path | str) -> Lock:
    """The lock file `path`.

    Raises `ActrConfigError`, which names the file, the key and what was expected, for whatever does not hold
    of it: also for a path that leads out of its dependency's folder, and for two that some file system
    would take for one.
    """
    file = Path(os.path.abspath(path))
    root = read_toml(file, "a project without dependencies needs none")
    root.only("metadata", "dependency")
    metadata = root.table("metadata")
    metadata.only("version", "generated_at")
    version = metadata.number("version", None, 1, 2**31)
    if version != VERSION:
        raise metadata.refuse("version", f"{version} is from a newer actr than this one; update actrzmq")
    dependencies: dict[str, LockedDependency] = {}
    for row in root.tables("dependency"):
        dependency = _dependency(row)
        if dependency.name in dependencies:
            raise row.wrong("name", "each dependency once")
        dependencies[dependency.name] = dependency
    return Lock(path=file, version=version, generated_at=_time(metadata, "generated_at"), dependencies=dependencies)


def _dependency(row: Table) -> LockedDependency:
    row.only(*_DEPENDENCY)
    name = row.text("name", expected="the alias of a dependency")
    if not values.is_alias(name):
        raise row.wrong("name", "the alias of a dependency")
    return LockedDependency(
        name=name,
        package=values.service_name(row, "package") if "package" in row else name,
        actor_type=values.actor_type_text(row, "actr_type"),
        fingerprint=values.service_fingerprint(row, "fingerprint"),
        files=_files(row, name),
        cached_at=_time(row, "cached_at"),
        published_at=_time(row, "published_at"),
        description=row.text("description") if "description" in row else None,
        tags=row.texts("tags"),
    )


def _files(row: Table, dependency: str) -> tuple[LockedFile, ...]:
    rows = row.tables("files")
    if len(rows) > MAX_FILES:
        raise row.wrong("files", f"at most {MAX_FILES} files", str(len(rows)))
    files: dict[str, LockedFile] = {}
    for entry in rows:
        entry.only("path", "fingerprint")
        path = entry.text("path")
        if not is_safe_path(path, dependency):
            raise entry.wrong("path", f"a .proto file below {dependency}/, with '/' between folders")
        same = normalize("NFC", path).casefold()
        if same in files:
            raise entry.wrong("path", "each file once", f"{path!r} beside {files[same].path!r}")
        files[same] = LockedFile(path=path, fingerprint=values.file_fingerprint(entry, "fingerprint"))
    return tuple(files.values())


def is_safe_path(path: str, dependency: str) -> bool:
    """Whether `path` names a `.proto` file in the folder `dependency`, on every file system."""
    folder, *rest = path.split("/")
    return (
        folder == dependency
        and bool(rest)
        and path.endswith(".proto")
        and len(path.encode("utf-8", "surrogatepass")) <= 1024
        and path.isprintable()
        and not any(char in '\\:*?"<>|' for char in path)
        and all(_is_safe_part(part) for part in rest)
    )


def _is_safe_part(part: str) -> bool:
    return bool(part) and part == part.strip(" ") and not part.endswith(".") and not values.RESERVED.match(part)


def _time(table: Table, key: str) -> str | None:
    if key not in table:
        return None
    text = table.text(key, expected='a time in quotes, as in "2026-01-26T07:42:02+00:00"')
    try:
        datetime.fromisoformat(text)
    except ValueError:
        raise table.wrong(key, "a time, as in 2026-01-26T07:42:02+00:00") from None
    return text
