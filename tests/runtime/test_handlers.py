"""How handlers run: deadlines, cancelling, threads, the limit of how many, and what they leave behind."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

import pytest
from google.protobuf.wrappers_pb2 import StringValue

from actrzmq import (
    ActrGateNotInitialized,
    ActrOverloaded,
    ActrRef,
    ActrRuntimeError,
    ActrTimeoutError,
    ActrTransportError,
    Context,
    DataStream,
    Dest,
    Status,
    rpc,
    service,
)
from tests.runtime.harness import RUN, SERVER, Script, World, ask, echo, spawn, to, until

BLOCK = "test.Block.Run"


@service("test.Block", exported=True)
class Block:
    """A service whose method is a plain `def`."""

    def __init__(self, handler: Callable[[StringValue, Context], StringValue]) -> None:
        self.handler = handler

    @rpc
    def run(self, req: StringValue, ctx: Context) -> StringValue:
        return self.handler(req, ctx)


def remaining(ctx: Context) -> float:
    """Seconds that the caller still waits."""
    deadline = ctx.deadline()
    assert deadline is not None
    return deadline - asyncio.get_running_loop().time()


async def test_the_handler_knows_the_deadline_of_its_caller(world: World) -> None:
    seen: list[float] = []

    async def note(req: StringValue, ctx: Context) -> StringValue:
        seen.append(remaining(ctx))
        return req

    client, server = await world.pair(note)
    await ask(client, to(server), timeout_ms=3_000)
    assert 2 < seen[0] <= 3
    assert client.context().deadline() is None


async def test_a_nested_call_gets_no_more_time_than_its_caller_has_left(world: World) -> None:
    inner_time: list[float] = []

    async def inner(req: StringValue, ctx: Context) -> StringValue:
        inner_time.append(remaining(ctx))
        return req

    innermost = await world.start("Inner", Script(inner))

    async def outer(req: StringValue, ctx: Context) -> StringValue:
        return StringValue(value=await ask(ctx, to(innermost), req.value, timeout_ms=60_000))

    client, server = await world.pair(outer)
    assert await ask(client, to(server), "x", timeout_ms=2_000) == "x"
    assert 1 < inner_time[0] <= 2


async def test_a_caller_is_answered_at_its_deadline_and_the_handler_is_cancelled(world: World) -> None:
    ended: list[str] = []

    async def hang(req: StringValue, ctx: Context) -> StringValue:
        if req.value:
            return req
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise
        return req

    client, server = await world.pair(hang, "[system.dispatch]\nconcurrency = 1")
    started = time.monotonic()
    with pytest.raises(ActrTimeoutError) as caught:
        await ask(client, to(server), timeout_ms=200)
    assert 0.19 < time.monotonic() - started < 1
    assert caught.value.may_have_run
    assert await ask(client, to(server), "the slot is free", timeout_ms=5_000)
    assert ended == ["cancelled"]


async def test_cancelling_the_caller_cancels_the_handler_and_those_it_waits_for(world: World) -> None:
    ended: list[str] = []
    began = asyncio.Event()

    async def hang(req: StringValue, ctx: Context) -> StringValue:
        began.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("inner")
        return req

    innermost = await world.start("Inner", Script(hang))

    async def outer(req: StringValue, ctx: Context) -> StringValue:
        try:
            return StringValue(value=await ask(ctx, to(innermost)))
        finally:
            ended.append("outer")

    client, server = await world.pair(outer)
    call = asyncio.create_task(ask(client, to(server)))
    await began.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await until(lambda: len(ended) == 2, "both handlers cancelled")
    assert ended == ["outer", "inner"]


async def test_a_handler_whose_caller_dies_is_cancelled(world: World) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def hang(req: StringValue, ctx: Context) -> StringValue:
        began.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()
        return req

    client, server = await world.pair(hang)
    call = asyncio.create_task(ask(client, to(server)))
    await began.wait()
    stopping = asyncio.create_task(client.shutdown())
    with pytest.raises(ActrTransportError):
        await call
    await stopping
    await ended.wait()


async def test_the_context_stays_valid_after_its_handler_has_returned(world: World) -> None:
    """Background tasks call, discover and stream with it, and the caller's deadline binds them no longer."""
    done: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    go = asyncio.Event()
    other = await world.start("Other", Script())

    async def start(req: StringValue, ctx: Context) -> StringValue:
        async def later() -> None:
            await go.wait()
            found = await ctx.discover(other.actor_id().type)
            answer = await ask(ctx, Dest.actor(found), "late", timeout_ms=5_000)
            caller = ctx.caller_id()
            assert caller is not None
            await ctx.send_stream(Dest.actor(caller), DataStream("s", 1, b"x"))
            await ctx.end_stream(Dest.actor(caller), "s")
            done.set_result(answer)

        tasks.add(asyncio.create_task(later()))
        return req

    tasks: set[asyncio.Task[None]] = set()
    client, server = await world.pair(start)
    stream = await client.context().register_stream("s", lambda frame, sender: None)
    await ask(client, to(server), timeout_ms=100)
    await asyncio.sleep(0.15)  # the deadline of the call is over
    go.set()
    assert await done == "late"
    assert await stream.wait_closed(5_000) == 1


