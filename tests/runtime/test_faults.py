"""What happens to a running program when others fail: real processes, killed and started again."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from google.protobuf.wrappers_pb2 import StringValue

from actrzmq import ActrId, ActrNotFound, ActrTimeoutError, ActrTransportError, Context, DataStream, Dest
from actrzmq.testing import FaultProxy
from tests.net.peers import Broker
from tests.runtime.harness import RUN, SERVER, Script, World, ask, environment, spawn, to, until

BROKER = "import sys; from actrzmq.brokerd.main import main; main(sys.argv[1:])"

SERVE = """
import asyncio, sys, time
from actrzmq import ActrSystem
from tests.runtime.harness import Script

async def serve(req, ctx):
    if req.value == "block":
        time.sleep(1.5)
    if req.value == "hang":
        print("called", flush=True)
        await asyncio.sleep(60)
    return req

async def main():
    async with await ActrSystem.from_toml(sys.argv[1]) as system:
        ref = await system.attach(Script(serve)).start()
        asyncio.get_running_loop().call_soon(lambda: print(ref.actor_id(), flush=True))
        await ref.wait_for_ctrl_c_and_shutdown()

import logging
from actrzmq.net import watchdog
watchdog.LAG = 500
logging.basicConfig(level=logging.WARNING)
asyncio.run(main())
"""


class BrokerProcess:
    """A broker that can be killed, and started again at the same address with the same store."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._listen = self.relay = "tcp://127.0.0.1:*"
        self.endpoint = ""
        self._process: subprocess.Popen[str]

    def start(self, **variables: str) -> None:
        arguments = ["--listen", self._listen, "--store", str(self._folder / "broker.db")]
        self._process = subprocess.Popen(
            [sys.executable, "-c", BROKER, *arguments],
            cwd=self._folder,
            env=environment(XDG_STATE_HOME=str(self._folder), **variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line.startswith("ready endpoint="), line
        self.endpoint = self._listen = line.split()[1].removeprefix("endpoint=")

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def broker_process(tmp_path: Path) -> Iterator[BrokerProcess]:
    """A broker in a process of its own."""
    broker = BrokerProcess(tmp_path)
    broker.start()
    yield broker
    broker.kill()


@asynccontextmanager
async def serving(world: World) -> AsyncIterator[tuple[subprocess.Popen[str], ActrId]]:
    """A server in a process of its own, and its id."""
    process = await asyncio.to_thread(spawn, SERVE, str(world.manifest("Server")), cwd=world.folder)
    try:
        assert process.stdout is not None
        yield process, ActrId.parse((await asyncio.to_thread(process.stdout.readline)).strip())
    finally:
        process.kill()
        await asyncio.to_thread(process.communicate)


@pytest.mark.parametrize("path", ["direct", "relay"])
async def test_a_broker_that_is_killed_and_comes_back_is_not_noticed(
    broker_process: BrokerProcess, tmp_path: Path, path: str
) -> None:
    world = World(broker_process.endpoint, tmp_path)
    ran: list[str] = []

    async def slow(req: StringValue, ctx: Context) -> StringValue:
        ran.append(req.value)
        await asyncio.sleep(0.5)
        return req

    streams = f'[system.streams]\npath = "{path}"'
    server = await world.start("Server", Script(slow), more=streams)
    client = await world.start("Client", more=streams)
    try:
        got: list[int] = []

        async def take(frame: DataStream, sender: ActrId) -> None:
            got.append(frame.sequence())
            await asyncio.sleep(0.001)

        handle = await client.context().register_stream("s", take)

        async def feed() -> None:
            async with server.context().open_stream(to(client), "s") as out:
                for _ in range(1_000):
                    await out.send(b"x" * 100)
                    await asyncio.sleep(0.001)

        feeding = asyncio.create_task(feed())
        calls = [asyncio.create_task(ask(client, to(server), str(i), timeout_ms=20_000)) for i in range(20)]
        await until(lambda: len(ran) == 20 and len(got) > 100, "calls and frames")
        identities = server.actor_id(), client.actor_id()
        broker_process.kill()
        held = [asyncio.create_task(ask(client, to(server), str(i), timeout_ms=20_000)) for i in range(20, 40)]
        await asyncio.sleep(0.2)
        await asyncio.to_thread(broker_process.start)
        assert await asyncio.gather(*calls, *held) == [str(i) for i in range(40)]
        await feeding
        assert await handle.wait_closed(10_000) == 1_000
        assert got == list(range(1, 1_001))
        assert sorted(ran, key=int) == [str(i) for i in range(40)]
        assert (server.actor_id(), client.actor_id()) == identities
        assert await client.discover(SERVER, 5_000) == server.actor_id()
    finally:
        await world.close()


async def test_who_watches_and_who_calls_see_nothing_of_a_server_that_is_back_later_than_they_are(
    broker_process: BrokerProcess, tmp_path: Path
) -> None:
    world = World(broker_process.endpoint, tmp_path)
    client = await world.start("Client")
    session = client._engine.session
    try:
        async with serving(world) as (process, server), client.context().watch(SERVER) as watch:
            assert (await asyncio.wait_for(anext(watch), 5)).id == server
            assert await ask(client, Dest.type(SERVER), "before") == "before"
            process.send_signal(signal.SIGSTOP)
            broker_process.kill()
            await until(lambda: not session.is_online, "the end of the connection")
            await asyncio.to_thread(broker_process.start)
            watched = watch._watched
            assert watched is not None
            await until(lambda: session.is_online and not watched.is_stale, "what the new broker knows")
            assert watch.instances == [server]
            held = asyncio.create_task(ask(client, Dest.type(SERVER), "held"))
            other = await world.start("Server", Script())  # so that what is told next has an end
            process.send_signal(signal.SIGCONT)
            assert await held == "held"
            change = await asyncio.wait_for(anext(watch), 5)
            assert (change.id, change.is_up) == (other.actor_id(), True)
            await until(lambda: len(watched.instances) == 2, "both registered")
            assert not watch._changes
            assert set(watch.instances) == {server, other.actor_id()}
    finally:
        await world.close()


async def test_a_server_that_is_killed_ends_calls_and_streams_within_a_second(world: World) -> None:
    client = await world.start("Client")
    async with serving(world) as (process, server):
        assert process.stdout is not None
        call = asyncio.create_task(ask(client, Dest.actor(server), "hang", timeout_ms=20_000))
        assert await asyncio.to_thread(process.stdout.readline) == "called\n"
        process.send_signal(signal.SIGKILL)
        killed = time.monotonic()
        with pytest.raises(ActrTransportError) as caught:
            await call
        assert time.monotonic() - killed < 1.5
        assert caught.value.may_have_run
        with pytest.raises(ActrNotFound):
            await client.discover(SERVER)


async def test_a_handler_that_blocks_the_loop_makes_its_node_lag_and_not_die(world: World) -> None:
    """It gets no new work, what it has is answered, and its log shows where it hangs."""
    client = await world.start("Client")
    other = await world.start("Server", Script())
    async with serving(world) as (process, blocked), client.context().watch(SERVER) as watch:
        await until(lambda: len(watch.instances) == 2, "both instances")
        assert await ask(client, Dest.actor(blocked), "well") == "well"
        call = asyncio.create_task(ask(client, Dest.actor(blocked), "block", timeout_ms=20_000))
        changes = [await asyncio.wait_for(anext(watch), 10) for _ in range(3)]
        assert (changes[2].id, changes[2].is_up, changes[2].reason) == (blocked, False, "LAGGING")
        assert await client.context().discover_all(SERVER) == [other.actor_id()]
        assert await call == "block"
        await until(lambda: len(watch.instances) == 2, "both instances again")
        assert await ask(client, Dest.actor(blocked), "well again") == "well again"
        process.terminate()
        _, err = await asyncio.to_thread(process.communicate, timeout=10)
    assert "event loop blocked" in err
    assert "in serve" in err


async def test_a_watch_tells_who_is_there_and_who_comes_and_goes(world: World) -> None:
    client = await world.start("Client")
    first = await world.start("Server", Script())
    async with client.context().watch(SERVER) as watch:
        change = await asyncio.wait_for(anext(watch), 5)
        assert (change.id, change.is_up) == (first.actor_id(), True)
        second = await world.start("Server", Script())
        change = await asyncio.wait_for(anext(watch), 5)
        assert (change.id, change.is_up) == (second.actor_id(), True)
        assert set(watch.instances) == {first.actor_id(), second.actor_id()}
        await first.shutdown()
        change = await asyncio.wait_for(anext(watch), 5)
        assert (change.id, change.is_up) == (first.actor_id(), False)
        assert change.reason
        assert watch.instances == [second.actor_id()]


async def test_discover_finds_one_at_once_or_waits_for_one(world: World) -> None:
    client = await world.start("Client")
    with pytest.raises(ActrNotFound, match=r"no live node of type acme\+Server"):
        await client.discover(SERVER)
    with pytest.raises(ActrNotFound):
        await client.context().discover_all(SERVER)
    started = time.monotonic()
    with pytest.raises(ActrNotFound):
        await client.discover(SERVER, 200)
    assert 0.19 < time.monotonic() - started < 1
    waiting = asyncio.create_task(client.discover(SERVER, timeout_ms=10_000))
    await asyncio.sleep(0.05)
    server = await world.start("Server", Script())
    assert await waiting == server.actor_id()
    second = await world.start("Server", Script())
    assert set(await client.context().discover_all(SERVER)) == {server.actor_id(), second.actor_id()}


async def test_without_a_broker_questions_end_when_their_askers_time_is_up(tmp_path: Path) -> None:
    with Broker() as broker:
        world = World(broker.endpoint, tmp_path)
        client = await world.start("Client")
    try:
        context = client.context()
        await until(lambda: not client._engine.session.is_online, "the end of the connection")
        started = time.monotonic()
        for asking, at_most in (
            (context.tell(Dest.type(SERVER), RUN, StringValue(), 300), 0.5),
            (ask(client, Dest.type(SERVER), timeout_ms=300), 0.5),
            (context.discover(SERVER), 1.5),
            (context.discover_all(SERVER), 1.5),
            (context.discover(SERVER, 300), 1.5),
        ):
            begun = time.monotonic()
            with pytest.raises((ActrTransportError, ActrTimeoutError)):
                await asking
            assert time.monotonic() - begun < at_most
        assert time.monotonic() - started < 4
        begun = time.monotonic()
        with pytest.raises(ActrTransportError, match="no connection to the broker"):
            await context.discover(SERVER)
        assert time.monotonic() - begun < 0.5  # it has been away for long
    finally:
        await world.close()


async def test_a_first_call_to_a_type_is_held_until_the_broker_is_back(tmp_path: Path, free_address: str) -> None:
    with Broker(listen=free_address):
        world = World(free_address, tmp_path)
        client, _ = await world.pair()
    try:
        await until(lambda: not client._engine.session.is_online, "the end of the connection")
        held = asyncio.create_task(ask(client, Dest.type(SERVER), "held"))
        waiting = asyncio.create_task(ask(client, Dest.type(SERVER), "waiting", wait=True))
        await asyncio.sleep(1.2)  # longer than a connection takes that is only broken
        assert not held.done()
        assert not waiting.done()
        with Broker(listen=free_address):
            assert await waiting == "waiting"
            with suppress(ActrNotFound):  # the server may be back a moment after the client
                assert await held == "held"
            await world.close()
    finally:
        await world.close()


async def test_a_node_that_is_not_visible_is_not_found_and_can_be_called(world: World) -> None:
    client = await world.start("Client")
    hidden = await world.start("Server", Script(), more="[system.discovery]\nvisible = false")
    with pytest.raises(ActrNotFound):
        await client.discover(SERVER)
    assert await ask(client, to(hidden), "x") == "x"


async def test_nodes_of_another_realm_are_not_found(world: World) -> None:
    client = await world.start("Client")
    await world.start("Server", Script(), more="[system.deployment]\nrealm_id = 7")
    with pytest.raises(ActrNotFound):
        await client.discover(SERVER)


async def test_a_broker_that_comes_back_without_its_unix_socket_is_found_at_its_port(
    broker_process: BrokerProcess, tmp_path: Path
) -> None:
    world = World(broker_process.endpoint, tmp_path)
    node = await world.start("Server", Script())
    try:
        assert node._engine.shell.link._endpoint.startswith("ipc://")
        broker_process.kill()
        await asyncio.to_thread(broker_process.start, XDG_RUNTIME_DIR=str(tmp_path))
        assert await ask(node, to(node), "well") == "well"
        await until(lambda: node._engine.session.is_online, "registered again", timeout_s=10)
        assert node._engine.shell.link._endpoint == broker_process.endpoint
    finally:
        await node.shutdown()


async def test_a_server_that_is_cut_off_as_it_drains_is_back_before_it_leaves(world: World, tmp_path: Path) -> None:
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def held(req: StringValue, ctx: Context) -> StringValue:
        begun.set()
        await may_end.wait()
        return req

    client = await world.start("Client")
    (tmp_path / "far").mkdir()
    with FaultProxy(world.endpoint) as proxy:
        server = await World(proxy.url, tmp_path / "far").start("Server", Script(held), drain_ms=10_000)
        asked = asyncio.create_task(ask(client, to(server), "answer"))
        await begun.wait()
        leaving = asyncio.create_task(server.shutdown())
        proxy.reset()
        await until(lambda: not server._engine.session.is_online, "it is cut off")
        may_end.set()
        assert await asyncio.wait_for(asked, 5) == "answer"
        await leaving
