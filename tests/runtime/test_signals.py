"""Signals that ask a process to end: it leaves in good order, and gives back what it has taken."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from actrzmq import ActrNotFound, ActrSystem
from actrzmq.runtime.signals import listening
from tests.runtime.harness import SERVER, World, spawn

NUMBER = signal.SIGUSR1
"""One that nobody else takes in a process that runs tests."""

PROGRAM = """
import asyncio, signal, sys
from actrzmq import ActrSystem
from tests.runtime.harness import Script

{before}

class Service(Script):
    async def on_stop(self, ctx):
        print("stopping", flush=True)
        await asyncio.sleep({on_stop_s})

async def main():
    async with await ActrSystem.from_toml(sys.argv[1]) as system:
        asyncio.get_running_loop().call_soon(lambda: print("entered", flush=True))
        ref = await system.attach(Service()).start()
        print("running", flush=True)
        try:
            await asyncio.sleep(60)
        finally:
            print("left", flush=True)

asyncio.run(main())
"""


def program(world: World, *, before: str = "", on_stop_s: float = 0, drain_ms: int = 1_000) -> subprocess.Popen[str]:
    code = PROGRAM.format(before=before, on_stop_s=on_stop_s)
    return spawn(code, str(world.manifest("Server", drain_ms=drain_ms)), cwd=world.folder)


def read(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@contextmanager
def handled_by(handler: signal.Handlers | object) -> Iterator[None]:
    """NUMBER is handled by `handler` for a while."""
    before = signal.signal(NUMBER, handler)  # type: ignore[arg-type]
    try:
        yield
    finally:
        signal.signal(NUMBER, before)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_ends_a_program_in_good_order_and_with_its_number(world: World, number: signal.Signals) -> None:
    client = await world.start("Client")
    with await asyncio.to_thread(program, world) as process:
        assert [await asyncio.to_thread(read, process) for _ in range(2)] == ["entered", "running"]
        process.send_signal(number)
        out, err = await asyncio.to_thread(process.communicate, timeout=10)
    assert (process.returncode, out, err) == (128 + number, "left\nstopping\n", "")
    with pytest.raises(ActrNotFound):  # deregistered, not found out to be dead after a while
        await client.discover(SERVER)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_start_that_waits_for_the_broker(world: World, number: signal.Signals) -> None:
    world.endpoint = "tcp://127.0.0.1:1"
    with program(world) as process:
        assert read(process) == "entered"
        process.send_signal(number)
        out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (128 + number, "", "")


def test_a_second_signal_ends_a_program_that_is_leaving_at_once(world: World) -> None:
    with program(world, on_stop_s=60, drain_ms=60_000) as process:
        assert [read(process) for _ in range(2)] == ["entered", "running"]
        process.send_signal(signal.SIGTERM)
        assert [read(process) for _ in range(2)] == ["left", "stopping"]
        process.send_signal(signal.SIGTERM)
        sent = time.monotonic()
        _, err = process.communicate(timeout=10)
        assert time.monotonic() - sent < 1
    assert process.returncode == 128 + signal.SIGTERM
    assert err in ("", "second signal SIGTERM: leaving at once\n")


def test_a_signal_that_comes_while_a_program_leaves_by_itself_lets_it_finish(world: World) -> None:
    code = PROGRAM.replace("sleep(60)", "sleep(0)")
    manifest = str(world.manifest("Server"))
    with spawn(code.format(before="", on_stop_s=0.3), manifest, cwd=world.folder) as process:
        assert [read(process) for _ in range(4)] == ["entered", "running", "left", "stopping"]
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=10)
    assert (process.returncode, err) == (128 + signal.SIGTERM, "")


def test_a_terminal_that_closes_does_not_end_what_runs_under_nohup(world: World) -> None:
    with program(world, before="signal.signal(signal.SIGHUP, signal.SIG_IGN)") as process:
        assert [read(process) for _ in range(2)] == ["entered", "running"]
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=10)
    assert process.returncode == 128 + signal.SIGTERM


def test_a_programs_own_handler_is_left_to_it(world: World) -> None:
    own = "signal.signal(signal.SIGTERM, lambda *_: print('own', flush=True))"
    with program(world, before=own) as process:
        assert [read(process) for _ in range(2)] == ["entered", "running"]
        process.send_signal(signal.SIGTERM)
        assert read(process) == "own"
        process.send_signal(signal.SIGHUP)
        process.communicate(timeout=10)
    assert process.returncode == 128 + signal.SIGHUP


async def test_the_first_signal_is_heard_and_what_was_there_is_put_back() -> None:
    loop = asyncio.get_running_loop()
    heard: asyncio.Future[signal.Signals] = loop.create_future()

    def own(number: int, frame: object) -> None:
        raise AssertionError

    with handled_by(own):
        with listening(heard.set_result, always=[NUMBER], if_free=[]) as ears:
            os.kill(os.getpid(), NUMBER)
            assert await asyncio.wait_for(heard, 5) is NUMBER
            assert ears.heard is NUMBER
        assert signal.getsignal(NUMBER) is own


@pytest.mark.parametrize("handler", [signal.SIG_IGN, lambda number, frame: None])
async def test_what_the_program_handles_or_ignores_is_not_free(handler: signal.Handlers) -> None:
    with handled_by(handler):
        with listening(lambda number: None, always=[], if_free=[NUMBER]):
            assert signal.getsignal(NUMBER) is handler
        assert signal.getsignal(NUMBER) is handler


async def test_what_the_program_takes_meanwhile_stays_its_own() -> None:
    def own(number: int, frame: object) -> None: ...

    with handled_by(signal.SIG_DFL):
        with listening(lambda number: None, always=[], if_free=[NUMBER]):
            signal.signal(NUMBER, own)
        assert signal.getsignal(NUMBER) is own


@pytest.mark.parametrize("is_nested", [True, False])
async def test_two_that_listen_leave_nothing_behind_in_whichever_order_they_go(is_nested: bool) -> None:
    with handled_by(signal.SIG_DFL):
        one = listening(lambda number: None, always=[], if_free=[NUMBER])
        other = listening(lambda number: None, always=[], if_free=[NUMBER])
        ones, others = one.__enter__(), other.__enter__()
        assert signal.getsignal(NUMBER) is others
        first, last, remains = (other, one, ones) if is_nested else (one, other, others)
        first.__exit__(None, None, None)
        assert signal.getsignal(NUMBER) is remains
        last.__exit__(None, None, None)
        assert signal.getsignal(NUMBER) is signal.SIG_DFL


async def hear_all(count: int) -> tuple[list[signal.Signals], list[bool]]:
    """What is heard by so many that share, with one around each that does not; and whether those heard anything."""
    loop = asyncio.get_running_loop()
    heard: list[asyncio.Future[signal.Signals]] = [loop.create_future() for _ in range(count)]
    with ExitStack() as stack:
        around = []
        for one in heard:
            around.append(stack.enter_context(listening(lambda number: None, always=[], if_free=[NUMBER])))
            stack.enter_context(listening(one.set_result, always=[NUMBER], if_free=[], is_shared=True))
        os.kill(os.getpid(), NUMBER)
        return await asyncio.wait_for(asyncio.gather(*heard), 5), [ears.heard is not None for ears in around]


async def test_all_that_share_a_signal_hear_it_and_none_around_them() -> None:
    with handled_by(signal.SIG_DFL):
        assert await hear_all(3) == ([NUMBER] * 3, [False] * 3)
        assert signal.getsignal(NUMBER) is signal.SIG_DFL


async def test_those_that_share_do_not_hear_what_one_inside_of_them_hears_alone() -> None:
    inner: asyncio.Future[signal.Signals] = asyncio.get_running_loop().create_future()
    with (
        handled_by(signal.SIG_DFL),
        listening(lambda number: None, always=[NUMBER], if_free=[], is_shared=True) as outer,
        listening(inner.set_result, always=[], if_free=[NUMBER]),
    ):
        os.kill(os.getpid(), NUMBER)
        await asyncio.wait_for(inner, 5)
        assert outer.heard is None


SERVICES = """
import asyncio, signal, sys
from actrzmq import ActrSystem
from tests.runtime.harness import Script

