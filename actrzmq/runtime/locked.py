"""What a node has agreed on with those it calls: its manifest's dependencies, and the lock file beside it."""

from __future__ import annotations

from actrzmq.core.agreement import Agreement
from actrzmq.errors import ActrConfigError
from actrzmq.identity import ActrType
from actrzmq.manifest.lock import load_lock
from actrzmq.manifest.model import Dependency, LockedDependency, Manifest


def read_agreements(manifest: Manifest) -> dict[ActrType, Agreement]:
    """By type, what is locked for the dependencies in the node's own realm; others it can't call.

    Without a lock file only what the manifest itself pins is agreed on. Raises `ActrConfigError` for a lock file that
    is damaged, or contradicts the manifest.
    """
    locked: dict[ActrType, dict[str, str]] = {}
    if manifest.dependencies:
        lock = load_lock(manifest.lock_path).dependencies if manifest.lock_path.exists() else {}
        for alias, dependency in manifest.dependencies.items():
            entry = lock.get(alias)
            if entry is not None:
                _check(manifest, dependency, entry)
            actor_type = entry.actor_type if entry else dependency.actor_type
            fingerprint = entry.fingerprint if entry else dependency.fingerprint
            if actor_type is not None and fingerprint is not None and dependency.realm == manifest.realm:
                locked.setdefault(actor_type, {}).setdefault(fingerprint, alias)
    return {actor_type: Agreement(actor_type, found.items()) for actor_type, found in locked.items()}


def _check(manifest: Manifest, dependency: Dependency, entry: LockedDependency) -> None:
    for what, wanted, found in (
        ("fingerprint", dependency.fingerprint, entry.fingerprint),
        ("actor type", dependency.actor_type, entry.actor_type),
    ):
        if wanted is not None and wanted != found:
            raise ActrConfigError(
                f"{manifest.path} wants the {what} {wanted} of the dependency {dependency.alias}, "
                f"{manifest.lock_path.name} has {found}; run `actr install`"
            )
