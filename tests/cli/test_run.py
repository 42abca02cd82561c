"""`actr run`: scripts of the manifest, without a shell, where the manifest is."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.cli.commands import MANIFEST, actr, refused

SHOW = "import json, os, sys; print(json.dumps([sys.argv[1:], os.getcwd(), sys.prefix]))"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "show.py").write_text(SHOW)
    (tmp_path / "fail.py").write_text("raise SystemExit(7)")
    (tmp_path / "Actr.toml").write_text(
        f"{MANIFEST}[scripts]\n"
        "run = \"python show.py 'one word' $HOME\"\n"
        'fail = "python fail.py"\n'
        'gone = "no-such-program"\n'
        'empty = "  "\n'
        'open = "python \'show.py"\n'
        'nul = "python show.py a\\u0000b"\n'
    )
    return tmp_path


def test_a_script_runs_without_a_shell_in_the_folder_of_the_manifest(project: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    found = actr("run", "--actr-toml", "../Actr.toml", cwd=elsewhere)
    assert found.returncode == 0, found.stderr
    arguments, folder, _ = json.loads(found.stdout)
    assert arguments == ["one word", "$HOME"]
    assert folder == str(project)


def test_python_is_the_one_that_runs_actr_whatever_the_path(project: Path) -> None:
    found = actr("run", cwd=project, PATH="/usr/bin:/bin")
    assert json.loads(found.stdout)[2] == sys.prefix


def test_what_follows_the_script_is_added_to_its_command_line(project: Path) -> None:
    found = actr("run", "run", "--json", "-x", "y", cwd=project)
    assert json.loads(found.stdout)[0] == ["one word", "$HOME", "--json", "-x", "y"]


def test_the_exit_code_is_that_of_the_script(project: Path) -> None:
    assert actr("run", "fail", cwd=project).returncode == 7


def test_scripts_are_listed(project: Path) -> None:
    found = actr("run", "--list", cwd=project)
    assert found.returncode == 0
    assert found.stdout.splitlines()[:3] == [
        "SCRIPT  COMMAND",
        "run     python show.py 'one word' $HOME",
        "fail    python fail.py",
    ]


def test_scripts_are_listed_as_json(project: Path) -> None:
    assert json.loads(actr("run", "--list", "--json", cwd=project).stdout)["fail"] == "python fail.py"


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("tset", ("'tset'", "run, fail, gone, empty, open, nul")),
        ("gone", ("no-such-program", "PATH")),
        ("empty", ("scripts.empty", "expected a command line")),
        ("open", ("scripts.open", "quotation")),
        ("nul", ("scripts.nul", "NUL")),
    ],
)
def test_what_can_not_run_is_named(project: Path, script: str, words: tuple[str, ...]) -> None:
    said = refused(actr("run", script, cwd=project), 2)
    for word in words:
        assert word in said


def test_without_scripts_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "Actr.toml").write_text(MANIFEST)
    assert refused(actr("run", cwd=tmp_path), 2).endswith("it has none\n")
