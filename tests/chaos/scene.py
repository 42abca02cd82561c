"""One cell of the fault matrix: somebody in some state, with others around it, in a world of its own."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct

from actrzmq.testing import FaultProxy
from tests.chaos.ledger import SUFFIX, now
from tests.chaos.network import Network
from tests.chaos.world import Program, World

BROKER, SERVER, CLIENT = VICTIMS = ("broker", "server", "client")
IDLE, CALL, STREAM, DRAINING = STATES = ("idle", "call", "stream", "draining")
LOADS: dict[str, dict[str, Any]] = {
    IDLE: {"calls": 10, "work_ms": 200, "streams": 1},
    CALL: {"calls": 15, "work_ms": 1_500, "streams": 0},
    STREAM: {"calls": 0, "streams": 4, "frames": 300},
    DRAINING: {"calls": 10, "work_ms": 3_000, "streams": 2, "frames": 300},
}
NOTHING: dict[str, Any] = {"calls": 0, "streams": 0}
SPARE = "Spare"
"""The type of a server that nobody turns to, so that it is idle."""
WORKS_WITHIN_S = 20.0
DRAINED_WITHIN_S = 13.0


class Cell(Struct, frozen=True):
    """Who is hit, and what it is at."""

    victim: str
    state: str

    def __str__(self) -> str:
        return f"{self.victim} {self.state}"


class Scene:
    """The victim `…-0`, and beside it a server and a client `…-1` that nothing is done to."""

    def __init__(
        self,
        cell: Cell,
        world: World,
        network: Network | None,
        settings: dict[str, Any],
        others: dict[str, Any],
        log: Path | None,
    ) -> None:
        self.cell = cell
        self.world = world
        self.network = network
        self.lives: list[str] = []
        """The processes that are, one after the other, the victim."""
        self.begun = self.ended = 0.0
        self.told_at: list[tuple[str, float]] = []
        """Which life was killed, and when."""
        self._settings = settings
        self._others = others
        self._log = log

    # who is there

    @property
    def program(self) -> Program:
        """The victim's process."""
        return self.world.programs["broker" if self.cell.victim == BROKER else self.lives[-1]]

    def set_up(self) -> None:
        """Start them all, and have the load be there."""
        load = NOTHING if self.cell == Cell(BROKER, IDLE) else LOADS[self.cell.state]
        started = [self._start("server", "server-1"), self._start("client", "client-1", **load, path="relay")]
        if self.cell.victim != BROKER:
            started.append(self._start_victim())
        if self.cell.victim != SERVER:
            started.append(self._start("server", "server-0"))
        if self.cell.victim != CLIENT:
            started.append(self._start("client", "client-0", **load, path="direct"))
        for program in started:
            self.world.wait_up(program)
        time.sleep(1)

    def begin(self, what: str) -> None:
        """The fault begins now; who is to drain in it was told so a moment ago."""
        if self.cell.state == DRAINING:
            if self.cell.victim == CLIENT:  # what it is cut off from is not told to it
                self.world.book.write("killed", self.program.name, "SIGTERM")
            self.program.process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
        self.begun = self.world.book.write("fault", self.cell.victim, what)

    def end(self) -> None:
        """It is over."""
        self.ended = self.world.book.write("healed", self.cell.victim)

    def proxies(self, *, control: bool = True, streams: bool = True) -> Iterator[FaultProxy]:
        """Those around the victim; of a broker, all."""
        assert self.network is not None
        return self.network.proxies(self._base, control=control, streams=streams)

    def die(self, number: signal.Signals = signal.SIGKILL) -> float:
        """End the victim by a signal; returns how long that took, in seconds."""
        name, begun = self.program.name, time.monotonic()
        self.told_at.append((name, self.world.kill(self.program, number)))
        return time.monotonic() - begun

    def heal(self) -> None:
        """All connections are as they were."""
        for proxy in self.proxies():
            proxy.heal()

    def start_double(self) -> None:
        """Start the victim once more while it runs: another node is another instance, another broker is refused."""
        if self.cell.victim == BROKER:
            for listen, store in ((self.world.address, "other.db"), ("tcp://127.0.0.1:*", "broker.db")):
                done = self.world.start_second_broker(listen, store)
                assert done.returncode == 1, f"a second broker exits with {done.returncode}: {done.stderr}"
                assert done.stderr.startswith("actrzmq-broker: "), f"a second broker says {done.stderr!r}"
            return
        since = now()
        name = f"{self._base}-double"  # of the same manifest
        double = self._start(self.cell.victim, name, **self._load_of_victim())
        self.world.wait_up(double)
        if self.cell.victim == SERVER and self.cell.state != IDLE:
            self._wait(lambda: self._has(double.name, b'"ran"', since), "a call that its double runs")
        elif self.cell.state != IDLE:
            self._wait(lambda: self._has(double.name, b',"ok"', since), "a call that its double makes")

    # afterwards

    def wait_drained(self) -> int | None:
        """Wait for the end of a victim that drains; its exit code, None if it does not end."""
        program = self.program
        self.world.wait_until(
            lambda: program.process.poll() is not None, f"the end of {program.name}", DRAINED_WITHIN_S
        )
        del self.world.programs[program.name]
        return program.process.returncode

    def wait_works(self) -> None:
        """See that the victim, or its next life, does something that is asked of it after the fault."""
        since = now()
        if self.cell.victim != BROKER and self.lives[-1] not in self.world.programs:
            self.world.wait_up(self._start_victim())
        if self.cell.victim == CLIENT:
            self._wait(lambda: self._is_answered(since), "a call that it makes after the fault")
            return
        target = SPARE if self.cell == Cell(SERVER, IDLE) else "Server"
        load = {"calls": 20, "work_ms": 0, "streams": 0, "target": target}
        after = self._start("client", "client-after", **load)
        self.world.wait_up(after)
        if self.cell.victim == SERVER:
            self._wait(lambda: self._has(self.lives[-1], b'"ran"', since), "a call that it runs after the fault")
        else:
            self._wait(lambda: self._has(after.name, b',"ok"', since), "a call after the fault")

    # private

    @property
    def _base(self) -> str:
        return "" if self.cell.victim == BROKER else f"{self.cell.victim}-0"

    def _start_victim(self) -> Program:
        program = self._start(self.cell.victim, self._base, **self._load_of_victim(), log=self._log)
        self.lives.append(program.name)
        return program

    def _load_of_victim(self) -> dict[str, Any]:
        load: dict[str, Any] = {"type": SPARE} if self.cell.state == IDLE else {}
        if self.cell.victim == CLIENT:
            load = {"block_ms": 0, "path": "direct", **(NOTHING if self.cell.state == IDLE else LOADS[self.cell.state])}
        return load | self._settings

    def _start(self, role: str, base: str, **settings: Any) -> Program:
        start = self.world.start if self.network is None else self.network.start
        others = self._others if base != self._base else {}
        return start(role, base, wait=False, **(settings | others))

    def _is_answered(self, since: float) -> bool:
        """Has the client got an answer since then? One that does nothing by itself is told to call."""
        if self._has(self.lives[-1], b',"ok"', since):
            return True
        if self.cell.state == IDLE:
            self.program.process.send_signal(signal.SIGUSR2)
            time.sleep(0.2)
        return False

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        self.world.wait_until(condition, f"{what} ({self.cell})", WORKS_WITHIN_S)

    def _has(self, name: str, what: bytes, since: float) -> bool:
        """Is there such a line in its ledger that was written since then?"""
        path = self.world.folder / f"{name}{SUFFIX}"
        lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
        return any(what in line and float(line[1:].partition(b",")[0]) > since for line in lines)
