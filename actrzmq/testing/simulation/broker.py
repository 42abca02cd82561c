"""The broker of a simulated world: the real core, between a wire and a store that are not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from actrzmq.core.broker import BrokerCore, BrokerLimits, Bury, Remember
from actrzmq.core.expected import Remembered
from actrzmq.core.shelf import Outcome
from actrzmq.identity import Serial
from actrzmq.testing.simulation.shelf import SimShelf
from actrzmq.wire.codec import BATCH_ENVELOPES, decode_batch, decode_serial, encode_batch, without_large_bodies
from actrzmq.wire.messages import Batch, FromBroker, Publish, Reason, Registered, Returned

if TYPE_CHECKING:
    from actrzmq.testing.simulation.world import World


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
