"""Commands run in this process, in a folder: quick, for those that start nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from actrzmq.cli.main import run

MANIFEST = """
exports = [{exports}]
[package]
name = "{name}"
[package.actr_type]
manufacturer = "acme"
name = "Thing"
[dependencies]
{dependencies}
"""


class Ran(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Folder:
    """A folder in which commands run."""

    def __init__(self, path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = path
        self._capsys = capsys
        self._monkeypatch = monkeypatch

    def write(self, path: str, text: str) -> Path:
        file = self.path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def manifest(self, *exports: str, name: str = "thing", dependencies: str = "") -> None:
        listed = ", ".join(f'"{export}"' for export in exports)
        self.write("Actr.toml", MANIFEST.format(exports=listed, name=name, dependencies=dependencies))

    def actr(self, *arguments: str) -> Ran:
        self._monkeypatch.chdir(self.path)
        self._capsys.readouterr()
        code = run(arguments)
        return Ran(code, *self._capsys.readouterr())

    def files(self) -> dict[str, bytes]:
        return {str(file.relative_to(self.path)): file.read_bytes() for file in self.path.rglob("*") if file.is_file()}
