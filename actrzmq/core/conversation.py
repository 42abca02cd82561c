"""A node's conversation with its broker: the connection, the registration, and what the broker says of others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from actrzmq.core.discovery import Discovery
from actrzmq.core.ending import Ending
from actrzmq.core.failures import error_from
from actrzmq.core.peers import Peers
from actrzmq.core.registration import Life, Registration
from actrzmq.core.repeating import Repeating
from actrzmq.core.saying import Saying
from actrzmq.core.serving import Serving
from actrzmq.core.turn import News, Turn
from actrzmq.core.visiting import Visiting
from actrzmq.errors import ActrTransportError, Status
from actrzmq.identity import ActrId, Serial
from actrzmq.wire.messages import (
    Changed,
    Deregistered,
    Envelope,
    Failure,
    Found,
    Inspected,
    Introduce,
    Nodes,
    NoSpec,
    NotFound,
    NotYet,
    NoWatch,
    PeerBack,
    PeerDown,
    Publish,
    Reason,
    Refused,
    Registered,
    Renewed,
    Spec,
    Unknown,
    Wanted,
    Watching,
)


class Conversation:
    """What one node hears from its broker, and what comes of it.

    `identity()` is the node's present one; `contract` is what it publishes under `fingerprint`; `start(now)` starts
    what may run now; `draw(n)` gives n random bytes.
    """

    def __init__(
        self,
        registration: Registration,
        peers: Peers,
        saying: Saying,
        repeating: Repeating,
        ending: Ending,
        discovery: Discovery,
        visiting: Visiting,
        serving: Serving,
        turn: Callable[[], Turn],
        start: Callable[[int], None],
        identity: Callable[[], ActrId],
        draw: Callable[[int], bytes],
        counters: Counter[str],
        fingerprint: str,
        contract: bytes,
    ) -> None:
        self._registration = registration
        self._peers = peers
        self._saying = saying
        self._say = saying.say
        self._repeating = repeating
        self._ending = ending
        self._discovery = discovery
        self._visiting = visiting
        self._serving = serving
        self._turn = turn
        self._start = start
        self._identity = identity
        self._draw = draw
        self._counters = counters
        self._fingerprint = fingerprint
        self._contract = contract

    # the connection

    def connected(self, now: int) -> None:
        """A handshake was completed: nothing said before on another connection is trusted."""
        self._peers.connected()
        self._repeating.forget_unsent()
        self._say(self._registration.connected(now), now)

    def disconnected(self, now: int) -> None:
        """The connection is gone."""
        self._registration.disconnected(now)
        self._repeating.forget_unsent()

    def paused(self, gap: int, now: int) -> None:
        """The process was not scheduled for `gap` milliseconds. A whole lease: it may have been declared down."""
        if gap > self._registration.lease and self._registration.session:
            self._fence(f"not scheduled for {gap} ms, longer than the lease of {self._registration.lease} ms", now)
            self._say(self._registration.register(now), now)

    # what the broker says

    def heard(self, envelope: Envelope, now: int) -> None:
        """The broker says `envelope`."""
        match envelope:
            case Registered():
                self._registered(envelope, now)
            case Renewed():
                self._registration.renewed(envelope, now)
            case Unknown():
                if self._registration.life is not Life.REGISTERING:  # else a Register is on its way
                    self.connected(now)
            case Introduce():
                self._introduced(envelope, now)
            case PeerDown(serial=serial, reason=reason):
                self._peer_down(serial, reason, now)
            case PeerBack(serial=serial):
                self._peer_back(serial, now)
            case Found() | NotFound() | NotYet():
                self._say(self._discovery.answered(envelope, self._registration.lease, self._turn(), now), now)
            case Watching():
                self._say(self._discovery.snapshot(envelope, self._registration.lease, self._turn(), now), now)
            case Changed():
                self._say(self._discovery.changed(envelope, self._turn()), now)
            case NoWatch():
                self._discovery.refused(envelope, self._turn())
            case Spec() | NoSpec() | Nodes() | Inspected():
                self._visiting.answered(envelope, self._turn())
            case Wanted():
                self._publish(envelope.fingerprint, now)
            case Refused():
                self._refused(envelope, now)
            case Deregistered():
                self._registration.deregistered()
                self._turn().news.append((News.OUT, ""))
            case _:
                self._counters["dropped.not_from_broker"] += 1

    # registering

    def _registered(self, answer: Registered, now: int) -> None:
        epoch = self._registration.epoch
        if not self._registration.registered(answer, now):
            self._counters["dropped.old_attempt"] += 1
            return
        if epoch and epoch != answer.epoch:
            for idle in self._peers.forget_idle():
                self._repeating.say_nothing_to(idle)
        self._turn().news.append((News.REGISTERED, str(self._identity())))
        if self._serving.draining:
            self._say(self._registration.drain(), now)
        self._say(self._discovery.again(), now)
        self._say(self._visiting.again(), now)
        for peer in self._peers.others():
            if peer.is_busy or peer.has_asked:
                self._repeating.say_again(peer, now)

    def _refused(self, refused: Refused, now: int) -> None:
        if not self._registration.awaits(refused.attempt):
            self._counters["dropped.old_attempt"] += 1
        elif refused.fatal:
            self._registration.refused(is_fatal=True, retry_at=0)
            error = error_from(Failure(refused.status, "ActrRuntimeError", f"the broker refuses: {refused.message}"))
            self._ending.for_good(error, now)
            self._turn().news.append((News.REFUSED, refused.message))
        elif refused.status == Status.RESOURCE_EXHAUSTED:
            self._counters["refused.full"] += 1
            self._registration.put_off(refused.message, int.from_bytes(self._draw(2)) / 65_536, now)
        else:
            self._fence(refused.message, now)  # registers under the new key at the next try
            pause = 20 + int.from_bytes(self._draw(2)) % 200
            self._registration.refused(is_fatal=False, retry_at=now + pause)

    def _publish(self, fingerprint: str, now: int) -> None:
        if not self._contract or fingerprint != self._fingerprint:
            self._counters["dropped.wanted"] += 1
        elif len(self._contract) > self._registration.body_limit:
            self._counters["dropped.contract_too_large"] += 1
        else:
            self._saying.publish(Publish(fingerprint, self._contract), now)

    def _fence(self, why: str, now: int) -> None:
        """Become somebody else: whatever was open under the old identity ends, and has no effect from now on."""
        self._counters["fenced"] += 1
        error = ActrTransportError(f"this node was cut off and gave its identity up: {why}", may_have_run=True)
        self._ending.everything(error, now)
        self._turn().cancel.extend(self._serving.forget_all())  # tells: calls have ended with their callers
        self._turn().gone.update(peer.serial for peer in self._peers)
        self._repeating.forget_unsent()
        self._registration.new_key()
        self._peers.become(self._identity())
        self._turn().news.append((News.FENCED, why))

    # peers

    def _introduced(self, introduce: Introduce, now: int) -> None:
        is_new = introduce.id.serial not in self._peers
        peer = self._peers.introduce(introduce)
        if peer is None:
            self._counters["dropped.introduced"] += 1
        elif is_new and peer.has_asked:
            self._repeating.list_what_is_open(peer, now)  # we may have forgotten it, and it not us

    def _peer_back(self, serial: Serial, now: int) -> None:
        peer = self._peers.get(serial)
        if peer is not None and peer is not self._peers.me:
            self._repeating.say_again(peer, now)

    def _peer_down(self, serial: Serial, reason: Reason, now: int) -> None:
        """It is down for good: nothing of it has effect from now on, even if it does not know yet."""
        peer = self._peers.bury(serial)
        if peer is None:
            return
        self._repeating.say_nothing_to(peer)
        self._turn().gone.add(serial)
        self._ending.peer_down(peer, reason, now)
        self._start(now)
