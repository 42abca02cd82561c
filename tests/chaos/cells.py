"""The fault matrix, cell by cell: each fault is done to a broker, a server and a client that is idle, has calls or
streams open, or drains; and each cell has its own world, its own ledger, and a rule for those who were hit.

Whoever was not hit and has nothing open with who was must notice nothing, whatever the fault. What was acknowledged has
been done, once; and who was hit, or who is started in its place, works again afterwards.
"""

from __future__ import annotations

import random
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct

from actrzmq.testing import Direction, FaultProxy
from tests.chaos.ledger import Ledger
from tests.chaos.network import Network
from tests.chaos.results import Result
from tests.chaos.scenarios import TOLD_WITHIN_S, settle
from tests.chaos.scene import BROKER, CALL, CLIENT, DRAINING, IDLE, SERVER, STATES, STREAM, Cell, Scene
from tests.chaos.survivors import survivors
from tests.chaos.verdict import ACKNOWLEDGED, Verdict
from tests.chaos.world import LEASE_MS, World

SHORT_S, LONG_S = 4, LEASE_MS // 1000 + 3
PER_ROUND = 10
"""So many faults are one round through the cells."""
ENOUGH = 3
SECOND_SIGNAL_S = 1.0
LATE_S = 0.15
CUT_WITHIN = 5_000
"""Bytes after which a connection is cut: within a frame, with streams of 200 bytes a frame and batches of calls."""
RESETS = 3
GIVEN_UP_WITHIN_S = 2.0
"""So much longer than a lease may callers wait for one that is given up: it was renewed up to a second before."""
DESCRIPTORS = 28
"""A node starts with so many, and has none left for the ways to many others."""

Effect = Literal["none", "told", "away", "left", "refused"]
"""What those may notice who have something open with the victim.

`none`: nothing but the time it takes. `told`: the victim is dead, and they hear so within a second, rightly. `away`:
the victim was given up, and is another one afterwards; calls may be unknown. `left`: it has left in good order; no call
is unknown. `refused`: its streams may be, in words; nothing else is.
"""


class Fault(Struct, frozen=True):
    """What is done, and what may come of it."""

    do: Callable[[Scene], None]
    effect: Effect = "none"
    victims: tuple[str, ...] = (BROKER, SERVER, CLIENT)
    states: tuple[str, ...] = STATES
    on_the_wire: bool = False
    """Everybody is behind proxies."""
    is_silent: bool = False
    """The broker is silent for longer than callers wait to send: what was not sent may be rejected."""
    settings: dict[str, Any] = {}
    """Of the victim's process."""
    others: dict[str, Any] = {}
    """Of those around it."""
    log: Path | None = None
    """Where what the victim says is to go."""
    lease_ms: int = LEASE_MS
    words: str = ""
    """What must have been said to somebody: how a stream of the victim ended, or a call to it."""


def cells(fault: Fault) -> list[Cell]:
    """All that there are: a broker does not drain, it ends."""
    every = [Cell(victim, state) for victim in fault.victims for state in fault.states]
    return [cell for cell in every if cell != Cell(BROKER, DRAINING)]


