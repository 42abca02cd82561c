"""How the broker sees that a connection is gone: by a look where the node renews, and by writing to it where not."""

import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import zmq

from actrzmq.core.broker import BrokerLimits
from actrzmq.net import sockets
from actrzmq.net.lines import NONE, Lines
from actrzmq.wire.messages import Renewed
from tests.net.peers import Broker, Peer, address, wait_until


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker(BrokerLimits(probe=30, unreachable=60)) as running:
        yield running


@pytest.fixture
def lines() -> Iterator[Lines]:
    noted = Lines()
    yield noted
    noted.close()


@pytest.fixture(params=["tcp", "ipc"])
def endpoint(request: pytest.FixtureRequest) -> Iterator[str]:
    with address() as unix:
        yield "tcp://127.0.0.1:*" if request.param == "tcp" else unix


@pytest.fixture
def line(endpoint: str, lines: Lines) -> Iterator[tuple[int, Callable[[], None]]]:
    router, dealer = sockets.router(), sockets.dealer()
    sockets.connect(dealer, sockets.bind(router, endpoint))
    wait_until(lambda: sockets.send(dealer, [b"hello"]), "a connection")
    assert router.poll(5_000)
    sockets.receive_frame(router, zmq.NOBLOCK)
    yield lines.note(sockets.receive_frame(router, zmq.NOBLOCK, False)), lambda: dealer.close(0)
    dealer.close(0)
    router.close(0)


def test_a_line_is_up_until_its_other_side_is_closed(lines: Lines, line: tuple[int, Callable[[], None]]) -> None:
    number, end = line
    assert lines.is_up(number, 1)
    assert lines.is_up(number, 2)
    end()
    moments = iter(range(3, 10_000))
    wait_until(lambda: not lines.is_up(number, next(moments)), "end")


class Came:
    """Stands for a frame that came over the connection with that descriptor."""

    def __init__(self, number: int) -> None:
        self.number = number

    def get(self, option: int) -> int:
        assert option == zmq.SRCFD
        return self.number


@pytest.mark.parametrize("is_noted", [False, True])
def test_a_later_connection_with_the_same_number_is_not_taken_for_it(lines: Lines, is_noted: bool) -> None:
    (one, end), (other, other_end) = socket.socketpair(), socket.socketpair()
    came: Any = Came(one.fileno())
    line = lines.note(came)
    assert lines.note(came) == line
    assert lines.is_up(line, 1)
    os.dup2(other.fileno(), one.fileno())
    if is_noted:
        later = lines.note(came)
        assert later != line
        assert lines.is_up(later, 2)
    assert not lines.is_up(line, 2)
    for connection in (one, end, other, other_end):
        connection.close()


def test_what_came_over_no_connection_has_no_line(lines: Lines) -> None:
    assert lines.note(zmq.Frame(b"made here")) == NONE
    assert not lines.is_up(NONE, 1)


def test_who_renews_is_not_written_to_in_between(broker: Broker) -> None:
    with Peer(broker.endpoint) as peer:
        peer.register()
        peer.renew()
        peer.hear(Renewed)
        (node,) = broker.core.nodes()
        wait_until(lambda: node.looked_at > node.written_at + 100, "looks")
        assert peer.is_silent(0)


def test_without_a_hint_a_look_finds_the_end_of_who_renews(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker.core, "suspect", lambda now: None)
    with Peer(broker.endpoint) as peer:
        peer.register()
        peer.renew()
        peer.hear(Renewed)
        (node,) = broker.core.nodes()
        wait_until(lambda: node.looked_at > node.written_at, "a look")
    broker.wait_counted("down.unreachable")


def test_an_end_that_is_seen_before_libzmq_knows_of_it_is_looked_for_again_soon(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    suspected: list[int] = []
    monkeypatch.setattr(broker.core, "suspect", suspected.append)
    monkeypatch.setattr(Lines, "is_up", lambda self, line, now: False)
    with Peer(broker.endpoint) as peer:
        peer.register()
        peer.renew()
        peer.hear(Renewed)
        wait_until(lambda: suspected, "suspicion")
