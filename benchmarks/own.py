"""What is measured of actrzmq by itself: the broker's time and memory, streams at rest, finding nodes, starting up."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.measure import Form, Record
from benchmarks.processes import Deployment, Failed, Process, environment, scratch, start_broker
from benchmarks.systems import SYSTEMS
from benchmarks.work import Discover, Figures, Idle, Rpc

OURS = SYSTEMS["actrzmq"]
BARE = SYSTEMS["bare pyzmq"]

NODES = 1_000
PEERS = 100
STREAMS = 1_000
UPKEEP_S = 2.0

IMPORTS = """
import time
began = time.perf_counter()
import actrzmq
bare = time.perf_counter()
for name in actrzmq.__all__:
    getattr(actrzmq, name)
print((bare - began) * 1e3, (time.perf_counter() - began) * 1e3)
"""


@contextmanager
def crowd(kind: str, endpoint: str, folder: Path, count: int, peers: int) -> Iterator[float]:
    """So many nodes more at a broker; gives the seconds in which they were registered."""
    arguments = [sys.executable, "-m", "benchmarks.crowd", kind, endpoint, str(count), str(peers)]
    with Process(arguments, folder, f"crowd-{kind}") as process:
        yield process.hear()["seconds"]


def broker_cpu(form: Form, round: int) -> Iterator[Record]:
    """The processor time of the broker for each call, with two nodes and with many."""
    tasks = {n: Rpc(100, n, form.seconds * 3) for n in (64, 512)}
    with Deployment(OURS) as system:
        assert system.broker is not None
        for n, task in tasks.items():
            yield Record(f"broker, {n} in flight, 2 nodes", OURS.name, _per_call(system.run(task), 0))
        with crowd("actrzmq", system.endpoint, system.folder, NODES - 2, 0):
            time.sleep(0.5)
            before = system.broker.cpu()
            time.sleep(UPKEEP_S)
            upkeep = (system.broker.cpu() - before) / UPKEEP_S
            yield Record(f"broker, idle, {NODES} nodes", OURS.name, {"upkeep": upkeep * 1e3})
            for n, task in tasks.items():
                yield Record(f"broker, {n} in flight, {NODES} nodes", OURS.name, _per_call(system.run(task), upkeep))


def _per_call(figures: Figures, upkeep: float) -> Figures:
    """With `net`, which is without what the nodes cost when nobody calls (seconds of each second)."""
    return {**figures, "net": figures["broker CPU"] - upkeep * figures["elapsed"] / figures["all"] * 1e6}


def node_memory(form: Form, round: int) -> Iterator[Record]:
    """What a node with its peers takes at the broker, and what the connection alone takes of libzmq."""
    if round and form.name != "full":
        return  # it takes long, and is always the same
    case = f"memory at the broker, {NODES} nodes with {PEERS} peers each"
    for kind, system in (("actrzmq", OURS), ("bare", BARE)):
        with scratch() as folder, start_broker(system, folder) as broker:
            assert system.broker is not None
            endpoint = broker.wait_logged(system.broker.ready)
            before = broker.memory()
            with crowd(kind, endpoint, folder, NODES, PEERS) as seconds:
                figures = {"KiB": (broker.memory() - before) / NODES / 1024, "seconds": seconds}
            yield Record(case, system.name, figures)


def stream_memory(form: Form, round: int) -> Iterator[Record]:
    """What an open stream takes at either end while nothing moves."""
    for name in ("actrzmq", "actrzmq relay"):
        with Deployment(SYSTEMS[name]) as system:
            system.run(Idle(1))
            sides = {"sender": system.server, "receiver": system.clients[0]}
            before = {side: process.memory() for side, process in sides.items()}
            system.run(Idle(STREAMS))
            figures = {side: (process.memory() - before[side]) / STREAMS / 1024 for side, process in sides.items()}
            yield Record(f"memory, {STREAMS} idle streams", name, figures)


def discovery(form: Form, round: int) -> Iterator[Record]:
    """Many nodes that register at once, and lookups among them."""
    with Deployment(OURS) as system, crowd("actrzmq", system.endpoint, system.folder, NODES, 0) as seconds:
        yield Record(f"{NODES} nodes register at once", OURS.name, {"seconds": seconds, "rate": NODES / seconds})
        for n in (1, 64):
            figures = system.run(Discover(n, form.seconds))
            yield Record(f"lookups among {NODES} nodes, {n} in flight", OURS.name, figures)


def starting(form: Form, round: int) -> Iterator[Record]:
    """How long it takes until a broker is ready, a node is registered, the package is imported."""
    with scratch() as folder:
        with start_broker(OURS, folder) as broker:
            assert OURS.broker is not None
            broker.wait_logged(OURS.broker.ready)
            ready = (time.perf_counter() - broker.started) * 1e3
        command = [sys.executable, "-c", IMPORTS]
        timed = subprocess.run(command, env=environment(folder), capture_output=True, text=True, check=False)
    if timed.returncode:
        raise Failed(timed.stderr)
    package, names = map(float, timed.stdout.split())
    with Deployment(OURS) as system:
        figures = {"broker": ready, "node": system.said[0]["connected"], "import": package, "names": names}
    yield Record("start-up", OURS.name, figures)
