"""The wire of a simulated world, which delays, loses, repeats, reorders and cuts as its seed says.

What it may do follows what ZeroMQ does. A control connection is a FIFO that loses everything in flight, both ways, when
it is reset; its node hears of that and connects again. The stream plane loses without a word; what came over two
connections, one after the other, may come twice or in another order, and so it may here.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import TYPE_CHECKING

from actrzmq.core.streams import StreamParcel
from actrzmq.testing.simulation.agenda import Agenda
from actrzmq.wire.codec import encode_serial, encode_stream_messages
from actrzmq.wire.messages import Path

if TYPE_CHECKING:
    from actrzmq.testing.simulation.broker import SimBroker
    from actrzmq.testing.simulation.node import SimNode


class Wire(Agenda):
    """All that travels between `broker` and `nodes`, through the real codec. What happens to it follows from `seed`."""

    broker: SimBroker

    def __init__(self, seed: int) -> None:
        super().__init__(now=1_000_000)
        self.dice = random.Random(seed)  # noqa: S311 - a run is to be repeated, not kept secret
        self.nodes: dict[str, SimNode] = {}
        self.connections: dict[bytes, SimNode] = {}
        """The control connections that stand, by the id under which the broker knows each."""
        self.delay = (0, 3)
        """Milliseconds that a message takes: from, to."""
        self.plane_loss = 0.0
        """How likely the stream plane loses a message."""
        self.plane_repeat = 0.0
        """How likely a message of the stream plane comes twice."""
        self.plane_reorder = 0.0
        """How likely a message of the stream plane may overtake what was sent before it, or be overtaken."""
        self.cut_planes: set[tuple[str, str]] = set()
        """(from, to) names between which the direct way does not work."""
        self._last: dict[tuple[str, object], int] = {}
        self._trace = blake2b(digest_size=8)

    @property
    def digest(self) -> str:
        """All that has arrived until now, when and where, in short: the same seed has the same."""
        return self._trace.hexdigest()

    # the control plane

    def to_broker(self, node: SimNode, frames: list[bytes]) -> None:
        """From a node to the broker, unless its connection breaks first."""
        peer = node.peer
        if peer:
            self._in_order(("up", peer), frames, lambda: self._arrive_at_broker(peer, frames))

    def to_node(self, peer: bytes, frames: list[bytes]) -> bool:
        """From the broker to a connection; False if it is gone, which a ROUTER would say."""
        node = self.connections.get(peer)
        if node is None:
            return False
        self._in_order(("down", peer), frames, lambda: self._arrive_at_node(peer, node, frames))
        return True

    def _arrive_at_broker(self, peer: bytes, frames: list[bytes]) -> None:
        if peer in self.connections and self.broker.is_up:
            self.broker.receive(peer, frames)

    def _arrive_at_node(self, peer: bytes, node: SimNode, frames: list[bytes]) -> None:
        if self.connections.get(peer) is node:
            node.receive(frames)

    # the stream plane

    def to_stream_plane(self, node: SimNode, parcel: StreamParcel) -> None:
        """From a node, directly to another or through the broker."""
        frames = [encode_stream_messages(parcel.messages), *parcel.payloads]
        if parcel.via.path is Path.RELAY:
            token, to = node.session.registration.token, encode_serial(parcel.via.serial)
            self._in_the_plane(("relay", node.name), frames, lambda: self.broker.relay(token, to, frames))
            return
        target = self._listening(parcel.via.endpoint)
        if target is not None and (node.name, target.name) not in self.cut_planes:
            way = (f"plane {node.name}", parcel.via.endpoint)
            self._in_the_plane(way, frames, lambda: target.receive_plane(frames, None))

    def to_plane(self, endpoint: str, frames: list[bytes], relayed: int) -> None:
        """From the broker's relay to a node."""
        target = self._listening(endpoint)
        if target is not None:
            way = ("plane of the broker", endpoint)
            self._in_the_plane(way, frames, lambda: target.receive_plane(frames, relayed))

    def _listening(self, endpoint: str) -> SimNode | None:
        return next((node for node in self.nodes.values() if endpoint in (node.data, node.grants)), None)

    def _in_the_plane(self, way: tuple[str, object], frames: list[bytes], deed: Callable[[], None]) -> None:
        if self._happens(self.plane_loss, always_ask=True):
            return
        for _ in range(2 if self._happens(self.plane_repeat) else 1):
            if self._happens(self.plane_reorder):
                self._arrive_in(self.dice.randint(0, 3 * self.delay[1]), way, frames, deed)
            else:
                self._in_order(way, frames, deed)

    def _happens(self, how_likely: float, always_ask: bool = False) -> bool:
        """What can't happen takes no throw of the dice, so that runs stay what they were before it could."""
        return (always_ask or how_likely > 0) and self.dice.random() < how_likely

    # both

    def _in_order(self, way: tuple[str, object], frames: Iterable[bytes], deed: Callable[[], None]) -> None:
        """After a while, and not before what went the same way earlier."""
        at = max(self.now + self.dice.randint(*self.delay), self._last.get(way, 0))
        self._last[way] = at
        self._arrive_in(at - self.now, way, frames, deed)

    def _arrive_in(
        self, delay: int, way: tuple[str, object], frames: Iterable[bytes], deed: Callable[[], None]
    ) -> None:
        def arrive() -> None:
            self._trace.update(repr((self.now, way)).encode())
            for frame in frames:
                self._trace.update(frame)
            deed()

        self.after(delay, arrive)
