"""All or nothing: a change that is interrupted around any of its steps is the old state or the new one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from actrzmq.errors import ActrConfigError, ActrTimeoutError
from actrzmq.install.transaction import JOURNAL, STATE, Changes, commit, heal, held
from tests.e2e.world import REPOSITORY, environment
from tests.install.faults import (
    CHANGES,
    NEW,
    OLD,
    Failing,
    FailingFolder,
    Killed,
    disk_full,
    make_old,
    raise_killed,
)
from tests.install.published import contents


@pytest.fixture(autouse=True)
def _without_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a killed process has written is there for the next one, whether it has reached the disk or not."""
    monkeypatch.setattr("os.fsync", lambda _: None)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    project = tmp_path / "project"
    make_old(project)
    return project


def change(project: Path, failing: Failing, changes: Changes = CHANGES) -> None:
    folder = FailingFolder(project, failing)
    with held(project, folder=folder):
        commit(project, changes, folder)


def steps_of(project: Path, changes: Changes = CHANGES) -> int:
    """How many steps the change takes when nothing goes wrong."""
    failing = Failing(10_000, False, raise_killed)
    change(project, failing, changes)
    return failing.taken


def locked_state(project: Path) -> dict[str, bytes]:
    """The state that the lock file stands for."""
    return NEW if (project / "Actr.lock.toml").read_bytes() == NEW["Actr.lock.toml"] else OLD


def test_a_change_that_nothing_interrupts_is_the_new_state_and_leaves_nothing_behind(project: Path) -> None:
    assert steps_of(project) > 30
    assert contents(project) == NEW
    assert not (project / STATE).exists()
    assert not (project / "protos/remote/a/deep").exists()


def every_step(tmp_path: Path, check: Callable[[Path, int, bool], None]) -> None:
    counted = tmp_path / "counted"
    make_old(counted)
    for at in range(steps_of(counted)):
        for after in (False, True):
            project = tmp_path / f"{at}-{after}"
            make_old(project)
            check(project, at, after)


def test_killed_around_any_step_it_is_old_or_new_and_the_next_command_heals(tmp_path: Path) -> None:
    seen = []

    def check(project: Path, at: int, after: bool) -> None:
        with pytest.raises(Killed):
            change(project, Failing(at, after, raise_killed))
        state = locked_state(project)
        heal(project)
        assert contents(project) == state, (at, after)
        assert not (project / STATE).exists() or not any((project / STATE).iterdir())
        seen.append(state is NEW)

    every_step(tmp_path, check)
    assert seen == sorted(seen), "once new, it stays new"
    assert {True, False} == set(seen)


def test_killed_while_healing_from_any_step_it_heals_at_last(tmp_path: Path) -> None:
    def check(project: Path, at: int, after: bool) -> None:
        if after:
            return
        with pytest.raises(Killed):
            change(project, Failing(at, False, raise_killed))
        state = locked_state(project)
        for healing in range(100):
            try:
                with held(project, folder=FailingFolder(project, Failing(healing, True, raise_killed))):
                    break
            except Killed:
                pass
        assert contents(project) == state, at

    every_step(tmp_path, check)


def test_one_step_that_fails_is_put_right_at_once(tmp_path: Path) -> None:
    def check(project: Path, at: int, after: bool) -> None:
        with suppress(OSError):
            change(project, Failing(at, after, disk_full, for_good=False))
        assert contents(project) == locked_state(project), (at, after)

    every_step(tmp_path, check)


def test_a_full_disk_changes_nothing_before_the_lock_is_in_place(tmp_path: Path) -> None:
    def check(project: Path, at: int, after: bool) -> None:
        with suppress(OSError):
            change(project, Failing(at, after, disk_full))
        state = locked_state(project)
        heal(project)
        assert contents(project) == state, (at, after)

    every_step(tmp_path, check)


