"""The rest of the fault matrix: each fault once or a few times, under load, each with a rule of its own."""

from __future__ import annotations

import random
import resource
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.chaos.ledger import read
from tests.chaos.results import Result
from tests.chaos.scenarios import claim_no_stream_broke, lines, settle
from tests.chaos.verdict import ACKNOWLEDGED, Verdict
from tests.chaos.world import Program, World

LOAD: dict[str, Any] = {"nodes": 2, "streams": 2, "calls": 15, "work_ms": 200}
SECOND_SIGNAL_S = 1.0
FILE_BYTES = 48 << 10
DESCRIPTORS = 48
CROWD = 60
"""Nodes that want to be connected where there are so few."""
WATCHED_S = 4
FAST_FRAME = b'"got","client-fast'


def _start(world: World, servers: int = 2, clients: int = 2, **more: Any) -> list[Program]:
    programs = [world.start("server", f"server-{at}") for at in range(servers)]
    for at in range(clients):
        world.start("client", f"client-{at}", path=("direct", "relay")[at % 2], **{**LOAD, **more})
    time.sleep(1)
    return programs


def _finish(result: Result, world: World, after: float = 1.5) -> Verdict:
    time.sleep(after)
    ledger = world.finish()
    return settle(result, world, ledger)


def _claim_unnoticed(result: Result, world: World, verdict: Verdict, killed: int = 0) -> None:
    """Nobody was declared dead but those that were killed, no call failed, no stream broke."""
    failed = {key: call.told[0].value for key, call in verdict.calls.items() if call.outcome not in ACKNOWLEDGED}
    result.claim(not failed, f"calls failed: {dict(list(failed.items())[:5])}")
    claim_no_stream_broke(result, verdict)
    downs = sum("reason=deregistered" not in line for line in world.downs())
    result.counts["declared_down"] = downs
    result.claim(downs <= killed, f"{downs} nodes were declared down, {killed} were killed")


def _gather(result: Result, verdict: Verdict, begun: float, ended: float) -> None:
    """Count a fault, if something was acknowledged during it or after it that was open in it."""
    good = sum(
        call.outcome in ACKNOWLEDGED and call.invoked < ended and call.told[0].at > begun
        for call in verdict.calls.values()
    )
    result.faults += good >= 3
    result.idle_faults += good < 3


def short_stop(faults: int, seed: int) -> Result:
    """A server is stopped for 3 s: it is late, and nothing else."""
    result = Result(scenario="server-stopped-3s", seed=seed)
    with World(seed) as world:
        server, *_ = _start(world)
        begun, ended = world.pause(server, 3)
        verdict = _finish(result, world)
        _gather(result, verdict, begun, ended)
        _claim_unnoticed(result, world, verdict)
    return result


def long_stop(faults: int, seed: int) -> Result:
    """A server is stopped for longer than its lease: it comes back as another, and its former self does nothing."""
    result = Result(scenario="server-stopped-13s", seed=seed)
    with World(seed) as world:
        server, *_ = _start(world)
        begun, ended = world.pause(server, 13)
        time.sleep(2)
        verdict = _finish(result, world)
        _gather(result, verdict, begun, ended)
        result.claim(lines(read(world.folder), "fenced"), "it was not fenced")
        after = [at for call in verdict.calls.values() for where, at in call.ran if where == server.name and at > ended]
        result.claim(after, "it has got no work under its new identity")
        told = [call.told[0].at - begun for call in verdict.calls.values() if call.outcome == "unknown"]
        result.measure("stopped to told (s)", told)
    return result


def broker_stop(faults: int, seed: int) -> Result:
    """The broker is stopped for 6 s: what was not sent fails as rejected, sent ones wait, nothing runs too late."""
    result = Result(scenario="broker-stopped-6s", seed=seed)
    with World(seed) as world:
        _start(world)
        broker = world.programs["broker"]
        begun, ended = world.pause(broker, 6)
        verdict = _finish(result, world, 3)
        _gather(result, verdict, begun, ended)
        bad = [key for key, call in verdict.calls.items() if call.outcome == "unknown"]
        result.claim(not bad, f"unknown, although the broker was only stopped: {bad[:5]}")
        late = [call for call in verdict.calls.values() if call.outcome == "rejected"]
        result.measure("rejected after (s)", [call.told[0].at - call.invoked for call in late])
        result.claim(late, "no call was kept back and rejected")
        claim_no_stream_broke(result, verdict)
    return result


def double_term(faults: int, seed: int) -> Result:
    """A second SIGTERM ends a draining server within a second; all others are told."""
    result = Result(scenario="double-sigterm", seed=seed)
    times: list[float] = []
    dice = random.Random(seed)
    with World(seed) as world:
        server, *_ = _start(world, work_ms=4_000)
        for _ in range(max(1, min(faults, 5))):
            time.sleep(dice.uniform(0.5, 1.5))
            successor = world.start("server", "server-0")
            server.process.terminate()
            time.sleep(0.3)
            if server.process.poll() is None:
                begun = time.monotonic()
                world.kill(server, signal.SIGTERM)
                times.append(time.monotonic() - begun)
                result.faults += 1
            else:
                world.programs.pop(server.name)
                result.idle_faults += 1
            server = successor
        _finish(result, world)
    result.measure("second signal to exit (s)", times)
    result.claim(max(times, default=0) <= SECOND_SIGNAL_S, f"{max(times, default=0):.2f} s after a second signal")
    return result


