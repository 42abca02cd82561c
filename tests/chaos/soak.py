"""A mixed load for as long as one likes, with a fault a minute; memory and descriptors of each process meanwhile."""

from __future__ import annotations

import argparse
import random
import sys
import time

from tests.chaos.procs import descriptors, rss
from tests.chaos.results import RESULTS, Result, keep
from tests.chaos.scenarios import settle
from tests.chaos.world import Program, World

EVERY_S = 60.0
SAMPLED_S = 5.0
SETTLING_S = 300.0
"""What memory does in the first minutes says nothing about a leak."""
SLOPE_MIB_PER_H = 1.0
DESCRIPTORS = 2
ENOUGH = 30
"""Samples without which there is no slope worth its name."""

Sample = tuple[float, int, int]


def soak(minutes: float, seed: int, *, every_s: float = EVERY_S, settling_s: float = SETTLING_S) -> Result:
    """The victims are a server and a client of their own; the other processes live through it all, and are watched."""
    result = Result(scenario="soak", seed=seed)
    dice = random.Random(seed)
    samples: dict[str, list[Sample]] = {}
    with World(seed) as world:
        world.start("server", "server-steady")
        for at, path in enumerate(("direct", "relay")):
            world.start("client", f"client-steady-{at}", path=path, calls=5, frame_ms=40)
        victims = {"server-victim": world.start("server", "server-victim")}
        victims["client-victim"] = world.start("client", "client-victim", calls=5, frame_ms=40)
        begun = time.monotonic()
        end, fault_at = begun + minutes * 60, begun + every_s
        while (now := time.monotonic()) < end:
            if now >= fault_at:
                fault_at += every_s
                _do_a_fault(world, dice, victims)
                result.faults += 1
            for name, program in world.programs.items():
                sample = (time.monotonic() - begun, rss(program.pid), descriptors(program.pid))
                samples.setdefault(f"{name} {program.pid}", []).append(sample)
            time.sleep(SAMPLED_S)
        ledger = world.finish()
        settle(result, world, ledger)
    result.measures["minutes"] = minutes
    for name, seen in samples.items():
        if "victim" not in name:
            _judge(result, name.partition(" ")[0], [sample for sample in seen if sample[0] > settling_s])
    return result


def _do_a_fault(world: World, dice: random.Random, victims: dict[str, Program]) -> None:
    """Stop one of the steady ones for a moment, or kill a victim and start it again."""
    name = dice.choice([*victims, "pause"])
    if name == "pause":
        world.pause(world.programs["server-steady.1"], 2)
        return
    life = next(program for program in world.programs.values() if program.name.startswith(name))
    world.kill(life)
    role = name.partition("-")[0]
    world.start(role, name, calls=5, frame_ms=40)


def _judge(result: Result, name: str, seen: list[Sample]) -> None:
    if len(seen) < ENOUGH:
        return
    per_hour = slope([(at, size) for at, size, _ in seen]) * 3600 / 2**20
    opened = [count for _, _, count in seen]
    middle = sorted(opened)[len(opened) // 2]
    spread = max(max(opened) - middle, middle - min(opened))
    result.measures |= {
        f"{name}: RSS (MiB)": round(seen[-1][1] / 2**20, 1),
        f"{name}: slope (MiB/h)": round(per_hour, 2),
        f"{name}: descriptors": middle,
        f"{name}: descriptors differ by": spread,
    }
    result.claim(per_hour <= SLOPE_MIB_PER_H, f"{name} grows by {per_hour:.1f} MiB an hour")
    result.claim(spread <= DESCRIPTORS, f"{name} has {min(opened)} to {max(opened)} descriptors")


def slope(points: list[tuple[float, int]]) -> float:
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
