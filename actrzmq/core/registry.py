"""The directory: which nodes there are, by id, by type and by name, and which of them to pick."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from actrzmq.core.access import allowed_types, is_allowed
from actrzmq.identity import ActrId, ActrType
from actrzmq.wire.messages import MAX_INT, Instance, Reason, Register

LARGEST = 2**62
"""What a node may say of itself in a number; more is taken for this, so that what is added to it still travels."""


class Topic(NamedTuple):
    """What one discovers or watches: a type, or (where `type` is None) a published name, in a realm."""

    realm: int
    type: ActrType | None
    name: str


def topics_of(id: ActrId, name: str) -> tuple[Topic, Topic]:
    """Where the node `id` is found, which publishes `name`."""
    return Topic(id.realm, id.type, ""), Topic(id.realm, None, name)


class Node:
    """What the broker knows of one registered node."""

    def __init__(self, id: ActrId, address: bytes, register: Register) -> None:
        self.id = id
        self.address = address
        """Its serial as it travels on the wire: the key of everybody's `routes`."""
        self.take(register)
        self.peer = b""
        """ROUTER's name for its connection: a secret of the broker."""
        self.line = -1
        """The shell's number for that connection, to look at it by; below 0: none."""
        self.session = 0
        self.token = b""
        self.routes: dict[bytes, Node] = {}
        """The nodes that it may talk with and has been introduced to."""
        self.watches: dict[int, Topic] = {}
        self.lagging = False
        self.unreachable_since: int | None = None
        self.load = 0
        self.streams = 0
        """How much of the load is streams."""
        self.lag = 0
        self.picks = 0
        """How often it was picked since its load was last told."""
        self.written_at = 0
        self.looked_at = 0
        """When its connection was last seen to be there, without a word."""
        self.has_renewed = False
        """In this session: so it hears from the broker as often as it renews."""
        self.registered_at = 0
        self.started_at = 0
        """When its process began, in the broker's time."""
        self.asked = (0, 0)
        """When it was last told who is there, and what that cost in that millisecond."""
        self.listed = (0, 0)
        """When it last asked for all nodes, and how often in that millisecond."""
        self.sent_bytes = 0
        self.received_bytes = 0
        self.relayed_bytes = 0
        self.relayed_received = 0

    def take(self, register: Register) -> None:
        """Be what `register` says, from now on."""
        self.register, self.attempt, self.draining = register, register.attempt, register.draining
        self._allowed = allowed_types(register.rules)

    @property
    def topics(self) -> tuple[Topic, Topic]:
        """Where it is found."""
        return topics_of(self.id, self.register.name)

    @property
    def refusal(self) -> Reason | None:
        """Why it takes no new work; None if it does."""
        if self.unreachable_since is not None:
            return Reason.UNREACHABLE
        if self.draining:
            return Reason.DRAINING
        return Reason.LAGGING if self.lagging else None

    def instance(self) -> Instance:
        """As discovery shows it."""
        load = min(self.load + self.picks, MAX_INT)  # it says itself how busy it is, and others have to read it
        return Instance(self.id, load, self.register.fingerprint)

    def allows(self, caller: ActrId) -> bool:
        """May `caller` talk to it?"""
        return is_allowed(caller, self.id, self._allowed)


class Registry:
    """Visible nodes by topic. `draw(n)` gives a random number below n."""

    def __init__(self, draw: Callable[[int], int]) -> None:
        self._draw = draw
        self._by_topic: dict[Topic, list[Node]] = {}
        self._turn = 0

    def add(self, node: Node) -> None:
        """Show `node` under its topics, if it wants to be seen."""
        if node.register.visible:
            for topic in node.topics:
                self._by_topic.setdefault(topic, []).append(node)

    def remove(self, node: Node) -> None:
        """Show it no longer."""
        for topic in node.topics:
            nodes = self._by_topic.get(topic, [])
            if node in nodes:
                nodes.remove(node)
                if not nodes:
                    del self._by_topic[topic]

    def visible_to(self, caller: ActrId, topic: Topic) -> Iterator[Node]:
        """The nodes under `topic` that `caller` may talk to, whether they take new work or not."""
        return (node for node in self._by_topic.get(topic, ()) if node.allows(caller))

    def count(self, topic: Topic) -> int:
        """How many nodes there are under `topic`, for whomever."""
        return len(self._by_topic.get(topic, ()))

    def pick(self, candidates: list[Node]) -> Node:
        """One of `candidates` (not empty): the less loaded of two drawn at random, in turn where they are equal.

        "The Power of Two Choices in Randomized Load Balancing" (Mitzenmacher 2001). What was picked counts as load
        until the node tells its own, so a burst of discoveries between two renewals spreads.
        """
        first = self._draw(len(candidates))
        second = (first + 1 + self._draw(len(candidates) - 1)) % len(candidates) if len(candidates) > 1 else first
        one, other = candidates[first], candidates[second]
        difference = (one.load + one.picks) - (other.load + other.picks)
        if difference == 0:
            self._turn += 1
            chosen = (
                min(one, other, key=lambda node: node.address)
                if self._turn % 2
                else max(one, other, key=lambda node: node.address)
            )
        else:
            chosen = one if difference < 0 else other
        chosen.picks += 1
        return chosen
