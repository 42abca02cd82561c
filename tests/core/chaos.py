"""A random run over the simulated wire, and a ledger of what was promised: everything follows from the seed.

The ledger is kept by the program that calls, answers, sends and receives, not by the cores: each operation has a number
that travels in its body, and both ends write down what they saw.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from typing import Any

from actrzmq.core.broker import BrokerLimits
from actrzmq.core.calls import OpenCall
from actrzmq.core.discovery import ANSWER_WITHIN, Watched
from actrzmq.core.execution import Execution
from actrzmq.core.incoming import StreamLimits
from actrzmq.core.outgoing import OutState, OutStream
from actrzmq.core.paths import Wish
from actrzmq.core.serving import ServingLimits
from actrzmq.core.session import SessionLimits
from actrzmq.core.streams import Receiver
from actrzmq.core.turn import News
from actrzmq.errors import ActrOverloaded, ActrRuntimeError, ActrStreamError, ActrTransportError, Status
from actrzmq.identity import ActrType, Serial
from actrzmq.testing.simulation import Collector, SimNode
from actrzmq.wire.messages import Call, DataStream, Lane, Reply
from tests.core.watched import Granted, WatchedWorld

WORK = 10_000
"""Milliseconds in which everything is begun, and everything goes wrong."""
QUIET = 90_000
"""Milliseconds after which all must have ended."""
SLACK = 120
"""Milliseconds that an outcome may come late: timers come in buckets of 20, and the broker's time is an estimate."""
FRAMES = 50
PAYLOAD = 100
RETRY = 100
"""Milliseconds after which what could not be begun is tried again."""
LEAST = {"nodes": 3, "calls": 20, "streams": 3, "faults": 3}
"""What each run has at least."""
UNCONFIRMED = 10_000
"""Bytes of its own that the broker may have said to a node and not heard back of, at rest."""
NODE_LIMITS = [
    None,
    SessionLimits(serving=ServingLimits(concurrency=1)),
    SessionLimits(
        serving=ServingLimits(concurrency=2, queue=3, kept_bytes=10),
        streams=StreamLimits(window_frames=4, window_bytes=250, memory=600, streams=3, register_within=1_000),
    ),
]
"""Some nodes are roomy, some are not."""
SIGNS_OF_A_BUG = ("frames.without_credit", "frames.after_the_end", "frames.of_another_stream", "nonsense", "unasked")


@dataclass
class CallRecord:
    """One call or tell: what was asked, what came of it, and where it ran."""

    number: int
    caller: SimNode
    callee: SimNode
    by: Serial
    to: Serial
    """Who these two were when it was made: a node that is fenced goes on as another one."""
    begun: int
    deadline: int
    takes: int
    nests: bool
    is_promised: bool
    """Were both ends registered?"""
    is_tell: bool = False
    is_cancelled: bool = False
    outcomes: list[tuple[int, Any]] = field(default_factory=list)
    runs: list[tuple[int, str]] = field(default_factory=list)

    def resolve(self, outcome: Any) -> None:
        self.outcomes.append((self.caller.world.now, outcome))


@dataclass
class Question:
    """One discovery: when it must have been answered, and how."""

    number: int
    node: SimNode
    deadline: int
    answers: list[tuple[int, Any]] = field(default_factory=list)

    def resolve(self, answer: Any) -> None:
        self.answers.append((self.node.world.now, answer))


