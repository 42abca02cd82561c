"""The client of stream-echo with nothing installed, for each test its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.install.published import ALIAS

MANIFEST = f"""\
[dependencies]
{ALIAS} = {{ actr_type = "acme+StreamEchoServer" }}
[package]
name = "stream-register-client-python"
[actr_type]
manufacturer = "acme"
name = "StreamEchoClient"
"""


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    project = tmp_path / "project"
    project.mkdir()
    path = project / "Actr.toml"
    path.write_text(MANIFEST)
    return path
