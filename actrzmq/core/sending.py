"""The sender's half of a channel: credit, numbers, and everything that is not done yet.

A frame that is pushed takes credit, gets its number when it is taken for sending, and is kept in the parcel that it
went out with until the receiver has completed it: whatever the network loses is sent again from there. A
latency-first stream never says no: frames for which there is no credit wait, and when too many do, the oldest is
dropped. It has no number yet, so the receiver sees no gap; it learns from `dropped` how many are missing.

Three things can be lost, and one cure heals them all: frames, the grant that says that they came or gives new credit,
and the End or its acknowledgement. A sender that waits for news and hears none asks (Probe, or End once more), less
and less often while nothing changes; every second time over the control plane, since the way to the receiver may be
what is broken. The answer says what came; if frames are missing, a Resend comes with it.

The life of a channel is in `channel.py`.
"""

from __future__ import annotations

from collections import Counter

from actrzmq.core.backlog import Backlog
from actrzmq.core.channel import NEXT, OVER, State, Step
from actrzmq.core.flight import Flight
from actrzmq.core.packing import MESSAGE_BYTES, Parcel, pack
from actrzmq.core.patience import Patience
from actrzmq.errors import ActrStreamError, Status
from actrzmq.wire.codec import BATCH_BYTES, BATCH_ENVELOPES
from actrzmq.wire.messages import Channel, DataStream, End, Failure, Grant, Lane, Probe, Reset

AHEAD_FRAMES = 65_536
"""Frames beyond the completed ones, at most, whatever the receiver grants: its generosity must not fill our memory."""
AHEAD_BYTES = 64 * 1024 * 1024

MESSAGE_FRAMES = 4 * BATCH_ENVELOPES
"""So many small frames go at once, though more may come: fewer would wake both ends more often than it helps."""


