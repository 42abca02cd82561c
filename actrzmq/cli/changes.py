"""Showing what an install or a removal changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from actrzmq.cli.exits import one_line
from actrzmq.cli.output import show_json

if TYPE_CHECKING:
    from actrzmq.install.resolve import Change, Plan

MAX_FINDINGS = 5


def show_changes(plan: Plan, *, as_json: bool, dry: bool) -> None:
    """Print one line for each dependency, or JSON; and what to do next, if anything."""
    if as_json:
        show_json([_facts(change) for change in plan.changes])
        return
    if dry:
        click.echo("a dry run; nothing is written")
    width = max((len(change.alias) for change in plan.changes), default=0)
    for change in plan.changes:
        click.echo(one_line(f"{change.kind:<9}  {change.alias:<{width}}  {_versions(change)}".rstrip()))
        for line in _findings(change):
            click.echo(f"  {one_line(line)}")
    if not plan.changes:
        click.echo("no dependencies")
    if (plan.write or plan.remove) and not dry:
        click.echo("next: actr gen")


def _versions(change: Change) -> str:
    from actrzmq.install.resolve import Kind, short

    if change.kind is not Kind.UPDATED:
        return short(change.new or change.old or "")
    verdict = {None: "", True: "  breaking", False: "  compatible"}[
        None if change.breaking is None else bool(change.breaking)
    ]
    return f"{short(change.old or '')} -> {short(change.new or '')}{verdict}"


def _findings(change: Change) -> list[str]:
    found = [str(finding) for finding in change.breaking or ()]
    more = len(found) - MAX_FINDINGS
    return [*found[:MAX_FINDINGS], *([f"and {more} more"] if more > 0 else [])]


def _facts(change: Change) -> dict[str, object]:
    return {
        "dependency": change.alias,
        "change": change.kind,
        "old": change.old,
        "new": change.new,
        "breaking": change.breaking,
    }