async def test_calls_in_a_circle_do_not_deadlock_with_one_slot_each(world: World) -> None:
    refs: dict[str, ActrRef] = {}

    async def first(req: StringValue, ctx: Context) -> StringValue:
        if req.value == "again":
            return StringValue(value="round")
        return StringValue(value=await ask(ctx, to(refs["second"]), timeout_ms=5_000))

    async def second(req: StringValue, ctx: Context) -> StringValue:
        return StringValue(value=await ask(ctx, to(refs["first"]), "again", timeout_ms=5_000))

    one = "[system.dispatch]\nconcurrency = 1"
    refs["first"] = await world.start("First", Script(first), more=one)
    refs["second"] = await world.start("Second", Script(second), more=one)
    client = await world.start("Client")
    calls = [ask(client, to(refs["first"]), timeout_ms=5_000) for _ in range(5)]
    assert await asyncio.gather(*calls) == ["round"] * 5


@pytest.mark.parametrize("own", [Dest.local(), Dest.shell()])
async def test_a_handler_calls_its_own_process_even_if_it_takes_the_only_slot(world: World, own: Dest) -> None:
    async def nest(req: StringValue, ctx: Context) -> StringValue:
        depth = int(req.value)
        return StringValue(value=await ask(ctx, own, str(depth - 1), timeout_ms=5_000) if depth else "bottom")

    client, server = await world.pair(nest, "[system.dispatch]\nconcurrency = 1")
    assert await ask(client, to(server), "5", timeout_ms=5_000) == "bottom"
    assert await ask(server, Dest.local(), "5", timeout_ms=5_000) == "bottom"


async def test_a_chain_of_calls_without_end_is_stopped(world: World) -> None:
    async def nest(req: StringValue, ctx: Context) -> StringValue:
        return StringValue(value=await ask(ctx, Dest.local(), timeout_ms=5_000))

    node = await world.start("Node", Script(nest))
    with pytest.raises(ActrRuntimeError, match="in a loop"):
        await ask(node, Dest.local(), timeout_ms=5_000)


async def test_no_more_handlers_run_than_allowed_and_they_start_in_order(world: World) -> None:
    running = most = 0
    order: list[str] = []

    async def count(req: StringValue, ctx: Context) -> StringValue:
        nonlocal running, most
        running += 1
        most = max(most, running)
        order.append(req.value)
        await asyncio.sleep(0.001)
        running -= 1
        return req

    client, server = await world.pair(count, "[system.dispatch]\nconcurrency = 3")
    texts = [str(i) for i in range(60)]
    assert await asyncio.gather(*(ask(client, to(server), text) for text in texts)) == texts
    assert most == 3
    assert order == texts


async def test_a_def_handler_runs_in_a_thread_and_does_not_block_the_loop(world: World) -> None:
    loop_thread = threading.get_ident()
    release = threading.Event()
    began = threading.Event()
    deadlines: list[float | None] = []

    def block(req: StringValue, ctx: Context) -> StringValue:
        assert threading.get_ident() != loop_thread
        deadlines.append(ctx.deadline())
        began.set()
        assert release.wait(10)
        return StringValue(value=f"{req.value} from {ctx.caller_id()}")

    server = await world.start("Server", Block(block), Script())
    client = await world.start("Client")
    call = asyncio.create_task(ask(client, to(server), "hello", BLOCK, timeout_ms=5_000))
    await until(began.is_set, "the handler")
    assert await ask(client, to(server), "meanwhile", timeout_ms=2_000) == "meanwhile"
    release.set()
    assert await call == f"hello from {client.actor_id()}"
    assert deadlines[0] is not None
    assert 0 < deadlines[0] - asyncio.get_running_loop().time() <= 5