class SendChannel:
    """One open channel, from its sender's side."""

    def __init__(
        self, channel: Channel, stream_id: str, lane: Lane, limit_frames: int, limit_bytes: int, now: int
    ) -> None:
        self.channel = channel
        self.stream_id = stream_id
        self.lane = lane
        self.state = State.OPEN
        self.sent = 0
        """Frames that have a number: they were taken for sending."""
        self.drops: Counter[str] = Counter()
        """What the receiver said that made no sense or came twice, by reason."""
        self._received = 0
        self._limit_frames = limit_frames
        self._limit_bytes = limit_bytes
        self._push_frames = 0  # the limit for `push`: none once the channel is no longer open
        self._push_bytes = 0
        self._credited = 0
        self._credited_bytes = 0
        self.has_message = False
        """Do the frames that wait to be taken fill a message, so that there is nothing to be gained by waiting?"""
        self._unsent: list[DataStream] = []  # they have credit and no number
        self._sizes: list[int] = []  # the credit that each of them takes
        self._full_frames = MESSAGE_FRAMES  # credited ones up to which what is unsent fills no message
        self._full_bytes = BATCH_BYTES
        self._backlog = Backlog()  # while any frame waits here, there is no credit
        self._numbered: list[Parcel] = []  # to be taken
        self._flight = Flight()
        self._end_is_due = False
        self._end_is_said = False
        self._now = now
        self._patience = Patience()
        self._spread_credit()

    # the user's verbs

    def push(self, frame: DataStream, size: int) -> bool:
        """Take `frame`, which costs `size` bytes of credit; False without any, which a latency-first stream never is.

        Raises `ActrStreamError` once the end has been said, or the channel is over.
        """
        credited, credited_bytes = self._credited, self._credited_bytes
        if credited < self._push_frames and credited_bytes < self._push_bytes:
            self._credited = credited = credited + 1
            self._credited_bytes = credited_bytes = credited_bytes + size
            self._unsent.append(frame)
            self._sizes.append(size)
            if credited >= self._full_frames or credited_bytes >= self._full_bytes:
                self.has_message = True
            return True
        return self._push_without_credit(frame, size)

    def end(self, now: int) -> None:
        """There are no more frames. Raises `ActrStreamError` if that was said before, or the channel is over."""
        self._check_is_open()
        self._now = now
        self._end_is_due = True
        self._step(Step.END)

    def reset(self, failure: Failure) -> Reset:
        """Give it up: what is not acknowledged is forgotten. Returns what to tell the receiver.

        Raises `ActrStreamError` if the channel is over.
        """
        if self.is_over:
            raise self._misuse("it is over already")
        self._step(Step.RESET)
        return Reset(self.channel, failure, self.sent)

    # what is to be sent

    def take(self) -> list[Parcel]:
        """What is to be sent now, in order, once: parcels to be sent again, new ones, and the End after the last."""
        parcels = self._flight.take_again()
        if self._unsent:
            self._number()
        if self._numbered:
            parcels += self._numbered
            self._flight.add(self._numbered)
            self._numbered = []
        if self._end_is_due and not self._backlog:
            self._end_is_due = False
            self._end_is_said = True
            parcels.append(Parcel(self._end(), (), MESSAGE_BYTES, self.sent + 1, self.sent + 1, 0))
        return parcels

    @property
    def has_outgoing(self) -> bool:
        """Is there something to `take`?"""
        end_is_next = self._end_is_due and not self._backlog
        return bool(self._unsent or self._numbered or self._flight.is_asked_again or end_is_next)

    # what the receiver says

    def granted(self, grant: Grant, now: int) -> bool:
        """Believe `grant` where it says more than is known; True if it did. An old one that comes late does not.

        Afterwards frames that waited may go: see `has_outgoing`.
        """
        self._now = now
        if self.is_over:
            return False
        if not grant.completed <= grant.received <= self.sent:
            self.drops["grant.nonsense"] += 1
            return False
        known = (self._received, self.completed, self._limit_frames, self._limit_bytes)
        self._received = max(self._received, grant.received)
        self._limit_frames = max(self._limit_frames, grant.limit_frames)
        self._limit_bytes = max(self._limit_bytes, grant.limit_bytes)
        self._flight.complete(grant.completed)
        if known == (self._received, self.completed, self._limit_frames, self._limit_bytes):
            return False
        self._spread_credit()
        self._patience.heard()
        return True

    def resend(self, start: int, now: int) -> bool:
        """Have the next `take` send the frames from number `start` on again; False where that is not needed."""
        self._now = now
        if self.is_over:
            return False
        if not 1 <= start <= self.sent:
            self.drops["resend.nonsense"] += 1
            return False
        if not self._flight.ask_again(start, self.sent, now):
            self.drops["resend.repeated"] += 1
            return False
        self._end_is_due = self._end_is_due or self._end_is_said
        self._patience.postpone(now)
        return True

    def end_acked(self, now: int) -> bool:
        """Every frame is done; False, and counted, if no End was said."""
        self._now = now
        if self.state is not State.ENDING or not self._end_is_said:
            self.drops["end_ack.unasked"] += 1
            return False
        self._flight.complete(self.sent)
        self._step(Step.DONE)
        return True

    def peer_reset(self, reset: Reset) -> None:
        """The receiver has given it up. If it wanted no more and has completed all there was, nothing is lost."""
        if self.is_over:
            return
        if reset.last > self.sent:
            self.drops["reset.nonsense"] += 1
        else:
            self._flight.complete(reset.last)
        is_complete = self.is_all_done and reset.failure.status == Status.CANCELLED
        self._step(Step.DONE if is_complete else Step.RESET)

    # time

    def tick(self, now: int) -> list[tuple[Probe | End, bool]]:
        """What to ask after long silence, and whether to ask it over the control plane."""
        self._now = now
        if not self._waits_for_news or not self._patience.is_over(now):
            return []
        question = self._end() if self._end_is_said else Probe(self.channel, self.sent)
        return [(question, self._patience.asked % 2 == 0)]

    def next_deadline(self) -> int | None:
        """When to `tick`; at once where something was sent and no tick has started the clock since."""
        if not self._waits_for_news:
            return None
        ask_at = self._patience.next_deadline()
        return self._now if ask_at is None else ask_at

    # what can be seen

    @property
    def completed(self) -> int:
        """Frames that the receiver has completed."""
        return self._flight.completed

    @property
    def dropped(self) -> int:
        """Frames that a latency-first stream gave up for newer ones."""
        return self._backlog.dropped

    @property
    def can_push(self) -> bool:
        """Would `push` take a frame?"""
        return self.state is State.OPEN and (self.lane is Lane.LATENCY_FIRST or not self._is_spent)

    @property
    def is_all_done(self) -> bool:
        """Has the receiver completed all that was pushed, whether or not the end was said?"""
        return self.completed == self.sent and not self._unsent and not self._backlog and not self._numbered

    @property
    def is_ending(self) -> bool:
        """Has the end been said here, and not been acknowledged?"""
        return self.state is State.ENDING

    @property
    def is_over(self) -> bool:
        """Does nothing happen here any more?"""
        return self.state in OVER

    @property
    def is_completed(self) -> bool:
        """Has the receiver completed everything?"""
        return self.state is State.COMPLETED

    def losses(self) -> dict[str, int]:
        """What was not believed, by reason, and the frames that were dropped for newer ones."""
        return {**self.drops, "frames.dropped_for_newer": self.dropped} if self.dropped else dict(self.drops)

    @property
    def undone(self) -> int:
        """Frames that were pushed, and neither completed nor dropped: lost, if it is over."""
        return self._credited + self._backlog.kept_back - self.completed - self.dropped

    def statistics(self) -> dict[str, int]:
        """The ledger: `taken` = `completed` + `dropped` + what is not done, or was given up by a reset."""
        return {
            "taken": self._credited + self._backlog.kept_back,
            "sent": self.sent,
            "completed": self.completed,
            "dropped": self.dropped,
            "resent": self._flight.resent,
            **self.drops,
        }

    # credit

    @property
    def _is_spent(self) -> bool:
        return self._credited >= self._push_frames or self._credited_bytes >= self._push_bytes

    def _spread_credit(self) -> None:
        """Work out what may go, and give it to the frames that wait, then to `push`."""
        frames = min(self._limit_frames, self.completed + AHEAD_FRAMES)
        size = min(self._limit_bytes, self._flight.completed_bytes + AHEAD_BYTES)
        while self._backlog and self._credited < frames and self._credited_bytes < size:
            frame, frame_bytes = self._backlog.pop()
            self._credited += 1
            self._credited_bytes += frame_bytes
            self._unsent.append(frame)
            self._sizes.append(frame_bytes)
        self._push_frames, self._push_bytes = (frames, size) if self.state is State.OPEN else (0, 0)

    def _push_without_credit(self, frame: DataStream, size: int) -> bool:
        self._check_is_open()
        if self.lane is Lane.RELIABLE:
            return False
        if self._unsent:
            self._number()  # whatever gives way from now on comes after these, and their `dropped` is not to count it
        self._backlog.push(frame, size)
        return True

    def _number(self) -> None:
        frames = self._unsent
        self._numbered += pack(self.channel, self.stream_id, self.sent + 1, frames, self._sizes, self.dropped)
        self._unsent, self._sizes = [], []
        self.has_message = False
        self._full_frames = self._credited + MESSAGE_FRAMES
        self._full_bytes = self._credited_bytes + BATCH_BYTES
        self.sent += len(frames)

    # life

    @property
    def _waits_for_news(self) -> bool:
        if self.state is State.OPEN:
            return self.completed < self._credited or self._is_spent
        return self.state is State.ENDING

    def _step(self, step: Step) -> None:
        self.state = NEXT[self.state, step]
        self._push_frames = self._push_bytes = 0
        if self.is_over:
            self._unsent, self._sizes, self._numbered = [], [], []
            self._backlog.clear()
            self._flight.clear()

    def _end(self) -> End:
        return End(self.channel, self.sent, self.dropped)

    def _check_is_open(self) -> None:
        if self.state is not State.OPEN:
            raise self._misuse("its end has been said" if self.is_ending else "it is over")

    def _misuse(self, why: str) -> ActrStreamError:
        return ActrStreamError(f"stream {self.stream_id}: {why}", code=Status.FAILED_PRECONDITION)
