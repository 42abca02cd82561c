"""The receiving end in odd moments: threads that are all taken, readers that are left, streams that end at once."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import Any

import pytest

from actrzmq import (
    ActrConfigError,
    ActrId,
    ActrOverloaded,
    ActrRef,
    ActrRuntimeError,
    ActrStreamError,
    ActrTimeoutError,
    ActrTransportError,
    DataStream,
    Dest,
    Status,
)
from actrzmq.runtime import sending, threads
from actrzmq.runtime.inbox import CallbackInbox
from tests.runtime.harness import Script, World, ask, spawn, to, until
from tests.test_docs import QUICKSTART, blocks


async def feed(sender: ActrRef, receiver: ActrRef, stream_id: str = "s", count: int = 10) -> None:
    """Send as many frames, and end the stream."""
    async with sender.context().open_stream(to(receiver), stream_id) as out:
        for i in range(count):
            await out.send(bytes([i]))


async def ends(world: World) -> tuple[ActrRef, ActrRef]:
    """A sender and a receiver."""
    return await world.start("Sender"), await world.start("Receiver")


class Blocked:
    """A plain callback that blocks its thread until it is let go."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.running = 0
        self.frames = 0

    def __call__(self, frame: DataStream, sender: ActrId) -> None:
        self.running += 1
        self.released.wait(20)
        self.running -= 1
        self.frames += 1


async def block(blocked: Blocked, sender: ActrRef, receiver: ActrRef, count: int) -> None:
    """Have `count` streams hold a thread each."""
    for i in range(count):
        await receiver.context().register_stream(f"blocked-{i}", blocked)
        await sender.context().send_stream(to(receiver), DataStream(f"blocked-{i}", 1, b"x"))
    await until(lambda: blocked.running == count, f"{count} running")


# callbacks in threads


async def test_40_blocked_plain_callbacks_do_not_hold_up_another(world: World) -> None:
    sender, receiver = await ends(world)
    blocked = Blocked()
    try:
        await block(blocked, sender, receiver, 40)
        names: list[str] = []
        handle = await receiver.context().register_stream(
            "fast", lambda frame, sender: names.append(threading.current_thread().name)
        )
        await feed(sender, receiver, "fast", 100)
        assert await handle.wait_closed(5_000) == 100
        assert all(name.startswith("actrzmq-stream") for name in names)
        assert blocked.frames == 0
    finally:
        blocked.released.set()


async def test_streams_that_wait_for_a_thread_take_turns(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "THREADS", 1)
    sender, receiver = await ends(world)
    order: list[str] = []
    gate = threading.Event()

    def take(frame: DataStream, sender: ActrId) -> None:
        gate.wait(20)
        order.append(frame.stream_id())

    handles = [await receiver.context().register_stream(name, take) for name in "abc"]
    feeding = [asyncio.create_task(feed(sender, receiver, name, 20)) for name in "abc"]
    await until(lambda: receiver.statistics()["callbacks.waiting_for_thread"] == 2, "all three wait")
    gate.set()
    await asyncio.gather(*feeding)
    assert [await handle.wait_closed(5_000) for handle in handles] == [20] * 3
    assert all(set(order[i : i + 3]) == set("abc") for i in range(0, 60, 3))


async def test_a_stream_whose_callback_gets_no_thread_ends_in_words(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "THREADS", 2)
    monkeypatch.setattr(threads, "STANDSTILL_S", 0.2)
    sender, receiver = await ends(world)
    blocked = Blocked()
    try:
        await block(blocked, sender, receiver, 2)
        handle = await receiver.context().register_stream("s", lambda frame, sender: None, on_error="skip")
        with pytest.raises(ActrOverloaded, match="all 2 threads"):
            await feed(sender, receiver)
        with pytest.raises(ActrOverloaded, match="all 2 threads"):
            await handle.wait_closed(5_000)
        assert receiver.statistics()["callbacks.no_thread"] == 1
    finally:
        blocked.released.set()


