"""Changes several files of a project as one: all of them or none, whatever interrupts it.

What is new is written into `.actr/stage` first. Then the journal says where each piece belongs, then the new lock
file takes the place of the old one. That is the one moment at which the change happens: before it, the next command
throws the stage away; after it, the next command finishes the moves. Where the lock stays as it is, the journal
itself is that moment. Whoever reads the project calls `heal` first.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path, PurePosixPath

import msgspec
from msgspec import Struct

from actrzmq.errors import ActrConfigError, ActrTimeoutError
from actrzmq.install.cached import REMOTE
from actrzmq.install.folder import Folder
from actrzmq.manifest.lock import is_safe_path
from actrzmq.manifest.model import LOCK_NAME
from actrzmq.manifest.values import is_alias
from actrzmq.net.filelock import FileLock

STATE = ".actr"
STAGE = f"{STATE}/stage"
JOURNAL = f"{STATE}/journal.json"
_NEW_JOURNAL = f"{STATE}/journal.new"
_LOCK = f"{STATE}/lock"
_STAGED_LOCK = f"{STAGE}/lock"
_STAGED_MANIFEST = f"{STAGE}/manifest"

WAIT_S = 30.0
_LOOK_S = 0.02


class Edit(Struct, frozen=True):
    """A new text for the manifest."""

    name: str
    """Of the file, in the project's folder."""
    old: bytes
    new: bytes


class Changes(Struct, frozen=True):
    """What is to change in a project."""

    lock: bytes | None = None
    """The lock file's new content; None: it stays as it is."""
    manifest: Edit | None = None
    write: dict[str, bytes] = {}
    """New contents by path below `protos/remote/`."""
    remove: tuple[str, ...] = ()
    """Paths below `protos/remote/`."""

    @property
    def is_empty(self) -> bool:
        return self.lock is None and self.manifest is None and not self.write and not self.remove


