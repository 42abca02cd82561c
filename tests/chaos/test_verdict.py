"""The checker checked: a ledger that is whole passes, and with one line wrong it does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos.ledger import Ledger, Line, Recorder, read
from tests.chaos.survivors import survivors
from tests.chaos.verdict import judge


def whole() -> Ledger:
    """A call that was answered, one that was refused, and a stream of three frames that was completed."""
    return {
        "client": [
            Line(1.0, "invoke", "c1", "", 1_000),
            Line(1.2, "told", "c1", "ok"),
            Line(1.3, "invoke", "c2", "", 1_000),
            Line(1.4, "told", "c2", "rejected:ActrNotFound"),
            Line(2.0, "open", "s1"),
            *(Line(2.0 + number / 10, "push", "s1", "", number) for number in (1, 2, 3)),
            Line(3.0, "ended", "s1", "ok", 3),
        ],
        "server": [
            Line(1.1, "ran", "c1"),
            Line(1.1, "done", "c1"),
            Line(1.9, "expect", "s1"),
            *(Line(2.05 + number / 10, "got", "s1", "", number) for number in (1, 2, 3)),
            Line(2.9, "closed", "s1", "ok", 3),
        ],
    }


def drop(process: str, what: str, number: int = 0) -> Callable[[Ledger], object]:
    """Take a line away."""
    return lambda ledger: ledger[process].remove(find(ledger, process, what, number))


def double(process: str, what: str) -> Callable[[Ledger], object]:
    """Write a line twice."""
    return lambda ledger: ledger[process].append(find(ledger, process, what))


def add(process: str, line: Line) -> Callable[[Ledger], object]:
    """Write what did not happen."""
    return lambda ledger: ledger[process].append(line)


def swap(ledger: Ledger) -> None:
    """Two frames in the wrong order."""
    lines = ledger["server"]
    first = lines.index(find(ledger, "server", "got", 1))
    lines[first], lines[first + 1] = lines[first + 1], lines[first]


def find(ledger: Ledger, process: str, what: str, number: int = 0) -> Line:
    return next(line for line in ledger[process] if line.what == what and number in (0, line.number))


WRONG: dict[str, tuple[Callable[[Ledger], object], str]] = {
    "a call that was answered and did not run": (drop("server", "ran"), "lost"),
    "a call that ran twice": (double("server", "ran"), "duplicates"),
    "a call that was rejected and ran": (add("server", Line(1.35, "ran", "c2")), "unexpected"),
    "a call that ran and that nobody made": (add("server", Line(1.35, "ran", "c9")), "unexpected"),
    "a call that ran after its deadline": (add("server", Line(3.5, "ran", "c2")), "expired"),
    "a call that was never told": (drop("client", "told"), "never_ended"),
    "a call that was told twice": (double("client", "told"), "told_twice"),
    "a call that got the reply of another": (add("client", Line(4, "told", "c3", "wrong")), "wrong"),
    "the last frame of a stream that was completed": (drop("server", "got", 3), "lost"),
    "a frame in the middle": (drop("server", "got", 2), "missing"),
    "a frame that came twice": (double("server", "got"), "duplicates"),
    "two frames that changed places": (swap, "reordered"),
    "a frame that was never sent": (add("server", Line(2.9, "got", "s1", "", 4)), "unexpected"),
    "a sender that was never told": (drop("client", "ended"), "never_ended"),
    "a receiver that was never told": (drop("server", "closed"), "never_ended"),
    "a receiver that counts otherwise than its sender": (drop("client", "push", 3), "disagreed"),
}


def test_a_ledger_that_is_whole_passes_and_all_counts_are_there() -> None:
    verdict = judge(whole())
    assert verdict.broken == []
    assert verdict.counts == {
        **dict.fromkeys(verdict.counts, 0),
        "calls": 2,
        "frames": 3,
        "streams": 1,
        "rejected": 1,
    }
    assert verdict.outcomes == {"ok": 1, "rejected:ActrNotFound": 1}


@pytest.mark.parametrize("what", WRONG)
def test_a_single_line_that_is_wrong_is_found(what: str) -> None:
    spoil, count = WRONG[what]
    ledger = whole()
    spoil(ledger)
    verdict = judge(ledger)
    assert any(line.startswith(f"{count}: ") for line in verdict.broken), verdict.broken
    assert verdict.counts[count] > 0


def test_who_was_killed_need_not_have_been_told() -> None:
    ledger = whole()
    drop("client", "told")(ledger)
    drop("client", "ended")(ledger)
    ledger["runner"] = [Line(1.15, "killed", "client")]
    verdict = judge(ledger)
    assert verdict.broken == []
    assert verdict.counts["excused"] == 1


def test_what_was_acknowledged_is_not_excused_by_the_death_of_who_did_it() -> None:
    ledger = whole()
    drop("server", "got", 3)(ledger)
    ledger["runner"] = [Line(5, "killed", "server")]
    assert any(line.startswith("lost: stream s1") for line in judge(ledger).broken)


def test_a_survivor_that_is_told_a_wrong_outcome_or_nothing_is_found() -> None:
    ledger: Ledger = {
        "client": [Line(1, "invoke", "c1", "", 9_000), Line(2.6, "told", "c1", "rejected:ActrTransportError")],
        "other": [Line(1, "invoke", "c2", "", 9_000)],
        "server": [Line(0, "up", "id"), Line(1.1, "ran", "c1"), Line(1.1, "ran", "c2")],
        "runner": [Line(2, "killed", "server")],
    }
    told = list(survivors(ledger, judge(ledger), "server", 2))
    assert [(one.key, one.is_right) for one in told] == [("c1", False), ("c2", False)]
    assert told[0].after == pytest.approx(0.6)


def test_a_line_that_was_cut_off_was_never_claimed(tmp_path: Path) -> None:
    book = Recorder(tmp_path / "node.ledger")
    book.write("ran", "c1")
    book.close()
    with (tmp_path / "node.ledger").open("ab") as file:
        file.write(b'[1.5,"to')
    assert [line.what for line in read(tmp_path)["node"]] == ["ran"]
