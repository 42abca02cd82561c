"""A node's life: hooks, start, drain, stop, and what is said to those who come too early or too late."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import zmq
from google.protobuf.wrappers_pb2 import StringValue

from actrzmq import (
    ActrConfigError,
    ActrGateNotInitialized,
    ActrRuntimeError,
    ActrSystem,
    ActrTimeoutError,
    ActrTransportError,
    Context,
    DataStream,
    Dest,
    WorkloadBase,
    rpc,
    service,
)
from actrzmq.core.limits import BrokerLimits
from tests.net.peers import Broker, address
from tests.runtime.harness import RUN, SERVER, Script, World, ask, spawn, to, until


class Hooked(Script):
    """A service that notes its hooks."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[Any] = []

    async def on_start(self, ctx: Context) -> None:
        self.heard.append("start")

    async def on_ready(self, ctx: Context) -> None:
        self.heard.append("ready")

    async def on_stop(self, ctx: Context) -> None:
        self.heard.append("stop")

    async def on_error(self, ctx: Context, error: BaseException) -> None:
        self.heard.append(error)


async def test_the_hooks_come_in_the_order_of_a_life(world: World) -> None:
    hooked = Hooked()
    ref = await world.start("Node", hooked)
    assert hooked.heard == ["start", "ready"]
    await ref.shutdown()
    assert hooked.heard == ["start", "ready", "stop"]


async def test_a_node_can_be_found_in_on_ready_and_not_yet_in_on_start(world: World) -> None:
    client = await world.start("Client")
    found: list[int] = []

    class Look(Hooked):
        async def on_start(self, ctx: Context) -> None:
            found.append(await count())

        async def on_ready(self, ctx: Context) -> None:
            found.append(await count())
            assert await ctx.discover(SERVER) == ctx.self_id()
            assert await ask(ctx, Dest.local(), "own") == "own"

    async def count() -> int:
        try:
            return len(await client.context().discover_all(SERVER))
        except ActrRuntimeError:
            return 0

    await world.start("Server", Look())
    assert found == [0, 1]


async def test_what_needs_the_broker_is_refused_in_on_start_and_streams_may_be_registered(world: World) -> None:
    refused: list[str] = []
    got: list[bytes] = []

    class Early(Hooked):
        async def on_start(self, ctx: Context) -> None:
            for attempt in (
                ctx.discover(SERVER),
                ask(ctx, Dest.local()),
                ctx.tell(Dest.local(), RUN, StringValue()),
                ctx.send_stream(Dest.local(), DataStream("s", 1, b"")),
            ):
                with pytest.raises(ActrGateNotInitialized, match="on_ready") as caught:
                    await attempt
                refused.append(caught.value.message)

            async def take(frame: DataStream, sender: object) -> None:
                got.append(frame.payload())

            self.stream = await ctx.register_stream("s", take)

    early = Early()
    server = await world.start("Server", early)
    client = await world.start("Client")
    assert len(refused) == 4
    async with client.context().open_stream(to(server), "s") as out:
        await out.send(b"x")
    assert got == [b"x"]
    assert await early.stream.wait_closed(1_000) == 1


async def test_a_failing_on_start_stops_the_start_and_leaves_nothing_behind(world: World) -> None:
    class Failing(Hooked):
        async def on_start(self, ctx: Context) -> None:
            raise LookupError("no database")

    descriptors = len(os.listdir("/proc/self/fd"))
    failing = Failing()
    with pytest.raises(LookupError, match="no database"):
        await world.start("Server", failing)
    assert failing.heard == []
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("actrzmq")]
    await until(lambda: len(os.listdir("/proc/self/fd")) <= descriptors, "descriptors closed")


async def test_a_failing_on_ready_stops_the_start_and_the_node_is_not_to_be_found(world: World) -> None:
    class Failing(Hooked):
        async def on_ready(self, ctx: Context) -> None:
            raise LookupError("no database")

    client = await world.start("Client")
    failing = Failing()
    with pytest.raises(LookupError, match="no database"):
        await world.start("Server", failing)
    with pytest.raises(ActrRuntimeError):
        await client.discover(SERVER)  # deregistered, not found out to be dead after a while


