"""What a running node does things with, each part for one subject: whoever sees the node sees it through these."""

from __future__ import annotations

from msgspec import Struct

from actrzmq.core.session import Session
from actrzmq.runtime.agreements import Agreements
from actrzmq.runtime.calls import Calls
from actrzmq.runtime.inboxes import Inboxes
from actrzmq.runtime.lookup import Lookup
from actrzmq.runtime.outlets import Outlets
from actrzmq.runtime.standing import Standing


class Parts(Struct, frozen=True):
    """The parts of one node that users reach, by way of a `Context`."""

    session: Session
    standing: Standing
    lookup: Lookup
    agreements: Agreements
    calls: Calls
    inboxes: Inboxes
    outlets: Outlets
