"""How a node stands: not started yet, running, stopping, stopped, or ended by a bug; and where it may be used."""

from __future__ import annotations

import asyncio
import os

from actrzmq.errors import ActrGateNotInitialized, ActrRuntimeError
from actrzmq.runtime.limits import shown


class Standing:
    """What one node has come to. It is used in the process and on the event loop in which it was made."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._pid = os.getpid()
        self.is_started = self.is_stopping = self.is_closed = False
        self.bug: Exception | None = None
        """What has ended it out of order. Its session is asked nothing any more then."""

    def check_running(self, *, may_start_later: bool = False) -> None:
        """Raise `ActrGateNotInitialized` unless this node runs, in this process and on this event loop."""
        if asyncio.get_running_loop() is not self.loop:
            raise self._elsewhere()
        if self.bug is not None:
            raise broken(self.bug)
        if self.is_closed:
            raise ActrGateNotInitialized("the node has stopped; start another one")
        if not self.is_started and not may_start_later:
            raise ActrGateNotInitialized("the node has not been started yet; in on_ready it has")

    def _elsewhere(self) -> ActrGateNotInitialized:
        if os.getpid() != self._pid:
            return ActrGateNotInitialized(
                "this process was forked from one in which the node runs, whose connections it can't use; "
                "start a node of its own in the child, or start the child by spawning instead of forking"
            )
        return ActrGateNotInitialized(
            "the node runs on another event loop; from other threads, use asyncio.run_coroutine_threadsafe"
        )


def broken(bug: Exception) -> ActrRuntimeError:
    """What those hear who wait for a node that has a bug; one for each, since callers note in it what they know."""
    return ActrRuntimeError(
        f"this node has stopped by an internal error, {shown(bug)}; its log has the traceback", may_have_run=True
    )
