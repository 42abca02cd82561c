"""Stream ids that somebody in this node has registered, and what they wait for: that one opens the stream.

A registration that nobody opens ends as well, where it is known who should: with that node; and where it says how long
to wait: after that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from actrzmq.core.deadlines import Deadlines
from actrzmq.core.failures import error_for
from actrzmq.core.peer import Peer
from actrzmq.core.turn import Turn
from actrzmq.errors import ActrRuntimeError, ActrTimeoutError, ActrTransportError
from actrzmq.identity import Serial
from actrzmq.wire.messages import Reason

if TYPE_CHECKING:
    from actrzmq.core.incoming import InStream


class Receiver(Struct, eq=False):
    """A stream id that somebody in this node has registered. `sink` is the shell's."""

    stream_id: str
    sender: Serial | None
    sink: Any
    stream: InStream | None = None
    peer: Peer | None = None
    """Who has opened it; it stays after the end."""
    awaited: Peer | None = None
    """Who should open it, and has not: it ends when that node goes down."""
    open_by: int | None = None
    """When it ends if nobody has opened it."""


class Receivers:
    """All registrations of one node, by stream id."""

    def __init__(self, turn: Callable[[], Turn]) -> None:
        self._turn = turn
        self._registered: dict[str, Receiver] = {}
        self._unopened: Deadlines[Receiver] = Deadlines()

    def get(self, stream_id: str) -> Receiver | None:
        """Who has registered that id."""
        return self._registered.get(stream_id)

    def add(self, stream_id: str, sender: Serial | None, sink: Any) -> Receiver:
        """Register an id that is free."""
        receiver = self._registered[stream_id] = Receiver(stream_id, sender, sink)
        return receiver

    def wait(self, receiver: Receiver, peer: Peer | None, open_by: int | None) -> None:
        """It is to be opened: by `peer`, and before `open_by`, as far as that is known."""
        if peer is not None:
            if receiver.awaited is not None:
                receiver.awaited.awaited.pop(receiver.stream_id, None)
            peer.awaited[receiver.stream_id] = receiver
            receiver.awaited = peer
        if open_by is not None:
            self._unopened.add(receiver, open_by)
            receiver.open_by = open_by

    def expect(self, receiver: Receiver, peer: Peer) -> None:
        """Take it from `peer` only, and await it from there; nothing happens if it is open, or no longer registered."""
        if receiver.stream is None and self._registered.get(receiver.stream_id) is receiver:
            receiver.sender = peer.serial
            self.wait(receiver, peer, None)

    def opened(self, receiver: Receiver) -> None:
        """It is waited for no longer."""
        if receiver.awaited is not None:
            receiver.awaited.awaited.pop(receiver.stream_id, None)
            receiver.awaited = None
        if receiver.open_by is not None:
            self._unopened.remove(receiver, receiver.open_by)
            receiver.open_by = None

    def forget(self, receiver: Receiver) -> None:
        """The id is free again."""
        self.opened(receiver)
        if self._registered.get(receiver.stream_id) is receiver:
            del self._registered[receiver.stream_id]

    def not_there(self, peer: Peer, reason: Reason) -> None:
        """`peer`, from whom streams may be awaited, can't be reached, or is down."""
        for receiver in list(peer.awaited.values()):
            assert isinstance(receiver, Receiver)
            what = f"stream {receiver.stream_id}, which nobody has opened yet"
            self._give_up(receiver, error_for(reason, peer.name, what, may_have_run=False))

    def end_known_senders(self, error: ActrRuntimeError) -> None:
        """The node's identity ends: those that are for one sender, who knows us by it, end with `error`."""
        for receiver in [one for one in self._registered.values() if one.sender is not None]:
            self._give_up(receiver, ActrTransportError(f"stream {receiver.stream_id}: {error.message}"))

    def expire(self, now: int) -> None:
        """End those that nobody has opened in time."""
        for receiver in self._unopened.due(now):
            message = f"stream {receiver.stream_id}: nobody opened it in time; look for the process that should send it"
            self._give_up(receiver, ActrTimeoutError(message))

    def next_deadline(self) -> int | None:
        """When `expire` has something to look at."""
        return self._unopened.next_deadline()

    def _give_up(self, receiver: Receiver, error: ActrRuntimeError) -> None:
        """Nobody has opened it, and nobody will."""
        error.details.setdefault("last", "0")
        self.forget(receiver)
        self._turn().closed.append((receiver.sink, error))
