"""Calls as a program makes them: what comes back, and what is refused before anything is sent."""

from __future__ import annotations

import asyncio
import math
import time
from typing import Any

import pytest
from google.protobuf.wrappers_pb2 import StringValue

from actrzmq import (
    ActrConfigError,
    ActrDecodeError,
    ActrId,
    ActrNotFound,
    ActrOverloaded,
    ActrTransportError,
    ActrType,
    Context,
    Dest,
    PayloadType,
    rpc,
    service,
)
from actrzmq.identity import Serial
from actrzmq.runtime import dispatch
from actrzmq.runtime.visitor import visit
from tests.net.peers import Broker
from tests.runtime.harness import HIDDEN, RAW, RUN, SERVER, Hidden, Raw, Script, World, ask, echo, to, until


async def test_a_call_with_a_message_returns_the_decoded_response(world: World) -> None:
    client, server = await world.pair()
    answer = await client.context().call(to(server), RUN, StringValue(value="hello"), response_type=StringValue)
    assert answer == StringValue(value="hello")


async def test_a_call_with_bytes_returns_bytes(world: World) -> None:
    client, server = await world.pair()
    request = StringValue(value="hello").SerializeToString()
    assert await client.context().call(to(server), RUN, request) == request


async def test_a_response_that_nobody_declared_is_asked_for_in_words(world: World) -> None:
    client, server = await world.pair()
    with pytest.raises(ActrConfigError, match="response_type"):
        await client.context().call(to(server), "other.Script.Run", StringValue(value="hello"))


async def test_a_reply_that_is_not_the_response_asked_for_is_a_decode_error(world: World) -> None:
    node = await world.start("Node", Raw())
    with pytest.raises(ActrDecodeError, match="same contract") as caught:
        await ask(node, Dest.local(), "\xff", RAW)
    assert caught.value.may_have_run


async def test_the_own_process_is_called_by_its_ref_by_local_and_by_shell(world: World) -> None:
    node = await world.start("Node", Script())
    assert await node.call(RUN, StringValue(value="by ref")) == StringValue(value="by ref")
    assert await ask(node, Dest.local(), "local") == "local"
    assert await ask(node, Dest.shell(), "shell") == "shell"


async def test_a_local_service_answers_its_own_process(world: World) -> None:
    node = await world.start("Node", Hidden())
    assert await ask(node, Dest.local(), "x", HIDDEN) == "hidden x"
    assert await ask(node, to(node), "x", HIDDEN) == "hidden x"


async def test_the_handler_is_told_who_calls_as_the_broker_vouches_for_it(world: World) -> None:
    callers: list[ActrId | None] = []

    async def note(req: StringValue, ctx: Context) -> StringValue:
        callers.append(ctx.caller_id())
        return StringValue(value=str(ctx.self_id()))

    client, server = await world.pair(note)
    assert await ask(client, to(server)) == str(server.actor_id())
    assert await ask(server, Dest.local()) == str(server.actor_id())
    assert callers == [client.actor_id(), None]
    assert client.context().caller_id() is None


async def test_every_call_and_tell_has_a_request_id_of_its_own(world: World) -> None:
    ids: list[str] = []

    async def note(req: StringValue, ctx: Context) -> StringValue:
        assert ctx.request_id() == ctx.request_id()
        ids.append(ctx.request_id())
        return req

    client, server = await world.pair(note)
    other = await world.start("Client")
    for caller in (client, other, server):
        for _ in range(2):
            await ask(caller, to(server))
            await caller.context().tell(to(server), RUN, StringValue())
    await until(lambda: len(ids) == 12, "all calls and tells")
    assert len(set(ids)) == 12
    assert all(ids)
    assert client.context().request_id() == ""


async def test_metadata_travels_with_calls_and_tells(world: World) -> None:
    seen: list[dict[str, str]] = []

    async def note(req: StringValue, ctx: Context) -> StringValue:
        seen.append(dict(ctx.metadata()))
        return req

    client, server = await world.pair(note)
    await ask(client, to(server), metadata={"trace": "é"})
    await client.context().tell(to(server), RUN, StringValue(), metadata={"a": "b"})
    await until(lambda: len(seen) == 2, "the tell")
    await server.call(RUN, StringValue(), metadata={"own": "process"})
    await ask(client, to(server))
    assert seen == [{"trace": "é"}, {"a": "b"}, {"own": "process"}, {}]
    assert dict(client.context().metadata()) == {}


async def test_calls_with_much_metadata_made_at_once_all_arrive(world: World) -> None:
    client, server = await world.pair()
    metadata = {f"key-{i}": "x" * 2_000 for i in range(10)}
    texts = [str(i) for i in range(200)]
    answers = await asyncio.gather(
        *(ask(client, to(server), text, metadata=metadata, timeout_ms=5_000) for text in texts)
    )
    assert answers == texts


