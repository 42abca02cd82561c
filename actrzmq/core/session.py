"""A node's decisions: it composes registration, discovery, calls and streams, and takes in what others say.

What comes in goes to the machine whose business it is: what the broker says to `conversation`, what it could not
deliver to `repeating`, the rest to calls and streams. What is to be done collects in a `Turn`, and what is to be said
in the outboxes of `saying`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from msgspec import Struct, structs

from actrzmq.core.answering import Answering
from actrzmq.core.calling import Calling
from actrzmq.core.calls import OpenCall
from actrzmq.core.conversation import Conversation
from actrzmq.core.deadletters import Drops
from actrzmq.core.discovery import Discovery, Watched
from actrzmq.core.ending import Ending
from actrzmq.core.execution import Execution
from actrzmq.core.failures import error_for
from actrzmq.core.outbox import ID_BYTES
from actrzmq.core.peer import Peer
from actrzmq.core.peers import Peers
from actrzmq.core.registration import Life, Registration
from actrzmq.core.repeating import Repeating
from actrzmq.core.saying import Saying
from actrzmq.core.serving import Serving, ServingLimits
from actrzmq.core.streams import OutStream, Receiver, StreamLimits, Streams
from actrzmq.core.telling import Telling
from actrzmq.core.turn import News, Outgoing, Turn
from actrzmq.core.visiting import Question, Visiting
from actrzmq.errors import ActrRuntimeError, ActrTransportError
from actrzmq.identity import ActrId, ActrType, Serial
from actrzmq.wire.codec import OPEN_AT_ONCE
from actrzmq.wire.messages import (
    Batch,
    Call,
    Cancel,
    Dropped,
    Envelope,
    Farewell,
    Outstanding,
    Reason,
    Register,
    Renew,
    Reply,
    Returned,
    Tell,
)


class SessionLimits(Struct, frozen=True):
    """Limits of one node, in calls and bytes."""

    serving: ServingLimits = ServingLimits()
    streams: StreamLimits = StreamLimits()
    unanswered: int = 8 * 1024 * 1024
    """Bytes to one destination: of requests that wait for replies, and tells that wait to be sent."""
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
        self.counters: Counter[str] = Counter()
        self._asked: Turn | None = None  # what the shell is to do, once there is anything
        self.drops = Drops()
        self.registration = Registration(draw, self._describe, now)
        self.registration.load = lambda: self.serving.open_count + self.streams.open_count
        self.registration.streams = lambda: self.streams.open_count
        self.discovery = Discovery()
        self.visiting = Visiting()
        self.peers = Peers(self.id, self.limits.dead)
        self.saying = saying = Saying(self.registration, self.peers)
        self._say, self._post = saying.say, saying.post
        self._calling = Calling(
            self.limits.unanswered,
            saying.post,
            self._turn,
            self.registration.silence,
            lambda: self.registration.body_limit,
        )
        self._telling = Telling(self.limits.unanswered, self.registration, saying.post, self._turn, self.counters)
        self.serving = Serving(self.limits.serving, is_exported, self.drops)
        self._answering = Answering(
            self.serving, saying.post, self._turn, self.counters, self.drops, lambda: self.registration.body_limit
        )
        self.streams = Streams(
            self.limits.streams, saying.post, self._turn, draw, register.data, grants_endpoint, self.drops
        )
        self._repeating = Repeating(
            self.peers,
            self._calling,
            self._answering,
            self.streams,
            self._telling,
            saying,
            self.counters,
            self.drops,
        )
        self._ending = Ending(
            self.peers, self._calling, self._answering, self.streams, self.discovery, self.visiting, self._turn
        )
        self._conversation = Conversation(
            self.registration,
            self.peers,
            saying,
            self._repeating,
            self._ending,
            self.discovery,
            self.visiting,
            self.serving,
            self._turn,
            self._start,
            lambda: self.id,
            draw,
            self.counters,
            register.fingerprint,
            contract,
        )

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

    @property
    def owes_answers(self) -> bool:
        """Is there a call of somebody else that we have taken, and that its caller has not settled?"""
        return any(peer.answers for peer in self.peers.others())

    # the connection

    def connected(self, now: int) -> None:
        """A handshake with the broker was completed: nothing said before on another connection is trusted."""
        self._conversation.connected(now)

    def disconnected(self, now: int) -> None:
        """The connection to the broker is gone."""
        self._conversation.disconnected(now)

    def paused(self, gap: int, now: int) -> None:
        """The process was not scheduled for `gap` milliseconds. A whole lease: it may have been declared down."""
        self._conversation.paused(gap, now)

    # calls

    def call(
        self,
        to: Serial,
        route: str,
        body: bytes,
        timeout: int,
        waiter: Any,
        now: int,
        chain: tuple[Serial, ...] = (),
        is_signal: bool = False,
        metadata: dict[str, str] | None = None,
    ) -> OpenCall:
        """Call `route` at `to`; `waiter` gets the Reply or the error, at the latest after `timeout` ms.

        Raises `ActrOverloaded` where too much waits for replies from there or is open, `ActrTransportError` for a node
        that is down or when this one stops, and `ActrRuntimeError` for a chain of more than 16 calls; nothing was sent
        then.
        """
        peer = self.peers.get(to)
        is_online = self.registration.life is Life.ONLINE
        if peer is None or peer.is_leaving or not is_online:
            peer = self._reachable(to, route)
        peer.has_asked = True
        is_local = peer is self.peers.me
        call = self._calling.call(
            peer, route, body, timeout, waiter, now, chain, is_signal, metadata, is_local, is_online
        )
        if not is_local:
            self.saying.ripen(peer, len(peer.calls))
        return call

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
        """Run `route` at `to`, at most once, and hear nothing of it.

        Raises `ActrTransportError` where it can't even be queued, and `ActrOverloaded` where too much is queued.
        """
        peer = self._reachable(to, route)
        if peer is not self.peers.me and not self.is_online:
            raise ActrTransportError(f"{route}: not connected to the broker, and a tell does not wait for it")
        tell = Tell(route, body, timeout, is_signal, metadata)
        self._telling.tell(peer, tell, now, is_local=peer is self.peers.me)

    def finish(self, execution: Execution, outcome: bytes | ActrRuntimeError, now: int) -> None:
        """The handler of `execution` has returned a body, or failed."""
        self._answering.finish(execution, outcome, now)
        if self.serving.queued:
            self._start(now)
        peer: Peer = execution.peer
        if peer is not self.peers.me:
            self.saying.ripen(peer, len(peer.answers) if self.serving.open_count else 0)

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

    def ask(self, question: Question, timeout: int, waiter: Any, now: int) -> int:
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
            self._repeating.list_what_is_open(peer, now)

    def peer(self, serial: Serial, what: str) -> Peer:
        """The peer to open a stream to. Raises `ActrTransportError` if it is known to be down."""
        peer = self._reachable(serial, what)
        peer.has_asked = True
        return peer

    def abort_stream(self, stream: OutStream, error: ActrRuntimeError, now: int) -> None:
        """End a stream that this node sends, here and there, with `error`; one that is not open is withdrawn."""
        self.streams.abort(stream, error, now)
        if stream.channel is None:
            self._repeating.list_what_is_open(stream.peer, now)

    # leaving

    def drain(self, now: int) -> None:
        """Take no new work; finish what is open."""
        self.serving.draining = True
        self.streams.drain()
        self._register = structs.replace(self._register, draining=True)
        self._say(self.registration.drain(), now)

    def leave(self, now: int) -> None:
        """Deregister. What is still open ends here: ours as failed, the peers' by our farewell or the PeerDown."""
        self._say_farewell(now)
        error = ActrTransportError("the node has stopped")
        self._ending.for_good(error, now)
        self._say(self.registration.leave(), now)
        if self.is_out:
            self._turn().news.append((News.OUT, ""))

    def _say_farewell(self, now: int) -> None:
        """What comes from now on does not run; those who call are told which of their calls did."""
        self.serving.is_closed = True
        for peer in self.peers.others():
            begun = peer.answers.ids()
            if peer.id is not None and peer.may_call and len(begun) <= OPEN_AT_ONCE:
                self._post(peer, Farewell(begun), ID_BYTES * len(begun), now)

    # what comes in

    def dropped(self, size: int, now: int) -> None:
        """A message of `size` bytes came over the control plane that can't be taken: it waits at the broker no more."""
        self.registration.heard(size, now)

    def receive(self, sender: Serial | None, batch: Batch, returned: Batch | None, size: int, now: int) -> None:
        """A batch of `size` bytes over the control plane, from the broker (None) or a node it vouches for.

        `returned` is what came with a `Returned`: the batch that was not delivered.
        """
        self.registration.heard(size, now)
        if sender is None:
            for envelope in batch.envelopes:
                if isinstance(envelope, Returned):
                    self._repeating.returned(envelope, returned, now)
                else:
                    self._conversation.heard(envelope, now)
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

    def _from_peer(self, peer: Peer, batch: Batch, age: int, now: int) -> None:
        for envelope in batch.envelopes:
            match envelope:
                case Reply():
                    if not self._calling.replied(peer, envelope, now):
                        self.counters["dropped.late_reply"] += 1
                        self.drops.note("dropped.late_reply", "reply", "", peer.name)
                case Call():
                    self._answering.called(peer, envelope, self.serial, age, now)
                case Tell():
                    self._answering.told(peer, envelope, self.serial, age, now)
                case Cancel():
                    self._answering.settled(peer, [envelope.id])
                case Farewell():
                    self._ending.said_farewell(peer, envelope.begun, now)
                case Outstanding():
                    self._answering.keep_only(peer, envelope.calls, envelope.upto)
                    self.streams.keep_only(peer, set(envelope.opens))
                case _:
                    if not self.streams.control(peer, envelope, now):
                        self.counters["dropped.not_from_peer"] += 1
        if batch.settled:  # last: what is settled may have been said again in this very batch, before its reply came
            self._answering.settled(peer, batch.settled)

    # time

    def tick(self, now: int) -> None:
        """Everything whose time has come."""
        said = self.registration.tick(now)
        self._say(said, now)
        if self.drops and any(isinstance(message, Renew) for message in said):
            self._say([Dropped(self.drops.take(str(self.id)))], now)
        self._say(self.discovery.tick(self._turn(), self.registration.away(now), now), now)
        self.visiting.tick(self._turn(), now)
        for peer in self._calling.tick(now):
            if peer is self.peers.me:
                self._calling.let_settled_ride(peer, now)
            else:
                self.saying.stir(peer)
        self._turn().cancel.extend(self.serving.overdue(now))
        self._repeating.tick(now)
        for peer in self.streams.tick(now):
            self._repeating.list_what_is_open(peer, now)
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
            self._repeating.next_deadline(),
        ]
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    # what goes out

    @property
    def has_turn(self) -> bool:
        """Is there anything for the shell to do, beside sending?"""
        return self._asked is not None or bool(self.peers.me.outbox.parcels) or self.registration.is_pressing

    def take_turn(self) -> Turn | None:
        """What the shell has to do, once; None if there is nothing."""
        if self.peers.me.outbox.parcels:
            self._loop_back()
        turn, self._asked = self._asked, None
        return turn

    def outgoing(self, now: int) -> Iterator[Outgoing]:
        """Every batch that may be sent now, once."""
        return self.saying.outgoing(self._calling, now)

    def statistics(self) -> dict[str, int]:
        """Counts for the operator: what is open, and what was dropped or refused, by reason."""
        return {
            "calls.open": sum(len(peer.calls) for peer in self.peers),
            "calls.running_or_queued": self.serving.open_count,
            "replies.kept": sum(len(peer.answers) for peer in self.peers),
            "peers": len(self.peers),
            "dead_letters.untold": self.drops.untold,
            **self.counters,
            **self.serving.counters,
            **self.streams.statistics(),
        }

    # registering

    def _describe(self, attempt: int, key: bytes, now: int) -> Register:
        uptime = now - self._began
        return structs.replace(self._register, attempt=attempt, key=key, peers=self.peers.busy(), uptime=uptime)

    # private

    def _turn(self) -> Turn:
        if self._asked is None:
            self._asked = Turn()
        return self._asked

    def _reachable(self, to: Serial, what: str) -> Peer:
        if self.is_out:
            raise ActrTransportError(f"{what}: this node has stopped")
        if self.peers.is_dead(to):
            raise error_for(Reason.UNKNOWN, f"node {to:x}", what, may_have_run=False)
        peer = self.peers.meet(to)
        if peer.is_leaving:
            raise error_for(Reason.DRAINING, peer.name, what, may_have_run=False)
        return peer

    def _start(self, now: int) -> None:
        if self.serving.queued:
            self._turn().start.extend(self.serving.startable(now))

    def _loop_back(self) -> None:
        """What we say to ourselves does not travel."""
        while self.peers.me.outbox.parcels:
            for parcel in self.peers.me.outbox.take():
                envelopes: list[Envelope] = list(parcel.envelopes)
                for index, body in zip(parcel.large, parcel.bodies, strict=True):
                    envelopes[index] = structs.replace(envelopes[index], body=body)
                batch = Batch(0, envelopes, tuple(parcel.settled))
                self._from_peer(self.peers.me, batch, 0, parcel.since)
                self._start(parcel.since)
