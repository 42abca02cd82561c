"""`FaultProxy`: what goes through it is whole, until it is told to break it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import resource
import socket
import threading
import time
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest
from google.protobuf.wrappers_pb2 import StringValue

from actrzmq import ActrConfigError, ActrRef, ActrTransportError, Context, DataStream, Dest, rpc, service
from actrzmq.testing import Connection, Direction, FaultProxy, LocalCluster
from actrzmq.testing.pipes import LATE_BYTES
from tests.runtime.harness import until

ANSWER_S = 5.0
LIMITS = resource.getrlimit(resource.RLIMIT_NOFILE)
PATH = '[system.streams]\npath = "{}"'


class Echo:
    """Sends back what comes, over TCP."""

    def __init__(self) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"tcp://127.0.0.1:{self.listening.getsockname()[1]}"
        self.ends: list[str] = []
        self.has_ended = threading.Event()

    def run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                side, _ = self.listening.accept()
                threading.Thread(target=self.echo, args=(side,), daemon=True).start()

    def echo(self, side: socket.socket) -> None:
        with side:
            try:
                while data := side.recv(65_536):
                    side.sendall(data)
                self.ends.append("closed")
            except OSError:
                self.ends.append("reset")
        self.has_ended.set()


@pytest.fixture
def echo() -> Iterator[Echo]:
    echo = Echo()
    thread = threading.Thread(target=echo.run)
    thread.start()
    yield echo
    echo.listening.shutdown(socket.SHUT_RDWR)
    thread.join()
    echo.listening.close()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[FaultProxy]:
    with FaultProxy(echo.url) as proxy:
        yield proxy


@pytest.fixture
def side(proxy: FaultProxy) -> Iterator[socket.socket]:
    """A client that has been answered once."""
    with connect(proxy) as side:
        assert ask(side) == b"hello"
        yield side


def connect(proxy: FaultProxy) -> socket.socket:
    host, port = proxy.url.removeprefix("tcp://").split(":")
    return socket.create_connection((host, int(port)), timeout=ANSWER_S)


def ask(side: socket.socket, data: bytes = b"hello", within: float = ANSWER_S) -> bytes:
    side.settimeout(within)
    side.sendall(data)
    return receive(side, len(data))


def ask_for_ever(side: socket.socket) -> None:
    while ask(side, b"0123456789"):
        pass


def receive(side: socket.socket, count: int) -> bytes:
    """So many bytes, or fewer if it ends."""
    found = b""
    while len(found) < count and (data := side.recv(count - len(found))):
        found += data
    return found


def wait_taken(proxy: FaultProxy, count: int) -> None:
    """Wait until so many bytes are under way to what is behind it."""
    pipe, deadline = only(proxy)._pipes[Direction.UP], time.monotonic() + ANSWER_S
    while pipe._late_bytes < count:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def only(proxy: FaultProxy) -> Connection:
    (connection,) = proxy.wait_connected()
    return connection


def test_what_goes_through_arrives_whole(proxy: FaultProxy, side: socket.socket) -> None:
    data = bytes(range(256)) * 20_000
    sending = threading.Thread(target=side.sendall, args=(data,))
    sending.start()
    assert receive(side, len(data)) == data
    sending.join()
    assert only(proxy).carried == dict.fromkeys(Direction, len(data) + 5)


def test_an_end_goes_through(proxy: FaultProxy, echo: Echo, side: socket.socket) -> None:
    side.close()
    assert echo.has_ended.wait(ANSWER_S)
    assert echo.ends == ["closed"]


@pytest.mark.parametrize("direction", list(Direction))
def test_a_stalled_direction_carries_nothing_until_it_is_healed(
    proxy: FaultProxy, side: socket.socket, direction: Direction
) -> None:
    proxy.stall(direction)
    with pytest.raises(TimeoutError):
        ask(side, within=0.1)
    proxy.heal()
    side.settimeout(ANSWER_S)
    assert receive(side, 5) == b"hello"


def test_a_delay_makes_it_late_and_keeps_the_order(proxy: FaultProxy, side: socket.socket) -> None:
    proxy.delay(0.1, Direction.UP)
    began = time.monotonic()
    for number in range(5):
        side.sendall(bytes([number]))
    assert receive(side, 5) == bytes(range(5))
    assert time.monotonic() - began >= 0.1


@pytest.mark.parametrize("end", [FaultProxy.heal, lambda proxy: proxy.delay(0)], ids=["heal", "delay(0)"])
def test_a_delay_that_is_over_is_so_for_what_is_under_way_and_the_order_stays(
    proxy: FaultProxy, side: socket.socket, end: Callable[[FaultProxy], None]
) -> None:
    proxy.delay(60, Direction.UP)
    side.sendall(b"before ")
    wait_taken(proxy, 7)
    end(proxy)
    assert ask(side, b"after") == b"befor"
    assert receive(side, 7) == b"e after"


def test_a_reset_is_felt_on_both_sides(proxy: FaultProxy, echo: Echo, side: socket.socket) -> None:
    proxy.reset()
    with pytest.raises(ConnectionResetError):
        side.recv(1)
    assert echo.has_ended.wait(ANSWER_S)
    assert echo.ends == ["reset"]
    assert proxy.connections == []


@pytest.mark.parametrize(("direction", "arrived"), [(Direction.UP, 5 + 3), (Direction.DOWN, 5 + 10)])
def test_a_cut_comes_after_so_many_bytes(
    proxy: FaultProxy, side: socket.socket, direction: Direction, arrived: int
) -> None:
    connection = only(proxy)
    connection.cut(3, direction)
    with pytest.raises(ConnectionResetError):
        ask_for_ever(side)
    assert connection.carried[direction] == 5 + 3
    assert connection.carried[Direction.UP] == arrived
    assert not connection.is_open


def test_of_a_half_open_connection_one_side_does_not_hear(proxy: FaultProxy, echo: Echo, side: socket.socket) -> None:
    proxy.half_open()
    assert echo.has_ended.wait(ANSWER_S)
    with pytest.raises(TimeoutError):
        ask(side, within=0.1)  # it can be sent
    proxy.heal()
    with pytest.raises(ConnectionResetError):
        ask(side)


def test_a_half_open_connection_takes_all_that_is_sent_also_where_much_was_late(
    proxy: FaultProxy, side: socket.socket
) -> None:
    proxy.delay(60)
    much = bytes(LATE_BYTES)
    side.sendall(much)
    wait_taken(proxy, LATE_BYTES)
    proxy.half_open()
    for _ in range(20):  # more than buffers hold
        side.sendall(much)


def test_a_connection_may_be_half_open_at_the_other_side(proxy: FaultProxy, echo: Echo, side: socket.socket) -> None:
    proxy.half_open(far_stays=True)
    assert side.recv(1) == b""
    assert not echo.has_ended.wait(0.1)
    proxy.heal()
    assert echo.has_ended.wait(ANSWER_S)
    assert echo.ends == ["reset"]


def test_one_connection_is_broken_and_the_others_are_not(proxy: FaultProxy, side: socket.socket) -> None:
    with connect(proxy) as other:
        assert ask(other) == b"hello"
        first, _ = proxy.wait_connected(2)
        first.reset()
        with pytest.raises(ConnectionResetError):
            side.recv(1)
        assert ask(other) == b"hello"


def test_what_lasts_holds_for_connections_to_come(proxy: FaultProxy) -> None:
    proxy.stall()
    with connect(proxy) as side:
        with pytest.raises(TimeoutError):
            ask(side, within=0.1)
        proxy.heal()
        side.settimeout(ANSWER_S)
        assert receive(side, 5) == b"hello"


def test_a_proxy_that_refuses_takes_no_new_connection(proxy: FaultProxy, side: socket.socket) -> None:
    proxy.refuse()
    with pytest.raises(ConnectionResetError), connect(proxy) as other:
        other.recv(1)
    assert ask(side) == b"hello"
    assert proxy.counters == {"accepted": 2, "refused": 1}
    proxy.heal()
    with connect(proxy) as other:
        assert ask(other) == b"hello"


def test_where_nobody_listens_behind_it_connections_are_reset() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with FaultProxy(f"tcp://127.0.0.1:{port}") as proxy:
        with pytest.raises(ConnectionResetError), connect(proxy) as side:
            side.recv(1)
        assert proxy.counters["unreachable"] == 1


def test_a_proxy_that_may_open_no_more_files_goes_on_when_it_may(proxy: FaultProxy) -> None:
    with socket.socket() as side, no_more_files():
        side.connect(("127.0.0.1", int(proxy.url.rpartition(":")[2])))
        for _ in range(3):
            proxy.do(lambda: None)  # then it has tried
        assert not proxy.counters
        resource.setrlimit(resource.RLIMIT_NOFILE, LIMITS)
        assert ask(side) == b"hello"


@contextmanager
def no_more_files() -> Iterator[None]:
    """Nothing can be opened in this process."""
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, LIMITS[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, LIMITS)


@pytest.mark.parametrize("host", ["a..b", "a" * 64])
def test_a_name_that_no_host_can_have_is_as_unreachable(host: str) -> None:
    with FaultProxy(f"tcp://{host}:1") as proxy:
        for _ in range(2):
            with pytest.raises(ConnectionResetError), connect(proxy) as side:
                side.recv(1)
        assert proxy.counters["unreachable"] == 2


@pytest.mark.parametrize(
    "upstream", ["", "127.0.0.1:5570", "tcp://127.0.0.1", "tcp://:1", "udp://127.0.0.1:1", "tcp://127.0.0.1:²"]
)
def test_what_is_no_address_is_refused(upstream: str) -> None:
    with pytest.raises(ActrConfigError, match="expected tcp"):
        FaultProxy(upstream)


@pytest.mark.parametrize("port", [0, 65_536, 99_999])
def test_what_is_no_port_is_refused(port: int) -> None:
    with pytest.raises(ActrConfigError, match=f"tcp://127.0.0.1:{port}.*a port from 1 to 65535"):
        FaultProxy(f"tcp://127.0.0.1:{port}")


def test_a_proxy_is_entered_once_and_works_no_longer_than_that() -> None:
    proxy = FaultProxy("tcp://127.0.0.1:1")
    with pytest.raises(ActrConfigError, match="does not run"):
        proxy.stall()
    with proxy:
        url = proxy.url
        with pytest.raises(ActrConfigError, match="entered already"), proxy:
            pass
        assert proxy.url == url
        proxy.stall()
    with pytest.raises(ActrConfigError, match="entered already"), proxy:
        pass
    with pytest.raises(ActrConfigError, match="does not run"):
        proxy.heal()


def test_a_proxy_that_is_never_entered_leaves_nothing_open() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        FaultProxy("tcp://127.0.0.1:1")
        gc.collect()


# real nodes behind it


@service("demo.Faulty", exported=True)
class Faulty:
    """Echoes, and counts how often."""

    def __init__(self) -> None:
        self.ran = 0

    @rpc
    async def say(self, req: StringValue, ctx: Context) -> StringValue:
        self.ran += 1
        return req


@asynccontextmanager
async def behind_a_proxy() -> AsyncIterator[tuple[FaultProxy, LocalCluster, ActrRef, Faulty]]:
    """A server that reaches its broker through a proxy, and a test that does not."""
    async with LocalCluster() as cluster:
        with FaultProxy(cluster.url) as proxy:
            handler = Faulty()
            ref = await cluster.start(handler, url=proxy.url)
            yield proxy, cluster, ref, handler
            proxy.heal()
            await ref.shutdown()


async def say(context: Context, ref: ActrRef, text: str = "x") -> str:
    dest, request = Dest.actor(ref.actor_id()), StringValue(value=text)
    return str((await context.call(dest, "demo.Faulty.Say", request, 20_000, response_type=StringValue)).value)


def test_a_node_calls_and_is_called_through_it() -> None:
    async def main() -> None:
        async with behind_a_proxy() as (proxy, cluster, ref, _):
            assert await say(cluster.context(), ref) == "x"
            assert len(proxy.connections) == 1
            assert all(only(proxy).carried.values())

    asyncio.run(main())


@pytest.mark.parametrize("fault", ["reset", "cut", "stall"])
def test_whatever_happens_to_its_connection_a_call_is_answered_and_runs_once(fault: str) -> None:
    async def main() -> None:
        async with behind_a_proxy() as (proxy, cluster, ref, handler):
            connection = only(proxy)
            if fault == "cut":
                connection.cut(30_000, Direction.DOWN)
            elif fault == "stall":
                connection.stall()
            asking = asyncio.create_task(say(cluster.context(), ref, "x" * 50_000))
            await asyncio.sleep(0)
            if fault == "reset":
                connection.reset()
            elif fault == "stall":
                done, _ = await asyncio.wait([asking], timeout=0.3)
                assert not done
                connection.heal()
            assert await asking == "x" * 50_000
            assert handler.ran == 1
            assert proxy.counters["resets"] == (fault != "stall")

    asyncio.run(main())


def test_a_node_whose_connection_is_half_open_is_down_and_comes_back_when_that_is_over() -> None:
    async def main() -> None:
        async with behind_a_proxy() as (proxy, cluster, ref, handler):
            proxy.half_open()
            with pytest.raises(ActrTransportError, match="is down"):
                await say(cluster.context(), ref)
            assert handler.ran == 0
            proxy.heal()
            await cluster.context().discover(ref.actor_id().type, 10_000)
            assert await say(cluster.context(), ref) == "x"

    asyncio.run(main())


def test_frames_of_a_stream_do_not_pass_it_unless_they_are_relayed_through_one() -> None:
    async def main() -> None:
        async with LocalCluster() as cluster:
            with FaultProxy(cluster.relay) as relay:
                cluster.relay_through(relay.url)
                for path, passes in (("auto", False), ("relay", True)):
                    sender = await cluster.start(type="test+Sender", toml=PATH.format(path))
                    await stream(cluster.context(), sender.context(), path)
                    assert bool(relay.counters["accepted"]) is passes

    asyncio.run(main())


def test_a_relayed_stream_survives_a_cut_within_a_frame() -> None:
    async def main() -> None:
        async with LocalCluster() as cluster:
            with FaultProxy(cluster.relay) as relay:
                cluster.relay_through(relay.url)
                sender = await cluster.start(type="test+Sender", toml=PATH.format("relay"))
                relay.cut(50_000)
                sending = asyncio.create_task(stream(cluster.context(), sender.context(), "s"))
                await until(lambda: relay.counters["resets"], "a cut")
                relay.heal()
                await sending

    asyncio.run(main())


async def stream(receiver: Context, sender: Context, stream_id: str) -> None:
    """Twenty frames come once and in order."""
    dest = Dest.actor(receiver.self_id())

    async def send() -> None:
        for number in range(20):
            await sender.send_stream(dest, DataStream(stream_id, number, bytes(10_000)))
        await sender.end_stream(dest, stream_id)

    async with receiver.stream(stream_id) as frames, asyncio.TaskGroup() as group:
        group.create_task(send())
        assert [frame.sequence() async for frame in frames] == list(range(20))
