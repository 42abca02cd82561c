"""`actr init`: a new project that runs: a server, a client, and a test of both."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from string import Template

import click

from actrzmq.cli.exits import CommandError
from actrzmq.codegen.naming import identifier, snake
from actrzmq.contracts.paths import check_proto_path
from actrzmq.errors import ActrConfigError
from actrzmq.identity import ActrType

MANUFACTURER = "acme"

_FILES = {
    "README.md": ("both/README.md.in",),
    "test_${stem}.py": ("both/test.py.in", "${template}/test.py.in"),
    "server/.gitignore": ("both/gitignore.in",),
    "server/Actr.toml": ("both/server.toml.in",),
    "server/protos/local/${stem}.proto": ("${template}/contract.proto.in",),
    "server/server.py": ("both/server.py.in",),
    "server/${stem}_service.py": ("${template}/service.py.in",),
    "client/.gitignore": ("both/gitignore.in",),
    "client/Actr.toml": ("both/client.toml.in",),
    "client/protos/remote/${alias}/${stem}.proto": ("${template}/contract.proto.in",),
    "client/client.py": ("${template}/client.py.in",),
}
"""What a project consists of, and which templates it is made from."""

_WORDS = {
    "echo": {"about": "Greets whoever calls.", "argument": "Ada", "output": "Hello, Ada!"},
    "stream": {"about": "Counts, as a stream.", "argument": "3", "output": "1\n2\n3"},
}
"""What differs between the templates in the files that they share."""


@click.command()
@click.argument("directory", type=click.Path(path_type=Path), required=False)
@click.option(
    "--template",
    type=click.Choice(list(_WORDS)),
    default="echo",
    show_default=True,
    help="echo: a call. stream: a call that is answered by a stream.",
)
@click.option("--manufacturer", default=MANUFACTURER, show_default=True, help="First half of the actor types.")
@click.option("--name", help="What the service is called.  [default: the folder's name]")
def init(directory: Path | None, template: str, manufacturer: str, name: str | None) -> None:
    """Write a new project into DIR, by default into the current folder if that is empty.

    It has a server, a client, a test that runs them, and a README that says how to go on. Files that exist are
    never touched: if there is one in the way, nothing is written.

    \b
    Examples:
      actr init hello
      actr init --template stream --manufacturer demo counter
    """
    folder = Path(os.path.abspath(directory or Path()))
    if directory is None and any(not path.name.startswith(".") for path in folder.iterdir()):
        raise CommandError(f"{folder} is not empty; to make a folder for the project: actr init DIR")
    texts = project_files(template, manufacturer, name or folder.name)
    in_the_way = [path for path in texts if os.path.lexists(folder / path)]
    if in_the_way:
        raise CommandError(
            f"{', '.join(in_the_way)} in {folder} would be overwritten, so nothing was written; name another folder"
        )
    for path, text in texts.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        with (folder / path).open("x") as file:
            file.write(text)
        click.echo(f"wrote {os.path.relpath(folder / path)}")
    server = shlex.quote(os.path.relpath(folder / "server"))
    click.echo(f"\nREADME.md says how to go on; first:\n  cd {server} && actr install && actr gen")


def project_files(template: str, manufacturer: str, name: str) -> dict[str, str]:
    """The files of a project by their paths. Raises `ActrConfigError` for names that can't be used."""
    values = _names(name) | {"template": template, "manufacturer": manufacturer} | _WORDS[template]
    ActrType(manufacturer, f"{values['name']}Client")  # the longer one of the two
    check_proto_path(f"{values['stem']}.proto")
    return {
        Template(path).substitute(values): "".join(
            _text(Template(source).substitute(values), values) for source in made
        )
        for path, made in _FILES.items()
    }


def _text(source: str, values: Mapping[str, str]) -> str:
    text = files("actrzmq.cli").joinpath("templates", *Template(source).substitute(values).split("/")).read_text()
    return _with_imports_sorted(Template(text).substitute(values))


def _with_imports_sorted(text: str) -> str:
    """`text` with neighbouring `from … import …` lines in order: which comes first depends on the project's name."""
    lines: list[str] = []
    for are_imports, found in groupby(text.splitlines(keepends=True), lambda line: line.lstrip().startswith("from ")):
        block = list(found)
        lines += sorted(block, key=lambda line: line.split()[1]) if are_imports else block
    return "".join(lines)


def _names(name: str) -> dict[str, str]:
    """`name` as it is written in each place: as a type, a module, a published service."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9 ._-]*", name, re.ASCII):
        raise ActrConfigError(
            f"{name!r} can't become the name of a service; say one with --name, of ASCII letters and digits, the "
            "first one a letter"
        )
    words = [word for word in snake(name).split("_") if word]
    stem = "_".join(words)
    return {
        "name": "".join(word.capitalize() for word in words),
        "stem": stem,
        "alias": "-".join(words),
        "remote": identifier(stem),
    }
