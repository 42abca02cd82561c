"""The callee's half of a node: what comes in as a Call or Tell, whether it runs, and what is said to a repeat."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from actrzmq.core.deadletters import Drops
from actrzmq.core.execution import Execution, State, execution_of
from actrzmq.core.failures import failure_of, too_long
from actrzmq.core.peer import Peer
from actrzmq.core.serving import Serving, reply_bytes
from actrzmq.core.turn import Turn
from actrzmq.errors import ActrOverloaded, ActrPermissionDenied, ActrRuntimeError, Status
from actrzmq.identity import Serial
from actrzmq.wire.messages import Between, Call, CallId, Failure, Reply, Tell

NOT_KEPT = Failure(
    Status.UNKNOWN,
    "ActrRuntimeError",
    "the call has ended, and its outcome was not kept; it may have run",
    may_have_run=True,
)


UNSETTLED = 65_536
"""Calls of one peer that are kept, run or wait here: who settles what it was answered never comes near it."""


class Answering:
    """Admits calls to `serving`, each at most once; what is refused has not run."""

    def __init__(
        self,
        serving: Serving,
        post: Callable[[Peer, Between, int, int], None],
        turn: Callable[[], Turn],
        counters: Counter[str],
        drops: Drops,
        body_limit: Callable[[], int],
    ) -> None:
        self._serving = serving
        self._post = post
        self._turn = turn
        self._counters = counters
        self._drops = drops
        self._body_limit = body_limit

    def called(self, peer: Peer, call: Call, me: Serial, age: int, now: int) -> None:
        """`peer` calls; its batch is `age` milliseconds old."""
        seen = peer.answers.get(call.id)
        if seen is not None:
            self._repeated(peer, seen, now)
            return
        if call.id <= peer.answers.floor and peer.answers.is_stale(call.id):
            self._counters["dropped.settled_call"] += 1
            return
        timeout = call.timeout - age
        if timeout <= 0:
            self._counters["expired.on_arrival"] += 1
            self._drops.note("expired.on_arrival", "call", call.route, peer.name)
            return
        refusal = self._refusal(peer, call.route, call.chain, me)
        if refusal is not None:
            self._counters["calls.refused"] += 1
            self._reply(peer, Reply(call.id, b"", failure_of(refusal)), now)
            return
        execution = execution_of(peer, call, now + timeout, now)
        peer.answers.add(call.id, execution)
        self._serving.accept(execution, me, is_signal=call.signal, chain=call.chain)

    def told(self, peer: Peer, tell: Tell, me: Serial, age: int, now: int) -> None:
        """`peer` tells; what is refused is counted, since nobody waits for an answer."""
        timeout = tell.timeout - age
        if timeout <= 0:
            self._counters["expired.on_arrival"] += 1
            self._drops.note("expired.on_arrival", "tell", tell.route, peer.name)
        elif self._refusal(peer, tell.route, (), me):
            self._counters["tells.refused"] += 1
            self._drops.note("tells.refused", "tell", tell.route, peer.name)
        else:
            execution = execution_of(peer, tell, now + timeout, now)
            self._serving.accept(execution, me, is_signal=tell.signal, chain=())

    def finish(self, execution: Execution, outcome: bytes | ActrRuntimeError, now: int) -> None:
        """The handler has returned a body, or failed."""
        reply = None
        if type(execution.request) is Call:
            id = execution.request.id
            reply = Reply(id, b"", failure_of(outcome)) if isinstance(outcome, ActrRuntimeError) else Reply(id, outcome)
        if self._serving.finish(execution, reply) and reply is not None:
            self._post(execution.peer, reply, execution.size, now)

    def answer_again(self, peer: Peer, id: CallId, now: int) -> None:
        """The reply to that call came back: say it again, unless its caller has given up, or is about to."""
        seen = peer.answers.get(id)
        if seen is None or seen.state is not State.DONE:
            return
        if seen.deadline <= now:
            self._counters["replies.expired"] += 1
            self._drops.note("replies.expired", "reply", seen.request.route, peer.name, is_ours=True)
            return
        self._answer(peer, seen, now)

    def settled(self, peer: Peer, ids: Iterable[CallId]) -> None:
        """`peer` waits for these no longer: they are forgotten, and cancelled where they still run."""
        self._forget(peer.answers.settle(ids))

    def keep_only(self, peer: Peer, outstanding: Iterable[CallId], upto: int) -> None:
        """`peer` has listed what it waits for, of all up to `upto`: the rest is forgotten and cancelled."""
        self._forget(peer.answers.keep_only(outstanding, upto))

    def gone(self, peer: Peer) -> None:
        """`peer` is down: nobody waits for its calls."""
        self._forget(peer.answers.forget())

    def _refusal(self, peer: Peer, route: str, chain: tuple[Serial, ...], me: Serial) -> ActrRuntimeError | None:
        if not peer.may_call:
            return ActrPermissionDenied(f"{route}: the access rules of the node do not allow {peer.name}")
        if len(peer.answers) >= UNSETTLED:
            return ActrOverloaded(f"{route}: {peer.name} has {UNSETTLED} calls here that it has not settled")
        return self._serving.refusal(route, chain, me, peer.serial == me)

    def _reply(self, peer: Peer, reply: Reply, now: int) -> None:
        self._post(peer, reply, reply_bytes(reply), now)

    def _repeated(self, peer: Peer, seen: Execution, now: int) -> None:
        self._counters["calls.repeated"] += 1
        if seen.state is State.DONE:  # else it joins the run that is under way
            self._answer(peer, seen, now)

    def _answer(self, peer: Peer, seen: Execution, now: int) -> None:
        reply = seen.reply or Reply(seen.id, b"", NOT_KEPT)
        size, limit = len(reply.body), self._body_limit()
        if size > limit:  # the broker took more when it was first said; now it would end the connection
            error = too_long(size, limit, f"the reply of {seen.request.route}", may_have_run=True)
            reply = Reply(seen.id, b"", failure_of(error))
        self._reply(peer, reply, now)

    def _forget(self, executions: Iterable[Execution]) -> None:
        self._turn().cancel.extend(execution for execution in executions if self._serving.forget(execution))
