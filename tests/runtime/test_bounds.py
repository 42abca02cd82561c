"""What a node remembers is bounded: the oldest makes room, and what makes room is given up on both sides."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import pytest
from google.protobuf.wrappers_pb2 import StringValue

from actrzmq import ActrOverloaded, ActrStreamError, ActrTransportError, ActrType, Context, DataStream, Dest, Status
from actrzmq.core.limits import BrokerLimits
from actrzmq.wire.codec import encode_serial
from tests.net.peers import Broker, Peer
from tests.runtime.harness import SERVER, Script, World, ask, to, until


async def take(frame: DataStream, sender: object) -> None:
    """A callback that takes whatever comes."""


async def test_of_streams_that_were_closed_only_the_latest_are_remembered_and_the_others_counted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actrzmq.runtime.endings.UNHEARD", 3)
    sender, receiver = await world.start("Sender", drain_ms=100), await world.start("Receiver", drain_ms=100)
    ids = [f"s{number}" for number in range(5)]
    for stream_id in ids:
        await receiver.context().register_stream(stream_id, take)
        await sender.context().send_stream(to(receiver), DataStream(stream_id, 1, b"x"))
        await receiver.context().unregister_stream(stream_id)
        await until(lambda: not sender.statistics()["streams.sending"], "the sender has heard")
    assert sender.statistics()["streams.endings_forgotten"] == 2
    for stream_id in ids:
        await receiver.context().register_stream(stream_id, take)
    for stream_id in ids[:2]:  # forgotten: opened anew
        await sender.context().send_stream(to(receiver), DataStream(stream_id, 2, b"x"))
    for stream_id in ids[2:]:
        with pytest.raises(ActrStreamError) as caught:
            await sender.context().send_stream(to(receiver), DataStream(stream_id, 2, b"x"))
        assert caught.value.code is Status.CANCELLED


async def test_streams_that_came_to_their_end_are_forgotten_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actrzmq.runtime.endings.COMPLETE", 3)
    node = await world.start()
    for number in range(10):
        await node.context().register_stream(f"s{number}", take)
        await node.context().send_stream(Dest.local(), DataStream(f"s{number}", 1, b"x"))
        await node.context().end_stream(Dest.local(), f"s{number}")
    serial, endings = node.actor_id().serial, node._engine.outlets._endings
    assert [f"s{number}" for number in range(10) if (serial, f"s{number}") in endings] == ["s7", "s8", "s9"]
    assert "streams.endings_forgotten" not in node.statistics()


async def test_a_sender_is_told_however_many_streams_its_receiver_has_closed_at_once(world: World) -> None:
    sender, receiver = await world.start("Sender", drain_ms=100), await world.start("Receiver", drain_ms=100)
    ids = [f"s{number}" for number in range(1_100)]
    handles = [await receiver.context().register_stream(stream_id, take) for stream_id in ids]
    context = sender.context()
    await asyncio.gather(*(context.send_stream(to(receiver), DataStream(stream_id, 1, b"x")) for stream_id in ids))
    for handle in handles:
        await handle.close()
    await until(lambda: not sender.statistics()["streams.sending"], "the sender has heard")
    again = (context.send_stream(to(receiver), DataStream(stream_id, 2, b"x")) for stream_id in ids)
    told = await asyncio.gather(*again, return_exceptions=True)
    assert [str(each).partition(" to ")[0] for each in told] == [f"stream {stream_id}" for stream_id in ids]


async def test_of_the_types_that_are_called_only_the_latest_are_watched(
    world: World, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actrzmq.runtime.balancing.WATCHED_TYPES", 2)
    types = {name: ActrType("acme", name) for name in ("Red", "Green", "Blue")}
    for name in types:
        await world.start(name, Script())
    client = await world.start("Client")

    def are_watched(expected: set[str]) -> bool:
        """Is it these of which the broker tells the client?"""
        node = next(node for node in list(broker.core.nodes()) if node.id == client.actor_id())
        return {str(topic.type) for topic in list(node.watches.values())} == expected

    for name, expected in (
        ("Red", {"acme+Red"}),
        ("Green", {"acme+Green", "acme+Red"}),
        ("Red", {"acme+Green", "acme+Red"}),
        ("Blue", {"acme+Blue", "acme+Red"}),  # Green was called longest ago
        ("Green", {"acme+Blue", "acme+Green"}),
    ):
        assert await ask(client, Dest.type(types[name]), name) == name
        await until(partial(are_watched, expected), f"{expected} are watched, after {name}")
    assert broker.core.statistics()["watches"] == 2


async def test_a_watch_that_nobody_reads_keeps_the_latest_changes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actrzmq.runtime.watching.QUEUE", 6)
    client = await world.start("Client")
    async with client.context().watch(SERVER) as watch:
        servers = [await world.start("Server", Script()) for _ in range(4)]
        await until(lambda: len(watch.instances) == 4, "all are up")
        for server in servers:
            await server.shutdown()
        await until(lambda: not watch.instances, "all are down")
        changes = []
        while watch._changes:
            changes.append(await anext(watch))
    happened = [(server.actor_id(), is_up) for is_up in (True, False) for server in servers]
    assert [(change.id, change.is_up) for change in changes] == happened[3:]  # at the seventh, the older half went


async def test_a_call_to_a_type_is_not_tried_again_past_its_deadline(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would only turn the reason into "too late": pauses of 40, 80 and 160 ms fit into 500, one of 320 does not."""
    monkeypatch.setattr("random.random", lambda: 1.0)
    release = asyncio.Event()

    async def wait(req: StringValue, ctx: Context) -> StringValue:
        await release.wait()
        return req

    client, server = await world.pair(wait, "[system.dispatch]\nconcurrency = 1\nqueue = 1")
    calls = []
    for _ in range(2):
        calls.append(asyncio.create_task(ask(client, to(server))))
        await until(lambda: server.statistics()["calls.running_or_queued"] == len(calls), "another call there")
    loop = asyncio.get_running_loop()
    started = loop.time()
    with pytest.raises(ActrOverloaded):
        await ask(client, Dest.type(SERVER), timeout_ms=500)
    assert loop.time() - started < 0.5
    assert 1 <= client.statistics()["calls.tried_again"] <= 3
    release.set()
    await asyncio.gather(*calls)


