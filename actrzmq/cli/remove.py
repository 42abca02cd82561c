"""`actr remove`: a dependency leaves the project."""

from __future__ import annotations

from pathlib import Path

import click

from actrzmq.cli.asking import manifest_option
from actrzmq.cli.changes import show_changes
from actrzmq.cli.exits import Exit
from actrzmq.cli.output import json_option


@click.command()
@click.argument("alias")
@click.option("--dry-run", is_flag=True, help="Write nothing; say what would change.")
@json_option
@manifest_option
def remove(alias: str, dry_run: bool, as_json: bool, manifest_path: str) -> int:
    """Remove the dependency ALIAS from the manifest, the lock file and protos/remote.

    Only files that were installed are removed. No broker is needed.

    \b
    Example:
      actr remove echo
    """
    from datetime import UTC, datetime

    from actrzmq.install.project import remove as run

    now = datetime.now(UTC).isoformat(timespec="microseconds")
    plan = run(Path(manifest_path), alias, now, dry=dry_run)
    show_changes(plan, as_json=as_json, dry=dry_run)
    return Exit.OK
