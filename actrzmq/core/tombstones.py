"""What to answer to those who ask after a channel that is closed."""

from __future__ import annotations

from collections import OrderedDict

from msgspec import structs

from actrzmq.wire.messages import Channel, EndAck, Reset

KEPT = 16_384
"""Channels that are remembered; the oldest is forgotten first."""
WORDS = 256
"""Characters that are kept of the reason for a reset, so that nobody fills our memory with reasons."""


class Tombstones:
    """The last words of closed channels: an EndAck or Reset that was lost is said again when the sender asks."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._words: OrderedDict[Channel, EndAck | Reset] = OrderedDict()

    def bury(self, channel: Channel, words: EndAck | Reset | None) -> None:
        """Remember what to answer on `channel`; None where there is nothing to say."""
        if words is None:
            return
        if isinstance(words, Reset):
            failure = structs.replace(words.failure, message=words.failure.message[:WORDS], details={})
            words = structs.replace(words, failure=failure)
        self._words[channel] = words
        if len(self._words) > self._kept:
            self._words.popitem(last=False)  # a plain dictionary would look for its first entry, ever longer

    def answer(self, channel: Channel) -> EndAck | Reset | None:
        """What to say to a Probe or End on `channel`; None if it was never ours, or is forgotten."""
        return self._words.get(channel)

    def __len__(self) -> int:
        return len(self._words)
