"""A mixed load for as long as one likes, with a fault a minute; memory and descriptors of each process meanwhile.

What is judged is what stays, so it is looked at while nothing is amiss: a while after each fault, when the victim is
back and ways that nothing goes through have been closed. A process has fewer descriptors while a victim is away, and
more memory while calls wait for one that is paused; neither is a leak. Enough streams are open at any time that each
way between two nodes is in use: one that nothing goes through for 30 s is closed, and costs descriptors again later.

Memory is what the process has for itself (pages of files come and go as the kernel likes), each time the median of one
rest, since the allocator gives back and takes again half a MiB from one second to the next. The slope is that of least
squares through these medians, after the first minutes.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import groupby
from statistics import median
from typing import Any

from tests.chaos.procs import anonymous, descriptors
from tests.chaos.results import RESULTS, Result, keep
from tests.chaos.scenarios import settle
from tests.chaos.world import World

EVERY_S = 60.0
SAMPLED_S = 2.0
RESTED_S = 35.0
"""After a fault: a way that nothing goes through is closed after 30 s."""
SETTLING_S = 300.0
"""What memory does in the first minutes says nothing about a leak."""
SLOPE_MIB_PER_H = 1.0
DESCRIPTORS = 2
ENOUGH = 10
"""Rests without which there is no slope worth its name."""
LOAD: dict[str, Any] = {"calls": 5, "streams": 6, "frames": 100, "frame_ms": 80}
VICTIMS = {"server-victim": "server", "client-victim": "client"}
"""Who is killed and started again, and as what."""
PAUSE = "pause"

Sample = tuple[int, float, int, int]
"""After how many faults, when, bytes of memory, descriptors."""


def soak(minutes: float, seed: int, *, every_s: float = EVERY_S, settling_s: float = SETTLING_S) -> Result:
    """The victims are a server and a client of their own; the other processes live through it all, and are watched."""
    result = Result(scenario="soak", seed=seed)
    faults = _faults(random.Random(seed))
    samples: dict[str, list[Sample]] = {}
    with World(seed) as world:
        world.start("server", "server-steady")
        for at, path in enumerate(("direct", "relay")):
            world.start("client", f"client-steady-{at}", path=path, **LOAD)
        for name, role in VICTIMS.items():
            world.start(role, name, **LOAD)
        begun = time.monotonic()
        end, fault_at, rested_at = begun + minutes * 60, begun + every_s, begun + settling_s
        while (now := time.monotonic()) < end:
            if now >= fault_at:
                fault_at += every_s
                _do(next(faults), world)
                result.faults += 1
                rested_at = max(rested_at, time.monotonic() + RESTED_S)
            elif now >= rested_at:
                for name, program in world.programs.items():
                    if "victim" not in name:
                        sample = (result.faults, now - begun, anonymous(program.pid), descriptors(program.pid))
                        samples.setdefault(name, []).append(sample)
            time.sleep(SAMPLED_S)
        ledger = world.finish()
        settle(result, world, ledger)
    result.measures["minutes"] = minutes
    for name, seen in samples.items():
        _judge(result, name, seen)
    return result


def _faults(dice: random.Random) -> Iterator[str]:
    """One fault after the other: each kind once, in any order, then each once more, and so on.

    So each has been seen before memory is looked at: the first pause leaves a process with room for what waits in one.
    """
    while True:
        yield from dice.sample([*VICTIMS, PAUSE], len(VICTIMS) + 1)


def _do(fault: str, world: World) -> None:
    """Stop one of the steady ones for a moment, or kill a victim and start it again."""
    if fault == PAUSE:
        world.pause(world.programs["server-steady.1"], 2)
        return
    life = next(program for program in world.programs.values() if program.name.startswith(fault))
    world.kill(life)
    world.start(VICTIMS[fault], fault, **LOAD)


def _judge(result: Result, name: str, seen: list[Sample]) -> None:
    opened = [count for _, _, _, count in seen]
    middle = sorted(opened)[len(opened) // 2]
    spread = max(max(opened) - middle, middle - min(opened))
    result.measures |= {
        f"{name}: memory (MiB)": round(seen[-1][2] / 2**20, 1),
        f"{name}: descriptors": middle,
        f"{name}: descriptors differ by": spread,
    }
    result.claim(spread <= DESCRIPTORS, f"{name} has {min(opened)} to {max(opened)} descriptors")
    rests = [list(rest) for _, rest in groupby(seen, key=lambda sample: sample[0])]
    if len(rests) >= ENOUGH:
        points = [(median(at for _, at, _, _ in rest), median(size for _, _, size, _ in rest)) for rest in rests]
        per_hour = slope(points) * 3600 / 2**20
        result.measures[f"{name}: slope (MiB/h)"] = round(per_hour, 2)
        result.claim(per_hour <= SLOPE_MIB_PER_H, f"{name} grows by {per_hour:.1f} MiB an hour")


def slope(points: Sequence[tuple[float, float]]) -> float:
    """By how much it grows in a second: least squares."""
    count = len(points)
    mean_x, mean_y = sum(x for x, _ in points) / count, sum(y for _, y in points) / count
    above = sum((x - mean_x) * (y - mean_y) for x, y in points)
    below = sum((x - mean_x) ** 2 for x, _ in points)
    return above / below if below else 0.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-results", action="store_true", help=f"append nothing to {RESULTS.name}")
    options = parser.parse_args()
    result = soak(options.minutes, options.seed)
    keep(result, None if options.no_results else RESULTS)
    return 1 if result.broken else 0


if __name__ == "__main__":
    sys.exit(main())
