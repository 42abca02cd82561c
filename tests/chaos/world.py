"""Real processes in a folder of their own: a broker, with or without supervisord, and nodes that write ledgers.

supervisord runs the broker where broker kills are measured: a second of the pause is its own, and users have it too.
Everything else is started directly: what is measured is the runtime, and the one who kills needs to know the process.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.chaos.ledger import SUFFIX, Ledger, Recorder, now, read
from tests.chaos.procs import started_at

REPOSITORY = Path(__file__).parents[2]
BROKER = "from actrzmq.brokerd.main import main; main()"
PATIENCE_S = 60
LEASE_MS = 10_000
"""As it is by default."""
SUPERVISORD = """[supervisord]
nodaemon=true
logfile={folder}/supervisord.log
pidfile={folder}/supervisord.pid
childlogdir={folder}
[program:broker]
command=/bin/sh -c 'echo $$ >> {folder}/broker.pids; exec "$0" -c "$1" "$2" "$3" "$4" "$5"' {arguments}
autorestart=true
startsecs=1
startretries=1000000
stopwaitsecs=15
stopasgroup=true
killasgroup=true
redirect_stderr=true
stdout_logfile={folder}/broker.log
"""


class Program:
    """A process that was started, under the name of its ledger."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.process = process
        self.log = log

    @property
    def pid(self) -> int:
        return self.process.pid


