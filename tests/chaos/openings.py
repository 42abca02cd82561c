"""Streams that begin before their receiver is ready, and senders that are gone as soon as they may be."""

from __future__ import annotations

import time
from typing import Any

from tests.chaos.ledger import SUFFIX
from tests.chaos.procs import descriptors, rss
from tests.chaos.results import Result
from tests.chaos.scenarios import claim_no_stream_broke, lines, settle
from tests.chaos.world import PATIENCE_S, Program, World

OPENS = 100
"""Streams for each fault that is asked for: 100 faults are 10,000 openings."""
WARM = 10
"""The part of them after which memory and descriptors are those that are to come back."""
DESCRIPTORS = 8
GROWN_MIB = 8.0
RACE: dict[str, Any] = {"race": 1, "calls": 0, "streams": 20, "sending": 1, "frames": 4, "frame_ms": 0}


def open_races(faults: int, seed: int) -> Result:
    """Each stream is opened while its receiver is being asked to take it: none is lost, and nothing stays behind."""
    result = Result(scenario="open-races", seed=seed)
    wanted = faults * OPENS
    with World(seed) as world:
        programs = {"server": world.start("server", "server-0")}
        for at, path in enumerate(("direct", "relay")):
            programs[path] = world.start("client", f"client-{at}", path=path, **RACE)
        _wait_ended(world, wanted // WARM)
        before = _held(programs)
        _wait_ended(world, wanted)
        after = _held(programs)
        ledger = world.finish()
        verdict = settle(result, world, ledger)
    expected = {line.key: line.at for line in lines(ledger, "expect")}
    result.faults = sum(line.at < expected.get(line.key, 0) for line in lines(ledger, "push") if line.number == 1)
    for name, (size, opened) in after.items():
        grown = (size - before[name][0]) / 2**20
        result.measures |= {f"{name} grew (MiB)": round(grown, 1), f"{name}: descriptors": opened}
        result.claim(grown <= GROWN_MIB, f"{name} grew by {grown:.1f} MiB over {wanted} streams")
        more = opened - before[name][1]
        result.claim(more <= DESCRIPTORS, f"{name} has {more} descriptors more")
    claim_no_stream_broke(result, verdict)
    return result


def _wait_ended(world: World, count: int) -> None:
    """Wait until so many streams have come to their end."""
    ledgers = [world.folder / f"client-{at}.1{SUFFIX}" for at in (0, 1)]
    deadline = time.monotonic() + PATIENCE_S + count / 10
    while (ended := sum(ledger.read_bytes().count(b'"ended"') for ledger in ledgers)) < count:
        assert time.monotonic() < deadline, f"{ended} streams of {count} have ended; see {world.folder}"
        time.sleep(0.5)


def _held(programs: dict[str, Program]) -> dict[str, tuple[int, int]]:
    """Memory (bytes) and descriptors of each."""
    return {name: (rss(program.pid), descriptors(program.pid)) for name, program in programs.items()}


def exits_at_once(faults: int, seed: int) -> Result:
    """A node sends a stream, ends it and is gone: its receiver gets all of it, whatever the path."""
    result = Result(scenario="exit-at-once", seed=seed)
    with World(seed) as world:
        world.start("server", "server-0", slow_ms=1)
        sprints = [
            world.start("sprint", f"sprint-{path}", path=path, nodes=(faults + 1) // 2, frames=30, frame_ms=0)
            for path in ("direct", "relay")
        ]
        for sprint in sprints:
            code = sprint.process.wait(60 + faults)
            result.claim(code == 0, f"{sprint.name} exited with {code}")
            del world.programs[sprint.name]
        verdict = settle(result, world, world.finish())
    complete = [stream for stream in verdict.streams.values() if any(line.what == "ended" for line in stream.sent)]
    result.faults = len(complete)
    short = [stream.key for stream in complete if [line.value for line in stream.closed] != ["ok"]]
    result.claim(not short, f"ended for their senders, and not for their receivers: {short[:10]}")
    claim_no_stream_broke(result, verdict)
    return result
