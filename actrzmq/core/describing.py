"""What the broker answers to those who look at contracts.

A question is answered at once where only the facts are wanted, else when the shelf has read the contents. One that
meets contents under way waits for these, for a moment.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from msgspec import Struct

from actrzmq.core.catalogue import Catalogue, Question, Version
from actrzmq.core.failures import failure_of
from actrzmq.core.publishing import Publishing
from actrzmq.core.registry import Node
from actrzmq.core.shelf import Fetch, Fetched, Note, Order
from actrzmq.errors import ActrConfigError, ActrNotFound, ActrOverloaded, ActrRuntimeError, ActrTransportError
from actrzmq.identity import Serial
from actrzmq.wire.messages import Describe, FromBroker, NoSpec, Spec

PATIENCE = 3_000
"""Milliseconds that a question waits for contents that are under way."""
AT_ONCE = 16
"""Questions that one node may have open."""


class _Asked(Struct, frozen=True):
    """A question without its answer; it waits for contents `until` then."""

    serial: Serial
    ask: Describe
    question: Question
    until: int


class Describing:
    """Open questions. `backlog` is how many bytes may wait for one node, `body` how many a body may have."""

    def __init__(
        self,
        catalogue: Catalogue,
        publishing: Publishing,
        nodes: Mapping[Serial, Node],
        order: Callable[[Order], None],
        say: Callable[[bytes, FromBroker], None],
        counters: Counter[str],
        backlog: int,
        body: int,
    ) -> None:
        self._catalogue = catalogue
        self._publishing = publishing
        self._nodes = nodes
        self._order = order
        self._say = say
        self._counters = counters
        self._backlog = backlog
        self._body = body
        self._last = 0
        self._waiting: dict[int, _Asked] = {}
        """Those that wait for contents to come, by ticket."""
        self._reading: dict[int, tuple[_Asked, Version]] = {}
        """Those whose contents the shelf is reading."""
        self._open: Counter[Serial] = Counter()

    def describe(self, node: Node, ask: Describe, now: int) -> None:
        """`node` asks."""
        self._last += 1
        serial = node.id.serial
        self._open[serial] += 1
        asked = _Asked(serial, ask, Question(node.id.realm, ask.type, ask.name, ask.fingerprint), now + PATIENCE)
        if not (ask.type or ask.name or ask.fingerprint):
            self._refuse(asked, ActrConfigError("say of which type, name or fingerprint"))
        elif self._open[serial] > AT_ONCE or not self._has_room(node, 0):
            self._counters["refused.describe"] += 1
            self._refuse(asked, ActrOverloaded("too many questions at once; ask again later"))
        else:
            self._answer(self._last, asked, now)

    def settled(self, now: int) -> None:
        """Contents have come, or will not: who has waited for some may have an answer."""
        waiting, self._waiting = self._waiting, {}
        for ticket, asked in waiting.items():
            self._answer(ticket, asked, now)

    def fetched(self, fetched: Fetched) -> None:
        """The shelf has read contents, or can't."""
        asked, version = self._reading.pop(fetched.ticket, (None, None))
        node = self._nodes.get(asked.serial) if asked is not None else None
        if asked is None or version is None or node is None:
            return
        if fetched.body is None:
            self._refuse(asked, ActrTransportError(f"the broker can't read that contract: {fetched.reason}"))
        elif len(fetched.body) > self._body:
            self._refuse(asked, ActrOverloaded("that contract is over limits.body_bytes of the broker"))
        elif not self._has_room(node, len(fetched.body)):
            self._counters["refused.describe"] += 1
            self._refuse(asked, ActrOverloaded("too much waits for this node; ask again later"))
        else:
            self._tell(node, asked, version, fetched.body)

    def forget(self, serial: Serial) -> None:
        """That node is gone: it waits for no answer."""
        if self._open.pop(serial, 0):
            self._waiting = {ticket: asked for ticket, asked in self._waiting.items() if asked.serial != serial}
            self._reading = {ticket: pair for ticket, pair in self._reading.items() if pair[0].serial != serial}

    def tick(self, now: int) -> None:
        """Answer those who have waited long enough."""
        deadline = self.next_deadline()
        if deadline is not None and deadline <= now:
            self.settled(now)

    def next_deadline(self) -> int | None:
        """When `tick` has something to do."""
        return next(iter(self._waiting.values())).until if self._waiting else None  # all wait equally long: the oldest

    def __len__(self) -> int:
        return len(self._waiting) + len(self._reading)

    def _answer(self, ticket: int, asked: _Asked, now: int) -> None:
        version = self._catalogue.find(asked.question)
        is_live = version is not None and version.key in self._catalogue.live
        if not is_live and now < asked.until and self._publishing.is_awaited(asked.question):
            self._waiting[ticket] = asked
        elif version is None:
            self._refuse(asked, self._why_not(asked.question))
        elif asked.ask.with_files:
            self._reading[ticket] = asked, version
            self._order(Note(self._catalogue.use(version)))
            self._order(Fetch(ticket, version.key.fingerprint))
        elif (node := self._nodes.get(asked.serial)) is not None:
            self._tell(node, asked, version, b"")

    def _why_not(self, question: Question) -> ActrRuntimeError:
        what = " ".join(str(part) for part in (question.type, question.name, question.fingerprint) if part)
        reason = self._publishing.refusal(question)
        if reason is not None:
            return ActrTransportError(f"{what} is live, but the broker has not got its contract: {reason}")
        return ActrNotFound(
            f"no contract of {what} has been published in realm {question.realm}; "
            "has its process run with this broker, visible, and with exports in its Actr.toml?"
        )

    def _tell(self, node: Node, asked: _Asked, version: Version, body: bytes) -> None:
        self._close(asked)
        self._say(node.peer, Spec(asked.ask.query, version.facts(self._catalogue.live[version.key]), body))

    def _refuse(self, asked: _Asked, error: ActrRuntimeError) -> None:
        self._close(asked)
        node = self._nodes.get(asked.serial)
        if node is not None:
            self._say(node.peer, NoSpec(asked.ask.query, failure_of(error)))

    def _close(self, asked: _Asked) -> None:
        self._open[asked.serial] -= 1
        if self._open[asked.serial] <= 0:
            del self._open[asked.serial]

    def _has_room(self, node: Node, size: int) -> bool:
        return node.sent_bytes - node.received_bytes + size <= self._backlog
