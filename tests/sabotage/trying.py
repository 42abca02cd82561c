"""One test in a process of its own, with or without a harm done."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence

from msgspec import Struct

from tests.results import ROOT
from tests.sabotage.patches import SABOTAGES
from tests.sabotage.plugin import VARIABLE

WITHIN_S = 60
RED = 1
"""What pytest exits with where tests have failed; any other code is no finding."""


class Verdict(Struct, frozen=True):
    """Was it noticed, how soon, and what was said."""

    is_caught: bool
    seconds: float
    words: str


def try_out(name: str) -> Verdict:
    """Do the harm `name` and run its test: red within a minute, or it does not count."""
    began = time.monotonic()
    try:
        done = _run([SABOTAGES[name].test], {VARIABLE: name}, WITHIN_S)
    except subprocess.TimeoutExpired:
        return Verdict(False, time.monotonic() - began, f"no verdict within {WITHIN_S} s")
    said = re.findall(r"^E   +(.+)", done.stdout, re.MULTILINE)
    words = said[0] if said else (done.stdout + done.stderr).strip().splitlines()[-1]
    has_failed = re.search(r"^FAILED ", done.stdout, re.MULTILINE) is not None
    return Verdict(done.returncode == RED and has_failed, time.monotonic() - began, words[:150])


def is_green(tests: Sequence[str]) -> bool:
    """Do they pass, with nothing taken out?"""
    return _run(tests, {}, 10 * WITHIN_S).returncode == 0


def _run(tests: Sequence[str], variables: dict[str, str], timeout: float) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-n0", "-x", "-p", "tests.sabotage.plugin", "--timeout=40", *tests]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **variables}, capture_output=True, text=True, timeout=timeout, check=False
    )