async def test_a_plain_callback_that_hangs_is_counted_when_its_stream_ends_and_its_thread_comes_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "THREADS", 1)
    sender, receiver = await ends(world)
    blocked = Blocked()
    await block(blocked, sender, receiver, 1)
    waiting: list[int] = []
    never_run = await receiver.context().register_stream("waiting", lambda frame, sender: waiting.append(1))
    await sender.context().send_stream(to(receiver), DataStream("waiting", 1, b"x"))
    await until(lambda: receiver.statistics()["callbacks.waiting_for_thread"] == 1, "it waits")
    await receiver.context().unregister_stream("blocked-0")
    await never_run.close()
    assert receiver.statistics()["callbacks.abandoned"] == 1
    handle = await receiver.context().register_stream("s", lambda frame, sender: None)
    feeding = asyncio.create_task(feed(sender, receiver))
    await until(lambda: receiver.statistics()["callbacks.waiting_for_thread"] == 1, "it waits")
    blocked.released.set()
    await feeding
    assert await handle.wait_closed(5_000) == 10
    assert waiting == []
    assert receiver.statistics()["callbacks.in_threads"] == 0


async def test_a_plain_callback_may_raise_stop_iteration(world: World) -> None:
    sender, receiver = await ends(world)

    def take_none(frame: DataStream, sender: ActrId) -> Any:
        return next(iter(()))

    handle = await receiver.context().register_stream("s", take_none)
    with pytest.raises(ActrStreamError, match="StopIteration"):
        await feed(sender, receiver)
    with pytest.raises(ActrStreamError, match="StopIteration"):
        await handle.wait_closed(5_000)


async def test_what_a_plain_callback_returns_does_not_matter(world: World) -> None:
    sender, receiver = await ends(world)
    length: Any = lambda frame, sender: len(frame.payload())  # noqa: E731
    handle = await receiver.context().register_stream("s", length)
    await feed(sender, receiver)
    assert await handle.wait_closed(5_000) == 10


async def test_a_plain_callback_that_raises_after_its_stream_has_ended_is_logged(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    sender, receiver = await ends(world)
    started, released = threading.Event(), threading.Event()

    def fail(frame: DataStream, sender: ActrId) -> None:
        started.set()
        released.wait(20)
        raise LookupError("no database")

    await receiver.context().register_stream("s", fail)
    await sender.context().send_stream(to(receiver), DataStream("s", 1, b"x"))
    await until(started.is_set, "it runs")
    await receiver.context().unregister_stream("s")
    released.set()
    await until(lambda: "no database" in caplog.text, "a line in the log")


HANG = """
import asyncio, sys, threading
from actrzmq import ActrSystem, DataStream, Dest

async def main():
    loop, running = asyncio.get_running_loop(), asyncio.Event()

    def hang(frame, sender):
        loop.call_soon_threadsafe(running.set)
        threading.Event().wait()

    async with await ActrSystem.from_toml(sys.argv[1]) as system:
        ctx = (await system.attach().start()).context()
        await ctx.register_stream("s", hang)
        await ctx.send_stream(Dest.local(), DataStream("s", 1, b"x"))
        await running.wait()

asyncio.run(main())
"""


async def test_a_plain_callback_that_hangs_does_not_keep_the_program_from_ending(world: World) -> None:
    process = await asyncio.to_thread(spawn, HANG, str(world.manifest()), cwd=world.folder)
    try:
        _, err = await asyncio.to_thread(process.communicate, timeout=20)
    finally:
        process.kill()
    assert process.returncode == 0, err
    assert "Traceback" not in err


# streams that end at once


async def test_a_stream_that_ends_before_its_first_frame_was_taken_up_leaves_no_error(world: World) -> None:
    sender, receiver = await ends(world)
    got: list[ActrId] = []
    closed = asyncio.Event()

    async def take(frame: DataStream, sender: ActrId) -> None:
        got.append(sender)

    deliver = CallbackInbox.deliver

    def deliver_and_close(inbox: CallbackInbox, frames: list[DataStream]) -> None:
        deliver(inbox, frames)
        inbox.keeper.close(inbox)
        closed.set()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CallbackInbox, "deliver", deliver_and_close)
        await receiver.context().register_stream("s", take)
        await sender.context().send_stream(to(receiver), DataStream("s", 1, b"x"))
        await closed.wait()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert got == []


