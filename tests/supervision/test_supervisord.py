"""supervisord.conf with a real supervisord and stand-ins for broker, server and client."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.supervision.clones import Clone, environment, is_alive, wait_gone, write_environment


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path / "clone")


def test_broker_and_server_run_and_the_client_ends(clone: Clone) -> None:
    with clone.supervisord():
        broker = clone.wait_state("broker", "RUNNING")
        server = clone.wait_state("server", "RUNNING")
        assert clone.wait_state("client", "EXITED")["exitstatus"] == 0
        assert "RUNNING" in clone.ctl("status", "broker")
        assert "--config conf/broker.toml" in clone.wait_log("broker", "ready")
        assert "one shot" in clone.log("client")
    assert "drained" in clone.log("broker")
    assert "drained" in clone.log("server")
    assert not is_alive(broker["pid"])
    assert not is_alive(server["pid"])


def test_code_is_generated_before_server_and_client_start(clone: Clone) -> None:
    with clone.supervisord():
        assert clone.wait_log("server", "ready").index("generated") == 0
        assert clone.wait_log("client", "one shot").index("generated") == 0


def test_the_run_folder_and_the_socket_are_the_owners_alone(clone: Clone) -> None:
    (clone.root / "run").chmod(0o755)
    with clone.supervisord():
        clone.wait_state("broker", "RUNNING")
        assert (clone.root / "run").stat().st_mode & 0o777 == 0o700
        assert (clone.root / "run" / "supervisor.sock").stat().st_mode & 0o777 == 0o700
    assert {path.suffix for path in (clone.root / "run").iterdir()} == {".log"}


@pytest.mark.parametrize(
    "name", ["with spaces and 'quotes'", "deep/" + "/".join(["x" * 40] * 6)], ids=["spaces", "deep"]
)
def test_it_works_from_any_folder_in_a_clone_anywhere(tmp_path: Path, name: str) -> None:
    clone = Clone(tmp_path / name)
    with clone.supervisord(cwd="/"):
        clone.wait_state("broker", "RUNNING")
        clone.wait_state("client", "EXITED")
        assert f"cwd={clone.root}\n" in clone.wait_log("broker", "ready").replace(" parent=", "\nparent=")
        for cwd in ("/", clone.root, clone.root / "conf"):
            assert "RUNNING" in clone.ctl("status", "broker", cwd=cwd)
        assert "started" in clone.ctl("restart", "broker")
        assert "ready" in clone.ctl("tail", "broker")
    assert not (clone.root / "run" / "supervisor.sock").exists()


def test_without_an_environment_beside_it_the_active_one_is_taken(tmp_path: Path) -> None:
    clone = Clone(tmp_path / "clone", environment=False)
    write_environment(tmp_path / "active")
    with clone.supervisord(VIRTUAL_ENV=str(tmp_path / "active")):
        clone.wait_log("broker", "ready")


def test_without_an_activated_environment_the_path_is_searched(tmp_path: Path) -> None:
    clone = Clone(tmp_path / "clone", environment=False)
    write_environment(tmp_path / "other")
    with clone.supervisord(PATH=f"{tmp_path}/other/bin:/usr/bin:/bin"):
        clone.wait_log("broker", "ready")


def test_without_any_environment_one_line_says_what_to_do(tmp_path: Path) -> None:
    clone = Clone(tmp_path / "clone", environment=False)
    done = subprocess.run(
        ["/bin/sh", str(clone.root / "conf" / "launch"), "actrzmq-broker"],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == (
        f"actrzmq is in no Python environment here: run `make setup` in {clone.root}, or activate one that has it\n"
    )


def test_a_supervisord_that_cannot_find_actrzmq_says_which_one_can(clone: Clone) -> None:
    variables = environment(PYTHONPATH="", PYTHONSAFEPATH="1")
    for program in ("supervisord", "supervisorctl"):
        blocked = f"import sys; sys.modules['actrzmq'] = None; import supervisor.{program} as p; p.main()"
        done = subprocess.run(
            [sys.executable, "-c", blocked, "-c", str(clone.root / "supervisord.conf")],
            env=variables,
            cwd="/",
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        assert done.returncode == 2
        assert "not in this environment: run `make setup`, then .venv/bin/super" in done.stderr


def test_a_second_supervisord_in_the_same_clone_is_refused(clone: Clone) -> None:
    with clone.supervisord():
        clone.wait_state("broker", "RUNNING")
        second = subprocess.run(
            [*clone.command("supervisord"), "-n"],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        assert second.returncode == 2
        assert "already listening" in second.stderr
        assert "RUNNING" in clone.ctl("status", "broker")


def test_the_launcher_names_supervisord_as_the_one_to_watch(clone: Clone) -> None:
    with clone.supervisord() as supervisord:
        assert f"parent={supervisord.pid}\n" in clone.wait_log("broker", "ready")


def test_the_launcher_names_nobody_to_what_is_started_by_hand(clone: Clone) -> None:
    process = subprocess.Popen(
        ["/bin/sh", str(clone.root / "conf" / "launch"), "actrzmq-broker"],
        cwd=clone.root,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout as lines:
        assert lines.readline().endswith("parent=\n")
        process.terminate()
        assert process.wait(10) == 0


def test_a_program_that_cannot_start_is_tried_again_and_never_given_up(clone: Clone) -> None:
    broker = clone.root / ".venv" / "broker.py"
    working = broker.read_text()
    broker.write_text("raise SystemExit('no')")
    with clone.supervisord():
        clone.wait_log("broker", "no\nno\nno\n")
        broker.write_text(working)
        clone.wait_state("broker", "RUNNING")


def test_a_reload_keeps_the_socket(clone: Clone) -> None:
    with clone.supervisord():
        first = clone.wait_state("broker", "RUNNING")["pid"]
        clone.ctl("reload")
        wait_gone(first)
        clone.wait_state("broker", "RUNNING")
        assert "RUNNING" in clone.ctl("status", "broker")


def test_a_program_killed_comes_back(clone: Clone) -> None:
    with clone.supervisord():
        clone.wait_state("server", "RUNNING")
        pid = clone.wait_state("broker", "RUNNING")["pid"]
        os.kill(pid, signal.SIGKILL)
        wait_gone(pid)
        deadline = time.monotonic() + 20
        while clone.info("broker")["pid"] in (0, pid):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        clone.wait_state("broker", "RUNNING")


def test_nothing_outlives_a_supervisord_that_is_killed(clone: Clone) -> None:
    with clone.supervisord() as supervisord:
        programs = [clone.wait_state(name, "RUNNING")["pid"] for name in ("broker", "server")]
        supervisord.kill()
        for pid in programs:
            wait_gone(pid)
    broker, server = programs
    assert (clone.root / f"drained-{broker}").exists()
    assert (clone.root / "examples" / "stream-echo" / "server" / f"drained-{server}").exists()


def test_after_a_kill_the_next_supervisord_takes_the_socket_over(clone: Clone) -> None:
    with clone.supervisord() as supervisord:
        clone.wait_state("broker", "RUNNING")
        supervisord.kill()
    with clone.supervisord():
        clone.wait_state("broker", "RUNNING")
        assert "RUNNING" in clone.ctl("status", "broker")


def test_in_the_background_it_is_stopped_by_supervisorctl(clone: Clone) -> None:
    subprocess.run(clone.command("supervisord"), env=environment(), cwd="/", check=True, timeout=20)
    pid = clone.wait_state("broker", "RUNNING")["pid"]
    supervisord = int((clone.root / "run" / "supervisord.pid").read_text())
    assert "Shut down" in clone.ctl("shutdown")
    wait_gone(supervisord, 20)
    assert not is_alive(pid)
