"""Faults under load: each scenario does so many, compares the ledgers, and returns what it found."""

from __future__ import annotations

import random
import time
from collections import Counter
from typing import Any

from tests.chaos.ledger import Ledger, Line, now
from tests.chaos.procs import orphans
from tests.chaos.results import Result
from tests.chaos.survivors import survivors
from tests.chaos.verdict import ACKNOWLEDGED, Verdict, judge
from tests.chaos.world import Program, World

ENOUGH_CALLS = 3
ENOUGH_FRAMES = 3
"""A fault counts only if so much was under way during it and acknowledged."""
TOLD_WITHIN_S = 1.0
CLIENT_LOAD: dict[str, Any] = {"work_ms": 4_000, "nodes": 2, "streams": 2, "calls": 10}
"""Long calls, so that a kill comes in the middle of many."""


def broker_kills(faults: int, seed: int, *, clients: int = 10, supervised: bool = True) -> Result:
    """SIGKILL the broker, again and again: nobody may notice more than the pause."""
    result = Result(scenario="broker-kill", seed=seed)
    dice = random.Random(seed)
    kills: list[tuple[float, float, float]] = []
    with World(seed, supervised=supervised) as world:
        for number in range(min(3, clients)):
            world.start("server", f"server-{number}")
        programs = [
            world.start("client", f"client-{at}", path=("direct", "relay")[at % 2], wait=False) for at in range(clients)
        ]
        for program in programs:
            world.wait_up(program)
        for _ in range(faults):
            time.sleep(dice.uniform(1.2, 2.5))  # longer than the second in which supervisord calls it a failed start
            kills.append(world.kill_broker())
        time.sleep(1.5)
        ledger = world.finish()
        verdict = settle(result, world, ledger)
    told = _told(verdict)
    back: list[float] = []
    pauses: list[float] = []
    for killed, _, ready in kills:
        calls = [call for call in verdict.calls.values() if call.invoked < ready and _ended_after(call.told, killed)]
        good = sum(call.outcome in ACKNOWLEDGED for call in calls)
        frames = sum(killed < when < ready + 1 for stream in verdict.streams.values() for _, when in stream.got)
        _count(result, good, frames)
        for times in told.values():
            first = next((when for when in times if when > ready), None)
            if first is not None:
                back.append(first - ready)
                pauses.append(first - killed)
    failed = [key for key, call in verdict.calls.items() if call.told and call.outcome not in ACKNOWLEDGED]
    result.counts["failed"] = len(failed)
    result.claim(not failed, f"calls failed: {failed[:10]}")
    claim_no_stream_broke(result, verdict)
    result.claim(not lines(ledger, "fenced"), "a node lost its identity")
    result.measure("killed to started again (s)", [started - killed for killed, started, _ in kills])
    result.measure("started to ready (s)", [ready - started for _, started, ready in kills])
    result.measure("ready to the first reply of each client (s)", back)
    result.measure("pause of each client (s)", pauses)
    return result


def node_kills(faults: int, seed: int, *, victim: str, servers: int = 3, clients: int = 3, frames: int = 200) -> Result:
    """SIGKILL servers or clients in the middle of calls and streams: every survivor is told at once, and rightly."""
    result = Result(scenario=f"{victim}-kill", seed=seed)
    dice = random.Random(seed)
    kills: list[tuple[str, float]] = []
    with World(seed) as world:
        pool = {"server": servers, "client": clients}
        running: dict[str, Program] = {}

        def start(base: str, *, wait: bool = True) -> None:
            role = base.partition("-")[0]
            path = ("direct", "relay")[int(base.partition("-")[2]) % 2]
            load: dict[str, Any] = {}
            if role == "client":
                load = {"work_ms": 4_000, "nodes": 2, "streams": 2, "calls": 10, "frames": frames}
            running[base] = world.start(role, base, wait=wait, path=path, **load)

        for role in ("server", "client"):
            for number in range(pool[role]):
                start(f"{role}-{number}", wait=False)
        for program in running.values():
            world.wait_up(program)
        for _ in range(faults):
            time.sleep(dice.uniform(0.8, 1.6))
            base = f"{victim}-{dice.randrange(pool[victim])}"
            kills.append((running[base].name, world.kill(running[base])))
            time.sleep(1.3)  # all are told by then
            start(base)
        time.sleep(1)
        ledger = world.finish()
        verdict = settle(result, world, ledger)
    outcomes: Counter[str] = Counter()
    after: dict[str, list[float]] = {}
    for process, at in kills:
        seen = list(survivors(ledger, verdict, process, at))
        result.faults += bool(seen)
        result.idle_faults += not seen
        for told in seen:
            outcomes[f"{told.what}: {told.said}"] += 1
            after.setdefault(told.what, []).append(told.after)
            result.claim(told.is_right, f"told wrongly: {told.what} of {told.key}: {told.said} after {told.after:.2f}")
    result.outcomes |= dict(outcomes)
    for what, values in sorted(after.items()):
        by_death = [value for value in values if value > 0]
        result.measure(f"{what} told (s)", by_death)
    every = sorted(value for values in after.values() for value in values)
    result.measure("told, all (s)", every)
    p99 = result.distributions["told, all (s)"].get("p99", 0)
    if len(every) >= 100:
        result.claim(p99 <= TOLD_WITHIN_S, f"p99 of what survivors wait is {p99} s")
    return result


