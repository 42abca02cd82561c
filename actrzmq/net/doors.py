"""The unix sockets at which a broker takes nodes, shut while it is short of descriptors.

libzmq ends the whole process when it can't accept a connection to an ipc endpoint because the process has no
descriptor left (`errno_assert` in ipc_listener.cpp; the one for tcp knows EMFILE). Nodes that find no unix socket take
the port, where there is one; those that are connected notice nothing.
"""

from __future__ import annotations

import logging
import os
import resource

from actrzmq.net.endpoints import UnixListener

LOOK_EVERY = 500
"""Milliseconds between two looks whether there is room again."""
RESERVE = 1_024
"""Descriptors that are left when the doors are shut, or a quarter of all: connections come faster than we look."""

log = logging.getLogger("actrzmq.broker")


class Doors:
    """Those of one broker."""

    def __init__(self) -> None:
        self._listeners: list[UnixListener] = []
        self._looked_at = 0
        self.are_shut = False

    def add(self, listener: UnixListener) -> None:
        """One more."""
        self._listeners.append(listener)

    def look(self, now: int) -> None:
        """Shut them if few descriptors are left, and open them again when there are enough."""
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        reserve = min(RESERVE, limit // 4)
        if not self.are_shut:
            if self._listeners and _lowest_free(limit) >= limit - reserve:
                self.are_shut = True
                for listener in self._listeners:
                    listener.shut()
                log.error("few file descriptors are left limit=%d; unix sockets take nobody more (ulimit -n)", limit)
        elif now - self._looked_at >= LOOK_EVERY:
            self._looked_at = now
            if _count(limit) < limit - 2 * reserve:
                self.are_shut = False
                for listener in self._listeners:
                    listener.open()
                log.warning("there are enough file descriptors again; unix sockets take nodes")

    def remove(self) -> None:
        """Leave nothing behind; to be called once the sockets are closed."""
        for listener in self._listeners:
            listener.remove()


def _count(limit: int) -> int:
    """How many descriptors are open; to look takes one, so that where it can't be had, all are."""
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return limit


def _lowest_free(limit: int) -> int:
    """The lowest descriptor that is free: where all below it are taken, how many there are. Cheap, unlike counting."""
    try:
        free = os.eventfd(0)
    except OSError:
        return limit
    os.close(free)
    return free
