"""What is taken out, how, and which test must notice.

Each runs before the package is imported by anything else, so it may replace what others import by name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct


class Sabotage(Struct, frozen=True):
    """`take_out` does the harm; `test` is the one that must fail, and only for having noticed."""

    take_out: Callable[[], None]
    test: str


def nothing(*arguments: Any, **more: Any) -> None:
    """Instead of a safeguard."""


def _with_option(maker: str, option: str, value: int) -> Callable[[], None]:
    """The sockets that `maker` makes get another value of an option."""

    def take_out() -> None:
        import zmq

        from actrzmq.net import sockets

        make = getattr(sockets, maker)

        def made(*arguments: Any) -> Any:
            socket = make(*arguments)
            socket.setsockopt(getattr(zmq, option), value)
            return socket

        setattr(sockets, maker, made)

    return take_out


def _without_zap() -> None:
    from actrzmq.net import sockets

    def listener(kind: int, body_limit: int) -> Any:
        return sockets._socket(kind)

    sockets._listener = listener


def _instead(path: str, put: Any) -> Callable[[], None]:
    """Put something else where `path` (module:Class.attribute) is."""

    def take_out() -> None:
        import importlib

        module, _, names = path.partition(":")
        *owners, last = names.split(".")
        owner: Any = importlib.import_module(module)
        for name in owners:
            owner = getattr(owner, name)
        getattr(owner, last)  # it must be there, or nothing is taken out
        setattr(owner, last, put)

    return take_out


def spend_at_will(self: Any) -> None:
    """A sender that does not look at what was granted."""
    while self._backlog:
        frame, size = self._backlog.pop()
        self._credited += 1
        self._credited_bytes += size
        self._unsent.append(frame)
        self._sizes.append(size)
    self._push_frames = self._push_bytes = 1 << 40


def grant_as_done(self: Any) -> Any:
    """A receiver that says of all that has come that it is done."""
    from actrzmq.wire.messages import Grant

    return Grant(self.channel, self.received, self.received, self._window.limit_frames, self._window.limit_bytes)


def _acknowledge_on_receive() -> None:
    from actrzmq.core import receiving
    from actrzmq.core.channel import State, Step
    from actrzmq.wire.messages import EndAck

    def finish(self: Any) -> bool:
        if self.state is not State.ENDING or self.received != self._count:
            return False
        self._step(Step.DONE)
        self.last_words = EndAck(self.channel)
        self._answers.append(self.last_words)
        return True

    receiving.ReceiveChannel._finish = finish  # type: ignore[method-assign]
    receiving.ReceiveChannel.grant = grant_as_done  # type: ignore[method-assign]


def _end_unacknowledged() -> None:
    from actrzmq.core import outgoing
    from actrzmq.core.channel import Step

    end = outgoing.OutStreams.end

    def ended(self: Any, stream: Any, now: int) -> None:
        end(self, stream, now)
        for parcel in stream.channel.take():
            self._ways.over_plane(stream.via, parcel.message)
        stream.channel._step(Step.DONE)
        self._close(stream, None)

    outgoing.OutStreams.end = ended  # type: ignore[method-assign]


def _wall_clock() -> None:
    import time

    from actrzmq.net import clock

    clock.boottime_ms = lambda: int(time.time() * 1000)


def _no_probes() -> None:
    from actrzmq.core.broker import BrokerCore

    outgoing = BrokerCore.outgoing

    def said(self: Any) -> Any:
        return ((peer, messages) for peer, messages in outgoing(self) if messages)

    BrokerCore.outgoing = said  # type: ignore[method-assign]


SABOTAGES: dict[str, Sabotage] = {
    "mandatory off": Sabotage(
        _with_option("router", "ROUTER_MANDATORY", 0),
        "tests/net/test_poller.py::test_who_knows_a_node_hears_within_a_second_that_it_is_gone",
    ),
    "handover on": Sabotage(
        _with_option("router", "ROUTER_HANDOVER", 1),
        "tests/net/test_sockets.py::test_who_claims_the_id_of_another_does_not_get_its_messages",
    ),
    "immediate off": Sabotage(
        _with_option("_connector", "IMMEDIATE", 0),
        "tests/net/test_sockets.py::test_nothing_is_queued_for_a_destination_that_is_not_there",
    ),
    "ZMTP heartbeats on": Sabotage(
        _with_option("_socket", "HEARTBEAT_IVL", 1_000),
        "tests/net/test_sockets.py::test_zmtp_heartbeats_are_off_everywhere",
    ),
    "lingering on": Sabotage(
        _with_option("_socket", "LINGER", -1),
        "tests/net/test_sockets.py::test_no_socket_lingers_unless_it_is_closed_so",
    ),
    "frames of any length": Sabotage(
        _with_option("_listener", "MAXMSGSIZE", -1),
        "tests/net/test_sockets.py::test_a_frame_over_the_limit_ends_the_connection_and_is_never_received",
    ),
    "old protocols welcome": Sabotage(
        _without_zap,
        "tests/net/test_garbage.py::test_who_speaks_another_protocol_is_cut_off_and_counted",
    ),
    "probes off": Sabotage(
        _no_probes,
        "tests/net/test_poller.py::test_a_connection_without_traffic_is_probed",
    ),
    "wall clock for leases": Sabotage(
        _wall_clock,
        "tests/net/test_clock.py::test_a_wall_clock_that_jumps_changes_nothing",
    ),
    "the dead may come back": Sabotage(
        _instead("actrzmq.core.recent:Recent.add", nothing),
        "tests/net/test_poller.py::test_a_key_that_was_declared_down_never_comes_back",
    ),
    "fencing off": Sabotage(
        _instead("actrzmq.core.conversation:Conversation._fence", nothing),
        "tests/runtime/test_watchdog.py::test_a_node_that_was_not_scheduled_for_a_lease_gives_its_identity_up",
    ),
    "tells outlive a fence": Sabotage(
        _instead("actrzmq.core.serving:Serving.forget_all", lambda self: []),
        "tests/core/test_calls_on_the_wire.py::test_a_tell_of_a_former_life_does_not_run_in_the_next_one",
    ),
    "watchdog off": Sabotage(
        _instead("actrzmq.net.watchdog:Watchdog.start", nothing),
        "tests/runtime/test_watchdog.py::test_a_lagging_node_is_shown_to_nobody_until_its_loop_turns_again",
    ),
    "dedup off": Sabotage(
        _instead("actrzmq.core.dedup:Answers.get", nothing),
        "tests/runtime/test_faults.py::test_a_broker_that_is_killed_and_comes_back_is_not_noticed",
    ),
    "nothing said again": Sabotage(
        _instead("actrzmq.core.calling:Calling.say_again", nothing),
        "tests/runtime/test_faults.py::test_a_broker_that_is_killed_and_comes_back_is_not_noticed",
    ),
    "age of batches unread": Sabotage(
        _instead("actrzmq.core.registration:Clock.age", lambda *_: 0),
        "tests/core/test_calls_on_the_wire.py::test_what_expired_while_the_broker_was_stopped_never_runs",
    ),
    "access rules off": Sabotage(
        _instead("actrzmq.core.access:is_allowed", lambda *_: True),
        "tests/runtime/test_streams.py::test_types_that_may_not_stream_are_refused",
    ),
    "credit off": Sabotage(
        _instead("actrzmq.core.sending:SendChannel._spread_credit", spend_at_will),
        "tests/runtime/test_streams.py::test_a_sender_waits_when_its_credit_is_spent_and_goes_on_when_there_is_more",
    ),
    "acknowledge on receive": Sabotage(
        _acknowledge_on_receive,
        "tests/runtime/test_streams.py::test_an_end_returns_when_the_receiver_has_completed_every_frame",
    ),
    "no end acknowledgement": Sabotage(
        _end_unacknowledged,
        "tests/runtime/test_streams.py::test_an_end_returns_when_the_receiver_has_completed_every_frame",
    ),
}
