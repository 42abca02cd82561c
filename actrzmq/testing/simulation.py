"""A whole system in one thread and no time: real cores, and a wire that delays, loses, resets and cuts.

Nothing in here waits: the clock jumps from event to event, so hours pass in seconds, and a seed is a run. What the
real shells do with sockets is done here with a heap of events, through the real codec.

What the wire may do follows what ZeroMQ does. A control connection is a FIFO that loses everything in flight, both
ways, when it is reset; its node hears of that and connects again. The stream plane loses without a word.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from heapq import heappop, heappush
from typing import Any

from actrzmq.core.broker import MESSAGE_OVERHEAD, BrokerCore, BrokerLimits, Bury, Remember
from actrzmq.core.catalogue import Key, Version
from actrzmq.core.execution import Execution
from actrzmq.core.expected import Remembered
from actrzmq.core.registry import Node
from actrzmq.core.session import Session, SessionLimits
from actrzmq.core.shelf import Fetch, Fetched, Forget, Keep, Kept, Note, NotKept, Order, Outcome
from actrzmq.core.streams import Receiver, StreamParcel
from actrzmq.core.turn import News, Turn
from actrzmq.errors import ActrRuntimeError
from actrzmq.identity import ActrId, ActrType, Serial
from actrzmq.wire.codec import (
    BATCH_ENVELOPES,
    decode_batch,
    decode_from_broker,
    decode_serial,
    decode_stream_messages,
    encode_batch,
    encode_serial,
    encode_stream_messages,
    without_large_bodies,
)
from actrzmq.wire.messages import (
    PROTOCOL,
    Batch,
    Call,
    DataStream,
    FromBroker,
    Path,
    Publish,
    Reason,
    Register,
    Registered,
    Returned,
)

RECONNECT = 100
"""Milliseconds from a broken connection to the next try."""
SPINS = 3
"""Turns in a row after which a deadline may be past; more, and a shell would spin."""

Handler = Callable[[Execution], "tuple[bytes | ActrRuntimeError, int] | None"]
"""What a handler answers, and how many milliseconds it takes; None: it calls `SimNode.finish` itself."""


class SimShelf:
    """What a broker keeps of contracts, over its restarts. Each order takes `DELAY` milliseconds."""

    DELAY = 5

    def __init__(self, world: World) -> None:
        self._world = world
        self.contents: dict[str, bytes] = {}
        self.versions: dict[Key, Version] = {}
        self.refusal = ""
        """Why nothing can be kept, if that is so."""

    def carry_out(self, order: Order, broker: SimBroker) -> None:
        """Do it; the outcome comes to `broker`, unless that has ended meanwhile."""
        core = broker.core
        outcome: Outcome
        match order:
            case Keep(fingerprint=fingerprint, body=body):
                # Here a contract begins with its fingerprint. What is really checked is tested with the real store.
                if not body.startswith(fingerprint.encode()):
                    outcome = NotKept(fingerprint, "wrong contents", True)
                elif self.refusal:
                    outcome = NotKept(fingerprint, self.refusal, False)
                else:
                    self.contents[fingerprint] = body
                    outcome = Kept(fingerprint, len(body))
            case Fetch(ticket=ticket, fingerprint=fingerprint):
                found = self.contents.get(fingerprint)
                outcome = Fetched(ticket, fingerprint, found, "it is gone", is_lost=found is None)
            case Note(version=version):
                self.versions[version.key] = version
                return
            case Forget(fingerprint=fingerprint, key=key):
                if key is not None:
                    self.versions.pop(key, None)
                if all(version.fingerprint != fingerprint for version in self.versions):
                    self.contents.pop(fingerprint, None)
                return
        self._world.after(self.DELAY, lambda: broker.carried_out(outcome, core))


class SimBroker:
    """The broker of a `World`: its core, and the store that outlives it."""

    def __init__(self, world: World, limits: BrokerLimits) -> None:
        self._world = world
        self._limits = limits
        self.stored: dict[Serial, Remembered] = {}
        self.dead: dict[Serial, None] = {}
        self.shelf = SimShelf(world)
        self.published: list[str] = []
        """The fingerprints of all contracts that have come, in order."""
        self.is_up = False
        self.is_stopped = False
        self.core: BrokerCore
        self._kept: list[Callable[[], None]] = []
        self._life = 0

    def start(self) -> None:
        """Start, or start again: another epoch, with what the store remembers."""
        self._life += 1
        world = self._world
        self.core = BrokerCore(self._limits, world.dice.getrandbits(62) + 1, world.dice.randbytes, "relay")
        self.core.expect(self.stored.values(), self.dead, world.now)
        sizes = ((fingerprint, len(body)) for fingerprint, body in self.shelf.contents.items())
        self.core.library.recall(sizes, self.shelf.versions.values())
        self.is_up = True
        self.is_stopped = False
        self._tick(self._life)

    def kill(self) -> None:
        """End at once: every connection breaks."""
        self.is_up = False
        self._kept.clear()
        for node in self._world.nodes.values():
            node.reset()

    def stop(self) -> None:
        """Be stopped, as by SIGSTOP: connections stand, nothing is read."""
        self.is_stopped = True

    def resume(self) -> None:
        """Go on: what has come meanwhile is read now."""
        self.is_stopped = False
        self._life += 1
        kept, self._kept = self._kept, []
        for deed in kept:
            deed()
        self._tick(self._life)

    def receive(self, peer: bytes, frames: list[bytes]) -> None:
        """A message of the control plane has come."""
        if self.is_stopped:
            self._kept.append(lambda: self.receive(peer, frames))
            return
        to, header, *bodies = frames
        now, core = self._world.now, self.core
        if not to:
            envelopes = decode_batch(header, bodies).envelopes
            self.published += [envelope.fingerprint for envelope in envelopes if isinstance(envelope, Publish)]
            core.receive(peer, envelopes, now)
            self._flush()
            return
        size = sum(map(len, frames[1:]))
        target = core.route(peer, to, size, now)
        self._flush()
        if isinstance(target, Reason):
            self._return(peer, to, target, frames[1:])
        elif target is not None and not self._world.to_node(target.peer, [core.address_of(peer), header, *bodies]):
            core.unreachable(target.peer, now)
            self._flush()
            self._return(peer, to, Reason.UNREACHABLE, frames[1:])

    def carried_out(self, outcome: Outcome, core: BrokerCore) -> None:
        """The shelf has done something for `core`."""
        if self.is_stopped:
            self._kept.append(lambda: self.carried_out(outcome, core))
        elif self.is_up and core is self.core:
            core.library.outcome(outcome, self._world.now)
            self._flush()

    def relay(self, token: bytes, to: bytes, frames: list[bytes]) -> None:
        """A message of the stream plane is to be relayed."""
        if self.is_stopped or not self.is_up:
            return
        node = self.core.relay(token, to, sum(map(len, frames)))
        if node is not None:
            self._world.to_plane(node.register.data, frames, node.relayed_bytes)

    def _return(self, peer: bytes, to: bytes, reason: Reason, frames: list[bytes]) -> None:
        returned = Returned(decode_serial(to), reason)
        self._world.to_node(peer, [b"", encode_batch(Batch(self._world.now, [returned])), *frames])

    def _flush(self) -> None:
        core = self.core
        while core.has_outgoing:
            for peer, messages in core.outgoing():
                for start in range(0, len(messages) or 1, BATCH_ENVELOPES):
                    self._say(peer, messages[start : start + BATCH_ENVELOPES])
        for effect in core.store_effects:
            match effect:
                case Remember(node=node):
                    self.stored[node.id.serial] = node
                case Bury(serial=serial):
                    self.stored.pop(serial, None)
                    self.dead[serial] = None
        core.store_effects.clear()
        for order in core.library.take_orders():
            self.shelf.carry_out(order, self)

    def _say(self, peer: bytes, messages: Sequence[FromBroker]) -> None:
        core, now = self.core, self._world.now
        bare, large, bodies = without_large_bodies(messages)
        frames = [b"", encode_batch(Batch(now, bare, (), large)), *bodies]
        if self._world.to_node(peer, frames):
            registered = any(isinstance(message, Registered) for message in messages)
            core.written(peer, sum(map(len, frames)), registered, now)
        else:
            core.unreachable(peer, now)

    def _tick(self, life: int) -> None:
        if life != self._life or not self.is_up or self.is_stopped:
            return
        self.core.tick(self._world.now)
        self._flush()
        self._world.after(50, lambda: self._tick(life))


class SimNode:
    """A node of a `World`: its session, and what a shell and a program would do."""

    def __init__(
        self,
        world: World,
        name: str,
        actor_type: ActrType,
        limits: SessionLimits | None,
        contract: bytes = b"",
        realm: int = 0,
        **fields: Any,
    ) -> None:
        self.world = world
        self.name = name
        self.handlers: dict[str, Handler] = {}
        self.ran: Counter[tuple[Serial, int]] = Counter()
        """How often each call, by (caller, id), was started here."""
        self.news: list[tuple[News, str]] = []
        self.peer = b""
        self.is_up = True
        self.is_stopped = False
        self._stopped_at = 0
        self._kept: list[Callable[[], None]] = []
        self._work: dict[Execution, Callable[[], None] | None] = {}
        self._timer_at: int | None = None
        self._spins = 0
        port = 10_000 + 2 * len(world.nodes)
        self.data, self.grants = f"tcp://127.0.0.1:{port}", f"tcp://127.0.0.1:{port + 1}"
        register = Register(0, PROTOCOL, b"", realm, actor_type, name, data=self.data, stream_memory=64 << 20, **fields)
        self.session = Session(
            register,
            lambda route: True if route in self.handlers else None,
            world.dice.randbytes,
            world.now,
            limits,
            self.grants,
            contract,
        )

    @property
    def id(self) -> ActrId:
        """Its present identity."""
        return self.session.id

    def connect(self) -> None:
        """Try until the broker is there."""
        if not self.is_up or self.peer:
            return
        if not self.world.broker.is_up:
            self.world.after(RECONNECT, self.connect)
            return
        self.peer = self.world.dice.randbytes(5)
        self.world.connections[self.peer] = self
        self._guarded(lambda: self.session.connected(self.world.now))

    def reset(self) -> None:
        """Break its control connection: what is in flight is lost, both ways."""
        if self.peer:
            del self.world.connections[self.peer]
            self.peer = b""
            self._guarded(lambda: self.session.disconnected(self.world.now))
            self.world.after(RECONNECT, self.connect)

    def kill(self) -> None:
        """End at once."""
        self.is_up = False
        self._kept.clear()
        if self.peer:
            del self.world.connections[self.peer]
            self.peer = b""

    def stop(self) -> None:
        """Be stopped, as by SIGSTOP."""
        self.is_stopped = True
        self._stopped_at = self.world.now

    def resume(self) -> None:
        """Go on; the watchdog tells how long it was."""
        self.is_stopped = False
        gap = self.world.now - self._stopped_at
        self._guarded(lambda: self.session.paused(gap, self.world.now))
        kept, self._kept = self._kept, []
        for deed in kept:
            deed()

    def receive(self, frames: list[bytes]) -> None:
        """A message of the control plane has come."""
        self._guarded(lambda: self._receive(frames))

    def receive_plane(self, frames: list[bytes], relayed: int | None) -> None:
        """A message of the stream plane has come."""
        self._guarded(lambda: self._receive_plane(frames, relayed))

    def do(self, deed: Callable[[Session, int], Any]) -> Any:
        """Ask something of the session, as a program would."""
        result = deed(self.session, self.world.now)
        self.turn()
        return result

    def turn(self) -> None:
        """What a shell does in one turn of its loop."""
        world, session = self.world, self.session
        deadline = session.next_deadline()
        if deadline is not None and deadline <= world.now:
            session.tick(world.now)
        while turn := session.take_turn():
            self._carry_out(turn)
        for outgoing in session.outgoing(world.now):
            parcel = outgoing.parcel
            batch = Batch(outgoing.sent_at, [*parcel.envelopes], tuple(parcel.settled), tuple(parcel.large))
            world.to_broker(self, [outgoing.to, encode_batch(batch), *parcel.bodies])
        for stream_parcel in session.streams.outgoing(lambda via: False):
            world.to_stream_plane(self, stream_parcel)
        self._arm()

    def later(self, delay: int, deed: Callable[[], None]) -> None:
        """The node does `deed` in `delay` milliseconds, and a turn after it: not while it is stopped, nor when dead."""
        self.world.after(delay, lambda: self._guarded(deed))

    def finish(self, execution: Execution, outcome: bytes | ActrRuntimeError) -> None:
        """A handler has ended, unless it was cancelled."""
        if execution in self._work:
            del self._work[execution]
            self.session.finish(execution, outcome, self.world.now)

    def on_cancel(self, execution: Execution, deed: Callable[[], None]) -> None:
        """What to do when the handler is cancelled."""
        self._work[execution] = deed

    def _arm(self) -> None:
        """One timer, for the session's next deadline: it does nothing but what this wakes it for."""
        deadline = self.session.next_deadline()
        self._spins = self._spins + 1 if deadline is not None and deadline <= self.world.now else 0
        if self._spins > SPINS:
            raise AssertionError(f"{self.name} wants to tick again and again: its next deadline is {deadline}, past")
        if deadline is not None and (self._timer_at is None or deadline < self._timer_at):
            self._timer_at = max(deadline, self.world.now + 1)
            self.world.after(self._timer_at - self.world.now, partial(self._fire, self._timer_at))

    def _fire(self, at: int) -> None:
        if self._timer_at == at:
            self._timer_at = None
            self._guarded(lambda: None)

    def _guarded(self, deed: Callable[[], None]) -> None:
        if not self.is_up:
            return
        if self.is_stopped:
            self._kept.append(lambda: self._guarded(deed))
            return
        deed()
        self.turn()

    def _receive(self, frames: list[bytes]) -> None:
        address, header, *bodies = frames
        size = sum(map(len, frames[1:])) + MESSAGE_OVERHEAD
        if address:
            self.session.receive(decode_serial(address), decode_batch(header, bodies), None, size, self.world.now)
            return
        batch, returned = decode_from_broker(header, bodies)
        self.session.receive(None, batch, returned, size, self.world.now)

    def _receive_plane(self, frames: list[bytes], relayed: int | None) -> None:
        if relayed is not None:
            self.session.registration.relayed = relayed
        self.session.streams.arrived(decode_stream_messages(frames[0], frames[1:]), self.world.now)

    def _carry_out(self, turn: Turn) -> None:
        for waiter, outcome in turn.resolve:
            waiter(outcome)
        for receiver, frames in turn.deliver:
            receiver.sink.deliver(receiver, frames)
        for sink in turn.writable:
            sink.writable()
        for sink, outcome in turn.closed:
            sink.closed(outcome)
        for execution in turn.start:
            self._run(execution)
        for execution in turn.cancel:
            if execution in self._work:
                on_cancel = self._work[execution]
                if on_cancel is not None:
                    on_cancel()
                self.finish(execution, ActrRuntimeError("cancelled", may_have_run=True))
        self.news.extend(turn.news)

    def _run(self, execution: Execution) -> None:
        if isinstance(execution.request, Call):
            self.ran[execution.peer.serial, execution.request.id] += 1
        self._work[execution] = None
        result = self.handlers[execution.request.route](execution)
        if result is not None:
            outcome, duration = result
            self.later(duration, lambda: self.finish(execution, outcome))


