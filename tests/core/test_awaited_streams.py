"""Registrations that nobody opens, and what becomes of them, over a simulated wire."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from actrzmq.core.session import Session
from actrzmq.core.streams import OutState, Receiver, Wish
from actrzmq.errors import ActrPermissionDenied, ActrTimeoutError, ActrTransportError
from actrzmq.identity import Serial
from actrzmq.testing.simulation import Collector
from actrzmq.wire.messages import Lane, Reason
from tests.core.test_streams_on_the_wire import Pair


def register(pair: Pair, stream_id: str = "s", *, pinned: bool = True, open_within: int | None = None) -> Collector:
    """Await a stream, from the sender only if `pinned`."""
    sink = Collector(pair.receiver)
    serial = pair.sender.id.serial if pinned else None
    pair.receiver.do(lambda session, now: session.register_stream(stream_id, serial, sink, now, open_within))
    return sink


def expect(receiver: Receiver, serial: Serial, session: Session, now: int) -> None:
    """Say who will send it."""
    session.expect(receiver, serial, now)


def talk(pair: Pair) -> None:
    """Have the two know one another."""
    sink = pair.register("talk")
    sender = pair.send(1, "talk")
    pair.world.run_until(lambda: sender.outcome is None and sink.outcome is None)


@pytest.mark.parametrize("have_talked", [True, False])
def test_a_registration_for_a_node_that_dies_before_it_opens_the_stream_ends_within_a_second(have_talked: bool) -> None:
    pair = Pair()
    if have_talked:
        talk(pair)
    sinks = [register(pair), register(pair, "t")]
    other = register(pair, "unpinned", pinned=False)
    pair.world.run(100)
    pair.sender.kill()
    pair.world.run_until(lambda: all(sink.outcome is not ... for sink in sinks), within=1_000)
    assert all(isinstance(sink.outcome, ActrTransportError) for sink in sinks)
    assert "s, which nobody has opened" in str(sinks[0].outcome)
    assert sinks[0].outcome.details == {"reason": "UNREACHABLE", "peer": sinks[0].outcome.details["peer"], "last": "0"}
    assert other.outcome is ...
    assert pair.register("s").outcome is ...  # the id is free again


@pytest.mark.parametrize("have_talked", [True, False])
def test_who_is_expected_later_is_awaited_from_then_on(have_talked: bool) -> None:
    pair = Pair()
    if have_talked:
        talk(pair)
    stranger = pair.world.node("stranger", "Stranger")
    pair.world.run_until(lambda: stranger.session.is_online)
    sink = register(pair, pinned=False)
    receiver = pair.receiver.session.streams.receiver("s")
    assert receiver is not None
    for serial in (stranger.id.serial, pair.sender.id.serial):  # the last word counts
        pair.receiver.do(partial(expect, receiver, serial))
    stolen = pair.send(1, node=stranger)
    pair.world.run_until(lambda: isinstance(stolen.outcome, ActrPermissionDenied))
    stranger.kill()
    pair.world.run(2_000)
    assert sink.outcome is ...
    pair.sender.kill()
    pair.world.run_until(lambda: sink.outcome is not ..., within=1_000)
    assert isinstance(sink.outcome, ActrTransportError)


def test_who_is_expected_of_a_stream_that_is_open_changes_nothing() -> None:
    pair = Pair()
    sink = register(pair, pinned=False)
    receiver = pair.receiver.session.streams.receiver("s")
    assert receiver is not None
    sender = pair.send(10)
    sender.ends = False
    pair.world.run(100)
    stranger = pair.world.node("stranger", "Stranger")
    pair.world.run_until(lambda: stranger.session.is_online)
    pair.receiver.do(partial(expect, receiver, stranger.id.serial))
    stranger.kill()
    pair.world.run(2_000)
    assert sink.outcome is ...


def test_a_registration_for_a_node_that_is_not_there_ends_at_once() -> None:
    pair = Pair()
    pair.sender.kill()
    pair.world.run(2_000)
    sink = register(pair)
    pair.world.run_until(lambda: sink.outcome is not ..., within=50)
    assert sink.outcome.details["reason"] == Reason.UNKNOWN.name
    pair.world.run(100)
    assert pair.receiver.session.statistics()["peers"] == 1  # itself


def test_a_registration_for_a_node_that_is_known_to_be_dead_is_refused() -> None:
    pair = Pair()
    talk(pair)
    pair.sender.kill()
    pair.world.run(2_000)
    with pytest.raises(ActrTransportError, match=r"stream s: .+ is down"):
        register(pair)
    assert pair.receiver.session.streams.receiver("s") is None


@pytest.mark.parametrize("have_talked", [True, False])
def test_a_node_that_dies_while_the_broker_is_away_is_missed_when_it_is_back(have_talked: bool) -> None:
    pair = Pair()
    if have_talked:
        talk(pair)
    pair.world.broker.kill()
    pair.world.run(100)
    sink = register(pair)
    pair.sender.kill()
    pair.world.run(2_000)
    pair.world.broker.start()
    pair.world.run_until(lambda: sink.outcome is not ..., within=15_000)  # a lease, for the nodes that it expects
    assert isinstance(sink.outcome, ActrTransportError)


def test_a_registration_that_is_opened_is_no_longer_awaited() -> None:
    pair = Pair()
    sink = register(pair, open_within=1_000)
    sender = pair.send(10)
    sender.ends = False
    pair.world.run(5_000)
    assert sink.outcome is ...
    assert len(sink.frames) == 10
    peer = pair.receiver.session.peers.get(pair.sender.id.serial)
    assert peer is not None
    assert not peer.awaited


def test_a_registration_that_is_withdrawn_is_no_longer_awaited() -> None:
    pair = Pair()
    talk(pair)
    register(pair, open_within=1_000)
    receiver = pair.receiver.session.streams.receiver("s")
    assert receiver is not None
    why = ActrTransportError("never mind")
    pair.receiver.do(lambda session, now: session.streams.unregister(receiver, why, now))
    peer = pair.receiver.session.peers.get(pair.sender.id.serial)
    assert peer is not None
    assert not peer.is_busy
    again = register(pair, pinned=False)
    pair.world.run(5_000)
    assert again.outcome is ...


def test_a_registration_that_nobody_opens_in_time_ends_then_and_not_before() -> None:
    pair = Pair()
    sink = register(pair, pinned=False, open_within=2_000)
    pair.world.run(1_950)
    assert sink.outcome is ...
    pair.world.run_until(lambda: sink.outcome is not ..., within=100)
    assert isinstance(sink.outcome, ActrTimeoutError)
    assert sink.outcome.details["last"] == "0"


def test_an_early_opening_is_taken_by_a_registration_with_a_limit() -> None:
    pair = Pair()
    sender = pair.send(10)
    pair.world.run(100)
    sink = register(pair, open_within=1)
    pair.world.run_until(lambda: sender.outcome is None)
    assert len(sink.frames) == 10
    assert sink.outcome is None


def test_a_node_that_gives_its_identity_up_awaits_nobody_under_the_old_one() -> None:
    pair = Pair()
    talk(pair)
    sink, free = register(pair), register(pair, "free", pinned=False)
    pair.receiver.stop()
    pair.world.run(12_000)
    pair.receiver.resume()
    pair.world.run(1_000)
    assert isinstance(sink.outcome, ActrTransportError)
    assert free.outcome is ...


# what was lost is in the statistics, also after the end


def figures(node: Any) -> dict[str, int]:
    statistics: dict[str, int] = node.session.statistics()
    return statistics


def test_frames_that_were_not_done_when_their_stream_failed_are_counted_on_both_sides() -> None:
    pair = Pair()
    sink = pair.register(pace=100)
    sender = pair.send(20)
    sender.ends = False
    pair.world.run_until(lambda: len(sink.frames) == 5)
    pair.sender.do(lambda session, now: session.abort_stream(sender.stream, ActrTransportError("out of cheese"), now))
    pair.world.run(100)
    assert figures(pair.receiver)["frames.given_up"] == 20 - len(sink.frames)
    assert figures(pair.sender)["frames.not_completed"] in (15, 16)


def test_frames_dropped_for_newer_ones_are_counted_while_the_stream_runs_and_afterwards() -> None:
    pair = Pair()
    sink = pair.register(pace=1)
    sender = pair.send(5_000, lane=Lane.LATENCY_FIRST)
    pair.world.run_until(lambda: len(sink.frames) > 100)
    during = figures(pair.sender)["frames.dropped_for_newer"]
    pair.world.run_until(lambda: sender.outcome is not ...)
    dropped = figures(pair.sender)["frames.dropped_for_newer"]
    assert 0 < during <= dropped == 5_000 - len(sink.frames)
    assert figures(pair.receiver)["frames.missing"] == dropped


def test_what_a_stream_did_not_take_is_counted_after_it_has_ended() -> None:
    pair = Pair()
    pair.register()
    sender = pair.send(20_000, wish=Wish.DIRECT)
    pair.world.run_until(lambda: sender.stream.state is OutState.OPEN)
    pair.world.plane_loss = 0.3
    pair.world.run_until(lambda: sender.outcome is None)
    pair.world.run(100)
    assert figures(pair.receiver)["frames.after_a_gap"] > 0
