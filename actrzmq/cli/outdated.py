"""`actr outdated`: what is newer than what is locked."""

from __future__ import annotations

from pathlib import Path

import click

from actrzmq.cli.asking import ask_broker, asking_options, manifest_option
from actrzmq.cli.exits import Exit, one_line
from actrzmq.cli.output import json_option, show_json, show_table

_COLOURS = {"verdict": {"identical": "green", "compatible": "yellow", "breaking": "red"}}


@click.command()
@json_option
@asking_options
@manifest_option
def outdated(as_json: bool, url: str | None, timeout: float, manifest_path: str) -> int:
    """Compare the locked contracts with the newest published ones.

    The verdict is what matters on the wire: identical, compatible (all that was is still there), or breaking, with
    what breaks. Nothing is changed; `actr install --update ALIAS` takes the newest.

    \b
    Example:
      actr outdated
    """
    from actrzmq.install.outdated import questions_about, standings
    from actrzmq.install.project import read_project
    from actrzmq.install.resolve import short

    project = read_project(Path(manifest_path))
    questions = questions_about(project)
    answers = ask_broker(url, timeout)(project.manifest, questions)
    found = standings(project, questions, answers)
    if as_json:
        show_json(found)
        return Exit.OK
    if not found:
        click.echo("no dependencies")
        return Exit.OK
    show_table(
        ("dependency", "locked", "newest", "verdict", "published"),
        [
            (
                one.alias,
                short(one.locked or "") + (" (pinned)" if one.pinned else ""),
                short(one.newest or ""),
                one.verdict,
                one.published_at or "",
            )
            for one in found
        ],
        _COLOURS,
        whole=("dependency", "locked", "newest", "verdict"),
        spare=("published",),
    )
    for one in found:
        for finding in one.findings:
            click.echo(f"{one.alias}: {one_line(str(finding))}")
    return Exit.OK
