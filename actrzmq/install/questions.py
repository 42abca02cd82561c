"""What has to be asked: which contract each dependency needs and does not have."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from enum import Enum

from msgspec import Struct

from actrzmq.contracts.bundle import Published
from actrzmq.errors import ActrConfigError, ActrNotFound
from actrzmq.install.cached import REMOTE, Cached
from actrzmq.install.catalogue import Catalogue
from actrzmq.manifest.model import Dependency, Lock, LockedDependency


class All(Enum):
    """Every dependency."""

    ALL = "all"


Aliases = Collection[str] | All
ALL = All.ALL


class Question(Struct, frozen=True):
    """One dependency whose contract is needed."""

    dependency: Dependency
    fingerprint: str = ""
    """The version that is needed; empty: the newest."""


class Answer(Struct, frozen=True):
    """What the broker has for a question."""

    published: Published | None
    """None: there is no such version."""
    newest: Published | None = None
    """What there is instead of a version that is not there."""


def locked_for(dependency: Dependency, lock: Lock | None) -> LockedDependency | None:
    """The entry of `lock` that is about what `dependency` is now; None where it is about another service."""
    entry = lock.dependencies.get(dependency.alias) if lock else None
    if entry is None:
        return None
    same_type = dependency.actor_type in (None, entry.actor_type)
    same_name = dependency.name in (None, entry.package)
    return entry if same_type and same_name else None


def questions_of(
    dependencies: Iterable[Dependency], lock: Lock | None, cached: Mapping[str, Cached], update: Aliases = ()
) -> tuple[Question, ...]:
    """What to ask so that all of `dependencies` can be installed: nothing for one that is locked and in place.

    A fingerprint in the manifest decides; else the lock, unless the dependency is one to `update`. Raises
    `ActrConfigError` for files in a dependency's folder that are nobody's.
    """
    questions = []
    for dependency in dependencies:
        alias = dependency.alias
        locked = locked_for(dependency, lock)
        wanted = dependency.fingerprint or ""
        if not wanted and locked and not (update is ALL or alias in update):
            wanted = locked.fingerprint
        if locked and wanted == locked.fingerprint:
            known = {file.path.partition("/")[2] for file in locked.files}
            for path in cached[alias].files:
                if path not in known:
                    raise stray(alias, path)
            if cached[alias].is_intact(locked):
                continue
        questions.append(Question(dependency, wanted))
    return tuple(questions)


def stray(alias: str, path: str) -> ActrConfigError:
    """The error for a file in the folder of `alias` that was not installed: it may be somebody's work."""
    return ActrConfigError(
        f"{REMOTE}/{alias}/{path} is in the way: it was not installed, and `actr gen` would take it for a part of the "
        f"contract of {alias}; move it to protos/local or remove it"
    )


async def ask(catalogue: Catalogue, questions: Iterable[Question]) -> tuple[Answer, ...]:
    """The answers of `catalogue`, in order. What it raises comes out, except that something is not there."""
    return tuple([await _ask(catalogue, question) for question in questions])


async def _ask(catalogue: Catalogue, question: Question) -> Answer:
    dependency = question.dependency
    try:
        return Answer(await catalogue.describe(dependency.actor_type, dependency.name or "", question.fingerprint))
    except ActrNotFound:
        if not question.fingerprint:
            return Answer(None)
    try:
        return Answer(None, await catalogue.describe(dependency.actor_type, dependency.name or ""))
    except ActrNotFound:
        return Answer(None)
