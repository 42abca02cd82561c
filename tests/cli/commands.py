"""Runs `actr` as a user does."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.e2e.world import run_python

MAIN = ("-c", "from actrzmq.cli.main import main; main()")

MANIFEST = '[package]\nname = "a"\n[package.actr_type]\nmanufacturer = "acme"\nname = "A"\n'


def actr(*arguments: str, cwd: Path, timeout: float = 60, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end. It has no terminal and no input."""
    return run_python(*MAIN, *arguments, cwd=cwd, timeout=timeout, **variables)


def refused(found: subprocess.CompletedProcess[str], code: int) -> str:
    """The one line on standard error with which a command ended; it printed nothing else, and no traceback."""
    assert found.returncode == code, found.stderr
    assert found.stdout == ""
    assert len(found.stderr.splitlines()) == 1, found.stderr
    return found.stderr
