"""The broker as a process: how it starts, whom it refuses, how it ends, and what it remembers."""

import os
import re
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec import structs

from actrzmq.net.endpoints import candidates
from actrzmq.wire.codec import encode_batch
from actrzmq.wire.messages import (
    Batch,
    Call,
    CallId,
    Describe,
    NoSpec,
    PeerBack,
    PeerDown,
    Publish,
    Reason,
    Refused,
    Registered,
    Returned,
    Spec,
    Wanted,
)
from tests.brokerd.test_contracts import fill, packed
from tests.codegen.protos import STREAM_SERVER
from tests.net.peers import Peer, wait_until

REPOSITORY = Path(__file__).parents[2]
MAIN = (sys.executable, "-c", "from actrzmq.brokerd.main import main; main()")
FREE = "tcp://127.0.0.1:*"
CALL = encode_batch(Batch(1, [Call(CallId(1), "pkg.Service.Method", b"body", 1000)]))


class Process:
    """A broker, what it has printed, and where it is reached once it is ready."""

    def __init__(self, folder: Path, *arguments: str, **environ: str) -> None:
        self._out = folder / f"out-{time.monotonic_ns()}"
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "XDG_RUNTIME_DIR")}
        with self._out.open("wb") as out:
            self.process = subprocess.Popen(
                [*MAIN, *arguments],
                cwd=folder,
                env={**kept, "PYTHONPATH": str(REPOSITORY), "XDG_STATE_HOME": str(folder / "state"), **environ},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    @property
    def printed(self) -> str:
        """What it has printed so far."""
        return self._out.read_text()

    def wait_printed(self, pattern: str) -> re.Match[str]:
        """Wait until it has printed what `pattern` finds."""
        found: list[re.Match[str]] = []

        def is_there() -> bool:
            match = re.search(pattern, self.printed)
            found.extend([match] if match else [])
            assert match or self.process.poll() is None, self.printed
            return bool(match)

        wait_until(is_there, pattern, timeout=20)
        return found[0]

    def ready(self) -> str:
        """Wait until nodes may connect; returns where."""
        return self.wait_printed(r"(?m)^ready endpoint=(\S+)")[1]

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send it a signal, and return how it exits."""
        self.process.send_signal(number)
        return self.process.wait(10)


Start = Callable[..., Process]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Process] = []

    def start_one(*arguments: str, **environ: str) -> Process:
        started.append(Process(tmp_path, *arguments, **environ))
        return started[-1]

    yield start_one
    for one in started:
        if one.process.poll() is None:
            one.process.send_signal(signal.SIGCONT)
            one.end()


def test_it_says_where_it_is_ready_and_ends_within_a_second_of_sigterm(start: Start, tmp_path: Path) -> None:
    broker = start("--listen", FREE)
    with Peer(broker.ready()) as peer:
        peer.register()
        began = time.monotonic()
        assert broker.end() == 0
        assert time.monotonic() - began < 1
    assert [path.name for path in (tmp_path / "state" / "actrzmq").iterdir()] == ["broker.db"]
    assert list(Path(os.environ["XDG_RUNTIME_DIR"]).rglob("127*")) == []


def test_ctrl_c_ends_it_in_order_with_130_and_no_traceback(start: Start) -> None:
    broker = start("--listen", FREE)
    broker.ready()
    assert broker.end(signal.SIGINT) == 130
    assert "Traceback" not in broker.printed


def test_sigusr1_shows_what_was_counted(start: Start) -> None:
    broker = start("--listen", FREE)
    with Peer(broker.ready()) as peer:
        peer.register()
        broker.process.send_signal(signal.SIGUSR1)
        assert " connections.made=1" in broker.wait_printed("statistics nodes=1 .*")[0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--listen", "tcp://0.0.0.0:5570"], "is not a loopback address"),
        (["--config", "nowhere.toml"], "nowhere.toml"),
        (["--store", "/dev/null/x.db"], "give another --store"),
    ],
)
def test_a_wrong_setting_is_one_line_and_exit_code_2(start: Start, arguments: list[str], words: str) -> None:
    broker = start("--listen", FREE, *arguments)
    assert broker.process.wait(10) == 2
    assert broker.printed.startswith("actrzmq-broker: ")
    assert words in broker.printed
    assert broker.printed.count("\n") == 1


def serves(endpoint: str) -> bool:
    with Peer(endpoint) as peer:
        return isinstance(peer.register(), Registered)


def test_a_second_broker_on_the_same_port_is_refused_in_one_line(start: Start, tmp_path: Path) -> None:
    endpoint = start("--listen", FREE).ready()
    second = start("--listen", endpoint, "--store", str(tmp_path / "other.db"))
    assert second.process.wait(10) == 1
    assert "Address already in use; is another broker running there?" in second.printed
    assert second.printed.count("\n") == 1
    assert serves(endpoint)


def test_a_second_broker_on_the_same_path_is_refused_in_one_line(start: Start, tmp_path: Path) -> None:
    endpoint = f"ipc://{os.environ['XDG_RUNTIME_DIR']}/broker"
    assert start("--listen", endpoint).ready() == endpoint
    second = start("--listen", endpoint, "--store", str(tmp_path / "other.db"))
    assert second.process.wait(10) == 1
    assert "another broker listens there" in second.printed
    assert second.printed.count("\n") == 1
    assert serves(endpoint)


def test_a_second_broker_on_the_same_store_is_refused_in_one_line(start: Start) -> None:
    endpoint = start("--listen", FREE).ready()
    second = start("--listen", FREE)
    assert second.process.wait(10) == 1
    assert "another broker uses the store" in second.printed
    assert second.printed.count("\n") == 1
    assert serves(endpoint)


def test_a_killed_broker_leaves_nothing_that_would_stop_the_next(start: Start) -> None:
    endpoint = f"ipc://{os.environ['XDG_RUNTIME_DIR']}/broker"
    first = start("--listen", FREE, "--listen", endpoint)
    tcp = first.ready()
    first.end(signal.SIGKILL)
    assert start("--listen", tcp, "--listen", endpoint).ready() == tcp
    assert serves(endpoint)


def test_after_a_crash_nodes_are_awaited_and_the_dead_stay_dead(start: Start, tmp_path: Path) -> None:
    config = tmp_path / "broker.toml"
    config.write_text("lease_ms = 2000\nrenew_ms = 200\n")
    first = start("--config", str(config), "--listen", FREE)
    endpoint = first.ready()
    with Peer(endpoint) as caller, Peer(endpoint) as back, Peer(endpoint) as dead:
        epoch, *_ = [peer.register().epoch for peer in (caller, back, dead)]
        caller.send([dead.address, CALL])
        assert dead.hear_from(caller) == [CALL]
        dead.socket.close(0)
        caller.hear(PeerDown)
        wait_until(lambda: is_stored(tmp_path / "run" / "broker.db", dead.serial), "the dead stored")
        first.end(signal.SIGKILL)
        second = start("--config", str(config), "--listen", endpoint)
        assert "expected=2" in second.wait_printed("ready .*")[0]
        assert caller.register(attempt=2).epoch != epoch
        caller.send([back.address, CALL])
        assert caller.hear(Returned).reason is Reason.NOT_YET
        back.register(attempt=2)
        assert caller.hear(PeerBack).serial == back.serial
        caller.send([back.address, CALL])
        assert back.hear_from(caller) == [CALL]
        with Peer(endpoint) as revenant:
            revenant.key = dead.key
            revenant.say(revenant.registration(attempt=9))
            assert not revenant.hear(Refused).fatal


def is_stored(path: Path, serial: int) -> bool:
    database = sqlite3.connect(path)
    try:
        return bool(database.execute("select 1 from dead where serial = ?", (serial,)).fetchall())
    finally:
        database.close()


def test_a_name_cannot_forge_a_line_of_its_log(start: Start) -> None:
    broker = start("--listen", FREE)
    with Peer(broker.ready(), name="x\n2026-01-01T00:00:00.000Z info actrzmq.broker forged\x1b[2J") as peer:
        peer.register()
        broker.wait_printed("node up")
    broker.end()
    lines = [line for line in broker.printed.splitlines() if "forged" in line]
    assert lines
    assert [line for line in lines if "node up" not in line] == []
    assert "\x1b" not in broker.printed


def test_contracts_outlive_their_publisher_and_the_broker(start: Start) -> None:
    fingerprint, body = packed()
    broker = start("--listen", FREE)
    endpoint = broker.ready()
    with Peer(endpoint, name="echo") as server:
        server.register(fingerprint=fingerprint, description="says it again")
        assert server.hear(Wanted) == Wanted(fingerprint)
        server.say(Publish(fingerprint, body))
        server.say(Describe(1, None, "echo"))
        first = server.hear(Spec)
        assert (first.body, first.facts.live) == (body, 1)
    broker.end(signal.SIGKILL)
    again = start("--listen", endpoint)
    with Peer(again.ready(), name="tool") as tool:
        tool.register()
        tool.say(Describe(2, None, "echo"))
        spec = tool.hear(Spec)
    assert spec.body == body
    assert spec.facts == structs.replace(first.facts, live=0)
    assert datetime.fromisoformat(spec.facts.published_at).tzinfo is UTC


def test_a_full_disk_refuses_contracts_in_words_and_routing_goes_on(start: Start, tmp_path: Path) -> None:
    fingerprint, body = packed("// " + "large " * 5_000 + "\n" + STREAM_SERVER)
    broker = start("--listen", FREE, "--store", str(tmp_path / "full.db"))
    endpoint = broker.ready()
    size = os.path.getsize(tmp_path / "full.db") + 16 * 1024
    resource.prlimit(broker.process.pid, resource.RLIMIT_FSIZE, (size, size))
    with Peer(endpoint, name="echo") as server:
        server.register(fingerprint=fingerprint)
        server.hear(Wanted)
        server.say(Publish(fingerprint, body))
        broker.wait_printed("can't keep contracts")
        server.say(Describe(1, None, "echo"))
        assert "the broker's store can't be written" in server.hear(NoSpec).failure.message
        assert serves(endpoint)
        broker.process.send_signal(signal.SIGUSR1)
        assert " contracts.not_kept=1" in broker.wait_printed("statistics nodes=.*")[0]


def test_it_serves_without_a_store_that_it_can_read(start: Start, tmp_path: Path) -> None:
    store = tmp_path / "broken.db"
    store.write_bytes(b"no database" * 1000)
    broker = start("--listen", FREE, "--store", str(store))
    assert serves(broker.ready())
    assert "moved to=" in broker.printed


def test_it_ends_with_who_supervises_it(start: Start) -> None:
    parent = subprocess.Popen(["sleep", "60"])
    broker = start("--listen", FREE, ACTRZMQ_PARENT=str(parent.pid))
    broker.ready()
    parent.kill()
    parent.wait()
    assert broker.process.wait(5) == 0


@pytest.mark.parametrize("limit", [8, 12, 18, 24])
def test_one_that_may_open_too_few_files_says_so_and_ends(tmp_path: Path, limit: int) -> None:
    """libzmq would end the process (`Too many open files (src/epoll.cpp:38)`), or Python with a traceback."""
    set_limit = f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({limit}, {limit})); "
    ended = subprocess.run(
        [sys.executable, "-c", set_limit + MAIN[-1], "--listen", FREE, "--store", str(tmp_path / "broker.db")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert re.fullmatch(r"actrzmq-broker: a broker opens \d+ files, .*\(ulimit -n\)\n", ended.stderr), ended.stderr


def test_out_of_descriptors_it_says_so_and_goes_on(start: Start) -> None:
    broker = start("--listen", FREE)
    endpoint = broker.ready()
    host, port = endpoint.removeprefix("tcp://").split(":")
    with Peer(endpoint) as peer:
        peer.register()
        pid = broker.process.pid
        used = len(os.listdir(f"/proc/{pid}/fd"))
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 3, used + 3))
        greedy = [socket.create_connection((host, int(port))) for _ in range(10)]
        broker.wait_printed("out of file descriptors")
        peer.send([bytes(8), CALL])
        assert peer.hear(Returned).reason is Reason.UNKNOWN
        for one in greedy:
            one.close()
        assert serves(endpoint)


def test_short_of_descriptors_it_takes_nobody_more_at_its_unix_socket_and_goes_on(start: Start) -> None:
    """ZeroMQ ends the whole process if it can't accept there for want of a descriptor."""
    broker = start("--listen", FREE)
    endpoint = broker.ready()
    path = candidates(endpoint)[0].removeprefix("ipc://")
    pid = broker.process.pid
    greedy: list[socket.socket] = []
    with Peer(f"ipc://{path}") as peer:
        peer.register()
        used = open_descriptors(pid)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 40, used + 40))
        for _ in range(60):
            one = socket.socket(socket.AF_UNIX)
            greedy.append(one)
            before = open_descriptors(pid)
            try:
                one.connect(path)
            except OSError:
                break
            wait_until(lambda before=before: broker.process.poll() is not None or open_descriptors(pid) != before, "it")
        broker.wait_printed("few file descriptors are left")
        assert broker.process.poll() is None
        peer.send([bytes(8), CALL])
        assert peer.hear(Returned).reason is Reason.UNKNOWN
        for one in greedy:
            one.close()
        broker.wait_printed("descriptors again")
        with Peer(f"ipc://{path}") as other:
            other.register()


def open_descriptors(pid: int) -> int:
    """How many a process has; none if it has ended."""
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0


def test_until_it_is_ready_it_imports_nothing_that_only_others_need_even_with_a_full_store(tmp_path: Path) -> None:
    fill(tmp_path / "broker.db")
    code = (
        "import sys; from actrzmq.brokerd import main; main._say_ready = lambda _: sys.exit(' '.join(sys.modules));"
        f"main.main(['--listen', '{FREE}', '--store', {str(tmp_path / 'broker.db')!r}])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=REPOSITORY)
    loaded = {module.split(".")[0] for module in done.stderr.splitlines()[-1].split()}
    assert {"actrzmq", "zmq", "sqlite3"} <= loaded, done.stderr
    assert not loaded & {"click", "rich", "google", "tomlkit", "grpc_tools", "asyncio", "supervisor", "uvloop"}
