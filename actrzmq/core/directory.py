"""What the broker answers to those who look for nodes: once (Discover), or from now on (Watch)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from itertools import accumulate

from actrzmq.core.failures import failure_of
from actrzmq.core.packing import instance_bytes
from actrzmq.core.registry import Node, Registry, Topic
from actrzmq.errors import ActrOverloaded
from actrzmq.identity import Serial
from actrzmq.wire.codec import BATCH_BYTES
from actrzmq.wire.messages import (
    Changed,
    Discover,
    Found,
    FromBroker,
    Instance,
    NotFound,
    NotYet,
    NoWatch,
    Reason,
    Watch,
    Watching,
)


class Directory:
    """The registry, and those who watch it. `say(peer, message)` queues an answer.

    `is_expected(topic)` tells whether a node of that topic may come back after the broker's restart. At most `found`
    instances are told at once, of them as many as have room in one message, and `watches` watches kept for each node.
    """

    def __init__(
        self,
        registry: Registry,
        nodes: Mapping[Serial, Node],
        say: Callable[[bytes, FromBroker], None],
        is_expected: Callable[[Topic], bool],
        counters: Counter[str],
        *,
        found: int,
        watches: int,
    ) -> None:
        self._registry = registry
        self._nodes = nodes
        self._say = say
        self._is_expected = is_expected
        self._counters = counters
        self._found = found
        self._watches = watches
        self._watchers: dict[Topic, dict[tuple[Serial, int], int]] = {}
        """For each topic its watches, as (node, query), and how many changes each has been told of."""

    def add(self, node: Node) -> None:
        """Show `node` under its topics."""
        self._registry.add(node)

    def remove(self, node: Node) -> None:
        """Show it no longer, and forget what it watched."""
        for query in list(node.watches):
            self.unwatch(node, query)
        self._registry.remove(node)

    def discover(self, node: Node, ask: Discover) -> int:
        """Tell `node` who is there now, and takes new work; returns what that cost, in nodes looked at and one."""
        topic = _topic(node, ask)
        visible = list(self._registry.visible_to(node.id, topic))
        ready = [candidate for candidate in visible if candidate.refusal is None]
        if ask.fingerprint:
            ready = [same for same in ready if same.register.fingerprint == ask.fingerprint] or ready
        if ready:
            picked = self._registry.pick(ready)
            rest = [other for other in ready if other is not picked] if ask.all else []
            self._say(node.peer, Found(ask.query, self._told([picked, *rest])))
        elif self._is_expected(topic):
            self._say(node.peer, NotYet(ask.query))
        else:
            self._say(node.peer, NotFound(ask.query, len(visible)))
        return 1 + self._registry.count(topic)

    def watch(self, node: Node, watch: Watch) -> int:
        """Tell `node` who is there now, and every change from now on; returns what that cost, as `discover`."""
        self.unwatch(node, watch.query)
        if len(node.watches) >= self._watches:
            self._counters["refused.watches"] += 1
            words = f"the broker tells one node of {self._watches} topics at most; end other watches first"
            self._say(node.peer, NoWatch(watch.query, failure_of(ActrOverloaded(words))))
            return 1
        topic = _topic(node, watch)
        node.watches[watch.query] = topic
        self._watchers.setdefault(topic, {})[node.id.serial, watch.query] = 0
        ready = [other for other in self._registry.visible_to(node.id, topic) if other.refusal is None]
        self._say(node.peer, Watching(watch.query, 0, self._told(ready), self._is_expected(topic)))
        return 1 + self._registry.count(topic)

    def unwatch(self, node: Node, query: int) -> None:
        """Tell it no more."""
        topic = node.watches.pop(query, None)
        if topic is not None:
            watchers = self._watchers[topic]
            del watchers[node.id.serial, query]
            if not watchers:
                del self._watchers[topic]

    def announce(self, node: Node, reason: Reason | None) -> None:
        """Tell those who watch its topics that `node` takes new work (None), or why it no longer does."""
        if not node.register.visible:
            return
        for topic in node.topics:
            watchers = self._watchers.get(topic, {})
            for (serial, query), version in watchers.items():
                watcher = self._nodes[serial]
                if node.allows(watcher.id):
                    watchers[serial, query] = version + 1
                    self._say(watcher.peer, Changed(query, version + 1, node.instance(), reason))

    def _told(self, nodes: list[Node]) -> tuple[Instance, ...]:
        """As many of `nodes` as one answer has room for, in order; the others are counted."""
        instances = [node.instance() for node in nodes[: self._found]]
        ends = accumulate(map(instance_bytes, instances))
        told = tuple(instance for instance, end in zip(instances, ends, strict=True) if end <= BATCH_BYTES)
        if len(told) < len(nodes):
            self._counters["dropped.instances"] += len(nodes) - len(told)
        return told

    def __len__(self) -> int:
        """Watches, of all nodes."""
        return sum(map(len, self._watchers.values()))


def _topic(node: Node, ask: Discover | Watch) -> Topic:
    return Topic(node.id.realm, ask.type, "" if ask.type else ask.name)
