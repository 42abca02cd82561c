"""What a node keeps of one other node."""

from __future__ import annotations

from actrzmq.core.calls import OpenCalls
from actrzmq.core.dedup import Answers
from actrzmq.core.failures import peer_name
from actrzmq.core.outbox import Outbox
from actrzmq.identity import ActrId, Serial
from actrzmq.wire.codec import encode_serial


class Peer:
    """The conversation with one other node; it begins with an introduction and ends with PeerDown."""

    def __init__(self, serial: Serial, *, has_asked: bool = False) -> None:
        self.serial = serial
        self.address = encode_serial(serial)
        self.id: ActrId | None = None
        """None until the broker has introduced it."""
        self.connection = 0
        """On which of our connections the broker and we last spoke of it. If that is the present one, we shall be told
        when it goes."""
        self.may_call = False
        self.may_stream = False
        self.outbox = Outbox()
        self.calls = OpenCalls()
        self.answers = Answers()
        self.opens: dict[int, object] = {}
        """Our streams to it, by the number of their opening."""
        self.incoming: dict[int, object] = {}
        """Its streams to us, and those that wait for somebody to register, by its number of their opening."""
        self.awaited: dict[str, object] = {}
        """Stream ids that are registered for it alone, and that it has not opened."""
        self.has_asked = has_asked
        """Have we ever called it, or opened a stream to it? Then it may keep something until we say that we don't."""
        self.is_leaving = False
        """Has it said farewell? Then it takes no more calls."""
        self.congestion = 0
        """How often in a row the broker has returned something for it as congested."""
        self.congested_until = 0
        """Until then nothing is told to it."""
        self.settle_by: int | None = None
        """When settled ids are told to it in a batch of their own, if nothing else goes there first."""

    @property
    def name(self) -> str:
        """In words, for errors and logs."""
        return peer_name(self.serial, self.id)

    @property
    def open_count(self) -> int:
        """Calls and streams that we have open to it."""
        return len(self.calls) + len(self.opens)

    @property
    def is_busy(self) -> bool:
        """Is anything open with it? The broker is told of such peers at every registration."""
        return bool(len(self.calls) or len(self.answers) or self.opens or self.incoming or self.awaited)
