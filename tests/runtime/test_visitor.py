"""Visitors on a real broker that keeps contracts: what they see, and that nobody sees them."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf.wrappers_pb2 import StringValue

from actrzmq import (
    ActrConfigError,
    ActrNode,
    ActrNotFound,
    ActrTransportError,
    Context,
    DataStream,
    Dest,
)
from actrzmq.brokerd.store import Store
from actrzmq.contracts.bundle import contract_file, contract_of, to_json
from actrzmq.core.broker import BrokerLimits
from actrzmq.manifest.load import load_manifest
from actrzmq.runtime.visitor import VISITOR, visit
from tests.codegen.protos import STREAM_SERVER, compiled
from tests.net.peers import Broker, address
from tests.runtime.harness import RUN, SERVER, Script, World
from tests.runtime.publishers import contract, publisher

LIMITS = BrokerLimits(contracts=1 << 24)
LARGE = STREAM_SERVER + "// " + "large " * 20_000 + "\n"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """A live broker in a thread of this process, with a store."""
    with Broker(LIMITS, store=Store(tmp_path / "broker.db")) as broker:
        yield broker


async def test_what_a_server_exports_is_described_to_a_visitor(world: World) -> None:
    node = publisher(world)
    await node.start()
    async with visit(world.endpoint) as visitor:
        published = await visitor.describe(SERVER)
        assert published.contract == contract()
        assert (published.name, published.actor_type, published.realm) == ("server", SERVER, 0)
        assert (published.live, published.published_at) == (1, "today")
        facts = await visitor.describe(name="server", fingerprint=published.fingerprint, with_files=False)
        assert facts.contract is None
        assert facts.fingerprint == contract().fingerprint
    await node.close()


async def test_a_large_contract_travels_whole(world: World) -> None:
    node = publisher(world, text=LARGE)
    await node.start()
    async with visit(world.endpoint) as visitor:
        assert (await visitor.describe(SERVER)).contract == contract(LARGE)
    await node.close()


async def test_the_description_and_tags_of_the_manifest_are_told(world: World) -> None:
    node = publisher(world)
    node._manifest = load_manifest(_with_package(node, 'description = "Ünïcode"\ntags = ["one", "two"]'))
    await node.start()
    async with visit(world.endpoint) as visitor:
        published = await visitor.describe(SERVER)
        assert (published.description, published.tags) == ("Ünïcode", ("one", "two"))
    await node.close()


def _with_package(node: ActrNode, more: str) -> Path:
    path = node._manifest.path
    path.write_text(path.read_text().replace("[package]\n", f"[package]\n{more}\n"))
    return path


async def test_what_is_not_there_is_said_in_words(world: World) -> None:
    async with visit(world.endpoint) as visitor:
        with pytest.raises(ActrNotFound, match=r"no contract of acme\+Server has been published in realm 0"):
            await visitor.describe(SERVER)
        with pytest.raises(ActrConfigError, match="say of which type, name or fingerprint"):
            await visitor.describe()
        with pytest.raises(ActrConfigError, match="expected an ActrType"):
            await visitor.describe("acme+Server")  # type: ignore[arg-type]
        with pytest.raises(ActrConfigError, match="name"):
            await visitor.describe(name="x" * 300)


async def test_all_nodes_are_listed_the_visitor_too(world: World) -> None:
    server = await world.start("Server", Script())
    async with visit(world.endpoint) as visitor:
        nodes = {node.name: node for node in await visitor.nodes()}
        assert set(nodes) == {"server", "visitor"}
        found = nodes["server"]
        assert (found.id, found.visible, found.state, found.pid) == (server.actor_id(), True, "up", os.getpid())
        assert found.host == socket.gethostname()
        assert 0 <= found.uptime_ms < 60_000
        assert (nodes["visitor"].visible, nodes["visitor"].id.type) == (False, VISITOR)


async def test_a_visitor_is_neither_discovered_nor_watched(world: World) -> None:
    ref = await world.start("Client")
    async with ref.context().watch(VISITOR) as watch, visit(world.endpoint) as visitor:
        assert await visitor.nodes()
        with pytest.raises(ActrNotFound):
            await ref.discover(VISITOR)
        assert watch.instances == []


async def test_a_visitor_discovers_and_calls(world: World) -> None:
    server = await world.start("Server", Script())
    async with visit(world.endpoint) as visitor:
        assert await visitor.context.discover(SERVER) == server.actor_id()
        reply = await visitor.context.call(
            Dest.type(SERVER), RUN, StringValue(value="hello"), response_type=StringValue
        )
        assert reply.value == "hello"


async def test_a_visitor_receives_a_stream(world: World) -> None:
    async def feed(req: StringValue, ctx: Context) -> StringValue:
        caller = ctx.caller_id()
        assert caller is not None
        await ctx.send_stream(Dest.actor(caller), DataStream(req.value, 1, b"frame"))
        await ctx.end_stream(Dest.actor(caller), req.value)
        return req

    await world.start("Server", Script(feed))
    async with visit(world.endpoint) as visitor:
        reader = visitor.context.stream("s")
        call = asyncio.create_task(
            visitor.context.call(Dest.type(SERVER), RUN, StringValue(value="s"), response_type=StringValue)
        )
        assert [frame.payload() async for frame in reader] == [b"frame"]
        await call


async def test_open_calls_are_counted_apart_from_streams(world: World) -> None:
    release = asyncio.Event()

    async def wait(req: StringValue, ctx: Context) -> StringValue:
        await release.wait()
        return req

    await world.start("Server", Script(wait), more='[system.observability]\nfilter_level = "warning"')
    async with visit(world.endpoint) as visitor:
        call = asyncio.create_task(
            visitor.context.call(Dest.type(SERVER), RUN, StringValue(), response_type=StringValue)
        )
        try:
            open_calls, streams = 0, 0
            while not open_calls:  # it is told with the next renewal
                (server,) = (node for node in await visitor.nodes() if node.name == "server")
                open_calls, streams = server.calls, server.streams
                await asyncio.sleep(0.02)
            assert (open_calls, streams) == (1, 0)
        finally:
            release.set()
            await call


async def test_without_a_broker_the_address_is_named_in_time() -> None:
    began = time.monotonic()
    with pytest.raises(ActrTransportError, match=r"no broker answers at tcp://127\.0\.0\.1:9 within 300 ms"):
        async with visit("tcp://127.0.0.1:9", timeout_ms=300):
            pytest.fail("there is none")
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("url", ["http://127.0.0.1:80", "tcp://127.0.0.1:*", "nonsense", "ipc://relative"])
async def test_what_is_no_address_is_refused_in_words(url: str) -> None:
    with pytest.raises(ActrConfigError, match="broker address"):
        async with visit(url):
            pytest.fail("that is none")


async def test_a_visit_in_another_realm_sees_only_that_one(world: World) -> None:
    node = publisher(world)
    await node.start()
    async with visit(world.endpoint, realm=7) as visitor:
        assert [node.name for node in await visitor.nodes()] == ["visitor"]
        with pytest.raises(ActrNotFound, match="in realm 7"):
            await visitor.describe(SERVER)
    await node.close()


async def test_a_visitor_that_leaves_is_gone_at_once(world: World, broker: Broker) -> None:
    async with visit(world.endpoint) as visitor:
        await visitor.nodes()
    broker.wait_counted("down.deregistered")
    assert broker.loop.statistics()["nodes"] == 0


async def test_a_question_is_answered_by_the_broker_that_comes_next(tmp_path: Path) -> None:
    store = tmp_path / "other.db"
    with address() as endpoint:
        with Broker(LIMITS, endpoint, store=Store(store)) as first:
            node = publisher(World(endpoint, tmp_path))
            await node.start()
            first.wait_counted("contracts.kept")
            visiting = visit(endpoint)
            visitor = await visiting.__aenter__()
        asked = asyncio.create_task(visitor.describe(SERVER))
        with Broker(LIMITS, endpoint, epoch=2, store=Store(store)):
            assert (await asked).contract == contract()
            await visiting.__aexit__(None, None, None)
            await node.close()


# what can't be published


async def test_a_contract_over_the_brokers_limit_is_an_error_at_the_start(tmp_path: Path) -> None:
    limits = BrokerLimits(contracts=1 << 20, body=1_024)
    with Broker(limits, store=Store(tmp_path / "small.db")) as broker:
        node = publisher(World(broker.endpoint, tmp_path), text=LARGE)
        with pytest.raises(ActrConfigError, match=r"has \d+ bytes, the broker takes 1024; raise limits\.body_bytes"):
            await node.start()
        broker.wait_counted("down.deregistered")


async def test_an_export_that_imports_what_is_not_exported_is_an_error_at_the_start_with_its_line(
    world: World,
) -> None:
    text = 'syntax = "proto3";\n\nimport "b.proto";\nmessage A { B b = 1; }\n'
    found = compiled(a=text, b='syntax = "proto3";\nmessage B { }\n')
    made = contract_of([contract_file("a.proto", text, found["a.proto"])])
    node = publisher(world)
    path = node._manifest.path
    (path.parent / "a.proto").write_text(text)
    path.write_text(path.read_text().replace("stream_server.proto", "a.proto"))
    generated = node._workloads[0].get_dispatcher().contract
    assert generated is not None
    generated.write_text(to_json(made))
    node._manifest = load_manifest(path)
    with pytest.raises(ActrConfigError, match=r"contract\.json: a\.proto:3 imports 'b\.proto', which is neither"):
        await node.start()


@pytest.mark.parametrize("more", ['description = "{0}"', 'tags = ["{0}"]', "tags = [{1}]"])
def test_facts_that_are_too_long_to_be_told_are_refused_with_file_and_key(world: World, more: str) -> None:
    path = world.manifest()
    long = more.format("x" * 5_000, ", ".join(f'"{number}"' for number in range(65)))
    path.write_text(path.read_text().replace("[package]\n", f"[package]\n{long}\n"))
    with pytest.raises(ActrConfigError, match=r"Actr\.toml: package\.(description|tags)"):
        load_manifest(path)
