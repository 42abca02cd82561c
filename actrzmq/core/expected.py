"""Nodes that were live before the broker restarted: until when they may come back, and who waits for them.

A serial declared down never comes back. Of a node that the store knew, the broker can declare that: it is buried, for
this broker and those after it. Of one that only peers have named (the store has lost it, or they made it up), the
broker knows nothing to declare, and a name must cost nothing for long: neither a row in the store, nor the place of a
node that is really down. But its peers, told that it is gone, end what they had open with it and forget what it has
asked of them; if it came back under the same serial and said its calls again, they would run twice. So it is
*disowned*: refused like the dead, in a bounded memory of its own, for as long as this broker lives. It takes a new
key, as the dead do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from msgspec import Struct

from actrzmq.core.registry import Topic, topics_of
from actrzmq.identity import ActrId, Serial


class Remembered(Struct, frozen=True):
    """A node as the store keeps it, to be expected after a restart of the broker."""

    id: ActrId
    name: str


class Expectation(Struct):
    """One node that may come back. `waiting` are those who have asked for it."""

    remembered: Remembered | None
    """None: the store has lost it, or never had it, but a node that came back has something open with it."""
    waiting: set[Serial]


class Expected:
    """All that may come back, until `until`: for that long nobody is told that they are gone."""

    def __init__(self) -> None:
        self.until = 0
        self._nodes: dict[Serial, Expectation] = {}
        self._topics: Counter[Topic] = Counter()
        """How many of them there are under each topic. Kept, not searched for: all that come back ask for some."""

    def begin(self, nodes: Iterable[Remembered], until: int) -> None:
        """The broker has started, and the store knew these."""
        self._nodes = {node.id.serial: Expectation(node, set()) for node in nodes}
        known = (expectation.remembered for expectation in self._nodes.values())
        self._topics = Counter(topic for node in known if node for topic in topics_of(node.id, node.name))
        self.until = until

    def wait_for(self, serial: Serial, waiting: Serial) -> bool:
        """`waiting` has asked for `serial`; False if that is not expected."""
        expectation = self._nodes.get(serial)
        if expectation is None:
            return False
        expectation.waiting.add(waiting)
        return True

    def add(self, serial: Serial, waiting: Serial) -> None:
        """Expect `serial` too, of which only `waiting` knows."""
        self._nodes.setdefault(serial, Expectation(None, set())).waiting.add(waiting)

    def came_back(self, serial: Serial) -> set[Serial]:
        """It is back, or new; returns who has waited for it."""
        expectation = self._nodes.pop(serial, None)
        if expectation is None:
            return set()
        known = expectation.remembered
        for topic in topics_of(known.id, known.name) if known is not None else ():
            self._topics[topic] -= 1
            if not self._topics[topic]:
                del self._topics[topic]
        return expectation.waiting

    def give_up(self) -> dict[Serial, Expectation]:
        """Their time is over; returns those who did not come."""
        given_up, self._nodes = self._nodes, {}
        self._topics.clear()
        return given_up

    def identity(self, serial: Serial) -> ActrId | None:
        """Who it was, as far as the store knew."""
        expectation = self._nodes.get(serial)
        return expectation.remembered.id if expectation is not None and expectation.remembered is not None else None

    def has(self, topic: Topic) -> bool:
        """May one of that topic come back?"""
        return topic in self._topics

    def __len__(self) -> int:
        return len(self._nodes)
