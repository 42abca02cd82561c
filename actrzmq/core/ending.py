"""How all that is open ends at once: with a peer, or with this node."""

from __future__ import annotations

from collections.abc import Callable, Collection

from actrzmq.core.answering import Answering
from actrzmq.core.calling import Calling
from actrzmq.core.discovery import Discovery
from actrzmq.core.failures import error_for
from actrzmq.core.peer import Peer
from actrzmq.core.peers import Peers
from actrzmq.core.streams import Streams
from actrzmq.core.turn import Turn
from actrzmq.core.visiting import Visiting
from actrzmq.errors import ActrRuntimeError
from actrzmq.wire.messages import CallId, Reason


class Ending:
    """Ends what the machines of one node have open."""

    def __init__(
        self,
        peers: Peers,
        calling: Calling,
        answering: Answering,
        streams: Streams,
        discovery: Discovery,
        visiting: Visiting,
        turn: Callable[[], Turn],
    ) -> None:
        self._peers = peers
        self._calling = calling
        self._answering = answering
        self._streams = streams
        self._discovery = discovery
        self._visiting = visiting
        self._turn = turn

    def peer_down(self, peer: Peer, reason: Reason, now: int) -> None:
        """`peer` is down, for `reason`."""
        self._calling.fail_all(
            peer,
            lambda call: error_for(reason, peer.name, call.call.route, may_have_run=call.sent > 0),
            now,
        )
        self._answering.gone(peer)
        self._streams.peer_down(peer, reason)

    def said_farewell(self, peer: Peer, begun: Collection[CallId], now: int) -> None:
        """`peer` leaves. What it has not begun has not run; for the rest a reply or the PeerDown is under way."""
        peer.is_leaving = True
        self._calling.fail_all(
            peer,
            lambda call: error_for(Reason.DRAINING, peer.name, call.call.route, may_have_run=False),
            now,
            but=frozenset(begun),
        )

    def everything(self, error: ActrRuntimeError, now: int) -> None:
        """Calls and streams with everybody end; questions to the broker do not."""
        for peer in self._peers:
            self._calling.fail_all(peer, lambda call: _copy(error, may_have_run=call.sent > 0), now)
            self._answering.gone(peer)
        self._streams.end_everything(error, now)

    def for_good(self, error: ActrRuntimeError, now: int) -> None:
        """The node has ended, and with it the questions too."""
        self.everything(error, now)
        self._discovery.fail_all(error, self._turn())
        self._visiting.fail_all(error, self._turn())


def _copy(error: ActrRuntimeError, *, may_have_run: bool) -> ActrRuntimeError:
    """A copy of `error` for one of those that it ends."""
    return type(error)(
        error.message, code=error.code, details=error.details, retryable=error.retryable, may_have_run=may_have_run
    )
