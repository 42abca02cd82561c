"""The entry point of `actr`: finds the command, and turns what it raises into words and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module

import click

from actrzmq.cli.exits import Exit, exit_code_of, one_line, printable
from actrzmq.errors import ActrRuntimeError

# Each command is a module beside this one, whose function of the same name (with `_` for `-`) is the command. It is
# imported when the command runs, and not before: `actr --help` is to be there at once.
PURPOSES = {
    "Build a project": {
        "init": "Write a new project that runs: server, client and test.",
        "gen": "Generate Python code from .proto files.",
        "check": "Check that a project is ready, or what its contract breaks.",
        "fingerprint": "Show what a contract means, in one line.",
        "run": "Run a script of the manifest.",
        "doc": "Write a reference of the contracts as HTML.",
    },
    "Contracts of others": {
        "install": "Fetch and lock the contracts of dependencies.",
        "remove": "Remove a dependency.",
        "outdated": "Compare the locked contracts with the newest ones.",
    },
    "Look around": {
        "ps": "Show the nodes that are registered.",
        "discovery": "Show actor types and their instances.",
        "describe": "Show what a service offers.",
        "dead-letters": "Show what was dropped, whose it was and why.",
        "stats": "Show what the broker has counted.",
        "wait": "Wait until there are instances of a type.",
    },
    "Call services": {
        "call": "Call a method: JSON in, JSON out.",
        "stream": "Ask for a stream, and print its frames.",
    },
    "The command itself": {
        "completion": "Print what completes commands in your shell.",
    },
}
"""The commands, by what they are for."""

COMMANDS = {name: text for commands in PURPOSES.values() for name, text in commands.items()}


def find_command(name: str) -> click.Command:
    """The command of that name, imported now."""
    word = name.replace("-", "_")
    command: click.Command = getattr(import_module(f"actrzmq.cli.{word}"), word)
    return command


class _Commands(click.Group):
    """The commands of the table, imported when needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return find_command(cmd_name) if cmd_name in COMMANDS else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            from difflib import get_close_matches

            meant = get_close_matches(name, COMMANDS, 1)
            ctx.fail(f"there is no command {name!r}" + (f"; did you mean {meant[0]!r}?" if meant else ""))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, COMMANDS))
        for purpose, commands in PURPOSES.items():
            with formatter.section(purpose):
                formatter.write_dl([(name.ljust(width), text) for name, text in commands.items()])


def _show_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        from actrzmq._version import __version__

        click.echo(f"actr {__version__}")
        ctx.exit()


@click.group(cls=_Commands, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show the version."
)
@click.pass_context
def actr(ctx: click.Context) -> int:
    """Actors on ZeroMQ: write services, generate their code, look around, call them.

    \b
    Examples:
      actr init hello
      actr gen --input protos --output generated --language python
      actr call acme+StreamEchoServer RegisterStream '{"stream_id": "x", "message_count": 3}'
      actr COMMAND --help
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), err=True)
    return Exit.USAGE


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code. Bugs come out as they are, with their traceback."""
    if sys.stdout is None:  # which is how Python has it when it is started with none
        click.echo("actr: standard output is closed, so there is nowhere to print to; >/dev/null hides it", err=True)
        return Exit.FAILED
    try:
        result = actr.main(arguments, prog_name="actr", standalone_mode=False)
        sys.stdout.flush()
    except (click.Abort, KeyboardInterrupt):  # Ctrl-C, or the end of input at a prompt
        return Exit.INTERRUPTED
    except click.ClickException as error:
        click.echo(_in_words(error), err=True)
        return error.exit_code
    except ActrRuntimeError as error:
        click.echo(f"actr: {printable(error.message)}", err=True)
        return exit_code_of(error)
    except (SystemExit, BrokenPipeError):  # the former is how click says the latter: nobody reads on
        _hush()
        return Exit.OK
    except OSError as error:
        where = f"{error.filename}: " if error.filename else "standard output: " if _is_stuck() else ""
        click.echo(f"actr: {printable(f'{where}{error.strerror or error}')}", err=True)
        return Exit.FAILED
    return result if isinstance(result, int) else Exit.OK


def _in_words(error: click.ClickException) -> str:
    """What was wrong with the command line, in one line, and where to read on."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    command = context.command_path if context else "actr"
    return f"{command}: {one_line(error.format_message()).rstrip('.')}; see `{command} --help`"


def _is_stuck() -> bool:
    """Can't what was printed be written? Then the rest, and the last flush, go nowhere."""
    try:
        sys.stdout.flush()
    except OSError:
        _hush()
        return True
    return False


def _hush() -> None:
    """Let what is still printed, and the last flush, go nowhere."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main() -> None:
    """Run the process's own command line and exit."""
    sys.exit(run())
