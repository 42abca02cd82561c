"""A whole system in one thread and no time: real cores, and a wire that delays, loses, repeats, reorders and cuts.

Nothing in here waits: the clock jumps from event to event, so hours pass in seconds, and a seed is a run: with the same
seed and the same deeds everything happens again, to the byte (`World.digest`). What the real shells do with sockets is
done here with a heap of events, through the real codec::

    world = World(seed=4711)
    server, client = world.node("server"), world.node("client")
    server.handlers["work"] = lambda execution: (b"done", 20)  # its answer, and how many milliseconds it takes
    world.run_until(lambda: client.session.is_online and server.session.is_online)
    client.do(lambda session, now: session.call(server.id.serial, "work", b"", 1_000, print, now))
    world.broker.kill()
    world.after(300, world.broker.start)
    world.run(5_000)  # milliseconds, in no time

`World` is the agenda, the wire and the names; `SimBroker` and `SimNode` can be killed, stopped, resumed and reset.
"""

from __future__ import annotations

from actrzmq.testing.simulation.broker import SimBroker
from actrzmq.testing.simulation.collector import Collector
from actrzmq.testing.simulation.node import SimNode
from actrzmq.testing.simulation.shelf import SimShelf
from actrzmq.testing.simulation.world import World

__all__ = ["Collector", "SimBroker", "SimNode", "SimShelf", "World"]