class _Journal(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the staged files belong. File number n of `write` is staged under that number."""

    version: int
    lock: bool
    manifest: str | None
    manifest_was: str
    """The digest of the manifest that the new one is made from."""
    write: tuple[str, ...]
    remove: tuple[str, ...]


@contextmanager
def held(project: Path, wait_s: float = WAIT_S, folder: Folder | None = None) -> Iterator[None]:
    """Keep every other command from changing `project`, which is healed first.

    Raises `ActrTimeoutError` if another command is still at it after `wait_s`.
    """
    folder = folder or Folder(project)
    lock = FileLock(project / _LOCK)
    _take(lock, folder, time.monotonic() + wait_s, wait_s)
    try:
        _settle(folder)
        yield
    finally:
        lock.release()
        with suppress(OSError):  # somebody waits with a lock file in it, or the disk is gone
            folder.remove_empty(STATE)


def _take(lock: FileLock, folder: Folder, deadline: float, wait_s: float) -> None:
    while True:
        folder.make_folder(STATE)
        with suppress(FileNotFoundError):  # the last one has just tidied up the folder
            if lock.take():
                return
        if time.monotonic() >= deadline:
            raise ActrTimeoutError(
                f"{folder.root}: another actr command is changing this project, for {wait_s:g} s and longer; "
                "try again when it is done"
            )
        time.sleep(_LOOK_S)


def heal(project: Path, wait_s: float = WAIT_S) -> None:
    """Finish or undo what an interrupted command has left in `project`. Nothing is touched where there is nothing."""
    folder = Folder(project)
    if _is_unsettled(folder):
        with held(project, wait_s):
            pass


def _is_unsettled(folder: Folder) -> bool:
    return any((folder.root / path).is_symlink() or (folder.root / path).exists() for path in (JOURNAL, STAGE))


def commit(project: Path, changes: Changes, folder: Folder | None = None) -> None:
    """Carry out `changes`. The caller holds the project.

    Whatever is raised, even by Ctrl-C, leaves the old state or the new one, or what the next command makes of it.
    """
    if changes.is_empty:
        return
    folder = folder or Folder(project)
    _check(folder, changes)
    try:
        _prepare(folder, changes)
        if changes.lock is not None:
            folder.move(_STAGED_LOCK, LOCK_NAME)
            folder.sync("")
        _settle(folder)
    except BaseException:  # Ctrl-C as well: nothing is to stay half done
        # What is wrong with the disk may well be wrong with this, too. Then it is up to the next command.
        with suppress(OSError, ActrConfigError):
            _settle(folder)
        raise


def _check(folder: Folder, changes: Changes) -> None:
    """Refuse, while nothing has happened, what could not be finished."""
    for path in (LOCK_NAME, *(f"{REMOTE}/{path}" for path in (*changes.write, *changes.remove))):
        folder.check_file(path)
    edit = changes.manifest
    if edit is not None and folder.read(edit.name) != edit.old:
        raise ActrConfigError(f"{folder.root / edit.name} was changed in the meantime; nothing was done, run it again")


def _prepare(folder: Folder, changes: Changes) -> None:
    folder.make_folder(STATE)
    folder.make_folder(STAGE)
    for number, (path, content) in enumerate(changes.write.items()):
        folder.write(f"{STAGE}/{number}", content, f"{REMOTE}/{path}")
    if changes.lock is not None:
        folder.write(_STAGED_LOCK, changes.lock, LOCK_NAME)
    if changes.manifest is not None:
        folder.write(_STAGED_MANIFEST, changes.manifest.new, changes.manifest.name)
    folder.sync(STAGE)
    journal = _Journal(
        version=1,
        lock=changes.lock is not None,
        manifest=changes.manifest.name if changes.manifest else None,
        manifest_was=_digest(changes.manifest.old) if changes.manifest else "",
        write=tuple(changes.write),
        remove=changes.remove,
    )
    folder.write(_NEW_JOURNAL, msgspec.json.encode(journal))
    folder.move(_NEW_JOURNAL, JOURNAL)
    folder.sync(STATE)


def _settle(folder: Folder) -> None:
    """Bring the project to the old state, if the change has not happened yet, else to the new one."""
    content = folder.read(JOURNAL)
    staged = set(folder.names(STAGE))
    if content is not None:
        journal = _read_journal(folder, content)
        if not (journal.lock and "lock" in staged):
            _finish(folder, journal, staged)
        folder.remove(JOURNAL)
        folder.sync(STATE)
    folder.remove(_NEW_JOURNAL)
    for name in folder.names(STAGE):
        folder.remove(f"{STAGE}/{name}")
    folder.remove_empty(STAGE)


def _finish(folder: Folder, journal: _Journal, staged: set[str]) -> None:
    for number, path in enumerate(journal.write):
        target = f"{REMOTE}/{path}"
        if str(number) in staged:
            for parent in reversed(_folders(target)):
                folder.make_folder(parent)
            folder.move(f"{STAGE}/{number}", target)
    for path in journal.remove:
        folder.remove(f"{REMOTE}/{path}")
    _remove_empty(folder, journal.remove)
    if journal.manifest is not None and "manifest" in staged:
        current = folder.read(journal.manifest)
        # Who edited it since has the last word: a dependency that it lacks leaves the lock at the next install.
        if current is not None and _digest(current) == journal.manifest_was:
            folder.move(_STAGED_MANIFEST, journal.manifest)
    touched = {parent for path in (*journal.write, *journal.remove) for parent in _folders(f"{REMOTE}/{path}")}
    for path in sorted(touched | {""}):
        with suppress(FileNotFoundError):  # it was empty
            folder.sync(path)


def _remove_empty(folder: Folder, removed: tuple[str, ...]) -> None:
    """Remove the folders that are empty without the files `removed`, the inner ones first; `protos/remote` stays."""
    folders = {path for name in removed for path in _folders(f"{REMOTE}/{name}") if path.startswith(f"{REMOTE}/")}
    for path in sorted(folders, key=lambda path: -path.count("/")):
        folder.remove_empty(path)


def _folders(path: str) -> list[str]:
    """The folders that `path` is in, the innermost first, without the project's own."""
    return [str(parent) for parent in PurePosixPath(path).parents][:-1]


def _read_journal(folder: Folder, content: bytes) -> _Journal:
    """The journal, if it is one that we could have written: it may have come with a folder from anywhere."""
    try:
        journal = msgspec.json.decode(content, type=_Journal)
    except (msgspec.DecodeError, UnicodeDecodeError):
        journal = None
    if journal is None or not _is_ours(journal):
        raise ActrConfigError(
            f"{folder.root / JOURNAL} was not written by this actr, so it is not followed; remove the folder {STATE}, "
            "then run `actr install`"
        )
    return journal


def _is_ours(journal: _Journal) -> bool:
    name = journal.manifest
    paths = (*journal.write, *journal.remove)
    return (
        journal.version == 1
        and all(is_alias(path.partition("/")[0]) and is_safe_path(path, path.partition("/")[0]) for path in paths)
        and (name is None or ("/" not in name and name.endswith(".toml") and name.isprintable()))
    )


def _digest(content: bytes) -> str:
    return sha256(content).hexdigest()
