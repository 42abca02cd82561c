"""`actr check`: whether the project is ready to run; or, with `--breaking`, what its contract breaks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from actrzmq.cli.exits import Exit, printable

if TYPE_CHECKING:
    from actrzmq.contracts.compatibility import Finding
    from actrzmq.manifest.model import Manifest


@click.command()
@click.option(
    "--breaking",
    "against",
    metavar="AGAINST",
    help="Compare the exports with those of a git revision, a folder or the `broker`.",
)
@click.option(
    "--level",
    type=click.Choice(["FILE", "WIRE"], case_sensitive=False),
    default="FILE",
    show_default=True,
    help="With --breaking: what must not break, generated code or what travels.",
)
@click.option("--offline", is_flag=True, help="Leave the broker and what is registered there alone.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--input", "protos", type=click.Path(path_type=Path), help="Folder of .proto files.  [default: protos]")
@click.option("--output", type=click.Path(path_type=Path), help="Folder of generated code.  [default: generated]")
@click.option(
    "--actr-toml",
    "manifest_path",
    type=click.Path(path_type=Path),
    default=Path("Actr.toml"),
    show_default=True,
    help="The project's manifest.",
)
def check(
    against: str | None,
    level: str,
    offline: bool,
    as_json: bool,
    protos: Path | None,
    output: Path | None,
    manifest_path: Path,
) -> int:
    """Check that the project is ready to run.

    One line for each thing: PASS, WARN or FAIL, with what to do. Exits with 2 where manifest, exports or lock
    file are wrong, 3 without a broker, 6 where a dependency breaks its locked contract, 4 where one is not
    there, 1 where generated code is stale; of several, the first in this order.

    With --breaking, print what the exported contract breaks, one finding per line, and exit with 6 if there is any.

    \b
    Examples:
      actr check
      actr check --breaking main
      actr check --breaking ../released --level WIRE --json
    """
    from actrzmq.manifest.load import load_manifest

    if against is None:
        return _report(manifest_path, protos, output, offline=offline, as_json=as_json)
    manifest = load_manifest(manifest_path)
    folder = manifest.directory / "protos" if protos is None else Path.cwd() / protos
    return _compare(against, manifest, folder, level.upper(), as_json=as_json)


def _compare(against: str, manifest: Manifest, protos: Path, level_name: str, *, as_json: bool) -> int:
    from actrzmq.cli.against import old_contract
    from actrzmq.codegen.exports import local_contract
    from actrzmq.contracts.compatibility import Level, Verdict, judge

    level = Level(level_name)
    old = old_contract(against, manifest, protos)
    verdict, findings = judge(old, local_contract(protos, manifest.exports), level)
    if as_json:
        rows = [_row(finding) for finding in findings]
        click.echo(_json({"against": against, "level": level, "verdict": verdict, "findings": rows}))
    else:
        for finding in findings:
            click.echo(printable(str(finding)))
        if not old.files:
            click.echo(printable(f"{against} exports nothing, so nothing can break"))
        elif not findings:
            word = {Verdict.IDENTICAL: "to", Verdict.COMPATIBLE: "with"}[verdict]
            click.echo(printable(f"{verdict} {word} {against} ({level})"))
    return Exit.MISMATCH if findings else Exit.OK


def _row(finding: Finding) -> dict[str, str]:
    return {
        "file": finding.file,
        "rule": finding.rule,
        "element": finding.element,
        "message": finding.message,
    }


def _report(manifest_path: Path, protos: Path | None, output: Path | None, *, offline: bool, as_json: bool) -> int:
    from actrzmq.cli.readiness import Outcome, examine, exit_code
    from actrzmq.install.transaction import heal

    heal(manifest_path.absolute().parent)
    outcomes = examine(manifest_path, protos, output, offline=offline)
    if as_json:
        rows = [
            {"outcome": one.outcome, "subject": one.subject, "message": one.message, "next": one.next_step or None}
            for one in outcomes
        ]
        click.echo(_json({"ready": exit_code(outcomes) is Exit.OK, "checks": rows}))
        return exit_code(outcomes)
    colors = {Outcome.PASS: "green", Outcome.WARN: "yellow", Outcome.FAIL: "red"}
    for one in outcomes:
        step = f"; {one.next_step}" if one.next_step else ""
        text = printable(f"{one.subject}: {one.message}{step}").replace("\n", "\n     ")
        click.echo(f"{click.style(one.outcome.value, fg=colors[one.outcome])} {text}", color=_colors())
    return exit_code(outcomes)


def _colors() -> bool | None:
    """Whether to colour: None leaves it to click, which colours on a terminal only."""
    import os

    return False if os.environ.get("NO_COLOR") else None


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