class World:
    """A broker, nodes, and the wire between them. All that happens follows from `seed` and from what the test does."""

    def __init__(self, seed: int = 0, limits: BrokerLimits | None = None) -> None:
        self.dice = random.Random(seed)  # noqa: S311 - a run is to be repeated, not kept secret
        self.now = 1_000_000
        self.nodes: dict[str, SimNode] = {}
        self.connections: dict[bytes, SimNode] = {}
        self.delay = (0, 3)
        """Milliseconds that a message takes: from, to."""
        self.plane_loss = 0.0
        """How likely the stream plane loses a message."""
        self.cut_planes: set[tuple[str, str]] = set()
        """(from, to) names between which the direct way does not work."""
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0
        self._last: dict[Any, int] = {}
        self.broker = SimBroker(self, limits or BrokerLimits())
        self.broker.start()

    def node(
        self,
        name: str,
        type_name: str = "Node",
        limits: SessionLimits | None = None,
        contract: bytes = b"",
        **fields: Any,
    ) -> SimNode:
        """Another node, which starts to connect. `fields` are more of its Register."""
        node = self.nodes[name] = SimNode(self, name, ActrType("acme", type_name), limits, contract, **fields)
        self.after(0, node.connect)
        return node

    def after(self, delay: int, deed: Callable[[], None]) -> None:
        """`deed` happens in `delay` milliseconds."""
        self._count += 1
        heappush(self._events, (self.now + delay, self._count, deed))

    def run(self, milliseconds: int) -> None:
        """Let that much time pass."""
        end = self.now + milliseconds
        while self._events and self._events[0][0] <= end:
            self.now, _, deed = heappop(self._events)
            deed()
        self.now = end

    def run_until(self, is_done: Callable[[], object], within: int = 60_000) -> None:
        """Let time pass until `is_done()`; fails after `within` milliseconds."""
        end = self.now + within
        while not is_done():
            if self.now >= end:
                raise AssertionError(f"not within {within} ms")
            self.run(5)

    # the wire

    def to_broker(self, node: SimNode, frames: list[bytes]) -> None:
        """From a node to the broker, unless its connection breaks first."""
        peer = node.peer
        if peer:
            self._later(("up", peer), lambda: self._arrive_at_broker(peer, frames))

    def to_node(self, peer: bytes, frames: list[bytes]) -> bool:
        """From the broker to a connection; False if it is gone, which a ROUTER would say."""
        node = self.connections.get(peer)
        if node is None:
            return False
        self._later(("down", peer), lambda: self._arrive_at_node(peer, node, frames))
        return True

    def to_stream_plane(self, node: SimNode, parcel: StreamParcel) -> None:
        """From a node, directly to another or through the broker."""
        frames = [encode_stream_messages(parcel.messages), *parcel.payloads]
        if parcel.via.path is Path.RELAY:
            token, to = node.session.registration.token, encode_serial(parcel.via.serial)
            if self.dice.random() >= self.plane_loss:
                self._later(("relay", node.name), lambda: self.broker.relay(token, to, frames))
            return
        target = self._listening(parcel.via.endpoint)
        if target is not None and (node.name, target.name) not in self.cut_planes:
            self._to_plane((node.name, parcel.via.endpoint), target, frames, None)

    def to_plane(self, endpoint: str, frames: list[bytes], relayed: int) -> None:
        """From the broker's relay to a node."""
        target = self._listening(endpoint)
        if target is not None:
            self._to_plane(("broker", endpoint), target, frames, relayed)

    def _to_plane(self, way: Any, target: SimNode, frames: list[bytes], relayed: int | None) -> None:
        if self.dice.random() >= self.plane_loss:
            self._later(way, lambda: target.receive_plane(frames, relayed))

    def _listening(self, endpoint: str) -> SimNode | None:
        return next((node for node in self.nodes.values() if endpoint in (node.data, node.grants)), None)

    def _arrive_at_broker(self, peer: bytes, frames: list[bytes]) -> None:
        if peer in self.connections and self.broker.is_up:
            self.broker.receive(peer, frames)

    def _arrive_at_node(self, peer: bytes, node: SimNode, frames: list[bytes]) -> None:
        if self.connections.get(peer) is node:
            node.receive(frames)

    def _later(self, way: Any, deed: Callable[[], None]) -> None:
        """After a while, and not before what went the same way earlier."""
        at = max(self.now + self.dice.randint(*self.delay), self._last.get(way, 0))
        self._last[way] = at
        self.after(at - self.now, deed)


class Collector:
    """A sink for a test: what was delivered, and how the stream ended. Each frame takes `pace` milliseconds."""

    def __init__(self, node: SimNode, pace: int = 0) -> None:
        self._node = node
        self._pace = pace
        self._busy_until = 0
        self.frames: list[DataStream] = []
        self.outcome: Any = ...
        """`...` while the stream is open."""

    def deliver(self, receiver: Receiver, frames: list[DataStream]) -> None:
        """Take frames; each is done after its time."""
        world = self._node.world
        for frame in frames:
            self._busy_until = max(self._busy_until, world.now) + self._pace
            self._node.later(self._busy_until - world.now, partial(self._done, receiver, frame))

    def closed(self, outcome: Any) -> None:
        """The stream has ended."""
        self.outcome = outcome

    def _done(self, receiver: Receiver, frame: DataStream) -> None:
        stream = receiver.stream
        if self.outcome is not ... or stream is None:
            return
        self.frames.append(frame)
        stream.channel.completed_frames += 1
        stream.channel.completed_bytes += len(frame.payload())
        self._node.session.streams.progressed(receiver, self._node.world.now)


__all__ = ["Collector", "Node", "SimBroker", "SimNode", "World"]
