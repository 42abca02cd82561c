"""Runs `actr` as a user does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.e2e.world import environment

MAIN = ("-c", "from actrzmq.cli.entry import main; main()")

MANIFEST = '[package]\nname = "a"\n[package.actr_type]\nmanufacturer = "acme"\nname = "A"\n'


def actr(
    *arguments: str, cwd: Path, timeout: float = 60, input: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end, with `input` and without a terminal."""
    return subprocess.run(
        [sys.executable, *MAIN, *arguments],
        cwd=cwd,
        env=environment(**variables),
        input=input,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def refused(found: subprocess.CompletedProcess[str], code: int) -> str:
    """The one line on standard error with which a command ended; it printed nothing else, and no traceback."""
    assert found.returncode == code, found.stderr
    assert found.stdout == ""
    assert len(found.stderr.splitlines()) == 1, found.stderr
    return found.stderr