async def test_a_failing_on_stop_does_not_keep_the_node(world: World, caplog: pytest.LogCaptureFixture) -> None:
    class Failing(Hooked):
        async def on_stop(self, ctx: Context) -> None:
            raise LookupError("no database")

    other = Hooked()

    @service("test.Other", exported=True)
    class Other(Hooked):
        @rpc
        async def walk(self, req: StringValue, ctx: Context) -> StringValue:
            return req

        run = None  # type: ignore[assignment]

    other = Other()
    ref = await world.start("Server", Failing(), other)
    await ref.shutdown()
    assert other.heard == ["start", "ready", "stop"]
    assert "on_stop" in caplog.text


async def test_on_error_hears_of_handlers_and_callbacks_that_raise(world: World) -> None:
    class Failing(Hooked):
        async def on_error(self, ctx: Context, error: BaseException) -> None:
            self.heard.append((ctx.caller_id(), type(error)))

    async def fail(req: StringValue, ctx: Context) -> StringValue:
        raise LookupError("no database")

    def fail_too(frame: DataStream, sender: object) -> None:
        raise KeyError("k")

    failing = Failing()
    failing.handler = fail
    server = await world.start("Server", failing)
    client = await world.start("Client")
    with pytest.raises(ActrRuntimeError):
        await ask(client, to(server))
    await until(lambda: len(failing.heard) == 3, "the hook")
    await server.context().register_stream("s", fail_too)
    with pytest.raises(ActrRuntimeError):
        async with client.context().open_stream(to(server), "s") as out:
            await out.send(b"x")
    await until(lambda: len(failing.heard) == 4, "the hook")
    assert failing.heard[2:] == [(client.actor_id(), LookupError), (None, KeyError)]


@pytest.mark.parametrize("has_ended", [False, True])
async def test_a_def_handler_that_raises_too_late_is_logged_and_told_to_on_error_while_its_node_runs(
    world: World, caplog: pytest.LogCaptureFixture, has_ended: bool
) -> None:
    release = threading.Event()
    heard: list[type] = []

    @service("test.Late", exported=True)
    class Late:
        @rpc
        def run(self, req: StringValue, ctx: Context) -> StringValue:
            release.wait(10)
            raise ValueError("the order is lost")

        async def on_error(self, ctx: Context, error: BaseException) -> None:
            heard.append(type(error))

    node = await world.start("Node", Late(), drain_ms=1)
    try:
        with pytest.raises(ActrTimeoutError):
            await ask(node, Dest.local(), route_key="test.Late.Run", timeout_ms=100)
        await until(lambda: node.statistics().get("threads.abandoned"), "it is given up")
        if has_ended:
            await node.shutdown()
    finally:
        release.set()
    await until(lambda: "handler raised route=test.Late.Run" in caplog.text, "a line in the log")
    await asyncio.sleep(0)  # a hook that was told has run then
    assert heard == ([] if has_ended else [ValueError])


async def test_a_failing_on_error_is_logged(world: World, caplog: pytest.LogCaptureFixture) -> None:
    class Failing(Hooked):
        async def on_error(self, ctx: Context, error: BaseException) -> None:
            raise LookupError("no database")

    async def fail(req: StringValue, ctx: Context) -> StringValue:
        raise KeyError("k")

    failing = Failing()
    failing.handler = fail
    node = await world.start("Node", failing)
    with pytest.raises(ActrRuntimeError, match="KeyError"):
        await ask(node, Dest.local())
    await until(lambda: "on_error" in caplog.text, "a line in the log")
    assert "no database" in caplog.text


async def test_hooks_may_take_fewer_arguments_and_need_not_be_coroutines(world: World) -> None:
    heard: list[object] = []

    class Short(Script):
        async def on_start(self) -> None:
            heard.append("start")

        def on_ready(self) -> None:
            heard.append("ready")

        async def on_stop(self, *arguments: object) -> None:
            heard.append(len(arguments))

        async def on_error(self, ctx: Context) -> None:
            heard.append("error")

    async def fail(req: StringValue, ctx: Context) -> StringValue:
        raise KeyError("k")

    ref = await world.start("Node", Short(fail))
    with pytest.raises(ActrRuntimeError):
        await ask(ref, Dest.local())
    await ref.shutdown()
    assert heard == ["start", "ready", "error", 1]


async def test_a_workload_without_a_handler_is_its_own(world: World) -> None:
    class Own(WorkloadBase):
        def __init__(self) -> None:
            super().__init__(Script.__actrzmq_dispatcher__())  # type: ignore[attr-defined]
            self.is_ready = False

        async def run(self, req: StringValue, ctx: Context) -> StringValue:
            return StringValue(value=f"own {req.value}")

        async def on_ready(self, ctx: Context) -> None:
            self.is_ready = True

    own = Own()
    node = await world.start("Node", own)
    assert own.is_ready
    assert own.get_dispatcher().service == "test.Script"
    assert await ask(node, Dest.local(), "x") == "own x"


