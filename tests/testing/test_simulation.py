"""The simulated wire: a seed is a run, and it does to what travels what it is told to do."""

from __future__ import annotations

import subprocess
import sys

import pytest

from actrzmq.testing.simulation import World
from tests.core.chaos import Chaos
from tests.core.test_calls_on_the_wire import Pair as Callers
from tests.core.test_calls_on_the_wire import bodies
from tests.core.test_streams_on_the_wire import Pair, sequences
from tests.e2e.world import REPOSITORY, environment

FRAMES = 500


def eventful(seed: int) -> World:
    """A run with a stream, a call, a broker that dies, and a wire that does its worst."""
    pair = Pair(seed)
    world = pair.world
    world.delay = (1, 40)
    world.plane_loss = world.plane_repeat = world.plane_reorder = 0.1
    pair.register()
    sender = pair.send(FRAMES)
    world.after(200, world.broker.kill)
    world.after(500, world.broker.start)
    world.run_until(lambda: sender.outcome is not ...)
    world.run(1_000)
    return world


def test_the_same_seed_is_the_same_run_to_the_byte() -> None:
    assert eventful(1).digest == eventful(1).digest
    assert eventful(1).now == eventful(1).now


def test_another_seed_is_another_run() -> None:
    assert eventful(1).digest != eventful(2).digest


def test_a_seed_is_the_same_run_in_every_process() -> None:
    """Sets of texts have another order in each process: nothing that is said may follow from that."""
    program = "from tests.testing.test_simulation import eventful; print(eventful(3).digest)"
    digests = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=REPOSITORY,
            env=environment(PYTHONHASHSEED=seed),
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1


@pytest.mark.parametrize("what", ["plane_loss", "plane_repeat", "plane_reorder"])
@pytest.mark.parametrize("seed", range(3))
def test_whatever_the_stream_plane_does_frames_come_once_and_in_order(what: str, seed: int) -> None:
    pair = Pair(seed)
    setattr(pair.world, what, 0.3)
    sink = pair.register()
    sender = pair.send(FRAMES)
    pair.world.run_until(lambda: sender.outcome is not ...)
    assert sequences(sink) == list(range(1, FRAMES + 1))


def arrivals(world: World, count: int) -> list[int]:
    """The numbers of `count` messages in the order in which they arrive over one way of the plane."""
    came: list[int] = []
    for number in range(count):
        world.after(number, lambda number=number: world._in_the_plane(("way", 1), [], lambda: came.append(number)))  # type: ignore[misc]
    world.run(1_000)
    return came


def test_an_undisturbed_plane_brings_everything_once_and_in_order() -> None:
    world = World()
    world.delay = (0, 50)
    assert arrivals(world, 100) == list(range(100))


def test_a_plane_that_loses_brings_less() -> None:
    world = World()
    world.plane_loss = 0.5
    came = arrivals(world, 100)
    assert 20 < len(came) < 80
    assert came == sorted(set(came))


def test_a_plane_that_repeats_brings_some_twice() -> None:
    world = World()
    world.plane_repeat = 0.5
    came = arrivals(world, 100)
    assert 120 < len(came) < 180
    assert set(came) == set(range(100))


def test_a_plane_that_reorders_brings_all_in_another_order() -> None:
    world = World()
    world.plane_reorder = 0.5
    came = arrivals(world, 100)
    assert sorted(came) == list(range(100)) != came


def test_what_is_in_flight_on_a_connection_goes_down_with_it() -> None:
    pair = Callers()
    pair.world.delay = (50, 50)
    pair.call(b"lost")
    pair.world.run(10)
    pair.caller.reset()
    assert pair.callee.ran.total() == 0
    pair.wait()
    assert bodies(pair.outcomes) == [b"lost"]  # said again over the next connection
    assert pair.callee.ran.total() == 1


def test_what_never_happens_is_told() -> None:
    with pytest.raises(AssertionError, match="not within 100 ms"):
        World().run_until(lambda: False, within=100)


@pytest.mark.parametrize("seed", range(10))
def test_random_runs_keep_what_was_promised_while_the_stream_plane_repeats_and_reorders(seed: int) -> None:
    chaos = Chaos(seed)
    chaos.world.plane_repeat = chaos.world.plane_reorder = 0.15
    assert chaos.run() == []
