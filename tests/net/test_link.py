"""A node's connection to its broker: what was to be said on one is not said on the next."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from typing import Any, cast

import pytest
import zmq

from actrzmq.core.outbox import Parcel
from actrzmq.core.session import Session
from actrzmq.core.turn import Outgoing
from actrzmq.net import sockets
from actrzmq.net.link import Link
from actrzmq.wire.codec import BODY_BYTES, decode_batch
from actrzmq.wire.messages import Unwatch


class Node:
    """A link, and in place of a session what that is told of the connection."""

    def __init__(self, endpoint: str) -> None:
        self.loop = asyncio.new_event_loop()
        self.link = Link(endpoint, self.loop, lambda: None)
        self.told: list[str] = []

    def connected(self, now: int) -> None:
        self.told.append("connected")

    def disconnected(self, now: int) -> None:
        self.told.append("disconnected")

    def say(self, number: int) -> None:
        """Say something to the broker, which can be told by its number."""
        self.link.send(Outgoing(b"", Parcel(0, [Unwatch(number)]), 0))

    def hear(self, what: str) -> None:
        """Wait until the session is told of it."""

        async def told() -> None:
            async with asyncio.timeout(5):
                while what not in self.told:
                    await asyncio.sleep(0.002)
                    self.link.drain(cast("Session", self), 0)

        self.loop.run_until_complete(told())

    def close(self) -> None:
        self.link.close(0)
        self.loop.close()


@pytest.fixture
def router() -> Iterator[zmq.Socket[bytes]]:
    with closing(sockets.router()) as router:
        yield router


@pytest.fixture
def node(router: zmq.Socket[bytes]) -> Iterator[Node]:
    with closing(Node(sockets.bind(router, "tcp://127.0.0.1:*"))) as node:
        yield node


def next_number(router: zmq.Socket[bytes]) -> Any:
    """What was said next."""
    assert router.poll(5_000)
    frames = sockets.receive(router, 8, BODY_BYTES, Counter())
    assert frames
    (said,) = decode_batch(frames[2]).envelopes
    assert isinstance(said, Unwatch)
    return said.query


def test_what_was_said_before_a_handshake_is_not_sent_after_it(node: Node, router: zmq.Socket[bytes]) -> None:
    node.say(1)
    assert not node.link.is_ready
    node.link.open()
    node.hear("connected")
    assert node.link.is_ready
    node.link.flush()
    node.say(2)
    assert next_number(router) == 2


def test_what_could_not_be_sent_is_forgotten_with_its_connection(
    node: Node, router: zmq.Socket[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    node.link.open()
    node.hear("connected")
    monkeypatch.setattr(sockets, "send", lambda *_: False)
    node.say(1)
    assert not node.link.is_ready
    router.close()
    node.hear("disconnected")
    assert node.link.is_ready