async def test_calls_that_are_refused_at_once_leave_nothing_behind(world: World) -> None:
    client, server = await world.pair()
    await ask(client, to(server))
    await server.shutdown()
    serial = server.actor_id().serial
    await until(lambda: client._engine.session.peers.is_dead(serial), "the client has heard of it")
    before = len(client._engine._promises)
    for _ in range(5):
        with pytest.raises(ActrTransportError):
            await ask(client, to(server))
    assert len(client._engine._promises) == before


async def test_who_waits_for_the_same_type_is_told_of_it_however_many_they_are(world: World) -> None:
    client = await world.start("Client")
    waits = [asyncio.create_task(client.discover(ActrType("acme", "Late"), 20_000)) for _ in range(1_200)]
    await until(lambda: len(client._engine.session.discovery._waits), "they wait")
    late = await world.start("Late", Script())
    assert set(await asyncio.gather(*waits)) == {late.actor_id()}


async def test_who_watches_more_than_the_broker_tells_of_hears_so(tmp_path: Path) -> None:
    with Broker(BrokerLimits(watches=1)) as broker:
        world = World(broker.endpoint, tmp_path)
        context = (await world.start()).context()
        async with context.watch(ActrType("acme", "Node")) as one, context.watch(ActrType("acme", "Node")) as other:
            assert (await anext(one)).is_up
            with pytest.raises(ActrOverloaded, match="tells one node of 1 topics at most"):
                await anext(other)
            with pytest.raises(ActrOverloaded):
                await context.discover(ActrType("acme", "Nobody"), 5_000)
        await world.close()


@pytest.mark.parametrize(
    ("frames", "reason"),
    [
        ([b"\xc1" * 500_000], "link.dropped.undecodable"),
        ([b"\xc1", b"x" * 200_000, b"x" * 300_000], "link.dropped.undecodable"),
        ([b"\x93", *[b"x" * 2_000_000] * 3], "link.dropped.oversize"),
    ],
)
async def test_what_cannot_be_understood_does_not_wait_at_the_broker_any_more(
    world: World, broker: Broker, monkeypatch: pytest.MonkeyPatch, frames: list[bytes], reason: str
) -> None:
    if "oversize" in reason:
        monkeypatch.setattr("actrzmq.net.sockets.message_limit", lambda _: 3_000_000)
    client, server = await world.pair()
    count = (20 << 20) // sum(map(len, frames)) + 1

    def counted() -> int:
        return server.statistics().get(reason, 0)

    with Peer(broker.endpoint, "Stranger") as peer:
        await asyncio.to_thread(peer.register)
        for number in range(count):
            await asyncio.to_thread(peer.send, [encode_serial(server.actor_id().serial), *frames])
            await until(lambda number=number: counted() > number, "it is dropped")  # type: ignore[misc]
    assert await ask(client, to(server), "hello") == "hello"
    record = next(node for node in broker.core.nodes() if node.id == server.actor_id())
    await until(lambda: record.sent_bytes - record.received_bytes < 1 << 20, "the broker knows that it has come")
