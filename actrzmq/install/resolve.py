"""From the manifest, the lock, what is in place and what the broker answered, to what has to change. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from actrzmq.contracts.bundle import Contract, Published
from actrzmq.contracts.compatibility import Finding
from actrzmq.errors import ActrContractMismatch, ActrNotFound
from actrzmq.install.cached import Cached
from actrzmq.install.differences import breaks, changed_files
from actrzmq.install.questions import Answer, Question, locked_for, stray
from actrzmq.manifest.lock import VERSION
from actrzmq.manifest.model import Dependency, Lock, LockedDependency, LockedFile


class Kind(StrEnum):
    """What happens to a dependency."""

    ADDED = "added"
    UPDATED = "updated"
    REMOVED = "removed"
    RESTORED = "restored"
    """Its files become again what the lock says."""
    UNCHANGED = "unchanged"


class Change(Struct, frozen=True):
    """What happens to one dependency, and to which contract."""

    alias: str
    kind: Kind
    old: str | None = None
    new: str | None = None
    breaking: tuple[Finding, ...] | None = None
    """What an update breaks; None where that can't be told."""


class Plan(Struct, frozen=True):
    """What it takes until all dependencies are installed."""

    changes: tuple[Change, ...]
    write: dict[str, bytes] = {}
    """New contents by path below `protos/remote/`."""
    remove: tuple[str, ...] = ()
    """Paths below `protos/remote/`."""
    lock: Lock | None = None
    """The new lock; None: it stays as it is, to the byte."""

    @property
    def is_empty(self) -> bool:
        return not self.write and not self.remove and self.lock is None


def decide(
    dependencies: Iterable[Dependency],
    lock: Lock | None,
    lock_path: Path,
    cached: Mapping[str, Cached],
    answers: Mapping[str, tuple[Question, Answer]],
    now: str,
) -> Plan:
    """What has to change so that exactly `dependencies` are installed; `answers` are verified ones, by alias.

    Raises `ActrNotFound` where nothing is published, `ActrContractMismatch` where it is not what was locked, and
    `ActrConfigError` where a file is in the way.
    """
    wanted = {dependency.alias: dependency for dependency in dependencies}
    changes: list[Change] = []
    entries: dict[str, LockedDependency] = {}
    write: dict[str, bytes] = {}
    for alias, dependency in sorted(wanted.items()):
        old = lock.dependencies.get(alias) if lock else None
        if alias in answers:
            published, contract = _accepted(*answers[alias], lock, cached[alias])
            entries[alias] = _entry(alias, published, contract, old, now)
            fresh = _fresh_files(alias, contract, old, cached[alias])
            write |= fresh
            changes.append(_change(alias, old, entries[alias], contract, fresh, cached[alias]))
        else:
            kept = locked_for(dependency, lock)
            assert kept is not None, "what is neither locked nor asked for can't be installed"
            entries[alias] = kept
            changes.append(Change(alias, Kind.UNCHANGED, kept.fingerprint, kept.fingerprint))
    gone = {} if lock is None else {name: entry for name, entry in lock.dependencies.items() if name not in wanted}
    changes += (Change(name, Kind.REMOVED, entry.fingerprint) for name, entry in sorted(gone.items()))
    return Plan(
        tuple(changes),
        write,
        _superfluous(lock, entries),
        Lock(path=lock_path, version=VERSION, generated_at=now, dependencies=entries)
        if lock is None or lock.dependencies != entries
        else None,
    )


def without(lock: Lock | None, alias: str, now: str) -> Plan:
    """What has to change so that `alias` is no longer installed, and nothing else."""
    if lock is None or alias not in lock.dependencies:
        return Plan((Change(alias, Kind.REMOVED),))
    entries = {name: entry for name, entry in lock.dependencies.items() if name != alias}
    return Plan(
        (Change(alias, Kind.REMOVED, lock.dependencies[alias].fingerprint),),
        remove=_superfluous(lock, entries),
        lock=replace(lock, generated_at=now, dependencies=entries),
    )


def _accepted(question: Question, answer: Answer, lock: Lock | None, cached: Cached) -> tuple[Published, Contract]:
    """What to install, if that may be done without asking anybody."""
    dependency = question.dependency
    old = locked_for(dependency, lock)
    published = answer.published
    if published is None and answer.newest is None:
        raise ActrNotFound(_nothing(dependency))
    if published is None:
        assert answer.newest is not None
        if dependency.fingerprint:
            raise _mismatch(
                dependency, dependency.fingerprint, answer.newest, old, cached, "change its fingerprint in the manifest"
            )
        raise _mismatch(dependency, question.fingerprint, answer.newest, old, cached, _accept(dependency))
    assert published.contract is not None, "only verified answers come here"
    kept = old is not None and question.fingerprint == old.fingerprint
    if kept and old is not None and _files(dependency.alias, published.contract) != tuple(sorted(old.files, key=_path)):
        # A service's fingerprint goes by the names of its files, not by the folders that they are in; or the lock file
        # was merged by hand.
        raise _mismatch(dependency, old.fingerprint, published, old, cached, _accept(dependency))
    return published, published.contract


