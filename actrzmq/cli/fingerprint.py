"""`actr fingerprint`: what the exports, or any .proto files, mean, as one line to compare."""

from __future__ import annotations

import json
from pathlib import Path

import click

from actrzmq.cli.exits import printable


@click.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path), metavar="[FILE]...")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--input", "protos", type=click.Path(path_type=Path), help="Folder of .proto files.  [default: protos]")
@click.option(
    "--actr-toml",
    "manifest_path",
    type=click.Path(path_type=Path),
    default=Path("Actr.toml"),
    show_default=True,
    help="The project's manifest.",
)
def fingerprint(files: tuple[Path, ...], as_json: bool, protos: Path | None, manifest_path: Path) -> None:
    """Print the fingerprint of the exported contract and of each of its files, or of each FILE.

    Comments, layout and order don't change a fingerprint; all that changes the meaning does. FILEs need no
    manifest; their imports begin in protos/local or protos/remote/<alias>, else beside them.

    \b
    Examples:
      actr fingerprint
      actr fingerprint protos/local/stream_server.proto --json
    """
    from actrzmq.codegen.exports import local_contract, local_root, shown
    from actrzmq.codegen.loose import loose_file
    from actrzmq.contracts.fingerprint import service_fingerprint
    from actrzmq.errors import ActrConfigError
    from actrzmq.manifest.load import load_manifest

    if files:
        name = None
        found = [(str(path), loose_file(path)) for path in dict.fromkeys(files)]
        service = service_fingerprint((file.path, file.fingerprint) for _, file in found)
    else:
        manifest = load_manifest(manifest_path)
        if not manifest.exports:
            raise ActrConfigError(
                f"{shown(manifest.path)} exports nothing; list .proto files in `exports`, or give FILEs"
            )
        name = manifest.name
        folder = manifest.directory / "protos" if protos is None else Path.cwd() / protos
        contract = local_contract(folder, manifest.exports)
        found = [(shown(local_root(folder) / file.path), file) for file in contract.files]
        service = contract.fingerprint
    if as_json:
        rows = [{"path": path, "fingerprint": file.fingerprint} for path, file in found]
        click.echo(json.dumps({"name": name, "fingerprint": service, "files": rows}, indent=2, ensure_ascii=False))
        return
    click.echo(f"{service}  {name or 'as one contract'}")
    for path, file in found:
        click.echo(printable(f"{file.fingerprint}  {path}"))
