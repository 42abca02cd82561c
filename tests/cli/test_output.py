"""Tables: coloured for people, plain and uncut for pipes, and never more than text."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from actrzmq.cli.output import show_json, show_table
from tests.cli.commands import MAIN, MANIFEST
from tests.e2e.world import environment


def on_a_terminal(*arguments: str, cwd: Path, **variables: str) -> str:
    """What the command writes to a terminal of 40 columns."""
    outer, inner = pty.openpty()
    try:
        process = subprocess.Popen(
            [sys.executable, *MAIN, *arguments],
            cwd=cwd,
            env=environment(TERM="xterm-256color", COLUMNS="40", **variables),
            stdout=inner,
        )
        assert process.wait(30) == 0
        return os.read(outer, 65_536).decode()
    finally:
        os.close(outer)
        os.close(inner)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "Actr.toml").write_text(f'{MANIFEST}[scripts]\nlong = "{"word " * 20}[bold]end"\n')
    return tmp_path


def test_a_terminal_gets_a_table_that_fits(project: Path) -> None:
    shown = on_a_terminal("run", "--list", cwd=project)
    assert "\x1b[1m" in shown
    assert len(shown.splitlines()) > 3
    assert "[bold]end" in shown.replace("\r\n      ", "")


def test_no_color_means_none(project: Path) -> None:
    assert "\x1b" not in on_a_terminal("run", "--list", cwd=project, NO_COLOR="1")


def test_a_pipe_gets_whole_lines_in_columns(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(("id", "what"), [("1", "x" * 500), ("long-one", "")])
    assert capsys.readouterr().out == f"ID        WHAT\n1         {'x' * 500}\nlong-one  -\n"


def test_what_is_in_a_cell_can_neither_steer_the_terminal_nor_forge_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(("a",), [("x\x1b[2J\ny\r",)])
    assert capsys.readouterr().out == "A\nx\\x1b[2J y\n"


def test_json_stays_the_same_with_what_a_terminal_would_obey_spelled_out(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"a\x9b": "ö\x1b\u202e\U000e0001"}
    show_json(value)
    shown = capsys.readouterr().out
    assert json.loads(shown) == value
    assert "ö" in shown
    assert all(one.isprintable() or one == "\n" for one in shown)


def narrow(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setattr("actrzmq.cli.output.on_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("NO_COLOR", "1")


ID = "6f3a19c2d4e5@0:acme+StreamEchoServer"
ROW = (ID, "stream-echo", "up", "a.host.with.a.long.name", "1.0.0")
HEADING = ("id", "name", "state", "host", "version")


@pytest.mark.parametrize(
    ("columns", "headings"),
    [(120, "ID NAME STATE HOST VERSION"), (85, "ID NAME STATE HOST"), (80, "ID NAME STATE"), (40, "ID NAME STATE")],
)
def test_a_narrow_terminal_keeps_ids_whole_and_leaves_out_what_matters_least(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int, headings: str
) -> None:
    narrow(monkeypatch, columns)
    show_table(HEADING, [ROW], whole=("id", "state"), spare=("version", "host"))
    heading, first, *_ = capsys.readouterr().out.splitlines()
    assert " ".join(heading.replace("\x1b[1m", "").replace("\x1b[0m", "").split()) == headings
    assert first.startswith(f"{ID}  ")


def test_what_fits_is_left_as_it_is(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    narrow(monkeypatch, 30)
    show_table(("id", "what"), [("1", "x" * 25)], whole=("id",), spare=("what",))
    assert "x" * 25 in capsys.readouterr().out
