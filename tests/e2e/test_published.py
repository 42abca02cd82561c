"""What the example's server publishes, as a tool sees it."""

from __future__ import annotations

import asyncio

from actrzmq import ActrType
from actrzmq.contracts.bundle import Published
from actrzmq.runtime.visitor import NodeInfo, visit
from tests.e2e.world import World

GOLDEN = "service_semantic:8cd6382d374752af9f3ad1488cb4d465dd0fc1a8e22b69eee6e5a75d793d0708"
SERVER = ActrType("acme", "StreamEchoServer")


def look(url: str) -> tuple[Published, tuple[NodeInfo, ...]]:
    """The server's contract, and who is there, once it is."""

    async def main() -> tuple[Published, tuple[NodeInfo, ...]]:
        async with visit(url) as visitor:
            await visitor.context.discover(SERVER, timeout_ms=20_000)
            return await visitor.describe(SERVER), await visitor.nodes()

    return asyncio.run(main())


def test_the_contract_of_stream_echo_is_published_with_the_fingerprint_that_others_compute(world: World) -> None:
    world.broker()
    server = world.server()
    published, nodes = look(world.url)
    assert (published.fingerprint, published.name, published.live) == (GOLDEN, "stream-register-server-python", 1)
    contract = published.contract
    assert contract is not None
    assert contract.fingerprint == GOLDEN
    (file,) = contract.files
    assert file.path == "stream_server.proto"
    assert file.source == (world.example / "server/protos/local/stream_server.proto").read_text()
    found = {node.name: node for node in nodes}["stream-register-server-python"]
    assert (found.pid, found.fingerprint, found.state) == (server.process.pid, GOLDEN, "up")