@pytest.mark.parametrize(
    "metadata",
    [
        {"k" * 257: "v"},
        {"k": "v" * 4097},
        {str(i): "v" for i in range(65)},
        {str(i): "é" * 4096 for i in range(64)},
        {"k": 1},
        {"k": "\ud800"},
    ],
    ids=["long key", "long value", "many", "much in all", "number", "lone surrogate"],
)
async def test_metadata_over_its_limits_is_refused_locally(world: World, metadata: dict[str, str]) -> None:
    node = await world.start("Node", Script())
    with pytest.raises(ActrConfigError, match="metadata"):
        await ask(node, Dest.local(), metadata=metadata)
    with pytest.raises(ActrConfigError, match="metadata"):
        await node.context().tell(Dest.local(), RUN, StringValue(), metadata=metadata)


async def test_a_tell_runs_the_handler_and_waits_for_nothing(world: World) -> None:
    release = asyncio.Event()
    told: list[str] = []

    async def slow(req: StringValue, ctx: Context) -> StringValue:
        await release.wait()
        told.append(req.value)
        return req

    client, server = await world.pair(slow)
    assert await client.context().tell(to(server), RUN, StringValue(value="a")) is None  # type: ignore[func-returns-value]
    await client.context().tell(Dest.type(SERVER), RUN, StringValue(value="b"))
    await server.tell(RUN, StringValue(value="c"))
    assert told == []
    release.set()
    await until(lambda: len(told) == 3, "three tells")
    assert sorted(told) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ActrNotFound("no database"), "tell failed route=test.Script.Run"),
        (ValueError("no order"), "handler raised route=test.Script.Run"),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_a_tell_whose_handler_raises_is_logged_and_counted_and_told_to_on_error(
    world: World, caplog: pytest.LogCaptureFixture, error: Exception, line: str
) -> None:
    heard: asyncio.Queue[BaseException] = asyncio.Queue()

    class Failing(Script):
        async def on_error(self, ctx: Context, error: BaseException) -> None:
            heard.put_nowait(error)

    async def fail(req: StringValue, ctx: Context) -> StringValue:
        raise error

    server = await world.start("Server", Failing(fail))
    client = await world.start("Client")
    await client.context().tell(to(server), RUN, StringValue())
    assert await asyncio.wait_for(heard.get(), 5) is error
    assert f"{line} caller={client.actor_id()}" in caplog.text
    assert server.statistics()["tells.failed"] == 1


async def test_a_call_whose_handler_raises_counts_as_no_failed_tell(world: World) -> None:
    async def fail(req: StringValue, ctx: Context) -> StringValue:
        raise ActrNotFound("no database")

    client, server = await world.pair(fail)
    with pytest.raises(ActrNotFound):
        await ask(client, to(server))
    assert "tells.failed" not in server.statistics()


