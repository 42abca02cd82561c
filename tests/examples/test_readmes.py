"""Every example runs as its README says: each block of commands is typed into a terminal, in the order of the page."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.world import REPOSITORY, World, environment, run_python
from tests.supervision.clones import wait_gone, write_program
from tests.test_docs import blocks

EXAMPLES = REPOSITORY / "examples"
NAMES = ("echo", "peer-streams", "worker-pool")

STAYS = re.compile(r"actrzmq-broker|python server\.py")
"""The last command of a terminal that stays as it is."""


class Terminals:
    """Shells in a copy of an example, with the programs of this environment first in PATH."""

    def __init__(self, example: Path, programs: Path, broker: str) -> None:
        self.example = example
        python = f'exec "{sys.executable}"'
        write_program(programs / "python", f'{python} "$@"')
        for name, module in (
            ("actr", "actrzmq.cli.entry"),
            ("actrzmq-broker", "actrzmq.brokerd.main"),
            ("supervisord", "supervisor.supervisord"),
            ("supervisorctl", "supervisor.supervisorctl"),
        ):
            write_program(programs / name, f'{python} -c "from {module} import main; main()" "$@"')
        self._environment = environment(
            PATH=f"{programs}:{os.environ['PATH']}",
            ACTRZMQ_BROKER=broker,
            XDG_STATE_HOME=str(programs / "state"),
        )
        self._open: list[subprocess.Popen[bytes]] = []

    def type(self, commands: str) -> str:
        """Run `commands` to their end; return what they have printed."""
        done = subprocess.run(
            ["bash", "-ec", commands],
            cwd=self.example,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == 0, f"{commands}\n{done.stdout}{done.stderr}"
        return done.stdout

    def leave(self, commands: str) -> None:
        """Run `commands`, the last of which goes on, in a terminal that stays open."""
        *before, last = commands.strip().splitlines()
        self._open.append(
            subprocess.Popen(
                ["bash", "-ec", "\n".join([*before, f"exec {last}"])],
                cwd=self.example,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
        )

    def close(self) -> None:
        """End what is still there, the latest first."""
        for terminal in reversed(self._open):
            terminal.terminate()
            assert terminal.wait(20) in (0, -signal.SIGTERM)
        for pid in self.example.rglob("supervisord.pid"):  # only where the page did not come to its end
            number = int(pid.read_text())
            os.kill(number, signal.SIGTERM)
            wait_gone(number, 30)


@pytest.fixture(params=NAMES)
def page(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def terminals(page: str, tmp_path: Path, free_address: str) -> Iterator[Terminals]:
    example = tmp_path / page
    shutil.copytree(EXAMPLES / page, example, ignore=shutil.ignore_patterns("generated", "__pycache__", ".actr"))
    terminals = Terminals(example, tmp_path / "bin", free_address)
    yield terminals
    terminals.close()


def test_the_example_does_what_its_readme_says(page: str, terminals: Terminals) -> None:
    shown, compared = "", 0
    for block in blocks(EXAMPLES / page / "README.md"):
        if block.language == "sh" and STAYS.match(block.text.strip().splitlines()[-1]):
            terminals.leave(block.text)
        elif block.language == "sh":
            shown = terminals.type(block.text)
        elif not block.language:
            assert pattern(block.text).fullmatch(shown), f"{block.text}\nis not\n{shown}"
            compared += 1
    assert compared


def pattern(expected: str) -> re.Pattern[str]:
    """What a block of output stands for: `…` is whatever comes there."""
    return re.compile(re.escape(expected).replace("…", ".*?").replace(re.escape("\n"), "\n"), re.DOTALL)


def test_every_example_has_a_readme_that_is_tested_or_a_test_of_its_own() -> None:
    assert {path.name for path in EXAMPLES.glob("[a-z]*/")} == {*NAMES, "stream-echo"}


def test_the_lock_and_the_cached_contract_of_each_example_are_those_of_its_server() -> None:
    pairs = {cached: source(cached) for name in NAMES for cached in (EXAMPLES / name).glob("*/protos/remote/*/*.proto")}
    assert len(pairs) == 4
    for cached, exported in pairs.items():
        assert cached.read_bytes() == exported.read_bytes()


def source(cached: Path) -> Path:
    """The exported file that `cached` is a copy of, on the other side of the example."""
    sides = cached.parents[4].glob(f"*/protos/local/{cached.name}")
    return next(sides)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[World]:
    """The examples' clients with their code generated, and no broker yet."""
    world = World(tmp_path / "examples", tmp_path)
    yield world
    world.stop()


CLIENTS = (
    ("echo/client", ("hello",)),
    ("echo/decorated", ("hello",)),
    ("peer-streams/client", ("lively", "5")),
    ("worker-pool/client", ("3",)),
)


@pytest.mark.parametrize(("client", "arguments"), CLIENTS)
def test_a_client_says_in_one_line_what_is_missing(
    home: World, free_address: str, client: str, arguments: tuple[str, ...]
) -> None:
    shutil.copytree(EXAMPLES / client, home.example, ignore=shutil.ignore_patterns("generated", "__pycache__"))
    if "decorated" not in client:
        done = run_python("-c", "from actrzmq.cli.main import main; main()", "gen", cwd=home.example)
        assert done.returncode == 0, done.stderr
    program = home.example / "client.py"
    program.write_text(program.read_text().replace("WAIT_S = 10\n", "WAIT_S = 2\n"))
    home.url = free_address
    without_broker = home.start("client.py", *arguments, cwd=home.example)
    interrupted = home.start("client.py", *arguments, cwd=home.example)
    wrong = home.start("client.py", cwd=home.example)
    interrupted.wait_for("no broker url")
    interrupted.process.send_signal(signal.SIGINT)
    assert without_broker.wait() == 3
    assert without_broker.err.splitlines()[-1] == "client.py: no broker; start it with `actrzmq-broker`"
    assert interrupted.wait() == 130
    assert wrong.wait() == 2
    assert len(wrong.err.splitlines()) == 1
    home.broker()
    alone = home.start("client.py", *arguments, cwd=home.example)
    assert alone.wait() == 4, alone.err
    assert "no live node of type" in alone.err.splitlines()[-1]
    assert "Traceback" not in without_broker.err + interrupted.err + alone.err
