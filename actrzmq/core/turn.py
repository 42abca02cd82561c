"""What a session asks of its shell."""

from __future__ import annotations

from enum import Enum, auto
from typing import Any

from msgspec import Struct

from actrzmq.core.execution import Execution
from actrzmq.core.outbox import Parcel
from actrzmq.identity import Serial
from actrzmq.wire.messages import DataStream


class News(Enum):
    """What has become of the node itself."""

    REGISTERED = auto()
    FENCED = auto()
    """It gave up its identity and everything that was open; it registers under a new serial."""
    REFUSED = auto()
    """The broker will not have it, for a reason that trying again won't change."""
    TELLS_LOST = auto()
    """Tells have come back; said once in a while."""
    OUT = auto()
    """It has left in good order."""


class Turn(Struct):
    """One turn's worth of things to do, in this order. Waiters, sinks and tasks are the shell's own."""

    resolve: list[tuple[Any, Any]] = []
    """A waiter, and what it waited for: a value, or an exception."""
    deliver: list[tuple[Any, list[DataStream]]] = []
    """A receiver's sink, and frames for it, in order."""
    writable: list[Any] = []
    """Sinks of streams that have credit again."""
    closed: list[tuple[Any, Any]] = []
    """A sender's or receiver's sink, and how its stream ended: None for complete, else the error."""
    start: list[Execution] = []
    cancel: list[Execution] = []
    news: list[tuple[News, str]] = []
    gone: set[Serial] = set()
    """Nodes that are down: nothing of theirs is to be kept."""


class Outgoing(Struct):
    """A batch to be sent over the control plane. `to` is empty for the broker."""

    to: bytes
    parcel: Parcel
    sent_at: int
    """Broker time; 0 while unknown."""