async def test_a_def_handler_is_answered_at_the_deadline_and_holds_its_slot_until_it_returns(world: World) -> None:
    release = threading.Event()

    def block(req: StringValue, ctx: Context) -> StringValue:
        release.wait(10)
        return req

    server = await world.start("Server", Block(block), more="[system.dispatch]\nconcurrency = 1")
    client = await world.start("Client")
    started = time.monotonic()
    with pytest.raises(ActrTimeoutError):
        await ask(client, to(server), "hang", BLOCK, timeout_ms=200)
    assert time.monotonic() - started < 1
    with pytest.raises(ActrTimeoutError):  # the slot is still taken
        await ask(client, to(server), "queued", BLOCK, timeout_ms=200)
    assert server.statistics()["threads.abandoned"] == 1
    release.set()
    assert await ask(client, to(server), "free", BLOCK, timeout_ms=5_000) == "free"


@pytest.mark.parametrize("error", [ValueError("v"), SystemExit(1), KeyboardInterrupt()], ids=lambda e: type(e).__name__)
async def test_whatever_a_def_handler_raises_is_answered(world: World, error: BaseException) -> None:
    def block(req: StringValue, ctx: Context) -> StringValue:
        if req.value:
            return req
        raise error

    node = await world.start("Node", Block(block))
    with pytest.raises(ActrRuntimeError, match=type(error).__name__) as caught:
        await ask(node, Dest.local(), "", BLOCK)
    assert caught.value.code is Status.INTERNAL
    assert await ask(node, Dest.local(), "well", BLOCK) == "well"


async def test_a_full_pool_of_hanging_threads_answers_at_once(world: World) -> None:
    release = threading.Event()

    def block(req: StringValue, ctx: Context) -> StringValue:
        release.wait(20)
        return req

    node = await world.start("Node", Block(block))
    try:
        calls = [ask(node, Dest.local(), "", BLOCK, timeout_ms=500) for _ in range(64)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {ActrTimeoutError}
        await until(lambda: node.statistics().get("threads.abandoned") == 64, "64 threads abandoned")
        with pytest.raises(ActrOverloaded, match="64 threads"):
            await ask(node, Dest.local(), "", BLOCK, timeout_ms=5_000)
    finally:
        release.set()
    await until(lambda: node.statistics()["calls.running_or_queued"] == 0, "threads back")
    assert await ask(node, Dest.local(), "well", BLOCK) == "well"


async def test_def_handlers_given_up_while_they_wait_for_a_thread_never_run_and_hold_none(world: World) -> None:
    release = threading.Event()
    ran: list[str] = []

    def block(req: StringValue, ctx: Context) -> StringValue:
        ran.append(req.value)
        release.wait(20)
        return req

    node = await world.start("Node", Block(block))

    def begin(text: str) -> asyncio.Task[str]:
        return asyncio.create_task(ask(node, Dest.local(), text, BLOCK, timeout_ms=20_000))

    def is_open(count: int) -> bool:
        return node.statistics()["calls.running_or_queued"] == count

    try:
        holding = [begin("hold") for _ in range(64)]
        await until(lambda: len(ran) == 64, "all threads are taken")
        waiting = [begin("given up") for _ in range(64)]
        await until(lambda: is_open(128), "the others wait for one")
        for call in waiting:
            call.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        await until(lambda: is_open(64), "those that were given up have ended")
        last = begin("last")
        await until(lambda: is_open(65), "the last one waits")
    finally:
        release.set()
    assert set(await asyncio.gather(*holding)) == {"hold"}
    assert await last == "last"
    assert set(ran) == {"hold", "last"}
    assert not node.statistics().get("threads.abandoned")


async def test_calls_made_in_a_handler_after_its_deadline_are_not_sent(world: World) -> None:
    tried: list[type] = []
    inner_ran: list[str] = []

    async def inner(req: StringValue, ctx: Context) -> StringValue:
        inner_ran.append(req.value)
        return req

    innermost = await world.start("Inner", Script(inner))

    async def stubborn(req: StringValue, ctx: Context) -> StringValue:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            try:
                await ask(ctx, to(innermost), timeout_ms=5_000)
            except ActrRuntimeError as error:
                tried.append(type(error))
        return req

    client, server = await world.pair(stubborn)
    await asyncio.gather(ask(client, to(server), timeout_ms=100), return_exceptions=True)
    await until(lambda: tried, "the late call")
    assert tried == [ActrTimeoutError]
    assert inner_ran == []


async def test_a_handler_is_cancelled_once_and_may_tidy_up(world: World) -> None:
    tidied_up = asyncio.Event()

    async def slow(req: StringValue, ctx: Context) -> StringValue:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.3)  # meanwhile its caller says that it waits no longer
            tidied_up.set()
        return req

    client, server = await world.pair(slow)
    await asyncio.gather(ask(client, to(server), timeout_ms=500), return_exceptions=True)
    await asyncio.wait_for(tidied_up.wait(), 5)


