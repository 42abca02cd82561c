"""What actrzmq is to show, as ratios of medians in one run, and whether it does."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from benchmarks.comparisons import LATENCY
from benchmarks.measure import Results
from benchmarks.own import NODES, PEERS, STREAMS

OURS = "actrzmq"
RELAY = "actrzmq relay"
CALLS = "rpc, 100 B, 64 in flight"
SMALL = "stream, 100 B"
LARGE = "stream, 1 MB"
NODE_MEMORY = f"memory at the broker, {NODES} nodes with {PEERS} peers each"
STREAM_MEMORY = f"memory, {STREAMS} idle streams"
STARTING = "start-up"


class Verdict(StrEnum):
    """What came of a target."""

    MET = "met"
    MISSED = "missed"
    NOT_SHOWN = "not shown"


class Figure(msgspec.Struct, frozen=True):
    """One value among the results."""

    case: str
    system: str
    name: str


class Target(msgspec.Struct, frozen=True):
    """`what` is to be at least, or at most, `bound`: `figure`, divided by `base` or with `less` taken off."""

    number: int
    what: str
    figure: Figure
    bound: float
    at_least: bool = False
    base: Figure | None = None
    less: Figure | None = None
    unit: str = "×"


class Judged(msgspec.Struct, frozen=True):
    """A target, and how it stands."""

    target: Target
    verdict: Verdict
    value: float | None = None
    ours: tuple[float, float, float] | None = None
    """Median, least and most."""
    other: tuple[float, float, float] | None = None


def _over(
    number: int, what: str, case: str, peer: str, bound: float, *, figure: str = "rate", ours: str = OURS
) -> Target:
    return Target(number, what, Figure(case, ours, figure), bound, True, Figure(case, peer, figure))


def _within(number: int, what: str, figure: Figure, bound: float, unit: str) -> Target:
    return Target(number, what, figure, bound, unit=unit)


def _flat(n: int) -> Target:
    few, many = (Figure(f"broker, {n} in flight, {nodes} nodes", OURS, "net") for nodes in (2, NODES))
    return Target(5, f"broker CPU per call, {n} in flight, {NODES} nodes registered : 2", many, 1.15, base=few)


TARGETS = (
    _over(1, "RPC, 64 in flight, 100 B: calls/s : nats-py", CALLS, "nats-py", 2.0),
    _over(1, "RPC, 64 in flight, 100 B: calls/s : grpc.aio unary", CALLS, "grpc.aio", 8.0),
    _over(1, "RPC, 64 in flight, 100 B: calls/s : bare pyzmq", CALLS, "bare pyzmq", 1.0),
    Target(
        2, "RPC, 1 in flight: p50 : nats-py", Figure(LATENCY, OURS, "p50"), 1.1, base=Figure(LATENCY, "nats-py", "p50")
    ),
    Target(
        2, "RPC, 1 in flight: p99 : nats-py", Figure(LATENCY, OURS, "p99"), 1.2, base=Figure(LATENCY, "nats-py", "p99")
    ),
    _over(3, "stream, direct, 100 B, raw: frames/s : nats-py", f"{SMALL}, raw", "nats-py", 4.0),
    _over(3, "stream, direct, 100 B, protobuf: frames/s : nats-py", f"{SMALL}, protobuf", "nats-py", 2.5),
    _over(3, "stream, direct, 100 B, protobuf: frames/s : grpc.aio", f"{SMALL}, protobuf", "grpc.aio", 25.0),
    _over(3, "stream, relay, 100 B, raw: frames/s : nats-py", f"{SMALL}, raw", "nats-py", 3.0, ours=RELAY),
    _over(3, "stream, relay, 100 B, protobuf: frames/s : nats-py", f"{SMALL}, protobuf", "nats-py", 2.0, ours=RELAY),
    _over(4, "stream, direct, 1 MB, raw: MB/s : bare pyzmq", f"{LARGE}, raw", "bare pyzmq", 0.7, figure="MB/s"),
    _over(
        4, "stream, direct, 1 MB, protobuf: MB/s : bare pyzmq", f"{LARGE}, protobuf", "bare pyzmq", 0.7, figure="MB/s"
    ),
    _within(
        5, "broker CPU per call, 64 in flight", Figure("broker, 64 in flight, 2 nodes", OURS, "broker CPU"), 8, "µs"
    ),
    _within(
        5, "broker CPU per call, 512 in flight", Figure("broker, 512 in flight, 2 nodes", OURS, "broker CPU"), 3, "µs"
    ),
    _flat(64),
    _flat(512),
    _within(6, "idle stream, at its sender", Figure(STREAM_MEMORY, OURS, "sender"), 20, "KiB"),
    _within(6, "idle stream, at its receiver", Figure(STREAM_MEMORY, OURS, "receiver"), 20, "KiB"),
    Target(
        6,
        f"node with {PEERS} peers, at the broker, on top of libzmq",
        Figure(NODE_MEMORY, OURS, "KiB"),
        30,
        less=Figure(NODE_MEMORY, "bare pyzmq", "KiB"),
        unit="KiB",
    ),
    _within(7, "broker ready", Figure(STARTING, OURS, "broker"), 300, "ms"),
    _within(7, "node registered, after its imports", Figure(STARTING, OURS, "node"), 150, "ms"),
    _within(7, "`import actrzmq`", Figure(STARTING, OURS, "import"), 150, "ms"),
    _within(7, "`import actrzmq`, and all of its names", Figure(STARTING, OURS, "names"), 150, "ms"),
)


def judge(results: Results) -> list[Judged]:
    """How each target stands. What was not measured is not shown, and never met."""
    return [_judge(target, results) for target in TARGETS]


def _judge(target: Target, results: Results) -> Judged:
    other = target.base or target.less
    ours, theirs = _three(target.figure, results), _three(other, results) if other else None
    if ours is None or (other is not None and theirs is None) or min(*ours, *(theirs or ())) <= 0:
        # What is left after taking off may be less than nothing where the machine was busy: that shows nothing.
        return Judged(target, Verdict.NOT_SHOWN, None, ours, theirs)
    value = ours[0]
    if theirs is not None:
        value = value / theirs[0] if target.base is not None else value - theirs[0]
    is_met = value >= target.bound if target.at_least else value <= target.bound
    return Judged(target, Verdict.MET if is_met else Verdict.MISSED, value, ours, theirs)


def _three(figure: Figure, results: Results) -> tuple[float, float, float] | None:
    median = results.median(*msgspec.structs.astuple(figure))
    return None if median is None else (median, *results.spread(*msgspec.structs.astuple(figure)))
