"""How contracts come to the broker, and how it tells of them.

A node's Register names the fingerprint of its contract. Where the catalogue has not got the contents, one of the nodes
that publish it is asked for them: contents travel once, however many instances there are. What comes is not opened
here: the *shelf* (the store's thread) is given orders, and posts their outcomes, which come back as events::

    unknown ──Register──▶ wanted ──Wanted──▶ asked ──Publish──▶ checked ──Kept──▶ kept
                            ▲                  │ gone, or 5 s      │ NotKept
                            ├── another one ◀──┴───────────────────┤
                            └── after a minute ◀── nobody is left ─┘

At most four are asked or checked at any time, which bounds the bytes that wait here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection

from msgspec import Struct

from actrzmq.core.catalogue import Catalogue, Key, Question
from actrzmq.core.registry import Node
from actrzmq.core.shelf import Forget, Keep, Kept, Note, NotKept, Order
from actrzmq.identity import Serial
from actrzmq.wire.messages import FromBroker, Publish, Wanted

ANSWER_WITHIN = 5_000
"""Milliseconds that a node has for its Publish, before another one is asked."""
PAUSE = 60_000
"""When all have been asked in vain, they are asked again after this."""
AT_ONCE = 4
"""Contracts that are asked for or checked at any time."""

_FINGERPRINT = re.compile(r"service_semantic:[0-9a-f]{64}", re.ASCII)


class _Want(Struct, eq=False):
    """Contents that are not here. `asked` must have sent them by `until`; nobody asked: nobody is until then."""

    asked: Serial | None = None
    is_checked: bool = False
    until: int = 0
    tried: set[Serial] = set()
    reason: str = ""
    """Why they could not be kept, the last time."""

    @property
    def is_under_way(self) -> bool:
        """Is somebody asked, or what came looked at?"""
        return self.asked is not None or self.is_checked

    def pause_is_over(self) -> None:
        """Somebody may be asked again."""
        if not self.is_under_way:
            self.until = 0


class Publishing:
    """Who publishes what, and whom to ask for it. `settled(now)` is called when a question may have an answer.

    `order` hands something to the shelf. `stamp` is the wall clock as a text, which decides nothing.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        order: Callable[[Order], None],
        say: Callable[[bytes, FromBroker], None],
        settled: Callable[[int], None],
        counters: Counter[str],
        stamp: Callable[[], str],
    ) -> None:
        self._catalogue = catalogue
        self._order = order
        self._say = say
        self._settled = settled
        self._counters = counters
        self._stamp = stamp
        self._wanted: dict[str, _Want] = {}
        self._holders: dict[str, dict[Serial, Node]] = {}
        """For each fingerprint the live nodes that publish it."""
        self._keys: dict[Serial, Key] = {}
        """What each of them publishes."""
        self._under_way = 0
        """How many are asked for or checked."""
        self._due: int | None = None
        """No `until` is earlier."""

    # nodes

    def add(self, node: Node, now: int) -> None:
        """`node` has registered."""
        register = node.register
        if not register.fingerprint or not register.visible:
            return
        if not _FINGERPRINT.fullmatch(register.fingerprint):
            self._counters["dropped.fingerprint"] += 1
            return
        key = self._keys[node.id.serial] = Key(node.id.realm, node.id.type, register.name, register.fingerprint)
        self._catalogue.live[key] += 1
        self._holders.setdefault(key.fingerprint, {})[node.id.serial] = node
        if self._catalogue.has(key.fingerprint):
            self._note(node)
            self._prune()
        else:
            self._wanted.setdefault(key.fingerprint, _Want()).pause_is_over()
            self._ask(now)

    def remove(self, node: Node, now: int) -> None:
        """`node` is gone, or registers anew."""
        key = self._keys.pop(node.id.serial, None)
        if key is None:
            return
        self._catalogue.live[key] -= 1
        if not self._catalogue.live[key]:
            del self._catalogue.live[key]
        del self._holders[key.fingerprint][node.id.serial]
        if not self._holders[key.fingerprint]:
            del self._holders[key.fingerprint]
        want = self._wanted.get(key.fingerprint)
        if want is None:
            return
        want.tried.discard(node.id.serial)
        if want.asked == node.id.serial:
            self._rest(want, 0)
        if key.fingerprint not in self._holders and not want.is_checked:
            del self._wanted[key.fingerprint]
        self._ask(now)
        self._settled(now)

    def publish(self, node: Node, publish: Publish, now: int) -> None:
        """Contents have come."""
        want = self._wanted.get(publish.fingerprint)
        if want is None or want.asked != node.id.serial:
            self._counters["dropped.not_wanted"] += 1
            return
        if self._catalogue.live_size() + len(publish.body) > self._catalogue.limit:
            self.outcome(NotKept(publish.fingerprint, "the broker's limits.contracts_bytes is used up", False), now)
            return
        want.asked, want.is_checked, want.until = None, True, 0  # under way still
        want.tried.add(node.id.serial)
        self._order(Keep(publish.fingerprint, publish.body))

    def outcome(self, outcome: Kept | NotKept, now: int) -> None:
        """The shelf has looked at them."""
        want = self._wanted.get(outcome.fingerprint)
        holders = self._holders.get(outcome.fingerprint, {})
        if isinstance(outcome, Kept):
            self._counters["contracts.kept"] += 1
            if want is not None:
                self._rest(want, 0)
                del self._wanted[outcome.fingerprint]
            self._keep(outcome, holders.values())
        elif want is not None:
            self._counters["contracts.wrong" if outcome.is_wrong else "contracts.not_kept"] += 1
            want.reason = outcome.reason
            self._rest(want, 0 if outcome.is_wrong else now + PAUSE)  # the others' would not be kept either
            if not holders:
                del self._wanted[outcome.fingerprint]
        self._ask(now)
        self._settled(now)

    def lost(self, fingerprint: str, now: int) -> None:
        """The shelf has them no longer: those who publish them may have them still."""
        self._catalogue.lose(fingerprint)
        if fingerprint in self._holders:
            self._wanted.setdefault(fingerprint, _Want())
            self._ask(now)

    # questions

    def is_awaited(self, question: Question) -> bool:
        """May contents that fit come in a moment?"""
        return any(
            want.is_under_way or not want.until
            for fingerprint, want in self._wanted.items()
            if self._has_holder(fingerprint, question)
        )

    def refusal(self, question: Question) -> str | None:
        """Why contents that fit are not here though somebody publishes them; None where nobody does."""
        for fingerprint, want in self._wanted.items():
            if self._has_holder(fingerprint, question):
                return want.reason or "it has not sent its contract yet"
        return None

    # time

    def tick(self, now: int) -> None:
        """Ask somebody else, or again."""
        if self._due is None or now < self._due:
            return
        for want in self._wanted.values():
            if not want.until or now < want.until:
                continue
            if want.asked is not None:
                want.tried.add(want.asked)
                self._counters["contracts.not_sent"] += 1
            else:
                want.tried.clear()
            self._rest(want, 0)
        self._due = min((want.until for want in self._wanted.values() if want.until), default=None)
        self._ask(now)
        self._settled(now)

    def next_deadline(self) -> int | None:
        """When `tick` has something to do, or to look at."""
        return self._due

    def __len__(self) -> int:
        return len(self._wanted)

    # private

    def _ask(self, now: int) -> None:
        """Ask for what is wanted, as far as there is room."""
        if self._under_way >= AT_ONCE:
            return
        for fingerprint, want in self._wanted.items():
            if want.is_under_way or want.until > now:
                continue
            holders = self._holders[fingerprint]
            untried = next((serial for serial in holders if serial not in want.tried), None)
            if untried is None:
                self._rest(want, now + PAUSE)
                continue
            want.asked = untried
            self._wait(want, now + ANSWER_WITHIN)
            self._say(holders[untried].peer, Wanted(fingerprint))
            self._under_way += 1
            if self._under_way >= AT_ONCE:
                return

    def _rest(self, want: _Want, until: int) -> None:
        """Nobody is asked `until` then; 0: until there is room."""
        self._under_way -= want.is_under_way
        want.asked, want.is_checked = None, False
        self._wait(want, until)

    def _wait(self, want: _Want, until: int) -> None:
        want.until = until
        if until:
            self._due = until if self._due is None else min(self._due, until)

    def _keep(self, kept: Kept, holders: Collection[Node]) -> None:
        self._catalogue.keep(kept.fingerprint, kept.size)
        for node in holders:
            self._note(node)
        if not holders:
            # All that published it are gone by now, and nobody knows what it belongs to.
            self._catalogue.lose(kept.fingerprint)
            self._order(Forget(kept.fingerprint))
        self._prune()

    def _note(self, node: Node) -> None:
        key, register = self._keys[node.id.serial], node.register
        self._order(Note(self._catalogue.publish(key, register.description, register.tags, self._stamp())))

    def _prune(self) -> None:
        for key in self._catalogue.prune():
            self._counters["contracts.pruned"] += 1
            self._order(Forget(key.fingerprint, key))

    def _has_holder(self, fingerprint: str, question: Question) -> bool:
        return any(question.fits(self._keys[serial]) for serial in self._holders.get(fingerprint, ()))
