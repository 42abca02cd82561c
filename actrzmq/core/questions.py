"""Questions about who is there, a share at a time: one who floods the broker with them waits, and nobody for him.

A question is answered at once while its asker has had less than its share of this turn, and all together less than a
whole turn. Others wait, each asker's in order, and so do those of one who does not take his answers. Who has more of
them waiting than he may loses the newest, which is counted. But watches have places of their own, as many as he may
have: he says them once, and would never learn that one was lost. What is said again takes the place of what waits.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping

from actrzmq.core.directory import Directory
from actrzmq.core.registry import Node
from actrzmq.identity import Serial
from actrzmq.wire.messages import Discover, Watch

SHARE = 500
"""What one node is told in a turn, counted in nodes looked at; about a millisecond."""
TURN = 2_000
"""What all are told in a turn, counted alike."""
WAITING = 4_096
"""Questions of one node that may wait; for watches there are places beyond, as many as it may have watches."""

Question = Discover | Watch

_Waiting = OrderedDict[tuple[type[Question], int], Question]
"""By kind and number, in the order in which they came."""


class Questions:
    """Those that wait. `drop(node, reason, question)` counts one that is lost; `backlog` is what a node may have
    waiting, in bytes, and still be told more; `watches` is how many watches it may have.
    """

    def __init__(
        self,
        directory: Directory,
        nodes: Mapping[Serial, Node],
        drop: Callable[[Node, str, Question], None],
        backlog: int,
        watches: int,
    ) -> None:
        self._directory = directory
        self._nodes = nodes
        self._drop = drop
        self._backlog = backlog
        self._watches = watches
        self._waiting: dict[Node, _Waiting] = {}
        self._now = 0
        self._left = TURN

    def ask(self, node: Node, question: Question, now: int) -> None:
        """`node` asks."""
        if now != self._now:
            self._begin(now)
        waiting = self._waiting.get(node)
        if waiting is None:
            at, spent = node.asked
            spent = spent if at == now else 0
            if spent < SHARE and self._left > 0 and self._has_room(node):
                cost = self._answer(node, question)
                node.asked = (now, spent + cost)
                return
            waiting = self._waiting[node] = OrderedDict()
        key = (type(question), question.query)
        places = WAITING + self._watches if isinstance(question, Watch) else WAITING
        if key not in waiting and len(waiting) >= places:
            self._drop(node, "dropped.questions", question)
        else:
            waiting[key] = question

    def unwatch(self, node: Node, query: int) -> None:
        """`node` wants to be told no more, nor to wait for what it would have been told."""
        waiting = self._waiting.get(node)
        if waiting is not None:
            waiting.pop((Watch, query), None)
        self._directory.unwatch(node, query)

    def tick(self, now: int) -> None:
        """Answer some of those that wait, in turn."""
        self._begin(now)
        for node in list(self._waiting):
            if self._is_gone(node):
                del self._waiting[node]
            elif self._left <= 0:
                return
            elif self._has_room(node):
                self._answer_some(node, self._waiting.pop(node), now)

    @property
    def is_due(self) -> bool:
        """Has `tick` something to do?"""
        return bool(self._waiting) and any(self._is_gone(node) or self._has_room(node) for node in self._waiting)

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def _begin(self, now: int) -> None:
        self._now, self._left = now, TURN

    def _answer_some(self, node: Node, waiting: _Waiting, now: int) -> None:
        spent = 0
        while waiting and spent < SHARE:
            spent += self._answer(node, waiting.popitem(last=False)[1])
        node.asked = (now, spent)
        if waiting:
            self._waiting[node] = waiting  # behind all others

    def _answer(self, node: Node, question: Question) -> int:
        match question:
            case Discover():
                cost = self._directory.discover(node, question)
            case Watch():
                cost = self._directory.watch(node, question)
        self._left -= cost
        return cost

    def _is_gone(self, node: Node) -> bool:
        return self._nodes.get(node.id.serial) is not node

    def _has_room(self, node: Node) -> bool:
        return node.sent_bytes - node.received_bytes <= self._backlog
