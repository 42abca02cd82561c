"""Streams as a program sends and receives them, over every path."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import Any

import pytest
from google.protobuf.wrappers_pb2 import StringValue

from actrzmq import (
    ActrConfigError,
    ActrId,
    ActrNotFound,
    ActrOverloaded,
    ActrPermissionDenied,
    ActrRef,
    ActrRuntimeError,
    ActrStreamError,
    ActrTimeoutError,
    ActrTransportError,
    Context,
    DataStream,
    Dest,
    PayloadType,
    Status,
)
from actrzmq.core.streams import StreamLimits
from tests.runtime.harness import RUN, SERVER, Script, World, ask, to, until

PATHS = ["auto", "direct", "relay"]


async def ends(world: World, path: str = "auto", more: str = "") -> tuple[ActrRef, ActrRef]:
    """A sender and a receiver."""
    streams = f'[system.streams]\npath = "{path}"\n{more}'
    # What a test leaves open is not to hold up its end.
    return await world.start("Sender", more=streams, drain_ms=200), await world.start(
        "Receiver", more=streams, drain_ms=200
    )


class Taker:
    """A callback that keeps what it gets."""

    def __init__(self) -> None:
        self.frames: list[DataStream] = []
        self.senders: set[ActrId] = set()

    async def __call__(self, frame: DataStream, sender: ActrId) -> None:
        self.frames.append(frame)
        self.senders.add(sender)

    @property
    def payloads(self) -> list[bytes]:
        return [frame.payload() for frame in self.frames]


async def never(frame: DataStream, sender: ActrId) -> None:
    """A callback that does not return."""
    await asyncio.Event().wait()


async def feed(sender: ActrRef, receiver: ActrRef, count: int = 10) -> None:
    """Send as many frames on the stream `s`, and end it."""
    async with sender.context().open_stream(to(receiver), "s") as out:
        for _ in range(count):
            await out.send(b"x")


# what arrives


@pytest.mark.parametrize("path", PATHS)
async def test_a_stream_arrives_whole_and_in_order_on_every_path(world: World, path: str) -> None:
    sender, receiver = await ends(world, path)
    taker = Taker()
    handle = await receiver.context().register_stream("s", taker)
    for i in range(3_000):
        await sender.context().send_stream(to(receiver), DataStream("s", i, str(i).encode()))
    await sender.context().end_stream(to(receiver), "s")
    assert await handle.wait_closed(5_000) == 3_000
    assert taker.payloads == [str(i).encode() for i in range(3_000)]
    assert taker.senders == {sender.actor_id()}
    assert (handle.is_closed, handle.error, handle.frames, handle.stream_id) == (True, None, 3_000, "s")


@pytest.mark.parametrize("path", PATHS)
async def test_large_frames_arrive_on_every_path(world: World, path: str) -> None:
    sender, receiver = await ends(world, path)
    taker = Taker()
    handle = await receiver.context().register_stream("s", taker)
    sizes = [0, 1, 65_535, 65_536, 1_000_000, 4 * 1024 * 1024] * 3
    async with sender.context().open_stream(to(receiver), "s") as out:
        for i, size in enumerate(sizes):
            await out.send(bytes([i]) * size)
    assert await handle.wait_closed(5_000) == len(sizes)
    assert taker.payloads == [bytes([i]) * size for i, size in enumerate(sizes)]


@pytest.mark.parametrize("path", ["direct", "relay"])
async def test_a_payload_is_bytes_whatever_its_length_and_however_it_is_taken(world: World, path: str) -> None:
    sender, receiver = await ends(world, path)
    taker = Taker()
    handle = await receiver.context().register_stream("called", taker)
    reading = asyncio.create_task(iterate(receiver.context(), "read"))
    sizes = [10, 100_000, 20, 1_000_000]
    for stream_id in ("called", "read"):
        async with sender.context().open_stream(to(receiver), stream_id) as out:
            for size in sizes:
                await out.send(b"x" * size)
    await handle.wait_closed(5_000)
    read = await reading
    assert taker.payloads == read == [b"x" * size for size in sizes]
    assert {type(payload) for payload in [*taker.payloads, *read]} == {bytes}


async def test_a_frame_carries_what_its_sender_put_into_it(world: World) -> None:
    sender, receiver = await ends(world)
    taker = Taker()
    handle = await receiver.context().register_stream("é", taker)
    sent = [
        DataStream("é", 7, b"\x00\xff", timestamp_ms=123, metadata={"k": "é"}),
        DataStream("é", -5, b""),
        DataStream(stream_id="é", sequence=2**63 - 1, payload=b"x"),
    ]
    for frame in sent:
        await sender.context().send_stream(to(receiver), frame)
    await sender.context().end_stream(to(receiver), "é")
    await handle.wait_closed(5_000)
    assert taker.frames == sent
    first = taker.frames[0]
    assert (first.stream_id(), first.sequence(), first.payload(), first.timestamp_ms(), first.metadata()) == (
        "é",
        7,
        b"\x00\xff",
        123,
        {"k": "é"},
    )
    assert (sent[1].timestamp_ms(), sent[1].metadata()) == (None, None)


async def test_a_node_streams_to_itself(world: World) -> None:
    node = await world.start()
    for dest in (Dest.local(), Dest.shell(), to(node)):
        taker = Taker()
        handle = await node.context().register_stream("s", taker)
        async with node.context().open_stream(dest, "s") as out:
            for i in range(100):
                await out.send(bytes([i]))
        assert await handle.wait_closed(5_000) == 100
        assert taker.senders == {node.actor_id()}


async def test_a_stream_of_no_frames_is_complete(world: World) -> None:
    sender, receiver = await ends(world)
    handle = await receiver.context().register_stream("s", Taker())
    async with sender.context().open_stream(to(receiver), "s"):
        pass
    assert await handle.wait_closed(5_000) == 0


async def test_many_streams_flow_side_by_side(world: World) -> None:
    sender, receiver = await ends(world)
    takers = [Taker() for _ in range(50)]
    handles = [await receiver.context().register_stream(str(i), taker) for i, taker in enumerate(takers)]

    async def feed(stream_id: str) -> None:
        async with sender.context().open_stream(to(receiver), stream_id) as out:
            for i in range(100):
                await out.send(f"{stream_id}/{i}".encode())

    await asyncio.gather(*(feed(str(i)) for i in range(50)))
    assert [await handle.wait_closed(5_000) for handle in handles] == [100] * 50
    for i, taker in enumerate(takers):
        assert taker.payloads == [f"{i}/{j}".encode() for j in range(100)]
    assert sender.statistics()["streams.sending"] == receiver.statistics()["streams.receiving"] == 0


async def test_two_senders_of_one_stream_id_reach_different_receivers(world: World) -> None:
    sender, receiver = await ends(world)
    other = await world.start("Receiver")
    handles = [await ref.context().register_stream("s", Taker()) for ref in (receiver, other)]
    for ref, count in ((receiver, 3), (other, 5)):
        async with sender.context().open_stream(to(ref), "s") as out:
            for _ in range(count):
                await out.send(b"x")
    assert [await handle.wait_closed(5_000) for handle in handles] == [3, 5]


async def test_callbacks_of_one_stream_run_one_at_a_time(world: World) -> None:
    sender, receiver = await ends(world)
    running = most = 0

    async def overlap(frame: DataStream, sender: ActrId) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1

    handle = await receiver.context().register_stream("s", overlap)
    async with sender.context().open_stream(to(receiver), "s") as out:
        for _ in range(500):
            await out.send(b"x")
    assert await handle.wait_closed(5_000) == 500
    assert most == 1


async def test_a_callback_that_is_a_def_runs_in_a_thread_one_at_a_time_and_in_order(world: World) -> None:
    sender, receiver = await ends(world)
    got: list[int] = []

    def take(frame: DataStream, sender: ActrId) -> None:
        assert threading.current_thread() is not threading.main_thread()
        time.sleep(0.001)
        got.append(frame.sequence())

    handle = await receiver.context().register_stream("s", take)
    async with sender.context().open_stream(to(receiver), "s") as out:
        for _ in range(100):
            await out.send(b"x")
    assert await handle.wait_closed(5_000) == 100
    assert got == list(range(1, 101))


async def test_a_stream_that_comes_before_its_registration_waits_for_it(world: World) -> None:
    sender, receiver = await ends(world)
    sending = asyncio.create_task(sender.context().send_stream(to(receiver), DataStream("s", 1, b"early")))
    await asyncio.sleep(0.1)
    assert not sending.done()
    taker = Taker()
    handle = await receiver.context().register_stream("s", taker)
    await sending
    await sender.context().end_stream(to(receiver), "s")
    assert await handle.wait_closed(5_000) == 1


async def test_a_stream_that_nobody_registers_is_not_found_and_can_be_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actrzmq.runtime.sessions.StreamLimits", partial(StreamLimits, register_within=300))
    sender, receiver = await ends(world)
    frame = DataStream("s", 1, b"x")
    with pytest.raises(ActrNotFound, match="register_stream before asking"):
        await sender.context().send_stream(to(receiver), frame)
    handle = await receiver.context().register_stream("s", Taker())
    await sender.context().send_stream(to(receiver), frame)
    await sender.context().end_stream(to(receiver), "s")
    assert await handle.wait_closed(5_000) == 1


# who may send


async def test_a_stream_registered_for_one_sender_refuses_another(world: World) -> None:
    sender, receiver = await ends(world)
    stranger = await world.start("Stranger")
    handle = await receiver.context().register_stream("s", Taker(), sender.actor_id())
    for _ in range(2):
        with pytest.raises(ActrPermissionDenied, match="another sender"):
            await stranger.context().send_stream(to(receiver), DataStream("s", 1, b"x"))
    with pytest.raises(ActrPermissionDenied):
        await stranger.context().open_stream(to(receiver), "s").__aenter__()
    async with sender.context().open_stream(to(receiver), "s") as out:
        await out.send(b"x")
    assert await handle.wait_closed(5_000) == 1


async def test_a_stream_that_one_sends_is_refused_to_another(world: World) -> None:
    sender, receiver = await ends(world)
    other = await world.start("Sender")
    await receiver.context().register_stream("s", never)
    await sender.context().send_stream(to(receiver), DataStream("s", 1, b"x"))
    with pytest.raises(ActrStreamError) as caught:
        await other.context().send_stream(to(receiver), DataStream("s", 1, b"x"))
    assert caught.value.code is Status.ALREADY_EXISTS


async def test_types_that_may_not_stream_are_refused(world: World) -> None:
    rule = '[acl]\n[[acl.rules]]\npermission = "deny"\ntypes = ["acme+Sender"]\n'
    rule += '[[acl.rules]]\npermission = "allow"\ntypes = ["acme+Friend"]'
    receiver = await world.start("Receiver", more=rule)
    sender = await world.start("Sender")
    await receiver.context().register_stream("s", Taker())
    with pytest.raises(ActrPermissionDenied):
        await sender.context().send_stream(to(receiver), DataStream("s", 1, b"x"))


# registering


async def test_an_id_registered_twice_is_refused(world: World) -> None:
    node = await world.start()
    await node.context().register_stream("s", Taker())
    for again in (
        lambda: node.context().register_stream("s", Taker()),
        lambda: iterate(node.context(), "s"),
    ):
        with pytest.raises(ActrConfigError, match="registered already") as caught:
            await again()
        assert caught.value.code is Status.ALREADY_EXISTS


async def iterate(context: Context, stream_id: str) -> list[bytes]:
    return [frame.payload() async for frame in context.stream(stream_id)]


@pytest.mark.parametrize("stream_id", ["", "x" * 257, 5, None, b"s", "\ud800"])
async def test_a_stream_id_that_can_be_none_is_refused_locally(world: World, stream_id: Any) -> None:
    node = await world.start()
    context = node.context()
    with pytest.raises(ActrConfigError, match="stream id"):
        await context.register_stream(stream_id, Taker())
    with pytest.raises(ActrConfigError, match="stream id"):
        context.stream(stream_id)
    with pytest.raises(ActrConfigError, match="stream id"):
        await context.send_stream(Dest.local(), DataStream(stream_id, 1, b"x"))
    with pytest.raises(ActrConfigError, match="stream id"):
        await context.open_stream(Dest.local(), stream_id).__aenter__()


async def test_what_can_be_no_callback_is_refused_locally(world: World) -> None:
    node = await world.start()
    with pytest.raises(ActrConfigError, match="callback"):
        await node.context().register_stream("s", None)  # type: ignore[arg-type]
    with pytest.raises(ActrConfigError, match="on_error"):
        await node.context().register_stream("s", Taker(), on_error="ignore")
    with pytest.raises(ActrConfigError, match="sender"):
        await node.context().register_stream("s", Taker(), "1a@0:acme+Sender")  # type: ignore[arg-type]
    await node.context().register_stream("s", Taker())


@pytest.mark.parametrize(
    "frame",
    [
        DataStream("s", 2**64, b"x"),
        DataStream("s", -(2**63) - 1, b"x"),
        DataStream("s", "1", b"x"),  # type: ignore[arg-type]
        DataStream("s", 1, "text"),  # type: ignore[arg-type]
        DataStream("s", 1, None),  # type: ignore[arg-type]
        DataStream("s", 1, b"x", timestamp_ms=1.5),  # type: ignore[arg-type]
        DataStream("s", 1, b"x", timestamp_ms=2**70),
        DataStream("s", 1, b"x", metadata={"k": 1}),  # type: ignore[dict-item]
        DataStream("s", 1, b"x", metadata={"k": "\ud800"}),
        DataStream("s", 1, b"x", metadata={str(i): "v" for i in range(65)}),
        DataStream("s", 1, b"x", metadata={str(i): "é" * 4_000 for i in range(64)}),
    ],
)
async def test_a_frame_that_can_not_travel_is_refused_locally(world: World, frame: DataStream) -> None:
    node = await world.start()
    handle = await node.context().register_stream("s", Taker())
    with pytest.raises(ActrConfigError):
        await node.context().send_stream(Dest.local(), frame)
    await node.context().send_stream(Dest.local(), DataStream("s", 1, b"good"))
    with pytest.raises(ActrConfigError):
        await node.context().send_stream(Dest.local(), frame)
    await node.context().end_stream(Dest.local(), "s")
    assert await handle.wait_closed(5_000) == 1


async def test_a_payload_that_is_too_large_is_refused_locally(world: World) -> None:
    node = await world.start()
    await node.context().register_stream("s", Taker())
    with pytest.raises(ActrOverloaded, match="4194305"):
        await node.context().send_stream(Dest.local(), DataStream("s", 1, b"x" * (4 * 1024 * 1024 + 1)))


@pytest.mark.parametrize("payload_type", [PayloadType.RpcReliable, PayloadType.RpcSignal, PayloadType.MediaRtp])
async def test_streams_take_no_payload_type_of_calls_or_media(world: World, payload_type: PayloadType) -> None:
    node = await world.start()
    with pytest.raises(ActrConfigError, match="StreamReliable or StreamLatencyFirst"):
        await node.context().send_stream(Dest.local(), DataStream("s", 1, b"x"), payload_type)


async def test_a_stream_goes_to_one_actor_unless_it_is_opened_as_a_context(world: World) -> None:
    sender, receiver = await world.start("Sender"), await world.start("Server")
    handle = await receiver.context().register_stream("s", Taker())
    with pytest.raises(ActrConfigError, match="open_stream"):
        await sender.context().send_stream(Dest.type(SERVER), DataStream("s", 1, b"x"))
    async with sender.context().open_stream(Dest.type(SERVER), "s") as out:
        await out.send(b"x")
    assert await handle.wait_closed(5_000) == 1


@pytest.mark.parametrize(
    "use",
    [
        lambda context, dest: context.call(dest, RUN, b""),
        lambda context, dest: context.tell(dest, RUN, b""),
        lambda context, dest: context.send_stream(dest, DataStream("s", 1, b"x")),
        lambda context, dest: context.end_stream(dest, "s"),
        lambda context, dest: context.abort_stream(dest, "s"),
        lambda context, dest: context.open_stream(dest, "s").__aenter__(),
    ],
    ids=["call", "tell", "send_stream", "end_stream", "abort_stream", "open_stream"],
)
async def test_what_is_no_destination_is_refused_in_words(world: World, use: Callable[..., Awaitable[object]]) -> None:
    node = await world.start()
    for dest in (node.actor_id(), SERVER, "acme+Server", None):
        with pytest.raises(ActrConfigError, match=r"expected a Dest; for one node, Dest\.actor\(id\)"):
            await use(node.context(), dest)


async def test_unregister_takes_no_more_and_tells_the_sender(world: World) -> None:
    sender, receiver = await ends(world)
    handle = await receiver.context().register_stream("s", never)
    await sender.context().send_stream(to(receiver), DataStream("s", 1, b"x"))
    await receiver.context().unregister_stream("s")
    await receiver.context().unregister_stream("s")
    assert handle.is_closed
    with pytest.raises(ActrStreamError, match="closed by its receiver") as caught:
        await handle.wait_closed(1_000)
    assert caught.value.code is Status.CANCELLED

    async def send_on() -> None:
        while True:
            await sender.context().send_stream(to(receiver), DataStream("s", 1, b"x"))
            await asyncio.sleep(0)

    with pytest.raises(ActrStreamError, match="closed by its receiver") as caught:
        await asyncio.wait_for(send_on(), 5)
    assert caught.value.code is Status.CANCELLED


async def test_unregistering_what_is_not_registered_does_nothing(world: World) -> None:
    node = await world.start()
    await node.context().unregister_stream("nobody's")


async def test_a_handle_closes_its_own_stream_and_not_a_later_one_of_that_id(world: World) -> None:
    sender, receiver = await ends(world)
    context = receiver.context()
    first = await context.register_stream("s", Taker())
    async with sender.context().open_stream(to(receiver), "s") as out:
        await out.send(b"x")
    await first.wait_closed(5_000)
    second = await context.register_stream("s", Taker())
    await first.close()
    assert not second.is_closed
    await second.close()
    reader = context.stream("s")
    await second.close()
    await first.close()
    async with sender.context().open_stream(to(receiver), "s") as out:
        await out.send(b"y")
        assert (await anext(reader)).payload() == b"y"
        ending = asyncio.create_task(out.__aexit__(None, None, None))
        with pytest.raises(StopAsyncIteration):
            await anext(reader)
        await ending


async def test_a_handle_waits_no_longer_than_asked_and_leaves_the_stream_as_it_is(world: World) -> None:
    sender, receiver = await ends(world)
    handle = await receiver.context().register_stream("s", Taker())
    with pytest.raises(ActrTimeoutError, match="50 ms"):
        await handle.wait_closed(50)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await handle.wait_closed()
    async with sender.context().open_stream(to(receiver), "s") as out:
        await out.send(b"x")
    assert await handle.wait_closed() == 1


# callbacks that raise


@pytest.mark.parametrize("error", [LookupError("no database"), SystemExit(1), KeyboardInterrupt()], ids=repr)
async def test_a_callback_that_raises_ends_the_stream_on_both_sides(world: World, error: BaseException) -> None:
    sender, receiver = await ends(world)

    async def fail(frame: DataStream, sender: ActrId) -> None:
        if frame.sequence() == 3:
            raise error

    handle = await receiver.context().register_stream("s", fail)
    with pytest.raises(ActrStreamError, match=type(error).__name__) as caught:
        await feed(sender, receiver)
    assert caught.value.details["last"] == "2"
    with pytest.raises(ActrStreamError, match=type(error).__name__) as caught:
        await handle.wait_closed(5_000)
    assert caught.value.details["last"] == "2"
    assert repr(handle.error) == repr(caught.value)
    assert receiver.statistics()["callbacks.raised"] == 1


async def test_a_callback_that_raises_may_be_skipped(world: World) -> None:
    sender, receiver = await ends(world)
    got: list[int] = []

    async def fail(frame: DataStream, sender: ActrId) -> None:
        if frame.sequence() % 2:
            raise LookupError("odd")
        got.append(frame.sequence())

    handle = await receiver.context().register_stream("s", fail, on_error="skip")
    async with sender.context().open_stream(to(receiver), "s") as out:
        for _ in range(10):
            await out.send(b"x")
    assert await handle.wait_closed(5_000) == 10
    assert got == [2, 4, 6, 8, 10]
    assert receiver.statistics()["callbacks.raised"] == 5


async def test_a_callback_that_waits_for_something_cancelled_has_failed(world: World) -> None:
    sender, receiver = await ends(world)

    async def fail(frame: DataStream, sender: ActrId) -> None:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    handle = await receiver.context().register_stream("s", fail)
    with pytest.raises(ActrStreamError, match="CancelledError"):
        async with sender.context().open_stream(to(receiver), "s") as out:
            await out.send(b"x")
    with pytest.raises(ActrStreamError, match="CancelledError"):
        await handle.wait_closed(5_000)


async def test_a_callback_may_close_its_own_stream(world: World) -> None:
    sender, receiver = await ends(world)
    got: list[int] = []

    async def once(frame: DataStream, sender: ActrId) -> None:
        got.append(frame.sequence())
        await receiver.context().unregister_stream("s")

    await receiver.context().register_stream("s", once)
    with pytest.raises(ActrStreamError):
        await feed(sender, receiver)
    assert got == [1]


async def test_a_sender_that_waits_for_credit_is_told_once_that_its_receiver_has_closed(world: World) -> None:
    sender, receiver = await ends(world, more="window_frames = 2")
    handed_over = 0

    async def send_on() -> None:
        nonlocal handed_over
        while True:
            handed_over += 1
            await sender.context().send_stream(to(receiver), DataStream("s", handed_over, b"x"))

    await receiver.context().register_stream("s", never)
    sending = asyncio.create_task(send_on())
    await until(lambda: handed_over == 3, "a window, and one that waits")
    await receiver.context().unregister_stream("s")
    with pytest.raises(ActrStreamError, match="closed by its receiver"):
        await sending
    handle = await receiver.context().register_stream("s", never)
    async with sender.context().open_stream(to(receiver), "s"):
        pass  # it would hear of the former one here
    assert await handle.wait_closed(5_000) == 0


# iterating


async def test_a_stream_is_iterated_to_its_end(world: World) -> None:
    sender, receiver = await ends(world)
    reading = asyncio.create_task(iterate(receiver.context(), "s"))
    async with sender.context().open_stream(to(receiver), "s") as out:
        for i in range(3_000):
            await out.send(str(i).encode())
    assert await reading == [str(i).encode() for i in range(3_000)]


async def test_an_iteration_raises_how_its_stream_failed(world: World) -> None:
    sender, receiver = await ends(world)
    reading = asyncio.create_task(iterate(receiver.context(), "s"))
    await sender.context().send_stream(to(receiver), DataStream("s", 1, b"x"))
    await sender.context().abort_stream(to(receiver), "s", "out of cheese")
    with pytest.raises(ActrStreamError, match="out of cheese"):
        await reading


async def test_an_iteration_that_is_left_can_be_taken_up_again_or_closed(world: World) -> None:
    sender, receiver = await ends(world)
    reader = receiver.context().stream("s")
    out = await sender.context().open_stream(to(receiver), "s").__aenter__()
    for i in range(10):
        await out.send(bytes([i]))
    async for frame in reader:
        if frame.payload() == b"\x03":
            break
    assert (await anext(reader)).payload() == b"\x04"
    await reader.aclose()
    await reader.aclose()
    with pytest.raises(ActrStreamError, match="closed by its receiver"):
        await anext(reader)
    with pytest.raises(ActrStreamError, match="closed by its receiver"):
        await sender.context().end_stream(to(receiver), "s")


async def test_an_iteration_may_be_closed_by_contextlib(world: World) -> None:
    sender, receiver = await ends(world)
    context = receiver.context()
    async with aclosing(context.stream("s")) as reader:
        await sender.context().send_stream(to(receiver), DataStream("s", 1, b"x"))
        async for _ in reader:
            break
    handle = await context.register_stream("s", Taker())  # the id is free again
    assert not handle.is_closed


async def test_a_frame_that_is_iterated_counts_as_done_when_the_next_is_asked_for(world: World) -> None:
    sender, receiver = await ends(world)
    reader = receiver.context().stream("s")
    await sender.context().send_stream(to(receiver), DataStream("s", 1, b"x"))
    ending = asyncio.create_task(sender.context().end_stream(to(receiver), "s"))
    await anext(reader)
    await asyncio.sleep(0.1)
    assert not ending.done()
    with pytest.raises(StopAsyncIteration):
        await anext(reader)
    await ending


async def test_cancelling_an_iteration_loses_nothing(world: World) -> None:
    sender, receiver = await ends(world)
    reader = receiver.context().stream("s")
    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await anext(reader)
    await sender.context().send_stream(to(receiver), DataStream("s", 1, b"x"))
    assert (await anext(reader)).payload() == b"x"


# ending


async def test_an_end_returns_when_the_receiver_has_completed_every_frame(world: World) -> None:
    sender, receiver = await ends(world)
    release = asyncio.Event()
    done: list[int] = []

    async def slow(frame: DataStream, sender: ActrId) -> None:
        await release.wait()
        done.append(frame.sequence())

    await receiver.context().register_stream("s", slow)
    for i in range(5):
        await sender.context().send_stream(to(receiver), DataStream("s", i, b"x"))
    ending = asyncio.create_task(sender.context().end_stream(to(receiver), "s"))
    await asyncio.sleep(0.05)
    assert not ending.done()
    release.set()
    await ending
    assert done == [0, 1, 2, 3, 4]


async def test_an_end_gives_up_when_the_receiver_makes_no_progress(world: World) -> None:
    sender, receiver = await ends(world)
    await receiver.context().register_stream("s", never)
    await sender.context().send_stream(to(receiver), DataStream("s", 1, b"x"))
    started = time.monotonic()
    with pytest.raises(ActrTimeoutError, match="no progress for 100 ms, 0 frames"):
        await sender.context().end_stream(to(receiver), "s", 100)
    assert time.monotonic() - started < 1


async def test_an_end_waits_for_the_opening_no_longer_than_asked(world: World) -> None:
    sender, receiver = await world.start("Sender", drain_ms=200), await world.start("Receiver", Script())
    started = time.monotonic()
    with pytest.raises(ActrTimeoutError, match=r"stream s: .* has not taken it within 100 ms"):
        await sender.context().end_stream(to(receiver), "s", 100)
    assert time.monotonic() - started < 1
    assert sender.statistics()["streams.sending"] == 0  # nobody is left who knows of it
    await ask(sender, to(receiver))  # its withdrawal is there now
    handle = await receiver.context().register_stream("s", Taker())
    await sender.context().end_stream(to(receiver), "s")
    assert await handle.wait_closed(5_000) == 0


async def test_an_end_that_has_waited_too_long_for_the_opening_can_be_tried_again(world: World) -> None:
    sender, receiver = await ends(world)
    sending = asyncio.create_task(sender.context().send_stream(to(receiver), DataStream("s", 1, b"x")))
    await until(lambda: sender.statistics()["streams.sending"], "it is being opened")
    with pytest.raises(ActrTimeoutError, match="has not taken it"):
        await sender.context().end_stream(to(receiver), "s", 50)
    handle = await receiver.context().register_stream("s", Taker())
    await sending
    await sender.context().end_stream(to(receiver), "s")
    assert await handle.wait_closed(5_000) == 1


async def test_an_abort_of_what_is_not_open_is_nothing(world: World) -> None:
    sender, receiver = await ends(world)
    await sender.context().abort_stream(to(receiver), "s")


async def test_what_is_sent_after_the_end_is_another_stream(world: World) -> None:
    sender, receiver = await ends(world)
    for text in (b"first", b"second"):
        taker = Taker()
        handle = await receiver.context().register_stream("s", taker)
        await sender.context().send_stream(to(receiver), DataStream("s", 1, text))
        await sender.context().end_stream(to(receiver), "s")
        await handle.wait_closed(5_000)
        assert taker.payloads == [text]


async def test_an_abort_ends_the_stream_as_failed_for_its_reason(world: World) -> None:
    sender, receiver = await ends(world)
    got = asyncio.Event()

    async def take(frame: DataStream, sender: ActrId) -> None:
        got.set()

    handle = await receiver.context().register_stream("s", take)
    await sender.context().send_stream(to(receiver), DataStream("s", 1, b"x"))
    await got.wait()
    await sender.context().abort_stream(to(receiver), "s", "out of cheese")
    with pytest.raises(ActrStreamError, match="out of cheese") as caught:
        await handle.wait_closed(5_000)
    assert caught.value.code is Status.ABORTED
    assert caught.value.details["last"] == "1"
    assert repr(handle.error) == repr(caught.value)


async def test_an_abort_while_the_stream_is_being_opened_withdraws_it(world: World) -> None:
    sender, receiver = await world.start("Sender"), await world.start("Receiver", Script())
    sending = asyncio.create_task(sender.context().send_stream(to(receiver), DataStream("s", 1, b"x")))
    await ask(sender, to(receiver))  # the opening is there now
    await sender.context().abort_stream(to(receiver), "s", "out of cheese")
    with pytest.raises(ActrStreamError, match="out of cheese"):
        await sending
    await ask(sender, to(receiver))  # its withdrawal, too
    handle = await receiver.context().register_stream("s", Taker())
    await feed(sender, receiver)
    assert await handle.wait_closed(5_000) == 10


async def test_a_block_that_raises_aborts_its_stream(world: World) -> None:
    sender, receiver = await ends(world)
    handle = await receiver.context().register_stream("s", Taker())

    async def fail() -> None:
        async with sender.context().open_stream(to(receiver), "s") as out:
            await out.send(b"x")
            raise LookupError("no database")

    with pytest.raises(LookupError):
        await fail()
    with pytest.raises(ActrStreamError, match="LookupError: no database"):
        await handle.wait_closed(5_000)


async def test_frames_of_another_stream_are_refused_by_a_writer(world: World) -> None:
    sender, receiver = await ends(world)
    handle = await receiver.context().register_stream("s", Taker())
    async with sender.context().open_stream(to(receiver), "s") as out:
        with pytest.raises(ActrConfigError):
            await out.send(DataStream("t", 1, b"x"))
        await out.send(DataStream("s", 17, b"x"))
    assert await handle.wait_closed(5_000) == 1


async def test_a_writer_that_has_left_sends_no_more(world: World) -> None:
    sender, receiver = await ends(world)
    await receiver.context().register_stream("s", Taker())
    async with sender.context().open_stream(to(receiver), "s") as out:
        await out.send(b"x")
    with pytest.raises(ActrStreamError, match="ended"):
        await asyncio.wait_for(out.send(b"y"), 2)


async def test_a_stream_that_is_open_already_is_not_opened_as_a_context(world: World) -> None:
    sender, receiver = await ends(world)
    handle = await receiver.context().register_stream("s", Taker())
    async with sender.context().open_stream(to(receiver), "s") as out:
        with pytest.raises(ActrStreamError) as caught:
            await feed(sender, receiver)
        assert caught.value.code is Status.ALREADY_EXISTS
        await out.send(b"x")
    assert await handle.wait_closed(5_000) == 1


async def test_a_stream_whose_sender_stops_ends_as_failed(world: World) -> None:
    sender, receiver = await ends(world)
    got = asyncio.Event()

    async def take(frame: DataStream, sender: ActrId) -> None:
        got.set()

    handle = await receiver.context().register_stream("s", take)
    await sender.context().send_stream(to(receiver), DataStream("s", 1, b"x"))
    await got.wait()
    stopping = asyncio.create_task(sender.shutdown())
    with pytest.raises((ActrStreamError, ActrTransportError)) as caught:
        await handle.wait_closed(5_000)
    assert caught.value.details["last"] == "1"
    await stopping


async def test_a_stream_whose_receiver_stops_ends_there_by_its_name(world: World) -> None:
    sender, receiver = await ends(world)
    handle = await receiver.context().register_stream("s", never)
    await sender.context().send_stream(to(receiver), DataStream("s", 1, b"x"))
    await receiver.shutdown()
    with pytest.raises(ActrStreamError, match=r"^stream s: the node has stopped$"):
        await handle.wait_closed(5_000)


async def test_a_sender_whose_receiver_stops_is_told(world: World) -> None:
    sender, receiver = await ends(world)
    await receiver.context().register_stream("s", never)
    await sender.context().send_stream(to(receiver), DataStream("s", 1, b"x"))
    stopping = asyncio.create_task(receiver.shutdown())
    with pytest.raises(ActrRuntimeError) as caught:
        await sender.context().end_stream(to(receiver), "s", 5_000)
    assert isinstance(caught.value, ActrStreamError | ActrTransportError)
    await stopping


# flow control


async def test_a_sender_waits_when_its_credit_is_spent_and_goes_on_when_there_is_more(world: World) -> None:
    sender, receiver = await ends(world, more="window_frames = 10")
    release = asyncio.Event()

    async def slow(frame: DataStream, sender: ActrId) -> None:
        await release.wait()

    handle = await receiver.context().register_stream("s", slow)
    sent = 0

    async def feed() -> None:
        nonlocal sent
        async with sender.context().open_stream(to(receiver), "s") as out:
            for _ in range(50):
                await out.send(b"x")
                sent += 1

    feeding = asyncio.create_task(feed())
    await until(lambda: sent == 10, "a window")
    await asyncio.sleep(0.3)
    assert sent == 10
    release.set()
    await feeding
    assert await handle.wait_closed(5_000) == 50


async def test_a_window_of_bytes_holds_a_sender_as_well(world: World) -> None:
    sender, receiver = await ends(world, more="window_bytes = 10000")
    await receiver.context().register_stream("s", never)
    sent = 0

    async def send_on() -> None:
        nonlocal sent
        while True:
            await sender.context().send_stream(to(receiver), DataStream("s", sent, b"x" * 1_000))
            sent += 1

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(send_on(), 0.3)
    assert sent == 10


async def test_metadata_hold_a_sender_as_payloads_do_and_changing_them_changes_no_credit(world: World) -> None:
    sender, receiver = await ends(world, more="window_bytes = 10000")
    gate = asyncio.Event()

    async def keep(frame: DataStream, who: ActrId) -> None:
        await gate.wait()
        metadata = frame.metadata()
        assert metadata is not None
        metadata.clear()

    await receiver.context().register_stream("s", keep)

    async def send() -> None:
        for number in range(40):
            frame = DataStream("s", number, b"", metadata={"key": "x" * 4000})
            await sender.context().send_stream(to(receiver), frame)

    sending = asyncio.create_task(send())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(sending), 0.3)
    (stream,) = receiver._engine.session.streams._in._by_channel.values()
    assert stream.channel.received == 3, "the third reaches over the limit"
    gate.set()
    await sending
    await sender.context().end_stream(to(receiver), "s")
    assert stream.channel.completed_bytes == stream.channel._received_bytes


async def test_senders_that_wait_for_credit_keep_their_order(world: World) -> None:
    sender, receiver = await ends(world, more="window_frames = 4")
    taker = Taker()
    handle = await receiver.context().register_stream("s", taker)
    frames = [DataStream("s", i, str(i).encode()) for i in range(200)]
    await asyncio.gather(*(sender.context().send_stream(to(receiver), frame) for frame in frames))
    await sender.context().end_stream(to(receiver), "s")
    assert await handle.wait_closed(5_000) == 200
    assert taker.frames == frames


async def test_a_latency_first_stream_never_waits_and_drops_the_oldest(world: World) -> None:
    sender, receiver = await ends(world)
    release = asyncio.Event()
    got: list[int] = []

    async def slow(frame: DataStream, sender: ActrId) -> None:
        await release.wait()
        got.append(frame.sequence())

    handle = await receiver.context().register_stream("s", slow)
    lane = PayloadType.StreamLatencyFirst
    async with asyncio.timeout(5), sender.context().open_stream(to(receiver), "s", lane) as out:
        for _ in range(5_000):
            await out.send(b"x")
        release.set()
    await handle.wait_closed(5_000)
    assert got == sorted(set(got))
    assert got[-1] == 5_000
    assert len(got) < 5_000


# in handlers


async def test_a_handler_feeds_a_stream_that_its_caller_has_registered(world: World) -> None:
    tasks = set()

    async def serve(req: StringValue, ctx: Context) -> StringValue:
        async def feed() -> None:
            caller = ctx.caller_id()
            assert caller is not None
            async with ctx.open_stream(Dest.actor(caller), req.value) as out:
                for i in range(10):
                    await out.send(bytes([i]))

        tasks.add(asyncio.create_task(feed()))
        return req

    server = await world.start("Server", Script(serve))
    client = await world.start("Client")
    reading = asyncio.create_task(iterate(client.context(), "mine"))
    await asyncio.sleep(0)
    await client.context().call(to(server), RUN, StringValue(value="mine").SerializeToString())
    assert await reading == [bytes([i]) for i in range(10)]


async def test_a_stream_of_no_frames_ends_at_its_receiver_too(world: World) -> None:
    sender, receiver = await world.start("Sender"), await world.start("Receiver")
    handle = await receiver.context().register_stream("empty", lambda frame, sender_id: None)
    await sender.context().end_stream(to(receiver), "empty")
    assert await handle.wait_closed(2_000) == 0
    await sender.context().end_stream(to(receiver), "empty")  # again: it has ended
