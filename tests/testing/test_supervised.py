"""`SupervisedCluster`: a real supervisord, with a real broker and real programs, that leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from actrzmq import ActrConfigError
from actrzmq.testing import FaultProxy, Program, SupervisedCluster
from tests.supervision.clones import is_alive, wait_gone

SERVER = """import asyncio, logging, sys
from google.protobuf.wrappers_pb2 import StringValue
from actrzmq import ActrSystem, Context, rpc, service
logging.basicConfig(level="INFO")

@service("demo.Greeter", exported=True)
class Greeter:
    @rpc
    async def greet(self, req: StringValue, ctx: Context) -> StringValue:
        return req

async def main():
    async with await ActrSystem.from_toml("Actr.toml") as system:
        ref = await system.attach(Greeter()).start()
        await ref.wait_for_ctrl_c_and_shutdown()
        print("drained", flush=True)

asyncio.run(main())
"""
MANIFEST = '[package]\nname = "greeter"\nactr_type = { manufacturer = "acme", name = "Greeter" }\n'
ODD = ["a b", "100%", "it's; # not\\", 'say "x"', "line\nbreak", "$HOME", "", "%(here)s"]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SupervisedCluster]:
    folder = tmp_path_factory.mktemp("cluster")
    (folder / "server.py").write_text(SERVER)
    (folder / "Actr.toml").write_text(MANIFEST)
    programs = {
        "server": Program([sys.executable, "server.py"], numprocs=2),
        "odd": Program(
            [sys.executable, "-c", "import os, sys; print(sys.argv[1:], os.environ['ODD'])", *ODD],
            environment={"ODD": "".join(ODD)},
            autorestart=False,
        ),
        "later": Program(["/bin/sleep", "60"], autostart=False),
        "dying": Program(["/bin/sh", "-c", "echo no luck; exit 3"], autostart=False, startsecs=1),
    }
    with SupervisedCluster(folder, programs, looks_every=0.05) as cluster:
        yield cluster


def test_it_begins_with_a_broker_and_all_that_starts_by_itself(cluster: SupervisedCluster) -> None:
    assert cluster.names == ["broker", "server_0", "server_1", "odd", "later", "dying"]
    assert f"ready endpoint={cluster.url}" in cluster.log("broker")
    for name in ("server_0", "server_1"):
        assert is_alive(cluster.pid(name))
        cluster.wait_log(name, f"broker={cluster.url}")
    assert cluster.info("later")["statename"] == "STOPPED"
    assert cluster.pid("later") == 0


def test_a_command_and_an_environment_arrive_as_they_were_given(cluster: SupervisedCluster) -> None:
    cluster.wait_state("odd", "EXITED")
    assert cluster.log("odd") == f"{ODD} {''.join(ODD)}\n"


def test_a_broker_that_is_killed_is_started_again_and_its_nodes_come_back(cluster: SupervisedCluster) -> None:
    servers = [cluster.pid(name) for name in ("server_0", "server_1")]
    came = [cluster.wait_log(name, "registered").count("registered") for name in ("server_0", "server_1")]
    before = cluster.kill("broker")
    assert cluster.wait_replaced("broker", before) != before
    for name, times in zip(("server_0", "server_1"), came, strict=True):
        cluster.wait_log(name, "registered", times=times + 1)
    assert servers == [cluster.pid(name) for name in ("server_0", "server_1")]


def test_a_program_is_restarted_by_a_stop_that_drains(cluster: SupervisedCluster) -> None:
    cluster.wait_log("server_0", "registered")
    before = cluster.pid("server_0")
    drains = cluster.log("server_0").count("drained")
    cluster.restart("server_0")
    assert cluster.wait_running("server_0") != before
    cluster.wait_log("server_0", "drained", times=drains + 1)


def test_a_program_is_started_and_stopped_when_told_to(cluster: SupervisedCluster) -> None:
    cluster.start("later")
    pid = cluster.wait_running("later")
    cluster.stop("later")
    assert not is_alive(pid)
    assert cluster.info("later")["stop"] - cluster.info("later")["start"] < 10  # by SIGTERM
    cluster.stop("later")  # once more does no harm


def test_a_start_that_fails_is_told_with_the_log_of_the_program(cluster: SupervisedCluster) -> None:
    with pytest.raises(AssertionError, match=r"(?s)does not start dying: .*no luck"):
        cluster.start("dying")
    cluster.stop("dying")


def test_a_program_that_runs_already_is_not_started_and_that_is_told(cluster: SupervisedCluster) -> None:
    with pytest.raises(AssertionError, match=r"(?s)does not start broker: ALREADY_STARTED.*RUNNING.*ready endpoint"):
        cluster.start("broker")


def test_what_is_waited_for_in_vain_is_told_with_what_there_was(cluster: SupervisedCluster) -> None:
    with pytest.raises(AssertionError, match=r"has not written 'never' within 0.1 s, but: ready endpoint"):
        cluster.wait_log("broker", "never", timeout=0.1)
    with pytest.raises(AssertionError, match=r"has not written 'ready endpoint' 99 times within 0.1 s, but: ready"):
        cluster.wait_log("broker", "ready endpoint", timeout=0.1, times=99)
    with pytest.raises(AssertionError, match=r"not STOPPED within 0.1 s: .*RUNNING"):
        cluster.wait_state("broker", "STOPPED", timeout=0.1)
    with pytest.raises(ActrConfigError, match="no process 'server' in this cluster; there are broker, server_0"):
        cluster.pid("server")
    with pytest.raises(AssertionError, match="odd does not run"):
        cluster.kill("odd")


def test_nothing_outlives_it_not_even_what_was_stopped_by_a_signal(tmp_path: Path) -> None:
    with SupervisedCluster(tmp_path, {"sleeper": Program(["/bin/sleep", "60"])}) as cluster:
        pids = [cluster.pid("broker"), cluster.kill("sleeper", signal.SIGSTOP), cluster.process.pid]
        folder = Path(cluster.url.removeprefix("ipc://")).parent
    for pid in pids:
        assert not is_alive(pid)
    assert not folder.exists()


def test_a_folder_may_be_taken_again_and_what_was_logged_there_is_not_taken_for_new(tmp_path: Path) -> None:
    for name in ("broker", "sleeper"):
        (tmp_path / f"{name}.log").write_text("ready endpoint=of long ago\n")
    with SupervisedCluster(tmp_path, {"sleeper": Program(["/bin/sleep", "60"])}) as cluster:
        assert Path(cluster.url.removeprefix("ipc://")).exists()
        assert cluster.log("broker").count("ready endpoint") == 1
        assert cluster.log("sleeper") == ""
        with pytest.raises(ActrConfigError, match="runs already"):
            cluster.__enter__()


def test_a_supervisord_that_has_ended_is_told_by_whatever_is_asked_of_it(tmp_path: Path) -> None:
    with SupervisedCluster(tmp_path, {"later": Program(["/bin/sleep", "60"], autostart=False)}) as cluster:
        broker = cluster.pid("broker")
        cluster.process.kill()
        cluster.process.wait()
        for deed in (cluster.start, cluster.stop, cluster.restart):
            with pytest.raises(AssertionError, match=r"can't be asked to \w+ later: .*refused"):
                deed("later")
        wait_gone(broker)


def test_a_program_that_does_not_start_is_told_and_nothing_is_left(tmp_path: Path) -> None:
    cluster = SupervisedCluster(tmp_path, {"broken": Program(["/nonexistent"], startsecs=1)}, patience=3)
    with pytest.raises(AssertionError, match=r"(?s)broken is not RUNNING within .*/nonexistent"):
        cluster.__enter__()
    assert cluster.process.poll() is not None


def test_a_proxy_may_stand_before_a_broker_that_is_one_of_the_programs(tmp_path: Path) -> None:
    (tmp_path / "server.py").write_text(SERVER)
    (tmp_path / "Actr.toml").write_text(MANIFEST)
    with TemporaryDirectory(dir=os.environ["XDG_RUNTIME_DIR"]) as short, FaultProxy(f"ipc://{short}/broker") as proxy:
        broker = Program([str(Path(sys.executable).with_name("actrzmq-broker")), "--listen", f"ipc://{short}/broker"])
        server = Program([sys.executable, "server.py"], environment={"ACTRZMQ_BROKER": proxy.url})
        with SupervisedCluster(tmp_path, {"broker": broker, "server": server}, looks_every=0.05) as cluster:
            cluster.wait_log("server", f"broker={proxy.url}")
            proxy.reset()
            cluster.wait_log("server", "registered", times=2)


def test_supervisord_that_is_killed_takes_the_broker_with_it(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from actrzmq.testing import SupervisedCluster\n"
        "cluster = SupervisedCluster(Path(sys.argv[1]), {}).__enter__()\n"
        "print(cluster.process.pid, cluster.pid('broker'), flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        env=os.environ
        | {"TMPDIR": os.environ["XDG_RUNTIME_DIR"]},  # where the folder that it leaves is gone with the run
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as test:
        assert test.stdout is not None
        pids = [int(word) for word in test.stdout.readline().split()]
        os.kill(test.pid, signal.SIGKILL)
        for pid in pids:
            wait_gone(pid)


def test_a_command_in_one_piece_is_refused(tmp_path: Path) -> None:
    command = "python main.py"
    with pytest.raises(ActrConfigError, match=r"'python main.py': expected a list"):
        SupervisedCluster(tmp_path, {"server": Program(command)}).__enter__()


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a]", "../a"])
def test_a_name_that_supervisord_would_misread_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ActrConfigError, match="name of a program"), SupervisedCluster(tmp_path, {name: Program(["x"])}):
        pass


def test_a_folder_that_supervisord_would_misread_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ActrConfigError, match="spaces"), SupervisedCluster(tmp_path / "a b", {}):
        pass