class World:
    """A broker's address, and the processes that use it, for the length of a `with`. The folder stays."""

    def __init__(
        self,
        seed: int = 0,
        *,
        supervised: bool = False,
        sabotage: str = "",
        lease_ms: int = LEASE_MS,
        detours: bool = False,
    ) -> None:
        """With `detours`, what is relayed goes to the broker through a proxy of a `Network`."""
        self.folder = Path(tempfile.mkdtemp(prefix="actr"))
        self.address = f"ipc://{self.folder}/broker"
        self.seed = seed
        self.supervised = supervised
        self.lease_ms = lease_ms
        self._broker = f"from tests.chaos.sabotage import SABOTAGE as s; s[{sabotage!r}](); " * bool(sabotage) + BROKER
        if detours:
            self._broker = f"from tests.chaos.detours import detour_relay as d; d({str(self.folder)!r}); {self._broker}"
        self.book = Recorder(self.folder / f"runner{SUFFIX}")
        self.programs: dict[str, Program] = {}
        self._lives: dict[str, int] = {}
        self._supervisord: subprocess.Popen[bytes] | None = None
        self.exits: dict[str, int] = {}

    def __enter__(self) -> Self:
        try:
            self.start_broker()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for program in list(self.programs.values()):
            if program.name != "broker":
                self._end(program, 2)
        if self._supervisord is not None:
            self._supervisord.terminate()
            self._supervisord.wait(PATIENCE_S)
        elif "broker" in self.programs:
            self._end(self.programs["broker"], 15)
        self.book.close()
        if error is not None:
            print(f"kept: {self.folder}", file=sys.stderr)

    # the broker

    def start_broker(self, **more: Any) -> None:
        """Start it, and wait until nodes may connect."""
        before = self._readiness()
        store = str(self.folder / "broker.db")
        if self.supervised:
            arguments = f'{sys.executable} "{BROKER}" --listen {self.address} --store {store}'
            configuration = self.folder / "supervisord.conf"
            configuration.write_text(SUPERVISORD.format(folder=self.folder, arguments=arguments))
            command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(configuration)]
            self._supervisord = subprocess.Popen(
                command, env=_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
            )
        else:
            settings = self.folder / "broker.toml"
            settings.write_text(f"lease_ms = {self.lease_ms}\n")
            command = [sys.executable, "-c", self._broker, "--config", str(settings)]
            self._spawn("broker", [*command, "--listen", self.address, "--store", store], **more)
        self.wait_ready(before)

    def start_second_broker(self, listen: str, store: str) -> subprocess.CompletedProcess[str]:
        """Start another one, which is to end by itself, and return what it said."""
        command = [sys.executable, "-c", BROKER, "--listen", listen, "--store", str(self.folder / store)]
        return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=30, check=False)

    @property
    def broker_pid(self) -> int:
        """The broker's process."""
        if not self.supervised:
            return self.programs["broker"].pid
        return int((self.folder / "broker.pids").read_text().split()[-1])

    def wait_ready(self, before: int) -> float:
        """Wait until the broker has said once more than `before` times that it is ready; returns when."""
        self.wait_until(lambda: self._readiness() > before, "a broker that is ready")
        return now()

    def kill_broker(self) -> tuple[float, float, float]:
        """SIGKILL it; returns when it was killed, when its successor was started, and when that was ready."""
        before, pid = self._readiness(), self.broker_pid
        at = self.book.write("fault", "broker", "SIGKILL")
        os.kill(pid, signal.SIGKILL)
        if self.supervised:
            self.wait_until(lambda: self.broker_pid != pid, "a new broker")
        else:
            self.programs.pop("broker").process.wait()
            self.start_broker()
        ready = self.wait_ready(before)
        self.book.write("healed", "broker")
        return at, started_at(self.broker_pid), ready

    def downs(self) -> list[str]:
        """What the broker has said of nodes that are down."""
        log = (self.folder / "broker.log").read_text(errors="replace")
        return [line for line in log.splitlines() if " node down " in line]

    def _readiness(self) -> int:
        log = self.folder / "broker.log"
        return log.read_text(errors="replace").count("ready endpoint=") if log.exists() else 0

    # nodes

    def start(self, role: str, base: str, *, wait: bool = True, log: Path | None = None, **settings: Any) -> Program:
        """Start the next life of the process `base`; unless told otherwise, wait until its nodes are registered.

        What it says goes to `log`; unless told otherwise, to a file beside its ledger.
        """
        self._lives[base] = self._lives.get(base, 0) + 1
        name = f"{base}.{self._lives[base]}"
        words = [f"{key}={value}" for key, value in {"broker": self.address, "seed": self.seed, **settings}.items()]
        command = [sys.executable, "-m", "tests.chaos.node", role, str(self.folder), name, *words]
        program = self._spawn(name, command, log)
        if wait:
            self.wait_up(program)
        return program

    def wait_up(self, program: Program) -> None:
        """Wait until its nodes are registered."""

        def is_up() -> bool:
            assert program.process.poll() is None, f"{program.name} ended: {program.log.read_text()[-2000:]}"
            path = self.folder / f"{program.name}{SUFFIX}"
            return path.exists() and b',"up",' in path.read_bytes()

        self.wait_until(is_up, f"{program.name} up")

    def kill(self, program: Program, number: signal.Signals = signal.SIGKILL) -> float:
        """End it by that signal, written down before it is sent; returns the time."""
        at = self.book.write("killed", program.name, number.name)
        program.process.send_signal(number)
        self.exits[program.name] = program.process.wait(PATIENCE_S)
        del self.programs[program.name]
        return at

    def pause(self, program: Program, seconds: float) -> tuple[float, float]:
        """SIGSTOP, and SIGCONT so much later; returns both times."""
        at = self.book.write("fault", program.name, "SIGSTOP")
        program.process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        program.process.send_signal(signal.SIGCONT)
        return at, self.book.write("healed", program.name)

    def stop(self, program: Program, number: signal.Signals = signal.SIGTERM) -> int:
        """Have it end in good order; returns the exit code."""
        program.process.send_signal(number)
        code = self.exits[program.name] = program.process.wait(PATIENCE_S * 2)
        del self.programs[program.name]
        return code

    def finish(self) -> Ledger:
        """Have the clients begin nothing more and end, then the servers; returns the ledgers."""
        nodes = [program for program in self.programs.values() if program.name != "broker"]
        clients = [program for program in nodes if not program.name.startswith("server")]
        for program in clients:
            program.process.send_signal(signal.SIGUSR1)
        for program in clients:
            self.exits[program.name] = program.process.wait(PATIENCE_S * 2)
            del self.programs[program.name]
        for program in nodes:
            if program not in clients:
                self.stop(program)
        return read(self.folder)

    # private

    def wait_until(self, condition: Callable[[], object], what: str, timeout: float = PATIENCE_S) -> None:
        """Ask again and again until it holds."""
        deadline = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < deadline, f"never: {what}; see {self.folder}"
            time.sleep(0.01)

    def _spawn(self, name: str, command: list[str], log: Path | None = None, **more: Any) -> Program:
        log = log or self.folder / f"{name}.log"
        with log.open("ab") as out:
            process = subprocess.Popen(
                command,
                cwd=REPOSITORY,
                env=_environment(ACTRZMQ_PARENT=str(os.getpid())),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                **more,
            )
        program = self.programs[name] = Program(name, process, log)
        return program

    def _end(self, program: Program, patience: float) -> None:
        if program.process.poll() is None:
            program.process.send_signal(signal.SIGCONT)
            program.process.terminate()
            try:
                program.process.wait(patience)
            except subprocess.TimeoutExpired:
                program.process.kill()
        program.process.wait()


def _environment(**variables: str) -> dict[str, str]:
    names = ("HOME", "LANG", "PATH", "TMPDIR", "XDG_RUNTIME_DIR")
    kept = {name: os.environ[name] for name in names if name in os.environ}
    return {**kept, "PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1", **variables}
