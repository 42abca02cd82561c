"""The options that rules ask for, and what sending, receiving and forking do."""

import os
import re
import resource
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
import zmq

import actrzmq
from actrzmq.errors import ActrRuntimeError, ActrTransportError
from actrzmq.net import sockets
from actrzmq.net.context import context, raise_descriptor_limit
from actrzmq.wire.codec import BODY_BYTES, HEADER_BYTES
from tests.net.peers import wait_until

PACKAGE = Path(actrzmq.__file__).parent


@pytest.fixture
def everyone() -> Iterator[dict[str, zmq.Socket[bytes]]]:
    with ExitStack() as stack:
        made = {
            "router": sockets.router(),
            "relay": sockets.relay(),
            "dealer": sockets.dealer(),
            "push": sockets.push(),
            "pull": sockets.pull()[0],
        }
        for socket in made.values():
            stack.callback(socket.close, 0)
        yield made


@pytest.fixture
def pair() -> Iterator[tuple[zmq.Socket[bytes], zmq.Socket[bytes]]]:
    with closing(sockets.router()) as router, closing(sockets.dealer()) as dealer:
        sockets.connect(dealer, sockets.bind(router, "tcp://127.0.0.1:*"))
        yield router, dealer


def send(socket: zmq.Socket[bytes], frames: list[bytes]) -> None:
    wait_until(lambda: sockets.send(socket, frames), "a connection")


def receive(socket: zmq.Socket[bytes], counters: Counter[str] | None = None) -> list[bytes] | None:
    assert socket.poll(5000)
    return sockets.receive(socket, 4, 1 << 20, Counter() if counters is None else counters)


def test_a_large_frame_is_sent_without_a_copy_and_kept_until_it_has_gone(
    pair: tuple[zmq.Socket[bytes], zmq.Socket[bytes]],
) -> None:
    router, dealer = pair
    payload = bytes(sockets.UNCOPIED)
    others = sys.getrefcount(payload)
    send(dealer, [b"header", payload])
    assert sys.getrefcount(payload) > others or router.poll(0)
    assert (receive(router) or [])[1:] == [b"header", payload]
    wait_until(lambda: sys.getrefcount(payload) == others, "its release")


def test_a_large_part_stays_where_it_was_received_if_it_may(pair: tuple[zmq.Socket[bytes], zmq.Socket[bytes]]) -> None:
    router, dealer = pair
    small, large = bytes(sockets.UNCOPIED - 1), bytes(sockets.UNCOPIED)
    for _ in range(2):
        send(dealer, [b"header", large, small])
    assert list(map(type, receive(router) or [])) == [bytes] * 4
    router.poll(2_000)
    frames = sockets.receive(router, 4, 1 << 20, Counter(), copies_all=False)
    assert frames is not None
    assert frames[1:] == [b"header", large, small]
    assert list(map(type, frames)) == [bytes, bytes, memoryview, bytes]


FAULTS = """
import resource
from actrzmq.net.context import context
context()
def work():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        blocks = [b"%d" % n * 1_000_000 for n in range(4)]
        del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
work()
print(work())
"""
"""40 MB of large payloads, four at a time: pages of memory that were asked of the system for them the second time."""


def test_the_memory_of_large_payloads_is_used_again() -> None:
    out = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, timeout=30, check=True).stdout
    assert int(out) < 1_000


def test_zmtp_heartbeats_are_off_everywhere(everyone: dict[str, zmq.Socket[bytes]]) -> None:
    for socket in everyone.values():
        assert socket.getsockopt(zmq.HEARTBEAT_IVL) == 0
        assert socket.getsockopt(zmq.HEARTBEAT_TTL) == 0


def test_tcp_keepalive_is_on_and_maxrt_unset_everywhere(everyone: dict[str, zmq.Socket[bytes]]) -> None:
    options = (zmq.TCP_KEEPALIVE, zmq.TCP_KEEPALIVE_IDLE, zmq.TCP_KEEPALIVE_INTVL, zmq.TCP_KEEPALIVE_CNT)
    for socket in everyone.values():
        assert [socket.getsockopt(option) for option in options] == [1, 10, 5, 3]
        assert socket.getsockopt(zmq.TCP_MAXRT) == 0


