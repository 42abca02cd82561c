"""What was measured, for people and for programs: summary.md, results.json, and the plots."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.measure import Results, Series
from benchmarks.systems import SYSTEMS
from benchmarks.targets import Judged, Verdict, judge

BEGIN = "<!-- figures: written by `make bench PUBLISH=1` -->"
END = "<!-- end of figures -->"

COLUMNS = {
    "rate": ("{:,.0f}", "a second"),
    "MB/s": ("{:,.1f}", "MB/s"),
    "p50": ("{:,.0f}", "p50 µs"),
    "p99": ("{:,.0f}", "p99 µs"),
    "p99.9": ("{:,.0f}", "p99.9 µs"),
    "client CPU": ("{:,.1f}", "client µs"),
    "broker CPU": ("{:,.1f}", "broker µs"),
    "server CPU": ("{:,.1f}", "server µs"),
    "net": ("{:,.2f}", "broker µs, without upkeep"),
    "upkeep": ("{:,.1f}", "upkeep, ms a second"),
    "KiB": ("{:,.1f}", "KiB each"),
    "sender": ("{:,.1f}", "KiB each, sender"),
    "receiver": ("{:,.1f}", "KiB each, receiver"),
    "seconds": ("{:,.2f}", "s"),
    "broker": ("{:,.0f}", "broker ready, ms"),
    "node": ("{:,.0f}", "node registered, ms"),
    "import": ("{:,.0f}", "import, ms"),
    "names": ("{:,.0f}", "with all names, ms"),
}
"""How each figure is written, and the head of its column."""


class Run(msgspec.Struct):
    """One run of the benchmarks, as results.json has it."""

    form: str
    started: str
    minutes: float
    load: float
    machine: dict[str, str]
    missing: dict[str, str]
    series: Series

    def results(self) -> Results:
        """What was measured."""
        return Results(self.series)


def write(run: Run, folder: Path) -> list[Judged]:
    """Write all into `folder`; returns how the targets stand."""
    from benchmarks.plots import plot

    folder.mkdir(parents=True, exist_ok=True)
    judged = judge(run.results())
    (folder / "results.json").write_bytes(msgspec.json.format(msgspec.json.encode(_as_json(run, judged)), indent=1))
    plots = plot(run.results(), folder)
    (folder / "summary.md").write_text("# Figures\n\n" + summary(run, judged, plots, ""))
    return judged


def publish(run: Run, judged: list[Judged], folder: Path, page: Path) -> None:
    """Put the summary into `page`, between its two marks, with the plots of `folder`."""
    before, _, rest = page.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    where = "../" + folder.resolve().relative_to(page.resolve().parents[1]).as_posix() + "/"
    plots = sorted(path.stem for path in folder.glob("*.svg"))
    page.write_text(f"{before}{BEGIN}\n\n{summary(run, judged, plots, where)}\n{END}{after}")


def summary(run: Run, judged: list[Judged], plots: list[str], where: str) -> str:
    """The page: the targets, the plots, all figures, and what they were measured on."""
    parts = [
        f"A {run.form} run of {run.started}, {run.minutes:.0f} minutes. Medians; in brackets the least and the most of "
        f"all runs. The load of the machine before it was {run.load:.1f}.",
        *(f"Not installed, and so not shown: {name} ({what})." for name, what in run.missing.items()),
        "\n".join(target_table(judged)),
        *(f"![{name}]({where}{name}.svg)" for name in plots),
        *("\n".join(table) for table in _tables(run.results())),
        "\n".join(["| measured on | |", "|---|---|", *(f"| {key} | {value} |" for key, value in run.machine.items())]),
    ]
    return "\n\n".join(parts) + "\n"


def target_table(judged: list[Judged]) -> Iterator[str]:
    """One line for each target."""
    yield "| | what | target | measured | actrzmq | the other | |"
    yield "|---|---|---|---|---|---|---|"
    for one in judged:
        target = one.target
        bound = f"{'≥' if target.at_least else '≤'} {target.bound:g} {target.unit}"
        value = "–" if one.value is None else f"{one.value:.2f} {target.unit}"
        verdict = f"**{one.verdict}**" if one.verdict is not Verdict.MET else one.verdict
        cells = (str(target.number), target.what, bound, value, _three(one.ours), _three(one.other), verdict)
        yield f"| {' | '.join(cells)} |"


def _three(values: tuple[float, float, float] | None) -> str:
    if values is None:
        return "–"
    median, least, most = map(_number, values)
    return f"{median} ({least}–{most})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _tables(results: Results) -> Iterator[list[str]]:
    for case, systems in results.series.items():
        names = [name for name in COLUMNS if any(name in figures for figures in systems.values())]
        lines = [f"**{case}**", "", "| | " + " | ".join(COLUMNS[name][1] for name in names) + " |"]
        lines.append("|---|" + "---|" * len(names))
        for system in sorted(systems, key=list(SYSTEMS).index):
            cells = [_cell(results, case, system, name) for name in names]
            lines.append(f"| {system} | {' | '.join(cells)} |")
        yield lines


def _cell(results: Results, case: str, system: str, name: str) -> str:
    median = results.median(case, system, name)
    if median is None:
        return ""
    form = COLUMNS[name][0]
    least, most = results.spread(case, system, name)
    return f"{form.format(median)} ({form.format(least)}–{form.format(most)})"


def _as_json(run: Run, judged: list[Judged]) -> dict[str, Any]:
    return {"run": run, "targets": judged}