def run(faults: int, seed: int, *, name: str, only: Iterable[Cell] = ()) -> Result:
    """Do a fault in each of its cells, as often as there are rounds in `faults`."""
    fault = FAULTS[name]
    result = Result(scenario=f"cells-{name}", seed=seed)
    told: list[float] = []
    for turn in range(max(1, faults // PER_ROUND)):
        for cell in only or cells(fault):
            known = len(result.broken)
            try:
                told += _do(fault, cell, seed + turn, result)
            except AssertionError as error:
                result.claim(False, str(error))
            found = [f"{cell}: {line}; see {result.folder}" for line in result.broken[known:]]
            result.broken[known:] = found
            result.cells[str(cell)] = result.cells.get(str(cell), 0) + (not found)
            if not found:
                shutil.rmtree(result.folder, ignore_errors=True)
    if told:
        result.measure("told (s)", told)
        p99 = result.distributions["told (s)"]["p99"]
        result.claim(len(told) < 100 or p99 <= TOLD_WITHIN_S, f"p99 of what survivors wait is {p99} s")
    return result


def _do(fault: Fault, cell: Cell, seed: int, result: Result) -> list[float]:
    with ExitStack() as stack:
        world = World(seed, lease_ms=fault.lease_ms, detours=fault.on_the_wire)
        result.folder = str(world.folder)
        network = stack.enter_context(Network(world)) if fault.on_the_wire else None
        stack.enter_context(world)
        scene = Scene(cell, world, network, fault.settings, fault.others, fault.log)
        scene.set_up()
        fault.do(scene)
        if cell.state == DRAINING and not scene.told_at:
            code = scene.wait_drained()
            result.claim(code == (0 if cell.victim == SERVER else 128 + signal.SIGTERM), f"it has drained to {code}")
        scene.wait_works()
        ledger = world.finish()
        verdict = settle(result, world, ledger)
    return _judge(fault, scene, ledger, verdict, result)


def _judge(fault: Fault, scene: Scene, ledger: Ledger, verdict: Verdict, result: Result) -> list[float]:
    cell = scene.cell
    effect = "none" if cell.victim == BROKER and not fault.on_the_wire else fault.effect
    if cell.state == DRAINING and effect == "none":  # who leaves while nobody hears it leaves others in doubt
        effect = "away" if fault.on_the_wire and fault.is_silent else "left"
    good = _work_meanwhile(scene, verdict)
    is_counted = good >= ENOUGH or cell == Cell(BROKER, IDLE)
    result.faults += is_counted
    result.idle_faults += not is_counted
    hit = Hit(cell, ledger, scene.lives)
    for call in verdict.calls.values():
        allowed = set(ACKNOWLEDGED)
        if hit.has_call(call.key, call.caller):
            quiet: dict[str, set[str]] = {"none": set(), "refused": set(), "left": {"rejected"}}
            allowed |= quiet.get(effect, {"unknown", "rejected"})
            allowed |= {"rejected"} if fault.is_silent else set()
            allowed |= {"unknown"} if effect == "left" and hit.has(call.caller) else set()  # it cuts them off
        is_told = call.told and call.outcome not in allowed
        result.claim(not is_told, f"{call.key} of {call.caller} was told {call.told and call.told[0].value}")
    for stream in verdict.streams.values():
        is_hit = hit.has(stream.sender) or hit.has(stream.receiver)
        if stream.sender and stream.receiver and (effect == "none" or not is_hit):
            ends = [line.value for line in (*stream.sent, *stream.closed)]
            result.claim(set(ends) <= {"ok"}, f"{stream.key}, {stream.sender} to {stream.receiver}, ended as {ends}")
    if effect in ("none", "left", "refused") and cell.state != DRAINING:  # one that drains is gone in the end anyway
        downs = [line for line in scene.world.downs() if "reason=deregistered" not in line]
        result.claim(not downs, f"declared down, and was not: {downs}")
    if effect == "away" and cell.state != DRAINING:
        is_given_up = hit.ids > len(scene.lives) if scene.lives else bool(scene.world.downs())
        result.claim(is_given_up, "it was not given up, or is not another one afterwards")
        given_up = [call for call in verdict.calls.values() if call.outcome == "unknown" and not hit.has(call.caller)]
        late = max((call.told[0].at - scene.begun for call in given_up), default=0)
        limit = fault.lease_ms / 1000 + GIVEN_UP_WITHIN_S
        result.claim(late <= limit, f"a caller was told {late:.1f} s after it had begun")
    if fault.words:
        said = {line.value for stream in verdict.streams.values() for line in stream.closed if hit.has(stream.sender)}
        said |= {call.told[0].value for call in verdict.calls.values() if call.told and hit.has_call(call.key, "")}
        result.claim(fault.words in said, f"nobody was told {fault.words}, but {said}")
    return [] if effect != "told" else list(_told(scene, ledger, verdict, result))


class Hit:
    """Who was hit, and what was open with it."""

    def __init__(self, cell: Cell, ledger: Ledger, lives: list[str]) -> None:
        self._is_broker = cell.victim == BROKER
        self._lives = lives
        ids = {line.key for name in lives for line in ledger[name] if line.what in ("up", "registered")}
        self.ids = len(ids)
        self._calls = {
            line.key for lines in ledger.values() for line in lines if line.what == "invoke" and line.value in ids
        }

    def has(self, process: str) -> bool:
        """Is it the one, or does it depend on it?"""
        return self._is_broker or process in self._lives

    def has_call(self, key: str, caller: str) -> bool:
        """Does that call come from it, or go to it?"""
        return self.has(caller) or key in self._calls


def _work_meanwhile(scene: Scene, verdict: Verdict) -> int:
    """How many calls and frames that were under way during the fault have been acknowledged."""
    calls = [call for call in verdict.calls.values() if call.outcome in ACKNOWLEDGED]
    good = sum(call.invoked < scene.ended and call.told[0].at > scene.begun for call in calls)
    frames = (at for stream in verdict.streams.values() for _, at in stream.got)
    return good + sum(scene.begun < at < scene.ended + 1 for at in frames)


def _told(scene: Scene, ledger: Ledger, verdict: Verdict, result: Result) -> Iterable[float]:
    for process, at in scene.told_at:
        for told in survivors(ledger, verdict, process, at):
            result.claim(told.is_right, f"told wrongly: {told.what} of {told.key}: {told.said} after {told.after:.2f}")
            if told.after > 0:
                yield told.after


# what is done


def _kill(scene: Scene) -> None:
    scene.begin("SIGKILL")
    if scene.cell.victim == BROKER:
        scene.world.kill_broker()
    else:
        scene.die()
    time.sleep(1.3)  # all are told by then
    scene.end()


def stop(scene: Scene, seconds: float) -> None:
    scene.begin("SIGSTOP")
    scene.program.process.send_signal(signal.SIGSTOP)
    time.sleep(seconds)
    scene.program.process.send_signal(signal.SIGCONT)
    scene.end()
    time.sleep(1.5)  # for it to notice, and to come back


def _term(scene: Scene) -> None:
    scene.begin("SIGTERM")
    if scene.cell.victim == CLIENT:
        scene.die(signal.SIGTERM)
    else:
        scene.world.stop(scene.program)
    if scene.cell.victim == BROKER:
        scene.world.start_broker()
    scene.end()


def _term_twice(scene: Scene) -> None:
    scene.begin("SIGTERM twice")
    process = scene.program.process
    process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    if scene.cell.victim != BROKER and process.poll() is None:
        seconds = scene.die(signal.SIGTERM)
        assert seconds <= SECOND_SIGNAL_S, f"it ended {seconds:.2f} s after the second signal"
    else:
        process.wait()
        scene.world.programs.pop(scene.program.name)
    if scene.cell.victim == BROKER:
        scene.world.start_broker()
    time.sleep(1.3)
    scene.end()


def _block(scene: Scene) -> None:
    scene.begin("loop blocked")
    scene.program.process.send_signal(signal.SIGURG)
    time.sleep(3.5)
    scene.end()


def _reset(scene: Scene) -> None:
    scene.begin("reset")
    for _ in range(RESETS):
        for proxy in scene.proxies():
            proxy.reset()
        time.sleep(0.7)
    scene.end()


def _cut(scene: Scene) -> None:
    scene.begin("cut")
    dice = random.Random(scene.world.seed)
    for proxy in scene.proxies():
        proxy.cut(dice.randrange(CUT_WITHIN), dice.choice(list(Direction)))
    time.sleep(1)
    scene.heal()
    scene.end()
    time.sleep(0.5)


def _wire(
    scene: Scene,
    what: str,
    seconds: float,
    control: Callable[[FaultProxy], None],
    streams: Callable[[FaultProxy], None],
) -> None:
    """Do something to all connections around the victim, for so long."""
    scene.begin(what)
    for proxy in scene.proxies(streams=False):
        control(proxy)
    for proxy in scene.proxies(control=False):
        streams(proxy)
    time.sleep(seconds)
    scene.heal()
    scene.end()
    time.sleep(1.5)


def _half_open(scene: Scene, *, far_stays: bool) -> None:
    def act(proxy: FaultProxy) -> None:
        proxy.half_open(far_stays=far_stays)

    _wire(scene, "half-open", 3, act, act)


def _stall(
    scene: Scene, seconds: float, control: tuple[Direction, ...] = (), streams: tuple[Direction, ...] = ()
) -> None:
    _wire(scene, "stall", seconds, lambda proxy: proxy.stall(*control), lambda proxy: proxy.stall(*streams))


def _delay(scene: Scene) -> None:
    def act(proxy: FaultProxy) -> None:
        proxy.delay(LATE_S)

    _wire(scene, "delay", 3, act, act)


def _wait(scene: Scene) -> None:
    """The fault is how the victim was made."""
    scene.begin("as it is")
    time.sleep(3)
    scene.end()


def _garbage(scene: Scene) -> None:
    scene.begin("garbage")
    dice = random.Random(scene.world.seed)
    network = scene.network
    assert network is not None
    ports = [int(endpoint.rpartition(":")[2]) for endpoint in network.endpoints(f"{scene.cell.victim}-0")]
    greeting = bytes.fromhex("ff00000000000000017f03") + b"\0NULL".ljust(53, b"\0")
    for _ in range(60):
        kind = socket.AF_UNIX if scene.cell.victim == BROKER else socket.AF_INET
        address = (
            scene.world.address.removeprefix("ipc://")
            if scene.cell.victim == BROKER
            else ("127.0.0.1", dice.choice(ports))
        )
        text = dice.choice((b"", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", greeting))
        with socket.socket(kind) as peer, suppress(OSError):
            peer.settimeout(2)
            peer.connect(address)
            peer.sendall(text + dice.randbytes(dice.randrange(2_000)))
    scene.end()


def _twice(scene: Scene) -> None:
    scene.begin("started twice")
    scene.start_double()
    time.sleep(2)
    scene.end()


UP, DOWN = Direction.UP, Direction.DOWN
NODES = (SERVER, CLIENT)
OPEN = (IDLE, CALL, STREAM)

FAULTS: dict[str, Fault] = {
    "sigkill": Fault(_kill, "told"),
    "sigstop-3s": Fault(partial(stop, seconds=3), is_silent=True),
    "sigstop-13s": Fault(partial(stop, seconds=LONG_S), "away", is_silent=True),
    "sigterm": Fault(_term, "left", states=OPEN),
    "double-sigterm": Fault(_term_twice, "told", states=OPEN),
    "loop-blocked-3s": Fault(_block, victims=NODES),
    "reset": Fault(_reset, on_the_wire=True),
    "cut-in-a-frame": Fault(_cut, on_the_wire=True),
    "delay": Fault(_delay, on_the_wire=True),
    "half-open": Fault(partial(_half_open, far_stays=False), "away", on_the_wire=True),
    "half-open-unheard": Fault(partial(_half_open, far_stays=True), on_the_wire=True),
    "partition-4s": Fault(partial(_stall, seconds=SHORT_S), on_the_wire=True, is_silent=True),
    "partition-13s": Fault(partial(_stall, seconds=LONG_S), "away", on_the_wire=True, is_silent=True),
    "deaf-4s": Fault(
        partial(_stall, seconds=SHORT_S, control=(DOWN,), streams=(UP,)), on_the_wire=True, is_silent=True
    ),
    "deaf-13s": Fault(
        partial(_stall, seconds=LONG_S, control=(DOWN,), streams=(UP,)), on_the_wire=True, is_silent=True
    ),
    "mute-4s": Fault(
        partial(_stall, seconds=SHORT_S, control=(UP,), streams=(DOWN,)), on_the_wire=True, is_silent=True
    ),
    "mute-13s": Fault(
        partial(_stall, seconds=LONG_S, control=(UP,), streams=(DOWN,)), "away", on_the_wire=True, is_silent=True
    ),
    "slow-consumer": Fault(_wait, victims=NODES, states=(STREAM,), settings={"slow_ms": 40}),
    "credit-violator": Fault(
        _wait,
        "refused",
        victims=NODES,
        states=(STREAM,),
        settings={"sabotage": "credit", "payload": 40_000, "frame_ms": 0},
        others={"slow_ms": 20},
        words="ActrStreamError",
    ),
    "overload": Fault(
        _wait,
        "left",
        victims=(SERVER,),
        states=(CALL,),
        settings={"concurrency": 2, "queue": 4},
        words="rejected:ActrOverloaded",
    ),
    "log-full": Fault(_wait, victims=NODES, states=OPEN, log=Path("/dev/full")),
    "few-descriptors": Fault(_wait, "refused", victims=NODES, states=OPEN, settings={"descriptors": DESCRIPTORS}),
    "garbage": Fault(_garbage, on_the_wire=True, states=OPEN),
    "duplicate-start": Fault(_twice, states=OPEN),
}
