"""A thread that watches the event loop, and tells the broker when it no longer turns.

The loop renews the lease itself; a blocked loop can't. The broker would count the node as dead, although its process
lives and only one handler misbehaves. So this thread reports the lag, on a connection of its own that exists only then:
the node keeps its identity and gets no new work. It also sees what the loop can't: that the whole process was stopped.

An error in here (no descriptor left for that connection, say) is logged and counted, and the thread looks again at the
next time: such errors pass, and the node works without its reports. It must not end: without its beat the node would no
longer notice that it was stopped for a lease, and would act under an identity that others have seen declared down.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Callable

import zmq

from actrzmq.net import sockets
from actrzmq.net.clock import boottime_ms
from actrzmq.net.endpoints import candidates
from actrzmq.wire.codec import encode_batch
from actrzmq.wire.messages import Batch, Lagging

EVERY = 250
LAG = 2_000
STALL = 30_000
REPORT_EVERY = 1_000

log = logging.getLogger("actrzmq.watchdog")


class Watchdog:
    """Watches the thread that makes it. All times in milliseconds."""

    def __init__(self, url: str, token: Callable[[], bytes]) -> None:
        self._url = url
        self._token = token
        self._watched = threading.get_ident()
        self._turned_at = self._beat_at = boottime_ms()
        self._gap = 0
        self._is_running = False
        self._reported_at = 0
        self._has_warned = self._has_dumped = False
        self._reporter: zmq.Socket[bytes] | None = None
        self.counters: Counter[str] = Counter()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="actrzmq-watchdog", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._is_running = True
        self._thread.start()

    def stop(self) -> None:
        """Stop watching, and wait for the thread to end."""
        self._is_running = False
        self._stop.set()
        if self._thread.ident is not None:  # else it was never started
            self._thread.join(timeout=2)

    def turned(self, now: int) -> None:
        """The loop says that it turns."""
        self._turned_at = now

    def take_gap(self, now: int) -> int:
        """The longest time since the last asking in which the process was not scheduled at all."""
        since = now - self._beat_at if self._is_running else 0
        gap, self._gap = self._gap, 0
        return gap if gap > since else since

    def _run(self) -> None:
        is_failing = False
        while not self._stop.wait(EVERY / 1000):
            try:
                self._look()
                is_failing = False
            except Exception:  # the edge of this thread; see the module
                self.counters["errors"] += 1
                if not is_failing:  # the first of a row says it all
                    log.exception("the watchdog has failed; it goes on")
                is_failing = True
                self._hang_up(0)
        self._hang_up(0)

    def _look(self) -> None:
        now = boottime_ms()
        self._gap = max(self._gap, now - self._beat_at)
        self._beat_at = now
        lag = now - self._turned_at
        if lag < LAG:
            self._has_warned = self._has_dumped = False
            self._hang_up(500)
            return
        if not self._has_warned:
            self._has_warned = True
            log.warning("event loop blocked lag_ms=%d; the node gets no new work\n%s", lag, self._stack())
        self._report(lag, now)
        if lag >= STALL and not self._has_dumped:
            self._has_dumped = True
            log.error("event loop stalled lag_ms=%d; the node counts as down\n%s", lag, self._stack())

    def _report(self, lag: int, now: int) -> None:
        if self._reporter is None:
            self._reporter = sockets.dealer()
            sockets.connect(self._reporter, candidates(self._url)[0])
        token = self._token()
        report = [b"", encode_batch(Batch(0, [Lagging(token, lag)]))]
        # Nothing can be sent before it is connected, which takes a moment.
        if token and now - self._reported_at >= REPORT_EVERY and sockets.send(self._reporter, report):
            self._reported_at = now

    def _hang_up(self, linger_ms: int) -> None:
        reporter, self._reporter = self._reporter, None
        if reporter is not None:
            reporter.close(linger_ms)

    def _stack(self) -> str:
        frame = sys._current_frames().get(self._watched)
        return "".join(traceback.format_stack(frame)) if frame else "(the thread is gone)"
