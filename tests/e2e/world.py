"""Starts brokers, servers and clients as a user does, and watches what they print."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
EXAMPLE = REPOSITORY / "examples" / "stream-echo"

BROKER = ("-c", "from actrzmq.brokerd.main import main; main()")

STOP_S = 15.0


def environment(**variables: str) -> dict[str, str]:
    """An environment in which actrzmq can be imported, without settings of whoever runs the tests."""
    kept = {
        name: os.environ[name] for name in ("HOME", "LANG", "PATH", "TMPDIR", "XDG_RUNTIME_DIR") if name in os.environ
    }
    return {**kept, "PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1", **variables}


def run_python(*arguments: str, cwd: Path, timeout: float = 60, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run Python to its end."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=environment(**variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


class Program:
    """A process, and what it has printed so far: `out` and `err` may be read at any time."""

    def __init__(self, arguments: list[str], cwd: Path, folder: Path, variables: dict[str, str]) -> None:
        self.started = time.monotonic()
        self._out = folder / "out"
        self._err = folder / "err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=cwd,
                env=environment(**variables),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )

    @property
    def out(self) -> str:
        return self._out.read_text()

    @property
    def err(self) -> str:
        return self._err.read_text()

    def wait_for(self, pattern: str, timeout: float = 20) -> re.Match[str]:
        """Wait until the program has printed what `pattern` finds."""
        deadline = time.monotonic() + timeout
        while True:
            found = re.search(pattern, self.out + self.err)
            if found:
                return found
            assert self.process.poll() is None, f"ended before {pattern!r}: {self.out}{self.err}"
            assert time.monotonic() < deadline, f"no {pattern!r} in: {self.out}{self.err}"
            time.sleep(0.01)

    def wait(self, timeout: float = 30) -> int:
        """The exit code, once there is one."""
        return self.process.wait(timeout)

    def stop(self) -> None:
        """Ask the program to end, and insist when it has had its time."""
        if self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class World:
    """One broker's address, and the programs that use it."""

    def __init__(self, example: Path, folder: Path) -> None:
        self.example = example
        self.folder = folder
        self.url = ""
        self.programs: list[Program] = []

    def start(self, *arguments: str, cwd: Path, **variables: str) -> Program:
        """Start Python with `arguments`; it ends with the test at the latest."""
        folder = self.folder / f"program-{len(self.programs)}"
        folder.mkdir()
        broker = {"ACTRZMQ_BROKER": self.url} if self.url else {}
        state = {"XDG_STATE_HOME": str(self.folder / "state")}
        program = Program(list(arguments), cwd, folder, {**state, **broker, **variables})
        self.programs.append(program)
        return program

    def broker(self, listen: str = "tcp://127.0.0.1:*") -> Program:
        """Start a broker and wait until it is ready; the others use it from then on."""
        program = self.start(*BROKER, "--listen", listen, cwd=self.folder)
        self.url = program.wait_for(r"ready endpoint=(\S+)")[1]
        return program

    def server(self, *arguments: str) -> Program:
        """Start a server, without waiting for it."""
        return self.start("server.py", *arguments, cwd=self.example / "server")

    def client(self, *arguments: str) -> Program:
        """Start a client, without waiting for it."""
        return self.start("client.py", *arguments, cwd=self.example / "client")

    def stop(self) -> None:
        """End what still runs, the latest first."""
        for program in reversed(self.programs):
            program.stop()


def messages(count: int, stream_id: str) -> list[str]:
    """What a client shows of a stream that came whole and in order."""
    return [f"Received: [server] Stream message {i} for {stream_id}" for i in range(1, count + 1)]


def received(client: Program) -> list[str]:
    """What `client` has shown so far."""
    return [line for line in client.out.splitlines() if line.startswith("Received: ")]
