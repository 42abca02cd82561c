"""The receiver's half of a channel, and what it leaves behind."""

from __future__ import annotations

import pytest

from actrzmq.core.channel import State
from actrzmq.core.credit import FIRST_BYTES, Budget
from actrzmq.core.receiving import GRANT_AFTER, LATENCY_FRAMES, RESEND_EVERY, ReceiveChannel, ReceiverSays
from actrzmq.core.tombstones import WORDS, Tombstones
from actrzmq.errors import ActrStreamError, Status
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
from tests.core.channels import CHANNEL, MIB, failure, frame, frames, numbers, receiver


def complete(channel: ReceiveChannel, count: int, now: int) -> list[ReceiverSays]:
    """Complete the next `count` frames, as the shell does."""
    channel.completed_frames += count
    return channel.progress(now)


def the_reset(channel: ReceiveChannel) -> Reset:
    """The only answer of `channel`, a Reset."""
    (answer,) = channel.answers()
    assert isinstance(answer, Reset)
    assert channel.is_over
    return answer


# credit


def test_metadata_take_credit_as_payloads_do() -> None:
    channel = receiver(window_bytes=1000)
    message = Frames(CHANNEL, 1, [frame(1, size=0, metadata={"key": "x" * 2000}), frame(2, size=0)])
    channel.frames(message, 5)
    reset = the_reset(channel)
    assert reset.failure.status == Status.RESOURCE_EXHAUSTED


def test_one_frame_may_reach_over_the_limit_with_its_metadata() -> None:
    channel = receiver(window_bytes=1000)
    big = frame(2, size=10, metadata={"key": "x" * 2000})
    assert numbers(channel.frames(Frames(CHANNEL, 1, [frame(1, size=999), big]), 5)) == [1, 2]
    assert not channel.is_over


# order


def test_frames_are_delivered_as_they_come() -> None:
    channel = receiver()
    assert numbers(channel.frames(frames(1, 3), 5)) == [1, 2, 3]
    assert numbers(channel.frames(frames(4, 2), 6)) == [4, 5]
    assert channel.received == 5
    assert channel.answers() == []
    assert not channel.drops


def test_a_repeated_message_is_not_delivered_again() -> None:
    channel = receiver()
    channel.frames(frames(1, 3), 5)
    assert channel.frames(frames(1, 3), 6) == []
    assert channel.frames(frames(2, 1), 6) == []
    assert channel.drops["frames.repeated"] == 4
    assert channel.received == 3


def test_of_a_message_that_repeats_what_came_only_the_rest_is_delivered() -> None:
    channel = receiver()
    channel.frames(frames(1, 3), 5)
    assert numbers(channel.frames(frames(2, 4), 6)) == [4, 5]
    assert channel.drops["frames.repeated"] == 2
    assert channel.received == 5


def test_what_comes_after_a_gap_is_dropped_and_asked_for() -> None:
    channel = receiver()
    channel.frames(frames(1, 2), 5)
    assert channel.frames(frames(4, 2), 6) == []
    assert channel.answers() == [Resend(CHANNEL, 3)]
    assert channel.drops["frames.after_a_gap"] == 2
    assert numbers(channel.frames(frames(3, 3), 7)) == [3, 4, 5]


def test_the_same_gap_is_asked_for_once_within_its_time() -> None:
    channel = receiver()
    channel.frames(frames(3, 1), 1000)
    channel.frames(frames(4, 1), 1000 + RESEND_EVERY - 1)
    assert channel.answers() == [Resend(CHANNEL, 1)]
    channel.frames(frames(5, 1), 1000 + RESEND_EVERY)
    assert channel.answers() == [Resend(CHANNEL, 1)]


def test_the_next_gap_is_asked_for_at_once() -> None:
    channel = receiver()
    channel.frames(frames(2, 1), 1000)
    channel.frames(frames(1, 2), 1001)
    channel.frames(frames(4, 1), 1002)
    assert channel.answers() == [Resend(CHANNEL, 1), Resend(CHANNEL, 3)]


def test_frame_number_zero_is_nonsense() -> None:
    channel = receiver()
    assert channel.frames(frames(0, 2), 5) == []
    assert channel.drops["frames.nonsense"] == 2
    assert not channel.is_over


def test_a_message_without_frames_is_harmless() -> None:
    channel = receiver()
    assert channel.frames(Frames(CHANNEL, 1, []), 5) == []
    assert channel.received == 0


# what the sender may not do


def test_frames_of_another_stream_end_the_channel() -> None:
    channel = receiver()
    mixed = Frames(CHANNEL, 1, [frame(1), frame(2, stream_id="acme/other")])
    assert channel.frames(mixed, 5) == []
    assert the_reset(channel).failure.status == Status.INVALID_ARGUMENT
    assert channel.drops["frames.of_another_stream"] == 2
    assert channel.received == 0


