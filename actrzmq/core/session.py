"""A node's decisions: it composes registration, discovery, calls and streams, and owns the conversation with each peer.

What comes in goes to the machine whose business it is; what is to be done collects in a `Turn`, and what is to be said
in an outbox for each destination. After a broken connection nothing that was in an outbox or on the wire is trusted to
have arrived: outboxes are emptied, and every registration (ours, or a peer's, told by PeerBack) makes us say again all
that is open: first `Outstanding`, which makes the peer forget everything else, then the open calls and openings
themselves. The peer's deduplication makes that harmless.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from msgspec import Struct, structs

from actrzmq.core.answering import Answering
from actrzmq.core.calling import Calling
from actrzmq.core.calls import OpenCall
from actrzmq.core.discovery import Discovery, Watched
from actrzmq.core.execution import Execution
from actrzmq.core.failures import error_for, error_from, failure_bytes
from actrzmq.core.outbox import ID_BYTES, Outbox
from actrzmq.core.packing import metadata_bytes
from actrzmq.core.peer import Peer
from actrzmq.core.peers import Peers
from actrzmq.core.registration import Life, Registration
from actrzmq.core.serving import Serving, ServingLimits
from actrzmq.core.streams import OutStream, Receiver, StreamLimits, Streams
from actrzmq.core.turn import News, Outgoing, Turn
from actrzmq.core.undelivered import SaidOnce, Undelivered
from actrzmq.core.visiting import Visiting
from actrzmq.errors import (
    ActrRuntimeError,
    ActrTransportError,
)
from actrzmq.identity import ActrId, ActrType, Serial
from actrzmq.wire.messages import (
    Batch,
    Between,
    Call,
    Cancel,
    Changed,
    Deregistered,
    Describe,
    Envelope,
    Failure,
    Found,
    Introduce,
    ListNodes,
    Nodes,
    NoSpec,
    NotFound,
    NotYet,
    Opened,
    OpenRefused,
    OpenStream,
    Outstanding,
    PeerBack,
    PeerDown,
    Publish,
    Reason,
    Refused,
    Register,
    Registered,
    Renewed,
    Reply,
    Reset,
    Returned,
    Spec,
    Tell,
    ToBroker,
    Unknown,
    Wanted,
    Watching,
)


class SessionLimits(Struct, frozen=True):
    """Limits of one node, in calls and bytes."""

    serving: ServingLimits = ServingLimits()
    streams: StreamLimits = StreamLimits()
    unanswered: int = 8 * 1024 * 1024
    """Request bytes to one destination that may wait for replies."""
    dead: int = 10_000
    """Serials of peers that are down, remembered to refuse what comes late."""


class Session:
    """One node's side of everything. `draw(n)` gives n random bytes.

    `register` is the node's Register without key, attempt and peers; `is_exported(route)` as `Serving` has it;
    `contract` is what it publishes under its fingerprint, packed.
    """

    def __init__(
        self,
        register: Register,
        is_exported: Callable[[str], bool | None],
        draw: Callable[[int], bytes],
        now: int,
        limits: SessionLimits | None = None,
        grants_endpoint: str = "",
        contract: bytes = b"",
    ) -> None:
        self.limits = limits or SessionLimits()
        self._register = register
        self.contract = contract
        self._began = now
        self._draw = draw
        self.counters: Counter[str] = Counter()
        self.turn = Turn()
        self.registration = Registration(draw, self._describe, now)
        self.registration.load = lambda: self.serving.open_count + self.streams.open_count
        self.registration.streams = lambda: self.streams.open_count
        self.discovery = Discovery()
        self.visiting = Visiting()
        self._calling = Calling(self.limits.unanswered, self._post, lambda: self.turn, self.registration.silence)
        self.serving = Serving(self.limits.serving, is_exported)
        self._answering = Answering(self.serving, self._post, lambda: self.turn, self.counters)
        self.streams = Streams(self.limits.streams, self._post, lambda: self.turn, draw, register.data, grants_endpoint)
        self.peers = Peers(self.id, self.limits.dead)
        self._to_broker = Outbox()
        self._dirty: dict[Peer, None] = {}
        self._undelivered = Undelivered()

    # who we are

    @property
    def serial(self) -> Serial:
        """The present serial; it changes when the node is fenced."""
        return self.registration.serial

    @property
    def id(self) -> ActrId:
        """The present identity."""
        return ActrId(self.serial, self._register.realm, self._register.type)

    @property
    def is_online(self) -> bool:
        """Is the node registered, on a connection that stands?"""
        return self.registration.life is Life.ONLINE

    @property
    def is_out(self) -> bool:
        """Has it left, or been refused for good?"""
        return self.registration.life is Life.OUT

    # the connection

    def connected(self, now: int) -> None:
        """A handshake with the broker was completed: nothing said before on another connection is trusted."""
        self.peers.connected()
        self._forget_unsent()
        self._say(self.registration.connected(now), now)

    def disconnected(self, now: int) -> None:
        """The connection to the broker is gone."""
        self.registration.disconnected(now)
        self._forget_unsent()

    def paused(self, gap: int, now: int) -> None:
        """The process was not scheduled for `gap` milliseconds. A whole lease: it may have been declared down."""
        if gap > self.registration.lease and self.registration.session:
            self._fence(f"not scheduled for {gap} ms, longer than the lease of {self.registration.lease} ms", now)
            self._say(self.registration.register(now), now)

    # calls

    def call(
        self,
        to: Serial,
        route: str,
        body: bytes,
        timeout: int,
        waiter: Any,
        now: int,
        *,
        chain: tuple[Serial, ...] = (),
        is_signal: bool = False,
        metadata: dict[str, str] | None = None,
    ) -> OpenCall:
        """Call `route` at `to`; `waiter` gets the Reply or the error, at the latest after `timeout` ms.

        Raises `ActrOverloaded` where too much waits for replies from there or is open, `ActrTransportError` for a node
        that is down or when this one stops, and `ActrRuntimeError` for a chain of more than 16 calls; nothing was sent
        then.
        """
        peer = self._reachable(to, route)
        peer.has_asked = True
        return self._calling.call(
            peer,
            route,
            body,
            timeout,
            waiter,
            now,
            chain=chain,
            is_signal=is_signal,
            metadata=metadata,
            is_local=peer is self.peers.me,
            is_online=self.is_online,
        )

    def cancel(self, call: OpenCall, now: int) -> None:
        """Nobody waits for it any more: the callee is told to stop."""
        self._calling.cancel(call, now)

    def tell(
        self,
        to: Serial,
        route: str,
        body: bytes,
        timeout: int,
        now: int,
        *,
        is_signal: bool = False,
        metadata: dict[str, str] | None = None,
    ) -> None:
        """Run `route` at `to`, at most once, and hear nothing of it. Raises where it can't even be queued."""
        peer = self._reachable(to, route)
        if peer is not self.peers.me and not self.is_online:
            raise ActrTransportError(f"{route}: not connected to the broker, and a tell does not wait for it")
        size = len(body) + len(route) + metadata_bytes(metadata)
        self._post(peer, Tell(route, body, timeout, is_signal, metadata), size, now)

    def finish(self, execution: Execution, outcome: bytes | ActrRuntimeError, now: int) -> None:
        """The handler of `execution` has returned a body, or failed."""
        self._answering.finish(execution, outcome, now)
        self._start(now)

    # discovery

    def discover(
        self,
        type: ActrType | None,
        name: str,
        *,
        all: bool,
        timeout: int,
        patience: int = 0,
        waiter: Any,
        now: int,
        fingerprint: str = "",
    ) -> int:
        """Ask who is of `type` (or publishes `name`); `waiter` gets a tuple of `Instance`, or the error.

        `timeout` is for an instance to come, `patience` for a broker that is away, where that is more.
        """
        query, ask = self.discovery.discover(
            type,
            name,
            all=all,
            timeout=timeout,
            patience=patience,
            waiter=waiter,
            now=now,
            fingerprint=fingerprint,
        )
        if self.is_online:
            self._say([ask], now)
        return query

    def cancel_discover(self, query: int, now: int) -> None:
        """Nobody waits for that answer any more."""
        self._say(self.discovery.cancel(query), now)

    def watch(self, type: ActrType | None, name: str, sink: Any, now: int) -> Watched:
        """Watch a topic: `sink` (None: nobody) gets each `Change`, `instances` is always up to date."""
        watched, ask = self.discovery.watch(type, name, sink)
        if self.is_online:
            self._say([ask], now)
        return watched

    def unwatch(self, watched: Watched, now: int) -> None:
        """Stop watching."""
        self._say(self.discovery.unwatch(watched), now)

    # looking around

    def ask(self, question: Describe | ListNodes, timeout: int, waiter: Any, now: int) -> int:
        """Ask the broker, whatever the question's number; `waiter` as `Visiting` has it. For `visiting.cancel`, its
        number is returned.
        """
        asked = self.visiting.ask(question, timeout, waiter, now)
        if self.is_online:
            self._say([asked], now)
        return asked.query

    def open_calls_to(self, serial: Serial) -> int:
        """How many of our calls wait for that node: the best hint at its load that we have ourselves."""
        peer = self.peers.get(serial)
        return len(peer.calls) if peer else 0

    # streams: opening and awaiting need a peer, the rest is the business of `streams`

    def register_stream(
        self, stream_id: str, sender: Serial | None, sink: Any, now: int, open_within: int | None = None
    ) -> Receiver | None:
        """Take the stream `stream_id` when it comes; None if the id is taken.

        With `sender`, from that node only; if it goes down before it has opened the stream, the registration ends.
        Raises `ActrTransportError` if it is known to be down. Not opened within `open_within` ms, it ends as well.
        """
        peer = None if sender is None else self._reachable(sender, f"stream {stream_id}")
        awaited = None if peer is self.peers.me else peer
        receiver = self.streams.register(stream_id, sender, sink, now, awaited=awaited, open_within=open_within)
        if awaited is not None and receiver is not None:
            self._look_out_for(awaited, now)
        return receiver

    def expect(self, receiver: Receiver, sender: Serial, now: int) -> None:
        """Take a stream that is registered and not open from `sender` only; the registration ends if that goes down.

        Raises `ActrTransportError` if it is known to be down.
        """
        peer = self._reachable(sender, f"stream {receiver.stream_id}, which nobody has opened yet")
        self.streams.expect(receiver, peer)
        self._look_out_for(peer, now)

    def _look_out_for(self, peer: Peer, now: int) -> None:
        """See to it that we hear when `peer` goes, as whoever has spoken to a node does."""
        if peer is not self.peers.me and not self.peers.is_watched(peer):
            self._list_what_is_open(peer, now)

    def peer(self, serial: Serial, what: str) -> Peer:
        """The peer to open a stream to. Raises `ActrTransportError` if it is known to be down."""
        peer = self._reachable(serial, what)
        peer.has_asked = True
        return peer

    def abort_stream(self, stream: OutStream, error: ActrRuntimeError, now: int) -> None:
        """End a stream that this node sends, here and there, with `error`; one that is not open is withdrawn."""
        self.streams.abort(stream, error, now)
        if stream.channel is None:
            self._list_what_is_open(stream.peer, now)

    # leaving

    def drain(self, now: int) -> None:
        """Take no new work; finish what is open."""
        self.serving.draining = True
        self.streams.drain()
        self._register = structs.replace(self._register, draining=True)
        self._say(self.registration.drain(), now)

    def leave(self, now: int) -> None:
        """Deregister. What is still open ends here: ours as failed, the peers' by the broker's PeerDown."""
        error = ActrTransportError("the node has stopped")
        self._end_everything(error, now)
        self.discovery.fail_all(error, self.turn)
        self.visiting.fail_all(error, self.turn)
        self._say(self.registration.leave(), now)
        if self.is_out:
            self.turn.news.append((News.OUT, ""))

    # what comes in

    def receive(self, sender: Serial | None, batch: Batch, returned: Batch | None, size: int, now: int) -> None:
        """A batch of `size` bytes over the control plane, from the broker (None) or a node it vouches for.

        `returned` is what came with a `Returned`: the batch that was not delivered.
        """
        self.registration.heard(size, now)
        if sender is None:
            for envelope in batch.envelopes:
                if isinstance(envelope, Returned):
                    self._returned(envelope, returned, now)
                else:
                    self._from_broker(envelope, now)
            return
        if self.registration.life is Life.REGISTERING:
            # For an attempt that is overtaken; its age can't be known. Registering makes everybody say it again.
            self.counters["dropped.before_registered"] += 1
            return
        peer = self.peers.get(sender)
        if peer is None or peer.id is None:
            self.counters["dropped.not_introduced"] += 1
            return
        peer.congestion = 0
        self._from_peer(peer, batch, self.registration.clock.age(batch.sent_at, now), now)
        self._start(now)

    def _from_broker(self, envelope: Envelope, now: int) -> None:
        match envelope:
            case Registered():
                self._registered(envelope, now)
            case Renewed():
                self.registration.renewed(envelope, now)
            case Unknown():
                if self.registration.life is not Life.REGISTERING:  # else a Register is on its way
                    self.connected(now)
            case Introduce():
                self._introduced(envelope, now)
            case PeerDown(serial=serial, reason=reason):
                self._peer_down(serial, reason, now)
            case PeerBack(serial=serial):
                self._peer_back(serial, now)
            case Found() | NotFound() | NotYet():
                self._say(self.discovery.answered(envelope, self.registration.lease, self.turn, now), now)
            case Watching():
                self._say(self.discovery.snapshot(envelope, self.turn), now)
            case Changed():
                self._say(self.discovery.changed(envelope, self.turn), now)
            case Spec() | NoSpec() | Nodes():
                self.visiting.answered(envelope, self.turn)
            case Wanted():
                self._publish(envelope.fingerprint, now)
            case Refused():
                self._refused(envelope, now)
            case Deregistered():
                self.registration.deregistered()
                self.turn.news.append((News.OUT, ""))
            case _:
                self.counters["dropped.not_from_broker"] += 1

    def _from_peer(self, peer: Peer, batch: Batch, age: int, now: int) -> None:
        if batch.settled:
            self._answering.settled(peer, batch.settled)
        for envelope in batch.envelopes:
            match envelope:
                case Reply():
                    if not self._calling.replied(peer, envelope, now):
                        self.counters["dropped.late_reply"] += 1
                case Call():
                    self._answering.called(peer, envelope, self.serial, age, now)
                case Tell():
                    self._answering.told(peer, envelope, self.serial, age, now)
                case Cancel():
                    self._answering.settled(peer, [envelope.id])
                case Outstanding():
                    self._answering.keep_only(peer, envelope.calls, envelope.upto)
                    self.streams.keep_only(peer, set(envelope.opens))
                case _:
                    if not self.streams.control(peer, envelope, now):
                        self.counters["dropped.not_from_peer"] += 1

    # time

    def tick(self, now: int) -> None:
        """Everything whose time has come."""
        self._say(self.registration.tick(now), now)
        self._say(self.discovery.tick(self.turn, self.registration.away(now), now), now)
        self.visiting.tick(self.turn, now)
        for peer in self._calling.tick(now):
            if peer is self.peers.me:
                self._calling.let_settled_ride(peer, now)
            else:
                self._dirty[peer] = None
        self.turn.cancel.extend(self.serving.overdue(now))
        for peer, envelope in self._undelivered.due(now):
            if self.peers.get(peer.serial) is peer:
                self._deliver_again(peer, envelope, now)
        self.streams.tick(now)
        self._start(now)

    def next_deadline(self) -> int | None:
        """When to call `tick` again."""
        deadlines = [
            self.registration.next_deadline(),
            self.discovery.next_deadline(),
            self.visiting.next_deadline(),
            self._calling.next_deadline(),
            self.serving.next_deadline(),
            self.streams.next_deadline(),
            self._undelivered.next_deadline(),
        ]
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    # what goes out

    def take_turn(self) -> Turn:
        """What the shell has to do, once."""
        self._loop_back()
        turn, self.turn = self.turn, Turn()
        return turn

    def outgoing(self, now: int) -> Iterator[Outgoing]:
        """Every batch that may be sent now, once."""
        clock = self.registration.clock
        if self.registration.life in (Life.ONLINE, Life.LEAVING):
            for peer in self._dirty:
                if peer.calls.settled:
                    self._calling.let_settled_ride(peer, now)
                for parcel in peer.outbox.take():
                    yield Outgoing(peer.address, parcel, clock.broker_time(parcel.since))
            self._dirty.clear()
        if self.registration.life in (Life.REGISTERING, Life.ONLINE, Life.LEAVING):
            # After the rest, since the last of it is Deregister.
            for parcel in self._to_broker.take():
                yield Outgoing(b"", parcel, clock.broker_time(parcel.since))

    def statistics(self) -> dict[str, int]:
        """Counts for the operator: what is open, and what was dropped or refused, by reason."""
        return {
            "calls.open": sum(len(peer.calls) for peer in self.peers),
            "calls.running_or_queued": self.serving.open_count,
            "replies.kept": sum(len(peer.answers) for peer in self.peers),
            "peers": len(self.peers),
            **self.counters,
            **self.serving.counters,
            **self.streams.statistics(),
        }

    # registering

    def _describe(self, attempt: int, key: bytes, now: int) -> Register:
        uptime = now - self._began
        return structs.replace(self._register, attempt=attempt, key=key, peers=self.peers.busy(), uptime=uptime)

    def _registered(self, answer: Registered, now: int) -> None:
        epoch = self.registration.epoch
        if not self.registration.registered(answer, now):
            self.counters["dropped.old_attempt"] += 1
            return
        if epoch and epoch != answer.epoch:
            for idle in self.peers.forget_idle():
                self._say_nothing_to(idle)
        self.turn.news.append((News.REGISTERED, str(self.id)))
        if self.serving.draining:
            self._say(self.registration.drain(), now)
        self._say(self.discovery.again(), now)
        self._say(self.visiting.again(), now)
        for peer in self.peers.others():
            if peer.is_busy or peer.has_asked:
                self._say_again(peer, now)

    def _refused(self, refused: Refused, now: int) -> None:
        if refused.fatal:
            self.registration.refused(is_fatal=True, retry_at=0)
            error = error_from(Failure(refused.status, "ActrRuntimeError", f"the broker refuses: {refused.message}"))
            self._end_everything(error, now)
            self.discovery.fail_all(error, self.turn)
            self.visiting.fail_all(error, self.turn)
            self.turn.news.append((News.REFUSED, refused.message))
        else:
            self._fence(refused.message, now)  # registers under the new key at the next try
            pause = 20 + int.from_bytes(self._draw(2)) % 200
            self.registration.refused(is_fatal=False, retry_at=now + pause)

    def _publish(self, fingerprint: str, now: int) -> None:
        if not self.contract or fingerprint != self._register.fingerprint:
            self.counters["dropped.wanted"] += 1
        elif len(self.contract) > self.registration.body_limit:
            self.counters["dropped.contract_too_large"] += 1
        else:
            self._to_broker.post(Publish(fingerprint, self.contract), len(self.contract), now)

    def _fence(self, why: str, now: int) -> None:
        """Become somebody else: whatever was open under the old identity ends, and has no effect from now on."""
        self.counters["fenced"] += 1
        error = ActrTransportError(f"this node was cut off and gave its identity up: {why}", may_have_run=True)
        self._end_everything(error, now)
        self.turn.gone.update(peer.serial for peer in self.peers)
        self._forget_unsent()
        self.registration.new_key()
        self.peers.become(self.id)
        self.turn.news.append((News.FENCED, why))

    def _forget_unsent(self) -> None:
        self._to_broker.take()
        self._calling.forget_unsent()
        self._undelivered.clear()
        for peer in self._dirty:
            peer.outbox.take()
        self._dirty.clear()

    def _say_nothing_to(self, peer: Peer) -> None:
        self._dirty.pop(peer, None)
        self._calling.settling.pop(peer, None)

    # peers

    def _reachable(self, to: Serial, what: str) -> Peer:
        if self.is_out:
            raise ActrTransportError(f"{what}: this node has stopped")
        if self.peers.is_dead(to):
            raise error_for(Reason.UNKNOWN, f"node {to:x}", what, may_have_run=False)
        return self.peers.meet(to)

    def _introduced(self, introduce: Introduce, now: int) -> None:
        is_new = introduce.id.serial not in self.peers
        peer = self.peers.introduce(introduce)
        if peer is None:
            self.counters["dropped.introduced"] += 1
        elif is_new and peer.has_asked:
            self._list_what_is_open(peer, now)  # we may have forgotten it, and it not us

    def _peer_back(self, serial: Serial, now: int) -> None:
        peer = self.peers.get(serial)
        if peer is not None and peer is not self.peers.me:
            self._say_again(peer, now)

    def _say_again(self, peer: Peer, now: int) -> None:
        """Tell `peer` all that is open with it, and so what is not: that nothing is may be what it has not heard."""
        peer.outbox.take()
        peer.calls.take_settled()
        self._list_what_is_open(peer, now)
        self._calling.say_again(peer, now)
        self.streams.say_again(peer, now)

    def _list_what_is_open(self, peer: Peer, now: int) -> None:
        ids = tuple(call.call.id for call in peer.calls.waiting())
        listed = Outstanding(ids, self._calling.ids.last, tuple(peer.opens))
        self._post(peer, listed, ID_BYTES * peer.open_count, now)

    def _peer_down(self, serial: Serial, reason: Reason, now: int) -> None:
        """It is down for good: nothing of it has effect from now on, even if it does not know yet."""
        peer = self.peers.bury(serial)
        if peer is None:
            return
        self._say_nothing_to(peer)
        self.turn.gone.add(serial)
        self._calling.fail_all(
            peer,
            lambda call: error_for(reason, peer.name, call.call.route, may_have_run=call.sent > 0),
            now,
        )
        self._answering.gone(peer)
        self.streams.peer_down(peer, reason)
        self._start(now)

    def _start(self, now: int) -> None:
        self.turn.start.extend(self.serving.startable(now))

    # what could not be delivered

    def _returned(self, returned: Returned, batch: Batch | None, now: int) -> None:
        peer = self.peers.get(returned.to)
        if peer is None or batch is None:
            self.counters["dropped.returned"] += 1
            return
        self.counters[f"returned.{returned.reason.name.lower()}"] += 1
        if returned.reason in (Reason.UNREACHABLE, Reason.NOT_YET):
            return  # PeerBack or PeerDown will tell; what is open is said again then
        peer.congestion += 1
        is_congested = returned.reason is Reason.CONGESTED
        for envelope in batch.envelopes:
            if isinstance(envelope, Call) and not (is_congested and self._calling.was_repeated(peer, envelope.id)):
                self._calling.returned(peer, envelope.id, returned.reason, now)
            elif isinstance(envelope, OpenStream):
                self.streams.returned(peer, envelope.open, returned.reason)
            if is_congested:
                self._undelivered.add(peer, envelope, now)
        if returned.reason in (Reason.UNKNOWN, Reason.DENIED):
            self.streams.not_there(peer, returned.reason)
        if is_congested:
            self._calling.tell_again(peer, batch.settled, now)
        elif peer.id is None and not peer.is_busy:
            self.peers.forget(peer)  # it never was, as far as we know
            self._say_nothing_to(peer)

    def _deliver_again(self, peer: Peer, envelope: SaidOnce, now: int) -> None:
        """Say it again if it is still true."""
        match envelope:
            case Reply():
                if peer.answers.get(envelope.id) is not None:  # else its caller has given up
                    self._post(peer, envelope, len(envelope.body) + failure_bytes(envelope.failure), now)
            case Call():
                self._calling.deliver_again(peer, envelope.id, now)
            case Outstanding() | OpenStream():
                self._list_what_is_open(peer, now)
            case Opened():
                self.streams.answer_again(peer, envelope.open, now)
            case OpenRefused() | Reset():
                self._post(peer, envelope, failure_bytes(envelope.failure), now)
            case Cancel():
                self._post(peer, envelope, 0, now)

    # ends

    def _end_everything(self, error: ActrRuntimeError, now: int) -> None:
        for peer in self.peers:
            self._calling.fail_all(peer, lambda call: _copy(error, may_have_run=call.sent > 0), now)
            self._answering.gone(peer)
        self.streams.end_everything(error, now)

    # saying

    def _say(self, messages: Iterable[ToBroker], now: int) -> None:
        for message in messages:
            self._to_broker.post(message, 128, now)

    def _post(self, peer: Peer, envelope: Between, size: int, now: int) -> None:
        """Queue `envelope` for `peer`. What can't go now because there is no broker is said again after it is back."""
        if peer is not self.peers.me and not self.is_online and self.registration.life is not Life.LEAVING:
            return
        peer.outbox.post(envelope, size, now)
        if peer is not self.peers.me:
            self._dirty[peer] = None

    def _loop_back(self) -> None:
        """What we say to ourselves does not travel."""
        while self.peers.me.outbox:
            for parcel in self.peers.me.outbox.take():
                envelopes: list[Envelope] = list(parcel.envelopes)
                for index, body in zip(parcel.large, parcel.bodies, strict=True):
                    envelopes[index] = structs.replace(envelopes[index], body=body)
                batch = Batch(0, envelopes, tuple(parcel.settled))
                self._from_peer(self.peers.me, batch, 0, parcel.since)
                self._start(parcel.since)


def _copy(error: ActrRuntimeError, *, may_have_run: bool) -> ActrRuntimeError:
    """A copy of `error` for one of those that it ends."""
    return type(error)(
        error.message, code=error.code, details=error.details, retryable=error.retryable, may_have_run=may_have_run
    )
