"""The unix sockets of a broker that runs short of descriptors."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from actrzmq.net.doors import LOOK_EVERY, Doors
from actrzmq.net.endpoints import UnixListener

FREE = os.eventfd
COUNT = os.listdir


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "broker"
    path.touch()
    return path


@pytest.fixture
def doors(path: Path, monkeypatch: pytest.MonkeyPatch) -> Doors:
    """Those of a process that has no descriptor left."""

    def none_left(*arguments: Any) -> Any:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "eventfd", none_left)
    monkeypatch.setattr(os, "listdir", none_left)
    doors = Doors()
    doors.add(UnixListener(path))
    return doors


def test_without_any_descriptor_they_are_shut_and_stay_so(doors: Doors, path: Path) -> None:
    doors.look(1)
    assert doors.are_shut
    assert not path.exists()
    doors.look(1 + LOOK_EVERY)
    assert doors.are_shut


def test_they_are_opened_when_there_are_enough_again(doors: Doors, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    doors.look(1)
    monkeypatch.setattr(os, "eventfd", FREE)
    monkeypatch.setattr(os, "listdir", COUNT)
    doors.look(1 + LOOK_EVERY)
    assert not doors.are_shut
    assert path.exists()
