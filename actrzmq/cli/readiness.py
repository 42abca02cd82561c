"""What a project needs to run, looked at one thing after the other. Nothing is changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path

from msgspec import Struct

from actrzmq.cli.exits import Exit
from actrzmq.codegen.exports import REMOTE, dependency_contract, local_contract, shown
from actrzmq.codegen.generate import Inputs, generate
from actrzmq.contracts.bundle import Contract
from actrzmq.errors import ActrConfigError
from actrzmq.manifest.load import load_manifest
from actrzmq.manifest.lock import load_lock
from actrzmq.manifest.model import Dependency, Lock, LockedDependency, Manifest

INSTALL = "run `actr install`"
GEN = "run `actr gen`"

# Of several failures the first in this order is the exit code: what comes later may only follow from it.
_WORST = (Exit.USAGE, Exit.NO_BROKER, Exit.MISMATCH, Exit.NOT_FOUND, Exit.FAILED)


class Outcome(StrEnum):
    """How a thing was found to be."""

    PASS = "PASS"  # noqa: S105  # passed, that is
    WARN = "WARN"
    """The project runs with it, but it should be seen to."""
    FAIL = "FAIL"


class Check(Struct, frozen=True):
    """One thing that was looked at."""

    outcome: Outcome
    subject: str
    message: str
    next_step: str = ""
    exit_code: Exit = Exit.OK


def passed(subject: str, message: str) -> Check:
    return Check(Outcome.PASS, subject, message)


def warned(subject: str, message: str, next_step: str) -> Check:
    return Check(Outcome.WARN, subject, message, next_step)


def failed(subject: str, message: str, next_step: str = "", exit_code: Exit = Exit.USAGE) -> Check:
    return Check(Outcome.FAIL, subject, message, next_step, exit_code)


def exit_code(checks: Sequence[Check]) -> Exit:
    """The exit code that `checks` come to."""
    found = {check.exit_code for check in checks}
    return next((code for code in _WORST if code in found), Exit.OK)


def examine(manifest_path: Path, protos: Path | None, output: Path | None, *, offline: bool) -> list[Check]:
    """Look at all that the project of the manifest needs; at its broker only where `offline` is not set."""
    try:
        manifest = load_manifest(manifest_path)
    except ActrConfigError as error:
        return [failed("manifest", error.message)]
    folder = manifest.directory / "protos" if protos is None else Path.cwd() / protos
    checks = [passed("manifest", f"{manifest.name} is {manifest.actor_type}")]
    checks += _exports(manifest, folder)
    lock, found = _lock(manifest)
    checks += found
    for alias in manifest.dependencies:
        locked = lock.dependencies.get(alias) if lock else None
        if locked:
            checks.append(_files(alias, locked, folder))
    if not _lacks_files(manifest, checks, folder):
        checks += _generated(manifest, folder, manifest.directory / "generated" if output is None else output)
    if not offline:
        from actrzmq.cli.online import look_around  # it makes checks, too

        checks += look_around(manifest, lock, folder)
    return checks


def _exports(manifest: Manifest, protos: Path) -> Iterator[Check]:
    if not manifest.exports:
        return
    try:
        contract = local_contract(protos, manifest.exports)
    except ActrConfigError as error:
        yield failed("exports", error.message)
    else:
        yield passed("exports", f"{contract.fingerprint} of {_count(len(contract.files), 'file')}")


def _lock(manifest: Manifest) -> tuple[Lock | None, list[Check]]:
    if not manifest.dependencies and not manifest.lock_path.exists():
        return None, []
    if not manifest.lock_path.exists():
        return None, [failed("lock file", f"{shown(manifest.lock_path)} is not there", INSTALL)]
    try:
        lock = load_lock(manifest.lock_path)
    except ActrConfigError as error:
        return None, [failed("lock file", error.message)]
    wrong = [*_not_as_locked(manifest, lock), *_left_over(manifest, lock)]
    return lock, wrong or [passed("lock file", f"has {_count(len(lock.dependencies), 'dependency')}")]


def _not_as_locked(manifest: Manifest, lock: Lock) -> Iterator[Check]:
    for alias, dependency in manifest.dependencies.items():
        locked = lock.dependencies.get(alias)
        difference = "is in the manifest, but not in the lock file" if locked is None else _differs(dependency, locked)
        if difference:
            yield failed(f"dependency {alias}", difference, INSTALL)


def _differs(dependency: Dependency, locked: LockedDependency) -> str:
    for what, wanted, found in (
        ("fingerprint", dependency.fingerprint, locked.fingerprint),
        ("actor type", dependency.actor_type, locked.actor_type),
        ("service name", dependency.name, locked.package),
    ):
        if wanted is not None and wanted != found:
            return f"the manifest wants the {what} {wanted}, the lock file has {found}"
    return ""


def _left_over(manifest: Manifest, lock: Lock) -> Iterator[Check]:
    for alias in lock.dependencies:
        if alias not in manifest.dependencies:
            yield warned(f"dependency {alias}", "is in the lock file, but not in the manifest", INSTALL)


def _files(alias: str, locked: LockedDependency, protos: Path) -> Check:
    subject = f"dependency {alias}"
    try:
        contract = dependency_contract(protos, alias)
    except ActrConfigError as error:
        return failed(subject, error.message, INSTALL)
    difference = _first_difference(alias, locked, contract)
    if difference:
        return failed(subject, f"{shown(protos / REMOTE / alias)}: {difference}", INSTALL)
    return passed(subject, f"{contract.fingerprint} of {_count(len(contract.files), 'file')}, as locked")


def _first_difference(alias: str, locked: LockedDependency, contract: Contract) -> str:
    wanted = {file.path: file.fingerprint for file in locked.files}
    found: dict[str, str] = {f"{alias}/{file.path}": file.fingerprint for file in contract.files}
    for path in sorted(wanted.keys() | found.keys()):
        if path not in found:
            return f"{path} is in the lock file, but not there"
        if path not in wanted:
            return f"{path} is there, but not in the lock file"
        if wanted[path] != found[path]:
            return f"{path} means something else than what was locked ({found[path]}, not {wanted[path]})"
    if contract.fingerprint != locked.fingerprint:
        return f"the files make {contract.fingerprint}, the lock file says {locked.fingerprint}"
    return ""


def _lacks_files(manifest: Manifest, checks: Sequence[Check], protos: Path) -> bool:
    """Is there no code to compare before the install that `checks` advise, for want of what it is made from?"""
    if not any(check.outcome is Outcome.FAIL and check.next_step == INSTALL for check in checks):
        return False
    return not all((protos / REMOTE / alias).is_dir() for alias in manifest.dependencies)


def _generated(manifest: Manifest, protos: Path, output: Path) -> Iterator[Check]:
    if not (protos.is_dir() or manifest.exports or manifest.dependencies):
        return
    try:
        changes = generate(Inputs(protos, manifest.exports, tuple(manifest.dependencies)), output)
    except ActrConfigError as error:
        yield failed("generated code", error.message, exit_code=Exit.FAILED)
        return
    if changes.is_empty:
        yield passed("generated code", f"{_count(changes.unchanged, 'file')}, fresh")
        return
    stale = [*sorted(changes.write), *changes.remove]
    more = f" and {len(stale) - 1} more" if len(stale) > 1 else ""
    yield failed("generated code", f"{shown(stale[0])}{more} would change", GEN, Exit.FAILED)


def _count(number: int, noun: str) -> str:
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"
