"""A real supervisord in a folder, with a broker and programs, for the length of a `with`."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast
from xmlrpc.client import Fault

from supervisor.xmlrpc import Faults

from actrzmq.errors import ActrConfigError
from actrzmq.testing.folders import short_folder
from actrzmq.testing.programs import BROKER, Program, broker_program, launcher, process_names, supervisord_conf
from actrzmq.testing.supervisord import Supervisord

PATIENCE_S = 20.0
_POLL_S = 0.02


class SupervisedCluster:
    """A supervisord that runs a broker and `programs`, each by its name, with all files in `folder`.

    ::

        with SupervisedCluster(tmp_path, {"server": Program([sys.executable, "server.py"], numprocs=2)}) as cluster:
            cluster.wait_log("server_0", "registered")
            before = cluster.kill("broker")
            cluster.wait_replaced("broker", before)

    Entered, the broker takes nodes, and all that starts by itself is running. On leaving, everything is stopped as
    supervisord stops it; nothing outlives the test, however that ends. A program named `broker` replaces ours;
    `broker_toml` is a file for ours. All have the broker's address in their environment (`ACTRZMQ_BROKER`).

    supervisord notices an end within a second; `looks_every` makes it look more often (seconds).
    `patience` is how long all may take to start.
    Logs that an earlier cluster has left in `folder` are removed at the start; all else stays there.
    Waiting raises `AssertionError` with what there was instead. May be used from one thread at a time.
    """

    def __init__(
        self,
        folder: Path,
        programs: Mapping[str, Program],
        *,
        broker_toml: Path | None = None,
        looks_every: float | None = None,
        patience: float = PATIENCE_S,
    ) -> None:
        self.folder = folder.absolute()
        self._programs = dict(programs)
        self._broker_toml = broker_toml
        self._looks_every = looks_every
        self._patience = patience
        self._exits = ExitStack()
        self._names: dict[str, str] = {}
        self._is_open = False
        self.url: str
        """Where the broker is, over all its restarts."""
        self.process: subprocess.Popen[bytes]
        """supervisord itself."""

    def __enter__(self) -> Self:
        if self._is_open:
            raise ActrConfigError("this cluster runs already")
        self.folder.mkdir(parents=True, exist_ok=True)
        short = short_folder()  # for sockets: nobody else can take them meanwhile, as a port that is free again
        with ExitStack() as exits:
            exits.callback(shutil.rmtree, short, ignore_errors=True)
            self.url = f"ipc://{short}/broker"
            self._socket = short / "supervisor.sock"
            programs = {BROKER: broker_program(self.url, self._broker_toml), **self._programs}
            self._names = {
                one: full for name, kind in programs.items() for one, full in process_names(name, kind).items()
            }
            for one in self._names:
                self._log_path(one).unlink(missing_ok=True)
            self._supervisord = Supervisord(self._write(programs), self._socket, self._environment(), self._looks_every)
            self.process = self._supervisord.process
            exits.callback(self._stop)
            for name, program in programs.items():
                if program.autostart:
                    for one in process_names(name, program):
                        self._wait(one, self._has_started, "not RUNNING", self._patience)
            if BROKER not in self._programs:
                self.wait_log(BROKER, "ready endpoint=", self._patience)
            self._exits = exits.pop_all()
        self._is_open = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_open = False
        self._exits.close()

    @property
    def names(self) -> list[str]:
        """Of all processes, the broker first."""
        return list(self._names)

    # what is so

    def info(self, name: str) -> dict[str, Any]:
        """What supervisord says of the process `name`; nothing while it can't be asked."""
        full = self._full(name)
        try:
            with self._supervisord.rpc() as rpc:
                return cast("dict[str, Any]", rpc.getProcessInfo(full))
        except (OSError, Fault):  # not there yet, or about to reload
            return {}

    def pid(self, name: str) -> int:
        """Its process id; 0 while it does not run."""
        return int(self.info(name).get("pid", 0))

    def log(self, name: str) -> str:
        """What it has written so far, over all its lives."""
        self._full(name)
        path = self._log_path(name)
        return path.read_text(errors="replace") if path.exists() else ""

    # what is done

    def start(self, name: str) -> None:
        """Start it, and wait until it runs. `AssertionError` with its log if it does not, or if it ran already."""
        with self._asking("start", name) as rpc:
            rpc.startProcess(self._full(name))
        self._wait(name, self._has_started, "not RUNNING", PATIENCE_S)

    def stop(self, name: str) -> None:
        """Stop it as supervisord does, by SIGTERM first, and wait until it has ended. Nothing happens if it has."""
        with self._asking("stop", name) as rpc:
            try:
                rpc.stopProcess(self._full(name))
            except Fault as fault:
                if fault.faultCode != Faults.NOT_RUNNING:
                    raise

    def restart(self, name: str) -> None:
        """Stop it, and start it again."""
        self.stop(name)
        self.start(name)

    def kill(self, name: str, number: int = signal.SIGKILL) -> int:
        """Send it a signal, and return the process id that it had."""
        pid = self.pid(name)
        if not pid:
            raise AssertionError(f"{name} does not run: {self.info(name)}")
        os.kill(pid, number)
        return pid

    # what is waited for

    def wait_state(self, name: str, state: str, timeout: float = PATIENCE_S) -> dict[str, Any]:
        """Wait until it is in `state` (`RUNNING`, `STOPPED`, `EXITED`, `BACKOFF`, …); return what supervisord says."""
        return self._wait(name, lambda info: info.get("statename") == state, f"not {state}", timeout)

    def wait_running(self, name: str, timeout: float = PATIENCE_S) -> int:
        """Wait until it runs; return its process id."""
        return int(self._wait(name, self._runs, "not RUNNING", timeout)["pid"])

    def wait_replaced(self, name: str, pid: int, timeout: float = PATIENCE_S) -> int:
        """Wait until another process than `pid` runs in its place; return that one's id."""
        found = self._wait(
            name,
            lambda info: self._runs(info) and info["pid"] != pid,
            f"not running anew (it was process {pid})",
            timeout,
        )
        return int(found["pid"])

    def wait_log(self, name: str, text: str, timeout: float = PATIENCE_S, times: int = 1) -> str:
        """Wait until it has written `text`, so many `times` over all its lives; return its log."""
        deadline = time.monotonic() + timeout
        while (log := self.log(name)).count(text) < times:
            if time.monotonic() >= deadline:
                often = f" {times} times" if times > 1 else ""
                raise AssertionError(f"{name} has not written {text!r}{often} within {timeout} s, but: {log[-4000:]}")
            time.sleep(_POLL_S)
        return log

    # private

    @contextmanager
    def _asking(self, what: str, name: str) -> Iterator[Any]:
        """Ask supervisord to do it; what it refuses is told with what there is."""
        try:
            with self._supervisord.rpc() as rpc:
                yield rpc
        except Fault as fault:
            raise AssertionError(
                f"supervisord does not {what} {name}: {fault.faultString}: {self.info(name)}\n{self.log(name)[-4000:]}"
            ) from None
        except OSError as error:
            raise AssertionError(
                f"supervisord can't be asked to {what} {name}: {error}: {self._supervisord.said()}"
            ) from None

    def _wait(self, name: str, is_so: Callable[[dict[str, Any]], object], what: str, timeout: float) -> dict[str, Any]:
        deadline = time.monotonic() + timeout
        while not is_so(info := self.info(name)):
            if self.process.poll() is not None:
                raise AssertionError(f"supervisord has ended: {self._supervisord.said()}")
            if time.monotonic() >= deadline:
                raise AssertionError(f"{name} is {what} within {timeout} s: {info}\n{self.log(name)[-4000:]}")
            time.sleep(_POLL_S)
        return info

    def _runs(self, info: Mapping[str, Any]) -> bool:
        """Is it the program already? Until then it is still supervisord, which would take a signal and forget it."""
        return info.get("statename") == "RUNNING" and _command(info["pid"]) not in ("", _command(self.process.pid))

    def _has_started(self, info: Mapping[str, Any]) -> bool:
        """Does it run, or has it run to its end already?"""
        return info.get("statename") == "EXITED" or self._runs(info)

    def _log_path(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def _full(self, name: str) -> str:
        try:
            return self._names[name]
        except KeyError:
            raise ActrConfigError(f"no process {name!r} in this cluster; there are {', '.join(self._names)}") from None

    def _write(self, programs: Mapping[str, Program]) -> Path:
        scripts = {}
        for name, program in programs.items():
            scripts[name] = self.folder / f"{name}.sh"
            scripts[name].write_text(launcher(program))
        configuration = self.folder / "supervisord.conf"
        configuration.write_text(supervisord_conf(programs, self.folder, scripts, self._socket))
        return configuration

    def _environment(self) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if not name.startswith("ACTRZMQ_")}
        return {
            **own,
            "ACTRZMQ_BROKER": self.url,
            "ACTRZMQ_PARENT": str(os.getpid()),  # so that nothing outlives tests that are killed
            "ACTRZMQ_STORE": str(self.folder / "broker.db"),
            "PYTHONUNBUFFERED": "1",
        }

    def _stop(self) -> None:
        """What a SIGSTOP holds could not drain, and goes on first."""
        for name in self._names:
            pid = self.pid(name)
            if pid:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
        self._supervisord.stop()


def _command(pid: int) -> str:
    """The command line of a process; empty where it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except OSError:
        return ""
