"""Writes the tables of docs/reliability.md from the results: `python -m tests.chaos.render`."""

from __future__ import annotations

import re
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import msgspec

from tests.chaos.cells import Fault, cells
from tests.chaos.results import LOAD, REPOSITORY, RESULTS, Result

PAGE = REPOSITORY / "docs" / "reliability.md"
BETWEEN = "<!-- figures -->\n{}<!-- end of figures -->"
REPEATED = ("broker-kill", "server-kill", "client-kill", "rolling-restart", "open-races", "exit-at-once")
CELLS = "cells-"
FOUND: dict[str, tuple[str, str, str]] = {
    "simulate": ("random runs on the simulated wire", "seeds", "broken"),
    "fuzz decoders": ("hostile inputs to decoders", "inputs", "found"),
    "fuzz broker": ("hostile messages to a live broker", "messages", "found"),
    "sabotage": ("safeguards taken out", "tried", "noticed"),
}
"""Of each kind that is no scenario: what it does, how it counts that, and how what came of it."""
NEVER = (
    *("lost", "duplicates", "reordered", "missing", "unexpected", "expired"),
    *("never_ended", "told_twice", "told_late", "wrong", "disagreed"),
)


def read(path: Path = RESULTS) -> list[Result]:
    """All runs of scenarios that were kept; the simulation and the fuzzer keep theirs in the same file."""
    decoder = msgspec.json.Decoder(Result)
    lines = path.read_text().splitlines() if path.exists() else []
    return [decoder.decode(line) for line in lines if "scenario" in msgspec.json.decode(line)]


class Other(msgspec.Struct):
    """A line of another kind: of the simulation, the fuzzer, the sabotages."""

    kind: str
    runtime: str
    seed: int
    counts: dict[str, Any]


def read_others(path: Path = RESULTS) -> list[Other]:
    """What others keep in the same file."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [msgspec.json.decode(line, type=Other) for line in lines if "kind" in msgspec.json.decode(line)]


def render_others(others: list[Other]) -> str:
    """A row for each kind: the runs with the runtime that it was run with last."""
    text = "| what | runtime | runs | tried | came of it | 3/n |\n|---|---|---|---|---|---|\n"
    for kind, (title, tried, found) in FOUND.items():
        kept = [other for other in others if other.kind == kind]
        kept = [other for other in kept if other.runtime == kept[-1].runtime]
        if not kept:
            continue
        count, came = (sum(other.counts.get(name, 0) for other in kept) for name in (tried, found))
        end = f"{3 / count:.1e}" if count and not came and found != "noticed" else "–"
        text += f"| {title} | `{kept[0].runtime}` | {len(kept)} | {count} | {came} {found} | {end} |\n"
    return text


def bound(faults: int) -> str:
    """What no violation in so many faults says of the probability of one, with 95 % confidence: the rule of three."""
    return f"{3 / faults:.3f}" if faults >= 3 else "–"


def render_cells(runs: list[Result]) -> str:
    """The matrix: how often each fault was borne by whom in which state."""
    borne: dict[str, Counter[str]] = defaultdict(Counter)
    for run in runs:
        borne[run.scenario.removeprefix(CELLS)].update(run.cells)
    columns = [str(cell) for cell in cells(Fault(lambda _: None))]
    text = "| fault | " + " | ".join(columns) + " |\n" + "|---" * (1 + len(columns)) + "|\n"
    for fault, counts in borne.items():
        text += f"| {fault} | " + " | ".join(str(counts.get(column, "")) for column in columns) + " |\n"
    return text


def render(results: list[Result]) -> str:
    """The tables; of each scenario, the runs of the runtime that it was run with last: other code is another thing."""
    if not results:
        return "No run has been kept yet.\n"
    last = {result.scenario: result.runtime for result in results}
    kept: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        if result.runtime == last[result.scenario]:
            kept[result.scenario].append(result)
    text = "| scenario | runtime | runs | faults | calls | frames | unknown | rejected | violations | 3/n | load |\n"
    text += "|---|---|---|---|---|---|---|---|---|---|---|\n"
    for scenario, runs in kept.items():
        text += _row(scenario, runs)
    matrix = [run for runs in kept.values() for run in runs if run.scenario.startswith(CELLS)]
    if matrix:
        text += "\nThe matrix, a row for each fault: how often it was borne, by whom, and in which state.\n\n"
        text += render_cells(matrix)
    for title, figures in (("How long", _distributions(kept)), ("Measured", _measures(kept))):
        text += f"\n{title}:\n\n{figures}"
    every = [run for runs in kept.values() for run in runs]
    broken = [f"* {run.scenario}, seed {run.seed}: {line}\n" for run in every for line in run.broken]
    text += "\nWhat did not hold:\n\n" + ("".join(broken[:20]) or "* Nothing.\n")
    return text


def _row(scenario: str, runs: list[Result]) -> str:
    counts: Counter[str] = Counter()
    for run in runs:
        counts.update(run.counts)
    faults = sum(run.faults for run in runs)
    violations = sum(counts[name] for name in NEVER)
    cells = [
        scenario,
        f"`{runs[0].runtime}`",
        len(runs),
        faults,
        *(counts[name] for name in ("calls", "frames", "unknown", "rejected")),
    ]
    end = bound(faults) if scenario in REPEATED and not violations else "–"
    loads = [run.measures[LOAD] for run in runs if LOAD in run.measures]
    load = f"{min(loads):.0f}–{max(loads):.0f}" if len(loads) > 1 else "".join(f"{load:.0f}" for load in loads) or "–"
    return "| " + " | ".join(map(str, [*cells, violations, end, load])) + " |\n"


def _distributions(kept: dict[str, list[Result]]) -> str:
    text = "| scenario | what | n | p50 | p90 | p99 | max |\n|---|---|---|---|---|---|---|\n"
    for scenario, runs in kept.items():
        for run in runs:
            for what, found in run.distributions.items():
                if found["n"]:
                    cells = [f"{found[name]:g}" for name in ("n", "p50", "p90", "p99", "max")]
                    text += "| " + " | ".join(map(str, [scenario, what, *cells])) + " |\n"
    return text


def _measures(kept: dict[str, list[Result]]) -> str:
    text = "| scenario | what | values |\n|---|---|---|\n"
    for scenario, runs in kept.items():
        names = dict.fromkeys(name for run in runs for name in run.measures if name != LOAD)
        for name in names:
            values = ", ".join(f"{run.measures[name]:g}" for run in runs if name in run.measures)
            text += f"| {scenario} | {name} | {values} |\n"
    return text


def main() -> int:
    page = PAGE.read_text()
    figures = BETWEEN.format(f"\n{render(read())}\nBeside the scenarios:\n\n{render_others(read_others())}\n")
    done = re.sub(r"<!-- figures -->\n.*<!-- end of figures -->", lambda _: figures, page, flags=re.DOTALL)
    PAGE.write_text(done)
    return 0


if __name__ == "__main__":
    sys.exit(main())
