"""Contracts go from a server through the broker into a client's project, whoever of them is up at the time."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.world import Program, World, messages, received, run_python

ACTR = ("-c", "from actrzmq.cli.entry import main; main()")
GOLDEN = "service_semantic:8cd6382d374752af9f3ad1488cb4d465dd0fc1a8e22b69eee6e5a75d793d0708"
ALIAS = "stream-register-server-python"


class Client:
    """The client's folder as it is in a fresh clone, but with nothing that was fetched or generated."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self.folder = folder / "client"
        shutil.copytree(world.example / "client", self.folder)
        self.clean()

    def clean(self) -> None:
        for path in ("protos/remote", "generated"):
            shutil.rmtree(self.folder / path)
        (self.folder / "Actr.lock.toml").unlink()

    def actr(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run_python(*ACTR, *arguments, cwd=self.folder, ACTRZMQ_BROKER=self.world.url)

    def install(self) -> None:
        """Install and generate, from nothing but the manifest."""
        done = self.actr("install")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == f"added      {ALIAS}  8cd6382d3747\nnext: actr gen\n"
        assert f'fingerprint = "{GOLDEN}"' in (self.folder / "Actr.lock.toml").read_text()
        done = self.actr("gen", "--input", "protos", "--output", "generated", "--language", "python")
        assert done.returncode == 0, done.stderr

    def run(self) -> None:
        program = self.world.start("client.py", "my-stream", "3", cwd=self.folder)
        assert program.wait(60) == 0, program.err
        assert received(program) == messages(3, "my-stream")

    def files(self) -> dict[str, tuple[bytes, int]]:
        return {
            path.relative_to(self.folder).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns)
            for path in self.folder.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }


@pytest.fixture
def client(world: World, tmp_path: Path) -> Client:
    (tmp_path / "project").mkdir()
    return Client(world, tmp_path / "project")


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_held(path: Path) -> bool:
    """Does a process hold the lock file at `path`? To look must not get in its way, as trying to take it would."""
    return path.exists() and f":{path.stat().st_ino} " in Path("/proc/locks").read_text()


def serve(world: World) -> Program:
    server = world.server("--interval", "0.01")
    server.wait_for("registered id=")
    return server


def test_a_fresh_client_installs_generates_and_runs_with_server_and_broker_coming_and_going(
    world: World, client: Client
) -> None:
    broker = world.broker()
    server = serve(world)
    client.install()
    client.run()

    before = client.files()
    server.stop()
    broker.stop()
    assert client.actr("install").stdout == f"unchanged  {ALIAS}  8cd6382d3747\n"
    assert client.files() == before

    world.broker(world.url)
    client.clean()
    client.install()
    serve(world)
    client.run()


def test_without_a_broker_or_a_server_nothing_is_written(world: World, client: Client) -> None:
    broker = world.broker()
    before = client.files()
    done = client.actr("install")
    assert (done.returncode, done.stdout) == (4, "")
    assert "nothing is published for acme+StreamEchoServer" in done.stderr
    broker.stop()
    done = client.actr("install", "--timeout", "0.5")
    assert (done.returncode, done.stdout) == (3, "")
    assert world.url in done.stderr
    assert client.files() == before


def test_several_at_once_install_the_same(world: World, client: Client) -> None:
    world.broker()
    serve(world)
    programs = [world.start(*ACTR, "install", cwd=client.folder) for _ in range(3)]
    assert [program.wait() for program in programs] == [0, 0, 0], [program.err for program in programs]
    assert sorted(program.out.split()[0] for program in programs) == ["added", "unchanged", "unchanged"]
    assert not (client.folder / ".actr").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_the_broker_is_silent_ends_it_in_good_order_and_changes_nothing(
    world: World, client: Client, number: signal.Signals
) -> None:
    broker = world.broker()
    broker.process.send_signal(signal.SIGSTOP)
    before = client.files()
    program = world.start(*ACTR, "install", "--timeout", "60", cwd=client.folder)
    state = client.folder / ".actr" / "lock"
    wait_until(lambda: is_held(state) and len(os.listdir(f"/proc/{program.process.pid}/task")) > 1)  # it asks
    program.process.send_signal(number)
    assert program.wait(20) == 128 + number
    assert "Traceback" not in program.err
    assert client.files() == before
    assert not state.parent.exists()
