"""The sender's half of a channel."""

from __future__ import annotations

import pytest

from actrzmq.core.backlog import WAITING_BYTES, WAITING_FRAMES
from actrzmq.core.channel import State
from actrzmq.core.flight import RESEND_EVERY
from actrzmq.core.packing import credit_bytes
from actrzmq.core.patience import QUIET
from actrzmq.core.sending import AHEAD_BYTES, AHEAD_FRAMES, MESSAGE_FRAMES, SendChannel
from actrzmq.errors import ActrStreamError, Status
from actrzmq.wire.codec import (
    BATCH_BYTES,
    BATCH_ENVELOPES,
    LARGE_BYTES,
    LARGE_PER_MESSAGE,
    decode_stream_messages,
    encode_stream_messages,
)
from actrzmq.wire.messages import End, Frames, Lane, Probe, Reset
from tests.core.channels import CHANNEL, MIB, ends, failure, frame, grant, push, sender, sent_numbers


def taken(channel: SendChannel, count: int, size: int = 10) -> SendChannel:
    """`channel` after `count` frames were pushed and taken."""
    assert push(channel, count, size) == count
    channel.take()
    return channel


def asked(channel: SendChannel, until: int) -> list[tuple[int, Probe | End, bool]]:
    """What `channel` asks until then, and when, and whether over the control plane."""
    said = []
    while (deadline := channel.next_deadline()) is not None and deadline <= until:
        said += [(deadline, *question) for question in channel.tick(deadline)]
    return said


# credit


def test_a_frame_goes_while_there_is_credit_in_frames() -> None:
    assert push(sender(limit_frames=3), 5) == 3


def test_a_frame_goes_while_there_is_credit_in_bytes_and_may_reach_over_it_once() -> None:
    channel = sender(limit_bytes=25)
    assert push(channel, 5) == 3
    assert not channel.can_push


def test_a_frame_larger_than_the_window_goes_alone() -> None:
    channel = sender(limit_bytes=1)
    assert push(channel, 2, size=4 * MIB) == 1


def test_a_refused_frame_leaves_no_trace() -> None:
    channel = sender(limit_frames=1)
    push(channel, 2)
    assert sent_numbers(channel.take()) == [1]
    assert channel.statistics()["taken"] == 1


def test_a_grant_gives_credit_once() -> None:
    channel = taken(sender(limit_frames=1), 1)
    assert channel.granted(grant(1, 1, 3, MIB), 5)
    assert push(channel, 5) == 2
    assert not channel.granted(grant(1, 1, 3, MIB), 6)
    assert not channel.can_push


def test_an_old_grant_takes_nothing_back() -> None:
    channel = taken(sender(limit_frames=2), 2)
    channel.granted(grant(2, 2, 10, MIB), 5)
    assert not channel.granted(grant(1, 1, 3, 100), 6)
    assert push(channel, 20) == 8
    assert channel.completed == 2


@pytest.mark.parametrize(
    "nonsense", [grant(6, 5, 99, 99), grant(6, 6, 99, 99), grant(2, 3, 99, 99)], ids=["received", "both", "completed"]
)
def test_a_grant_for_more_than_was_sent_is_counted_and_ignored(nonsense: object) -> None:
    channel = taken(sender(limit_frames=5), 5)
    assert not channel.granted(nonsense, 5)  # type: ignore[arg-type]  # parametrize forgets the type
    assert channel.drops["grant.nonsense"] == 1
    assert channel.completed == 0
    assert not channel.can_push


def test_a_receiver_that_grants_everything_does_not_fill_the_memory_of_the_sender() -> None:
    channel = sender(limit_frames=2**63 - 1, limit_bytes=2**63 - 1)
    assert push(channel, 100, size=4 * MIB) == AHEAD_BYTES // (4 * MIB)
    channel = sender(limit_frames=2**63 - 1, limit_bytes=2**63 - 1)
    assert push(channel, AHEAD_FRAMES + 1, size=0) == AHEAD_FRAMES
    channel.take()
    channel.granted(grant(1000, 1000), 5)
    assert push(channel, 2000, size=0) == 1000


# taking


def test_frames_are_numbered_in_the_order_in_which_they_were_pushed() -> None:
    channel = sender()
    push(channel, 3)
    first = channel.take()
    push(channel, 2)
    second = channel.take()
    assert [(parcel.first, parcel.end) for parcel in first + second] == [(1, 4), (4, 6)]
    assert sent_numbers(first + second) == [1, 2, 3, 4, 5]
    assert channel.take() == []
    assert channel.sent == 5


