"""A short folder for unix sockets, so that tests leave none elsewhere and their paths fit."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def runtime_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="az-"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    yield folder
    left = [str(path) for path in folder.rglob("*") if not path.is_dir()]
    shutil.rmtree(folder)
    assert not left
