"""What is measured of all systems alike: calls and streams."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.measure import Case, Form, Record, in_turn
from benchmarks.work import Rpc, Stream

SIZES = {"100 B": 100, "1 kB": 1_000, "10 kB": 10_000, "64 kB": 64_000, "1 MB": 1_000_000}

CALLERS = (
    "actrzmq",
    "actrzmq uvloop",
    "nats-py",
    "grpc.aio",
    "zerorpc",
    "xoscar",
    "bare pyzmq",
    "bare asyncio",
)
MANY_CALLERS = ("actrzmq", "nats-py", "grpc.aio", "bare pyzmq", "bare asyncio")
STREAMERS = (
    "actrzmq",
    "actrzmq relay",
    "actrzmq uvloop",
    "nats-py",
    "grpc.aio",
    "zerorpc",
    "bare pyzmq",
    "bare asyncio",
)
MULTIPLEXERS = ("actrzmq", "actrzmq relay", "nats-py", "grpc.aio")

LATENCY = "rpc, 100 B, 1 in flight"


def rpc(form: Form, round: int) -> Iterator[Record]:
    """Calls of one client: one after the other in all runs, more at once in the first of them.

    What is open to one node is bounded to 8 MiB, and so of 1 MB there are 4 in flight at most.
    """
    combinations = [("100 B", 64), ("100 B", 512)]
    if form.name == "full":
        combinations += [("10 kB", 1), ("10 kB", 64), ("10 kB", 512), ("1 MB", 1), ("1 MB", 4)]
    cases = [Case(LATENCY, Rpc(100, 1, form.seconds * 2), CALLERS)]
    if round < form.runs:
        cases += [
            Case(f"rpc, {size}, {n} in flight", Rpc(SIZES[size], n, form.seconds), CALLERS) for size, n in combinations
        ]
    yield from in_turn(cases, round)


def clients(form: Form, round: int) -> Iterator[Record]:
    """Calls of eight clients at once, in processes of their own; so many in flight for each of them."""
    if form.name != "full":
        return
    combinations = [("100 B", 1), ("100 B", 8), ("100 B", 64), ("10 kB", 8)]
    cases = [
        (f"rpc, {size}, 8 clients, {n} in flight each", Rpc(SIZES[size], n, form.seconds)) for size, n in combinations
    ]
    for name in MANY_CALLERS:  # one at a time: so many processes would not fit beside one another
        yield from in_turn([Case(case, task, (name,)) for case, task in cases], round, clients=8)


def streams(form: Form, round: int) -> Iterator[Record]:
    """Frames one way: raw bytes, and a message encoded and decoded for each."""
    sizes = ("100 B", "1 kB", "64 kB", "1 MB") if form.name == "full" else ("100 B", "1 MB")
    cases = [
        Case(f"stream, {size}, {kind}", Stream(SIZES[size], form.stream_seconds, raw=kind == "raw"), STREAMERS)
        for size in sizes
        for kind in ("protobuf", "raw")
    ]
    if form.name == "full":
        cases += [
            Case("50 streams, 100 B, protobuf", Stream(100, form.stream_seconds, streams=50), MULTIPLEXERS),
            Case("50 streams, 64 kB, protobuf", Stream(64_000, form.stream_seconds, streams=50), MULTIPLEXERS),
            Case(
                "stream beside a slow one, 100 B, protobuf", Stream(100, form.stream_seconds, slow=True), MULTIPLEXERS
            ),
        ]
    yield from in_turn(cases, round)
