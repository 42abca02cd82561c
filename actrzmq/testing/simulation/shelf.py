"""What a simulated broker keeps of contracts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actrzmq.core.catalogue import Key, Version
from actrzmq.core.shelf import Fetch, Fetched, Forget, Keep, Kept, Note, NotKept, Order, Outcome

if TYPE_CHECKING:
    from actrzmq.testing.simulation.broker import SimBroker
    from actrzmq.testing.simulation.world import World


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
