"""What a node wants to say to one destination, gathered into batches."""

from __future__ import annotations

from msgspec import Struct, structs

from actrzmq.wire.codec import BATCH_BYTES, BATCH_ENVELOPES, HEADER_BYTES, LARGE_BYTES, LARGE_PER_MESSAGE
from actrzmq.wire.messages import Between, CallId, Tell, ToBroker, WithBody

ENVELOPE_BYTES = 48
"""What an envelope takes beside its body and names; a guess that errs on the safe side."""
ID_BYTES = 9
"""What a number takes, at most."""
SETTLED_AT_ONCE = 10_000
"""Settled ids that go into one batch before it is looked at again whether it is full."""
BODIES_BYTES = 1024 * 1024
"""A batch is closed when its large bodies have so many bytes: one message must not fill what may wait for a node."""


class Parcel(Struct):
    """One batch to be: envelopes, the call ids settled since the last one, and the large bodies beside it.

    `since` is when its first envelope was put in: the times of all count from then.
    """

    since: int
    envelopes: list[Between | ToBroker] = []
    settled: list[CallId] = []
    large: list[int] = []
    bodies: list[bytes] = []
    size: int = 0
    body_bytes: int = 0

    @property
    def is_full(self) -> bool:
        """Must the next envelope go into another one?"""
        return (
            len(self.envelopes) >= BATCH_ENVELOPES
            or self.size >= BATCH_BYTES
            or len(self.bodies) >= LARGE_PER_MESSAGE
            or self.body_bytes >= BODIES_BYTES
        )


class Outbox:
    """Parcels in order. `post` fills the last one and begins another when it is full."""

    def __init__(self) -> None:
        self.parcels: list[Parcel] = []
        self._filling: Parcel | None = None
        self.count = 0
        """How many envelopes are queued."""
        self.has_full = False
        """Is any parcel as full as it may be?"""
        self.tells = 0
        """How many tells are queued."""
        self.tell_bytes = 0
        """Their bytes."""

    def post(self, envelope: Between | ToBroker, size: int, now: int) -> None:
        """Queue `envelope`, whose body, names and metadata have about `size` bytes."""
        if type(envelope) is Tell:
            self.tells += 1
            self.tell_bytes += size + ENVELOPE_BYTES
        self.count += 1
        parcel = self._filling or self._begin(now)
        filled = parcel.size + size + ENVELOPE_BYTES
        if filled > HEADER_BYTES or size >= LARGE_BYTES:
            self._post_long(parcel, envelope, size, now)
            return
        parcel.size = filled
        parcel.envelopes.append(envelope)
        if filled >= BATCH_BYTES or len(parcel.envelopes) >= BATCH_ENVELOPES:
            self._close()

    def _post_long(self, parcel: Parcel, envelope: Between | ToBroker, size: int, now: int) -> None:
        if isinstance(envelope, WithBody) and len(envelope.body) >= LARGE_BYTES:
            parcel.large.append(len(parcel.envelopes))
            parcel.bodies.append(envelope.body)
            parcel.body_bytes += len(envelope.body)
            size -= len(envelope.body)
            envelope = structs.replace(envelope, body=b"")
        elif parcel.size + size + ENVELOPE_BYTES > HEADER_BYTES:  # a long list: in the next one it is the first
            self._close()
            parcel = self._begin(now)
        parcel.size += size + ENVELOPE_BYTES
        parcel.envelopes.append(envelope)
        if parcel.is_full:
            self._close()

    def settle(self, ids: list[CallId], now: int) -> None:
        """Let these ids ride along."""
        for start in range(0, len(ids), SETTLED_AT_ONCE):
            some = ids[start : start + SETTLED_AT_ONCE]
            parcel = self._filling or self._begin(now)
            parcel.settled.extend(some)
            parcel.size += ID_BYTES * len(some)
            if parcel.is_full:
                self._close()

    def take(self) -> list[Parcel]:
        """Everything queued, once."""
        parcels, self.parcels, self._filling = self.parcels, [], None
        self.count = self.tells = self.tell_bytes = 0
        self.has_full = False
        return parcels

    def clear(self) -> int:
        """Forget everything queued; returns how many tells were among it, which nobody says again."""
        tells = self.tells
        self.take()
        return tells

    def _close(self) -> None:
        self._filling = None
        self.has_full = True

    def _begin(self, now: int) -> Parcel:
        parcel = self._filling = Parcel(now)
        self.parcels.append(parcel)
        return parcel
