"""`actr completion`: what a shell needs to complete `actr`'s commands and options."""

from __future__ import annotations

import click

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print a script that completes commands and options of actr in SHELL.

    \b
    Examples:
      eval "$(actr completion bash)"                            # in ~/.bashrc
      eval "$(actr completion zsh)"                             # in ~/.zshrc
      actr completion fish > ~/.config/fish/completions/actr.fish
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None  # click knows these three
    click.echo(kind(ctx.find_root().command, {}, "actr", "_ACTR_COMPLETE").source())