async def test_frames_that_come_for_a_stream_that_has_ended_are_counted_and_not_delivered(world: World) -> None:
    node = await world.start()
    got: list[int] = []
    await node.context().register_stream("s", lambda frame, sender: got.append(1))
    (inbox,) = node._engine.inboxes._open.values()
    await node.context().unregister_stream("s")
    inbox.deliver([DataStream("s", 1, b"x"), DataStream("s", 2, b"x")])
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert got == []
    assert node.statistics()["frames.after_close"] == 2


# readers


async def test_a_second_task_that_waits_for_the_same_reader_is_refused_at_once(world: World) -> None:
    sender, receiver = await ends(world)
    reader = receiver.context().stream("s")
    first = asyncio.ensure_future(anext(reader))
    await asyncio.sleep(0)
    with pytest.raises(ActrStreamError, match="another task waits") as caught:
        await asyncio.wait_for(anext(reader), 1)
    assert caught.value.code is Status.FAILED_PRECONDITION
    await sender.context().send_stream(to(receiver), DataStream("s", 1, b"x"))
    assert (await first).payload() == b"x"
    await reader.aclose()


async def test_leaving_the_block_of_a_reader_frees_its_id_and_tells_the_sender(world: World) -> None:
    sender, receiver = await ends(world)
    context = receiver.context()
    async with context.stream("s") as frames:
        await sender.context().send_stream(to(receiver), DataStream("s", 1, b"x"))
        async for frame in frames:
            assert frame.payload() == b"x"
            break
    await (await context.register_stream("s", lambda frame, sender: None)).close()
    with pytest.raises(ActrStreamError, match="closed by its receiver"):
        await sender.context().end_stream(to(receiver), "s")


