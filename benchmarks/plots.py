"""Plots that can be read at a glance: a bar for each system, ours in colour, the spread as a line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.comparisons import LATENCY
from benchmarks.measure import Results
from benchmarks.systems import SYSTEMS

PLOTS = {
    "calls": ("rpc, 100 B, 64 in flight", "rate", "Calls a second, 64 in flight, 100 B"),
    "latency": (LATENCY, "p50", "Round trip of one call, 100 B: median, in µs (less is better)"),
    "frames": ("stream, 100 B, protobuf", "rate", "Frames a second, one stream, 100 B, protobuf at both ends"),
    "frames-raw": ("stream, 100 B, raw", "rate", "Frames a second, one stream, 100 B, raw bytes"),
    "megabytes": ("stream, 1 MB, raw", "MB/s", "MB a second, one stream, frames of 1 MB, raw bytes"),
}
"""File name → case, figure, title."""

OURS, OTHERS, FLOOR = "#c2410c", "#64748b", "#cbd5e1"


def plot(results: Results, folder: Path) -> list[str]:
    """Draw what there is, as SVG and PNG; returns the names. Without matplotlib there are none."""
    try:
        import matplotlib
    except ImportError:
        return []
    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "actrzmq"
    drawn = []
    for name, (case, figure, title) in PLOTS.items():
        systems = [system for system in SYSTEMS if results.values(case, system, figure)]
        if systems:
            _bars(results, case, figure, title, systems, folder / name)
            drawn.append(name)
    return drawn


def _bars(results: Results, case: str, figure: str, title: str, systems: list[str], path: Path) -> None:
    from matplotlib import pyplot

    medians = [results.median(case, system, figure) or 0.0 for system in systems]
    spreads = [results.spread(case, system, figure) for system in systems]
    below = [median - least for median, (least, _) in zip(medians, spreads, strict=True)]
    above = [most - median for median, (_, most) in zip(medians, spreads, strict=True)]
    canvas: Any
    canvas, axes = pyplot.subplots(figsize=(8, 0.5 * len(systems) + 1), layout="constrained")
    axes.barh(systems, medians, color=[_colour(name) for name in systems], height=0.7)
    axes.errorbar(medians, systems, xerr=[below, above], fmt="none", ecolor="#1e293b", elinewidth=1, capsize=3)
    for at, (median, (_, most)) in enumerate(zip(medians, spreads, strict=True)):
        axes.annotate(f"{median:,.0f}", (max(median, most), at), xytext=(6, 0), textcoords="offset points", va="center")
    axes.set_title(title, loc="left", fontsize=11)
    axes.margins(x=0.12)
    axes.invert_yaxis()
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.tick_params(axis="x", bottom=False, labelbottom=False)
    axes.tick_params(axis="y", left=False)
    canvas.savefig(path.with_suffix(".svg"), metadata={"Date": None})
    canvas.savefig(path.with_suffix(".png"), dpi=150)
    pyplot.close(canvas)


def _colour(name: str) -> str:
    if name.startswith("actrzmq"):
        return OURS
    return FLOOR if name.startswith("bare") else OTHERS