def test_no_socket_lingers_unless_it_is_closed_so(everyone: dict[str, zmq.Socket[bytes]]) -> None:
    assert {socket.getsockopt(zmq.LINGER) for socket in everyone.values()} == {0}


def test_who_connects_sends_to_live_connections_only_and_comes_back_with_jitter(
    everyone: dict[str, zmq.Socket[bytes]],
) -> None:
    for socket in (everyone["dealer"], everyone["push"]):
        assert socket.getsockopt(zmq.IMMEDIATE) == 1
        interval = socket.getsockopt(zmq.RECONNECT_IVL)
        assert isinstance(interval, int)
        assert 100 <= interval <= 300
        assert socket.getsockopt(zmq.RECONNECT_IVL_MAX) == 1000
        assert socket.getsockopt(zmq.ROUTING_ID) == b""


def test_who_listens_ends_slow_handshakes_and_bounds_frames(everyone: dict[str, zmq.Socket[bytes]]) -> None:
    for name, body in (("router", BODY_BYTES), ("relay", BODY_BYTES), ("pull", sockets.LONGEST_BODY)):
        socket = everyone[name]
        assert socket.getsockopt(zmq.HANDSHAKE_IVL) == 3000
        assert socket.getsockopt(zmq.BACKLOG) == 1024
        assert socket.getsockopt(zmq.MAXMSGSIZE) == body + 64 * 1024


def test_a_small_body_limit_still_lets_headers_through() -> None:
    with closing(sockets.router(body_limit=1024)) as router:
        assert router.getsockopt(zmq.MAXMSGSIZE) == HEADER_BYTES + 64 * 1024


def test_no_two_nodes_come_back_in_step() -> None:
    intervals = set()
    for _ in range(20):
        with closing(sockets.dealer()) as dealer:
            intervals.add(dealer.getsockopt(zmq.RECONNECT_IVL))
    assert len(intervals) > 5


def test_a_node_takes_whatever_a_broker_may_let_through() -> None:
    with closing(sockets.dealer()) as dealer:
        assert dealer.getsockopt(zmq.MAXMSGSIZE) == sockets.LONGEST_BODY + 64 * 1024


def test_high_water_marks_are_above_every_credit(everyone: dict[str, zmq.Socket[bytes]]) -> None:
    for name, option in (("router", zmq.SNDHWM), ("dealer", zmq.SNDHWM), ("push", zmq.SNDHWM), ("pull", zmq.RCVHWM)):
        mark = everyone[name].getsockopt(option)
        assert isinstance(mark, int)
        assert mark >= 262_144


def test_more_sockets_and_descriptors_than_by_default() -> None:
    assert context().get(zmq.MAX_SOCKETS) > 60_000
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    limit = raise_descriptor_limit()
    assert limit == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert limit in {hard, 131_072} or limit > 131_072


def test_a_router_says_who_is_not_there() -> None:
    with closing(sockets.router()) as router, pytest.raises(zmq.ZMQError) as caught:
        router.send_multipart([b"nobody", b"", b"x"], zmq.NOBLOCK)
    assert caught.value.errno == zmq.EHOSTUNREACH


def test_a_router_says_who_takes_no_more() -> None:
    """Without a word it would drop what is too much."""
    with closing(sockets.router()) as router, closing(sockets.dealer()) as dealer:
        router.setsockopt(zmq.SNDHWM, 1)
        dealer.setsockopt(zmq.RCVHWM, 1)
        sockets.connect(dealer, sockets.bind(router, "tcp://127.0.0.1:*"))
        send(dealer, [b"hello"])
        message = receive(router)
        assert message is not None

        def send_on() -> None:
            for _ in range(1_000):
                router.send_multipart([message[0], bytes(1 << 20)], zmq.NOBLOCK)

        with pytest.raises(zmq.Again):
            send_on()


