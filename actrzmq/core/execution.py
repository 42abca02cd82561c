"""One run of a handler."""

from __future__ import annotations

from enum import Enum, auto
from typing import Any

from msgspec import Struct, structs

from actrzmq.core.packing import metadata_bytes
from actrzmq.wire.messages import Call, CallId, Reply, Tell

EXECUTION_BYTES = 64
"""What an execution counts beside its body and metadata."""
SHORT_BYTES = 256
"""Bodies up to here are not worth the trouble of letting them go."""


class State(Enum):
    """queued → running → done; what is cancelled while queued goes straight to done."""

    QUEUED = auto()
    RUNNING = auto()
    DONE = auto()


class Execution(Struct, eq=False):
    """A call or tell that this node has accepted."""

    peer: Any
    """The `Peer` that asked."""
    request: Call | Tell
    deadline: int
    accepted: int
    size: int
    """Bytes that it counts: in the queue, and when it is done, those of the reply that is kept."""
    state: State = State.QUEUED
    reply: Reply | None = None
    """What was answered, kept for a repeat; None when running, or when the body was let go to save memory."""
    is_forgotten: bool = False
    """Nobody waits for the outcome any more."""
    is_extra: bool = False
    """Admitted beyond the limit, since a caller up its chain waits in this very node."""
    task: Any = None
    """Belongs to the shell: what it runs the handler in."""
    is_cancelled: bool = False
    """The shell's as well: was the handler told to end?"""

    @property
    def id(self) -> CallId:
        """The caller's number for it; 0 for a tell."""
        return self.request.id if type(self.request) is Call else CallId(0)

    def drop_body(self) -> None:
        """It was decoded, or nobody will ask for it; the rest is kept until the call is settled.

        A short one stays: to be rid of it costs more than to keep it.
        """
        if len(self.request.body) > SHORT_BYTES:
            self.request = structs.replace(self.request, body=b"")


def execution_of(peer: Any, request: Call | Tell, deadline: int, now: int) -> Execution:
    """`peer` asks for `request`, which is accepted now."""
    size = len(request.body) + EXECUTION_BYTES
    if request.metadata:
        size += metadata_bytes(request.metadata)
    return Execution(peer, request, deadline, now, size)
