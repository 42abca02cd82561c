"""A receiver that never reads, and 1 MiB frames: what each of the three processes grows by."""

from __future__ import annotations

import time

from tests.chaos.procs import peak, rss
from tests.chaos.results import Result
from tests.chaos.world import World

WINDOW = 8 << 20
BOUND = int(1.1 * WINDOW) + (8 << 20)
OFFERED = 10 * WINDOW
FRAME = 1_000_000
READ = 60
"""Frames that are read at first: a window grows with what is read, and begins with a single such frame."""
WARM_S = 4
SETTLED_S = 4


def stuck_receiver(faults: int, seed: int, *, path: str) -> Result:
    """Offer ten windows to a callback that never returns; sender, broker and receiver stay within their bound."""
    result = Result(scenario=f"stuck-receiver-{path}", seed=seed)
    with World(seed) as world:
        server = world.start("server", "server-0", stuck_after=READ + 1)
        frames = 2 * (READ + OFFERED // FRAME)
        client = world.start(
            "client", "client-0", path=path, begin_s=WARM_S, frames=frames, payload=FRAME, frame_ms=0, sending=1
        )
        pids = {"sender": client.pid, "broker": world.broker_pid, "receiver": server.pid}
        time.sleep(WARM_S - 0.5)  # calls only, so that idle is not a process that has never done anything
        idle = {name: rss(pid) for name, pid in pids.items()}
        world.wait_until(lambda: _pushed(world) > READ, "frames")
        deadline = time.monotonic() + 20
        quiet_since, last = time.monotonic(), sum(map(rss, pids.values()))
        while time.monotonic() < min(deadline, quiet_since + SETTLED_S):
            time.sleep(0.1)
            total = sum(map(rss, pids.values()))
            if abs(total - last) > 1 << 20:
                quiet_since, last = time.monotonic(), total
        for name, pid in pids.items():
            grown = (rss(pid) - idle[name]) / 2**20
            result.measures[f"{name} has grown by (MiB)"] = round(grown, 1)
            result.measures[f"{name} at its peak (MiB)"] = round((peak(pid) - idle[name]) / 2**20, 1)
            result.claim(grown * 2**20 <= BOUND, f"{name} grew by {grown:.1f} MiB, {BOUND / 2**20:.1f} are allowed")
        result.measures["bound (MiB)"] = round(BOUND / 2**20, 1)
        pushed = _pushed(world)
        result.measures["frames sent beyond what was read, and one that waits"] = pushed - READ
        result.claim(pushed > READ, f"only {pushed} frames were offered")
        most = READ + WINDOW // FRAME + 2
        result.claim(pushed <= most, f"{pushed - READ} frames went into a window of {WINDOW} bytes")
        result.folder = str(world.folder)
        result.faults = 1
    return result


def _pushed(world: World) -> int:
    return (world.folder / "client-0.1.ledger").read_text().count('"push"')