def test_has_outgoing_says_whether_there_is_something_to_take() -> None:
    channel = sender()
    assert not channel.has_outgoing
    push(channel, 1)
    assert channel.has_outgoing
    channel.take()
    assert not channel.has_outgoing
    channel.resend(1, 5)
    assert channel.has_outgoing
    channel.take()
    channel.end(6)
    assert channel.has_outgoing
    channel.take()
    assert not channel.has_outgoing


def test_no_parcel_is_larger_than_a_message_may_be() -> None:
    channel = sender(limit_frames=10_000, limit_bytes=64 * MIB)
    for number in range(1, 1001):
        size = (number * 37) % 3000
        channel.push(frame(number, size), size)
    for number in range(1001, 1011):
        channel.push(frame(number, LARGE_BYTES - 1), LARGE_BYTES - 1)
    parcels = channel.take()
    assert sent_numbers(parcels) == list(range(1, 1011))
    assert [parcel.first for parcel in parcels] == [1, *(parcel.end for parcel in parcels[:-1])]
    for parcel in parcels:
        assert isinstance(parcel.message, Frames)
        header = encode_stream_messages([parcel.message])
        assert len(header) <= parcel.size <= BATCH_BYTES
        assert len(parcel.message.frames) <= BATCH_ENVELOPES
        assert parcel.message.first == parcel.first
        assert len(parcel.message.frames) == parcel.end - parcel.first


def test_small_frames_travel_in_as_few_messages_as_fit() -> None:
    channel = sender()
    push(channel, 2 * BATCH_ENVELOPES + 100)
    parcels = channel.take()
    firsts = [1, BATCH_ENVELOPES + 1, 2 * BATCH_ENVELOPES + 1]
    assert [parcel.first for parcel in parcels] == firsts
    assert [parcel.message.first for parcel in parcels if isinstance(parcel.message, Frames)] == firsts
    for parcel in parcels:
        assert len(encode_stream_messages([parcel.message])) <= parcel.size


