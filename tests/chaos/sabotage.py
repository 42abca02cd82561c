"""Safeguards taken out of a node or broker, to see whether the checker notices. Only those of these tests have this."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import zmq

from actrzmq.core.conversation import Conversation
from actrzmq.core.dedup import Answers
from actrzmq.core.registration import Clock
from actrzmq.core.sending import SendChannel
from actrzmq.net import sockets
from actrzmq.runtime.outlets import Outlets
from actrzmq.wire.codec import BODY_BYTES
from tests.sabotage.patches import SABOTAGES, nothing, spend_at_will


def remember_no_call() -> None:
    """A callee that takes each repeat for a new call."""

    Answers.get = nothing  # type: ignore[assignment, method-assign]


def acknowledge_on_receive() -> None:
    """A receiver that says of frames that they are done when they come, not when their callback has returned."""
    SABOTAGES["acknowledge on receive"].take_out()


def wait_for_no_end() -> None:
    """A sender that takes a stream for complete when it has said the end."""

    async def at_once(self: Outlets, *arguments: Any) -> None:
        return None

    Outlets.end = at_once  # type: ignore[method-assign,assignment]


def know_no_age() -> None:
    """A node that takes each batch for one that has just been sent."""
    Clock.age = lambda *_: 0  # type: ignore[method-assign]


def ignore_credit() -> None:
    """A sender that does not look at what was granted."""
    SendChannel._spread_credit = spend_at_will  # type: ignore[method-assign]


def never_fence() -> None:
    """A node that goes on as who it was, whatever has been said of it."""
    Conversation._fence = nothing  # type: ignore[method-assign]


def hear_of_no_dead_peer() -> None:
    """A broker whose socket drops in silence what is for peers that are gone."""
    make = sockets.router

    def careless(body_limit: int = BODY_BYTES) -> zmq.Socket[bytes]:
        router = make(body_limit)
        router.setsockopt(zmq.ROUTER_MANDATORY, 0)
        return router

    sockets.router = careless


SABOTAGE: dict[str, Callable[[], None]] = {
    "dedup": remember_no_call,
    "early": acknowledge_on_receive,
    "no-end": wait_for_no_end,
    "ageless": know_no_age,
    "credit": ignore_credit,
    "fence": never_fence,
    "mandatory": hear_of_no_dead_peer,
}
