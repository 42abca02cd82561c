"""`actr init`: what it writes runs, and it writes over nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from actrzmq.cli.init import project_files
from actrzmq.errors import ActrConfigError
from tests.cli.commands import actr, refused
from tests.e2e.world import run_python


@pytest.mark.parametrize("template", ["echo", "stream"])
def test_a_new_project_generates_and_passes_its_own_test(tmp_path: Path, template: str) -> None:
    made = actr("init", "--template", template, "--manufacturer", "demo", "my-first", cwd=tmp_path)
    assert (made.returncode, made.stderr) == (0, "")
    project = tmp_path / "my-first"
    for side in ("server", "client"):
        generated = actr("gen", cwd=project / side)
        assert generated.returncode == 0, generated.stderr
        assert "wrote my_first" not in generated.stdout  # the implementation is there already
    tested = run_python("-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=project)
    assert tested.returncode == 0, tested.stdout
    assert "2 passed" in tested.stdout


def test_nothing_is_written_where_a_file_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "server").mkdir()
    for path in ("README.md", "server/server.py"):
        (tmp_path / path).write_text("mine")
    said = refused(actr("init", "--name", "echo", cwd=tmp_path), 1)
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