def test_middle_sized_frames_fill_a_message() -> None:
    channel = sender()
    push(channel, 20, size=LARGE_BYTES // 2)
    assert [len(sent_numbers([parcel])) for parcel in channel.take()] == [7, 7, 6]


@pytest.mark.parametrize(("count", "size"), [(MESSAGE_FRAMES, 10), (4, BATCH_BYTES // 4), (1, MIB)])
def test_frames_that_fill_a_message_say_so_until_they_are_taken(count: int, size: int) -> None:
    channel = sender(limit_frames=8 * MESSAGE_FRAMES, limit_bytes=8 * MIB)
    for _ in range(2):
        assert push(channel, count - 1, size) == count - 1
        assert not channel.has_message
        assert push(channel, 1, size)
        assert channel.has_message
        channel.take()
        assert not channel.has_message


def test_large_frames_share_a_message_with_small_ones() -> None:
    channel = sender(limit_bytes=64 * MIB)
    for number, size in enumerate([10, LARGE_BYTES, 10], 1):
        channel.push(frame(number, size), size)
    (parcel,) = channel.take()
    assert isinstance(parcel.message, Frames)
    assert parcel.message.large == (1,)
    assert [len(payload) for payload in parcel.payloads] == [LARGE_BYTES]


def test_large_frames_are_sent_a_few_at_a_time() -> None:
    channel = sender(limit_bytes=64 * MIB)
    push(channel, 10, size=LARGE_BYTES)
    assert [len(parcel.payloads) for parcel in channel.take()] == [4, 4, 2]


def test_metadata_count_towards_the_size_of_a_message() -> None:
    channel = sender()
    for number in range(1, 101):
        one = frame(number, metadata={"key": "ä" * 2000})
        channel.push(one, credit_bytes(one))
    parcels = channel.take()
    assert len(parcels) > 1
    assert sent_numbers(parcels) == list(range(1, 101))
    for parcel in parcels:
        assert len(encode_stream_messages([parcel.message])) <= parcel.size <= BATCH_BYTES


def test_the_credit_of_metadata_comes_back_when_their_frames_are_done() -> None:
    channel = sender(limit_bytes=64 * MIB)
    sizes = []
    for number in range(1, 4):
        one = frame(number, size=LARGE_BYTES, metadata={"key": "ä" * 1000})
        sizes.append(credit_bytes(one))
        channel.push(one, sizes[-1])
    assert sizes[0] > LARGE_BYTES + 2000
    assert sum(parcel.credit_bytes for parcel in channel.take()) == sum(sizes)
    channel.granted(grant(3, 3), 5)
    assert channel._flight.completed_bytes == sum(sizes)


def test_large_payloads_travel_beside_the_message_and_come_back_in_place() -> None:
    channel = sender(limit_bytes=64 * MIB)
    sizes = [10, LARGE_BYTES, 20, MIB, LARGE_BYTES, LARGE_BYTES - 1, LARGE_BYTES, LARGE_BYTES, 30]
    for number, size in enumerate(sizes, 1):
        channel.push(frame(number, size), size)
    parcels = channel.take()
    came: list[int] = []
    for parcel in parcels:
        assert len(parcel.payloads) <= LARGE_PER_MESSAGE
        assert parcel.size <= BATCH_BYTES
        for message in decode_stream_messages(encode_stream_messages([parcel.message]), parcel.payloads):
            assert isinstance(message, Frames)
            came += [len(one.payload()) for one in message.frames]
    assert came == sizes
    assert sum(parcel.credit_bytes for parcel in parcels) == sum(sizes)


# completing


def test_completed_parcels_are_forgotten_and_others_kept() -> None:
    channel = sender()
    for _ in range(3):
        taken(channel, 2)
    channel.granted(grant(6, 3), 5)
    channel.resend(4, 5)
    assert sent_numbers(channel.take()) == [3, 4, 5, 6]
    channel.granted(grant(6, 6), 6)
    assert channel.completed == 6
    assert channel._flight.kept_bytes == 0


def test_an_idle_stream_waits_for_nothing() -> None:
    channel = sender()
    assert channel.next_deadline() is None
    taken(channel, 2)
    assert channel.next_deadline() is not None
    channel.granted(grant(2, 2), 5)
    assert channel.next_deadline() is None
    assert channel.tick(10_000) == []


# sending again


def test_a_resend_sends_everything_from_there_before_what_is_new() -> None:
    channel = sender()
    for _ in range(3):
        taken(channel, 2)
    push(channel, 1)
    assert channel.resend(3, 5)
    assert sent_numbers(channel.take()) == [3, 4, 5, 6, 7]
    assert channel.take() == []
    assert channel.statistics()["resent"] == 4


def test_the_same_resend_is_obeyed_once_within_its_time() -> None:
    channel = taken(sender(), 4)
    assert channel.resend(2, 1000)
    assert not channel.resend(2, 1000 + RESEND_EVERY - 1)
    assert not channel.resend(4, 1000 + RESEND_EVERY - 1)
    assert channel.drops["resend.repeated"] == 2
    assert channel.resend(2, 1000 + RESEND_EVERY)


def test_a_resend_of_what_was_sent_since_is_obeyed_at_once() -> None:
    channel = taken(sender(), 4)
    channel.resend(2, 1000)
    channel.take()
    taken(channel, 2)
    assert channel.resend(5, 1010)
    assert sent_numbers(channel.take()) == [5, 6]


@pytest.mark.parametrize("start", [0, 5, 2**62])
def test_a_resend_of_frames_that_never_were_is_counted_and_ignored(start: int) -> None:
    channel = taken(sender(), 4)
    assert not channel.resend(start, 5)
    assert channel.drops["resend.nonsense"] == 1
    assert channel.take() == []


def test_a_resend_of_completed_frames_is_ignored() -> None:
    channel = taken(sender(), 4)
    channel.granted(grant(4, 2), 5)
    assert not channel.resend(2, 6)
    assert channel.take() == []


def test_the_end_follows_what_is_sent_again() -> None:
    channel = taken(sender(), 2)
    channel.end(5)
    assert ends(channel.take()) == [End(CHANNEL, 2)]
    channel.resend(1, 10)
    again = channel.take()
    assert sent_numbers(again) == [1, 2]
    assert ends(again[-1:]) == [End(CHANNEL, 2)]


# ending


def test_the_end_comes_after_the_last_frame() -> None:
    channel = sender()
    push(channel, 2)
    channel.end(5)
    parcels = channel.take()
    assert sent_numbers(parcels[:-1]) == [1, 2]
    assert parcels[-1].message == End(CHANNEL, 2)
    assert channel.is_ending
    assert channel.take() == []


def test_an_acknowledged_end_completes_the_stream_and_frees_its_memory() -> None:
    channel = taken(sender(), 2, size=1000)
    channel.end(5)
    channel.take()
    assert channel.end_acked(6)
    assert channel.is_completed
    assert channel.is_over
    assert channel.completed == 2
    assert channel._flight.kept_bytes == 0
    assert channel.next_deadline() is None


def test_an_acknowledgement_of_no_end_is_counted_and_ignored() -> None:
    channel = taken(sender(), 2)
    assert not channel.end_acked(5)
    channel.end(6)
    assert not channel.end_acked(7)
    assert channel.drops["end_ack.unasked"] == 2
    assert not channel.is_over


def test_nothing_can_be_pushed_or_ended_after_the_end() -> None:
    channel = taken(sender(), 1)
    channel.end(5)
    with pytest.raises(ActrStreamError, match="its end has been said"):
        push(channel, 1)
    with pytest.raises(ActrStreamError, match="its end has been said"):
        channel.end(6)
    assert channel.state is State.ENDING
    assert channel.statistics()["taken"] == 1


def test_nothing_can_be_done_after_it_is_over() -> None:
    channel = taken(sender(), 1)
    channel.resend(1, 5)
    channel.reset(failure())
    for verb in (lambda: push(channel, 1), lambda: channel.end(5), lambda: channel.reset(failure())):
        with pytest.raises(ActrStreamError, match="over"):
            verb()
    assert not channel.granted(grant(1, 1, 9, 9), 6)
    assert not channel.resend(1, 6)
    assert not channel.has_outgoing
    assert channel.take() == []
    assert channel.state is State.RESET


def test_a_credit_after_the_end_does_not_open_it_again() -> None:
    channel = taken(sender(limit_frames=1), 1)
    channel.end(5)
    channel.granted(grant(1, 1, 10, MIB), 6)
    assert not channel.can_push
    with pytest.raises(ActrStreamError):
        push(channel, 1)


# resets


def test_a_reset_tells_how_many_frames_had_gone_and_frees_the_memory() -> None:
    channel = taken(sender(), 3)
    push(channel, 2)
    assert channel.reset(failure(Status.ABORTED)) == Reset(CHANNEL, failure(Status.ABORTED), 3)
    assert channel.take() == []
    assert channel._flight.kept_bytes == 0


def test_a_receiver_that_cancels_after_completing_everything_has_completed_the_stream() -> None:
    for ending in (False, True):
        channel = taken(sender(), 3)
        if ending:
            channel.end(5)
            channel.take()
        channel.peer_reset(Reset(CHANNEL, failure(), 3))
        assert channel.is_completed
        assert channel.completed == 3


@pytest.mark.parametrize(
    ("status", "last", "unsent"),
    [(Status.CANCELLED, 2, 0), (Status.CANCELLED, 3, 1), (Status.CANCELLED, 4, 0), (Status.ABORTED, 3, 0)],
    ids=["frames not done", "frames not sent", "more than was sent", "not cancelled"],
)
def test_any_other_reset_is_a_failure(status: Status, last: int, unsent: int) -> None:
    channel = taken(sender(), 3)
    push(channel, unsent)
    channel.peer_reset(Reset(CHANNEL, failure(status), last))
    assert channel.state is State.RESET
    assert channel.completed == (last if last <= 3 else 0)
    assert channel.drops["reset.nonsense"] == (last > 3)
    assert channel._flight.kept_bytes == 0
    assert not channel.has_outgoing


def test_a_second_reset_changes_nothing() -> None:
    channel = taken(sender(), 3)
    channel.peer_reset(Reset(CHANNEL, failure(), 3))
    channel.peer_reset(Reset(CHANNEL, failure(Status.ABORTED), 1))
    assert channel.is_completed


# asking


def test_a_sender_without_news_asks_ever_less_often_and_by_turns_over_both_planes() -> None:
    channel = taken(sender(now=50), 2)
    said = asked(channel, 12_000)
    times = [at for at, _, _ in said]
    gaps = [later - earlier for earlier, later in zip([50, *times], times, strict=False)]
    assert gaps == [300, 450, 675, 1012, 1518, 2000, 2000, 2000]
    assert {question for _, question, _ in said} == {Probe(CHANNEL, 2)}
    assert [over_control for _, _, over_control in said] == [False, True] * 4


def test_the_clock_starts_when_there_is_something_to_wait_for() -> None:
    channel = sender(now=0)
    taken(channel, 1)
    assert channel.tick(100_000) == []
    assert channel.next_deadline() == 100_000 + QUIET


def test_news_start_the_waiting_anew() -> None:
    channel = taken(sender(), 3)
    assert len(asked(channel, 2000)) == 3
    assert channel.granted(grant(2, 0), 2500)
    assert [over for _, _, over in asked(channel, 2500 + QUIET)] == [False]
    assert channel.granted(grant(2, 1), 3100)
    assert [(at, over) for at, _, over in asked(channel, 3900)] == [(3100 + QUIET, False), (3850, True)]


def test_a_grant_without_news_does_not_start_the_waiting_anew() -> None:
    channel = taken(sender(), 3)
    assert channel.granted(grant(3, 0), 0)
    asked(channel, 3000)
    deadline = channel.next_deadline()
    assert not channel.granted(grant(3, 0), 3000)
    assert channel.next_deadline() == deadline
    assert [at for at, _, _ in asked(channel, 8000)] == [3955, 5955, 7955]


def test_a_resend_that_was_obeyed_postpones_the_next_asking() -> None:
    channel = taken(sender(), 3)
    channel.tick(0)
    channel.resend(1, 200)
    assert channel.next_deadline() == 200 + QUIET


def test_a_stream_whose_credit_is_spent_asks_even_if_all_is_done() -> None:
    channel = taken(sender(limit_frames=2), 2)
    channel.granted(grant(2, 2), 5)
    assert [question for _, question, _ in asked(channel, 5 + QUIET)] == [Probe(CHANNEL, 2)]


def test_an_unacknowledged_end_is_said_again() -> None:
    channel = taken(sender(), 2)
    channel.granted(grant(2, 2), 5)
    channel.end(10)
    channel.take()
    assert asked(channel, 10 + QUIET + 450) == [
        (10 + QUIET, End(CHANNEL, 2), False),
        (10 + QUIET + 450, End(CHANNEL, 2), True),
    ]


# the latency-first lane


def latency_first(limit_frames: int = 2, limit_bytes: int = MIB) -> SendChannel:
    return sender(Lane.LATENCY_FIRST, limit_frames, limit_bytes)


def test_a_latency_first_stream_never_refuses_a_frame() -> None:
    channel = latency_first()
    assert push(channel, 1000) == 1000
    assert channel.can_push


def test_it_sends_what_has_credit_and_keeps_the_newest_of_the_rest() -> None:
    channel = latency_first()
    push(channel, 100)
    assert sent_numbers(channel.take()) == [1, 2]
    channel.granted(grant(2, 2, 1000, MIB), 5)
    parcels = channel.take()
    assert sent_numbers(parcels) == list(range(100 - WAITING_FRAMES + 1, 101))
    assert parcels[0].first == 3
    assert channel.dropped == 100 - 2 - WAITING_FRAMES


def test_each_message_says_how_many_were_dropped_before_it() -> None:
    channel = latency_first()
    push(channel, 67)
    channel.granted(grant(0, 0, 3, MIB), 5)
    push(channel, 3)
    channel.granted(grant(0, 0, 200, MIB), 6)
    said = [
        (sent_numbers([parcel]), parcel.message.dropped)
        for parcel in channel.take()
        if isinstance(parcel.message, Frames)
    ]
    assert said == [([1, 2], 0), ([4], 1), (list(range(7, 71)), 3)]


def test_what_waits_is_bounded_in_bytes_but_one_frame_always_may() -> None:
    channel = latency_first(limit_frames=0)
    push(channel, 20, size=WAITING_BYTES // 4)
    assert channel.dropped == 16
    channel.push(frame(21, 4 * MIB), 4 * MIB)
    assert channel.dropped == 20
    channel.granted(grant(0, 0, 9, MIB), 5)
    assert sent_numbers(channel.take()) == [21]


def test_its_end_waits_for_the_frames_that_wait_and_says_how_many_were_dropped() -> None:
    channel = latency_first()
    push(channel, 70)
    channel.end(5)
    assert ends(channel.take()) == []
    channel.granted(grant(0, 0, 1000, MIB), 6)
    assert ends(channel.take()) == [End(CHANNEL, 66, 4)]


def test_its_ledger_adds_up() -> None:
    channel = latency_first()
    push(channel, 500)
    channel.take()
    channel.granted(grant(2, 2, 1000, MIB), 5)
    channel.end(6)
    channel.take()
    channel.end_acked(7)
    ledger = channel.statistics()
    assert ledger["taken"] == 500 == ledger["completed"] + ledger["dropped"]


def test_what_waited_when_it_was_reset_stays_in_the_ledger() -> None:
    channel = latency_first()
    push(channel, 50)
    channel.take()
    channel.reset(failure())
    assert channel.statistics()["taken"] == 50
    assert len(channel._backlog) == 0


def test_frames_that_got_credit_make_room_for_others_to_wait() -> None:
    channel = latency_first(limit_frames=0)
    push(channel, 4, size=WAITING_BYTES // 4)
    channel.granted(grant(0, 0, 2, MIB), 5)
    push(channel, 2, size=WAITING_BYTES // 4)
    assert channel.dropped == 0
