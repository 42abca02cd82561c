"""The receiver's half of a channel: order, credit, and when to say what.

Frames are taken in order or not at all. Of a message that repeats what came before, the rest is taken; one that comes
after a gap is dropped and asked for again, so a gap costs one more window on the wire and no memory. What the sender
may not do (send more than was granted, frames of another stream, more than its End says) ends the channel.

The shell counts the frames that its callbacks have completed on a plain attribute and then asks for `progress`. What
they took of the credit was worked out for the whole batch when it came. A Grant goes
out when half a window has been completed, else 100 ms after something was; and whenever the sender asks, so that no
lost message stops a stream for good. Answers collect in a queue: `answers` takes them.

The life of a channel is in `channel.py`; how windows grow is in `credit.py`.
"""

from __future__ import annotations

from collections import Counter
from itertools import accumulate
from operator import countOf

from msgspec import structs

from actrzmq.core.channel import NEXT, OVER, State, Step, fields_of
from actrzmq.core.credit import Budget, Window
from actrzmq.core.failures import error_from, failure_of
from actrzmq.core.packing import credit_bytes
from actrzmq.errors import ActrRuntimeError, ActrStreamError, Status
from actrzmq.wire.messages import (
    Channel,
    DataStream,
    End,
    EndAck,
    Failure,
    Frames,
    Grant,
    Lane,
    Probe,
    Resend,
    Reset,
)

GRANT_AFTER = 100
"""Milliseconds after which progress is told even if it is less than half a window."""
RESEND_EVERY = 100
"""The same frames are asked for at most once in so many milliseconds."""
LATENCY_FRAMES = 64
"""The window of a latency-first stream: what is on its way can't be dropped any more."""

ReceiverSays = Grant | Resend | EndAck | Reset


