"""Nodes that publish a contract, as generated code would have it, and nodes that have locked one."""

from __future__ import annotations

from functools import cache

from actrzmq import ActrNode, ActrRef
from actrzmq.contracts.bundle import Contract, contract_file, contract_of, to_json
from actrzmq.manifest.load import load_manifest
from actrzmq.runtime.decorators import as_workload
from tests.codegen.protos import STREAM_SERVER, compiled
from tests.manifest.locks import HEAD
from tests.runtime.harness import Handler, Script, World, echo

PROTO = "stream_server.proto"


@cache
def contract(text: str = STREAM_SERVER) -> Contract:
    """The contract that consists of `text`."""
    found = compiled(stream_server=text)
    return contract_of([contract_file(PROTO, text, found[PROTO])])


def publisher(
    world: World, type_name: str = "Server", text: str = STREAM_SERVER, handler: Handler = echo, more: str = ""
) -> ActrNode:
    """A node that exports `text`, as generated code would have it."""
    path = world.manifest(type_name, more)
    export = path.parent / PROTO
    export.write_text(text)
    path.write_text(f'exports = ["{export.name}"]\n{path.read_text()}')
    generated = path.parent / "contract.json"
    generated.write_text(to_json(contract(text)))
    workload = as_workload(Script(handler))
    vars(workload.get_dispatcher())["contract"] = generated
    return ActrNode(load_manifest(path), [workload])


async def locker(world: World, text: str = STREAM_SERVER, dependency: str = 'actr_type = "acme+Server"') -> ActrRef:
    """A running client that has locked `text` as what `acme+Server` offers."""
    path = world.manifest("Client", f"[dependencies]\nscript = {{ {dependency} }}")
    path.with_name("Actr.lock.toml").write_text(
        HEAD.format(alias="script", actor_type="acme+Server", fingerprint=contract(text).fingerprint)
    )
    return await (await world.system(path)).attach().start()
