"""Rounds of measurements, the systems in turn, and what they come to: medians, spread, ratios."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import NamedTuple

import msgspec

from benchmarks.processes import Deployment, Failed
from benchmarks.systems import SYSTEMS, System
from benchmarks.work import Figures, Task

Series = dict[str, dict[str, dict[str, list[float]]]]
"""Case → system → figure → its values, one for each run."""


class Form(msgspec.Struct, frozen=True):
    """How thorough a run is."""

    name: str
    runs: int
    latency_runs: int
    seconds: float
    """Of one measurement."""
    stream_seconds: float


FULL = Form("full", runs=5, latency_runs=9, seconds=0.6, stream_seconds=0.5)
QUICK = Form("quick", runs=2, latency_runs=3, seconds=0.35, stream_seconds=0.3)
TINY = Form("tiny", runs=1, latency_runs=1, seconds=0.05, stream_seconds=0.05)


class Case(NamedTuple):
    """A piece of work, and who does it."""

    name: str
    task: Task
    systems: tuple[str, ...]


class Record(NamedTuple):
    """What one system came to in one case, in one run."""

    case: str
    system: str
    figures: Figures


class Results:
    """All that has been measured."""

    def __init__(self, series: Series | None = None) -> None:
        self.series: Series = series or {}

    def add(self, record: Record) -> None:
        """One more run."""
        figures = self.series.setdefault(record.case, {}).setdefault(record.system, {})
        for name, value in record.figures.items():
            figures.setdefault(name, []).append(value)

    def values(self, case: str, system: str, figure: str) -> list[float]:
        """Those of all runs; none where it was not measured."""
        return self.series.get(case, {}).get(system, {}).get(figure, [])

    def median(self, case: str, system: str, figure: str) -> float | None:
        """The one in the middle."""
        values = self.values(case, system, figure)
        return statistics.median(values) if values else None

    def spread(self, case: str, system: str, figure: str) -> tuple[float, float]:
        """The least and the most."""
        values = self.values(case, system, figure)
        return min(values), max(values)


def present(names: tuple[str, ...]) -> list[System]:
    """Those of the systems that are installed."""
    return [SYSTEMS[name] for name in names if not SYSTEMS[name].missing()]


def in_turn(cases: list[Case], round: int, clients: int = 1) -> Iterator[Record]:
    """Each case with all of its systems, one after the other (A B, A B, …), all of them started before.

    Idle ones cost next to nothing, and so what is compared lies a second apart. Who begins changes with the `round`.
    """
    names = tuple(dict.fromkeys(name for case in cases for name in case.systems))
    with ExitStack() as stack:
        running: dict[str, Deployment] = {}
        for system in present(names):
            try:
                running[system.name] = stack.enter_context(Deployment(system, clients))
            except Failed as error:
                complain("start", system.name, error)
        for case in cases:
            shift = round % len(case.systems)
            for name in (*case.systems[shift:], *case.systems[:shift]):
                if name in running:
                    yield from _measure(case, running, name)


def _measure(case: Case, running: dict[str, Deployment], name: str) -> Iterator[Record]:
    try:
        yield Record(case.name, name, running[name].run(case.task))
    except Failed as error:
        complain(case.name, name, error)
        running.pop(name).__exit__(None, None, None)


def complain(case: str, system: str, error: Failed) -> None:
    """What could not be measured is said at once, and is missing from the tables."""
    print(f"benchmarks: {case}: {system}: {error}", file=sys.stderr)
