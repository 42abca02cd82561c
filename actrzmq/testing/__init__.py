"""For tests of what is built on actrzmq, and of actrzmq itself. Nothing that runs in production imports it."""

from __future__ import annotations

from actrzmq.testing.clock import Clock, JumpingLoop
from actrzmq.testing.cluster import LocalCluster
from actrzmq.testing.connection import Connection, Direction
from actrzmq.testing.leaks import LeakWarning
from actrzmq.testing.programs import Program
from actrzmq.testing.proxy import FaultProxy
from actrzmq.testing.supervised import SupervisedCluster

__all__ = [
    "Clock",
    "Connection",
    "Direction",
    "FaultProxy",
    "JumpingLoop",
    "LeakWarning",
    "LocalCluster",
    "Program",
    "SupervisedCluster",
]