async def test_a_reader_whose_loop_is_left_and_that_nobody_keeps_is_closed(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    sender, receiver = await ends(world)
    context = receiver.context()

    async def read_one() -> bytes:
        async for frame in context.stream("s"):
            return frame.payload()
        raise AssertionError("no frame came")

    reading = asyncio.create_task(read_one())
    await asyncio.sleep(0)
    await sender.context().send_stream(to(receiver), DataStream("s", 1, b"x"))
    assert await reading == b"x"
    gc.collect()
    with pytest.raises(ActrStreamError, match="closed by its receiver"):
        await asyncio.wait_for(sender.context().end_stream(to(receiver), "s"), 5)
    assert receiver.statistics()["readers.left"] == 1
    assert "async with" in caplog.text


async def test_a_second_task_that_waits_for_the_same_watch_is_refused_at_once(world: World) -> None:
    node = await world.start()
    async with node.context().watch(node.actor_id().type) as watch:
        assert (await anext(watch)).is_up
        first = asyncio.ensure_future(anext(watch))
        await asyncio.sleep(0)
        with pytest.raises(ActrStreamError, match="another task waits"):
            await asyncio.wait_for(anext(watch), 1)
    with pytest.raises(StopAsyncIteration):
        await first


# streams that nobody opens


async def test_waiting_for_a_stream_ends_with_the_node_that_should_send_it(world: World) -> None:
    sender, receiver = await ends(world)
    context = receiver.context()
    handle = await context.register_stream("s", lambda frame, sender: None, sender=sender.actor_id())
    reader = context.stream("t", sender.actor_id())
    reading = asyncio.ensure_future(anext(reader))
    await sender.shutdown()
    with pytest.raises(ActrTransportError, match="nobody has opened"):
        await handle.wait_closed(2_000)
    with pytest.raises(ActrTransportError, match="nobody has opened"):
        await asyncio.wait_for(reading, 2)
    with pytest.raises(ActrTransportError, match="is down"):
        await context.register_stream("s", lambda frame, sender: None, sender=sender.actor_id())


async def test_who_will_send_may_be_said_after_the_registration(world: World) -> None:
    sender, receiver = await ends(world)
    context = receiver.context()
    handle = await context.register_stream("s", lambda frame, sender: None)
    handle.expect(sender.actor_id())
    await sender.shutdown()
    with pytest.raises(ActrTransportError, match="nobody has opened"):
        await handle.wait_closed(2_000)
    late = await context.register_stream("s", lambda frame, sender: None)
    late.expect(sender.actor_id())
    with pytest.raises(ActrTransportError, match="nobody has opened"):
        await late.wait_closed(1_000)
    late.expect(sender.actor_id())  # it has ended: nothing happens
    own = await context.register_stream("s", lambda frame, sender: None)
    own.expect(receiver.actor_id())
    await feed(receiver, receiver)
    assert await own.wait_closed(1_000) == 10
    with pytest.raises(ActrConfigError, match="expected an ActrId"):
        own.expect("1a@0:acme+Sender")  # type: ignore[arg-type]


async def test_a_stream_that_nobody_opens_in_time_has_failed(world: World) -> None:
    node = await world.start()
    handle = await node.context().register_stream("s", lambda frame, sender: None, open_within_ms=50)
    with pytest.raises(ActrTimeoutError, match="stream s: nobody opened it"):
        await handle.wait_closed(2_000)
    async with node.context().stream("s", open_within_ms=50) as frames:
        with pytest.raises(ActrTimeoutError):
            await asyncio.wait_for(anext(frames), 2)
    for odd in (0, -1, "1", 2**40):
        with pytest.raises(ActrConfigError, match="milliseconds"):
            node.context().stream("s", open_within_ms=odd)  # type: ignore[arg-type]


# what a sender hears


async def test_a_sender_hears_at_its_next_frame_that_its_receiver_has_closed_though_all_was_done(world: World) -> None:
    sender, receiver = await ends(world)
    handle = await receiver.context().register_stream("s", lambda frame, sender: None)
    await sender.context().send_stream(to(receiver), DataStream("s", 1, b"x"))
    await until(lambda: handle.frames == 1, "a frame is done")
    await handle.close()
    await until(lambda: sender.statistics()["streams.sending"] == 0, "the sender knows")
    with pytest.raises(ActrStreamError, match="closed by its receiver") as caught:
        await asyncio.wait_for(sender.context().send_stream(to(receiver), DataStream("s", 2, b"x")), 1)
    assert caught.value.code is Status.CANCELLED
    again = await receiver.context().register_stream("s", lambda frame, sender: None)
    await feed(sender, receiver)  # it was told once, and begins anew
    assert await again.wait_closed(5_000) == 10


async def test_an_end_after_the_receiver_has_closed_and_done_all_is_good(world: World) -> None:
    sender, receiver = await ends(world)
    handle = await receiver.context().register_stream("s", lambda frame, sender: None)
    await sender.context().send_stream(to(receiver), DataStream("s", 1, b"x"))
    await until(lambda: handle.frames == 1, "a frame is done")
    await handle.close()
    await until(lambda: sender.statistics()["streams.sending"] == 0, "the sender knows")
    await sender.context().end_stream(to(receiver), "s")
    again = await receiver.context().register_stream("s", lambda frame, sender: None)
    await feed(sender, receiver)
    assert await again.wait_closed(5_000) == 10


async def test_what_ends_a_stream_tells_its_sender_which_whose_why_how_far_and_what_to_do(world: World) -> None:
    sender, receiver = await ends(world)
    took: list[int] = []

    async def take(frame: DataStream, sender: ActrId) -> None:
        took.append(frame.sequence())

    await receiver.context().register_stream("s", take)
    await sender.context().send_stream(to(receiver), DataStream("s", 1, b"x"))
    await until(lambda: took, "a frame came")
    receiver_id = receiver.actor_id()
    await receiver.shutdown()

    async def send_on() -> None:
        for i in range(1_000):
            await sender.context().send_stream(Dest.actor(receiver_id), DataStream("s", i, b"x"))
            await asyncio.sleep(0)

    with pytest.raises(ActrRuntimeError) as caught:
        await send_on()
    for part in ("stream s", str(receiver_id), "after 1 frame", f"catch {type(caught.value).__name__}"):
        assert part in str(caught.value)
    assert caught.value.details["peer"] == str(receiver_id)
    assert caught.value.details["last"] == "1"


async def test_an_opening_that_is_cancelled_is_withdrawn(world: World) -> None:
    sender, receiver = await world.start("Sender"), await world.start("Receiver", Script())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1), sender.context().open_stream(to(receiver), "s"):
            raise AssertionError("nobody has registered it")
    await ask(sender, to(receiver))  # its withdrawal is there now
    handle = await receiver.context().register_stream("s", lambda frame, sender: None)
    await feed(sender, receiver)
    assert await handle.wait_closed(5_000) == 10


