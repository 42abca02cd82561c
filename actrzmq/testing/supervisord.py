"""A supervisord in the foreground, and how to ask it things."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast
from xmlrpc.client import ServerProxy

from supervisor.xmlrpc import SupervisorTransport

STOP_S = 20.0
"""Seconds that it has for its end, and what it runs for theirs."""

# supervisord as it is, but for how often it looks at its programs: it does not hear of their ends.
_EAGER = """import sys
from supervisor import poller, supervisord
interval, poll = float(sys.argv.pop(1)), poller.PollPoller.poll
poller.PollPoller.poll = lambda self, timeout: poll(self, min(timeout, interval))
supervisord.main()
"""


class Supervisord:
    """Started with `configuration`, which says that it is asked by `socket`. Stop it, or what it runs outlives you."""

    def __init__(
        self, configuration: Path, socket: Path, environment: Mapping[str, str], looks_every: float | None = None
    ) -> None:
        self._socket = socket
        self._out = configuration.with_suffix(".out")
        run = ["-m", "supervisor.supervisord"] if looks_every is None else ["-c", _EAGER, str(looks_every)]
        with self._out.open("wb") as out:
            self.process = subprocess.Popen(  # noqa: S603 - what a test wants to have run
                [sys.executable, *run, "-n", "-c", str(configuration)],
                cwd=configuration.parent,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )

    @contextmanager
    def rpc(self) -> Iterator[Any]:
        """Its XML-RPC. Raises `OSError` while it does not listen, `Fault` for what it refuses."""
        transport = SupervisorTransport(None, None, f"unix://{self._socket}")
        try:
            yield cast(Any, ServerProxy("http://127.0.0.1", transport=transport)).supervisor
        finally:
            transport.close()

    def said(self) -> str:
        """The last that it has printed."""
        return self._out.read_text(errors="replace")[-4000:]

    def stop(self) -> None:
        """End it and what it runs. Asked twice: a signal that comes while it reloads is lost on it."""
        for _ in range(2):
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_S)
                return
        self.process.kill()  # its programs watch for that
        self.process.wait()
        raise AssertionError(f"supervisord did not stop: {self.said()}")