async def test_several_nodes_live_in_one_process(world: World) -> None:
    nodes = [await world.start("Server", Script()) for _ in range(5)]
    assert len({node.actor_id() for node in nodes}) == 5
    assert await asyncio.gather(*(ask(nodes[0], to(node), "x") for node in nodes)) == ["x"] * 5


async def test_a_system_as_a_context_stops_what_was_started_from_it(world: World) -> None:
    hooked = Hooked()
    async with await ActrSystem.from_toml(world.manifest("Server")) as system:
        ref = await system.attach(hooked).start()
    await ref.wait_for_shutdown()
    assert hooked.heard[-1] == "stop"
    with pytest.raises(ActrGateNotInitialized):
        await ref.call(RUN, StringValue())


async def test_a_stop_finishes_what_is_open_and_refuses_what_is_new(world: World) -> None:
    release = asyncio.Event()

    async def wait(req: StringValue, ctx: Context) -> StringValue:
        await release.wait()
        return req

    client, server = await world.pair(wait)
    open_call = asyncio.create_task(ask(client, to(server), "open"))
    await until(lambda: server.statistics()["calls.running_or_queued"], "the call")
    stopping = asyncio.create_task(server.shutdown())
    with pytest.raises(ActrTransportError, match="stopping") as caught:
        await ask(client, to(server), "new", timeout_ms=2_000)
    assert caught.value.retryable
    assert not caught.value.may_have_run
    with pytest.raises(ActrRuntimeError):
        await client.discover(SERVER)
    release.set()
    assert await open_call == "open"
    await stopping


async def test_a_stop_waits_no_longer_than_the_drain_time(world: World) -> None:
    async def hang(req: StringValue, ctx: Context) -> StringValue:
        await asyncio.sleep(60)
        return req

    server = await world.start("Server", Script(hang), drain_ms=200)
    client = await world.start("Client")
    call = asyncio.create_task(ask(client, to(server)))
    await until(lambda: server.statistics()["calls.running_or_queued"], "the call")
    started = time.monotonic()
    await server.shutdown()
    assert 0.2 <= time.monotonic() - started < 1.5
    with pytest.raises(ActrTransportError) as caught:
        await call
    assert caught.value.may_have_run


async def test_an_idle_node_stops_at_once(world: World) -> None:
    client, server = await world.pair()
    await ask(client, to(server))
    for ref in (client, server):
        started = time.monotonic()
        await ref.shutdown()
        assert time.monotonic() - started < 0.5


async def test_a_stop_waits_for_the_end_of_what_is_sent(world: World) -> None:
    client, server = await world.pair()
    go = asyncio.Event()

    async def slow(frame: DataStream, sender: object) -> None:
        await go.wait()

    handle = await client.context().register_stream("s", slow)
    for i in range(10):
        await server.context().send_stream(to(client), DataStream("s", i, b"x"))
    ending = asyncio.create_task(server.context().end_stream(to(client), "s"))
    await asyncio.sleep(0)
    stopping = asyncio.create_task(server.shutdown())
    await asyncio.sleep(0.05)
    assert not stopping.done()
    go.set()
    await stopping
    await ending
    assert await handle.wait_closed(1_000) == 10


async def test_a_shutdown_called_twice_waits_for_the_same_end(world: World) -> None:
    hooked = Hooked()
    ref = await world.start("Node", hooked)
    await asyncio.gather(ref.shutdown(), ref.shutdown(), ref.wait_for_shutdown())
    await ref.shutdown()
    assert hooked.heard.count("stop") == 1


async def test_a_stopped_node_says_so_whatever_it_is_asked(world: World) -> None:
    client, server = await world.pair()
    context = server.context()
    handle = await context.register_stream("s", lambda frame, sender: None)
    await server.shutdown()
    for attempt in (
        server.call(RUN, StringValue()),
        server.tell(RUN, StringValue()),
        server.discover(SERVER),
        ask(context, to(client)),
        context.tell(to(client), RUN, StringValue()),
        context.discover(SERVER),
        context.discover_all(SERVER, 1_000),
        context.register_stream("t", lambda frame, sender: None),
        context.send_stream(to(client), DataStream("s", 1, b"")),
        context.open_stream(to(client), "s").__aenter__(),
        context.watch(SERVER).__aenter__(),
    ):
        with pytest.raises(ActrGateNotInitialized, match="has stopped"):
            await asyncio.wait_for(attempt, 2)
    with pytest.raises(ActrGateNotInitialized):
        context.stream("t")
    with pytest.raises(ActrTransportError, match="has stopped"):
        await handle.wait_closed(1_000)
    await context.unregister_stream("s")
    assert server.statistics()["calls.open"] == 0


