"""Runs the example under supervisord: a broker, a server, and a client whose messages are shown as they come.

Exits as the client does, after everything has been stopped. `make demo` calls this. The broker's address is a free
port of its own, or what ACTRZMQ_BROKER says.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from http.client import HTTPException
from pathlib import Path
from tempfile import TemporaryFile
from types import FrameType
from typing import Any
from xmlrpc.client import Error, ServerProxy

from supervisor.xmlrpc import SupervisorTransport

ROOT = Path(__file__).resolve().parents[2]
RUN = ROOT / "run"

TIMEOUT_S = 120.0
STOP_S = 60.0


class Failure(Exception):
    """Why the demonstration can't go on."""


def main() -> int:
    """The client's exit code; 1 where there is none."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)
    try:
        with TemporaryFile(dir=RUN):
            pass
    except OSError as error:
        print(f"demo.py: {RUN}, where logs and sockets go, can't be written: {error.strerror}", file=sys.stderr)
        return 1
    os.chdir(RUN)  # the socket's whole path may be longer than a socket's address
    address = os.environ.setdefault("ACTRZMQ_BROKER", f"tcp://127.0.0.1:{free_port()}")
    print(f"supervisord starts a broker at {address}, a server and a client; their logs are in {RUN}", flush=True)
    broker_log, client_log = Log(RUN / "broker.log"), Log(RUN / "client.log")
    # supervisord stops as well if this program is killed.
    os.environ["ACTRZMQ_PARENT"] = str(os.getpid())
    supervisord = subprocess.Popen(
        [sys.executable, "-m", "supervisor.supervisord", "-n", "-s", "-c", str(ROOT / "supervisord.conf")],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    code = 1
    try:
        wait_for_broker(broker_log, supervisord)
        code = follow(client_log, supervisord)
    except Failure as failure:
        print(f"demo.py: {failure}", file=sys.stderr)
    except KeyboardInterrupt:
        code = 130
    finally:
        stop(supervisord)
    print("everything is stopped", flush=True)
    return code


def wait_for_broker(log: Log, supervisord: subprocess.Popen[bytes]) -> None:
    """Return when the broker is ready. One that can't start may find another at its address, which would be used."""
    said = ""
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        check_running(supervisord)
        has_failed = process_info("broker").get("statename") in ("BACKOFF", "EXITED", "FATAL")
        said += log.read()
        if said.startswith("ready ") or "\nready " in said:
            return
        if has_failed:
            last_line = said.strip().rpartition("\n")[2]
            raise Failure(f"the broker did not start: {last_line}")
        time.sleep(0.05)
    raise Failure(f"the broker was not ready within {TIMEOUT_S:.0f} s; {log.path} may say why")


def check_running(supervisord: subprocess.Popen[bytes]) -> None:
    """Raise `Failure` if supervisord has ended."""
    if supervisord.poll() is not None:
        raise Failure(f"supervisord did not start; {RUN / 'supervisord.log'} may say more")


def follow(client: Log, supervisord: subprocess.Popen[bytes]) -> int:
    """Show what the client writes until it has ended; return its exit code."""
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        check_running(supervisord)
        info = process_info("client")
        client.show()
        if info.get("statename") in ("EXITED", "FATAL", "STOPPED") and info["start"]:
            client.show()
            return int(info["exitstatus"])
        time.sleep(0.05)
    raise Failure(f"the client did not end within {TIMEOUT_S:.0f} s; the logs in {RUN} may say why")


def process_info(name: str) -> dict[str, Any]:
    """What supervisord says of a program; nothing while it can't be asked."""
    transport = SupervisorTransport(None, None, "unix://supervisor.sock")
    try:
        info: Any = ServerProxy("http://127.0.0.1", transport=transport).supervisor.getProcessInfo(name)
    except (OSError, HTTPException, Error):
        return {}
    finally:
        transport.close()
    return dict(info)


class Log:
    """A log file, from where it ended when this began."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.position = path.stat().st_size if path.exists() else 0

    def read(self) -> str:
        """What has been added since it was last asked."""
        if not self.path.exists():
            return ""
        with self.path.open("rb") as file:
            if self.path.stat().st_size < self.position:  # supervisord has begun a new file
                self.position = 0
            file.seek(self.position)
            text = file.read()
        self.position += len(text)
        return text.decode("utf-8", "replace")

    def show(self) -> None:
        """Print what has been added."""
        sys.stdout.write(self.read())
        sys.stdout.flush()


def free_port() -> int:
    """A port that nobody listened at a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def stop(supervisord: subprocess.Popen[bytes]) -> None:
    """Have supervisord stop its programs, in the reverse order of their start, and itself."""
    supervisord.terminate()
    try:
        supervisord.wait(STOP_S)
    except subprocess.TimeoutExpired:
        supervisord.kill()  # its programs watch for that
        supervisord.wait()


def leave(number: int, frame: FrameType | None) -> None:
    """Let the way out that an interrupt takes serve for other signals as well."""
    del number, frame
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