def rolling_restarts(faults: int, seed: int, *, servers: int = 3, clients: int = 4) -> Result:
    """Restart servers by SIGTERM, one after the other, under load: nothing lost, nothing unknown, no orphan."""
    result = Result(scenario="rolling-restart", seed=seed)
    drains: list[float] = []
    stops: list[tuple[float, float]] = []
    with World(seed) as world:
        running = [world.start("server", f"server-{at}") for at in range(servers)]
        for at in range(clients):
            path = ("direct", "relay")[at % 2]
            world.start("client", f"client-{at}", by_type=True, nodes=2, path=path, frames=100)
        for fault in range(faults):
            slot = fault % servers
            successor = world.start("server", f"server-{slot}", wait=False)
            begun = world.book.write("fault", running[slot].name, "SIGTERM")
            code = world.stop(running[slot])
            stops.append((begun, now()))
            drains.append(stops[-1][1] - begun)
            result.claim(code == 0, f"{running[slot].name} exited with {code}")
            world.wait_up(successor)
            running[slot] = successor
        ledger = world.finish()
        verdict = settle(result, world, ledger)
        folder = world.folder
    for begun, ended in stops:
        good = sum(
            call.outcome in ACKNOWLEDGED and call.invoked < ended and call.told[0].at > begun
            for call in verdict.calls.values()
        )
        frames = sum(begun < at < ended for stream in verdict.streams.values() for _, at in stream.got)
        _count(result, good, frames)
    result.claim(not verdict.counts["unknown"], f"{verdict.counts['unknown']} calls are unknown")
    by_type = {line.key for line in lines(ledger, "invoke") if "@" not in line.value}
    rejected = [key for key in by_type if verdict.calls[key].outcome == "rejected"]
    result.claim(not rejected, f"rejected, although there were others to turn to: {rejected[:10]}")
    left = orphans(folder)
    result.counts["orphans"] = len(left)
    result.claim(not left, f"orphans: {left}")
    result.measure("SIGTERM to exit (s)", drains)
    return result


def settle(result: Result, world: World, ledger: Ledger) -> Verdict:
    """Judge the ledger, and how the processes ended that nobody killed."""
    verdict = judge(ledger)
    result.folder = str(world.folder)
    result.take(verdict)
    for name, code in world.exits.items():
        result.claim(name in verdict.killed or code == 0, f"{name} exited with {code}")
    for log in sorted(world.folder.glob("*.log")):
        text = log.read_text(errors="replace")
        result.claim("Traceback" not in text.replace("ValueError: as asked", "") or _only_asked(text), f"see {log}")
    return verdict


def _only_asked(text: str) -> bool:
    """Are all tracebacks those of handlers that were asked to raise?"""
    return text.count("Traceback") <= text.count("ValueError: as asked by")


def _count(result: Result, calls: int, frames: int) -> None:
    if calls >= ENOUGH_CALLS and frames >= ENOUGH_FRAMES:
        result.faults += 1
    else:
        result.idle_faults += 1


def _told(verdict: Verdict) -> dict[str, list[float]]:
    """When each client was told that a call of its is done."""
    told: dict[str, list[float]] = {}
    for call in verdict.calls.values():
        if call.outcome in ACKNOWLEDGED:
            told.setdefault(call.caller, []).append(call.told[0].at)
    for times in told.values():
        times.sort()
    return told


def _ended_after(told: list[Line], at: float) -> bool:
    return bool(told) and told[0].at > at


def claim_no_stream_broke(result: Result, verdict: Verdict) -> None:
    opened = {key: stream for key, stream in verdict.streams.items() if stream.sender}
    resets = {key for key, stream in opened.items() if any(line.what == "reset" for line in stream.sent)}
    resets |= {key for key, stream in opened.items() if any(line.value != "ok" for line in stream.closed)}
    result.counts["streams_broken"] = len(resets)
    result.claim(not resets, f"streams broke: {sorted(resets)[:10]}")


def lines(ledger: Ledger, *what: str) -> list[Line]:
    return [line for lines in ledger.values() for line in lines if line.what in what]