def test_who_claims_the_id_of_another_does_not_get_its_messages() -> None:
    with closing(sockets.router()) as router, closing(sockets.dealer()) as owner, closing(sockets.dealer()) as thief:
        endpoint = sockets.bind(router, "tcp://127.0.0.1:*")
        watching = sockets.monitor(thief, sockets.CLIENT_EVENTS)
        for socket in (owner, thief):  # no node sets one; whoever attacks may
            socket.setsockopt(zmq.ROUTING_ID, b"same")
        sockets.connect(owner, endpoint)
        send(owner, [b"hello"])
        assert receive(router) == [b"same", b"hello"]
        sockets.connect(thief, endpoint)
        assert watching.poll(5000)  # its handshake is complete, as it believes
        router.send_multipart([b"same", b"secret"], zmq.NOBLOCK)
        assert receive(owner) == [b"secret"]
        assert not thief.poll(50)
        thief.disable_monitor()
        watching.close(0)


@pytest.mark.parametrize("make", [sockets.push, sockets.dealer])
def test_nothing_is_queued_for_a_destination_that_is_not_there(make: Callable[[], zmq.Socket[bytes]]) -> None:
    with closing(make()) as socket:
        sockets.connect(socket, "tcp://127.0.0.1:9")
        assert not sockets.send(socket, [b"x"])


def test_too_many_parts_are_dropped_and_the_next_message_is_whole(
    pair: tuple[zmq.Socket[bytes], zmq.Socket[bytes]],
) -> None:
    router, dealer = pair
    counters: Counter[str] = Counter()
    send(dealer, [b""] * 1000)
    send(dealer, [b"a", b"b"])
    assert receive(router, counters) == []
    message = receive(router, counters)
    assert message is not None
    assert message[1:] == [b"a", b"b"]
    assert counters == {"dropped.parts": 1}


