"""The ways of stream messages: which may be taken, and what fits into one message."""

from __future__ import annotations

from typing import Any

import pytest

from actrzmq.core.paths import Pack, Via, Ways, is_direct
from actrzmq.core.peer import Peer
from actrzmq.identity import Serial
from actrzmq.wire.codec import (
    BATCH_BYTES,
    BATCH_ENVELOPES,
    LARGE_PER_MESSAGE,
    decode_stream_messages,
    encode_stream_messages,
)
from actrzmq.wire.messages import Channel, Failure, Path, Probe, Reset

DIRECT = Via(Path.DIRECT, Serial(1), "tcp://127.0.0.1:5000")
RELAY = Via(Path.RELAY, Serial(1))
PROBE = Probe(Channel(1), 0)


@pytest.mark.parametrize("endpoint", ["tcp://127.0.0.1:1", "tcp://127.9.8.7:65535"])
def test_the_loopback_of_this_host_may_be_connected_to(endpoint: str) -> None:
    assert is_direct(endpoint)


@pytest.mark.parametrize(
    "endpoint",
    [
        "",
        "tcp://10.0.0.1:22",
        "tcp://127.0.0.1",
        "tcp://127.0.0.1:1\n",
        "tcp://127.0.0.1:1;10.0.0.1:2",
        "tcp://127.0.0.1.example.org:80",
        "tcp://localhost:1",
        "ipc:///etc/passwd",
        "inproc://x",
        "tcp://127.0.0.１:5",
        "pgm://127.0.0.1;239.0.0.1:5",
    ],
)
def test_a_peer_cannot_make_us_connect_to_what_it_likes(endpoint: str) -> None:
    assert not is_direct(endpoint)


def test_messages_for_the_same_way_travel_together() -> None:
    ways = Ways(lambda *_: None)
    for via in (DIRECT, RELAY, DIRECT):
        ways.over_plane(via, PROBE)
    assert [(parcel.via, len(parcel.messages)) for parcel in ways.pack().parcels] == [(DIRECT, 2), (RELAY, 1)]
    assert ways.pack().parcels == []


def test_a_message_holds_no_more_than_the_other_side_takes() -> None:
    pack = Pack()
    for _ in range(BATCH_ENVELOPES + 1):
        pack.add(DIRECT, PROBE, (), 10)
    assert [len(parcel.messages) for parcel in pack.parcels] == [BATCH_ENVELOPES, 1]


def test_a_message_is_no_longer_than_a_batch() -> None:
    pack = Pack()
    for _ in range(3):
        pack.add(DIRECT, PROBE, (), BATCH_BYTES // 2)
    assert [len(parcel.messages) for parcel in pack.parcels] == [2, 1]


def test_no_more_large_payloads_travel_beside_a_message_than_allowed() -> None:
    pack = Pack()
    for _ in range(3):
        pack.add(DIRECT, PROBE, [b"large"] * (LARGE_PER_MESSAGE - 1), 10)
    assert [len(parcel.payloads) for parcel in pack.parcels] == [LARGE_PER_MESSAGE - 1] * 3


def test_a_reset_goes_both_ways_where_there_are_two() -> None:
    said: list[Any] = []
    ways = Ways(lambda *words: said.append(words))
    reset = Reset(Channel(1), Failure(1, "ActrStreamError", "why"), 0)
    peer = Peer(Serial(1))
    ways.both_ways(peer, RELAY, reset, 7)
    assert len(said) == 1
    assert ways.pack().parcels == []
    ways.both_ways(peer, DIRECT, reset, 7)
    assert len(said) == 2
    assert ways.pack().parcels[0].messages == [reset]


def test_many_long_reasons_do_not_make_a_message_too_long() -> None:
    ways = Ways(lambda *_: None)
    for number in range(BATCH_ENVELOPES):
        ways.over_plane(DIRECT, Reset(Channel(number), Failure(1, "ActrStreamError", "ä" * 4_000), 0))
    parcels = ways.pack().parcels
    assert sum(len(parcel.messages) for parcel in parcels) == BATCH_ENVELOPES
    for parcel in parcels:
        assert decode_stream_messages(encode_stream_messages(parcel.messages)) == parcel.messages
