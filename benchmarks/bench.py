"""The command line: `python -m benchmarks [--only rpc,streams] [--quick] [--runs N] [--out DIR] [--publish]`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from benchmarks import machine
from benchmarks.messages import generate

FOLDER = Path(__file__).parent
PAGE = FOLDER.parent / "docs" / "performance.md"
PUBLISHED = FOLDER / "results" / "published"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and write the report. 0: done; 2: something was asked for that there is not."""
    generate()  # before what needs it is imported
    from benchmarks import comparisons, own, report
    from benchmarks.measure import FULL, QUICK, TINY, Form, Record, Results, complain
    from benchmarks.processes import Failed
    from benchmarks.systems import SYSTEMS

    sections: dict[str, Callable[[Form, int], Iterator[Record]]] = {
        "rpc": comparisons.rpc,
        "clients": comparisons.clients,
        "streams": comparisons.streams,
        "cpu": own.broker_cpu,
        "nodes": own.node_memory,
        "idle": own.stream_memory,
        "discovery": own.discovery,
        "start": own.starting,
    }
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="actrzmq beside its peers, in figures.")
    parser.add_argument("--only", metavar="SECTIONS", help=f"some of {','.join(sections)}")
    parser.add_argument("--quick", action="store_true", help="what the targets need, in under three minutes")
    parser.add_argument("--tiny", action="store_true", help="hardly anything: does it work at all?")
    parser.add_argument("--runs", type=int, metavar="N", help="how often each is measured")
    parser.add_argument("--out", type=Path, default=FOLDER / "results", metavar="DIR", help="where the report goes")
    parser.add_argument("--publish", action="store_true", help="put the figures into docs/performance.md as well")
    given = parser.parse_args(arguments)
    form = TINY if given.tiny else QUICK if given.quick else FULL
    if given.runs:
        form = msgspec.structs.replace(form, runs=given.runs, latency_runs=max(given.runs, 1))
    chosen = given.only.split(",") if given.only else list(sections)
    unknown = [name for name in chosen if name not in sections]
    if unknown or (given.publish and given.only):
        parser.error(f"no section {unknown[0]}" if unknown else "a part of the figures can't be published")

    began, load = time.monotonic(), machine.load()
    started = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    missing = {system.name: what for system in SYSTEMS.values() if (what := system.missing())}
    for name, what in missing.items():
        print(f"benchmarks: {name} is not shown: {what} is not installed", file=sys.stderr)
    results = Results()
    for round in range(max(form.runs, form.latency_runs)):
        for name in chosen:
            if round >= (form.latency_runs if name == "rpc" else form.runs):
                continue
            print(f"benchmarks: run {round + 1}, {name}, {time.monotonic() - began:.0f} s", file=sys.stderr)
            try:
                for record in sections[name](form, round):
                    results.add(record)
            except Failed as error:
                complain(name, "actrzmq", error)
    minutes = (time.monotonic() - began) / 60
    run = report.Run(form.name, started, minutes, load, machine.describe(), missing, results.series)
    folder = PUBLISHED if given.publish else given.out
    judged = report.write(run, folder)
    if given.publish:
        report.publish(run, judged, folder, PAGE)
    print("\n".join(report.target_table(judged)))
    print(f"\nall figures: {folder}/summary.md and results.json", file=sys.stderr)
    return 0
