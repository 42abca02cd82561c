"""A project folder to write manifests into."""

from collections.abc import Callable
from pathlib import Path

import pytest

from actrzmq.manifest import Manifest, load_manifest

HEAD = '[package]\nname = "echo"\n[package.actr_type]\nmanufacturer = "acme"\nname = "Echo"\n'

Load = Callable[..., Manifest]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Writes its argument after a minimal head (unless told otherwise) to Actr.toml, and loads that."""

    def write_and_load(text: str, head: str = HEAD, environ: dict[str, str] | None = None) -> Manifest:
        path = tmp_path / "Actr.toml"
        path.write_text(head + text)
        return load_manifest(path, environ or {})

    return write_and_load
