"""`actr completion`: scripts that the shells understand, and that complete."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cli.commands import actr, refused
from tests.e2e.world import environment, run_python


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_for_each_shell(tmp_path: Path, shell: str) -> None:
    found = actr("completion", shell, cwd=tmp_path)
    assert (found.returncode, found.stderr) == (0, "")
    assert f"_ACTR_COMPLETE={shell}_complete" in found.stdout


def test_bash_takes_it(tmp_path: Path) -> None:
    bash = shutil.which("bash")
    assert bash is not None
    script = actr("completion", "bash", cwd=tmp_path).stdout
    subprocess.run([bash, "-ec", script + "\ncomplete -p actr"], env=environment(), check=True, capture_output=True)


def test_commands_and_options_are_completed(tmp_path: Path) -> None:
    def completed(words: str) -> list[str]:
        found = run_python(
            "-c",
            "from actrzmq.cli.main import main; main()",
            cwd=tmp_path,
            _ACTR_COMPLETE="bash_complete",
            COMP_WORDS=words,
            COMP_CWORD=str(len(words.split(" ")) - 1),
        )
        return found.stdout.split()

    assert completed("actr in") == ["plain,init", "plain,install"]
    assert completed("actr init --te") == ["plain,--template"]
    assert completed("actr init --template st") == ["plain,stream"]


def test_another_shell_is_refused_with_those_that_are_known(tmp_path: Path) -> None:
    assert "'bash', 'zsh', 'fish'" in refused(actr("completion", "tcsh", cwd=tmp_path), 2)
