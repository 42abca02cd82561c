"""The entry point of `actr`: finds the command, and turns what it raises into words and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

import click

from actrzmq.cli.exits import Exit, exit_code_of, printable
from actrzmq.errors import ActrRuntimeError

# Each command is a module beside this one, whose function of the same name is the command. It is imported
# when the command runs, and not before: `actr --help` is to be there at once.
COMMANDS = {
    "gen": "Generate Python code from .proto files.",
}


class _Commands(click.Group):
    """The commands of the table, imported when needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"actrzmq.cli.{cmd_name}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _show_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        from actrzmq._version import __version__

        click.echo(f"actr {__version__}")
        ctx.exit()


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show the version."
)
def actr() -> None:
    """Actors on ZeroMQ: generate code, look around, call services.

    \b
    Example:
      actr gen --input protos --output generated --language python
    """


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code. Bugs come out as they are, with their traceback."""
    try:
        result = actr.main(arguments, prog_name="actr", standalone_mode=False)
    except click.Abort:  # Ctrl-C, or the end of input at a prompt
        return Exit.INTERRUPTED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except ActrRuntimeError as error:
        click.echo(f"actr: {printable(error.message)}", err=True)
        return exit_code_of(error)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        click.echo(f"actr: {printable(f'{where}{error.strerror or error}')}", err=True)
        return Exit.FAILED
    return result if isinstance(result, int) else Exit.OK


def main() -> None:
    """Run the process's own command line and exit."""
    sys.exit(run())
