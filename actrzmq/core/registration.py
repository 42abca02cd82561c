"""A node's life with its broker.

::

    OFFLINE ──connected──▶ REGISTERING ──Registered──▶ ONLINE ──leave──▶ LEAVING ──Deregistered──▶ OUT
       ▲  ◀──disconnected── any but OUT │ silence: again, attempt + 1      │
       └────────────────────────────────┘ Unknown, connected: REGISTERING ─┘      Refused, fatal: OUT

The node registers at every completed handshake, since a DEALER reconnects without a word. It does not trust its own
past: one that was not scheduled for a whole lease must assume that others were told it is down, so it *fences* itself:
the session gives up all open work and comes back under a new key. Silence of the broker alone never fences.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto

from actrzmq.core.backoff import full_jitter
from actrzmq.identity import KEY_BYTES, Serial, serial_of
from actrzmq.wire.messages import MAX_INT, Deregister, Drain, Register, Registered, Renew, Renewed, ToBroker

GRID = 50
"""Nodes renew at multiples of so many milliseconds of the clock that those of one host share. A broker that hears many
of them at once wakes up less often, and to wake up is most of what idle nodes cost it."""
REGISTER_AGAIN = 1_000
"""Milliseconds without an answer after which Register is repeated, the first time."""
REGISTER_AGAIN_MOST = 8_000
"""Each time in vain twice as many, up to so many: an answer to an attempt that is overtaken does not count, so that a
broker with much to do gets nowhere where all repeat faster than it answers."""
SILENCE = 2_000
"""A connected broker that has said nothing for this long gets no new calls; it answers each renewal."""
REPORT_BYTES = 2 * 1024 * 1024
"""Received bytes are confirmed to the broker in steps of this, well within its budget of 16 MiB."""
FULL_AGAIN = 250
"""Milliseconds, at least, until a broker that is full is asked again; each time in vain up to twice as many more."""
FULL_AGAIN_MOST = 8_000
RELAYED_BYTES = 4 * 1024 * 1024
"""The same for relayed bytes: as long as they are not confirmed, they take room that new frames need."""
SAMPLES = 10
GOOD_TRIP = 50
"""A round trip of so many milliseconds is good enough to know the broker's time by; after a longer one, ask again."""


class Life(Enum):
    """Where a node stands with its broker."""

    OFFLINE = auto()
    REGISTERING = auto()
    ONLINE = auto()
    LEAVING = auto()
    OUT = auto()


class Clock:
    """The broker's time, known to be within the shortest of the last ten round trips.

    After Cristian, "Probabilistic clock synchronization" (1989), but with bounds where he takes the middle: a round
    trip to a broker that was stopped is long on one side only. What we say is dated as early, and what we hear taken
    for as old, as it may be; so nothing runs after its deadline, and a little may be given up a round trip too early.
    """

    def __init__(self) -> None:
        self._samples: list[tuple[int, int]] = []  # how long it took, and by how much the broker's clock is ahead
        self._best: tuple[int, int] | None = None

    def learn(self, sent: int, received: int, broker_time: int) -> None:
        """A question that went at `sent` was answered with `broker_time`, which came at `received`."""
        self._samples = [*self._samples[1 - SAMPLES :], (received - sent, broker_time - received)]
        self._best = min(self._samples)

    def reset(self) -> None:
        """Another broker, another clock."""
        self._samples, self._best = [], None

    @property
    def is_good(self) -> bool:
        """Is the broker's time known well enough?"""
        return self._best is not None and self._best[0] <= GOOD_TRIP

    def broker_time(self, now: int) -> int:
        """What the broker's clock says at our `now`, at least; 0 while unknown."""
        return 0 if self._best is None else min(max(1, now + self._best[1]), MAX_INT)

    def age(self, sent_at: int, now: int) -> int:
        """How long ago, in milliseconds, the broker's clock said `sent_at`, at most; 0 where either is unknown."""
        if not sent_at or self._best is None:
            return 0
        trip, ahead = self._best
        return max(0, now + ahead + trip - sent_at)


