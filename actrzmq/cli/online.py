"""What only the broker knows: which instances there are, and what they and their like have published."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from actrzmq.cli.exits import CommandError, Exit, exit_code_of
from actrzmq.cli.readiness import Check, failed, passed, warned
from actrzmq.cli.visiting import run_visit
from actrzmq.codegen.exports import dependency_contract
from actrzmq.contracts.bundle import Contract
from actrzmq.contracts.compatibility import Finding, Level, Verdict, judge
from actrzmq.errors import ActrConfigError, ActrRuntimeError
from actrzmq.manifest.model import Dependency, Lock, LockedDependency, Manifest

if TYPE_CHECKING:
    from actrzmq.runtime.visitor import NodeInfo, Visitor

# So many versions of one service are looked at; more than a few live ones at once is not meant.
MAX_VERSIONS = 16


def published_contract(manifest: Manifest) -> Contract:
    """What the broker has as the contract of the manifest's own service: of live instances, else the newest.

    Raises `CommandError` without a broker, `ActrNotFound` where nothing was published.
    """
    found: list[Contract] = []

    async def ask(visitor: Visitor) -> None:
        published = await visitor.describe(manifest.actor_type, manifest.name)
        assert published.contract is not None, "the files were asked for"
        found.append(published.contract)

    run_visit(ask, manifest.broker_url, manifest.realm)
    return found[0]


def look_around(manifest: Manifest, lock: Lock | None, protos: Path) -> list[Check]:
    """Whether the broker answers, and each dependency has an instance that the project can talk to."""
    checks: list[Check] = []
    for realm in sorted({manifest.realm, *(dependency.realm for dependency in manifest.dependencies.values())}):
        wanted = [dependency for dependency in manifest.dependencies.values() if dependency.realm == realm]

        async def ask(visitor: Visitor, wanted: Sequence[Dependency] = wanted) -> None:
            for dependency in wanted:
                locked = lock.dependencies.get(dependency.alias) if lock else None
                checks.append(await _dependency(visitor, dependency, locked, protos))

        try:
            run_visit(ask, manifest.broker_url, realm)
        except CommandError as error:
            return [failed("broker", f"{error.message}, or leave it out with --offline", exit_code=error.exit_code)]
    return [passed("broker", f"{manifest.broker_url} answers"), *checks]


async def _dependency(visitor: Visitor, dependency: Dependency, locked: LockedDependency | None, protos: Path) -> Check:
    subject = f"instances of {dependency.alias}"
    try:
        nodes = [node for node in await visitor.nodes() if _is_one(node, dependency, locked)]
        ready = [node for node in nodes if node.state == "up"]
        if not ready:
            return _nobody(subject, dependency, locked, nodes)
        return await _compared(visitor, subject, dependency, locked, ready, protos)
    except ActrRuntimeError as error:
        return failed(subject, error.message, exit_code=exit_code_of(error))


def _is_one(node: NodeInfo, dependency: Dependency, locked: LockedDependency | None) -> bool:
    """Whether `node` is an instance of the dependency, by whatever of type and name is known."""
    actor_type = dependency.actor_type or (locked.actor_type if locked else None)
    return (
        node.visible
        and (actor_type is None or node.id.type == actor_type)
        and (dependency.name is None or node.name == dependency.name)
    )


def _nobody(subject: str, dependency: Dependency, locked: LockedDependency | None, nodes: Sequence[NodeInfo]) -> Check:
    what = dependency.actor_type or dependency.name or (locked.actor_type if locked else dependency.alias)
    if nodes:
        states = ", ".join(sorted({node.state for node in nodes}))
        return failed(
            subject, f"of {what} there are {len(nodes)}, but none is ready ({states})", "wait", Exit.NOT_FOUND
        )
    return failed(subject, f"no live node of {what} in realm {dependency.realm}", "start one", Exit.NOT_FOUND)


async def _compared(
    visitor: Visitor,
    subject: str,
    dependency: Dependency,
    locked: LockedDependency | None,
    ready: Sequence[NodeInfo],
    protos: Path,
) -> Check:
    count = f"{len(ready)} ready"
    if locked is None:
        return warned(subject, f"{count}; what they offer can't be compared, since nothing is locked", "see above")
    if any(node.fingerprint == locked.fingerprint for node in ready):
        return passed(subject, f"{count}, with the locked contract")
    fingerprints = sorted({node.fingerprint for node in ready if node.fingerprint})[:MAX_VERSIONS]
    if not fingerprints:
        return warned(subject, f"{count}, but they publish no contract to compare", "export their .proto files")
    try:
        own = dependency_contract(protos, dependency.alias)
    except ActrConfigError:
        return warned(subject, f"{count}; what was locked can't be read, so they can't be compared", "see above")
    broken: tuple[Finding, ...] = ()
    for fingerprint in fingerprints:
        published = await visitor.describe(fingerprint=fingerprint)
        assert published.contract is not None, "the files were asked for"
        verdict, findings = judge(own, published.contract, Level.WIRE)
        if verdict is not Verdict.BREAKING:
            return passed(subject, f"{count}, with a contract that is compatible with the locked one")
        broken = broken or findings
    return failed(
        subject,
        f"{count}, and all break the locked contract: {broken[0]}",
        f"run `actr install --update {dependency.alias}` and mend the calls, or start an instance of the old contract",
        Exit.MISMATCH,
    )
