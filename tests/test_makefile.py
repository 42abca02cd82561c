"""The Makefile says in one line where it can't work, before it does anything."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.supervision.clones import REPOSITORY, environment


@pytest.mark.parametrize("letter", ["$", "%", '"', "\\", "`"])
def test_a_clone_in_a_path_that_its_tools_misread_is_refused_in_one_line(tmp_path: Path, letter: str) -> None:
    clone = tmp_path / f"100{letter}HOME x"
    clone.mkdir()
    shutil.copy(REPOSITORY / "Makefile", clone)
    for target in ("setup", "demo"):
        done = subprocess.run(
            ["make", "--no-print-directory", target, "PYTHON=/nonexistent"],
            cwd=clone,
            env=environment(PATH="/usr/bin:/bin"),
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        assert done.returncode == 2
        assert done.stdout == ""
        assert len(done.stderr.splitlines()) == 1
        assert f"the path {clone} has {letter} in it" in done.stderr
        assert "move the clone" in done.stderr
    assert [path.name for path in clone.iterdir()] == ["Makefile"]


@pytest.mark.parametrize("name", ["plain", "it's (a) [clone] #1 & more; ~ ünd"])
def test_a_clone_in_any_other_path_is_taken(tmp_path: Path, name: str) -> None:
    clone = tmp_path / name
    clone.mkdir()
    shutil.copy(REPOSITORY / "Makefile", clone)
    done = subprocess.run(
        ["make", "--no-print-directory", "--dry-run", "clean"],
        cwd=clone,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("python", ["/bin/false", "/nonexistent"])
def test_a_python_that_was_given_is_used_or_refused_by_name(tmp_path: Path, python: str) -> None:
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(REPOSITORY / name, tmp_path)
    done = subprocess.run(
        ["make", "--no-print-directory", "setup", f"PYTHON={python}"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert f"needs Python 3.11 or newer, which {python} is not" in done.stderr.splitlines()[0]
    assert not (tmp_path / ".venv").exists()
