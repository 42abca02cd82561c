"""The manifest of a node that a test starts, where it does not give one."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from actrzmq.errors import ActrConfigError
from actrzmq.identity import ActrType
from actrzmq.manifest import MANIFEST_NAME, Manifest, load_manifest
from actrzmq.runtime.workload import WorkloadBase

MANUFACTURER = "test"
DRAIN_MS = 1_000
"""A test has no work open that would be worth waiting for at its end."""


def manifest_for(
    workloads: Sequence[WorkloadBase],
    folder: Path,
    given: Manifest | Path | str | None = None,
    actor_type: ActrType | str | None = None,
    name: str | None = None,
    toml: str = "",
) -> Manifest:
    """The one that is given, that of the workloads' project, or one made up from the first service, in `folder`.

    Raises `ActrConfigError` as reading one does, for a type that can't be, and where generated code has no project.
    """
    kind = ActrType.parse(actor_type) if isinstance(actor_type, str) else actor_type
    manifest = given if isinstance(given, Manifest) else _found(workloads, given)
    if manifest is None:
        kind = kind or ActrType(MANUFACTURER, _service(workloads))
        manifest = load_manifest(_written(folder, kind, name or kind.name.lower(), toml), environ={})
        is_given = "drain_ms" in toml
        return manifest if is_given else replace(manifest, runtime=replace(manifest.runtime, drain_ms=DRAIN_MS))
    if toml:
        raise ActrConfigError(f"toml= is for a node without a manifest; this one has {manifest.path}")
    return replace(manifest, actor_type=kind or manifest.actor_type, name=name or manifest.name)


def _written(folder: Path, kind: ActrType, name: str, toml: str) -> Path:
    path = Path(tempfile.mkdtemp(prefix=f"{kind.name}-", dir=folder)) / MANIFEST_NAME
    quoted = json.dumps(name, ensure_ascii=False)
    package = (
        f"package = {{ name = {quoted}, actr_type = {{ manufacturer = '{kind.manufacturer}', name = '{kind.name}' }} }}"
    )
    path.write_text(f"{package}\n{toml}\n")
    return path


def _found(workloads: Sequence[WorkloadBase], given: Path | str | None) -> Manifest | None:
    if given is not None:
        return load_manifest(given, environ={})
    for workload in workloads:
        contract = workload.get_dispatcher().contract
        if contract is not None:
            return load_manifest(_beside(contract), environ={})
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