def test_a_process_killed_around_any_step_leaves_the_old_state_or_the_new_one(tmp_path: Path) -> None:
    program = """
import os, sys
from pathlib import Path
from tests.install.faults import *
from tests.install.test_transaction import change, contents, every_step, held, locked_state

os.fsync = lambda _: None

def check(project, at, after):
    child = os.fork()
    if not child:
        change(project, Failing(at, after, kill))
        os._exit(1)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == 9
    state = locked_state(project)
    with held(project):  # as the next command does
        pass
    assert contents(project) == state, (at, after)
    print("new" if state is NEW else "old")

every_step(Path(sys.argv[1]), check)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=REPOSITORY,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split().count("old") > 10
    assert done.stdout.split().count("new") > 10


def test_where_the_lock_stays_the_journal_decides(tmp_path: Path) -> None:
    restore = Changes(write={"a/x.proto": b"new x\n"})
    restored = {**OLD, "protos/remote/a/x.proto": b"new x\n"}
    counted = tmp_path / "counted"
    make_old(counted)
    seen = []
    for at in range(steps_of(counted, restore)):
        project = tmp_path / str(at)
        make_old(project)
        with pytest.raises(Killed):
            change(project, Failing(at, True, raise_killed), restore)
        heal(project)
        seen.append(contents(project))
        assert seen[-1] in (OLD, restored), at
    assert seen[0] == OLD
    assert seen[-1] == restored


def interrupted(project: Path) -> None:
    """Leave a change behind whose lock file is in place, and nothing else."""
    at = 0
    while locked_state(project) is OLD:
        shutil.rmtree(project)
        make_old(project)
        with pytest.raises(Killed):
            change(project, Failing(at, True, raise_killed))
        at += 1
    assert (project / "Actr.toml").read_bytes() == OLD["Actr.toml"]


def test_a_manifest_that_was_edited_since_is_not_overwritten(project: Path) -> None:
    interrupted(project)
    (project / "Actr.toml").write_text("edited\n")
    heal(project)
    assert contents(project) == {**NEW, "Actr.toml": b"edited\n"}


def test_a_manifest_that_changed_since_it_was_read_is_left_alone(project: Path) -> None:
    (project / "Actr.toml").write_text("edited\n")
    with pytest.raises(ActrConfigError, match="was changed in the meantime; nothing was done"), held(project):
        commit(project, CHANGES)
    assert contents(project) == {**OLD, "Actr.toml": b"edited\n"}


@pytest.mark.parametrize("path", ["protos/remote/a/x.proto", "protos/remote/b/very/deep/w.proto", "Actr.lock.toml"])
def test_what_is_in_the_way_is_found_before_anything_happens(project: Path, path: str) -> None:
    (project / path).unlink(missing_ok=True)
    (project / path).mkdir(parents=True)
    before = contents(project)
    with pytest.raises(ActrConfigError, match="is in the way"), held(project):
        commit(project, CHANGES)
    assert contents(project) == before


@pytest.mark.parametrize(
    "journal",
    [
        {"write": ["../../x.proto"]},
        {"write": ["a/../../x.proto"]},
        {"remove": ["../../Actr.toml"]},
        {"remove": ["/etc/x.proto"]},
        {"manifest": "../Actr.toml"},
        {"manifest": ".bashrc"},
        {"version": 2},
        {"more": 1},
    ],
)
def test_a_journal_that_came_from_elsewhere_is_not_followed(project: Path, journal: dict[str, object]) -> None:
    good: dict[str, object] = {
        "version": 1,
        "lock": False,
        "manifest": None,
        "manifest_was": "",
        "write": [],
        "remove": [],
    }
    (project / STATE / "stage").mkdir(parents=True)
    (project / STATE / "stage" / "0").write_text("0")
    (project / JOURNAL).write_bytes(msgspec.json.encode({**good, **journal}))
    before = contents(project)
    with pytest.raises(ActrConfigError, match=r"was not written by this actr.*remove the folder \.actr"):
        heal(project)
    assert contents(project) == before


def test_two_at_once_wait_for_each_other_and_say_so_when_it_takes_too_long(project: Path) -> None:
    inside, leave = threading.Event(), threading.Event()
    order = []

    def first() -> None:
        with held(project):
            inside.set()
            assert leave.wait(10)
            order.append("first")

    def second() -> None:
        with held(project):
            order.append("second")

    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    threads[0].start()
    assert inside.wait(10)
    with (
        pytest.raises(ActrTimeoutError, match=r"another actr command is changing this project, for 0\.05 s"),
        held(project, 0.05),
    ):
        pass
    threads[1].start()
    leave.set()
    for thread in threads:
        thread.join(10)
    assert order == ["first", "second"]
    assert not (project / STATE).exists()


def test_a_folder_that_goes_while_it_is_looked_at_is_made(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, others = os.mkdir, [project / STATE]

    def mkdir(name: str, *, dir_fd: int) -> None:
        if others:  # another command's folder is there at this moment, and gone at the next
            others.pop()
            raise FileExistsError(name)
        real(name, dir_fd=dir_fd)

    monkeypatch.setattr("os.mkdir", mkdir)
    with held(project, 5):
        assert (project / STATE).is_dir()


def test_healing_a_project_that_needs_none_touches_nothing(project: Path) -> None:
    project.chmod(0o555)
    try:
        before = project.stat().st_mtime_ns
        heal(project)
        assert project.stat().st_mtime_ns == before
    finally:
        project.chmod(0o755)


def modes(project: Path) -> dict[str, int]:
    return {str(file.relative_to(project)): file.stat().st_mode & 0o7777 for file in project.rglob("*.*")}


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o444])
def test_what_is_replaced_keeps_its_mode(project: Path, mode: int) -> None:
    replaced = ("Actr.toml", "Actr.lock.toml", "protos/remote/a/x.proto")
    for name in replaced:
        (project / name).chmod(mode)
    with held(project):
        commit(project, CHANGES)
    assert contents(project) == NEW
    found = modes(project)
    assert [found[name] for name in replaced] == [mode] * 3


def test_what_is_staged_is_never_readable_by_more_than_what_it_replaces(tmp_path: Path) -> None:
    def check(project: Path, at: int, after: bool) -> None:
        (project / "Actr.toml").chmod(0o600)
        with suppress(Killed):
            change(project, Failing(at, after, raise_killed))
        for file in project.rglob("manifest"):
            assert file.stat().st_mode & 0o777 == 0o600
        assert (project / "Actr.toml").stat().st_mode & 0o777 == 0o600

    every_step(tmp_path, check)
