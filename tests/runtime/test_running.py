"""The event loop that a main program runs on."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from types import ModuleType

import pytest

from actrzmq import ActrConfigError, ActrSystem, run
from actrzmq.testing import LocalCluster


def manifest(folder: Path, *, uvloop: bool, url: str = "") -> Path:
    path = folder / "Actr.toml"
    broker = f'[system.broker]\nurl = "{url}"\n' if url else ""
    path.write_text(
        '[package]\nname = "caller"\n[package.actr_type]\nmanufacturer = "acme"\nname = "Caller"\n'
        f"{broker}[system.runtime]\nuvloop = {str(uvloop).lower()}\n"
    )
    return path


class OtherLoop(asyncio.SelectorEventLoop):
    """Stands for that of uvloop, which need not be installed here."""


@pytest.fixture
def uvloop(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("uvloop")
    module.new_event_loop = OtherLoop  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "uvloop", module)
    return module


async def what_runs() -> type:
    return type(asyncio.get_running_loop())


def test_a_program_runs_on_uvloop_where_its_manifest_says_so(tmp_path: Path, uvloop: ModuleType) -> None:
    assert run(what_runs(), manifest(tmp_path, uvloop=True)) is OtherLoop
    assert run(what_runs(), str(manifest(tmp_path, uvloop=False))) is not OtherLoop


def test_where_uvloop_is_asked_for_and_not_there_nothing_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)  # importing it fails then
    ran = False

    async def main() -> None:
        nonlocal ran
        ran = True

    with pytest.raises(ActrConfigError, match=r"Actr.toml: system.runtime.uvloop .*pip install 'actrzmq\[uvloop\]'"):
        run(main(), manifest(tmp_path, uvloop=True))
    assert not ran


def test_a_manifest_that_cannot_be_read_is_refused_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(ActrConfigError, match="nowhere"):
        run(what_runs(), tmp_path / "nowhere.toml")


async def test_a_node_that_was_to_run_on_uvloop_and_does_not_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with LocalCluster() as cluster:
        url = cluster.url
        async with await ActrSystem.from_toml(manifest(tmp_path, uvloop=True, url=url)) as system:
            await system.attach().start()
    assert "start the program with actrzmq.run" in caplog.text
