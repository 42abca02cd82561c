"""The benchmarks still measure what they say. How fast anything is, is not asked here."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.bench import PAGE
from benchmarks.measure import TINY, Record, Results
from benchmarks.processes import Deployment, Failed
from benchmarks.profiling import busiest
from benchmarks.report import BEGIN, END, Run, publish, summary, write
from benchmarks.systems import SYSTEMS, System
from benchmarks.targets import CALLS, TARGETS, Verdict, judge
from benchmarks.work import Idle, Rpc, Stream, Tally, Wrong


@pytest.mark.parametrize("name", ["actrzmq", "actrzmq relay", "bare pyzmq", "bare asyncio"])
def test_calls_and_streams_of_a_system_are_measured(name: str) -> None:
    with Deployment(SYSTEMS[name]) as system:
        calls = system.run(Rpc(100, 4, TINY.seconds, warm_up=0.01))
        frames = system.run(Stream(100, TINY.stream_seconds))
        raw = system.run(Stream(100_000, TINY.stream_seconds, raw=True))
    assert 0 < calls["p50"] <= calls["p99"] <= calls["p99.9"]
    assert calls["rate"] > 0
    assert calls["all"] > 0
    assert {"broker CPU", "server CPU", "client CPU"} < calls.keys()
    assert frames["MB/s"] == pytest.approx(frames["rate"] / 10_000)
    assert raw["rate"] > 0


def test_several_clients_and_many_streams_are_measured_together() -> None:
    with Deployment(SYSTEMS["actrzmq"], clients=2) as system:
        both = system.run(Rpc(100, 1, TINY.seconds))
        streams = system.run(Stream(100, TINY.stream_seconds, streams=3, slow=True))
        idle = system.run(Idle(5))
    assert both["rate"] > 0
    assert "p50" not in both  # those of two clients have no common median
    assert streams["rate"] > 0
    assert idle["streams"] == 5


def test_a_process_that_can_not_start_says_why() -> None:
    with pytest.raises(Failed, match="No module named"):
        Deployment(System("nothing", "nothing"))


def test_frames_out_of_order_are_no_figures() -> None:
    tally = Tally(Stream(3, 1.0, raw=True))
    tally.take(b"abc")
    with pytest.raises(Wrong, match="frame 2 has 2 bytes, not 3"):
        tally.take(b"ab")


def rates(**systems: tuple[float, ...]) -> Results:
    """Results in which these were the calls a second."""
    results = Results()
    for system, values in systems.items():
        for value in values:
            results.add(Record(CALLS, system, {"rate": value}))
    return results


def verdict(results: Results, what: str) -> tuple[Verdict, float | None]:
    (one,) = [judged for judged in judge(results) if judged.target.what == what]
    return one.verdict, one.value


RATIO = "RPC, 64 in flight, 100 B: calls/s : nats-py"


def test_a_target_is_judged_by_the_ratio_of_medians() -> None:
    ours, theirs = (30.0, 20.0, 1_000.0), (10.0, 16.0, 1.0)
    assert verdict(rates(actrzmq=ours, **{"nats-py": theirs}), RATIO) == (Verdict.MET, 3.0)
    assert verdict(rates(actrzmq=theirs, **{"nats-py": ours}), RATIO) == (Verdict.MISSED, 10 / 30)


def test_what_was_not_measured_is_not_shown() -> None:
    assert {one.verdict for one in judge(Results())} == {Verdict.NOT_SHOWN}
    assert verdict(rates(actrzmq=(1e9,)), RATIO) == (Verdict.NOT_SHOWN, None)
    assert verdict(rates(actrzmq=(30.0, -1.0, 30.0), **{"nats-py": (1.0,)}), RATIO)[0] is Verdict.NOT_SHOWN
    assert {target.number for target in TARGETS} == set(range(1, 8))


def test_the_report_has_all_that_was_measured(tmp_path: Path) -> None:
    results = rates(actrzmq=(30.0, 20.0, 40.0), **{"nats-py": (10.0,)})
    run = Run("tiny", "today", 0.1, 0.5, {"cores": "2"}, {"zerorpc": "the Python package zerorpc"}, results.series)
    judged = write(run, tmp_path)
    text = (tmp_path / "summary.md").read_text()
    assert (
        "| 1 | RPC, 64 in flight, 100 B: calls/s : nats-py | ≥ 2 × | 3.00 × | 30 (20–40) | 10 (10–10) | met |" in text
    )
    assert "| actrzmq | 30 (20–40) |" in text
    assert "| cores | 2 |" in text
    assert "not shown: zerorpc (the Python package zerorpc)" in text
    assert "\n".join(summary(run, judged, [], "").splitlines()[:2]) in text
    assert (tmp_path / "results.json").stat().st_size > 0


def test_publishing_replaces_the_figures_and_nothing_else(tmp_path: Path) -> None:
    page, folder = tmp_path / "docs" / "performance.md", tmp_path / "results"
    page.parent.mkdir()
    folder.mkdir()
    page.write_text(f"before\n\n{BEGIN}\nold\n{END}\n\nafter\n")
    run = Run("tiny", "today", 0.1, 0.5, {}, {}, {})
    publish(run, judge(Results()), folder, page)
    publish(run, judge(Results()), folder, page)
    text = page.read_text()
    assert text.startswith("before\n\n" + BEGIN)
    assert text.endswith(END + "\n\nafter\n")
    assert text.count("today") == 1
    assert "old" not in text


def test_the_page_has_a_place_for_the_figures() -> None:
    before, _, rest = PAGE.read_text().partition(BEGIN)
    assert before
    assert END in rest


def test_a_profile_is_of_the_main_thread_and_without_waiting() -> None:
    stacks = "\n".join(
        [
            "thread (1): MainThread;main (a.py:1);work (a.py:7) 30",
            "thread (1): MainThread;main (a.py:1);work (a.py:8) 50",
            "thread (1): MainThread;main (a.py:1);send (b.py:1) 20",
            "thread (1): MainThread;EpollSelector.select (selectors.py:468) 900",
            "thread (2): other;wait (c.py:1) 900",
        ]
    )
    assert list(busiest(stacks)) == [
        "  900 samples in poll, 100 elsewhere; self time of the latter:",
        "   80.0%  work (a.py)",
        "   20.0%  send (b.py)",
        "",
        "   50.0%  work (a.py:8)",
        "   30.0%  work (a.py:7)",
        "   20.0%  send (b.py:1)",
        "",
    ]
