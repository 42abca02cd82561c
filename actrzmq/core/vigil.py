"""Whether nodes still live: their leases, the probes that find lost connections, and how late their loops are."""

from __future__ import annotations

from actrzmq.core.departure import Departure
from actrzmq.core.directory import Directory
from actrzmq.core.registry import LARGEST, Node
from actrzmq.core.roster import Roster
from actrzmq.wire.messages import Lagging, Reason, Renew, Renewed

SETTLE = 20
"""Milliseconds from a connection's end until every write to it fails."""


class Vigil:
    """Watches over the nodes of one broker."""

    def __init__(self, roster: Roster, directory: Directory, departure: Departure, epoch: int) -> None:
        self._roster = roster
        self._limits = roster.limits
        self._counters = roster.counters
        self._say = roster.say
        self._directory = directory
        self._departure = departure
        self._epoch = epoch
        self._probed_at = 0
        self._suspect_at: int | None = None
        self._suspected_at = 0

    def unreachable(self, peer: bytes, now: int) -> None:
        """Writing to `peer` failed: its connection is gone."""
        self._roster.outbox.pop(peer, None)
        node = self._roster.by_peer.get(peer)
        if node is not None and node.unreachable_since is None:
            self._counters["connections.broken"] += 1
            node.unreachable_since = now
            self._roster.unreachable[node.id.serial] = now + self._limits.unreachable
            self._directory.announce(node, Reason.UNREACHABLE)

    def suspect(self, now: int) -> None:
        """Some connection ended; which node's it was is known once all have been written to."""
        if self._suspect_at is None:
            self._suspect_at = max(now + SETTLE, self._suspected_at + self._limits.probe // 3)

    def renew(self, node: Node, renew: Renew, now: int) -> None:
        """`node` lives, and says how it is."""
        self._roster.leases.renew(node.id.serial, now)
        node.load, node.streams = min(renew.load, LARGEST), min(renew.streams, LARGEST)
        node.lag = min(renew.lag, LARGEST)
        node.picks = 0
        node.has_renewed = True
        node.received_bytes = max(node.received_bytes, min(renew.received, node.sent_bytes))
        node.relayed_received = max(node.relayed_received, min(renew.relayed, node.relayed_bytes))
        if node.lagging and renew.lag < self._limits.lagging:
            node.lagging = False
            self._directory.announce(node, node.refusal)
        self._say(node.peer, Renewed(node.session, self._epoch, renew.sent, now))

    def report_lag(self, report: Lagging, now: int) -> None:
        """A node's watchdog says that its loop does not turn."""
        node = self._roster.by_token.get(report.token)
        if node is None:
            self._counters["dropped.stranger"] += 1
        elif report.lag >= self._limits.stall:
            self._departure.down(node, Reason.LAGGING, now)
        else:
            node.lag = report.lag
            self._roster.leases.renew(node.id.serial, now)  # the process lives, its loop does not turn
            if not node.lagging:
                node.lagging = True
                self._directory.announce(node, Reason.LAGGING)

    def was_away(self, gap: int) -> None:
        """The broker itself did not run for `gap`: nobody could renew or come back meanwhile, so all get that time."""
        self._roster.leases.extend(gap)
        self._roster.unreachable.update({serial: until + gap for serial, until in self._roster.unreachable.items()})
        self._roster.expected.until += gap

    def tick(self, now: int) -> None:
        """Probe the quiet, drop the unreachable, the lagging and those whose lease is over."""
        is_suspicious = self._suspect_at is not None and self._suspect_at <= now
        if is_suspicious or now - self._probed_at >= self._limits.probe // 3:
            self._probed_at = now
            quiet = now - self._limits.probe
            if is_suspicious:
                self._suspect_at, self._suspected_at, quiet = None, now, now
            for node in self._roster.nodes.values():
                if node.written_at <= quiet and node.looked_at <= quiet and node.unreachable_since is None:
                    self._roster.outbox.setdefault(node.peer, [])
        unreachable = self._roster.unreachable
        while unreachable:
            serial, until = next(iter(unreachable.items()))
            if until > now:
                break  # see `next_deadline`
            self._departure.down(self._roster.nodes[serial], Reason.UNREACHABLE, now)
        for serial in self._roster.leases.expire(now):
            reason = Reason.LAGGING if self._roster.nodes[serial].lagging else Reason.LEASE
            self._departure.down(self._roster.nodes[serial], reason, now)
        if self._roster.expected and self._roster.expected.until <= now:
            self._departure.give_up_expected()

    def next_deadline(self) -> int | None:
        """When `tick` has something to do; None while nobody is registered or expected."""
        roster = self._roster
        deadline = roster.expected.until if roster.expected else None
        if roster.nodes:
            looks_at = self._probed_at + self._limits.probe // 3
            if self._suspect_at is not None:
                looks_at = min(looks_at, self._suspect_at)
            if roster.unreachable:  # all may take equally long to come back: the first one's time is over first
                looks_at = min(looks_at, next(iter(roster.unreachable.values())))
            deadline = looks_at if deadline is None else min(deadline, looks_at)
        return deadline
