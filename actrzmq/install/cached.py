"""What is below `protos/remote/` now."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from stat import S_ISLNK, S_ISREG

from msgspec import Struct

from actrzmq.codegen.sources import MAX_BYTES, MAX_FILE_BYTES, MAX_FILES
from actrzmq.contracts.fingerprint import FileFingerprint, file_fingerprint, service_fingerprint
from actrzmq.contracts.wellknown import COMES_WITH_PROTOC
from actrzmq.errors import ActrConfigError
from actrzmq.install.verify import Descriptors, compile_texts
from actrzmq.manifest.model import LockedDependency

REMOTE = "protos/remote"
"""The folder that holds one folder for each dependency; relative to the project's."""


class Cached(Struct, frozen=True):
    """The `.proto` files in the folder of one dependency, by their path in it."""

    files: dict[str, bytes] = {}
    descriptors: Descriptors | None = None
    """What they mean; None where nobody needs to know, or where they mean nothing."""

    @property
    def fingerprints(self) -> dict[str, FileFingerprint]:
        """What each file means, as far as it is known."""
        return {path: file_fingerprint(file) for path, file in (self.descriptors or {}).items()}

    def is_intact(self, locked: LockedDependency) -> bool:
        """Are these the files that were locked, by what they mean, and no others?"""
        # A lock file that was merged by hand may list the files of one contract under the fingerprint of another.
        listed = ((file.path, FileFingerprint(file.fingerprint)) for file in locked.files)
        return service_fingerprint(listed) == locked.fingerprint and self.fingerprints == {
            file.path.partition("/")[2]: file.fingerprint for file in locked.files
        }


def read_cached(project: Path, alias: str, locked: LockedDependency | None) -> Cached:
    """What is in the folder of `alias`. Symbolic links and what is too large are refused with `ActrConfigError`."""
    for part in (Path("protos"), Path(REMOTE), Path(REMOTE, alias)):
        _check_folder(project / part, str(part))
    folder = project / REMOTE / alias
    files = {path: _read(folder / path, f"{REMOTE}/{alias}/{path}") for path in _walk(folder)}
    if len(files) > MAX_FILES or sum(map(len, files.values())) > MAX_BYTES:
        raise ActrConfigError(f"{REMOTE}/{alias} holds more than {MAX_FILES} .proto files or {MAX_BYTES} bytes")
    return Cached(files, _meaning(files) if locked is not None else None)


def _check_folder(folder: Path, shown: str) -> None:
    try:
        mode = folder.lstat().st_mode
    except FileNotFoundError:
        return
    if S_ISLNK(mode):
        raise ActrConfigError(f"{shown} is a symbolic link, which may lead out; put the folder itself there")
    if not folder.is_dir():
        raise ActrConfigError(f"{shown} is in the way: it is no folder; move it away")


def _walk(folder: Path) -> Iterator[str]:
    """The paths of all `.proto` files that `actr gen` would read, in order."""
    for here, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name[0] != ".")
        for name in folders:
            inner = Path(here, name)
            _check_folder(inner, f"{REMOTE}/{folder.name}/{inner.relative_to(folder).as_posix()}")
        for name in sorted(names):
            path = Path(here, name).relative_to(folder).as_posix()
            if name[0] != "." and name.endswith(".proto") and not path.startswith(COMES_WITH_PROTOC):
                yield path


def _read(file: Path, shown: str) -> bytes:
    if not S_ISREG(file.lstat().st_mode):
        raise ActrConfigError(f"{shown} is in the way: it is no regular file; move it away")
    with file.open("rb") as opened:
        content = opened.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise ActrConfigError(f"{shown} has more than {MAX_FILE_BYTES} bytes; move it away")
    return content


def _meaning(files: Mapping[str, bytes]) -> Descriptors | None:
    try:
        return compile_texts({path: content.decode() for path, content in files.items()})
    except (ActrConfigError, UnicodeDecodeError):
        return None