class Outflow:
    """The sending program of a stream: pushes as credit allows, then ends, aborts, or leaves it open."""

    def __init__(self, node: SimNode, stream_id: str, count: int, aborts: bool) -> None:
        self.node = node
        self.stream_id = stream_id
        self.count = count
        self.aborts = aborts
        self.sent = 0
        self.outcome: Any = ...
        self.stream: OutStream | None = None
        self.closings = 0
        self.record: StreamRecord
        self.done_by_then = 0
        """Frames that were done at the receiver when the sender was told how it ended."""

    def __call__(self, opened: Any) -> None:
        if isinstance(opened, ActrRuntimeError):
            self.closed(opened)
        else:
            self.node.later(0, self.push)

    def writable(self) -> None:
        self.node.later(0, self.push)

    def closed(self, outcome: Any) -> None:
        self.closings += 1
        self.outcome = outcome
        into = self.record.into
        self.done_by_then = len(into.frames) if into else 0

    def push(self) -> None:
        stream, streams, now = self.stream, self.node.session.streams, self.node.world.now
        if stream is None or stream.state is not OutState.OPEN or self.outcome is not ... or stream.channel is None:
            return
        if stream.channel.is_ending:
            return
        for _ in range(7):  # a few in each turn
            if self.sent == self.count:
                break
            if not stream.channel.push(DataStream(self.stream_id, self.sent + 1, b"x" * PAYLOAD), PAYLOAD):
                streams.queued(stream)
                return
            self.sent += 1
        streams.queued(stream)
        if self.sent < self.count:
            self.node.later(3, self.push)
        elif self.aborts:
            streams.abort(stream, ActrStreamError("aborted on purpose"), now)
        else:
            streams.end(stream, now)


@dataclass
class StreamRecord:
    """One stream: both programs."""

    number: int
    sender: SimNode
    receiver: SimNode
    lane: Lane
    out: Outflow
    into: Sink | None = None


class Sink(Collector):
    """The receiving program of a stream, which looks at whose frames it is given."""

    def __init__(self, node: SimNode, pace: int) -> None:
        super().__init__(node, pace)
        self.of_the_dead = 0

    def deliver(self, receiver: Receiver, frames: list[DataStream]) -> None:
        if receiver.peer is None or self._node.session.peers.is_dead(receiver.peer.serial):
            self.of_the_dead += len(frames)
        super().deliver(receiver, frames)


