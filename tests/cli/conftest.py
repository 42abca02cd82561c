"""A broker and the service of `lab`, started once for all tests of this folder: each must leave it as it was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Protocol

import pytest

from tests.cli import lab
from tests.cli.commands import actr
from tests.e2e.world import Program, World


class Actr(Protocol):
    """Runs the command against the broker."""

    def __call__(self, *arguments: str, input: str = "") -> CompletedProcess[str]: ...


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the service's project is."""
    folder = tmp_path_factory.mktemp("lab")
    lab.write(folder)
    return folder


@pytest.fixture(scope="session")
def world(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A broker."""
    world = World(folder, tmp_path_factory.mktemp("world"))
    try:
        world.broker()
        yield world
    finally:
        world.stop()


@pytest.fixture(scope="session")
def server(world: World, folder: Path) -> Program:
    """The service, registered."""
    return lab.start(world, folder)


@pytest.fixture
def at_lab(world: World, server: Program, tmp_path: Path) -> Actr:
    """Run `actr` in an empty folder, against a broker that has the service."""

    def run(*arguments: str, input: str = "") -> CompletedProcess[str]:
        return actr(*arguments, cwd=tmp_path, input=input, ACTRZMQ_BROKER=world.url)

    return run
