"""Who is known, who is dead, and who is forgotten."""

from __future__ import annotations

from actrzmq.core.calls import OpenCall
from actrzmq.core.peer import Peer
from actrzmq.core.peers import Peers
from actrzmq.identity import ActrId, ActrType, Serial
from actrzmq.wire.messages import Call, CallId, Introduce

TYPE = ActrType("acme", "Echo")


def id_of(number: int) -> ActrId:
    return ActrId(Serial(number), 0, TYPE)


def peers(remembered: int = 10) -> Peers:
    return Peers(id_of(1), remembered)


def introduce(peers: Peers, number: int) -> Peer | None:
    return peers.introduce(Introduce(id_of(number), True, False))


def keep_busy(peer: Peer) -> None:
    peer.calls.add(OpenCall(peer, Call(CallId(1), "route", b"", 5), 5, 0, None, 0))


def test_a_node_knows_itself_and_may_do_to_itself_what_it_likes() -> None:
    me = peers().me
    assert (me.id, me.may_call, me.may_stream) == (id_of(1), True, True)


def test_an_introduction_says_who_it_is_and_what_it_may() -> None:
    known = peers()
    peer = introduce(known, 2)
    assert peer is known.get(Serial(2))
    assert peer is not None
    assert (peer.id, peer.may_call, peer.may_stream) == (id_of(2), True, False)


def test_whoever_is_met_before_his_introduction_is_the_same_after_it() -> None:
    known = peers()
    peer = known.meet(Serial(2))
    assert peer.id is None
    assert introduce(known, 2) is peer


def test_nobody_is_introduced_to_himself() -> None:
    known = peers()
    assert introduce(known, 1) is None
    assert known.me.may_stream


def test_the_dead_stay_dead() -> None:
    known = peers()
    peer = introduce(known, 2)
    assert known.bury(Serial(2)) is peer
    assert known.is_dead(Serial(2))
    assert introduce(known, 2) is None
    assert known.get(Serial(2)) is None
    assert known.bury(Serial(2)) is None


def test_the_dead_are_remembered_in_bounds() -> None:
    known = peers(remembered=2)
    for number in range(5, 8):
        known.bury(Serial(number))
    assert [known.is_dead(Serial(number)) for number in range(5, 8)] == [False, True, True]


def test_those_with_whom_something_is_open_are_named_to_the_broker() -> None:
    known = peers()
    keep_busy(known.meet(Serial(2)))
    known.meet(Serial(3))
    keep_busy(known.me)
    assert known.busy() == (2,)


def test_a_new_broker_makes_us_forget_whom_it_would_not_tell_us_of() -> None:
    known = peers()
    keep_busy(known.meet(Serial(2)))
    idle = known.meet(Serial(3))
    known.connected()
    named = known.meet(Serial(4))
    keep_busy(named)
    known.busy()
    named.calls.settle(CallId(1))  # idle by now, but the broker knows of it
    introduce(known, 5)
    assert known.forget_idle() == [idle]
    assert [peer.serial for peer in known] == [1, 2, 4, 5]


def test_who_has_forgotten_somebody_takes_everybody_for_one_whom_it_had_asked() -> None:
    known = peers()
    assert not known.meet(Serial(2)).has_asked
    known.connected()
    known.forget_idle()
    assert known.meet(Serial(3)).has_asked


def test_a_new_identity_knows_nobody() -> None:
    known = peers()
    known.meet(Serial(2))
    known.bury(Serial(3))
    known.become(id_of(9))
    assert [peer.serial for peer in known] == [9]
    assert known.is_dead(Serial(3))
