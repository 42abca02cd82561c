"""The broker's account of itself: what it has counted, and the dead letters of each realm, told to those who ask."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from actrzmq.core.deadletters import TOLD_AT_ONCE, DeadLetters
from actrzmq.core.failures import failure_of
from actrzmq.core.registry import Node
from actrzmq.errors import ActrOverloaded
from actrzmq.wire.messages import DeadLetter, Dropped, FromBroker, Inspect, Inspected, NoSpec

ROWS = 50
"""Letters in one message: with names as long as they may be, it is still within the limit of a header."""
ASKED = 4
"""Accounts that one node may ask for in the same millisecond."""
BROKER = "broker"


class Inspecting:
    """`figures()` are the counts to be told; `say` and `backlog` as the core has them."""

    def __init__(
        self,
        figures: Callable[[], Mapping[str, int]],
        say: Callable[[bytes, FromBroker], None],
        counters: Counter[str],
        backlog: int,
    ) -> None:
        self.figures = figures
        self.now = 0
        """The time when the core was last told it: near enough for a letter."""
        self._say = say
        self._counters = counters
        self._backlog = backlog
        self._letters = DeadLetters()

    def dropped(self, node: Node, reason: str, what: str, to: str = BROKER) -> None:
        """The broker dropped `what` of `node`."""
        self._letters.add(node.id.realm, DeadLetter(reason, what, "", str(node.id), to, BROKER), self.now)

    def serve(self, node: Node, message: Inspect | Dropped) -> None:
        """`node` asks, or tells what it has dropped. Who tells is what the connection says, not the letter."""
        if isinstance(message, Inspect):
            self._answer(node, message.query)
            return
        for one in message.letters[:TOLD_AT_ONCE]:
            letter = DeadLetter(one.reason, one.what, one.name, one.sender, one.to, str(node.id), one.count)
            self._letters.add(node.id.realm, letter, self.now)

    def __len__(self) -> int:
        return len(self._letters)

    def _answer(self, node: Node, query: int) -> None:
        at, count = node.listed
        node.listed = (self.now, count + 1 if at == self.now else 1)
        if node.listed[1] > ASKED or node.sent_bytes - node.received_bytes > self._backlog:
            self._counters["refused.inspect"] += 1
            self._say(node.peer, NoSpec(query, failure_of(ActrOverloaded("too many questions at once; ask later"))))
            return
        letters = self._letters.latest(node.id.realm, self.now)
        counts = dict(self.figures())
        for start in range(0, max(1, len(letters)), ROWS):
            rows = tuple(letters[start : start + ROWS])
            self._say(node.peer, Inspected(query, counts if not start else {}, rows, start + ROWS < len(letters)))
