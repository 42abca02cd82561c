"""How the dependencies of a project stand to what is published now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from actrzmq.contracts.bundle import Contract
from actrzmq.contracts.compatibility import Finding, Level, Verdict, judge
from actrzmq.install.cached import Cached
from actrzmq.install.differences import breaks
from actrzmq.install.project import Project
from actrzmq.install.questions import Answer, Question, locked_for
from actrzmq.install.verify import verify
from actrzmq.manifest.model import Dependency, LockedDependency

NOT_INSTALLED = "not installed"
NOT_PUBLISHED = "not published"
UNKNOWN = "unknown"
"""The two differ, and nobody has the locked contract any more."""


class Standing(Struct, frozen=True):
    """One dependency: what is locked, what is the newest, and what that is to the locked one."""

    alias: str
    locked: str | None
    newest: str | None
    verdict: str
    published_at: str | None = None
    pinned: bool = False
    """Does the manifest say which contract it has to be?"""
    findings: tuple[Finding, ...] = ()


def questions_about(project: Project) -> tuple[Question, ...]:
    """What has to be asked: the newest contract of each, and the locked one where that is not in place."""
    questions = []
    for alias, dependency in project.dependencies.items():
        questions.append(Question(dependency))
        locked = locked_for(dependency, project.lock)
        if locked is not None and not project.cached[alias].is_intact(locked):
            questions.append(Question(dependency, locked.fingerprint))
    return tuple(questions)


def standings(project: Project, questions: Iterable[Question], answers: Iterable[Answer]) -> tuple[Standing, ...]:
    """How each dependency stands, in the order of their aliases. Raises `ActrConfigError` for answers that lie."""
    found: dict[tuple[str, str], Answer] = {}
    for question, answer in zip(questions, answers, strict=True):
        if answer.published is not None:
            verify(answer.published, question.dependency, question.fingerprint)
        found[question.dependency.alias, question.fingerprint] = answer
    return tuple(
        _standing(dependency, locked_for(dependency, project.lock), project.cached[alias], found)
        for alias, dependency in sorted(project.dependencies.items())
    )


def _standing(
    dependency: Dependency, locked: LockedDependency | None, cached: Cached, found: Mapping[tuple[str, str], Answer]
) -> Standing:
    alias = dependency.alias
    newest = found[alias, ""].published
    verdict: str = UNKNOWN
    findings: tuple[Finding, ...] = ()
    if newest is None or newest.contract is None:
        verdict = NOT_PUBLISHED
    elif locked is None:
        verdict = NOT_INSTALLED
    elif newest.fingerprint == locked.fingerprint:
        verdict = Verdict.IDENTICAL
    else:
        old = found.get((alias, locked.fingerprint))
        verdict, findings = _judge(locked, cached, old, newest.contract)
    return Standing(
        alias,
        locked.fingerprint if locked else None,
        newest.fingerprint if newest else None,
        str(verdict),
        (newest.published_at or None) if newest else None,
        dependency.fingerprint is not None,
        findings,
    )


def _judge(
    locked: LockedDependency, cached: Cached, old: Answer | None, newest: Contract
) -> tuple[str, tuple[Finding, ...]]:
    if old is not None and old.published is not None and old.published.contract is not None:
        return judge(old.published.contract, newest, Level.WIRE)
    found = breaks(locked, cached, newest)
    if found is None:
        return UNKNOWN, ()
    return Verdict.BREAKING if found else Verdict.COMPATIBLE, found
