"""Whatever nodes and a broker that restarts do, in any order: who watches hears of no down that was none."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from actrzmq.core.discovery import Change, Discovery
from actrzmq.core.turn import Turn
from actrzmq.identity import ActrId, ActrType, Serial
from actrzmq.wire.messages import Changed, Instance, Reason, ToBroker, Watch, Watching

ECHO = ActrType("acme", "Echo")
LEASE = 1_000
NUMBERS = st.integers(0, 10_000)


def instance(serial: Serial) -> Instance:
    return Instance(ActrId(serial, 0, ECHO))


class WatchingMachine(RuleBasedStateMachine):
    """A watcher, and as much of a broker as it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self.discovery = Discovery()
        self.watched, _ = self.discovery.watch(ECHO, "", "watcher")
        self.told: set[Serial] = set()
        self.last = 0
        self.up: set[Serial] = set()
        self.away: set[Serial] = set()
        """Live, and shown to nobody."""
        self.expected: set[Serial] = set()
        self.expected_until = 0
        self.was_down: set[Serial] = set()
        """Those of which the broker ever said, or would have said, that they are down."""
        self.is_online = False
        self.is_slow = False
        """Is what the broker says under way, until it is heard in a step of its own?"""
        self.version = 0
        self.coming: deque[Watching | Changed] = deque()

    # nodes

    @rule()
    def begin(self) -> None:
        self.last += 1
        self.show(Serial(self.last))

    @precondition(lambda self: self.expected)
    @rule(which=NUMBERS, is_draining=st.booleans())
    def come_back(self, which: int, is_draining: bool) -> None:
        serial = self.pick(self.expected, which)
        self.expected.discard(serial)
        if is_draining:
            self.hide(serial, Reason.DRAINING)
        else:
            self.show(serial)

    @precondition(lambda self: self.up)
    @rule(which=NUMBERS, is_for_good=st.booleans())
    def go(self, which: int, is_for_good: bool) -> None:
        serial = self.pick(self.up, which)
        self.up.discard(serial)
        self.hide(serial, Reason.DEREGISTERED if is_for_good else Reason.LAGGING)
        if is_for_good:
            self.away.discard(serial)

    @precondition(lambda self: self.away)
    @rule(which=NUMBERS)
    def recover(self, which: int) -> None:
        serial = self.pick(self.away, which)
        self.away.discard(serial)
        self.show(serial)

    # the broker

    @rule(is_watcher_first=st.booleans())
    def restart(self, is_watcher_first: bool) -> None:
        """The broker restarts; the watcher may be the first one who is back."""
        self.expected |= self.up | self.away
        self.up, self.away = set(), set()
        self.expected_until = self.now + LEASE
        self.is_online = False
        self.coming.clear()
        if is_watcher_first:
            self.register()

    @rule()
    def register(self) -> None:
        """The watcher registers, maybe again: what was on its way on the former connection is lost."""
        self.coming.clear()
        self.is_online = True
        self.say(self.discovery.again())

    @precondition(lambda self: any(isinstance(message, Changed) for message in self.coming))
    @rule()
    def lose(self) -> None:
        """A change is lost."""
        self.coming.remove(next(message for message in self.coming if isinstance(message, Changed)))

    @rule(is_slow=st.booleans())
    def change_pace(self, is_slow: bool) -> None:
        self.is_slow = is_slow

    @invariant()
    def hear_at_once(self) -> None:
        if not self.is_slow:
            self.hear(1_000)

    @rule(count=st.integers(1, 5))
    def hear(self, count: int) -> None:
        while self.coming and count:
            count -= 1
            message, turn = self.coming.popleft(), Turn()
            if isinstance(message, Watching):
                said = self.discovery.snapshot(message, LEASE, turn, self.now)
            else:
                said = self.discovery.changed(message, turn)
            self.say(said)
            for _, change in turn.resolve:
                self.note(change)
            known = self.watched.instances.keys() | self.watched.missing.keys()
            assert known == self.told
            assert not self.watched.instances.keys() & self.watched.missing.keys()

    @rule(milliseconds=st.sampled_from([10, 100, 400, 1_000]))
    def wait(self, milliseconds: int) -> None:
        for _ in range(0, milliseconds, 10):
            self.now += 10
            if self.expected and self.expected_until <= self.now:
                self.was_down |= self.expected
                self.expected.clear()
            due = self.discovery.next_deadline()
            if due is not None and due <= self.now:
                self.say(self.discovery.tick(Turn(), 0, self.now))

    # what comes of it

    def teardown(self) -> None:
        if not self.is_online:
            self.register()
        self.begin()  # what was lost is noticed at the next change
        for _ in range(30):
            self.wait(100)
            self.hear(1_000)
        assert set(self.watched.instances) == self.told == self.up
        assert self.discovery.next_deadline() is None

    def note(self, change: Change) -> None:
        """Up and down take turns, and none is told as down that never was."""
        serial = change.id.serial
        assert change.is_up == (serial not in self.told)
        assert change.is_up or serial in self.was_down
        if change.is_up:
            self.told.add(serial)
        else:
            self.told.discard(serial)

    def show(self, serial: Serial) -> None:
        self.up.add(serial)
        self.change(serial, None)

    def hide(self, serial: Serial, reason: Reason) -> None:
        self.away.add(serial)
        self.was_down.add(serial)
        self.change(serial, reason)

    def change(self, serial: Serial, reason: Reason | None) -> None:
        if self.is_online:
            self.version += 1
            self.coming.append(Changed(self.watched.query, self.version, instance(serial), reason))

    def say(self, said: Iterable[ToBroker]) -> None:
        for message in said:
            assert isinstance(message, Watch)
            if self.is_online:
                self.version = 0
                instances = tuple(map(instance, sorted(self.up)))
                self.coming.append(Watching(message.query, 0, instances, bool(self.expected)))

    def pick(self, serials: set[Serial], which: int) -> Serial:
        return sorted(serials)[which % len(serials)]


WatchingMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
test_who_watches_hears_of_no_down_that_was_none = WatchingMachine.TestCase
