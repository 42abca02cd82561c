"""What holds for every command: help with an example, one line for a mistake, no traceback for a closed pipe."""

from __future__ import annotations

import shlex
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import click
import pytest

from actrzmq.cli.main import COMMANDS, find_command
from actrzmq.cli.main import actr as group
from tests.cli.commands import MAIN, MANIFEST, actr, refused
from tests.e2e.world import environment, run_python


def commands() -> dict[str, click.Command]:
    return {name: find_command(name) for name in COMMANDS}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name: str) -> None:
    command = commands()[name]
    parent = click.Context(group, info_name="actr", **group.context_settings)
    with click.Context(command, info_name=name, parent=parent) as context:
        text = command.get_help(context)
    assert f"actr {name}" in text.partition("Example")[2]
    for parameter in command.params:
        assert isinstance(parameter, click.Argument) or parameter.name == "language" or parameter.help, parameter


def test_help_names_every_command_by_its_purpose(tmp_path: Path) -> None:
    found = actr("--help", cwd=tmp_path)
    assert found.returncode == 0
    assert "Build a project:" in found.stdout
    for name, text in COMMANDS.items():
        assert f"  {name} " in found.stdout
        assert text.split()[0] in found.stdout


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_help_loads_nothing_but_click_and_no_command(argument: str, tmp_path: Path) -> None:
    code = "import sys, actrzmq.cli.main as m; m.run(sys.argv[1:]); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code, argument],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "actrzmq.cli.main" in loaded
    assert {module for module in loaded if module.startswith("actrzmq.")} == {
        "actrzmq._version",
        "actrzmq.cli",
        "actrzmq.cli.exits",
        "actrzmq.cli.main",
        "actrzmq.errors",
    }
    heavy = {"rich", "tomlkit", "tomli", "grpc", "grpc_tools", "google.protobuf", "zmq", "msgspec", "supervisor"}
    assert not loaded & (heavy | {"asyncio", "subprocess", "sqlite3", "ssl", "json"})


def test_without_a_command_the_help_is_shown_and_it_counts_as_a_mistake(tmp_path: Path) -> None:
    found = actr(cwd=tmp_path)
    assert (found.returncode, found.stdout) == (2, "")
    assert "Build a project:" in found.stderr


def test_a_misspelled_command_is_told_what_was_meant(tmp_path: Path) -> None:
    said = refused(actr("inti", cwd=tmp_path), 2)
    assert said == "actr: there is no command 'inti'; did you mean 'init'?; see `actr --help`\n"


def test_a_wrong_option_is_one_line_that_leads_to_the_help(tmp_path: Path) -> None:
    said = refused(actr("gen", "--frobnicate", cwd=tmp_path), 2)
    assert "--frobnicate" in said
    assert said.endswith("; see `actr gen --help`\n")


def test_a_reader_that_leaves_is_no_failure(tmp_path: Path) -> None:
    scripts = "".join(f's{number:05} = "true {"x" * 90}"\n' for number in range(2_000))
    (tmp_path / "Actr.toml").write_text(
        f'[package]\nname = "a"\n[package.actr_type]\nmanufacturer = "acme"\nname = "A"\n[scripts]\n{scripts}'
    )
    process = subprocess.Popen(
        [sys.executable, *MAIN, "run", "--list"],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline().startswith("SCRIPT")
    process.stdout.close()
    with process.stderr as errors:
        assert errors.read() == ""
    assert process.wait(30) == 0


INTERRUPTED_IMPORT = """
import sys
from importlib.metadata import entry_points

class Interrupted:
    def find_spec(self, name, *_):
        if name == "click":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupted())
from actrzmq.cli.entry import main
main()
"""


def test_ctrl_c_during_the_imports_is_like_any_other(tmp_path: Path) -> None:
    found = run_python("-c", INTERRUPTED_IMPORT, "ps", cwd=tmp_path)
    assert (found.returncode, found.stdout, found.stderr) == (130, "", "")


def test_the_entry_point_runs_the_command_and_has_its_exit_code(tmp_path: Path) -> None:
    (script,) = entry_points(group="console_scripts", name="actr")
    found = run_python("-c", f"from {script.module} import main; main()", "inti", cwd=tmp_path)
    assert refused(found, 2).startswith("actr: there is no command 'inti'")


def unprintable(redirection: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    (cwd / "Actr.toml").write_text(f'{MANIFEST}[scripts]\nlong = "true"\n')
    command = shlex.join([sys.executable, *MAIN, "run", "--list"])
    return subprocess.run(
        ["sh", "-c", f"{command} {redirection}"],
        cwd=cwd,
        env=environment(PYTHONUNBUFFERED=""),  # what is left in a buffer is written at the very end, again
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_an_output_that_is_closed_is_said_in_one_line(tmp_path: Path) -> None:
    assert "standard output is closed" in refused(unprintable(">&-", tmp_path), 1)


def test_an_output_that_is_full_is_said_in_one_line(tmp_path: Path) -> None:
    said = refused(unprintable(">/dev/full", tmp_path), 1)
    assert said == "actr: standard output: No space left on device\n"


def test_a_closed_standard_error_changes_nothing(tmp_path: Path) -> None:
    assert unprintable("2>&-", tmp_path).returncode == 0
