"""`actr run`: a script of the manifest, as if its command line were typed in the manifest's folder."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import click

from actrzmq.cli.exits import CommandError, Exit, one_line
from actrzmq.cli.output import json_option, show_json, show_table
from actrzmq.errors import ActrConfigError

DEFAULT = "run"


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("script", default=DEFAULT)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.option("--list", "shows", is_flag=True, help="Show the scripts, and run none.")
@json_option
@click.option(
    "--actr-toml",
    "manifest_path",
    type=click.Path(path_type=Path),
    default=Path("Actr.toml"),
    show_default=True,
    help="The project's manifest.",
)
def run(script: str, arguments: Sequence[str], shows: bool, as_json: bool, manifest_path: Path) -> None:
    """Run SCRIPT of the manifest's [scripts], by default the one called `run`.

    It runs in the manifest's folder, without a shell, with `python` being the one that runs actr. ARGUMENTS are
    added to its command line. Its exit code becomes that of `actr run`.

    \b
    Examples:
      actr run
      actr run --list
      actr run test -x
    """
    from actrzmq.manifest.load import load_manifest

    manifest = load_manifest(manifest_path)
    if shows and as_json:
        show_json(manifest.scripts)
        return
    if shows:
        show_table(("script", "command"), list(manifest.scripts.items()))
        return
    line = manifest.scripts.get(script)
    if line is None:
        known = ", ".join(manifest.scripts) or "none"
        raise CommandError(
            f"{manifest_path} has no script {script!r} in [scripts]; it has {known}",
            Exit.USAGE,
        )
    _become([*_split(line, script, manifest_path), *arguments], manifest.directory)


def _split(line: str, script: str, manifest_path: Path) -> list[str]:
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise ActrConfigError(f"{manifest_path}: scripts.{script}: {one_line(line)!r}: {error}") from None
    if "\0" in line:
        raise ActrConfigError(f"{manifest_path}: scripts.{script}: no word of a command line can have a NUL in it")
    if not words:
        raise ActrConfigError(f"{manifest_path}: scripts.{script}: expected a command line, found nothing")
    return words


def _become(words: list[str], folder: Path) -> NoReturn:
    """Replace this process by the program: its signals, its terminal and its exit code are then its own."""
    environment = dict(os.environ)
    environment["PATH"] = os.pathsep.join(filter(None, (sysconfig.get_path("scripts"), os.environ.get("PATH"))))
    os.chdir(folder)
    program = shutil.which(words[0], path=environment["PATH"])
    if program is None:
        raise CommandError(f"{words[0]} is no program; it is looked for on PATH, from {folder}", Exit.USAGE)
    sys.stdout.flush()
    os.execve(program, words, environment)  # noqa: S606  # a script of the user's own manifest