def test_more_frames_than_were_granted_end_the_channel() -> None:
    channel = receiver(window_frames=4)
    assert len(channel.frames(frames(1, 4), 5)) == 4
    assert channel.frames(frames(5, 1), 6) == []
    reset = the_reset(channel)
    assert reset.failure.status == Status.RESOURCE_EXHAUSTED
    assert "flow violation" in reset.failure.message
    assert reset.last == 0


def test_the_last_frame_may_reach_over_the_bytes_that_were_granted() -> None:
    channel = receiver(window_bytes=100)
    assert len(channel.frames(frames(1, 2, size=99), 5)) == 2
    assert not channel.is_over


@pytest.mark.parametrize("size", [0, 1, 1000])
def test_a_frame_after_all_granted_bytes_ends_the_channel(size: int) -> None:
    channel = receiver(window_bytes=100)
    channel.frames(frames(1, 1, size=100), 5)
    channel.frames(frames(2, 1, size=size), 6)
    assert the_reset(channel).failure.status == Status.RESOURCE_EXHAUSTED


def test_a_violation_is_seen_within_one_message() -> None:
    channel = receiver(window_bytes=100)
    assert channel.frames(frames(1, 3, size=60), 5) == []
    assert channel.drops["frames.without_credit"] == 3


def test_bytes_beyond_the_limit_are_charged_to_the_memory_of_all() -> None:
    budget = Budget(MIB)
    channel = receiver(window_bytes=100, budget=budget)
    channel.frames(frames(1, 1, size=5000), 5)
    assert budget.used == 5000


def test_what_comes_on_a_channel_that_is_over_is_counted_and_dropped() -> None:
    channel = receiver()
    channel.reset(failure())
    channel.answers()
    assert channel.frames(frames(1, 3), 5) == []
    assert channel.drops["frames.of_closed_channel"] == 3
    channel.probe(Probe(CHANNEL, 3), 6)
    channel.end(End(CHANNEL, 3), 7)
    assert channel.answers() == []


# grants


def test_half_a_window_of_frames_is_told_at_once() -> None:
    channel = receiver(window_frames=8)
    channel.frames(frames(1, 8), 5)
    assert complete(channel, 3, 6) == []
    assert complete(channel, 1, 6) == [Grant(CHANNEL, 8, 4, 12, FIRST_BYTES + 40)]


