"""A node with a bug in it, or without a broker that takes it, ends in words: it neither hangs nor goes on silently."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.wrappers_pb2 import StringValue

from actrzmq import (
    ActrConfigError,
    ActrGateNotInitialized,
    ActrNode,
    ActrRef,
    ActrRuntimeError,
    ActrSystem,
    ActrType,
    Context,
    DataStream,
    Dest,
    Status,
)
from actrzmq.net import context
from actrzmq.runtime.promises import resolve_all
from tests.runtime.harness import RUN, SERVER, Script, World, ask, spawn, to, until

WITHIN_S = 3


def broken(*arguments: object) -> Any:
    """What a bug in a machine does."""
    raise ZeroDivisionError("a bug")


def break_next_turn(ref: ActrRef, monkeypatch: pytest.MonkeyPatch, what: str = "tick") -> None:
    """Put a bug into the session of `ref`, and have it take a turn."""
    engine = ref._engine
    monkeypatch.setattr(engine.session, what, broken)
    engine.shell._tick_at = 0
    engine.shell.wake()


async def outcome_of(waiting: asyncio.Task[Any]) -> BaseException | None:
    """How `waiting` has failed."""
    done, _ = await asyncio.wait([waiting], timeout=WITHIN_S)
    assert done, f"{waiting} hangs"
    return waiting.exception()


@pytest.mark.parametrize("what", ["tick", "take_turn", "next_deadline", "outgoing"])
async def test_a_bug_in_a_turn_is_logged_and_stops_the_node(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    node = await world.start("Node")
    break_next_turn(node, monkeypatch, what)
    with pytest.raises(ActrRuntimeError, match=r"internal error.*ZeroDivisionError: a bug") as caught:
        await asyncio.wait_for(node.wait_for_shutdown(), WITHIN_S)
    assert caught.value.code is Status.INTERNAL
    (record,) = [record for record in caplog.records if record.exc_info]
    assert record.levelno == logging.CRITICAL
    assert isinstance(record.exc_info[1], ZeroDivisionError)  # type: ignore[index]
    assert node.statistics()["internal_errors"] == 1


async def test_a_bug_ends_the_wait_for_ctrl_c_as_well(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    node = await world.start("Node")
    waiting = asyncio.create_task(node.wait_for_ctrl_c_and_shutdown())
    await asyncio.sleep(0)
    break_next_turn(node, monkeypatch)
    assert isinstance(await outcome_of(waiting), ActrRuntimeError)


async def test_a_bug_in_what_carries_a_turn_out_leaves_no_call_of_that_turn_open(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, server = await world.pair()
    monkeypatch.setattr(client._engine, "_hear", broken)  # the last that is done of a turn
    monkeypatch.setattr(client._engine.shell, "_carry_out", broken)
    call = asyncio.create_task(ask(client, to(server)))
    assert isinstance(await outcome_of(call), ActrRuntimeError)


async def test_all_that_is_open_when_a_node_breaks_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(req: StringValue, ctx: Context) -> StringValue:
        await asyncio.sleep(60)
        return req

    client, server = await world.pair(hang)
    context = client.context()
    window = "[system.streams]\nwindow_frames = 1"
    slow = await world.start("Slow", more=window)
    await slow.context().register_stream("s", lambda frame, sender: asyncio.sleep(60))
    handle = await context.register_stream("in", lambda frame, sender: None)

    async def send() -> None:
        for number in range(1, 100):
            await context.send_stream(to(slow), DataStream("s", number, b"x"))

    async def iterate() -> None:
        async for _ in context.stream("t"):
            pass

    async def watch() -> str:
        async with context.watch(SERVER) as watch:
            async for _ in watch:
                pass
        return "over"

    waiting = [
        asyncio.create_task(ask(client, to(server), timeout_ms=20_000)),
        asyncio.create_task(context.discover(ActrType("acme", "Nobody"), 20_000)),
        asyncio.create_task(handle.wait_closed()),
        asyncio.create_task(send()),
        asyncio.create_task(iterate()),
    ]
    watching = asyncio.create_task(watch())
    await until(lambda: server.statistics()["calls.running_or_queued"], "the call")
    await until(lambda: client._engine.outlets._open, "the stream")
    await asyncio.sleep(0.05)
    break_next_turn(client, monkeypatch)
    for task in waiting:
        error = await outcome_of(task)
        assert isinstance(error, ActrRuntimeError), task
        assert "internal error" in str(error), task
    assert await asyncio.wait_for(watching, WITHIN_S) == "over"
    assert waiting[0].exception().may_have_run  # type: ignore[union-attr]
    with pytest.raises(ActrRuntimeError):
        await asyncio.wait_for(client.wait_for_shutdown(), WITHIN_S)
    await until(lambda: not server.statistics()["calls.running_or_queued"], "the end of the caller, told by the broker")


async def test_a_broken_node_runs_its_on_stop_hooks_in_which_nothing_hangs(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []

    class Hooked(Script):
        async def on_stop(self, ctx: Context) -> None:
            with pytest.raises(ActrRuntimeError, match="internal error"):
                await ask(ctx, Dest.local())
            heard.append("stop")

    node = await world.start("Node", Hooked())
    break_next_turn(node, monkeypatch)
    with pytest.raises(ActrRuntimeError, match="internal error"):
        await asyncio.wait_for(node.wait_for_shutdown(), WITHIN_S)
    assert heard == ["stop"]


async def test_a_bug_in_the_first_turn_fails_the_start(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actrzmq.core.session.Session.tick", broken)
    with pytest.raises(ActrRuntimeError, match="internal error"):
        await asyncio.wait_for(world.start("Node"), WITHIN_S)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("actrzmq")]


async def test_a_bug_while_on_ready_runs_fails_the_start(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    class Hooked(Script):
        async def on_ready(self, ctx: Context) -> None:
            monkeypatch.setattr(ctx._parts.session, "take_turn", broken)
            ctx._parts.calls._wake()
            await asyncio.sleep(60)

    with pytest.raises(ActrRuntimeError, match="internal error"):
        await asyncio.wait_for(world.start("Node", Hooked()), WITHIN_S)


async def test_a_bug_in_the_heartbeat_stops_the_node(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    node = await world.start("Node")
    monkeypatch.setattr(node._engine.shell._absence, "is_to_be_told", broken)
    with pytest.raises(ActrRuntimeError, match="internal error"):
        await asyncio.wait_for(node.wait_for_shutdown(), WITHIN_S)


async def starting(node: ActrNode) -> asyncio.Task[ActrRef]:
    """A start that waits for a broker."""
    task = asyncio.create_task(node.start())
    await asyncio.sleep(0.05)
    assert not task.done()
    return task


Close = Callable[[ActrSystem, ActrNode], Any]


@pytest.mark.parametrize(
    "close", [lambda system, node: system.__aexit__(None, None, None), lambda system, node: node.close()]
)
async def test_a_start_that_waits_ends_when_its_system_or_node_is_closed(world: World, close: Close) -> None:
    world.endpoint = "tcp://127.0.0.1:1"
    system = await world.system(world.manifest())
    node = system.attach()
    task = await starting(node)
    await asyncio.wait_for(close(system, node), WITHIN_S)
    assert task.done()
    assert isinstance(task.exception(), ActrGateNotInitialized)
    assert "closed while it was starting" in str(task.exception())
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("actrzmq")]


async def test_a_start_that_hangs_in_a_hook_ends_when_its_node_is_closed(world: World) -> None:
    cancelled = asyncio.Event()

    class Hooked(Script):
        async def on_start(self, ctx: Context) -> None:
            try:
                await asyncio.sleep(60)
            finally:
                cancelled.set()

    node = await world.node("Node", Hooked())
    task = await starting(node)
    await asyncio.wait_for(node.close(), WITHIN_S)
    assert isinstance(task.exception(), ActrGateNotInitialized)
    assert cancelled.is_set()


async def test_a_node_that_was_closed_does_not_start(world: World) -> None:
    node = await world.node("Node")
    await node.close()
    with pytest.raises(ActrGateNotInitialized, match="closed"):
        await node.start()


async def test_a_start_that_has_failed_may_be_tried_again(world: World) -> None:
    class Hooked(Script):
        tries = 0

        async def on_start(self, ctx: Context) -> None:
            self.tries += 1
            if self.tries == 1:
                raise LookupError("no database")

    node = await world.node("Server", Hooked())
    with pytest.raises(LookupError):
        await node.start()
    ref = await node.start()
    assert await ask(ref, Dest.local(), "x") == "x"


async def test_a_second_start_while_the_first_one_waits_is_refused(world: World) -> None:
    world.endpoint = "tcp://127.0.0.1:1"
    node = await world.node("Node")
    task = await starting(node)
    with pytest.raises(ActrRuntimeError, match="started already"):
        await node.start()
    await node.close()
    assert isinstance(task.exception(), ActrGateNotInitialized)


SHORT = """
import asyncio, resource, sys
from actrzmq import ActrSystem, ActrTransportError

resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[2]),) * 2)

async def main():
    async with await ActrSystem.from_toml(sys.argv[1]) as system:
        await system.attach().start()

try:
    asyncio.run(main())
except ActrTransportError as error:
    print(error)
"""


@pytest.mark.parametrize("limit", [8, 12, 18])
async def test_a_node_that_may_open_too_few_files_says_so_at_its_start(world: World, limit: int) -> None:
    """libzmq would end the process without any (`Too many open files (src/epoll.cpp:38)`), or it would hang."""
    process = await asyncio.to_thread(spawn, SHORT, str(world.manifest()), str(limit), cwd=world.folder)
    try:
        out, err = await asyncio.to_thread(process.communicate, timeout=20)
    finally:
        process.kill()
    assert "may open only" in out, err
    assert "ulimit -n" in out
    assert (process.returncode, err) == (0, "")


async def test_who_is_refused_and_tries_again_at_once_keeps_nobody_else_from_running(world: World) -> None:
    client, server = await world.pair()
    gone = to(server)
    assert await ask(client, gone, "hello") == "hello"
    await server.shutdown()
    peers = client._engine.session.peers
    await until(lambda: peers.is_dead(server.actor_id().serial), "the client hears of it")

    async def other() -> None:
        """Something else that wants a turn of the loop."""

    for refused in (ask(client, gone), client.context().tell(gone, RUN, StringValue())):
        others = asyncio.create_task(other())
        with pytest.raises(ActrRuntimeError):
            await refused
        assert others.done()


async def test_handlers_that_follow_one_another_without_waiting_leave_the_loop_its_turns(world: World) -> None:
    turns, ran = 0, asyncio.Event()

    async def again(req: StringValue, ctx: Context) -> StringValue:
        if len(req.value) == 100:
            ran.set()
        else:
            await ctx.tell(Dest.local(), RUN, StringValue(value=f"{req.value}x"))
        return StringValue()

    async def other() -> None:
        nonlocal turns
        while not ran.is_set():
            turns += 1
            await asyncio.sleep(0)

    node = await world.start("Node", Script(again))
    others = asyncio.create_task(other())
    await node.context().tell(Dest.local(), RUN, StringValue())
    await asyncio.wait_for(ran.wait(), WITHIN_S)
    await others
    assert turns >= 100


async def test_a_node_that_was_away_for_a_lease_sends_nothing_as_who_it_was(world: World) -> None:
    heard: list[str] = []

    async def hear(req: StringValue, ctx: Context) -> StringValue:
        heard.append(req.value)
        return StringValue()

    client, server = await world.pair(hear)
    await ask(client, to(server), "before")
    former = client.actor_id()
    client._engine.shell.watchdog._gap = 20_000
    with pytest.raises(ActrRuntimeError):
        await ask(client, to(server), "after")
    await until(lambda: client._engine.session.is_online, "it is somebody else")
    assert client.actor_id() != former
    assert await ask(client, to(server), "anew") == ""
    assert heard == ["before", "anew"]


async def test_in_the_child_of_a_fork_nothing_is_sent_and_nothing_closed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, server = await world.pair()
    shell = client._engine.shell
    with monkeypatch.context() as child:
        child.setattr(context, "_processes", [context._Process(context._processes[0])])
        with pytest.raises(ActrRuntimeError, match="was forked"):
            shell.send_frames()
    assert await ask(client, to(server), "hello") == "hello"


async def test_a_frame_that_comes_after_its_stream_was_aborted_is_refused_and_not_kept(world: World) -> None:
    sender, receiver = await world.pair()
    receiver, sender = sender, receiver
    await receiver.context().register_stream("s", lambda frame, sender: None)
    await sender.context().send_stream(to(receiver), DataStream("s", 1, b"x"))
    abort = asyncio.create_task(sender.context().abort_stream(to(receiver), "s"))
    late = asyncio.create_task(sender.context().send_stream(to(receiver), DataStream("s", 2, b"y")))
    await abort
    with pytest.raises(ActrRuntimeError):
        await late
    assert sender.statistics()["streams.sending"] == 0
    assert not sender._engine.session.streams._out.is_busy


def test_a_future_of_another_kind_is_resolved_as_well() -> None:
    class Other(asyncio.Future[str]):
        """As an event loop of another make may have."""

    loop = asyncio.new_event_loop()
    waiter = Other(loop=loop)
    resolve_all([(waiter, "reply")])
    assert waiter.result() == "reply"
    loop.close()


@pytest.mark.parametrize("request_", [b"bytes", StringValue()])
async def test_a_route_key_that_is_no_text_is_refused_in_words(world: World, request_: Any) -> None:
    client, server = await world.pair()
    with pytest.raises(ActrConfigError, match="route key"):
        await client.context().call(to(server), [RUN], request_)  # type: ignore[call-overload]
