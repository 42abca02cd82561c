"""The signals that ask a process to end, heard for the length of a `with`.

They are taken by `signal.signal` and not by the loop's `add_signal_handler`: so what was there before can be put back,
be it of asyncio's runner, of the program itself, or of another `with` around this one; and a second signal ends the
process even if its loop hangs.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType

Handler = Callable[[int, FrameType | None], object] | int | None
"""What `signal.getsignal` returns."""

log = logging.getLogger("actrzmq.node")


class Ears:
    """Hands the first signal that comes to `hear`, on the event loop; the second one ends the process.

    Of several, the one that came last hears it; if that one shares it, so do all others that share.
    """

    def __init__(self, hear: Callable[[signal.Signals], None], *, is_shared: bool) -> None:
        self._loop = asyncio.get_running_loop()
        self._hear = hear
        self._is_shared = is_shared
        self._before: dict[signal.Signals, Handler] = {}
        self._has_let_pass = False
        self._is_leaving = False
        self._is_over = False
        self.heard: signal.Signals | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """What the signal does: it may come between any two steps of this thread."""
        all_ears = list(self._and_those_before(signal.Signals(number)))
        if self._loop.is_closed() or any(ears._is_done for ears in all_ears):
            _leave_at_once(signal.Signals(number))
        for ears in all_ears:
            if ears is self or (self._is_shared and ears._is_shared):
                ears._tell(signal.Signals(number))
            else:
                ears._has_let_pass = True

    def leave(self) -> None:
        """Whoever listens leaves: if a signal was heard by others inside, that was the first one."""
        self._is_leaving = True

    def take(self, number: signal.Signals) -> None:
        """Listen to it."""
        self._before[number] = signal.signal(number, self)

    def give_back(self) -> None:
        """Put back what was there, unless the program has put something else there meanwhile."""
        self._is_over = True
        for number in self._before:
            before = self._before_me(number)
            if signal.getsignal(number) is self:
                signal.signal(number, before)

    @property
    def _is_done(self) -> bool:
        """Is the next signal the second one?"""
        return self.heard is not None or (self._has_let_pass and self._is_leaving)

    def _tell(self, number: signal.Signals) -> None:
        if not self._loop.is_closed():
            self.heard = number
            self._loop.call_soon_threadsafe(self._hear, number)

    def _and_those_before(self, number: signal.Signals) -> Iterator[Ears]:
        handler: Handler = self
        while isinstance(handler, Ears):
            yield handler
            handler = handler._before_me(number)

    def _before_me(self, number: signal.Signals) -> Handler:
        handler = self._before[number]
        if isinstance(handler, Ears) and handler._is_over:  # it came before this one, and has gone before it, too
            return handler._before_me(number)
        return signal.SIG_DFL if handler is None else handler  # None: it was not Python's, and can't be put back


@contextmanager
def listening(
    hear: Callable[[signal.Signals], None],
    *,
    always: Iterable[signal.Signals],
    if_free: Iterable[signal.Signals],
    is_shared: bool = False,
) -> Iterator[Ears]:
    """Have `hear` called on the running loop with the first signal of these; puts back what was there before.

    Those that are to be taken only `if_free` are left to the program where it handles or ignores them itself (as under
    `nohup`). One that `is_shared` is heard by all that share, and else by the innermost alone. Outside the main thread,
    which alone may take signals, nothing is heard.
    """
    ears = Ears(hear, is_shared=is_shared)
    if threading.current_thread() is threading.main_thread():
        for number in (*always, *filter(_is_free, if_free)):
            ears.take(number)
    try:
        yield ears
    finally:
        ears.give_back()


def _is_free(number: signal.Signals) -> bool:
    handler = signal.getsignal(number)
    return handler is signal.SIG_DFL or isinstance(handler, Ears)


def _leave_at_once(number: signal.Signals) -> None:
    try:
        log.warning("second signal %s: leaving at once", number.name)
        logging.shutdown()
    finally:
        os._exit(128 + number)