async def serve(manifest):
    async with await ActrSystem.from_toml(manifest) as system:
        ref = await system.attach(Script()).start()
        asyncio.get_running_loop().call_soon(lambda: print("serving", flush=True))
        print((await ref.wait_for_ctrl_c_and_shutdown()).name, flush=True)

async def main():
    await asyncio.gather(*map(serve, sys.argv[1:]))

asyncio.run(main())
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_signal_stops_all_services_of_a_process(world: World, number: signal.Signals) -> None:
    manifests = [str(world.manifest(name)) for name in ("One", "Other")]
    with spawn(SERVICES, *manifests, cwd=world.folder) as process:
        assert [read(process) for _ in manifests] == ["serving", "serving"]
        process.send_signal(number)
        out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (0, f"{number.name}\n" * 2, "")


TWO_SYSTEMS = """
import asyncio, sys
from actrzmq import ActrSystem
from tests.runtime.harness import Script

class Slow(Script):
    async def on_stop(self, ctx):
        print("stopping", flush=True)
        await asyncio.sleep(60)

async def main():
    async with await ActrSystem.from_toml(sys.argv[1]) as outer, await ActrSystem.from_toml(sys.argv[2]) as inner:
        await outer.attach(Slow()).start()
        ref = await inner.attach(Script()).start()
        asyncio.get_running_loop().call_soon(lambda: print("running", flush=True))
        await {wait}

asyncio.run(main())
"""


@pytest.mark.parametrize("wait", ["asyncio.sleep(60)", "ref.wait_for_ctrl_c_and_shutdown()"])
def test_a_second_signal_ends_a_program_while_the_other_system_of_two_leaves(world: World, wait: str) -> None:
    manifests = [str(world.manifest(name, drain_ms=60_000)) for name in ("Outer", "Inner")]
    with spawn(TWO_SYSTEMS.format(wait=wait), *manifests, cwd=world.folder) as process:
        assert read(process) == "running"
        process.send_signal(signal.SIGTERM)
        assert read(process) == "stopping"
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=10)
    assert process.returncode == 128 + signal.SIGTERM
    assert err in ("", "second signal SIGTERM: leaving at once\n")


def test_outside_the_main_thread_no_signal_is_taken(world: World) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    seen: list[object] = []

    async def live() -> None:
        async with await ActrSystem.from_toml(world.manifest()) as system:
            ref = await system.attach().start()
            serving = asyncio.create_task(ref.wait_for_ctrl_c_and_shutdown())
            await asyncio.sleep(0.05)
            seen.append({number: signal.getsignal(number) for number in before})
            await ref.shutdown()
            await asyncio.wait_for(serving, 5)
            seen.append("over")

    thread = threading.Thread(target=lambda: asyncio.run(live()))
    thread.start()
    thread.join(20)
    assert seen == [before, "over"]


async def test_waiting_for_ctrl_c_gives_back_what_it_has_taken(world: World) -> None:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    node = await world.start("Node")
    serving = asyncio.create_task(node.wait_for_ctrl_c_and_shutdown())
    await asyncio.sleep(0.05)
    assert all(signal.getsignal(number) is not was for number, was in zip(numbers, before, strict=True))
    await node.shutdown()
    await serving
    assert [signal.getsignal(number) for number in numbers] == before