def _nothing(dependency: Dependency) -> str:
    return (
        f"{dependency.alias}: nothing is published for {target(dependency)} in realm {dependency.realm}; start "
        "that service once, visible and with exports (the broker keeps what it publishes), or say what it is found by "
        "with --type or --name, or in the manifest if it is there already"
    )


def target(dependency: Dependency) -> str:
    """What a dependency is found by, for people."""
    by = [str(dependency.actor_type)] if dependency.actor_type else []
    if dependency.name:
        by.append(f"named {dependency.name!r}" if by else f"the name {dependency.name!r}")
    return " ".join(by)


def _accept(dependency: Dependency) -> str:
    return f"to accept it: actr install --update {dependency.alias}"


def _mismatch(
    dependency: Dependency,
    fingerprint: str,
    newest: Published,
    old: LockedDependency | None,
    cached: Cached,
    what_to_do: str,
) -> ActrContractMismatch:
    assert newest.contract is not None, "only verified answers come here"
    alias = dependency.alias
    if newest.fingerprint == fingerprint:
        lines = [f"{alias}: contract {short(fingerprint)} is published with other files than the lock lists"]
    else:
        by = target(dependency)
        lines = [f"{alias}: the broker has no contract {short(fingerprint)}; {by} has {short(newest.fingerprint)}"]
    details = {"dependency": alias, "locked": fingerprint, "published": newest.fingerprint}
    if old is not None:
        found = breaks(old, cached, newest.contract)
        lines += (f"  {line}" for line in (found or changed_files(old, newest.contract)))
        if found:
            details |= {"rule": found[0].rule, "element": found[0].element}
    return ActrContractMismatch("\n".join([*lines, f"  {what_to_do}"]), details=details)


def short(fingerprint: str) -> str:
    """A fingerprint for people: enough of it to tell it from others."""
    return fingerprint.rpartition(":")[2][:12]


def _entry(
    alias: str, published: Published, contract: Contract, old: LockedDependency | None, now: str
) -> LockedDependency:
    entry = LockedDependency(
        name=alias,
        package=published.name,
        actor_type=published.actor_type,
        fingerprint=published.fingerprint,
        files=_files(alias, contract),
        cached_at=now,
        published_at=published.published_at or None,
        description=published.description or None,
        tags=published.tags,
    )
    return old if old is not None and _identity(old) == _identity(entry) else entry


def _identity(entry: LockedDependency) -> tuple[object, ...]:
    return entry.package, entry.actor_type, entry.fingerprint, tuple(sorted(entry.files, key=_path))


def _files(alias: str, contract: Contract) -> tuple[LockedFile, ...]:
    files = (LockedFile(path=f"{alias}/{file.path}", fingerprint=file.fingerprint) for file in contract.files)
    return tuple(sorted(files, key=_path))


def _path(file: LockedFile) -> str:
    return file.path


def _fresh_files(alias: str, contract: Contract, old: LockedDependency | None, cached: Cached) -> dict[str, bytes]:
    """The files of `contract` that are not in place, to the byte. Refuses to replace or to keep what is not ours."""
    contents = {file.path: file.source.encode() for file in contract.files}
    ours = {file.path.partition("/")[2] for file in old.files} if old else set()
    for path, content in cached.files.items():
        if path not in ours and contents.get(path) != content:
            raise stray(alias, path)
    return {f"{alias}/{path}": text for path, text in contents.items() if cached.files.get(path) != text}


def _change(
    alias: str,
    old: LockedDependency | None,
    new: LockedDependency,
    contract: Contract,
    fresh: Mapping[str, bytes],
    cached: Cached,
) -> Change:
    if old is None:
        return Change(alias, Kind.ADDED, None, new.fingerprint)
    if new != old:
        return Change(alias, Kind.UPDATED, old.fingerprint, new.fingerprint, breaks(old, cached, contract))
    return Change(alias, Kind.RESTORED if fresh else Kind.UNCHANGED, old.fingerprint, new.fingerprint)


def _superfluous(lock: Lock | None, entries: Mapping[str, LockedDependency]) -> tuple[str, ...]:
    """The files that were installed and belong to no contract any more."""
    needed = {file.path for entry in entries.values() for file in entry.files}
    installed = {file.path for entry in lock.dependencies.values() for file in entry.files} if lock else set()
    return tuple(sorted(installed - needed))