def test_too_many_bytes_are_dropped_and_the_next_message_is_whole(
    pair: tuple[zmq.Socket[bytes], zmq.Socket[bytes]],
) -> None:
    router, dealer = pair
    counters: Counter[str] = Counter()
    limit = sockets.message_limit(1024)
    send(dealer, [b"x" * (limit // 2)] * 3)
    send(dealer, [b"a"])
    assert router.poll(5000)
    assert sockets.receive(router, 8, 1024, counters) == []
    assert router.poll(5000)
    assert sockets.receive(router, 8, 1024, counters) is not None
    assert counters == {"dropped.oversize": 1}


def test_nothing_to_receive_is_none(pair: tuple[zmq.Socket[bytes], zmq.Socket[bytes]]) -> None:
    assert sockets.receive(pair[0], 4, 1024, Counter()) is None
    assert not sockets.has_input(pair[0])


def test_a_frame_over_the_limit_ends_the_connection_and_is_never_received() -> None:
    with closing(sockets.router(body_limit=1024)) as router, closing(sockets.dealer()) as dealer:
        watching = sockets.monitor(router, sockets.SERVER_EVENTS)
        sockets.connect(dealer, sockets.bind(router, "tcp://127.0.0.1:*"))
        send(dealer, [b"x" * (HEADER_BYTES + 65 * 1024)])
        for event in (zmq.EVENT_ACCEPTED, zmq.EVENT_HANDSHAKE_SUCCEEDED, zmq.EVENT_DISCONNECTED):
            assert watching.poll(5000)
            assert sockets.take_event(watching) == event
        assert not router.poll(50)
        router.disable_monitor()
        watching.close(0)


def test_a_monitor_tells_of_each_connection_and_holds_any_number_of_events() -> None:
    with closing(sockets.router()) as router, closing(sockets.dealer()) as dealer:
        watching = sockets.monitor(dealer)
        assert watching.getsockopt(zmq.RCVHWM) == 0
        assert watching.getsockopt(zmq.LINGER) == 0
        sockets.connect(dealer, sockets.bind(router, "tcp://127.0.0.1:*"))
        assert watching.poll(5000)
        assert sockets.take_event(watching) == zmq.EVENT_HANDSHAKE_SUCCEEDED
        assert sockets.take_event(watching) is None
        dealer.disable_monitor()
        watching.close(0)


def test_a_port_that_is_taken_is_refused_in_words() -> None:
    with closing(sockets.router()) as first, closing(sockets.router()) as second:
        endpoint = sockets.bind(first, "tcp://127.0.0.1:*")
        with pytest.raises(ActrTransportError, match=r"can't listen at tcp://127\.0\.0\.1:\d+: Address already in use"):
            sockets.bind(second, endpoint)


def test_sockets_of_the_parent_are_refused_after_a_fork(pair: tuple[zmq.Socket[bytes], zmq.Socket[bytes]]) -> None:
    router, dealer = pair
    send(dealer, [b"before"])
    child = os.fork()
    if child == 0:  # nothing but the exit code may leave it
        try:
            signal.alarm(20)
            for use in (lambda: sockets.send(dealer, [b"x"]), lambda: sockets.receive(router, 4, 1024, Counter())):
                try:
                    use()
                except ActrRuntimeError as error:
                    if "fork" not in str(error):
                        os._exit(1)
                else:
                    os._exit(1)
            with closing(sockets.dealer()):  # one of its own may be made
                os._exit(0)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    assert receive(router) is not None


def test_options_are_set_and_sockets_made_in_one_file_only() -> None:
    made_or_set = re.compile(r"setsockopt|\.set_hwm|\.linger\s*=|\.socket\(zmq|zmq\.Context\(|zmq\.asyncio|recv_pyobj")
    uses_zmq = re.compile(r"^\s*(import|from) zmq\b", re.MULTILINE)  # a proxy for tests has sockets of another kind
    texts = {path: path.read_text() for path in PACKAGE.rglob("*.py")}
    files = [path for path, text in texts.items() if uses_zmq.search(text) and made_or_set.search(text)]
    assert {path.relative_to(PACKAGE).as_posix() for path in files} == {"net/sockets.py", "net/context.py"}


def test_nothing_that_others_can_reach_is_received_in_one_go() -> None:
    whole = {
        found for path in PACKAGE.rglob("*.py") for found in re.findall(r"(\S+)\.recv_multipart\(", path.read_text())
    }
    assert whole <= {"parse_monitor_message(self._monitor"}
    assert "recv_multipart" in {word for path in PACKAGE.rglob("*.py") for word in re.findall(r"\w+", path.read_text())}


def test_no_kind_of_socket_is_used_but_those_that_were_chosen() -> None:
    """No REQ and REP, which lock up when a message is lost; no drafts, no proxy, nothing that runs what it is sent."""
    text = "\n".join(path.read_text() for path in PACKAGE.rglob("*.py"))
    kinds = set(re.findall(r"(?:_socket|_listener|_connector|\.socket)\(zmq\.(\w+)", text))
    assert kinds == {"ROUTER", "DEALER", "PUSH", "PULL", "PAIR"}
    assert not re.findall(r"zmq\.(?:proxy|CLIENT|SERVER|RADIO|DISH|GATHER|SCATTER)\b|import pickle|send_pyobj", text)


def test_to_import_it_starts_nothing() -> None:
    """The context is made when first asked for, so that a process may fork before."""
    program = (
        "import os, actrzmq.runtime.engine, actrzmq.net.poller; from actrzmq.net.context import _processes; "
        "assert _processes[0].context is None; assert len(os.listdir('/proc/self/task')) == 1"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)


def test_where_descriptors_are_short_large_frames_are_copied(
    pair: tuple[zmq.Socket[bytes], zmq.Socket[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    copied: list[bool] = []
    monkeypatch.setattr(sockets, "_is_sharing", [False])
    monkeypatch.setattr(sockets, "_send_part", lambda socket, frame, flags, copies: copied.append(copies))
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    large = bytes(sockets.UNCOPIED)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")), limit[1]))
        sockets.send(pair[0], [large])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
    sockets.send(pair[0], [large])
    assert copied == [True, False]
