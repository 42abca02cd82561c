"""Safeguards taken out of a node, to see whether the checker notices. Only the nodes of these tests can be told to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from actrzmq.core.dedup import Answers
from actrzmq.runtime.engine import Engine
from actrzmq.runtime.receiving import CallbackInbox, Inbox
from actrzmq.wire.messages import DataStream


def remember_no_call() -> None:
    """A callee that takes each repeat for a new call."""

    def nothing(self: Answers, id: Any) -> None:
        return None

    Answers.get = nothing  # type: ignore[method-assign]


def acknowledge_on_receive() -> None:
    """A receiver that says of frames that they are done when they come, not when their callback has returned."""
    deliver = CallbackInbox.deliver

    def early(self: CallbackInbox, frames: list[DataStream]) -> bool:
        taken = deliver(self, frames)
        for frame in frames:
            Inbox.done(self, frame)
        self.engine.progressed(self.receiver)
        return taken

    CallbackInbox.deliver = early  # type: ignore[method-assign]
    CallbackInbox.done = lambda *_: None  # type: ignore[method-assign]


def wait_for_no_end() -> None:
    """A sender that takes a stream for complete when it has said the end."""

    async def at_once(self: Engine, *arguments: Any) -> None:
        return None

    Engine.end_stream = at_once  # type: ignore[method-assign,assignment]


SABOTAGE: dict[str, Callable[[], None]] = {
    "dedup": remember_no_call,
    "early": acknowledge_on_receive,
    "no-end": wait_for_no_end,
}