def blocked_loop(faults: int, seed: int) -> Result:
    """A handler blocks its server's event loop for 3 s: late, and nobody is declared dead."""
    result = Result(scenario="loop-blocked-3s", seed=seed)
    with World(seed) as world:
        _start(world, block_ms=3_000)
        begun = world.book.write("fault", "a server", "blocked")
        world.programs["client-0.1"].process.send_signal(signal.SIGUSR2)
        time.sleep(3.5)
        ended = world.book.write("healed", "a server")
        verdict = _finish(result, world)
        _gather(result, verdict, begun, ended)
        _claim_unnoticed(result, world, verdict)
        result.claim("event loop blocked" in "".join(_logs(world, "server")), "no log says where it hangs")
    return result


def second_broker(faults: int, seed: int) -> Result:
    """A second broker at the same address, or on the same store, says so and exits; the first one goes on."""
    result = Result(scenario="second-broker", seed=seed)
    with World(seed) as world:
        _start(world)
        begun = world.book.write("fault", "broker", "second")
        for listen, store in ((world.address, "other.db"), ("tcp://127.0.0.1:*", "broker.db")):
            done = world.start_second_broker(listen, store)
            result.claim(done.returncode == 1, f"a second broker exits with {done.returncode}: {done.stderr}")
            result.claim(done.stderr.startswith("actrzmq-broker: "), f"it says {done.stderr!r}")
        verdict = _finish(result, world)
        _gather(result, verdict, begun, begun + 3)
        _claim_unnoticed(result, world, verdict)
    return result


def disk_full(faults: int, seed: int) -> Result:
    """The broker can't write to its store any more: it goes on routing, and says so."""
    result = Result(scenario="disk-full", seed=seed)
    with World(seed) as world:
        world.stop(world.programs["broker"])
        world.start_broker(preexec_fn=_limit(resource.RLIMIT_FSIZE, FILE_BYTES))
        _start(world)
        begun = world.book.write("fault", "broker", "disk full")
        for at in range(5):  # each has nodes to remember, and what is remembered no longer fits
            world.stop(world.start("crowd", f"crowd-{at}", nodes=60), signal.SIGUSR1)
        verdict = _finish(result, world)
        _gather(result, verdict, begun, begun + 5)
        _claim_unnoticed(result, world, verdict)
        log = (world.folder / "broker.log").read_text(errors="replace")
        result.claim("going on without" in log, "the broker did not say that its store can't be written")
    return result


def few_descriptors(faults: int, seed: int) -> Result:
    """More nodes than the broker has descriptors for: who is connected is not disturbed."""
    result = Result(scenario="few-descriptors", seed=seed)
    with World(seed) as world:
        world.stop(world.programs["broker"])
        world.start_broker(preexec_fn=_limit(resource.RLIMIT_NOFILE, DESCRIPTORS))
        _start(world)
        begun = world.book.write("fault", "broker", "descriptors")
        crowd = world.start("crowd", "crowd-0", nodes=CROWD, wait=False)
        time.sleep(4)
        result.claim(crowd.process.poll() is None, "a node that can't connect has ended")
        world.kill(crowd)
        verdict = _finish(result, world)
        _gather(result, verdict, begun, begun + 4)
        _claim_unnoticed(result, world, verdict, CROWD)
        log = (world.folder / "broker.log").read_text(errors="replace")
        result.claim("few file descriptors" in log, "the broker did not say that it has few descriptors")
    return result


def slow_consumer(faults: int, seed: int) -> Result:
    """Some callbacks take 200 ms, in the process that receives eight other streams: those keep their pace."""
    result = Result(scenario="slow-consumer", seed=seed)
    with World(seed) as world:
        world.start("server", "server-0", slow_ms=200, slow_for="client-slow")
        world.start("client", "client-fast", calls=0, streams=8, sending=1, frame_ms=20, frames=1_000)
        time.sleep(1)
        ledger = world.folder / "server-0.1.ledger"
        solo = _pace(ledger)
        slow = world.start("client", "client-slow", calls=0, streams=4, sending=1, frame_ms=0, frames=2_000)
        time.sleep(1)
        together = _pace(ledger)
        world.kill(slow)
        settle(result, world, world.finish())
        result.faults = 1
        result.measures |= {"frames/s of the others, solo": round(solo), "beside slow callbacks": round(together)}
        result.claim(together >= 0.9 * solo, f"{solo:.0f} frames/s by themselves, {together:.0f} beside slow callbacks")
    return result


def _pace(ledger: Path) -> float:
    """Frames a second of the fast client."""
    before, begun = ledger.read_bytes().count(FAST_FRAME), time.monotonic()
    time.sleep(WATCHED_S)
    return (ledger.read_bytes().count(FAST_FRAME) - before) / (time.monotonic() - begun)


def garbage(faults: int, seed: int) -> Result:
    """Peers that send rubbish to the broker's socket, and to the nodes' stream sockets: nobody else notices."""
    result = Result(scenario="garbage-peers", seed=seed)
    dice = random.Random(seed)
    greeting = bytes.fromhex("ff00000000000000017f03") + b"\0NULL".ljust(53, b"\0")
    with World(seed) as world:
        _start(world)
        begun = world.book.write("fault", "broker", "garbage")
        sent = 0
        for _ in range(40 * max(1, min(faults, 25))):
            text = dice.choice((b"", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", greeting))
            with socket.socket(socket.AF_UNIX) as peer, suppress(OSError):
                peer.settimeout(2)
                peer.connect(world.address.removeprefix("ipc://"))
                peer.sendall(text + dice.randbytes(dice.randrange(2_000)))
                sent += 1
        ended = world.book.write("healed", "broker")
        result.measures["connections"] = sent
        verdict = _finish(result, world)
        _gather(result, verdict, begun, ended)
        _claim_unnoticed(result, world, verdict)
    return result


def _limit(what: int, most: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(what, (most, most))


def _logs(world: World, role: str) -> list[str]:
    return [path.read_text(errors="replace") for path in sorted(world.folder.glob(f"{role}*.log"))]