class Chaos:
    """One run. `run` returns what was broken, in words; nothing is good."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.dice = random.Random(f"plan {seed}")
        limits = BrokerLimits(backlog=500_000) if self.dice.random() < 0.3 else None  # soon congested
        self.world = WatchedWorld(seed, limits, payload=PAYLOAD)
        self.world.delay = self.dice.choice([(0, 0), (0, 3), (0, 3), (1, 40), (0, 150)])
        self._slack = SLACK + 4 * self.world.delay[1]
        self.calls: list[CallRecord] = []
        self.streams: list[StreamRecord] = []
        self.broken: list[str] = []
        self._undone = 0
        """What was planned and has not begun: while all nodes are stopped, nothing can."""
        self.log: list[str] = []
        self.living: list[SimNode] = []
        self.leaving: set[SimNode] = set()
        self.watched: dict[SimNode, Watched] = {}
        self.questions: list[Question] = []
        self.limits: dict[SimNode, SessionLimits | None] = {}
        self.hurt: set[SimNode] = set()
        """Those that were stopped, if only for a moment."""
        self.outages: list[tuple[int, int]] = []
        self._out_since = 0
        self.stops: dict[SimNode, list[tuple[int, int]]] = {}
        self.faults_begun = 0
        self._start = self.world.now
        self._names = 0

    # the run

    def run(self) -> list[str]:
        dice, world = self.dice, self.world
        for _ in range(dice.randint(3, 5)):
            self.add_node()
        world.run(dice.choice([0, 20, 500]))
        for _ in range(dice.randint(20, 40)):
            self._at(self.begin_call)
        for _ in range(dice.randint(3, 6)):
            self._at(self.begin_stream)
        for _ in range(dice.randint(0, 5)):
            self._at(self.begin_question)
        for _ in range(dice.randint(3, 7)):
            self._at(self.begin_fault)
        world.run(WORK)
        self._heal()
        end = world.now + QUIET
        while world.now < end and not self._is_quiet():
            world.run(500)
        world.run(3_000)
        self._check()
        return self.broken

    @property
    def digest(self) -> str:
        """What happened, in short: the same for the same seed."""
        outcomes = [
            (call.number, [(at, _in_words(outcome)) for at, outcome in call.outcomes], call.runs) for call in self.calls
        ]
        ends = [
            (
                one.number,
                _in_words(one.out.outcome),
                [frame.sequence() for frame in one.into.frames] if one.into else [],
            )
            for one in self.streams
        ]
        answers = [[(at, _in_words(answer)) for at, answer in one.answers] for one in self.questions]
        return sha256(repr((outcomes, ends, answers, self.log)).encode()).hexdigest()[:16]

    def counts(self) -> dict[str, int]:
        """How much there was of everything."""
        return {
            "nodes": len(self.world.nodes),
            "calls": len(self.calls),
            "streams": len(self.streams),
            "frames": sum(one.out.sent for one in self.streams),
            "faults": self.faults_begun,
        }

    def outcomes(self) -> Counter[str]:
        """How calls and streams ended, by kind: each has one."""
        found: Counter[str] = Counter()
        for call in self.calls:
            if call.is_tell:
                found["tells"] += 1
            elif call.is_cancelled:
                found["calls cancelled"] += 1
            elif not call.outcomes:
                found["calls of a node that was killed"] += 1
            else:
                found[f"calls ended: {_kind_of(call.outcomes[0][1])}"] += 1
        for one in self.streams:
            what = "of a node that was killed" if one.out.outcome is ... else f"ended: {_kind_of(one.out.outcome)}"
            found[f"streams {what}"] += 1
        return found

    def add_node(self) -> SimNode:
        self._names += 1
        limits = self.dice.choice(NODE_LIMITS)
        node = self.world.node(f"n{self._names}", self.dice.choice(["Red", "Blue"]), limits)
        self.limits[node] = limits
        node.handlers["work"] = partial(self._handle, node)
        watched = node.session.watch(ActrType("acme", "Red"), "", None, self.world.now)
        self.watched[node] = watched
        self.living.append(node)
        self.stops[node] = []
        return node

    # work

    def begin_call(self) -> bool:
        """Some node calls another; False if there is none that could."""
        callers = self._awake()
        if callers:
            self.call(self.dice.choice(callers))
        return bool(callers)

    def call(
        self, caller: SimNode, chain: tuple[Serial, ...] = (), left: int = 0
    ) -> tuple[CallRecord, OpenCall] | None:
        """`caller` calls some node; None if it was refused at once, or waits for no answer."""
        dice, world = self.dice, self.world
        callee = dice.choice([*self.living] * 5 + [*world.nodes.values()])
        timeout = dice.choice([100, 1_000, 5_000, 20_000, 30_000])
        timeout = min(timeout, left) if left else timeout
        takes = dice.choice([0, 0, 5, 50, 300, 2_000, 8_000])
        nests = not chain and dice.random() < 0.2
        both = caller.session.is_online and callee.session.is_online
        by, to = caller.session.serial, callee.session.serial
        record = CallRecord(len(self.calls), caller, callee, by, to, world.now, world.now + timeout, takes, nests, both)
        record.is_tell = not chain and dice.random() < 0.1
        self.calls.append(record)
        body = f"{record.number} {takes} {int(nests)}".encode()
        body += b" " * dice.choice([0, 0, 0, 1_000, 70_000, 100_000])
        self._note(
            f"{'tell' if record.is_tell else 'call'} {record.number} {caller.name} to {callee.name} {timeout} ms"
        )
        try:
            if record.is_tell:
                caller.do(lambda session, now: session.tell(callee.id.serial, "work", body, timeout, now))
                return None
            call = caller.do(
                lambda session, now: session.call(
                    callee.id.serial, "work", body, timeout, record.resolve, now, chain=chain
                )
            )
        except ActrRuntimeError as error:
            record.resolve(error)
            return None
        if not chain and dice.random() < 0.15:
            caller.later(dice.randint(0, timeout), partial(self._cancel, record, call))
        return record, call

    def begin_question(self) -> bool:
        """Some node asks who is of a type; False if there is none that could."""
        kind, timeout = self.dice.choice(["Red", "Blue", "Green"]), self.dice.choice([0, 500, 5_000])
        askers = self._awake()
        if not askers:
            return False
        node = self.dice.choice(askers)
        self._note(f"question {len(self.questions)} of {node.name} for {kind} {timeout} ms")
        latest = self.world.now + max(timeout, self.world.broker.core.limits.lease) + ANSWER_WITHIN
        question = Question(len(self.questions), node, latest)
        self.questions.append(question)
        kinds = ActrType("acme", kind)
        node.do(
            lambda session, now: session.discover(
                kinds, "", all=True, timeout=timeout, waiter=question.resolve, now=now
            )
        )
        return True

    def _cancel(self, record: CallRecord, call: Any) -> None:
        if not record.outcomes:
            record.is_cancelled = True
            record.caller.session.cancel(call, self.world.now)

    def _handle(self, node: SimNode, execution: Execution) -> tuple[bytes, int] | None:
        number, takes, nests = map(int, execution.request.body.split())
        record, now = self.calls[number], self.world.now
        record.runs.append((now, node.name))
        peer = execution.peer
        if node.is_stopped or not node.is_up:
            self._break(f"call {number} ran in {node.name}, which is dead or stopped")
        if node is not record.callee:
            self._break(f"call {number} to {record.callee.name} ran in {node.name}")
        if node.session.serial != record.to or peer.serial != record.by:
            self._break(f"call {number} from {record.by:x} to {record.to:x} ran as one from another, or for another")
        if node.session.peers.is_dead(peer.serial) and not record.is_tell:  # a tell outlives who told it
            self._break(f"call {number} of a node that is down ran in {node.name}")
        if now > record.deadline + self._slack:
            self._break(f"call {number} ran {now - record.deadline} ms after its deadline")
        if not nests or record.is_tell or not isinstance(execution.request, Call):
            return b"done %d" % number, takes
        chain = (*execution.request.chain, node.id.serial)
        inner = self.call(node, chain, max(1, execution.deadline - now))
        if inner is None:
            return b"done %d" % number, takes
        inner_record, call = inner
        resolve = inner_record.resolve

        def forward(outcome: Any) -> None:
            resolve(outcome)
            node.finish(execution, b"done %d" % number)

        call.waiter = forward
        node.on_cancel(execution, partial(self._cancel, inner_record, call))
        return None

    def begin_stream(self) -> bool:
        """Some node sends a stream to another; False if there is none that could."""
        dice, senders = self.dice, self._awake()
        if not senders:
            return False
        sender, receiver = dice.choice(senders), dice.choice(self.living)
        number = len(self.streams)
        stream_id = f"s{number}"
        lane = Lane.LATENCY_FIRST if dice.random() < 0.15 else Lane.RELIABLE
        out = Outflow(sender, stream_id, FRAMES, aborts=dice.random() < 0.15)
        record = out.record = StreamRecord(number, sender, receiver, lane, out)
        self.streams.append(record)
        wish = dice.choice(list(Wish))
        self._note(f"stream {number} {sender.name} to {receiver.name} {wish.name} {lane.name}")
        receiver.later(dice.choice([0, 0, 0, 200, 2_000]), partial(self._register, record, receiver))
        serial = receiver.id.serial

        def begin() -> None:
            now = self.world.now
            try:
                peer = sender.session.peer(serial, stream_id)
                out.stream = sender.session.streams.open(peer, stream_id, lane, wish, 30_000, out, now)
            except ActrRuntimeError as error:
                out.closed(error)

        sender.later(dice.choice([0, 10, 100]), begin)
        return True

    def _register(self, record: StreamRecord, node: SimNode) -> None:
        dice = self.dice
        sink = record.into = Sink(node, dice.choice([0, 1, 5, 20, 60]))
        receiver = node.session.streams.register(f"s{record.number}", None, sink, self.world.now)
        assert receiver is not None
        if dice.random() < 0.15:
            status = dice.choice([Status.CANCELLED, Status.ABORTED])

            def cancel() -> None:
                if sink.outcome is ...:
                    error = ActrStreamError("cancelled on purpose", code=status)
                    node.session.streams.unregister(receiver, error, self.world.now)
                    if receiver.stream is None and sink.outcome is ...:
                        sink.closed(error)

            node.later(dice.randint(0, 4_000), cancel)

    # faults

    def begin_fault(self) -> bool:
        """Something goes wrong; False if nothing could, as when the node that was to be stopped is stopped already."""
        log = len(self.log)
        self.dice.choice(self.faults)()
        self.faults_begun += len(self.log) > log
        return len(self.log) > log

    @property
    def faults(self) -> list[Callable[[], None]]:
        return [
            self.restart_broker,
            self.restart_broker,
            self.stop_broker,
            self.reset_node,
            self.reset_node,
            self.kill_node,
            self.stop_node,
            self.stop_node,
            self.lose,
            self.cut,
            self.leave,
        ]

    def restart_broker(self) -> None:
        broker, dice = self.world.broker, self.dice
        if broker.is_up:
            self._note("broker killed")
            self._out_since = self.world.now if not broker.is_stopped else self._out_since
            broker.kill()
            self.world.after(dice.choice([20, 200, 1_000, 4_000, 13_000]), self._start_broker)

    def _start_broker(self) -> None:
        if not self.world.broker.is_up:
            self._note("broker started")
            self.outages.append((self._out_since, self.world.now))
            self.world.broker.start()

    def stop_broker(self) -> None:
        broker, dice = self.world.broker, self.dice
        if broker.is_up and not broker.is_stopped:
            self._note("broker stopped")
            self._out_since = self.world.now
            broker.stop()
            self.world.after(dice.choice([100, 700, 2_500, 5_000, 12_000]), self._resume_broker)

    def _resume_broker(self) -> None:
        if self.world.broker.is_up and self.world.broker.is_stopped:
            self._note("broker resumed")
            self.outages.append((self._out_since, self.world.now))
            self.world.broker.resume()

    def reset_node(self) -> None:
        node = self.dice.choice(self.living)
        self._note(f"{node.name} reset")
        node.reset()

    def kill_node(self) -> None:
        node = self.dice.choice(self.living)
        if node.is_up and len([one for one in self.living if one.is_up]) > 2:
            self._note(f"{node.name} killed")
            node.kill()
            self.living.remove(node)
            self.world.after(self.dice.randint(0, 2_000), self._add_another)

    def _add_another(self) -> None:
        self._note(f"{self.add_node().name} started")

    def stop_node(self) -> None:
        node = self.dice.choice(self.living)
        if node.is_up and not node.is_stopped:
            self._note(f"{node.name} stopped")
            self.hurt.add(node)
            node.stop()
            stopped = self.world.now
            self.world.after(
                self.dice.choice([30, 400, 1_500, 6_000, 9_500, 10_500, 15_000]), partial(self._resume, node, stopped)
            )

    def _resume(self, node: SimNode, stopped: int) -> None:
        if node.is_stopped:
            self._note(f"{node.name} resumed")
            self.stops[node].append((stopped, self.world.now))
            if node.is_up:
                node.resume()

    def lose(self) -> None:
        self.world.plane_loss = self.dice.choice([0.05, 0.3, 0.8])
        self._note(f"plane loses {self.world.plane_loss}")
        self.world.after(self.dice.randint(100, 4_000), self._lose_no_more)

    def _lose_no_more(self) -> None:
        self.world.plane_loss = 0.0

    def cut(self) -> None:
        one, other = self.dice.sample(self.living, 2)
        way = (one.name, other.name)
        self._note(f"plane cut {way}")
        self.world.cut_planes.add(way)
        self.world.after(self.dice.choice([500, 3_000, 20_000]), partial(self.world.cut_planes.discard, way))

    def leave(self) -> None:
        node = self.dice.choice(self.living)
        if node.is_up and not node.is_stopped and len([one for one in self.living if one.is_up]) > 2:
            self._note(f"{node.name} drains")
            self.living.remove(node)
            self.leaving.add(node)
            node.do(lambda session, now: session.drain(now))
            node.later(self.dice.choice([0, 500, 5_000]), partial(self._leave, node))

    def _leave(self, node: SimNode) -> None:
        self._note(f"{node.name} leaves")
        node.session.leave(self.world.now)
        node.later(1_000, partial(self._go, node))

    def _go(self, node: SimNode) -> None:
        node.kill()
        self.leaving.discard(node)

    def _heal(self) -> None:
        world = self.world
        world.plane_loss = 0.0
        world.cut_planes.clear()
        self._start_broker()
        self._resume_broker()
        for node in world.nodes.values():
            for at in [self.world.now] if node.is_stopped else []:
                self._resume(node, at - 15_000)

    # checking

    def _is_quiet(self) -> bool:
        answered = all(one.answers or not one.node.is_up for one in self.questions)
        calls = all(one.outcomes or one.is_cancelled or one.is_tell or not one.caller.is_up for one in self.calls)
        ends = all(
            (one.out.outcome is not ... or not one.sender.is_up)
            and (one.into is None or one.into.outcome is not ... or not one.receiver.is_up or not _is_open(one))
            for one in self.streams
        )
        idle = not self.leaving and not any(node._work for node in self.living)
        figures = self.world.broker.core.statistics()
        settled = not figures["expected"] and figures["nodes"] == len(self.living)
        done = calls and answered and ends and not self._undone
        awake = all(node.session.is_online and not node.is_stopped for node in self.living)
        return done and idle and settled and awake

    def _check(self) -> None:
        for what, count in self.counts().items():
            if count < LEAST.get(what, 0):
                self._break(f"only {count} {what}, which proves little")
        for broken in self.world.broken:
            self._break(broken)
        for call in self.calls:
            self._check_call(call)
        for stream in self.streams:
            self._check_stream(stream)
        for question in self.questions:
            self._check_question(question)
        red = {node.id.serial for node in self.living if node.id.type.name == "Red"}
        for node in self.living:
            self._check_at_rest(node)
            seen = set(self.watched[node].instances)
            if seen != red:
                self._break(f"{node.name} sees {len(seen)} Red nodes, of which {len(seen & red)} live, of {len(red)}")
        known = {node.id.serial for node in self.world.broker.core.nodes()}
        if known != {node.id.serial for node in self.living}:
            self._break("the broker knows other nodes than those that live")
        self._check_broker_at_rest()

    def _check_broker_at_rest(self) -> None:
        core = self.world.broker.core
        figures = core.statistics()
        for what in ("unreachable", "expected", "questions", "contracts.wanted"):
            if figures[what]:
                self._break(f"the broker: {figures[what]} {what} at rest")
        for node in core.nodes():
            unconfirmed = node.sent_bytes - node.received_bytes
            if unconfirmed > UNCONFIRMED:
                self._break(f"the broker: {unconfirmed} bytes still count as waiting for {node.register.name} at rest")

    def _check_call(self, call: CallRecord) -> None:
        name = f"call {call.number} of {call.caller.name} to {call.callee.name}"
        if len(call.runs) > 1:
            self._break(f"{name} ran {len(call.runs)} times: {call.runs}")
        if call.is_tell:
            return
        if call.is_cancelled:
            if call.outcomes:
                self._break(f"{name} was cancelled and ended all the same: {call.outcomes}")
            return
        if not call.outcomes:
            if call.caller.is_up:
                self._break(f"{name} never ended")
            return
        if len(call.outcomes) > 1:
            self._break(f"{name} ended {len(call.outcomes)} times: {call.outcomes}")
        at, outcome = call.outcomes[0]
        due = self._due(call.caller, call.deadline)
        if at > due + SLACK:
            self._break(f"{name} ended {at - due} ms after its deadline: {outcome!r}")
        if isinstance(outcome, Reply):
            if outcome.body != b"done %d" % call.number:
                self._break(f"{name} got the reply of another: {outcome.body!r}")
            if len(call.runs) != 1:
                self._break(f"{name} was answered, and did not run")
        elif self._had_time_enough(call) and not _is_excused(outcome):
            self._break(f"{name} was promised to be answered: {outcome!r}")
        elif call.runs and not outcome.may_have_run:
            self._break(f"{name} ran, and its caller was told that it had not: {outcome!r}")

    def _had_time_enough(self, call: CallRecord) -> bool:
        """Was nothing in its way but the broker, and that not for long? Such a call is answered."""
        away = sum(
            min(end, call.deadline) - max(start, call.begun)
            for start, end in self.outages
            if end > call.begun and start < call.deadline
        )
        unscathed = all(node in self.living and node not in self.hurt for node in (call.caller, call.callee))
        in_time = call.begun + away + call.takes + 8_000 < call.deadline
        roomy = self.limits[call.callee] is None
        return unscathed and in_time and roomy and call.is_promised and not call.nests

    def _check_question(self, question: Question) -> None:
        name = f"question {question.number} of {question.node.name}"
        if question.node.is_up and len(question.answers) != 1:
            self._break(f"{name} had {len(question.answers)} answers")
        for at, answer in question.answers:
            due = self._due(question.node, question.deadline)
            if at > due + self._slack:
                self._break(f"{name} was answered {at - due} ms late: {_in_words(answer)}")

    def _due(self, node: SimNode, deadline: int) -> int:
        """When a stopped node can keep that deadline."""
        for stopped, resumed in self.stops[node]:
            if stopped <= deadline + self._slack and resumed > deadline:
                deadline = resumed
        return deadline

    def _check_stream(self, one: StreamRecord) -> None:
        out, into, name = one.out, one.into, f"stream {one.number} {one.sender.name} to {one.receiver.name}"
        got = [frame.sequence() for frame in into.frames] if into else []
        if one.lane is Lane.RELIABLE and got != list(range(1, len(got) + 1)):
            self._break(f"{name}: frames came as {got}")
        if got != sorted(set(got)) or len(got) > out.sent:
            self._break(f"{name}: frames came as {got}, {out.sent} were sent")
        if out.outcome is ... and one.sender.is_up:
            self._break(f"{name} never ended at its sender")
        if out.closings > 1:
            self._break(f"{name} ended {out.closings} times at its sender")
        channel = out.stream.channel if out.stream else None
        dropped = channel.dropped if channel else 0
        if out.outcome is None and out.done_by_then + dropped != out.sent:
            self._break(f"{name} was completed for its sender when {out.done_by_then} of {out.sent} frames were done")
        granted = self.world.granted.get(channel.channel, Granted()) if channel else Granted()
        if max(granted.completed, channel.completed if channel else 0) > len(got):
            self._break(f"{name}: {granted.completed} frames were acknowledged, {len(got)} were done")
        if into is not None and into.of_the_dead:
            self._break(f"{name}: {into.of_the_dead} frames of a node that is down were delivered")
        if out.outcome is None and len(got) + dropped != out.sent:
            self._break(f"{name} was completed, but {len(got)} of {out.sent} frames were done, {dropped} dropped")
        if into is None:
            return
        if into.outcome is None and len(got) + dropped != FRAMES:
            self._break(f"{name} was completed at its receiver with {len(got)} frames")
        if into.outcome is ... and one.receiver.is_up and out.stream and _is_open(one):
            self._break(f"{name} never ended at its receiver")
        if channel:
            for reason, count in channel.drops.items():
                if any(sign in reason for sign in SIGNS_OF_A_BUG):
                    self._break(f"{name}: {count} {reason} at its sender")

    def _check_at_rest(self, node: SimNode) -> None:
        session = node.session
        figures = session.statistics()
        for what in ("calls.open", "calls.running_or_queued", "replies.kept", "streams.sending", "streams.receiving"):
            if figures[what]:
                self._break(f"{node.name}: {figures[what]} {what} at rest")
        if session.streams.promised:
            self._break(f"{node.name}: {session.streams.promised} bytes promised at rest")
        if not session.is_online:
            self._break(f"{node.name} is not online")
        for reason, count in figures.items():
            if any(sign in reason for sign in SIGNS_OF_A_BUG):
                self._break(f"{node.name}: {count} {reason}")
        for peer in session.peers:
            if peer.outbox.parcels:
                self._break(f"{node.name}: something waits to be said to {peer.name}")
        if session.take_turn() or list(session.outgoing(self.world.now)):
            self._break(f"{node.name}: something waits to be done or said at rest")
        if session.streams.outgoing(lambda via: False):
            self._break(f"{node.name}: frames wait to be sent at rest")
        fenced = sum(news is News.FENCED for news, _ in node.news)
        long = [resumed - stopped for stopped, resumed in self.stops[node]]
        if fenced and not any(gap > 9_000 for gap in long) and not self._was_refused(node):
            self._break(f"{node.name} was fenced, though it was never away for long: {node.news}")

    def _was_refused(self, node: SimNode) -> bool:
        """Was it declared down, rightly or not? That is the broker's, and shows in the log."""
        return any(news is News.FENCED and "declared down" in why for news, why in node.news)

    # private

    def _awake(self) -> list[SimNode]:
        return [node for node in self.living if node.is_up and not node.is_stopped]

    def _at(self, deed: Callable[[], bool]) -> None:
        self._undone += 1
        self.world.after(self.dice.randint(0, WORK - RETRY), lambda: self._do(deed))

    def _do(self, deed: Callable[[], bool]) -> None:
        """Do it now or, where that can't be, as soon as it can."""
        if deed():
            self._undone -= 1
        else:
            self.world.after(RETRY, lambda: self._do(deed))

    def _note(self, what: str) -> None:
        self.log.append(f"{self.world.now - self._start:6} {what}")

    def _break(self, what: str) -> None:
        self.broken.append(what)
        self._note(f"BROKEN: {what}")


def _is_open(one: StreamRecord) -> bool:
    """Did a stream ever reach that receiver? A registration for which nothing came waits on."""
    receiver = one.receiver.session.streams.receiver(f"s{one.number}")
    return receiver is not None and receiver.stream is not None


def _is_excused(outcome: Any) -> bool:
    """Too much at once, or a broker that was connected and silent: those are told before anything has run."""
    kept_back = isinstance(outcome, ActrTransportError) and "silent" in outcome.message
    return (kept_back or isinstance(outcome, ActrOverloaded)) and not outcome.may_have_run


def _kind_of(outcome: Any) -> str:
    """How it ended, in two or three words."""
    if not isinstance(outcome, ActrRuntimeError):
        return "OK" if isinstance(outcome, Reply) else "completed"
    kind = type(outcome).__name__
    return f"{kind}, may have run" if outcome.may_have_run else f"{kind}, did not run"


def _in_words(outcome: Any) -> str:
    if outcome is ... or outcome is None:
        return str(outcome)
    if isinstance(outcome, tuple):
        return ", ".join(str(instance.id) for instance in outcome)
    return repr(outcome.body) if isinstance(outcome, Reply) else f"{type(outcome).__name__} {outcome}"
