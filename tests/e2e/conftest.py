"""The example in a folder of its own, with its code generated, and processes that end with their test."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.world import EXAMPLE, World, run_python


@pytest.fixture(scope="session")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of examples/stream-echo with its generated code."""
    folder = tmp_path_factory.mktemp("example") / "stream-echo"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("generated", "__pycache__"))
    for side in ("server", "client"):
        arguments = ("gen", "--input", "protos", "--output", "generated", "--language", "python")
        done = run_python("-c", "from actrzmq.cli.main import main; main()", *arguments, cwd=folder / side)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def world(example: Path, tmp_path: Path) -> Iterator[World]:
    """Brokers, servers and clients of the example, on addresses of their own."""
    world = World(example, tmp_path)
    yield world
    world.stop()
