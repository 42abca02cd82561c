"""The example under supervisord, and the demonstration that `make demo` runs."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.e2e.world import EXAMPLE, environment, messages
from tests.net.peers import Broker
from tests.supervision.clones import REPOSITORY, Clone, is_alive, write_program


def real_clone(root: Path) -> Clone:
    """A clone with the example itself, and the interpreter of the tests as its environment."""
    clone = Clone(root, environment=False)
    shutil.rmtree(root / "examples")
    shutil.copytree(EXAMPLE, root / "examples" / "stream-echo", ignore=shutil.ignore_patterns("generated"))
    server = root / "conf" / "supervisor.d" / "server.conf"
    settings = server.read_text()
    quick = settings.replace("--actr-toml Actr.toml", "--actr-toml Actr.toml --interval 0.1")  # 1 s by default
    assert quick != settings
    server.write_text(quick)
    python = f'exec "{sys.executable}"'
    write_program(root / ".venv" / "bin" / "python", f'{python} "$@"')
    for name, module in (("actr", "cli.entry"), ("actrzmq-broker", "brokerd.main")):
        code = f"from actrzmq.{module} import main; main()"
        write_program(root / ".venv" / "bin" / name, f'{python} -c "{code}" "$@"')
    return clone


def test_supervisord_runs_the_example_to_its_end(tmp_path: Path, free_address: str) -> None:
    clone = real_clone(tmp_path / "a clone")
    with clone.supervisord(ACTRZMQ_BROKER=free_address):
        assert clone.wait_state("client", "EXITED", timeout=60)["exitstatus"] == 0
        pids = [clone.wait_state(name, "RUNNING")["pid"] for name in ("broker", "server")]
        lines = clone.log("client").splitlines()
        assert [line for line in lines if line.startswith("Received")] == messages(10, "my-stream")
        assert lines[-1].startswith("Total: 10 of 10 messages from ")
    assert not any(map(is_alive, pids))


def test_clients_spread_over_the_instances_of_one_program(tmp_path: Path, free_address: str) -> None:
    clone = real_clone(tmp_path / "clone")
    with clone.supervisord(ACTRZMQ_BROKER=free_address):
        clone.wait_log("client", "Received", timeout=60)
        clone.ctl("stop", "server")
        programs = clone.root / "conf" / "supervisor.d"
        (programs / "many.conf.example").rename(programs / "many.conf")
        assert "many-clients: added process group" in clone.ctl("update")
        for i in range(2):
            clone.wait_log(f"many-server-{i}", "registered", timeout=60)
        clone.ctl("start", "many-clients:*")
        totals = [clone.wait_log(f"many-client-{i}", "Total", timeout=60) for i in range(10)]
    found = [re.search(r"Total: 100 of 100 messages from (\S+)", total) for total in totals]
    servers = [match[1] for match in found if match]
    assert len(servers) == 10
    assert len(set(servers)) == 2
    assert min(map(servers.count, servers)) >= 3


def demonstrate(clone: Clone, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(clone.root / "examples" / "stream-echo" / "demo.py")],
        cwd="/",
        env=environment(**variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_the_demonstration_shows_every_message_and_stops_everything(tmp_path: Path) -> None:
    clone = real_clone(tmp_path / "deep" / "/".join(["y" * 40] * 5))  # deeper than a socket's address reaches
    done = demonstrate(clone)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[1:11] == messages(10, "my-stream")
    assert lines[11].startswith("Total: 10 of 10")
    left = {path.name for path in (clone.root / "run").iterdir()}
    assert left == {"supervisord.log", "broker.log", "server.log", "client.log", "broker.db"}
    assert not (clone.root / "conf" / "run").exists()
    assert str(REPOSITORY) not in done.stdout


def test_a_demonstration_that_would_use_the_broker_of_another_fails_in_one_line(tmp_path: Path) -> None:
    clone = real_clone(tmp_path / "clone")
    with Broker() as foreign:
        done = demonstrate(clone, ACTRZMQ_BROKER=foreign.endpoint)
        assert foreign.core.statistics()["nodes"] == 0
    assert done.returncode == 1
    assert re.fullmatch(r"demo\.py: the broker did not start: .*Address already in use.*\n", done.stderr), done.stderr
    assert "Received" not in done.stdout
    assert done.stdout.endswith("everything is stopped\n")


def test_a_demonstration_that_can_not_write_its_logs_says_so_in_one_line(tmp_path: Path) -> None:
    clone = real_clone(tmp_path / "clone")
    run = clone.root / "run"
    shutil.rmtree(run)
    run.write_text("a file, which nobody can write into: not even root, who may write into any folder")
    done = demonstrate(clone)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"demo\.py: .+/run, where logs and sockets go, can't be written: .+\n", done.stderr), (
        done.stderr
    )
