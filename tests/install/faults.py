"""A folder whose steps fail on purpose, and a change that takes every kind of step."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from actrzmq.install.folder import Folder
from actrzmq.install.transaction import Changes, Edit

STEPS = ("make_folder", "write", "move", "remove", "remove_empty", "sync")

OLD = {
    "Actr.toml": b"old manifest\n",
    "Actr.lock.toml": b"old lock\n",
    "protos/remote/a/x.proto": b"old x\n",
    "protos/remote/a/deep/er/y.proto": b"old y\n",
    "protos/remote/gone/z.proto": b"old z\n",
    "protos/remote/gone/notes.txt": b"mine\n",
}
NEW = {
    "Actr.toml": b"new manifest\n",
    "Actr.lock.toml": b"new lock\n",
    "protos/remote/a/x.proto": b"new x\n",
    "protos/remote/b/very/deep/w.proto": b"new w\n",
    "protos/remote/gone/notes.txt": b"mine\n",
}
CHANGES = Changes(
    lock=NEW["Actr.lock.toml"],
    manifest=Edit("Actr.toml", OLD["Actr.toml"], NEW["Actr.toml"]),
    write={"a/x.proto": b"new x\n", "b/very/deep/w.proto": b"new w\n"},
    remove=("a/deep/er/y.proto", "gone/z.proto"),
)


class Killed(BaseException):
    """The process is no more."""


class Failing:
    """Fails around one step: before it, or when it has been taken. Steps are counted from 0."""

    def __init__(self, at: int, after: bool, fail: Callable[[], None], for_good: bool = True) -> None:
        self.at, self.after, self.fail, self.for_good = at, after, fail, for_good
        self.taken = 0

    @property
    def is_due(self) -> bool:
        return self.taken == self.at or (self.for_good and self.taken > self.at)

    def step(self, take: Callable[[], Any]) -> Any:
        if self.is_due and not self.after:
            self._fail()
        result = take()
        if self.is_due:
            self._fail()
        self.taken += 1
        return result

    def _fail(self) -> None:
        self.taken += 1
        self.fail()


class FailingFolder(Folder):
    """A folder that takes its steps through `failing`."""

    def __init__(self, root: Path, failing: Failing) -> None:
        super().__init__(root)
        for name in STEPS:
            setattr(self, name, self._wrapped(getattr(super(), name), failing))

    def _wrapped(self, step: Callable[..., Any], failing: Failing) -> Callable[..., Any]:
        return lambda *arguments: failing.step(lambda: step(*arguments))


def kill() -> None:
    """As a debugger, the kernel or a user does."""
    os.kill(os.getpid(), signal.SIGKILL)


def raise_killed() -> None:
    raise Killed


def disk_full() -> None:
    raise OSError(28, "No space left on device")


def make_old(project: Path) -> None:
    for path, content in OLD.items():
        (project / path).parent.mkdir(parents=True, exist_ok=True)
        (project / path).write_bytes(content)
