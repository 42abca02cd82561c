"""`actr doc`: the contracts of the project and of its dependencies, to be read in a browser."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from actrzmq.cli.reference import Part
    from actrzmq.codegen.generate import Compiled
    from actrzmq.contracts.outline import Outline
    from actrzmq.manifest.model import Manifest

PAGE = "index.html"


@click.command()
@click.option("--input", "protos", type=click.Path(path_type=Path), help="Folder of .proto files.  [default: protos]")
@click.option("--output", type=click.Path(path_type=Path), help="Folder to write into.  [default: doc]")
@click.option(
    "--actr-toml",
    "manifest_path",
    type=click.Path(path_type=Path),
    default=Path("Actr.toml"),
    show_default=True,
    help="The project's manifest.",
)
@click.option("--open", "opens", is_flag=True, help="Show the page in a browser.")
def doc(protos: Path | None, output: Path | None, manifest_path: Path, opens: bool) -> None:
    """Write a reference of the project's contracts, and of those of its dependencies, as a page of HTML.

    It holds services, methods, messages and enums with the comments of the .proto files, and how to call each
    method from a terminal. The page is one file, without scripts, and loads nothing.

    \b
    Examples:
      actr doc
      actr doc --output public --open
    """
    from actrzmq.cli.reference import render
    from actrzmq.install.transaction import heal
    from actrzmq.manifest.load import load_manifest

    heal(manifest_path.absolute().parent)
    manifest = load_manifest(manifest_path)
    text = render(manifest.name, list(_parts(manifest, protos or manifest.directory / "protos")))
    page = (output or manifest.directory / "doc") / PAGE
    page.parent.mkdir(parents=True, exist_ok=True)
    # In one step: whoever looks at the page sees the old one or the new one.
    staged = page.with_name(f".{PAGE}-{os.getpid()}")
    try:
        staged.write_bytes(text.encode())
        staged.replace(page)
    finally:
        staged.unlink(missing_ok=True)
    click.echo(f"wrote {os.path.relpath(page)}")
    if opens:
        click.launch(page.resolve().as_uri())


def _parts(manifest: Manifest, protos: Path) -> Iterator[Part]:
    from actrzmq.cli.reference import Part
    from actrzmq.codegen.generate import Inputs, compile_roots

    exports, local, remotes = compile_roots(Inputs(protos, manifest.exports, tuple(manifest.dependencies)))
    yield Part(
        manifest.name,
        manifest.name,
        str(manifest.actor_type),
        *_outlines(local, exports),
        description=manifest.description,
    )
    for alias, remote in zip(manifest.dependencies, remotes, strict=True):
        actor_type = manifest.dependencies[alias].actor_type
        yield Part(
            f"remote/{alias}",
            alias,
            str(actor_type) if actor_type else "",
            *_outlines(remote, frozenset(remote[0])),
            description=f"A dependency of {manifest.name}.",
        )


def _outlines(compiled: Compiled, exported: frozenset[str]) -> tuple[tuple[Outline, ...], frozenset[str], str]:
    """What the files declare, which of them are exported, and the fingerprint of these."""
    from actrzmq.contracts.fingerprint import file_fingerprint, service_fingerprint
    from actrzmq.contracts.outline import outline

    sources, descriptors = compiled
    fingerprint = service_fingerprint((path, file_fingerprint(descriptors[path])) for path in sorted(exported))
    outlines = tuple(outline(descriptors[path]) for path in sorted(sources))
    return outlines, exported, fingerprint if exported else ""
