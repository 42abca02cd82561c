"""Many nodes on one broker: what it costs when nothing happens, and how soon all are back after a crash."""

from __future__ import annotations

import time

from tests.chaos.ledger import read
from tests.chaos.procs import cpu_s, rss
from tests.chaos.results import Result
from tests.chaos.scenarios import settle
from tests.chaos.world import World

BACK_WITHIN_S = 5.0
CPU_PER_100 = 1.0
"""Percent of one processor."""
WATCHED_S = 20


def crowd(faults: int, seed: int, *, nodes: int = 500, processes: int = 10, idle_s: float = WATCHED_S) -> Result:
    """Real links and sessions, `nodes` in all; the broker is killed up to three times, and supervisord restarts it."""
    result = Result(scenario="crowd", seed=seed)
    kills: list[tuple[float, float, float]] = []
    with World(seed, supervised=True) as world:
        each = nodes // processes
        programs = [world.start("crowd", f"crowd-{at}", nodes=each, wait=False) for at in range(processes)]
        for program in programs:
            world.wait_up(program)
        _measure_idle(result, world, each * processes, idle_s)
        for _ in range(max(1, min(faults, 3))):
            kills.append(world.kill_broker())
            killed = kills[-1][0]
            _wait_back(world, killed, each * processes)
            time.sleep(1.5)
        ledger = world.finish()
        settle(result, world, ledger)
        result.measures |= {"nodes": each * processes, "processes": processes}
        killed_at = [killed for killed, _, _ in kills] + [float("inf")]
        for at, (killed, started, ready) in enumerate(kills):
            back = [
                line.at
                for process in ledger.values()
                for line in process
                if line.what == "registered" and killed < line.at < killed_at[at + 1]
            ]
            result.faults += 1
            number = at + 1
            result.measure(f"kill {number}: restart to each back (s)", [when - started for when in back])
            result.measures[f"kill {number}: killed to restart (s)"] = round(started - killed, 3)
            result.measures[f"kill {number}: restart to ready (s)"] = round(ready - started, 3)
            last = max(back) - started
            result.claim(last <= BACK_WITHIN_S, f"the last node was back {last:.2f} s after the restart")
        fenced = sum(line.what == "fenced" for process in ledger.values() for line in process)
        result.claim(not fenced, f"{fenced} nodes lost their identity")
    return result


def _measure_idle(result: Result, world: World, nodes: int, seconds: float) -> None:
    time.sleep(min(seconds, 2))  # those that came last are still being introduced
    pid = world.broker_pid
    before, begun = cpu_s(pid), time.monotonic()
    time.sleep(seconds)
    percent = 100 * (cpu_s(pid) - before) / (time.monotonic() - begun)
    result.measures["idle: broker CPU of one processor (%)"] = round(percent, 2)
    result.measures["idle: broker CPU per 100 nodes (%)"] = round(percent * 100 / nodes, 3)
    result.measures["idle: broker RSS (MiB)"] = round(rss(pid) / 2**20, 1)
    per_100 = percent * 100 / nodes
    result.claim(per_100 <= CPU_PER_100, f"an idle broker takes {per_100:.2f} % per 100 nodes")


def _wait_back(world: World, killed: float, nodes: int) -> None:
    world.wait_until(lambda: len(_back(world, killed)) >= nodes, f"{nodes} nodes back")


def _back(world: World, at: float) -> set[str]:
    """The nodes that have registered since `at`."""
    return {
        line.key
        for process in read(world.folder).values()
        for line in process
        if line.what == "registered" and line.at > at
    }
