"""A little of what `make sabotage` does at length, and that its table is in order."""

from __future__ import annotations

import ast
import os
import subprocess
import sys

import pytest

from tests.results import ROOT
from tests.sabotage.patches import SABOTAGES
from tests.sabotage.plugin import VARIABLE
from tests.sabotage.trying import try_out


@pytest.mark.parametrize("name", SABOTAGES)
def test_each_names_a_test_that_there_is(name: str) -> None:
    path, _, function = SABOTAGES[name].test.partition("::")
    tree = ast.parse((ROOT / path).read_text())
    assert function in [node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def test_each_takes_out_something_that_there_is() -> None:
    """One after the other in one process: what was renamed meanwhile raises."""
    code = "from tests.sabotage.patches import SABOTAGES\nfor one in SABOTAGES.values(): one.take_out()"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)
    assert VARIABLE not in os.environ


@pytest.mark.parametrize("name", ["mandatory off", "age of batches unread"])
def test_a_harm_is_noticed(name: str) -> None:
    verdict = try_out(name)
    assert verdict.is_caught, verdict.words


def test_an_error_of_the_harm_itself_is_no_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SABOTAGES, "missing", SABOTAGES["mandatory off"])
    verdict = try_out("missing")  # which the other process does not know
    assert not verdict.is_caught
