"""Frames whose payloads have not been copied yet."""

from __future__ import annotations

import weakref
from array import array
from typing import Any

from actrzmq.core.channel import Uncopied
from actrzmq.wire.messages import DataStream


def test_payloads_are_copied_when_they_are_taken_and_not_held_any_longer() -> None:
    memory = [array("B", b"abc"), array("B", b"def")]
    kept = [weakref.ref(each) for each in memory]
    views: list[Any] = [memoryview(each) for each in memory]
    sent = [DataStream("s", number, view, 7, {"k": "v"}) for number, view in enumerate(views)]
    frames = Uncopied([*sent, DataStream("s", 2, b"ghi")])
    del memory, views, sent
    taking = frames.take()
    first = next(taking)
    assert (first, type(first.payload())) == (DataStream("s", 0, b"abc", 7, {"k": "v"}), bytes)
    assert [each() is None for each in kept] == [True, False]
    assert [frame.payload() for frame in taking] == [b"def", b"ghi"]
    assert not frames
