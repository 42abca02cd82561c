"""The connections behind the broker's peers, as the kernel sees them.

To find a lost connection by writing to it costs a message, which wakes libzmq's thread and the node. The kernel knows
as well, and can be asked for a twentieth of that. It is asked for the very connection that a node registered on: an
epoll remembers the open file behind a descriptor, so one that was closed, or has the number of a later one, is not
taken for it. And an epoll lets go of what is closed: nothing is to be tidied up here.
"""

from __future__ import annotations

import select
from contextlib import suppress

import zmq

NONE = -1
NUMBER_BITS = 32
MAX_NUMBER = (1 << NUMBER_BITS) - 1


class Lines:
    """Those that were noted. A line is a descriptor of libzmq's, only to be looked at, and how many had its number."""

    def __init__(self) -> None:
        self._watched = select.epoll()
        self._ending: set[int] = set()
        self._lives: dict[int, int] = {}  # how many connections have had each number
        self._looked_at = -1

    def note(self, frame: zmq.Frame) -> int:
        """The line on which `frame` came, to be looked at from now on; `NONE` where that can't be known."""
        try:
            number = frame.get(zmq.SRCFD)
            assert isinstance(number, int)
            with suppress(FileExistsError):
                self._watched.register(number, select.EPOLLRDHUP)
                self._lives[number] = self._lives.get(number, 0) + 1  # the former one, if any, is closed
        except (OSError, zmq.ZMQError):  # closed already
            return NONE
        return self._lives[number] << NUMBER_BITS | number

    def is_up(self, line: int, now: int) -> bool:
        """Is that still the connection that was noted, and has its other side not closed it?"""
        if now != self._looked_at:
            self._looked_at = now
            self._ending = {ending for ending, _ in self._watched.poll(0)}
        life, number = line >> NUMBER_BITS, line & MAX_NUMBER
        if line == NONE or self._lives.get(number) != life or number in self._ending:
            return False
        try:
            self._watched.modify(number, select.EPOLLRDHUP)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Look no more."""
        self._watched.close()
