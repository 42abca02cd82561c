"""The tutorial is typed into terminals, block by block, and says what it shows."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.world import environment
from tests.supervision.clones import write_program
from tests.test_docs import DOCS, Block, blocks

TUTORIAL = DOCS / "tutorial.md"


class Desk:
    """Numbered terminals, each with a program that goes on, and one for all the rest."""

    def __init__(self, folder: Path, broker: str) -> None:
        self.folder = folder
        self.project = folder / "shop"
        programs = folder / "bin"
        programs.mkdir()
        python = f'exec "{sys.executable}"'
        write_program(programs / "python", f'{python} "$@"')
        for name, module in (("actr", "actrzmq.cli.main"), ("actrzmq-broker", "actrzmq.brokerd.main")):
            write_program(programs / name, f'{python} -c "from {module} import main; main()" "$@"')
        self._environment = environment(
            PATH=f"{programs}:{os.environ['PATH']}", ACTRZMQ_BROKER=broker, XDG_STATE_HOME=str(folder / "state")
        )
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def do(self, block: Block) -> str:
        """What a reader does with a block of commands; returns what the terminal shows."""
        shown = ""
        for number, keys in re.findall(r"^# terminal (\d)(: Ctrl-C)?$", block.text, re.MULTILINE):
            if keys:
                self.interrupt(number)
            else:
                self._running[number] = self._leave(block.text)
        if not re.match(r"# terminal", block.text):
            shown = self._type(block.text, self.folder if block.text.startswith("# in the folder") else self.project)
        return shown

    def interrupt(self, number: str) -> None:
        """Press Ctrl-C there, and see it end."""
        program = self._running.pop(number)
        os.killpg(program.pid, signal.SIGINT)
        assert program.wait(20) in (0, 130)

    def close(self) -> None:
        """Close what is still open, which is nothing if the page came to its end."""
        for program in self._running.values():
            os.killpg(program.pid, signal.SIGKILL)
            program.wait(20)

    def save(self, block: Block) -> None:
        """Put a file of the page where it says."""
        (self.project / block.file).write_text(block.text.partition("\n")[2])

    def _type(self, commands: str, folder: Path) -> str:
        done = subprocess.run(
            ["bash", "-ec", commands],
            cwd=folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == 0, f"{commands}\n{done.stdout}"
        return done.stdout

    def _leave(self, commands: str) -> subprocess.Popen[bytes]:
        *before, last = commands.strip().splitlines()
        return subprocess.Popen(
            ["bash", "-ec", "\n".join([*before, f"exec {last}"])],
            cwd=self.project,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )


def narrow(text: str) -> str:
    """The same text with single spaces: a table's columns are as wide as what one run happened to put in them."""
    return re.sub(" +", " ", text)


@pytest.fixture
def desk(tmp_path: Path, free_address: str) -> Iterator[Desk]:
    desk = Desk(tmp_path, free_address)
    yield desk
    desk.close()


def test_the_tutorial_does_what_it_says(desk: Desk) -> None:
    shown, compared = "", 0
    for block in blocks(TUTORIAL):
        if block.language == "sh":
            shown = desk.do(block)
        elif block.file:
            desk.save(block)
        else:
            assert block.language == "", f"a block that nobody knows what to do with: {block}"
            expected = re.escape(narrow(block.text)).replace("…", ".*?")
            assert re.fullmatch(expected, narrow(shown), re.DOTALL), f"{block.text}\nis not\n{shown}"
            compared += 1
    assert compared >= 9
    assert not desk._running