class ReceiveChannel:
    """One open channel, from its receiver's side."""

    def __init__(
        self, channel: Channel, stream_id: str, lane: Lane, window_frames: int, window_bytes: int, budget: Budget
    ) -> None:
        """Takes its window out of `budget` until `close`. Raises `ValueError` for a window without room."""
        self.channel = channel
        self.stream_id = stream_id
        self.state = State.OPEN
        self.received = 0
        """Frames that came and were handed on, in order."""
        self.completed_frames = 0
        """Those that are done; the shell counts them here."""
        self.completed_bytes = 0
        """The credit that they took, when it was last counted."""
        self.missing = 0
        """Frames that a latency-first sender says it has dropped."""
        self.drops: Counter[str] = Counter()
        """Frames and messages that were not taken, by reason."""
        self.outcome: ActrRuntimeError | None = None
        """Why the channel was reset; None while it is open, and when it is complete."""
        self.last_words: EndAck | Reset | None = None
        """What to answer if the sender asks after the end."""
        frames = min(window_frames, LATENCY_FRAMES) if lane is Lane.LATENCY_FIRST else window_frames
        self._window = Window(budget, frames, window_bytes)
        self._next = 1  # the number that is due; -1, which no frame has, once the channel is over
        self._received_bytes = 0
        self._marks: list[int] = []  # the credit that the frames up to each one took that is not counted as completed
        self._count: int | None = None  # of all frames, once the sender has said it
        self._told_frames = 0  # what the last grant said was completed
        self._grant_at: int | None = None
        self._asked_for = 0
        self._asked_at = 0
        self._now = 0
        self._answers: list[ReceiverSays] = []

    # what the sender says

    def frames(self, message: Frames, now: int) -> list[DataStream]:
        """The frames of `message` that are to be delivered now; more to say may be in `answers`."""
        frames = message.frames
        if message.first != self._next:
            frames = self._what_is_due(message, now)
        count = len(frames)
        if not count:
            return frames
        ids, _, payloads, _, metadata = zip(*map(fields_of, frames), strict=True)
        sizes = map(credit_bytes, frames) if any(metadata) else map(len, payloads)
        _, *marks = accumulate(sizes, initial=self._received_bytes)
        if countOf(ids, self.stream_id) != count:
            return self._refuse(count, "frames.of_another_stream", "frames of another stream came on its channel")
        received = self.received + count
        received_bytes = marks[-1]
        if received > self._window.limit_frames or received_bytes >= self._window.limit_bytes:
            last = credit_bytes(frames[-1])
            if received > self._window.limit_frames or received_bytes - last >= self._window.limit_bytes:
                return self._refuse(count, "frames.without_credit", "flow violation: frames came without credit")
            self._window.overshot(received_bytes)
        if self._count is not None and received > self._count:
            return self._refuse(count, "frames.after_the_end", "frames came after the end")
        self.received = received
        self._received_bytes = received_bytes
        self._next = received + 1
        self._marks += marks
        self.missing = max(self.missing, message.dropped)
        return frames

    def probe(self, probe: Probe, now: int) -> None:
        """Answer with a Grant, and ask for what has not come."""
        self._now = now
        if self.is_over:
            return
        if probe.last > self._window.limit_frames:
            self.drops["probe.nonsense"] += 1
        elif probe.last > self.received:
            self._ask_again(now)
        self._say_grant()

    def end(self, end: End, now: int) -> None:
        """`end.count` frames are all: acknowledge when they are done, now or later; ask for what has not come."""
        self._now = now
        if self.is_over:
            return
        is_repeated = self._count is not None
        if not self.received <= end.count <= self._window.limit_frames or (is_repeated and end.count != self._count):
            self._refuse(0, "end.nonsense", f"its sender says that {end.count} frames are all, which they are not")
            return
        if not is_repeated:
            self._count = end.count
            self.state = NEXT[self.state, Step.END]
        self.missing = max(self.missing, end.dropped)
        if end.count > self.received:
            self._ask_again(now)
        if self._finish():
            return
        if is_repeated:
            self._say_grant()  # it is waiting for news

    def peer_reset(self, reset: Reset) -> None:
        """The sender has given it up."""
        if self.is_over:
            return
        self.last_words = Reset(self.channel, reset.failure, self.completed_frames)
        self._step(Step.RESET)
        self.outcome = self._error(reset.failure)

    # the shell's verbs

    def progress(self, now: int) -> list[ReceiverSays]:
        """Frames were completed and counted: what there is to say about it, and all other answers."""
        self._now = now
        self._count_completed()
        if not self.is_over and not self._finish() and self.completed_frames != self._told_frames:
            if self._window.is_half_used(self.completed_frames, self.completed_bytes):
                self._say_grant()
            elif self._grant_at is None:
                self._grant_at = now + GRANT_AFTER
        return self.answers()

    def reset(self, failure: Failure) -> None:
        """Take no more: cancelled, or a callback raised. What to tell the sender is in `answers`.

        What is over stays as it is.
        """
        if self.is_over:
            return
        words = Reset(self.channel, failure, self.completed_frames)
        self.last_words = words
        self._step(Step.RESET)
        self.outcome = self._error(failure)
        self._answers.append(words)

    def grant(self) -> Grant:
        """How things stand, in numbers."""
        window = self._window
        return Grant(self.channel, self.received, self.completed_frames, window.limit_frames, window.limit_bytes)

    def answers(self) -> list[ReceiverSays]:
        """What is to be said to the sender, once."""
        if not self._answers:
            return []
        answers, self._answers = self._answers, []
        return answers

    def rename(self, channel: Channel) -> None:
        """Go on under another name: nothing has come yet. Raises `ValueError` if something has."""
        if self.has_begun:
            raise ValueError(f"stream {self.stream_id}: it has begun, its channel can't be renamed")
        self.channel = channel
        self._answers.clear()

    def close(self) -> None:
        """Give the window back to the budget; nothing is taken any more. Closing twice changes nothing."""
        if not self.is_over:
            self._step(Step.RESET)
        self._window.close()

    # time

    def tick(self, now: int) -> list[ReceiverSays]:
        """Tell of progress that has waited long enough."""
        answers = self.progress(now)
        if self._grant_at is not None and now >= self._grant_at:
            self._say_grant()
            answers += self.answers()
        return answers

    def next_deadline(self) -> int | None:
        """When to `tick`; at once where frames were completed and `progress` was not asked for."""
        if self._grant_at is None and self.completed_frames != self._told_frames and not self.is_over:
            return self._now
        return self._grant_at

    # what can be seen

    @property
    def is_at_work(self) -> bool:
        """Has anything come that is not done yet? Then progress is to be looked for, within a batch too."""
        return self.completed_frames < self.received and not self.is_over

    @property
    def has_begun(self) -> bool:
        """Has anything come?"""
        return self.received > 0 or self._count is not None

    @property
    def is_over(self) -> bool:
        """Does nothing happen here any more?"""
        return self.state in OVER

    @property
    def is_completed(self) -> bool:
        """Has every frame come and been completed?"""
        return self.state is State.COMPLETED

    def losses(self) -> dict[str, int]:
        """What was not taken, by reason, and what the sender dropped."""
        return {**self.drops, "frames.missing": self.missing} if self.missing else dict(self.drops)

    def statistics(self) -> dict[str, int]:
        """The ledger: `received` = `completed` + what is not done, or was given up by a reset."""
        return {
            "received": self.received,
            "completed": self.completed_frames,
            "missing": self.missing,
            **self.drops,
        }

    # taking frames

    def _what_is_due(self, message: Frames, now: int) -> list[DataStream]:
        """The frames of a `message` that does not begin with the one that is due."""
        frames = message.frames
        if self.is_over:
            self.drops["frames.of_closed_channel"] += len(frames)
            return []
        if message.first < 1:
            self.drops["frames.nonsense"] += len(frames)
            return []
        if message.first > self._next:
            self.drops["frames.after_a_gap"] += len(frames)
            self._ask_again(now)
            return []
        known = self._next - message.first
        self.drops["frames.repeated"] += min(known, len(frames))
        return frames[known:]

    def _refuse(self, count: int, reason: str, message: str) -> list[DataStream]:
        """End the channel: its sender does what it may not."""
        self.drops[reason] += count or 1
        code = Status.RESOURCE_EXHAUSTED if reason == "frames.without_credit" else Status.INVALID_ARGUMENT
        self.reset(failure_of(ActrStreamError(f"stream {self.stream_id}: {message}", code=code)))
        return []

    # saying

    def _ask_again(self, now: int) -> None:
        start = self.received + 1
        if self._asked_for == start and now - self._asked_at < RESEND_EVERY:
            return
        self._asked_for, self._asked_at = start, now
        self._answers.append(Resend(self.channel, start))

    def _say_grant(self) -> None:
        self._count_completed()
        self._window.slide(self.completed_frames, self.completed_bytes)
        self._told_frames = self.completed_frames
        self._grant_at = None
        self._answers.append(self.grant())

    def _count_completed(self) -> None:
        count = len(self._marks) - (self.received - self.completed_frames)
        if count > 0:  # none where it is over
            self.completed_bytes = self._marks[count - 1]
            del self._marks[:count]

    def _finish(self) -> bool:
        """Acknowledge the end once every frame is done."""
        if self.state is not State.ENDING or self.completed_frames != self._count:
            return False
        self._step(Step.DONE)
        self.last_words = EndAck(self.channel)
        self._answers.append(self.last_words)
        return True

    def _step(self, step: Step) -> None:
        self.state = NEXT[self.state, step]
        self._next = -1
        self._marks = []
        self._grant_at = None

    def _error(self, failure: Failure) -> ActrRuntimeError:
        """`failure` with the number of frames that were good."""
        details = {**failure.details, "last": str(self.completed_frames)}
        return error_from(structs.replace(failure, details=details))
