"""What to answer to those who ask after a channel that is closed."""

from __future__ import annotations

from collections import OrderedDict

from msgspec import structs

from actrzmq.wire.messages import Channel, EndAck, Reset

KEPT = 16_384
"""Channels that are remembered, at most; the oldest is forgotten first."""
FEW = 256
"""So many are remembered however long ago it was: a broker may be away for hours, and a sender ask when it is back."""
LONG = 60_000
"""Milliseconds after which the rest is forgotten: nobody who can be reached waits so long before it asks."""
WORDS = 256
"""Characters that are kept of the reason for a reset, so that nobody fills our memory with reasons."""


class Tombstones:
    """The last words of closed channels: an EndAck or Reset that was lost is said again when the sender asks."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._words: OrderedDict[Channel, EndAck | Reset] = OrderedDict()
        self._looked_at = 0
        self._old = 0
        """How many of them, from the first on, were there already when it was looked at last."""

    def bury(self, channel: Channel, words: EndAck | Reset | None) -> None:
        """Remember what to answer on `channel`; None where there is nothing to say."""
        if words is None:
            return
        if isinstance(words, Reset):
            failure = structs.replace(words.failure, message=words.failure.message[:WORDS], details={})
            words = structs.replace(words, failure=failure)
        self._words[channel] = words
        if len(self._words) > self._kept:
            self._forget_first()

    def expire(self, now: int) -> None:
        """Forget those that are from long ago, but for the latest few."""
        if now - self._looked_at < LONG:
            return
        self._looked_at = now
        while self._old and len(self._words) > FEW:
            self._forget_first()
        self._old = len(self._words)

    def answer(self, channel: Channel) -> EndAck | Reset | None:
        """What to say to a Probe or End on `channel`; None if it was never ours, or is forgotten."""
        return self._words.get(channel)

    def _forget_first(self) -> None:
        self._words.popitem(last=False)  # a plain dictionary would look for its first entry, ever longer
        self._old = max(0, self._old - 1)

    def __len__(self) -> int:
        return len(self._words)