class Registration:
    """Registers, renews, notices silence. `describe(attempt, key, now)` makes the Register."""

    def __init__(self, draw: Callable[[int], bytes], describe: Callable[[int, bytes, int], Register], now: int) -> None:
        self._draw = draw
        self._describe = describe
        self.key = draw(KEY_BYTES)
        self.serial: Serial = serial_of(self.key)
        self.life = Life.OFFLINE
        self.clock = Clock()
        self.session = 0
        self.epoch = 0
        self.restarted_at: int | None = None
        """When we came back to a broker that had been restarted; None if that never was."""
        self.token = b""
        self.relay = ""
        self.lease = 10_000
        self.renew_every = 1_000
        self.body_limit = 0
        self.load: Callable[[], int] = lambda: 0
        self.streams: Callable[[], int] = lambda: 0
        self.lag = 0
        self.received = 0
        self.relayed = 0
        self._reported = 0
        self._relayed_reported = 0
        self._attempt = 0
        self._unanswered = 0
        self._registered_at = 0
        self._renew_at = 0
        self._renewed_at = -1
        self._told = self._told_reported = self._told_taken = 0
        self._told_by: dict[int, int] = {}  # what had been told when each Renew without an answer was said
        self._heard_at = now
        self._is_connected = False
        self._away_since: int | None = now
        self._retry_at = 0
        self.refusal = ""
        """Why the broker, which is full, does not take us now; empty where it has not said so."""
        self._put_off = 0
        self.is_pressing = False
        """Is there something to be said that can't wait for the next tick? `tick` says it."""

    # events

    def started(self, now: int) -> None:
        """Only now does the node begin to connect: nobody was missed before."""
        self._away_since = self._heard_at = now

    def connected(self, now: int) -> list[ToBroker]:
        """A handshake with the broker has been completed."""
        self._is_connected = True
        self._heard_at = now
        self._unanswered = 0
        return self.register(now)

    def disconnected(self, now: int) -> None:
        """The connection is gone; libzmq is making a new one."""
        self._is_connected = False
        self.refusal = ""
        self._is_away(now)
        if self.life is not Life.OUT:
            self.life = Life.OFFLINE

    def register(self, now: int) -> list[ToBroker]:
        """(Re-)register on the connection that there is."""
        if not self._is_connected or self.life is Life.OUT:
            return []
        self.life = Life.REGISTERING
        self._is_away(now)
        self._attempt += 1
        self._registered_at = now
        self._retry_at = now + self._patience()
        self._unanswered += 1
        return [self._describe(self._attempt, self.key, now)]

    def _patience(self) -> int:
        """How long to wait for an answer. Those who repeat together are spread over the last quarter of that."""
        in_vain = self._unanswered
        if not in_vain:
            return REGISTER_AGAIN
        dice = int.from_bytes(self._draw(2)) / 65_536
        pause = min(REGISTER_AGAIN_MOST, REGISTER_AGAIN << min(in_vain, 20))
        return pause - full_jitter(in_vain, dice, REGISTER_AGAIN // 4, REGISTER_AGAIN_MOST // 4)

    def awaits(self, attempt: int) -> bool:
        """Is it an answer to this one that we wait for?"""
        return self.life is Life.REGISTERING and attempt == self._attempt

    def registered(self, answer: Registered, now: int) -> bool:
        """The broker took us. False if this answers an older attempt."""
        if not self.awaits(answer.attempt):
            return False
        if answer.epoch != self.epoch:
            self.clock.reset()
            self.relayed = self._relayed_reported = 0
            self.restarted_at = now if self.epoch else None
        self.clock.learn(self._registered_at, now, answer.broker_time)
        self.session, self.epoch, self.token = answer.session, answer.epoch, answer.token
        self.lease, self.renew_every, self.body_limit = answer.lease, max(50, answer.renew), answer.body_limit
        self.relay = answer.relay
        self.received = self._reported = 0
        self._told = self._told_reported = self._told_taken = 0
        self._told_by.clear()
        self._renew_at = now + self.renew_every if self.clock.is_good else now
        self.life = Life.ONLINE
        self._away_since = None
        self.refusal = ""
        self._put_off = self._unanswered = 0
        return True

    def renewed(self, answer: Renewed, now: int) -> None:
        """The round trip of a Renew is complete."""
        if answer.session == self.session and answer.epoch == self.epoch and answer.sent <= now:
            self.clock.learn(answer.sent, now, answer.broker_time)
            self._told_taken = max(self._told_taken, self._told_by.get(answer.sent, 0))
            self._told_by = {sent: told for sent, told in self._told_by.items() if sent > answer.sent}

    def heard(self, size: int, now: int) -> None:
        """Something of `size` bytes came from the broker."""
        self._heard_at = now
        self.received += size
        if self.received - self._reported >= REPORT_BYTES:  # the broker is to know before the next renewal
            self._renew_now(now)

    def told(self, size: int, now: int) -> None:
        """Tells of `size` bytes are to go by the broker. It answers a Renew only after it has taken all before that."""
        self._told += size
        if self._told - self._told_reported >= REPORT_BYTES:
            self._renew_now(now)

    def _renew_now(self, now: int) -> None:
        # Not twice in one millisecond: the time is how we know which of them is answered.
        self._renew_at = min(self._renew_at, max(now, self._renewed_at + 1))
        self.is_pressing = True

    @property
    def told_and_not_taken(self) -> int:
        """Bytes of tells of which it is not known that the broker has taken them out of our sockets."""
        return self._told - self._told_taken

    def was_relayed(self, count: int, now: int) -> None:
        """The broker has relayed `count` bytes to us so far."""
        self.relayed = count
        if count - self._relayed_reported >= RELAYED_BYTES:
            self._renew_now(now)

    def refused(self, *, is_fatal: bool, retry_at: int) -> None:
        """The broker did not take us."""
        if is_fatal:
            self.life = Life.OUT
        else:
            self._ask_again(retry_at)

    def put_off(self, why: str, dice: float, now: int) -> None:
        """The broker is full: ask again later, and ever later, as who we are. `dice` is a random number from 0 to 1."""
        self.refusal = why
        self._put_off += 1
        self._ask_again(now + FULL_AGAIN + full_jitter(self._put_off, dice, FULL_AGAIN, FULL_AGAIN_MOST))

    def _ask_again(self, at: int) -> None:
        self._retry_at = at
        self._unanswered = max(0, self._unanswered - 1)

    def deregistered(self) -> None:
        """The broker let us go."""
        self.life = Life.OUT

    # verbs

    def new_key(self) -> None:
        """Become somebody else: a new key, a new serial. Attempts count on: no answer is taken for another's."""
        self.key = self._draw(KEY_BYTES)
        self.serial = serial_of(self.key)
        self.session = 0
        self.token = b""

    def drain(self) -> list[ToBroker]:
        """Ask not to be given new work."""
        return [Drain(self.session)] if self.life is Life.ONLINE else []

    def leave(self) -> list[ToBroker]:
        """Say goodbye. Without a broker to say it to, this is the end at once."""
        if self.life is not Life.ONLINE:
            self.life = Life.OUT
            return []
        self.life = Life.LEAVING
        return [Deregister(self.session)]

    # time

    def silence(self, now: int) -> int:
        """For how long a connected broker has said nothing, in milliseconds; 0 while that is no reason to worry."""
        quiet = now - self._heard_at
        return quiet if self.life is Life.ONLINE and quiet >= SILENCE else 0

    def away(self, now: int) -> int:
        """For how long there has been no broker that has this node registered, in milliseconds."""
        return 0 if self._away_since is None or self.life is Life.OUT else now - self._away_since

    def _is_away(self, now: int) -> None:
        if self._away_since is None:
            self._away_since = now

    def tick(self, now: int) -> list[ToBroker]:
        """What is due to be said."""
        self.is_pressing = False
        if self.life is Life.REGISTERING and now >= self._retry_at:
            return self.register(now)
        if self.life in (Life.ONLINE, Life.LEAVING) and now >= self._renew_at:
            self._renew_at = (now + self.renew_every) // GRID * GRID
            self._renewed_at = now
            self._reported, self._relayed_reported = self.received, self.relayed
            if self._told != self._told_reported:
                self._told_reported = self._told
                self._told_by[now] = self._told
            return [
                Renew(self.session, now, self.load(), self.lag, self.received, self.relayed, streams=self.streams())
            ]
        return []

    def next_deadline(self) -> int | None:
        """When `tick` has something to say."""
        if self.life is Life.REGISTERING:
            return self._retry_at
        return self._renew_at if self.life in (Life.ONLINE, Life.LEAVING) else None
