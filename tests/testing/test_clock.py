"""The clock that is moved by hand, and the loop that never waits, beside the ones that take their time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

from actrzmq.core.leases import Leases
from actrzmq.identity import Serial
from actrzmq.net.clock import boottime_ms
from actrzmq.testing import Clock, JumpingLoop

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"real": asyncio.new_event_loop, "jumping": JumpingLoop}


def test_the_clock_stands_until_it_is_moved() -> None:
    clock = Clock(5)
    assert clock.now == clock() == 5
    assert clock.advance(10) == clock.now == 15


def test_the_clock_never_goes_backwards() -> None:
    clock = Clock(5)
    with pytest.raises(ValueError, match="backwards"):
        clock.advance(-1)
    assert clock.now == 5


@pytest.mark.parametrize("clock", [Clock(1_000), boottime_ms], ids=["by hand", "real"])
def test_either_clock_is_what_a_machine_takes(clock: Callable[[], int]) -> None:
    leases, serial = Leases(10_000), Serial(7)
    leases.renew(serial, clock())
    assert leases.expire(clock() + 9_000) == []
    assert leases.expire(clock() + 11_000) == [serial]


async def race(scale: float) -> list[str]:
    """Who comes when, of some who wait for time and for one another."""
    told: list[str] = []

    async def runner(name: str, *pauses: float) -> None:
        for number, pause in enumerate(pauses):
            await asyncio.sleep(pause * scale)
            told.append(f"{name}{number}")

    async with asyncio.TaskGroup() as group:
        group.create_task(runner("a", 2, 2, 2))
        group.create_task(runner("b", 3, 0, 2))
    try:
        async with asyncio.timeout(1 * scale):
            await asyncio.Event().wait()
    except TimeoutError:
        told.append("timeout")
    return told


@pytest.mark.parametrize(("loop", "scale"), [pytest.param("real", 0.1, marks=pytest.mark.serial), ("jumping", 3_600)])
def test_on_either_loop_all_happens_in_the_same_order(loop: str, scale: float) -> None:
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        assert runner.run(race(scale)) == ["a0", "b0", "b1", "a1", "b2", "a2", "timeout"]


def test_a_jumping_loop_takes_no_time_and_tells_how_long_it_would_have_been() -> None:
    async def main() -> float:
        await asyncio.sleep(86_400 * 30)
        return asyncio.get_running_loop().time()

    began = time.monotonic()
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        assert runner.run(main()) == pytest.approx(86_400 * 30)
    assert time.monotonic() - began < 5


def test_a_jumping_loop_waits_for_what_is_no_timer() -> None:
    async def main() -> str:
        return await asyncio.to_thread(lambda: "done")

    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        assert runner.run(main()) == "done"
