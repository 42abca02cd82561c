"""A task that a handler leaves behind sends a stream, and its receiver goes: what the log says of that."""

from __future__ import annotations

import asyncio
import gc
import logging
from typing import Any

import pytest

from actrzmq import ActrRef, DataStream, Dest
from tests.runtime.harness import World, until


async def send_until_it_fails(sender: ActrRef, receiver: ActrRef) -> None:
    """Leave a task behind that sends, and have the receiver close the stream under it."""
    handle = await receiver.context().register_stream("s", lambda frame, sender: None)

    async def send() -> None:
        for number in range(1_000_000):
            await sender.context().send_stream(Dest.actor(receiver.actor_id()), DataStream("s", number, b"x"))
            await asyncio.sleep(0)

    task = asyncio.create_task(send(), name="send to a client")
    await until(lambda: handle.frames, "a frame")
    await handle.close()
    await until(task.done, "the end of the task")
    del task
    gc.collect()


async def test_a_task_that_dies_with_its_stream_is_one_line_and_no_traceback(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    asyncio.get_running_loop().set_exception_handler(None)
    sender, receiver = await world.start("Sender"), await world.start("Receiver")
    with caplog.at_level(logging.INFO):
        await send_until_it_fails(sender, receiver)
    (line,) = [record for record in caplog.records if "send to a client" in record.getMessage()]
    assert line.name == "actrzmq.streams"
    assert line.levelno == logging.WARNING
    assert line.exc_info is None
    assert "stream s" in line.getMessage()
    assert "closed by its receiver" in line.getMessage()
    assert "\n" not in line.getMessage()
    assert not [record for record in caplog.records if record.name == "asyncio"]


async def test_any_other_error_of_a_forgotten_task_is_told_by_asyncio_as_ever(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    asyncio.get_running_loop().set_exception_handler(None)
    await world.start("Sender")

    async def fail() -> None:
        raise ValueError("a bug")

    task = asyncio.create_task(fail())
    await until(task.done, "the end of the task")
    del task
    gc.collect()
    (line,) = [record for record in caplog.records if record.name == "asyncio"]
    assert "never retrieved" in line.getMessage()
    assert line.exc_info is not None


async def test_a_programs_own_exception_handler_stays(world: World) -> None:
    heard: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, complaint: heard.append(complaint))
    sender, receiver = await world.start("Sender"), await world.start("Receiver")
    await send_until_it_fails(sender, receiver)
    assert [type(complaint["exception"]).__name__ for complaint in heard] == ["ActrStreamError"]
