"""`actr gen`: Python code from the project's .proto files and those of its dependencies."""

from __future__ import annotations

import os
from pathlib import Path

import click

from actrzmq.cli.exits import Exit


@click.command()
@click.option("--input", "protos", type=click.Path(path_type=Path), help="Folder of .proto files.  [default: protos]")
@click.option("--output", type=click.Path(path_type=Path), help="Folder to generate.  [default: generated]")
@click.option("--language", type=click.Choice(["python"]), default="python", show_default=True)
@click.option("--check", is_flag=True, help="Write nothing; exit with 1 if anything would change.")
@click.option(
    "--actr-toml",
    "manifest_path",
    type=click.Path(path_type=Path),
    default=Path("Actr.toml"),
    show_default=True,
    help="The project's manifest.",
)
def gen(protos: Path | None, output: Path | None, language: str, check: bool, manifest_path: Path) -> int:
    """Generate Python code from .proto files.

    Reads INPUT/local and, for each dependency in the manifest, INPUT/remote/<alias>. Files are replaced only
    if they change, and generated ones that are no longer needed are removed. For each exported service a
    first implementation is written beside the output, once.

    \b
    Example:
      actr gen --input protos --output generated --language python
    """
    from actrzmq.codegen.generate import Inputs, generate
    from actrzmq.codegen.writer import apply
    from actrzmq.install.transaction import heal
    from actrzmq.manifest.load import load_manifest

    heal(manifest_path.absolute().parent)
    manifest = load_manifest(manifest_path)
    # What is not said on the command line lies beside the manifest.
    inputs = Inputs(
        manifest.directory / "protos" if protos is None else protos,
        manifest.exports,
        tuple(manifest.dependencies),
    )
    changes = generate(inputs, manifest.directory / "generated" if output is None else output)
    if not check:
        apply(changes)
    for path in sorted(changes.write):
        click.echo(f"{'would write' if check else 'wrote'} {os.path.relpath(path)}")
    for path in changes.remove:
        click.echo(f"{'would remove' if check else 'removed'} {os.path.relpath(path)}")
    click.echo(f"{changes.unchanged} unchanged")
    return Exit.FAILED if check and not changes.is_empty else Exit.OK
