"""The streams that a node receives: who has registered which id, and what comes of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from actrzmq.core.session import Session
from actrzmq.core.streams import Receiver
from actrzmq.errors import ActrConfigError, ActrRuntimeError, ActrStreamError, ActrTransportError, Status
from actrzmq.identity import ActrId
from actrzmq.net.clock import boottime_ms
from actrzmq.runtime.inbox import CallbackInbox, Inbox, ReaderInbox, StreamCallback
from actrzmq.runtime.limits import check_name, check_timeout
from actrzmq.runtime.receiving import StreamHandle, StreamReader
from actrzmq.runtime.standing import Standing
from actrzmq.runtime.tasks import Tasks
from actrzmq.runtime.threads import Threads


class Inboxes:
    """All inboxes of one node. `report(error)` tells what a callback has raised."""

    def __init__(
        self,
        session: Session,
        wake: Callable[[], None],
        standing: Standing,
        tasks: Tasks,
        counters: Counter[str],
        report: Callable[[BaseException], None],
    ) -> None:
        self._session = session
        self._wake = wake
        self._standing = standing
        self._report = report
        self._open: dict[str, Inbox] = {}
        self.tasks = tasks
        self.threads = Threads(standing.loop, "actrzmq-stream", gives_up=True)
        self.counters = counters

    # what users ask for

    def register(
        self,
        stream_id: str,
        callback: StreamCallback,
        sender: ActrId | None,
        on_error: str,
        open_within_ms: int | None,
    ) -> StreamHandle:
        """See `Context.register_stream`."""
        inbox = CallbackInbox(self, check_name(stream_id, "stream id"), callback, on_error)
        self._register(inbox, sender, open_within_ms)
        return StreamHandle(inbox)

    def reader(self, stream_id: str, sender: ActrId | None, open_within_ms: int | None) -> StreamReader:
        """See `Context.stream`."""
        inbox = ReaderInbox(self, check_name(stream_id, "stream id"))
        self._register(inbox, sender, open_within_ms)
        return StreamReader(inbox)

    def unregister(self, stream_id: str) -> None:
        """See `Context.unregister_stream`."""
        inbox = self._open.get(stream_id)
        if inbox is not None:
            self.close(inbox)

    # what inboxes ask for

    @property
    def id(self) -> ActrId:
        """The node's present identity."""
        return self._session.id

    def expect(self, inbox: Inbox, sender: ActrId) -> None:
        """See `StreamHandle.expect`."""
        _check_sender(inbox, sender)
        if inbox.is_closed or inbox.receiver.stream is not None:
            return
        try:
            self._session.expect(inbox.receiver, sender.serial, boottime_ms())
            self._wake()
        except ActrTransportError as error:
            self.cancel(inbox.receiver, error)

    def close(self, inbox: Inbox) -> None:
        """Take no more frames of it; nothing happens if it has ended."""
        if self._open.get(inbox.stream_id) is inbox:
            error = ActrStreamError(f"stream {inbox.stream_id}: closed by its receiver", code=Status.CANCELLED)
            self.cancel(inbox.receiver, error)

    def cancel(self, receiver: Receiver, error: ActrRuntimeError) -> None:
        """End a stream that is received, with `error` on both sides."""
        self._session.streams.unregister(receiver, error, boottime_ms())
        self.closed(receiver.sink, error)
        self._wake()

    def progressed(self, receiver: Receiver) -> None:
        """Frames of it have been completed."""
        if self._standing.bug is not None:
            return
        self._session.streams.progressed(receiver, boottime_ms())
        self._wake()

    def callback_raised(self, error: BaseException) -> None:
        """A callback has raised `error`."""
        self.counters["callbacks.raised"] += 1
        self._report(error)

    # how they end

    def closed(self, inbox: Inbox, outcome: ActrRuntimeError | None) -> None:
        """The stream has ended; its id is free again."""
        if self._open.get(inbox.stream_id) is inbox:
            del self._open[inbox.stream_id]
        inbox.closed(outcome)

    def close_all(self, error: Callable[[Inbox], ActrRuntimeError]) -> None:
        """The node has ended: so do all, here alone, each with an `error` of its own."""
        for inbox in list(self._open.values()):
            self.closed(inbox, error(inbox))

    def _register(self, inbox: Inbox, sender: ActrId | None, open_within_ms: int | None) -> None:
        self._standing.check_running(may_start_later=True)
        if sender is not None:
            _check_sender(inbox, sender)
        serial = None if sender is None else sender.serial
        within = None if open_within_ms is None else check_timeout(open_within_ms)
        receiver = self._session.register_stream(inbox.stream_id, serial, inbox, boottime_ms(), within)
        if receiver is None:
            raise _already_registered(inbox.stream_id)
        inbox.receiver = receiver
        self._open[inbox.stream_id] = inbox
        self._wake()


def _check_sender(inbox: Inbox, sender: object) -> None:
    if not isinstance(sender, ActrId):
        raise ActrConfigError(f"stream {inbox.stream_id}: sender={sender!r}, expected an ActrId")


def _already_registered(stream_id: str) -> ActrConfigError:
    """The error for an id that is taken."""
    return ActrConfigError(
        f"stream {stream_id} is registered already in this node; unregister_stream first, or take another id",
        code=Status.ALREADY_EXISTS,
    )
