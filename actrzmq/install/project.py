"""Installing into a project: read, ask, decide, write; one command at a time, all of it or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from difflib import get_close_matches
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from actrzmq.errors import ActrConfigError, ActrContractMismatch
from actrzmq.install.cached import Cached, read_cached
from actrzmq.install.edit import Addition, add_dependency, remove_dependency
from actrzmq.install.lockfile import render
from actrzmq.install.questions import ALL, Aliases, Answer, Question, locked_for, questions_of
from actrzmq.install.resolve import Plan, decide, target, without
from actrzmq.install.transaction import Changes, Edit, commit, heal, held
from actrzmq.install.verify import verify
from actrzmq.manifest.load import load_manifest, read_dependency
from actrzmq.manifest.lock import load_lock
from actrzmq.manifest.model import Dependency, Lock, Manifest

Ask = Callable[[Manifest, Sequence[Question]], Sequence[Answer]]
"""Asks the broker that the manifest names: one answer for each question, in order."""

_BOM = "\ufeff"


class Wish(Struct, frozen=True):
    """How to install."""

    add: Addition | None = None
    """A dependency that the manifest is to have."""
    update: Aliases = ()
    """The dependencies for which the newest contract is wanted, not the locked one."""
    frozen: bool = False
    """Nothing may change."""
    dry: bool = False
    """Nothing is written."""


class Project(Struct, frozen=True):
    """A project as its files are now."""

    manifest: Manifest
    dependencies: dict[str, Dependency]
    lock: Lock | None
    cached: dict[str, Cached]
    edit: Edit | None = None
    """What the manifest is to become."""

    def questions(self, wish: Wish) -> tuple[Question, ...]:
        return questions_of(self.dependencies.values(), self.lock, self.cached, wish.update)

    @property
    def is_settled(self) -> bool:
        """Does the lock hold exactly the dependencies of the manifest?"""
        return self.edit is None and self.lock is not None and self.lock.dependencies.keys() == self.dependencies.keys()


def install(manifest_path: Path, wish: Wish, ask: Ask, now: str) -> Plan:
    """Install the dependencies of a project, and say what that changed.

    The broker is asked only for what is not in place. Raises `ActrNotFound`, `ActrContractMismatch` and
    `ActrConfigError` for what can't be installed, and what `ask` raises; nothing is changed then.
    """
    directory = load_manifest(manifest_path).directory
    heal(directory)
    project = _read(manifest_path, wish)
    if wish.frozen:
        return _frozen(project, wish)
    if project.is_settled and not project.questions(wish):
        return _decide(project, {}, now)  # read only: the folder may belong to somebody else
    with held(directory):
        project = _read(manifest_path, wish)
        questions = project.questions(wish)
        answers = tuple(ask(project.manifest, questions)) if questions else ()
        plan = _decide(project, _verified(questions, answers), now)
        if not wish.dry:
            _carry_out(project, plan)
    return plan


def remove(manifest_path: Path, alias: str, now: str, *, dry: bool = False) -> Plan:
    """Remove one dependency from manifest, lock and `protos/remote/`. Nobody is asked for anything.

    Raises `ActrConfigError` if there is no such dependency.
    """
    with held(load_manifest(manifest_path).directory):
        project = _read(manifest_path, Wish())
        known = {*project.dependencies, *(project.lock.dependencies if project.lock else ())}
        if alias not in known:
            raise _unknown(alias, known, project.manifest.path)
        if alias in project.dependencies:
            edit = _edit(project.manifest, lambda text, path: remove_dependency(text, alias, path))
            project = replace(project, edit=edit)
        plan = without(project.lock, alias, now)
        if not dry:
            _carry_out(project, plan)
    return plan


def read_project(manifest_path: Path) -> Project:
    """The project of that manifest, healed."""
    heal(load_manifest(manifest_path).directory)
    return _read(manifest_path, Wish())


def _read(manifest_path: Path, wish: Wish) -> Project:
    manifest = load_manifest(manifest_path)
    dependencies, edit = _with_addition(manifest, wish.add)
    if wish.update is not ALL:
        for alias in wish.update:
            if alias not in dependencies:
                raise _unknown(alias, dependencies, manifest.path)
    _check_aliases(dependencies, manifest.path)
    lock = load_lock(manifest.lock_path) if _is_there(manifest.lock_path) else None
    return Project(manifest, dependencies, lock, _read_all(manifest.directory, dependencies, lock), edit)


def _read_all(directory: Path, dependencies: Mapping[str, Dependency], lock: Lock | None) -> dict[str, Cached]:
    def read(dependency: Dependency) -> Cached:
        return read_cached(directory, dependency.alias, locked_for(dependency, lock))

    with ThreadPoolExecutor() as pool:  # each waits for a protoc of its own
        return dict(zip(dependencies, pool.map(read, dependencies.values()), strict=True))


def _is_there(path: Path) -> bool:
    if path.is_symlink():
        raise ActrConfigError(f"{path} is a symbolic link; put the lock file itself there")
    return path.exists()


def _with_addition(manifest: Manifest, addition: Addition | None) -> tuple[dict[str, Dependency], Edit | None]:
    if addition is None:
        return manifest.dependencies, None
    wanted = read_dependency(manifest.path, addition.alias, addition.declared(), manifest.realm)
    present = manifest.dependencies.get(addition.alias)
    if present is None:
        edit = _edit(manifest, lambda text, path: add_dependency(text, addition, path))
        return {**manifest.dependencies, addition.alias: wanted}, edit
    if addition.declared() and not _agrees(wanted, addition, present):
        raise ActrConfigError(
            f"{manifest.path}: dependencies.{addition.alias}: already there, for {target(present)}; change it by hand, "
            "or choose another alias"
        )
    return manifest.dependencies, None


def _agrees(wanted: Dependency, addition: Addition, present: Dependency) -> bool:
    """Does what was asked for hold of what is there? What was not asked for may be anything."""
    return (
        (not addition.actor_type or wanted.actor_type == present.actor_type)
        and (not addition.name or wanted.name == present.name)
        and (not addition.fingerprint or wanted.fingerprint == present.fingerprint)
    )


def _edit(manifest: Manifest, change: Callable[[str, Path], str]) -> Edit:
    if manifest.path.is_symlink():
        raise ActrConfigError(f"{manifest.path} is a symbolic link and won't be replaced; edit the file it leads to")
    old = manifest.path.read_bytes()
    text = old.decode()
    mark = _BOM if text.startswith(_BOM) else ""
    return Edit(manifest.path.name, old, (mark + change(text.removeprefix(_BOM), manifest.path)).encode())


def _check_aliases(aliases: Iterable[str], where: Path) -> None:
    seen: dict[str, str] = {}
    for alias in aliases:
        other = seen.setdefault(alias.lower(), alias)
        if other != alias:
            raise ActrConfigError(f"{where}: dependencies {other} and {alias} differ only in case; rename one of them")


def _unknown(alias: str, known: Iterable[str], where: Path) -> ActrConfigError:
    near = get_close_matches(alias, list(known), n=1)
    hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known) or 'none'}"
    return ActrConfigError(f"{where}: there is no dependency {alias!r}; {hint}")


def _frozen(project: Project, wish: Wish) -> Plan:
    """The plan that changes nothing. Raises for whatever would change, without asking for how."""
    if project.lock is None and project.dependencies:
        raise ActrConfigError(
            f"{project.manifest.lock_path}: no such file; run `actr install` without --frozen, commit it"
        )
    locked = set(project.lock.dependencies) if project.lock else set()
    wrong = [f"{question.dependency.alias}: {_why(project, question)}" for question in project.questions(wish)]
    wrong += [f"{alias}: locked, but not in the manifest" for alias in sorted(locked - set(project.dependencies))]
    if wrong:
        raise ActrContractMismatch("\n".join(["nothing may change, but it would (run `actr install`):", *wrong]))
    return _decide(project, {}, "") if project.lock else Plan(())


def _why(project: Project, question: Question) -> str:
    alias = question.dependency.alias
    locked = locked_for(question.dependency, project.lock)
    if locked is None:
        return (
            "not locked"
            if alias not in (project.lock.dependencies if project.lock else ())
            else "locked for another service"
        )
    if question.fingerprint != locked.fingerprint:
        return "locked with another fingerprint than the manifest's"
    return "its files are missing" if not project.cached[alias].files else "its files are not the ones that were locked"


def _verified(questions: Sequence[Question], answers: Sequence[Answer]) -> dict[str, tuple[Question, Answer]]:
    found = {}
    for question, answer in zip(questions, answers, strict=True):
        if answer.published is not None:
            verify(answer.published, question.dependency, question.fingerprint)
        if answer.newest is not None:
            verify(answer.newest, question.dependency)
        found[question.dependency.alias] = question, answer
    return found


def _decide(project: Project, answers: dict[str, tuple[Question, Answer]], now: str) -> Plan:
    return decide(project.dependencies.values(), project.lock, project.manifest.lock_path, project.cached, answers, now)


def _carry_out(project: Project, plan: Plan) -> None:
    lock = None if plan.lock is None else render(plan.lock).encode()
    commit(
        project.manifest.directory,
        Changes(lock=lock, manifest=project.edit, write=plan.write, remove=plan.remove),
    )