async def test_a_tell_that_can_not_be_decoded_becomes_a_dead_letter(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    client, server = await world.pair()
    await client.context().tell(to(server), RUN, b"\xff")
    await until(lambda: server.statistics().get("tells.undecodable"), "it is counted")
    assert f"tell dropped caller={client.actor_id()} reason=tells.undecodable: {RUN}: the body (1 bytes)" in caplog.text
    async with visit(world.endpoint) as visitor, asyncio.timeout(5):
        while not (letters := (await visitor.account()).letters):  # noqa: ASYNC110 - a renewal brings it
            await asyncio.sleep(0.05)
    (letter,) = letters
    assert (letter.reason, letter.what, letter.name) == ("tells.undecodable", "tell", RUN)
    assert (letter.sender, letter.to) == (str(client.actor_id()), str(server.actor_id()))


async def test_a_tell_that_gets_no_thread_is_counted_as_refused(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    @service("test.Block", exported=True)
    class Block:
        @rpc
        def run(self, req: StringValue, ctx: Context) -> StringValue:
            raise AssertionError

    node = await world.start("Node", Block())
    monkeypatch.setattr(dispatch, "THREADS", 0)
    await node.tell("test.Block.Run", StringValue())
    await until(lambda: node.statistics().get("tells.refused"), "it is counted")
    assert "reason=tells.refused: test.Block.Run: all" in caplog.text


async def test_a_tell_to_nobody_raises(world: World) -> None:
    client = await world.start("Client")
    with pytest.raises(ActrNotFound, match="acme\\+Server"):
        await client.context().tell(Dest.type(SERVER), RUN, StringValue())


async def test_a_call_to_a_node_that_never_was_fails_at_once_and_has_not_run(world: World) -> None:
    client = await world.start("Client")
    stranger = ActrId(Serial(4711), 0, SERVER)
    with pytest.raises(ActrTransportError) as caught:
        await ask(client, Dest.actor(stranger))
    assert not caught.value.may_have_run
    assert caught.value.retryable


async def test_a_call_to_a_node_that_has_left_fails_at_once(world: World) -> None:
    client, server = await world.pair()
    await ask(client, to(server))
    await server.shutdown()
    started = time.monotonic()
    with pytest.raises(ActrTransportError):
        await ask(client, to(server))
    assert time.monotonic() - started < 1


@pytest.mark.parametrize("timeout_ms", [0, -1, 10**12, math.nan, math.inf, True, "5", None, 0.5])
async def test_a_timeout_that_makes_no_sense_is_refused_locally(world: World, timeout_ms: Any) -> None:
    node = await world.start("Node", Script(), Hidden())
    context = node.context()
    with pytest.raises(ActrConfigError, match="timeout_ms"):
        await ask(node, Dest.local(), timeout_ms=timeout_ms)
    with pytest.raises(ActrConfigError, match="timeout_ms"):
        await context.tell(Dest.local(), RUN, StringValue(), timeout_ms)
    with pytest.raises(ActrConfigError, match="timeout_ms"):
        await context.end_stream(Dest.local(), "s", timeout_ms)
    if timeout_ms is True or timeout_ms not in (0, 0.5):
        with pytest.raises(ActrConfigError, match="timeout_ms"):
            await context.discover(SERVER, timeout_ms)


@pytest.mark.parametrize("request_", ["text", 5, None, object()])
async def test_a_request_that_is_neither_message_nor_bytes_is_refused_locally(world: World, request_: Any) -> None:
    node = await world.start("Node", Script())
    with pytest.raises(ActrConfigError, match="protobuf message or bytes"):
        await node.call(RUN, request_)


@pytest.mark.parametrize("route_key", ["", "x" * 257, 5, None, "\ud800"])
async def test_a_route_key_that_can_be_none_is_refused_locally(world: World, route_key: Any) -> None:
    node = await world.start("Node", Script())
    with pytest.raises(ActrConfigError, match="route key"):
        await node.call(route_key, b"")


async def test_a_request_that_is_too_large_is_refused_locally(world: World) -> None:
    client, server = await world.pair()
    most = 4 * 1024 * 1024
    with pytest.raises(ActrOverloaded, match=r"4194305 bytes, at most 4194304.*as a stream") as caught:
        await client.context().call(to(server), RUN, b"x" * (most + 1))
    assert not caught.value.retryable
    assert not caught.value.may_have_run
    with pytest.raises(ActrOverloaded):
        await client.context().tell(to(server), RUN, b"x" * (most + 1))


async def test_bodies_up_to_the_limit_travel_both_ways(world: World) -> None:
    client, server = await world.pair()
    text = "x" * (4 * 1024 * 1024 - 5)  # its tag and length take the rest
    assert await ask(client, to(server), text) == text


async def test_large_calls_one_after_the_other_are_taken_without_a_pause(world: World) -> None:
    client, server = await world.pair()
    text = "x" * 3_000_000
    for _ in range(12):  # more than twice what the broker lets a node be behind
        assert await ask(client, to(server), text) == text


@pytest.mark.parametrize(
    "payload_type", [PayloadType.StreamReliable, PayloadType.StreamLatencyFirst, PayloadType.MediaRtp]
)
async def test_calls_take_no_payload_type_of_streams_or_media(world: World, payload_type: PayloadType) -> None:
    node = await world.start("Node", Script())
    with pytest.raises(ActrConfigError, match="RpcReliable or RpcSignal"):
        await node.call(RUN, StringValue(), payload_type=payload_type)


async def test_a_signal_overtakes_what_waits_in_the_queue(world: World) -> None:
    release = asyncio.Event()
    order: list[str] = []

    async def note(req: StringValue, ctx: Context) -> StringValue:
        order.append(req.value)
        await release.wait()
        return req

    client, server = await world.pair(note, "[system.dispatch]\nconcurrency = 1")
    first = asyncio.create_task(ask(client, to(server), "first"))
    await until(lambda: order, "the first call")
    rest = [asyncio.create_task(ask(client, to(server), name)) for name in ("second", "third")]
    await until(lambda: server.statistics()["calls.running_or_queued"] == 3, "three calls")
    signal = asyncio.create_task(ask(client, to(server), "signal", payload_type=PayloadType.RpcSignal))
    await until(lambda: server.statistics()["calls.running_or_queued"] == 4, "four calls")
    release.set()
    await asyncio.gather(first, *rest, signal)
    assert order == ["first", "signal", "second", "third"]


async def test_a_call_with_wait_waits_for_an_instance(world: World, broker: Broker) -> None:
    client = await world.start("Client")
    call = asyncio.create_task(ask(client, Dest.type(SERVER), "early", wait=True))
    # One for the calls to come, and one for this call, after it was told that nobody is there.
    await until(lambda: broker.core.statistics()["watches"] == 2, "two watches")
    assert not call.done()
    await world.start("Server", Script())
    assert await call == "early"


async def test_a_call_with_wait_waits_no_longer_than_its_timeout(world: World) -> None:
    client = await world.start("Client")
    started = time.monotonic()
    with pytest.raises(ActrNotFound, match=r"no live node of type acme\+Server"):
        await ask(client, Dest.type(SERVER), wait=True, timeout_ms=300)
    assert 0.25 < time.monotonic() - started < 1.5


async def test_a_call_to_a_type_without_an_instance_fails_at_once(world: World) -> None:
    client = await world.start("Client")
    started = time.monotonic()
    with pytest.raises(ActrNotFound, match=r"no live node of type acme\+Server") as caught:
        await ask(client, Dest.type(SERVER))
    assert time.monotonic() - started < 0.5
    assert caught.value.retryable


async def test_calls_to_a_type_are_spread_over_its_instances(world: World) -> None:
    async def who(req: StringValue, ctx: Context) -> StringValue:
        return StringValue(value=str(ctx.self_id()))

    servers = [await world.start("Server", Script(who)) for _ in range(3)]
    client = await world.start("Client")
    answers = [await ask(client, Dest.type(SERVER)) for _ in range(90)]
    counts = [answers.count(str(server.actor_id())) for server in servers]
    assert sum(counts) == 90
    assert min(counts) >= 5


async def test_a_call_to_a_type_moves_on_from_an_instance_that_stops(world: World) -> None:
    """The one that drains refuses what comes to it before its leaving is known; nothing of that reaches the caller."""

    async def hang(req: StringValue, ctx: Context) -> StringValue:
        if req.value == "hang":
            await release.wait()
        return req

    release = asyncio.Event()
    leaving = await world.start("Server", Script(hang))
    client = await world.start("Client")
    assert await ask(client, Dest.type(SERVER), "a") == "a"
    open_call = asyncio.create_task(ask(client, to(leaving), "hang"))
    await until(lambda: leaving.statistics()["calls.running_or_queued"], "the open call")
    await world.start("Server", Script(echo))
    stopping = asyncio.create_task(leaving.shutdown())
    answers = await asyncio.gather(*(ask(client, Dest.type(SERVER), str(i)) for i in range(100)))
    assert answers == [str(i) for i in range(100)]
    release.set()
    assert await open_call == "hang"
    await stopping


async def test_an_overloaded_node_rejects_and_says_when_to_come_back(world: World) -> None:
    release = asyncio.Event()

    async def wait(req: StringValue, ctx: Context) -> StringValue:
        await release.wait()
        return req

    client, server = await world.pair(wait, "[system.dispatch]\nconcurrency = 1\nqueue = 1")
    calls = []
    for i in range(2):
        calls.append(asyncio.create_task(ask(client, to(server), str(i))))
        await until(lambda: server.statistics()["calls.running_or_queued"] == len(calls), "another call there")
    with pytest.raises(ActrOverloaded) as caught:
        await ask(client, to(server))
    assert caught.value.retryable
    assert not caught.value.may_have_run
    assert int(caught.value.details["retry_after_ms"]) > 0
    release.set()
    assert await asyncio.gather(*calls) == ["0", "1"]


async def test_what_is_no_destination_is_refused_in_words() -> None:
    with pytest.raises(ActrConfigError, match="expected an ActrId"):
        Dest.actor("1a2b@0:acme+Server")  # type: ignore[arg-type]
    with pytest.raises(ActrConfigError, match="expected an ActrType"):
        Dest.type("acme+Server")  # type: ignore[arg-type]


async def test_destinations_print_what_they_are() -> None:
    assert str(Dest.type(SERVER)) == "acme+Server"
    assert str(Dest.actor(ActrId(Serial(26), 7, SERVER))) == "1a@7:acme+Server"
    assert str(Dest.local()) == "the own process"
    assert Dest.shell() == Dest.local()


async def test_ten_thousand_calls_leave_nothing_behind(world: World) -> None:
    client, server = await world.pair()
    for _ in range(20):
        await asyncio.gather(*(client.context().call(to(server), RUN, b"") for _ in range(500)))
    await until(lambda: server.statistics()["replies.kept"] == 0, "settled replies")
    assert client.statistics()["calls.open"] == 0
    assert server.statistics()["calls.running_or_queued"] == 0


def test_actor_types_are_what_users_may_name() -> None:
    assert ActrType.parse("acme+Server") == SERVER
