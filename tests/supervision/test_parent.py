"""A process whose supervisor is gone drains, and is killed if it does not."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from actrzmq.errors import ActrConfigError
from actrzmq.supervision import PARENT_VARIABLE, watch_parent
from tests.supervision.clones import environment, wait_gone

WATCHER = """
import os, signal, sys, time
from actrzmq.supervision import watch_parent
if sys.argv[1] == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
else:
    signal.signal(signal.SIGTERM, lambda *_: (os.write(1, b"drained\\n"), sys.exit(0)))
print(watch_parent(grace_s=0.2 if sys.argv[1] == "stubborn" else 20), flush=True)
for _ in range(300):  # in steps: a signal that comes just before a sleep does not shorten it
    time.sleep(0.1)
"""


def start(pid: int | str, kind: str = "willing") -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", WATCHER, kind],
        env=environment(**{PARENT_VARIABLE: str(pid)}),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


@pytest.fixture
def parent() -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)"])
    yield process
    process.kill()
    process.wait()


def test_a_process_drains_when_its_supervisor_is_killed(parent: "subprocess.Popen[bytes]") -> None:
    with start(parent.pid) as watcher:
        assert watcher.stdout is not None
        assert watcher.stdout.readline() == "True\n"
        parent.kill()
        parent.wait()
        assert watcher.stdout.readline() == "drained\n"
        assert watcher.wait(5) == 0


def test_a_supervisor_that_waits_for_its_own_burial_counts_as_gone(parent: "subprocess.Popen[bytes]") -> None:
    parent.kill()  # and is not waited for: a zombie
    wait_gone(parent.pid)
    with start(parent.pid) as watcher:
        assert watcher.wait(5) == 0
    parent.wait()


def test_a_supervisor_that_was_gone_before_is_noticed(parent: "subprocess.Popen[bytes]") -> None:
    parent.kill()
    parent.wait()
    with start(parent.pid) as watcher:
        assert watcher.wait(5) == 0


def test_a_process_that_does_not_drain_is_killed(parent: "subprocess.Popen[bytes]") -> None:
    with start(parent.pid, "stubborn") as watcher:
        assert watcher.stdout is not None
        assert watcher.stdout.readline() == "True\n"
        parent.kill()
        parent.wait()
        assert watcher.wait(5) == -signal.SIGKILL


def test_a_process_started_by_hand_watches_nobody() -> None:
    assert watch_parent(environ={}) is False


def test_the_variable_is_taken_so_that_children_do_not_watch_in_our_stead() -> None:
    with start(os.getpid()) as watcher:
        assert watcher.stdout is not None
        assert watcher.stdout.readline() == "True\n"
        threads = Path(f"/proc/{watcher.pid}/task")
        assert len(list(threads.iterdir())) == 2
        watcher.kill()
    variables = {PARENT_VARIABLE: ""}
    assert watch_parent(environ=variables) is False
    assert variables == {}


@pytest.mark.parametrize("text", ["x", "-1", "0", "1.5", "9" * 30, "²"])
def test_what_is_no_process_id_is_refused(text: str) -> None:
    with pytest.raises(ActrConfigError, match="expected the process id of the supervisor"):
        watch_parent(environ={PARENT_VARIABLE: text})