async def test_a_node_used_from_another_event_loop_says_so(world: World) -> None:
    node = await world.start("Node", Script())

    def elsewhere() -> str:
        async def call() -> str:
            return await ask(node, Dest.local(), "x", timeout_ms=1_000)

        try:
            return asyncio.run(call())
        except ActrGateNotInitialized as error:
            return str(error)

    assert "run_coroutine_threadsafe" in await asyncio.to_thread(elsewhere)


async def test_a_handler_without_await_at_all_is_answered(world: World) -> None:
    client, server = await world.pair(echo)
    assert await ask(client, Dest.type(SERVER), "x", RUN) == "x"
    assert server.statistics()["calls.running_or_queued"] == 0


HANG = """
import asyncio, sys, threading
from actrzmq import ActrSystem, ActrTimeoutError, Dest, rpc, service
from google.protobuf.wrappers_pb2 import StringValue

@service("test.Hang")
class Hang:
    @rpc
    def run(self, req: StringValue, ctx) -> StringValue:
        threading.Event().wait()
        return req

async def main():
    async with await ActrSystem.from_toml(sys.argv[1]) as system:
        ctx = (await system.attach(Hang()).start()).context()
        try:
            await ctx.call(Dest.local(), "test.Hang.Run", StringValue(), 100, response_type=StringValue)
        except ActrTimeoutError:
            print("answered", flush=True)

asyncio.run(main())
"""


async def test_a_def_handler_that_hangs_does_not_keep_the_program_from_ending(world: World) -> None:
    process = await asyncio.to_thread(spawn, HANG, str(world.manifest()), cwd=world.folder)
    try:
        out, err = await asyncio.to_thread(process.communicate, timeout=20)
    finally:
        process.kill()
    assert out == "answered\n", err
    assert process.returncode == 0, err
    assert "Traceback" not in err


async def test_calls_made_to_the_own_node_by_a_handler_start_in_order(world: World) -> None:
    order: list[str] = []

    async def handle(req: StringValue, ctx: Context) -> StringValue:
        if req.value == "all":
            await asyncio.gather(*(ask(ctx, Dest.local(), str(number)) for number in range(5)))
        else:
            order.append(req.value)
        return StringValue()

    client, server = await world.pair(handle)
    await ask(client, to(server), "all")
    assert order == ["0", "1", "2", "3", "4"]


async def test_calls_that_come_back_to_their_first_caller_start_in_order(world: World) -> None:
    order: list[str] = []
    first = second = Dest.local()

    async def begin(req: StringValue, ctx: Context) -> StringValue:
        if req.value == "all":
            await ask(ctx, second)
        else:
            order.append(req.value)
        return StringValue()

    async def call_back(req: StringValue, ctx: Context) -> StringValue:
        await asyncio.gather(*(ask(ctx, first, str(number)) for number in range(5)))
        return StringValue()

    client, server = await world.start("First", Script(begin)), await world.start("Second", Script(call_back))
    first, second = to(client), to(server)
    await client.call(RUN, StringValue(value="all"))
    assert order == ["0", "1", "2", "3", "4"]


async def test_a_handler_that_runs_does_not_keep_the_body_of_its_request(world: World) -> None:
    """It has the decoded message; both would take twice the memory, and the body would stay until it is settled."""
    bodies: list[bytes] = []

    async def handle(req: StringValue, ctx: Context) -> StringValue:
        assert ctx._execution is not None
        bodies.append(ctx._execution.request.body)
        return StringValue(value=req.value)

    client, server = await world.pair(handle)
    assert await ask(client, to(server), "x" * 1_000) == "x" * 1_000
    assert bodies == [b""]


async def test_a_def_handler_whose_deadline_passed_while_it_waited_for_a_thread_never_runs(world: World) -> None:
    release = threading.Event()
    ran: list[str] = []

    def block(req: StringValue, ctx: Context) -> StringValue:
        ran.append(req.value)
        if req.value == "hold":
            release.wait(20)
        return req

    node = await world.start("Node", Block(block))
    holding = [asyncio.create_task(ask(node, Dest.local(), "hold", BLOCK, timeout_ms=20_000)) for _ in range(64)]
    await until(lambda: len(ran) == 64, "all threads are taken")
    with pytest.raises(ActrTimeoutError):
        await ask(node, Dest.local(), "late", BLOCK, timeout_ms=100)
    release.set()
    await asyncio.gather(*holding)
    await until(lambda: node.statistics()["calls.running_or_queued"] == 0, "the late one has given its slot back")
    assert "late" not in ran
