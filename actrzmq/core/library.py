"""The broker's contracts: its catalogue, how contents come to it, and what it answers to those who look."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from actrzmq.core.catalogue import Catalogue, Version
from actrzmq.core.census import list_nodes
from actrzmq.core.deadlines import earlier
from actrzmq.core.describing import Describing
from actrzmq.core.failures import failure_of
from actrzmq.core.publishing import Publishing
from actrzmq.core.registry import Node
from actrzmq.core.shelf import Fetched, Order, Outcome
from actrzmq.errors import ActrOverloaded
from actrzmq.identity import Serial
from actrzmq.wire.messages import Describe, FromBroker, ListNodes, NoSpec, Publish

LISTS = 4
"""Lists of nodes that one node may ask for in the same millisecond."""


class Library:
    """Composes them. `limit` bounds what is kept, in bytes; 0 keeps nothing. `orders` are the shelf's, to be taken."""

    def __init__(
        self,
        limit: int,
        nodes: Mapping[Serial, Node],
        say: Callable[[bytes, FromBroker], None],
        counters: Counter[str],
        stamp: Callable[[], str],
        backlog: int,
        body: int,
    ) -> None:
        self.orders: list[Order] = []
        self._nodes = nodes
        self._say = say
        self._counters = counters
        self._backlog = backlog
        self._catalogue = Catalogue(limit)
        order = self.orders.append
        self._publishing = Publishing(self._catalogue, order, say, self._settled, counters, stamp)
        self._describing = Describing(self._catalogue, self._publishing, nodes, order, say, counters, backlog, body)

    def recall(self, contents: Iterable[tuple[str, int]], versions: Iterable[Version]) -> None:
        """What the store has kept over a restart."""
        self._catalogue.recall(contents, versions)

    def add(self, node: Node, now: int) -> None:
        """`node` has registered."""
        if self._catalogue.limit:
            self._publishing.add(node, now)

    def remove(self, node: Node, now: int) -> None:
        """`node` is down, or registers anew."""
        self._describing.forget(node.id.serial)
        self._publishing.remove(node, now)

    def serve(self, node: Node, message: Publish | Describe | ListNodes, now: int) -> None:
        """`node` publishes, or looks around."""
        match message:
            case Publish():
                self._publishing.publish(node, message, now)
            case Describe():
                self._describing.describe(node, message, now)
            case ListNodes():
                self._list(node, message.query, now)

    def outcome(self, outcome: Outcome, now: int) -> None:
        """The shelf has carried an order out."""
        if not isinstance(outcome, Fetched):
            self._publishing.outcome(outcome, now)
            return
        if outcome.is_lost:
            self._counters["contracts.lost"] += 1
            self._publishing.lost(outcome.fingerprint, now)
        self._describing.fetched(outcome)

    def take_orders(self) -> list[Order]:
        """What the shelf is to do, once."""
        orders = self.orders[:]
        self.orders.clear()
        return orders

    def tick(self, now: int) -> None:
        """Ask others for contents, and answer those who have waited long enough."""
        self._publishing.tick(now)
        self._describing.tick(now)

    def next_deadline(self) -> int | None:
        """When `tick` has something to do."""
        return earlier(self._publishing.next_deadline(), self._describing.next_deadline())

    def statistics(self) -> dict[str, int]:
        """What there is."""
        return {
            "contracts": len(self._catalogue),
            "contracts.bytes": self._catalogue.size,
            "contracts.wanted": len(self._publishing),
            "questions": len(self._describing),
        }

    def _settled(self, now: int) -> None:
        self._describing.settled(now)

    def _list(self, node: Node, query: int, now: int) -> None:
        # An answer may be much longer than its question, which a flood of them must not exploit.
        at, count = node.listed
        node.listed = (now, count + 1 if at == now else 1)
        if node.listed[1] > LISTS or node.sent_bytes - node.received_bytes > self._backlog:
            self._counters["refused.list_nodes"] += 1
            self._say(node.peer, NoSpec(query, failure_of(ActrOverloaded("too many questions at once; ask later"))))
            return
        for rows in list_nodes(node, query, self._nodes.values(), now):
            self._say(node.peer, rows)
