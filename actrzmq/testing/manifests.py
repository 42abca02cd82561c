"""The manifest of a node that a test starts, where it does not give one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from actrzmq.errors import ActrConfigError
from actrzmq.identity import ActrType
from actrzmq.manifest import MANIFEST_NAME, Manifest, Runtime, load_manifest
from actrzmq.runtime.workload import WorkloadBase

MANUFACTURER = "test"
DRAIN_MS = 1_000
"""A test has no work open that would be worth waiting for at its end."""


def manifest_for(
    workloads: Sequence[WorkloadBase],
    given: Manifest | Path | str | None = None,
    actor_type: ActrType | str | None = None,
    name: str | None = None,
) -> Manifest:
    """The one that is given, the one of the workloads' project, or one made up from the first service.

    Raises `ActrConfigError` as reading one does, for a type that can't be, and where generated code has no project.
    """
    manifest = given if isinstance(given, Manifest) else _found(workloads, given)
    if actor_type is not None:
        actor_type = ActrType.parse(actor_type) if isinstance(actor_type, str) else actor_type
    if manifest is None:
        actor_type = actor_type or ActrType(MANUFACTURER, _service(workloads))
        name = name or actor_type.name.lower()
        return Manifest(path=Path(MANIFEST_NAME), name=name, actor_type=actor_type, runtime=Runtime(drain_ms=DRAIN_MS))
    return replace(manifest, actor_type=actor_type or manifest.actor_type, name=name or manifest.name)


def _found(workloads: Sequence[WorkloadBase], given: Path | str | None) -> Manifest | None:
    if given is not None:
        return load_manifest(given)
    for workload in workloads:
        contract = workload.get_dispatcher().contract
        if contract is not None:
            return load_manifest(_beside(contract))
    return None


def _beside(contract: Path) -> Path:
    """The manifest of the project that this was generated in."""
    for folder in contract.absolute().parents:
        if (folder / MANIFEST_NAME).is_file():
            return folder / MANIFEST_NAME
    raise ActrConfigError(f"{contract}: there is no {MANIFEST_NAME} in the folders above it; give the node a manifest=")


def _service(workloads: Sequence[WorkloadBase]) -> str:
    if not workloads:
        return "Client"
    return workloads[0].get_dispatcher().service.rpartition(".")[2]
