"""Projects in a temporary folder: files in, generated packages out, used in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from actrzmq.codegen.generate import Inputs, generate
from actrzmq.codegen.writer import Plan, apply

REPOSITORY = Path(__file__).parents[2]


class Project:
    """A project below `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, path: str, text: str) -> Path:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode())
        return file

    def plan(self, *, exports: tuple[str, ...] = (), aliases: tuple[str, ...] = (), output: str = "generated") -> Plan:
        """What `actr gen` would do; `exports` are paths below protos/."""
        inputs = Inputs(self.folder / "protos", tuple(self.folder / "protos" / path for path in exports), aliases)
        return generate(inputs, self.folder / output)

    def gen(self, *, exports: tuple[str, ...] = (), aliases: tuple[str, ...] = (), output: str = "generated") -> Plan:
        """What `actr gen` does."""
        changes = self.plan(exports=exports, aliases=aliases, output=output)
        apply(changes)
        return changes

    def files(self) -> dict[str, bytes]:
        """Every file of the project, but byte code."""
        return {
            path.relative_to(self.folder).as_posix(): path.read_bytes()
            for path in sorted(self.folder.rglob("*"))
            if path.is_file() and "__pycache__" not in path.parts
        }

    def run(self, code: str, *paths: Path) -> str:
        """The output of `code` in a fresh process that stands elsewhere and imports from the project."""
        elsewhere = self.folder / ".elsewhere"
        elsewhere.mkdir(exist_ok=True)
        found = subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            cwd=elsewhere,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (*paths, self.folder, REPOSITORY)))},
            capture_output=True,
            text=True,
            check=False,
        )
        assert found.returncode == 0, found.stderr
        return found.stdout
