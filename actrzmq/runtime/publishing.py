"""The contract that a node publishes: that of the files which its manifest exports."""

from __future__ import annotations

from collections.abc import Sequence

from actrzmq.contracts.bundle import Contract, check_contract, check_fresh, read_contract
from actrzmq.errors import ActrConfigError
from actrzmq.manifest.model import Manifest
from actrzmq.runtime.workload import WorkloadBase


def own_contract(manifest: Manifest, workloads: Sequence[WorkloadBase]) -> Contract | None:
    """The contract of what the node exports, None where that is nothing.

    Raises `ActrConfigError` if the generated code is not that of the exported files as they are now, or if others could
    not read them: what an exported file imports has to be exported, too.
    """
    paths = {path for workload in workloads if (path := workload.get_dispatcher().contract) is not None}
    if len(paths) > 1:
        raise ActrConfigError(f"workloads from {len(paths)} generated packages; a node exports one contract")
    path = paths.pop() if paths else None
    contract = read_contract(path) if path is not None else None
    check_fresh(contract, manifest.exports)
    if contract is not None:
        try:
            check_contract(contract)
        except ActrConfigError as error:
            raise ActrConfigError(f"{path}: {error.message}") from None
    return contract


def check_fits(packed: bytes, limit: int) -> None:
    """Raise `ActrConfigError` if the node's contract is longer than the `limit` of its broker."""
    if len(packed) > limit:
        raise ActrConfigError(
            f"the contract of this node's exports has {len(packed)} bytes, the broker takes {limit}; raise "
            "limits.body_bytes in its broker.toml, or export less"
        )
