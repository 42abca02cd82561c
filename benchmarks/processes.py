"""Processes of the systems: started, asked, watched through /proc, and stopped. Nothing outlives who started them."""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from benchmarks.systems import Place, System
from benchmarks.work import Figures, Task

PATIENCE_S = 60.0
STOP_S = 3.0
REPOSITORY = Path(__file__).parents[1]


class Failed(Exception):
    """A process did not do what it was started for; says what it printed."""


class Process:
    """One process; what it says goes to a file or, line by line, to who asks it."""

    def __init__(self, arguments: Sequence[str], folder: Path, name: str, *, talks: bool = True) -> None:
        self.name = name
        self.started = time.perf_counter()
        self._log = folder / f"{name}.log"
        self._rest = b""
        with self._log.open("wb") as log:
            self._popen = subprocess.Popen(
                arguments,
                cwd=REPOSITORY,
                env=environment(folder),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE if talks else log,
                stderr=log,
            )

    @property
    def pid(self) -> int:
        return self._popen.pid

    def log(self) -> str:
        """What it has printed to its log."""
        return self._log.read_text(errors="replace")

    def wait_logged(self, pattern: str) -> str:
        """Wait until `pattern` is in its log; returns the first group."""
        while True:
            found = re.search(pattern, self.log())
            if found:
                return found[1]
            if self._popen.poll() is not None or time.perf_counter() - self.started > PATIENCE_S:
                raise Failed(f"{self.name} is not ready: {self.log()[-2000:]}")
            time.sleep(0.001)

    def say(self, line: str) -> None:
        """One line to its standard input."""
        assert self._popen.stdin is not None
        self._popen.stdin.write(line.encode() + b"\n")
        self._popen.stdin.flush()

    def hear(self, timeout: float = PATIENCE_S) -> dict[str, Any]:
        """The next thing that it says. Raises `Failed` if that is an error, or does not come."""
        assert self._popen.stdout is not None
        descriptor = self._popen.stdout.fileno()
        end = time.monotonic() + timeout
        while b"\n" not in self._rest:
            if not select.select([descriptor], [], [], max(0, end - time.monotonic()))[0]:
                raise Failed(f"{self.name} said nothing for {timeout:.0f} s: {self.log()[-2000:]}")
            chunk = os.read(descriptor, 65536)
            if not chunk:
                raise Failed(f"{self.name} has ended: {self.log()[-2000:]}")
            self._rest += chunk
        line, self._rest = self._rest.split(b"\n", 1)
        said: dict[str, Any] = json.loads(line)
        if "error" in said:
            raise Failed(f"{self.name}: {said['error']} {self.log()[-2000:]}".rstrip())
        return said

    def cpu(self) -> float:
        """Seconds of processor time that all its threads have had, those of the I/O included."""
        total = 0
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
        return total / 1e9

    def memory(self) -> int:
        """Bytes that are its own: resident and not shared with others."""
        rollup = Path(f"/proc/{self.pid}/smaps_rollup").read_text()
        return 1024 * sum(map(int, re.findall(r"^Private_\w+: +(\d+)", rollup, re.MULTILINE)))

    def stop(self) -> None:
        """Ask it to end, and insist."""
        if self._popen.poll() is None:
            self._popen.terminate()
            try:
                self._popen.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._popen.kill()
                self._popen.wait()
        for pipe in (self._popen.stdin, self._popen.stdout):
            if pipe is not None:
                pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def environment(folder: Path) -> dict[str, str]:
    """An environment without settings of whoever runs this, in which nothing outlives this process."""
    kept = {name: os.environ[name] for name in ("HOME", "LANG", "PATH", "TMPDIR") if name in os.environ}
    own = {"PYTHONPATH": str(REPOSITORY), "XDG_RUNTIME_DIR": str(folder), "ACTRZMQ_PARENT": str(os.getpid())}
    return {**kept, "PYTHONUNBUFFERED": "1", **own}


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for the sockets and logs of one system, with a short path: unix sockets can't have a long one."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        yield Path(folder)


class Deployment:
    """A system with its processes: a broker where it has one, a server, and clients."""

    def __init__(self, system: System, clients: int = 1) -> None:
        self.system = system
        self._stack = ExitStack()
        try:
            self._start(clients)
        except BaseException:
            self._stack.close()
            raise

    def _start(self, clients: int) -> None:
        self.folder = folder = self._stack.enter_context(scratch())
        place = Place(str(folder), variant=self.system.variant)
        self.broker: Process | None = None
        if self.system.broker is not None:
            self.broker = self._stack.enter_context(start_broker(self.system, folder))
            place = msgspec.structs.replace(place, broker=self.broker.wait_logged(self.system.broker.ready))
        self.endpoint = place.broker
        self.server = self._stack.enter_context(self._worker("server", place, folder))
        place = msgspec.structs.replace(place, server=self.server.hear()["ready"])
        self.clients = []
        for at in range(clients):
            own = folder / f"client{at}"
            own.mkdir()
            client = self._worker("client", msgspec.structs.replace(place, folder=str(own)), folder, at)
            self.clients.append(self._stack.enter_context(client))
        self.said = [client.hear() for client in self.clients]

    def _worker(self, role: str, place: Place, folder: Path, at: int = 0) -> Process:
        arguments = [sys.executable, "-m", "benchmarks.worker", role, self.system.module, _json(place)]
        return Process(arguments, folder, f"{self.system.name} {role}{at or ''}".replace(" ", "-"))

    def run(self, task: Task) -> Figures:
        """Have all clients do `task` at once. Rates are added up; processor time is that of each process, per call."""
        began, before = time.perf_counter(), self._cpu()
        for client in self.clients:
            client.say(_json(task))
        answers = [client.hear() for client in self.clients]
        after = self._cpu()
        figures: Figures = {**answers[0], "elapsed": time.perf_counter() - began}
        for answer in answers[1:]:
            for key in ("rate", "MB/s", "all"):
                if key in answer:
                    figures[key] += answer[key]
            for key in ("p50", "p99", "p99.9"):
                figures.pop(key, None)
        for name, seconds in after.items():
            figures[f"{name} CPU"] = (seconds - before[name]) / figures.get("all", 1) * 1e6
        return figures

    def _cpu(self) -> dict[str, float]:
        seconds = {"server": self.server.cpu(), "client": sum(client.cpu() for client in self.clients)}
        return seconds if self.broker is None else {"broker": self.broker.cpu(), **seconds}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()


def start_broker(system: System, folder: Path) -> Process:
    """Its broker, which is not ready yet."""
    assert system.broker is not None
    arguments = [argument.format(folder=folder) for argument in system.broker.arguments]
    return Process(arguments, folder, f"{system.name} broker".replace(" ", "-"), talks=False)


def _json(what: object) -> str:
    return msgspec.json.encode(what).decode()