def test_half_a_window_of_bytes_is_told_at_once_and_doubles_it() -> None:
    channel = receiver(window_bytes=MIB)
    channel.frames(frames(1, 2, size=FIRST_BYTES // 4), 5)
    assert complete(channel, 1, 6) == []
    done = FIRST_BYTES // 2
    assert complete(channel, 1, 6) == [Grant(CHANNEL, 2, 2, 10, done + 2 * FIRST_BYTES)]


def test_less_is_told_after_a_while() -> None:
    channel = receiver(window_frames=8)
    channel.frames(frames(1, 8), 5)
    assert channel.next_deadline() is None
    complete(channel, 1, 1000)
    complete(channel, 1, 1050)
    assert channel.next_deadline() == 1000 + GRANT_AFTER
    assert channel.tick(1000 + GRANT_AFTER - 1) == []
    assert channel.tick(1000 + GRANT_AFTER) == [Grant(CHANNEL, 8, 2, 10, FIRST_BYTES + 20)]
    assert channel.next_deadline() is None
    assert channel.tick(5000) == []


def test_the_next_half_counts_from_the_last_grant() -> None:
    channel = receiver(window_frames=8)
    channel.frames(frames(1, 8), 5)
    assert len(complete(channel, 4, 6)) == 1
    assert complete(channel, 3, 7) == []
    assert complete(channel, 1, 8) == [Grant(CHANNEL, 8, 8, 16, FIRST_BYTES + 80)]


def test_progress_that_nobody_asked_about_is_found_by_tick() -> None:
    channel = receiver(window_frames=8)
    channel.frames(frames(1, 8), 5)
    channel.completed_frames += 1
    assert channel.next_deadline() is not None
    channel.tick(1000)
    assert len(channel.tick(1000 + GRANT_AFTER)) == 1


def test_no_progress_is_not_told() -> None:
    channel = receiver(window_frames=1, window_bytes=1)
    assert channel.progress(5) == []
    assert channel.tick(5000) == []


def test_a_latency_first_stream_has_a_small_window_in_frames() -> None:
    assert receiver(Lane.LATENCY_FIRST, 1024).grant().limit_frames == LATENCY_FRAMES
    assert receiver(Lane.LATENCY_FIRST, 8).grant().limit_frames == 8
    assert receiver(Lane.RELIABLE, 1024).grant().limit_frames == 1024


def test_a_probe_is_always_answered() -> None:
    channel = receiver()
    channel.frames(frames(1, 3), 5)
    for now in (6, 7):
        channel.probe(Probe(CHANNEL, 3), now)
        assert channel.answers() == [Grant(CHANNEL, 3, 0, 8, FIRST_BYTES)]


def test_a_probe_for_frames_that_did_not_come_asks_for_them() -> None:
    channel = receiver()
    channel.frames(frames(1, 3), 5)
    channel.probe(Probe(CHANNEL, 5), 6)
    assert channel.answers() == [Resend(CHANNEL, 4), Grant(CHANNEL, 3, 0, 8, FIRST_BYTES)]


def test_a_probe_for_more_than_was_granted_is_counted_and_answered_with_the_facts() -> None:
    channel = receiver()
    channel.probe(Probe(CHANNEL, 9), 6)
    assert channel.answers() == [Grant(CHANNEL, 0, 0, 8, FIRST_BYTES)]
    assert channel.drops["probe.nonsense"] == 1


# the end


def test_the_end_is_acknowledged_when_the_last_frame_is_done() -> None:
    channel = receiver()
    channel.frames(frames(1, 3), 5)
    channel.end(End(CHANNEL, 3), 6)
    assert channel.answers() == []
    assert complete(channel, 2, 7) == []
    assert complete(channel, 1, 8) == [EndAck(CHANNEL)]
    assert channel.is_completed
    assert channel.outcome is None
    assert channel.last_words == EndAck(CHANNEL)
    assert channel.next_deadline() is None


def test_the_end_of_what_is_done_is_acknowledged_at_once() -> None:
    channel = receiver()
    channel.end(End(CHANNEL, 0), 6)
    assert channel.answers() == [EndAck(CHANNEL)]


def test_an_end_that_overtook_its_frames_asks_for_them_and_waits() -> None:
    channel = receiver()
    channel.end(End(CHANNEL, 2), 6)
    assert channel.answers() == [Resend(CHANNEL, 1)]
    channel.frames(frames(1, 2), 7)
    assert complete(channel, 2, 8) == [EndAck(CHANNEL)]


def test_a_repeated_end_is_answered_with_how_far_it_is() -> None:
    channel = receiver()
    channel.frames(frames(1, 2), 5)
    channel.end(End(CHANNEL, 2), 6)
    assert complete(channel, 1, 7) == []
    channel.end(End(CHANNEL, 2), 400)
    assert channel.answers() == [Grant(CHANNEL, 2, 1, 9, FIRST_BYTES + 10)]


@pytest.mark.parametrize("count", [1, 9])
def test_an_end_that_can_not_be_resets_the_channel(count: int) -> None:
    channel = receiver(window_frames=8)
    channel.frames(frames(1, 2), 5)
    channel.end(End(CHANNEL, count), 6)
    assert the_reset(channel).failure.status == Status.INVALID_ARGUMENT
    assert channel.drops["end.nonsense"] == 1


def test_two_ends_that_differ_reset_the_channel() -> None:
    channel = receiver()
    channel.end(End(CHANNEL, 2), 5)
    channel.answers()
    channel.end(End(CHANNEL, 3), 6)
    assert the_reset(channel).failure.status == Status.INVALID_ARGUMENT


def test_frames_after_the_end_reset_the_channel() -> None:
    channel = receiver()
    channel.end(End(CHANNEL, 2), 5)
    channel.answers()
    assert channel.frames(frames(1, 3), 6) == []
    assert the_reset(channel).failure.status == Status.INVALID_ARGUMENT


def test_it_knows_how_many_frames_a_latency_first_sender_has_dropped() -> None:
    channel = receiver(Lane.LATENCY_FIRST)
    channel.frames(frames(1, 2, dropped=5), 5)
    assert channel.missing == 5
    channel.frames(frames(3, 1, dropped=4), 6)
    assert channel.missing == 5
    channel.end(End(CHANNEL, 3, 7), 7)
    assert channel.missing == 7


# resets


def test_a_reset_tells_both_sides_how_many_frames_were_good() -> None:
    channel = receiver()
    channel.frames(frames(1, 3), 5)
    complete(channel, 2, 6)
    channel.reset(failure(Status.ABORTED, "the callback raised"))
    reset = the_reset(channel)
    assert reset == Reset(CHANNEL, failure(Status.ABORTED, "the callback raised"), 2)
    assert channel.last_words == reset
    assert isinstance(channel.outcome, ActrStreamError)
    assert channel.outcome.details["last"] == "2"
    assert channel.next_deadline() is None


def test_what_is_over_can_not_be_reset_again() -> None:
    channel = receiver()
    channel.end(End(CHANNEL, 0), 5)
    channel.answers()
    channel.reset(failure())
    channel.peer_reset(Reset(CHANNEL, failure(), 0))
    assert channel.answers() == []
    assert channel.is_completed
    assert channel.outcome is None
    assert channel.last_words == EndAck(CHANNEL)


def test_a_reset_by_the_sender_is_not_answered() -> None:
    channel = receiver()
    channel.frames(frames(1, 3), 5)
    complete(channel, 1, 6)
    channel.peer_reset(Reset(CHANNEL, failure(Status.UNAVAILABLE, "stopping"), 3))
    assert channel.answers() == []
    assert channel.state is State.RESET
    assert channel.outcome is not None
    assert (channel.outcome.code, channel.outcome.details["last"]) == (Status.UNAVAILABLE, "1")
    assert channel.last_words == Reset(CHANNEL, failure(Status.UNAVAILABLE, "stopping"), 1)


def test_closing_gives_the_window_back_and_takes_nothing_more() -> None:
    budget = Budget(MIB)
    channel = receiver(budget=budget)
    channel.frames(frames(1, 3), 5)
    assert budget.used
    channel.close()
    channel.close()
    assert budget.used == 0
    assert channel.is_over
    assert channel.frames(frames(4, 1), 6) == []
    assert complete(channel, 3, 7) == []
    assert budget.used == 0


def test_a_channel_may_be_renamed_until_something_has_come() -> None:
    channel = receiver()
    channel.probe(Probe(CHANNEL, 0), 5)
    channel.rename(Channel(99))
    assert channel.answers() == []
    assert channel.grant().channel == 99
    channel.frames(frames(1, 1), 6)
    with pytest.raises(ValueError, match="renamed"):
        channel.rename(Channel(100))
    assert channel.channel == 99


def test_the_ledger_adds_up() -> None:
    channel = receiver()
    channel.frames(frames(1, 3), 5)
    channel.frames(frames(2, 3), 5)
    channel.frames(frames(7, 2), 5)
    complete(channel, 2, 6)
    ledger = channel.statistics()
    came = 3 + 3 + 2
    assert ledger["received"] + ledger["frames.repeated"] + ledger["frames.after_a_gap"] == came
    assert ledger["completed"] == 2


# no message makes it raise


@pytest.mark.parametrize("number", [0, 1, 7, 8, 9, 2**63 - 1])
def test_no_number_makes_it_raise(number: int) -> None:
    for began in (0, 3):
        for said in ("frames", "probe", "end", "reset"):
            channel = receiver()
            if began:
                channel.frames(frames(1, began), 1)
            match said:
                case "frames":
                    channel.frames(Frames(CHANNEL, number, [DataStream("acme/rows", 0, b"")] * 3, (), number), 2)
                case "probe":
                    channel.probe(Probe(CHANNEL, number), 2)
                case "end":
                    channel.end(End(CHANNEL, number, number), 2)
                case "reset":
                    channel.peer_reset(Reset(CHANNEL, Failure(number, "", ""), number))
            channel.progress(3)
            channel.tick(10_000)
            channel.close()


# tombstones


def test_a_closed_channel_still_answers() -> None:
    tombstones = Tombstones()
    tombstones.bury(Channel(1), EndAck(Channel(1)))
    tombstones.bury(Channel(2), Reset(Channel(2), failure(), 5))
    assert tombstones.answer(Channel(1)) == EndAck(Channel(1))
    assert tombstones.answer(Channel(2)) == Reset(Channel(2), failure(), 5)
    assert tombstones.answer(Channel(3)) is None


def test_one_that_said_nothing_is_not_remembered() -> None:
    tombstones = Tombstones()
    tombstones.bury(Channel(1), None)
    assert len(tombstones) == 0


def test_the_oldest_is_forgotten_first() -> None:
    tombstones = Tombstones(kept=2)
    for number in (1, 2, 3):
        tombstones.bury(Channel(number), EndAck(Channel(number)))
    assert len(tombstones) == 2
    assert tombstones.answer(Channel(1)) is None
    assert tombstones.answer(Channel(3)) == EndAck(Channel(3))


def test_long_reasons_are_kept_short() -> None:
    tombstones = Tombstones()
    words = Failure(Status.ABORTED, "ActrStreamError", "x" * 4000, {"key": "y" * 4000})
    tombstones.bury(Channel(1), Reset(Channel(1), words, 5))
    answer = tombstones.answer(Channel(1))
    assert isinstance(answer, Reset)
    assert (answer.failure.message, answer.failure.details, answer.last) == ("x" * WORDS, {}, 5)