async def test_whoever_waits_when_the_node_stops_is_told(world: World) -> None:
    node = await world.start("Node")
    context = node.context()

    async def iterate() -> None:
        async for _ in context.stream("s"):
            pass

    async def watch() -> str:
        async with context.watch(SERVER) as watch:
            async for _ in watch:
                pass
        return "over"

    waiting = [
        asyncio.create_task(context.discover(SERVER, 60_000)),
        asyncio.create_task(ask(context, Dest.type(SERVER), wait=True)),
        asyncio.create_task(iterate()),
    ]
    watching = asyncio.create_task(watch())
    await asyncio.sleep(0.05)
    await node.shutdown()
    outcomes = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 2)
    assert [type(outcome) for outcome in outcomes] == [ActrTransportError] * 3
    assert await asyncio.wait_for(watching, 2) == "over"


async def test_a_start_that_is_given_up_leaves_nothing_behind(tmp_path: Path, broker: Broker) -> None:
    nobody = World("tcp://127.0.0.1:1", tmp_path)
    node = await nobody.node("Node", Hooked())
    descriptors = len(os.listdir("/proc/self/fd"))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await node.start()
    await until(lambda: len(os.listdir("/proc/self/fd")) <= descriptors, "descriptors closed")


def said(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    """The lines of that level in the log."""
    return [record.getMessage() for record in caplog.records if record.levelno == level]


async def test_a_node_without_a_broker_says_once_where_it_looks_for_one_and_once_that_it_is_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with address() as endpoint:
        world = World(endpoint, tmp_path)
        starting = asyncio.create_task(world.start("Node"))
        try:
            await until(lambda: said(caplog, logging.WARNING), "a warning", 3)
            (warning,) = said(caplog, logging.WARNING)
            assert warning.startswith(f"no broker url={endpoint} ")
            assert "actrzmq-broker" in warning
            assert "ACTRZMQ_BROKER" in warning
            await asyncio.sleep(0.6)  # more than a heartbeat
            with Broker(listen=endpoint):
                await starting
                await world.close()
            assert said(caplog, logging.WARNING) == [warning]
            assert [line for line in said(caplog, logging.INFO) if endpoint in line] == [
                line for line in said(caplog, logging.INFO) if line.startswith("registered id=")
            ]
        finally:
            await world.close()


async def test_something_at_the_address_that_is_no_broker_is_named_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with zmq.Context() as context, context.socket(zmq.ROUTER) as stranger:
        stranger.linger = 0
        endpoint = f"tcp://127.0.0.1:{stranger.bind_to_random_port('tcp://127.0.0.1')}"
        node = await World(endpoint, tmp_path).node("Node")
        starting = asyncio.create_task(node.start())
        await until(lambda: said(caplog, logging.WARNING), "a warning", 3)
        assert said(caplog, logging.WARNING)[0].startswith(f"broker does not answer url={endpoint} ")
        starting.cancel()
        await asyncio.wait([starting])


async def test_a_slow_on_start_hook_is_no_absence_of_the_broker(world: World, caplog: pytest.LogCaptureFixture) -> None:
    class Slow(Hooked):
        async def on_start(self, ctx: Context) -> None:
            await asyncio.sleep(1.1)

    await world.start("Node", Slow())
    assert not said(caplog, logging.WARNING)


async def test_a_drain_that_runs_out_says_what_it_has_cut_off(world: World, caplog: pytest.LogCaptureFixture) -> None:
    async def hang(req: StringValue, ctx: Context) -> StringValue:
        await asyncio.sleep(60)
        return req

    async def take(frame: DataStream, sender: object) -> None:
        await asyncio.sleep(60)

    server = await world.start("Server", Script(hang), drain_ms=300)
    client = await world.start("Client")
    calls = [asyncio.create_task(ask(client, to(server))) for _ in range(2)]
    await client.context().register_stream("s", take)
    await server.context().send_stream(to(client), DataStream("s", 1, b"x"))
    await until(lambda: server.statistics()["calls.running_or_queued"] == 2, "the calls")
    await server.shutdown()
    assert said(caplog, logging.WARNING) == ["drain time over drain_ms=300; cut off calls=2 streams=1"]
    await asyncio.gather(*calls, return_exceptions=True)


async def test_a_drain_that_suffices_says_nothing(world: World, caplog: pytest.LogCaptureFixture) -> None:
    client, server = await world.pair()
    await ask(client, to(server))
    await server.shutdown()
    assert not said(caplog, logging.WARNING)


async def test_a_node_waits_for_a_broker_that_comes_later(tmp_path: Path) -> None:
    with address() as endpoint:
        world = World(endpoint, tmp_path)
        starting = asyncio.create_task(world.start("Node", Script()))
        await asyncio.sleep(0.1)
        assert not starting.done()
        with Broker(listen=endpoint):
            node = await starting
            assert await ask(node, to(node), "x") == "x"
            await world.close()


async def test_a_node_that_a_restarted_broker_refuses_stops_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooked = Hooked()
    with address() as endpoint:
        with Broker(listen=endpoint):
            ref = await World(endpoint, tmp_path).start("Node", hooked)
            serving = asyncio.create_task(ref.wait_for_ctrl_c_and_shutdown())
        monkeypatch.setattr("actrzmq.core.admission.PROTOCOL", 99)
        with Broker(listen=endpoint), pytest.raises(ActrConfigError, match=r"refuses this node.*protocol"):
            await serving
    assert hooked.heard == ["start", "ready", "stop"]


async def test_a_node_that_the_broker_refuses_does_not_start(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actrzmq.core.admission.PROTOCOL", 99)
    with pytest.raises(ActrConfigError, match=r"refuses this node.*protocol"):
        await world.start("Node")


async def test_statistics_are_numbers_by_name(world: World) -> None:
    client, server = await world.pair()
    await ask(client, to(server))
    statistics = server.statistics()
    assert {"calls.open", "calls.running_or_queued", "replies.kept", "peers", "streams.sending"} <= set(statistics)
    assert all(isinstance(value, int) for value in statistics.values())


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
async def test_a_forked_child_is_told_that_the_node_is_not_its_own(world: World) -> None:
    node = await world.start("Node", Script())
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            asyncio.run(asyncio.wait_for(node.call(RUN, StringValue()), 5))
        except BaseException as error:
            os.write(writing, f"{type(error).__name__}: {error}".encode())
        os._exit(0)
    os.close(writing)
    await asyncio.to_thread(os.waitpid, pid, 0)
    with os.fdopen(reading) as said:
        assert said.read().startswith("ActrGateNotInitialized: this process was forked")
    assert await ask(node, Dest.local(), "still here") == "still here"


SERVE = """
import asyncio, logging, sys
from actrzmq import ActrSystem
from tests.runtime.harness import Script

async def hang(req, ctx):
    print("called", flush=True)
    await asyncio.sleep(60)

async def main():
    async with await ActrSystem.from_toml(sys.argv[1]) as system:
        ref = await system.attach(Script(hang)).start()
        asyncio.get_running_loop().call_soon(lambda: print("ready", flush=True))  # when it waits
        await ref.wait_for_ctrl_c_and_shutdown()
        print("over", flush=True)

logging.basicConfig(level=logging.INFO)
asyncio.run(main())
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_a_serving_process(world: World, number: signal.Signals) -> None:
    with spawn(SERVE, str(world.manifest("Server")), cwd=world.folder) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        server.send_signal(number)
        out, err = server.communicate(timeout=10)
    assert (server.returncode, out) == (0, "over\n")
    assert "Traceback" not in err


async def test_a_second_signal_ends_the_process_at_once(world: World) -> None:
    client = await world.start("Client")
    server = await asyncio.to_thread(spawn, SERVE, str(world.manifest("Server", drain_ms=60_000)), cwd=world.folder)
    try:
        assert server.stdout is not None
        assert await asyncio.to_thread(server.stdout.readline) == "ready\n"
        call = asyncio.create_task(ask(client, Dest.type(SERVER), timeout_ms=20_000))
        assert await asyncio.to_thread(server.stdout.readline) == "called\n"
        assert server.stderr is not None
        server.send_signal(signal.SIGTERM)
        while "signal SIGTERM: draining" not in (line := await asyncio.to_thread(server.stderr.readline)):
            assert line, "it has ended"
        assert server.poll() is None
        server.send_signal(signal.SIGTERM)
        started = time.monotonic()
        assert await asyncio.to_thread(server.wait, 5) == 128 + signal.SIGTERM
        assert time.monotonic() - started < 1
        with pytest.raises(ActrTransportError) as caught:
            await call
        assert caught.value.may_have_run
        assert time.monotonic() - started < 2
    finally:
        server.kill()
        await asyncio.to_thread(server.communicate)


async def test_a_running_node_says_little_to_the_log(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    client, server = await world.pair()
    for _ in range(100):
        await ask(client, to(server))
    await server.shutdown()
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len([record for record in caplog.records if record.levelno >= logging.INFO]) < 20


async def test_what_is_no_workload_is_refused_in_words(world: World) -> None:
    system = await ActrSystem.from_toml(world.manifest())
    for wrong in (Script, object(), "x", None):
        with pytest.raises(ActrConfigError, match="attach"):
            system.attach(wrong)


async def test_a_text_of_a_subclass_of_str_travels_as_plain_text(world: World) -> None:
    class Text(str):
        __slots__ = ()

    server, client = await world.start("Server", Script()), await world.start("Client")
    assert await ask(client, to(server), "well", Text(RUN), metadata={Text("key"): Text("value")}) == "well"


async def test_a_handler_that_will_not_be_cancelled_does_not_hold_up_the_stop(world: World) -> None:
    freed = asyncio.Event()

    async def stubborn(req: StringValue, ctx: Context) -> StringValue:
        while not freed.is_set():
            with suppress(asyncio.CancelledError):
                await freed.wait()
        return req

    node = await world.start("Node", Script(stubborn), drain_ms=100)
    call = asyncio.create_task(ask(node, to(node), "x"))
    await until(lambda: node.statistics()["calls.running_or_queued"] == 1, "the call runs")
    await asyncio.wait_for(node.shutdown(), 5)
    freed.set()
    with pytest.raises(ActrTransportError):
        await call


async def test_a_node_starts_only_once(world: World) -> None:
    node = await world.node("Node")
    ref = await node.start()
    with pytest.raises(ActrConfigError, match="started already"):
        await node.start()
    await ref.shutdown()


async def test_on_error_hooks_that_hang_are_few_and_are_cut_off(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("actrzmq.runtime.hooks.AT_ONCE", 2)
    monkeypatch.setattr("actrzmq.runtime.hooks.WITHIN_S", 0.5)
    ended: list[str] = []

    class Hanging(Hooked):
        async def on_error(self, ctx: Context, error: BaseException) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(str(error))

    async def fail(req: StringValue, ctx: Context) -> StringValue:
        raise ActrRuntimeError(req.value)

    hanging = Hanging()
    hanging.handler = fail
    node = await world.start("Node", hanging)
    for number in range(5):
        with pytest.raises(ActrRuntimeError):
            await ask(node, Dest.local(), str(number))
    assert node.statistics()["on_error.left_out"] == 3
    await until(lambda: node.statistics().get("on_error.cut_off") == 2, "both are cut off")
    assert ended == ["0", "1"]
    assert "on_error has not ended" in caplog.text
    with pytest.raises(ActrRuntimeError):  # there is room again
        await ask(node, Dest.local(), "6")
    await until(lambda: node.statistics().get("on_error.cut_off") == 3, "another one")


async def test_rules_as_long_as_may_be_are_registered(world: World) -> None:
    types = ", ".join(f'"{"m" * 32}+{"N" * 27}{number:05}"' for number in range(1_000))
    await asyncio.wait_for(world.start("Server", more=f'[[acl.rules]]\npermission = "deny"\ntypes = [{types}]\n'), 5)


async def test_a_full_broker_is_waited_for_under_one_identity_and_the_log_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Broker(BrokerLimits(nodes=1)) as broker:
        world = World(broker.endpoint, tmp_path)
        first = await world.start("First")
        node = await world.node("Second")
        starting = asyncio.create_task(node.start())
        await until(lambda: "the broker takes no more nodes" in caplog.text, "it is said")
        assert node._engine is not None
        identity = node._engine.id
        assert broker.core.counters["refused"] <= 5
        await first.shutdown()
        second = await asyncio.wait_for(starting, 15)
        assert second.actor_id() == identity
        assert "(limits.nodes)" in caplog.text
        assert "fenced" not in caplog.text
        await world.close()
