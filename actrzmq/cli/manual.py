"""The page about all commands, made from the commands: `python -m actrzmq.cli.manual > docs/cli.md`."""

from __future__ import annotations

import click

from actrzmq.cli.main import PURPOSES, actr

WIDTH = 100

_HEAD = """\
# Commands

What `actr COMMAND --help` says, for all of them. This page is made from the commands by `make docs`.

Every command writes what was asked for to standard output, and what went wrong, in one line, to standard error. It
colours only what goes to a terminal, and nothing if `NO_COLOR` is set. Commands that need a broker ask the one that
`--broker` names, else `ACTRZMQ_BROKER`, else the `Actr.toml` in the current folder, else `tcp://127.0.0.1:5570`. The
exit codes are in the [reference](reference.md#commands-and-exit-codes).
"""


def manual() -> str:
    """The whole page."""
    contents = []
    sections = []
    with click.Context(actr, info_name="actr", terminal_width=WIDTH, **actr.context_settings) as context:
        for purpose, commands in PURPOSES.items():
            links = (f"[{name}](#actr-{name})" for name in commands)
            contents.append(f"* {purpose}: {' · '.join(links)}")
            sections += [_section(context, name) for name in commands]
    return "\n".join([_HEAD, *contents, "", *sections])


def _section(context: click.Context, name: str) -> str:
    command = actr.get_command(context, name)
    assert command is not None  # it is in the table
    with click.Context(command, info_name=name, parent=context, terminal_width=WIDTH) as inner:
        return f"## actr {name}\n\n```text\n{command.get_help(inner).rstrip()}\n```\n"


if __name__ == "__main__":
    click.echo(manual(), nl=False)
