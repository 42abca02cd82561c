"""Compares the ledgers of a run: what was promised and not kept, with all counts, whatever they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import pairwise

from msgspec import Struct, field

from tests.chaos.ledger import Ledger, Line

LATE_S = 1.0
"""How long after its deadline a call may be told, on a machine that others share."""

COUNTED = (
    *("calls", "frames", "streams", "lost", "duplicates", "reordered", "missing", "unexpected", "expired"),
    *("never_ended", "told_twice", "told_late", "wrong", "disagreed", "excused", "unknown", "rejected"),
)
"""Shown whatever they are. `excused` are calls whose caller was killed before it was told."""

ACKNOWLEDGED = ("ok", "error")


class Call(Struct):
    """One call: by whom, and what became of it."""

    key: str
    caller: str = ""
    invoked: float = 0
    timeout: int = 0
    told: list[Line] = field(default_factory=list)
    ran: list[tuple[str, float]] = field(default_factory=list)
    left: list[tuple[str, float]] = field(default_factory=list)

    @property
    def outcome(self) -> str:
        """What its caller was told first; nothing if it never was."""
        return self.told[0].value.partition(":")[0] if self.told else ""


class Stream(Struct):
    """One stream: both ends, and what each knows."""

    key: str
    sender: str = ""
    receiver: str = ""
    pushed: int = 0
    got: list[tuple[int, float]] = field(default_factory=list)
    sent: list[Line] = field(default_factory=list)
    closed: list[Line] = field(default_factory=list)


class Verdict(Struct):
    """What a run comes to. It is good if `broken` is empty."""

    counts: dict[str, int]
    outcomes: dict[str, int]
    broken: list[str]
    calls: dict[str, Call]
    streams: dict[str, Stream]
    killed: dict[str, float]


def gather(ledger: Ledger) -> tuple[dict[str, Call], dict[str, Stream], dict[str, float]]:
    """The calls and streams of a run, and the processes that were killed, with the time."""
    calls: dict[str, Call] = {}
    streams: dict[str, Stream] = {}
    killed: dict[str, float] = {}
    for process, lines in ledger.items():
        for line in lines:
            match line.what:
                case "invoke":
                    call = calls.setdefault(line.key, Call(line.key))
                    call.caller, call.invoked, call.timeout = process, line.at, line.number
                case "told":
                    calls.setdefault(line.key, Call(line.key)).told.append(line)
                case "ran":
                    calls.setdefault(line.key, Call(line.key)).ran.append((process, line.at))
                case "done" | "cancelled":
                    calls.setdefault(line.key, Call(line.key)).left.append((process, line.at))
                case "open":
                    streams.setdefault(line.key, Stream(line.key)).sender = process
                case "push":
                    stream = streams.setdefault(line.key, Stream(line.key))
                    stream.pushed = max(stream.pushed, line.number)
                case "ended" | "reset":
                    streams.setdefault(line.key, Stream(line.key)).sent.append(line)
                case "expect":
                    streams.setdefault(line.key, Stream(line.key)).receiver = process
                case "got":
                    streams.setdefault(line.key, Stream(line.key)).got.append((line.number, line.at))
                case "closed":
                    streams.setdefault(line.key, Stream(line.key)).closed.append(line)
                case "killed":
                    killed[line.key] = line.at
    return calls, streams, killed


def judge(ledger: Ledger) -> Verdict:
    """Compare them all."""
    calls, streams, killed = gather(ledger)
    counts: Counter[str] = Counter(dict.fromkeys(COUNTED, 0))
    broken: list[str] = []
    for call in calls.values():
        broken += _judge_call(call, killed, counts)
    for stream in streams.values():
        broken += _judge_stream(stream, killed, counts)
    return Verdict(dict(counts), dict(outcomes_of(calls.values())), broken, calls, streams, killed)


def outcomes_of(calls: Iterable[Call]) -> Counter[str]:
    """How many calls ended how."""
    return Counter(call.told[0].value if call.told else "not told" for call in calls)


def _judge_call(call: Call, killed: dict[str, float], counts: Counter[str]) -> list[str]:
    counts["calls"] += 1
    broken: dict[str, bool] = {}
    broken["lost"] = call.outcome in ACKNOWLEDGED and not call.ran
    broken["duplicates"] = len(call.ran) > 1
    broken["unexpected"] = bool(call.ran) and (call.outcome == "rejected" or not call.caller)
    deadline = call.invoked + call.timeout / 1000
    broken["expired"] = bool(call.caller) and any(at > deadline + LATE_S for _, at in call.ran)
    broken["never_ended"] = not call.told and bool(call.caller) and call.caller not in killed
    broken["told_twice"] = len(call.told) > 1
    broken["told_late"] = bool(call.told) and bool(call.caller) and call.told[0].at > deadline + LATE_S
    broken["wrong"] = call.outcome == "wrong" or (bool(call.told) and not call.caller)
    counts["excused"] += not call.told and call.caller in killed
    if call.outcome in ("unknown", "rejected"):
        counts[call.outcome] += 1
    counts.update(name for name, is_broken in broken.items() if is_broken)
    said = [line.value for line in call.told]
    return [f"{name}: call {call.key} ran={call.ran} told={said}" for name, is_broken in broken.items() if is_broken]


def _judge_stream(stream: Stream, killed: dict[str, float], counts: Counter[str]) -> list[str]:
    counts["streams"] += 1
    counts["frames"] += len(stream.got)
    found: Counter[str] = Counter()
    numbers = [number for number, _ in stream.got]
    found["duplicates"] = len(numbers) - len(set(numbers))
    found["reordered"] = sum(later < earlier for earlier, later in pairwise(numbers))
    found["missing"] = max(numbers, default=0) - len(set(numbers))
    found["unexpected"] = sum(number > stream.pushed for number in numbers)
    ended = [line for line in stream.sent if line.what == "ended"]
    for line in ended:
        found["lost"] = max(found["lost"], line.number - len(set(numbers)))
    complete = [line for line in stream.closed if line.value == "ok"]
    found["disagreed"] = sum(line.number != len(numbers) or line.number != stream.pushed for line in complete)
    is_receiver_alive = bool(stream.receiver) and stream.receiver not in killed
    found["disagreed"] += bool(ended) and is_receiver_alive and bool(stream.closed) and not complete
    found["never_ended"] = bool(stream.sender) and not stream.sent and stream.sender not in killed
    found["never_ended"] += is_receiver_alive and not stream.closed
    found["told_twice"] = max(0, len(stream.sent) - 1) + max(0, len(stream.closed) - 1)
    counts.update({name: count for name, count in found.items() if count > 0})
    ends = [f"{line.what} {line.value} {line.number}" for line in (*stream.sent, *stream.closed)]
    return [
        f"{name}: stream {stream.key} {stream.sender}->{stream.receiver} "
        f"by {count} pushed={stream.pushed} got={len(numbers)} {ends}"
        for name, count in found.items()
        if count > 0
    ]
