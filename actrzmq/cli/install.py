"""`actr install`: the contracts of the project's dependencies, fetched and locked."""

from __future__ import annotations

from pathlib import Path

import click

from actrzmq.cli.asking import ask_broker, asking_options, manifest_option
from actrzmq.cli.changes import show_changes
from actrzmq.cli.exits import Exit
from actrzmq.cli.output import json_option

_EVERY = "*"


@click.command()
@click.argument("alias", required=False)
@click.option("--type", "actor_type", metavar="TYPE", help="The actor type of ALIAS, as in acme+Echo.")
@click.option("--name", help="The published name of ALIAS, where it is not the alias.")
@click.option("--fingerprint", help="The one contract that ALIAS may have.")
@click.option(
    "--update",
    multiple=True,
    is_flag=False,
    flag_value=_EVERY,
    metavar="[ALIAS]",
    help="Take the newest contract, not the locked one: of ALIAS, or of all.",
)
@click.option("--frozen", is_flag=True, help="Change nothing; exit with 6 if anything would have to. For CI.")
@click.option("--dry-run", is_flag=True, help="Write nothing; say what would change.")
@json_option
@asking_options
@manifest_option
def install(
    alias: str | None,
    actor_type: str | None,
    name: str | None,
    fingerprint: str | None,
    update: tuple[str, ...],
    frozen: bool,
    dry_run: bool,
    as_json: bool,
    url: str | None,
    timeout: float,
    manifest_path: str,
) -> int:
    """Fetch and lock the contracts of dependencies.

    Without ALIAS: of all in the manifest. With ALIAS, that dependency is added to the manifest first; what it is
    found by is its name, or --type. Contracts are kept in protos/remote/ALIAS and locked in Actr.lock.toml. A
    locked one stays as it is until you --update it. What is in place already is not asked for, so no broker is
    needed then; and the service that published a contract does not have to run.

    \b
    Examples:
      actr install
      actr install echo --type acme+Echo
      actr install --update echo
      actr install --frozen
    """
    from datetime import UTC, datetime

    from actrzmq.install.edit import Addition
    from actrzmq.install.project import Wish
    from actrzmq.install.project import install as run
    from actrzmq.install.questions import ALL

    if alias is None and (actor_type or name or fingerprint):
        raise click.UsageError(
            "--type, --name and --fingerprint describe a dependency; name it, as in: actr install ALIAS --type TYPE"
        )
    if frozen and (alias or update):
        raise click.UsageError("--frozen changes nothing, so it goes with neither ALIAS nor --update")
    wish = Wish(
        add=Addition(alias, actor_type or "", name or "", fingerprint or "") if alias else None,
        update=ALL if _EVERY in update else update,
        frozen=frozen,
        dry=dry_run,
    )
    plan = run(
        Path(manifest_path), wish, ask_broker(url, timeout), datetime.now(UTC).isoformat(timespec="microseconds")
    )
    show_changes(plan, as_json=as_json, dry=dry_run)
    return Exit.OK
