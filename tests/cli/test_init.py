"""`actr init`: what it writes runs, and it writes over nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from actrzmq.cli.init import project_files
from actrzmq.errors import ActrConfigError
from tests.cli.commands import actr, refused
from tests.e2e.world import World, run_python


@pytest.fixture
def at_home(tmp_path: Path) -> Iterator[World]:
    """A broker, and a folder beside it that new projects are made in."""
    world = World(tmp_path, tmp_path)
    try:
        world.broker()
        yield world
    finally:
        world.stop()


@pytest.mark.parametrize("template", ["echo", "stream"])
def test_a_new_project_passes_its_own_test_after_the_commands_of_its_readme(at_home: World, template: str) -> None:
    made = actr("init", "--template", template, "--manufacturer", "demo", "my-first", cwd=at_home.folder)
    assert (made.returncode, made.stderr) == (0, "")
    project = at_home.folder / "my-first"
    for side in ("server", "client"):
        early = run_python(f"{side}.py", cwd=project / side)
        assert (early.returncode, len(early.stderr.splitlines())) == (2, 1)
        assert "run `actr gen` in " in early.stderr
        for command in ("install", "gen", "check"):
            done = actr(command, cwd=project / side, ACTRZMQ_BROKER=at_home.url)
            assert done.returncode == 0, done.stdout + done.stderr
            assert "wrote my_first" not in done.stdout  # the implementation is there already
        if side == "server":
            at_home.start("server.py", cwd=project / side).wait_for("registered id=")
    tested = run_python("-m", "unittest", cwd=project)
    assert tested.returncode == 0, tested.stderr
    assert "Ran 2 tests" in tested.stderr
    assert "Warning" not in tested.stderr


def test_without_a_folder_it_writes_only_into_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    assert actr("init", "--name", "echo", cwd=tmp_path).returncode == 0
    before = sorted(tmp_path.rglob("*"))
    assert "is not empty" in (said := refused(actr("init", "--name", "other", cwd=tmp_path), 1))
    assert "actr init DIR" in said
    assert sorted(tmp_path.rglob("*")) == before


def test_the_commands_that_it_shows_can_be_pasted_whatever_the_path(tmp_path: Path) -> None:
    made = actr("init", "my first $HOME", "--name", "echo", cwd=tmp_path)
    assert "  cd 'my first $HOME/server' && actr install && actr gen\n" in made.stdout


def test_nothing_is_written_where_a_file_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "server").mkdir()
    for path in ("README.md", "server/server.py"):
        (tmp_path / path).write_text("mine")
    said = refused(actr("init", ".", "--name", "echo", cwd=tmp_path), 1)
    assert "README.md, server/server.py in " in said
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()} == {
        "README.md",
        "server/server.py",
    }


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--name", "42"), "--name"),
        (("--name", "Größe 1/2"), "--name"),
        (("--name", "x" * 40), "xxx"),
        (("--name", "con"), "con.proto"),
        (("--name", "a", "--manufacturer", "4me"), "4me"),
        (("--template", "chat"), "'echo', 'stream'"),
    ],
)
def test_names_that_can_not_be_used_are_refused_in_words(tmp_path: Path, arguments: tuple[str, ...], word: str) -> None:
    assert word in refused(actr("init", *arguments, "new", cwd=tmp_path), 2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["Json", "class", "HTTPServer2", "a.b_c d"])
def test_names_that_mean_something_in_python_are_no_trouble(tmp_path: Path, name: str) -> None:
    texts = project_files("stream", "acme", name)
    for path, text in texts.items():
        if path.endswith(".py"):
            compile(text, path, "exec")
        assert "$" not in text


@pytest.mark.parametrize("name", ["alpha", "zulu"])
def test_imports_are_in_order_whatever_the_name(name: str) -> None:
    for text in (text for path, text in project_files("stream", "acme", name).items() if path.endswith(".py")):
        for block in re.findall(r"(?:^from .+\n)+", text, re.MULTILINE):
            modules = re.findall(r"^from (\S+)", block, re.MULTILINE)
            assert modules == sorted(modules)


def test_the_longest_name_leaves_room_for_the_client() -> None:
    project_files("echo", "acme", "x" * 26)
    with pytest.raises(ActrConfigError):
        project_files("echo", "acme", "x" * 27)
