"""The contract that a project is compared with: of a git revision, of a folder, or as the broker has it."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

from actrzmq.cli.online import published_contract
from actrzmq.cli.revision import copy_revision
from actrzmq.codegen.exports import local_contract, local_root
from actrzmq.contracts.bundle import Contract, contract_of
from actrzmq.errors import ActrConfigError
from actrzmq.manifest.load import load_manifest
from actrzmq.manifest.model import Manifest

BROKER = "broker"


def old_contract(against: str, manifest: Manifest, protos: Path) -> Contract:
    """The contract that `against` names, for the project of `manifest`, whose .proto files lie in `protos`.

    A name that is both a folder and a revision means the folder. Raises `ActrConfigError` where it is
    neither, or can't be read.
    """
    if against == BROKER:
        return published_contract(manifest)
    if against and Path(against).is_dir():
        return _contract_in(Path(os.path.abspath(against)), manifest, protos)
    with TemporaryDirectory(prefix="actr-check-") as folder:
        target = Path(folder).resolve()
        copy_revision(against, manifest.directory, [manifest.path.name], target)
        try:
            return _contract_in(target, manifest, protos)
        except ActrConfigError as error:
            raise ActrConfigError(error.message.replace(f"{target}/", f"{against}:")) from None


def _contract_in(folder: Path, manifest: Manifest, protos: Path) -> Contract:
    """The contract of the project in `folder`; without a manifest there, of what now is exported or gone."""
    if (folder / manifest.path.name).is_file():
        then = load_manifest(folder / manifest.path.name, environ={})
        return local_contract(folder / os.path.relpath(protos, manifest.directory), then.exports)
    inside = folder / protos.name
    found = local_contract(inside if inside.is_dir() else folder)
    root = local_root(protos)
    exports = {export.relative_to(root).as_posix() for export in manifest.exports}
    return contract_of(file for file in found.files if file.path in exports or not (root / file.path).exists())
