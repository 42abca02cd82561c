"""The caller's half of a node: calls to all peers, until each has ended exactly once.

A call ends with the reply, at its deadline, when its peer is down, when it comes back undelivered, or when its caller
gives up; whichever is first settles it. While there is no broker calls are only held; a broker that is connected but
silent gets no new ones either: they are kept back, and fail as unsent when the silence lasts.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

from msgspec import structs

from actrzmq.core.calls import CALL_BYTES, CallIds, OpenCall
from actrzmq.core.deadlines import Deadlines
from actrzmq.core.failures import error_for, error_from, too_long
from actrzmq.core.packing import metadata_bytes
from actrzmq.core.peer import Peer
from actrzmq.core.serving import MAX_CHAIN
from actrzmq.core.turn import Turn
from actrzmq.errors import ActrOverloaded, ActrRuntimeError, ActrTimeoutError, ActrTransportError, Status
from actrzmq.identity import Serial
from actrzmq.wire.codec import OPEN_AT_ONCE
from actrzmq.wire.messages import Between, Call, CallId, Cancel, Reason, Reply

SETTLE_AFTER = 200
"""Milliseconds after which settled ids go in a batch of their own."""
GIVE_UP_SILENCE = 3_000
"""A broker that is connected and silent for this long: calls that were kept back fail as not run."""
GRACE = 1_000
"""What a call that is made in the middle of a silence is kept back for at least."""
LOOK_BACK = 100
"""How often, in milliseconds, calls that were kept back are looked at."""


class Calling:
    """All calls that this node has open. `post` queues an envelope for a peer: (peer, envelope, bytes, now)."""

    def __init__(
        self,
        unanswered: int,
        post: Callable[[Peer, Between, int, int], None],
        turn: Callable[[], Turn],
        silence: Callable[[int], int],
        body_limit: Callable[[], int],
    ) -> None:
        self._unanswered = unanswered
        self._post = post
        self._turn = turn
        self._silence = silence
        self._body_limit = body_limit
        self.ids = CallIds()
        self._deadlines: Deadlines[OpenCall] = Deadlines()
        self._kept_back: list[OpenCall] = []
        self._look_back_at = 0
        self.settling: dict[Peer, None] = {}
        """Peers with ids to be told as settled, by the time when that is due."""

    # verbs

    def call(
        self,
        peer: Peer,
        route: str,
        body: bytes,
        timeout: int,
        waiter: Any,
        now: int,
        chain: tuple[Serial, ...],
        is_signal: bool,
        metadata: dict[str, str] | None,
        is_local: bool,
        is_online: bool,
    ) -> OpenCall:
        """Open a call, and send it if there is a broker that speaks, or no need of one. Raises as `Session.call`."""
        calls = peer.calls
        if chain and len(chain) > MAX_CHAIN:
            raise ActrRuntimeError(
                f"{route}: more than {MAX_CHAIN} calls led here, one from the other; do they call in a loop?",
                code=Status.FAILED_PRECONDITION,
            )
        if calls.bytes + len(body) > self._unanswered and calls:
            raise ActrOverloaded(
                f"{route}: {calls.bytes} bytes of requests to {peer.name} wait for replies; "
                "wait for some of them, or use more instances"
            )
        if len(calls) + len(peer.opens) >= OPEN_AT_ONCE:
            raise ActrOverloaded(
                f"{route}: {OPEN_AT_ONCE} calls and streams are open to {peer.name}; "
                "wait for some of them, or use more instances"
            )
        envelope = Call(self.ids.draw(), route, body, timeout, chain, is_signal, metadata)
        deadline, size = now + timeout, len(body) + CALL_BYTES
        if metadata:
            size += metadata_bytes(metadata)
        call = OpenCall(peer, envelope, deadline, now, waiter, size)
        calls.add(call)
        self._deadlines.add(call, deadline)
        if is_local or (is_online and not self._silence(now)):
            call.sent = 1
            self._post(peer, envelope, size + len(route), now)
        elif is_online:
            self._kept_back.append(call)
        return call

    def cancel(self, call: OpenCall, now: int) -> None:
        """Nobody waits for it any more: the callee is told to stop."""
        if self._settle(call, now) and call.sent:
            self._post(call.peer, Cancel(call.call.id), 0, now)

    # events

    def replied(self, peer: Peer, reply: Reply, now: int) -> bool:
        """`reply` ends its call; False if that has ended before."""
        call = peer.calls.settle(reply.id)
        if call is None:
            return False
        self._deadlines.remove(call, call.deadline)
        if peer.settle_by is None:
            self._settle_soon(peer, now)
        self._turn().resolve.append((call.waiter, reply if reply.failure is None else _failed(call, reply)))
        return True

    def was_repeated(self, peer: Peer, id: CallId) -> bool:
        """Does that call wait, and went out more than once? Then an earlier copy may be running."""
        call = peer.calls.get(id)
        return call is not None and call.sent > 1

    def returned(self, peer: Peer, id: CallId, reason: Reason, now: int) -> None:
        """The broker could not deliver it, and gave it back: it has not run, unless an earlier copy has."""
        call = peer.calls.get(id)
        if call is not None and self._settle(call, now):
            error = error_for(reason, peer.name, call.call.route, may_have_run=call.sent > 1)
            self._turn().resolve.append((call.waiter, error))

    def say_again(self, peer: Peer, now: int) -> None:
        """Send everything that is open with `peer` once more, with the time that is left to it.

        What the broker no longer takes, since it came back with a smaller limit, ends instead.
        """
        for call in list(peer.calls.values()):
            self._send_again(call, now)

    def deliver_again(self, peer: Peer, id: CallId, now: int) -> None:
        """Send that call once more, if it still waits."""
        call = peer.calls.get(id)
        if call is not None:
            self._send_again(call, now)

    def fail_all(
        self,
        peer: Peer,
        error: Callable[[OpenCall], ActrRuntimeError],
        now: int,
        but: Collection[CallId] = (),
    ) -> None:
        """End everything that is open with `peer`, which is gone, but for the calls in `but`."""
        for call in list(peer.calls.values()):
            if call.call.id not in but and self._settle(call, now):
                self._turn().resolve.append((call.waiter, error(call)))
        self.settling.pop(peer, None)

    def forget_unsent(self) -> None:
        """The connection is another one: all that is open will be said again."""
        self._kept_back.clear()

    # time

    def tick(self, now: int) -> list[Peer]:
        """End what is over its deadline; returns the peers that are to be told of settled ids now."""
        for call in self._deadlines.due(now):
            if self._settle(call, now):
                if call.sent:
                    self._post(call.peer, Cancel(call.call.id), 0, now)
                self._turn().resolve.append((call.waiter, _timed_out(call, now)))
        if self._kept_back:
            self._tick_kept_back(now)
        due = [peer for peer in self.settling if peer.settle_by is not None and peer.settle_by <= now]
        for peer in due:
            self._stop_waiting(peer)
        return due

    def next_deadline(self) -> int | None:
        """When `tick` has something to do."""
        deadlines = [
            self._deadlines.next_deadline(),
            next(iter(self.settling)).settle_by if self.settling else None,
            self._look_back_at if self._kept_back else None,
        ]
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def tell_again(self, peer: Peer, settled: Iterable[CallId], now: int) -> None:
        """The batch that told `peer` of these came back: tell it later."""
        peer.calls.settled.extend(settled)
        if peer.settle_by is None:
            self._settle_soon(peer, now)

    def let_settled_ride(self, peer: Peer, now: int) -> None:
        """Put the settled ids into the batch that goes to `peer` now."""
        self._stop_waiting(peer)
        peer.outbox.settle(peer.calls.take_settled(), now)

    # private

    def _stop_waiting(self, peer: Peer) -> None:
        self.settling.pop(peer, None)
        peer.settle_by = None

    def _settle(self, call: OpenCall, now: int) -> bool:
        peer: Peer = call.peer
        if peer.calls.settle(call.call.id) is None:
            return False
        self._deadlines.remove(call, call.deadline)
        if peer.settle_by is None:
            self._settle_soon(peer, now)
        return True

    def _settle_soon(self, peer: Peer, now: int) -> None:
        if peer.calls.settled:
            peer.settle_by = now + SETTLE_AFTER
            self.settling[peer] = None

    def _send_again(self, call: OpenCall, now: int) -> None:
        if call.deadline <= now:
            return  # it is about to end
        size, limit = len(call.call.body), self._body_limit()
        if size > limit:  # the broker took more when the call was made; now it would end the connection
            self._settle(call, now)
            error = too_long(size, limit, call.call.route, may_have_run=call.sent > 0)
            self._turn().resolve.append((call.waiter, error))
            return
        call.sent += 1
        self._post(call.peer, structs.replace(call.call, timeout=call.deadline - now), call.size, now)

    def _tick_kept_back(self, now: int) -> None:
        """Calls made while the broker was silent: send them when it speaks again, fail them when it does not."""
        silence = self._silence(now)
        self._look_back_at = now + LOOK_BACK
        kept_back, self._kept_back = self._kept_back, []
        for call in kept_back:
            if call.sent or call.peer.calls.get(call.call.id) is not call:
                continue  # it has been said again meanwhile, or has ended
            if not silence:
                self._send_again(call, now)
            elif silence >= GIVE_UP_SILENCE and now - call.started >= GRACE:
                self._settle(call, now)
                self._turn().resolve.append((call.waiter, _kept_too_long(call, silence)))
            else:
                self._kept_back.append(call)


def _failed(call: OpenCall, reply: Reply) -> ActrRuntimeError:
    assert reply.failure is not None
    error = error_from(reply.failure)
    if call.sent > 1:
        error.may_have_run = True  # this may answer the repeat of a request whose first copy ran
    return error


def _timed_out(call: OpenCall, now: int) -> ActrTimeoutError:
    waited = now - call.started
    if call.sent:
        message = f"{call.call.route}: no reply from {call.peer.name} within {waited} ms; it may have run"
    else:
        message = f"{call.call.route}: no connection to the broker for {waited} ms; it was never sent"
    return ActrTimeoutError(message, details={"waited_ms": str(waited)}, may_have_run=call.sent > 0)


def _kept_too_long(call: OpenCall, silence: int) -> ActrTransportError:
    return ActrTransportError(
        f"{call.call.route}: the broker is connected but has been silent for {silence} ms; it was not sent"
    )
