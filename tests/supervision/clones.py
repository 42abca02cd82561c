"""A clone of the repository's supervision, with stand-ins for what it runs."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast
from xmlrpc.client import Fault, ServerProxy

from supervisor.xmlrpc import SupervisorTransport

REPOSITORY = Path(__file__).parents[2]

# Says what the tests want to know of it, and ends when it is told to.
STAND_IN = """import os, signal, sys
from actrzmq.supervision import watch_parent
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
words = ["ready", *sys.argv[1:], "cwd=" + os.getcwd(), "parent=" + os.environ.get("ACTRZMQ_PARENT", "")]
print(" ".join(words) + "\\n", end="", flush=True)  # in one piece: who waits for the first word reads on at once
watch_parent()
signal.sigwait([signal.SIGTERM])
print("drained", flush=True)
open(f"drained-{os.getpid()}", "w").close()
"""
ONE_SHOT = "print('one shot')\n"

# supervisord as it is, but that it looks at its programs every 50 ms, not every second: it does not hear of their ends.
PROMPT = """from supervisor import poller, supervisord
poll = poller.PollPoller.poll
poller.PollPoller.poll = lambda self, timeout: poll(self, min(timeout, 0.05))
supervisord.main()
"""


class Clone:
    """A folder with supervisord.conf, conf/, run/ and, unless told otherwise, an environment in .venv."""

    def __init__(self, root: Path, environment: bool = True) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / "supervisord.conf", root)
        shutil.copytree(REPOSITORY / "conf", root / "conf", ignore=shutil.ignore_patterns("run"))
        (root / "run").mkdir()
        for folder, program, text in (("server", "server.py", STAND_IN), ("client", "client.py", ONE_SHOT)):
            path = root / "examples" / "stream-echo" / folder
            path.mkdir(parents=True)
            (path / program).write_text(text)
        if environment:
            write_environment(root / ".venv")

    def log(self, name: str) -> str:
        """What the program `name` has written so far."""
        path = self.root / "run" / f"{name}.log"
        return path.read_text() if path.exists() else ""

    def wait_log(self, name: str, text: str, timeout: float = 20) -> str:
        """Wait until the log of `name` has `text`; return the log."""
        deadline = time.monotonic() + timeout
        while text not in self.log(name):
            assert time.monotonic() < deadline, f"no {text!r} in: {self.log(name)}"
            time.sleep(0.02)
        return self.log(name)

    def command(self, program: str) -> list[str]:
        """The command line that runs supervisord or supervisorctl with this clone's configuration."""
        code = ["-c", PROMPT] if program == "supervisord" else ["-m", f"supervisor.{program}"]
        return [sys.executable, *code, "-c", str(self.root / "supervisord.conf")]

    def ctl(self, *arguments: str, cwd: Path | str = "/") -> str:
        """What `supervisorctl` answers."""
        done = subprocess.run(
            [*self.command("supervisorctl"), *arguments],
            cwd=cwd,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        return done.stdout + done.stderr

    @contextmanager
    def supervisord(self, cwd: Path | str = "/", **variables: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run supervisord in the foreground; at the end it is gone, and so is all that it started."""
        process = subprocess.Popen(
            [*self.command("supervisord"), "-n"],
            cwd=cwd,
            env=environment(**variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        try:
            yield process
        finally:
            stop(process)

    @contextmanager
    def rpc(self) -> Iterator[Any]:
        """supervisord's XML-RPC, whatever the length of the socket's path."""
        before = Path.cwd()
        os.chdir(self.root / "run")
        transport = SupervisorTransport(None, None, "unix://supervisor.sock")
        try:
            yield cast(Any, ServerProxy("http://127.0.0.1", transport=transport)).supervisor
        finally:
            transport.close()
            os.chdir(before)

    def wait_state(self, name: str, state: str, timeout: float = 20) -> dict[str, Any]:
        """Wait until the program `name` is in `state`; return what supervisord says of it."""
        deadline = time.monotonic() + timeout
        while True:
            info = self.info(name)
            if info.get("statename") == state:
                return info
            assert time.monotonic() < deadline, f"{info} is not {state}"
            time.sleep(0.05)

    def info(self, name: str) -> dict[str, Any]:
        """What supervisord says of the program `name`; nothing while it can't be asked."""
        try:
            with self.rpc() as rpc:
                return cast("dict[str, Any]", rpc.getProcessInfo(name))
        except (OSError, Fault):  # not there yet, or about to reload
            return {}


def environment(**variables: str) -> dict[str, str]:
    """An environment in which actrzmq can be imported and no Python environment is active."""
    kept = {name: os.environ[name] for name in ("HOME", "LANG", "TMPDIR", "XDG_RUNTIME_DIR") if name in os.environ}
    return {**kept, "PATH": "/usr/bin:/bin", "PYTHONPATH": str(REPOSITORY), **variables}


def write_environment(folder: Path) -> None:
    """A stand-in for a Python environment: the programs that conf/launch looks for."""
    write_program(folder / "bin" / "python", f'exec "{sys.executable}" "$@"')
    write_program(folder / "bin" / "actr", "echo generated >&2")
    stand_in = folder / "broker.py"
    stand_in.write_text(STAND_IN)
    write_program(folder / "bin" / "actrzmq-broker", f'exec "{sys.executable}" "{stand_in}" "$@"')


def write_program(path: Path, line: str) -> None:
    """An executable shell script of one line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def stop(supervisord: subprocess.Popen[bytes]) -> None:
    """End supervisord and what it runs. Asked twice: a signal that comes while it reloads is lost on it."""
    for _ in range(2):
        supervisord.terminate()
        with suppress(subprocess.TimeoutExpired):
            supervisord.wait(20)
            return
    supervisord.kill()  # its programs watch for that
    supervisord.wait()
    raise AssertionError("supervisord did not stop")


def is_alive(pid: int) -> bool:
    """Whether the process `pid` runs, zombies not counted."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_gone(pid: int, timeout: float = 10) -> None:
    """Wait until the process `pid` has ended."""
    deadline = time.monotonic() + timeout
    while is_alive(pid):
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.02)