async def test_a_block_whose_end_is_not_acknowledged_gives_its_stream_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "DEFAULT_TIMEOUT_MS", 100)
    sender, receiver = await ends(world)

    async def hang(frame: DataStream, sender: ActrId) -> None:
        await asyncio.Event().wait()

    handle = await receiver.context().register_stream("s", hang)
    with pytest.raises(ActrTimeoutError, match="no progress"):
        await feed(sender, receiver)
    with pytest.raises(ActrStreamError, match="no progress"):
        await handle.wait_closed(5_000)
    assert sender.statistics()["streams.sending"] == 0


@pytest.mark.parametrize("is_sent", [True, False])
async def test_a_block_that_is_cancelled_gives_its_stream_up_in_words(world: World, is_sent: bool) -> None:
    sender, receiver = await ends(world)

    async def hang(frame: DataStream, sender: ActrId) -> None:
        await asyncio.Event().wait()

    handle = await receiver.context().register_stream("s", hang)
    entered = asyncio.Event()

    async def send() -> None:
        async with sender.context().open_stream(to(receiver), "s") as out:
            await out.send(b"x")
            entered.set()
            if not is_sent:
                await asyncio.Event().wait()

    sending = asyncio.create_task(send())
    await entered.wait()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(sending, 5)
    with pytest.raises(ActrStreamError, match="stream s: given up by its sender, which was cancelled"):
        await handle.wait_closed(5_000)
    assert sender.statistics()["streams.sending"] == 0
    again = await receiver.context().register_stream("s", lambda frame, sender: None)
    await feed(sender, receiver)
    assert await again.wait_closed(5_000) == 10


async def test_the_stream_of_the_quickstart_flows_and_its_server_bears_a_client_that_goes(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    code: dict[str, Any] = {"__name__": "quickstart"}
    for block in blocks(QUICKSTART):
        if block.language == "python" and "demo.Feeder" in block.text:
            exec(block.text, code)
    feeder = code["Feeder"]()
    server, client = await world.start("Server", feeder), await world.start("Client")
    got = await code["take"](client.context(), server.actor_id(), "s")
    assert got == [f"message {i}".encode() for i in range(1, 11)]
    async with client.context().stream("t", sender=server.actor_id()) as frames:
        await ask(client, to(server), "t", "demo.Feeder.Feed")
        await anext(frames)
    await until(lambda: not feeder.tasks, "the task ends")
    assert f"no more for {client.actor_id()}: stream t" in caplog.text
