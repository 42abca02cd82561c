"""Which endpoints are taken, where a broker's sibling is, and who may have its path."""

import os
import socket
from contextlib import closing
from pathlib import Path

import pytest

from actrzmq.errors import ActrTransportError
from actrzmq.net import sockets
from actrzmq.net.endpoints import UnixListener, candidates, is_local, is_reachable, sibling_path
from actrzmq.net.filelock import FileLock


@pytest.mark.parametrize(
    "endpoint", ["tcp://127.0.0.1:5570", "tcp://localhost:1", "tcp://[::1]:5570", "tcp://127.0.0.1:*", "ipc:///tmp/a"]
)
def test_loopback_is_local(endpoint: str) -> None:
    assert is_local(endpoint)


@pytest.mark.parametrize(
    "endpoint",
    [
        "tcp://0.0.0.0:5570",
        "tcp://*:5570",
        "tcp://192.168.0.1:5570",
        "tcp://example.com:80",
        "tcp://127.0.0.1:70000",
        "tcp://127.0.0.1",
        "ipc://relative",
        "ipc:///tmp/" + "x" * 99,
        "ipc:///tmp/a\nb",
        "inproc://x",
        "udp://127.0.0.1:1",
        "",
    ],
)
def test_all_else_is_not(endpoint: str) -> None:
    assert not is_local(endpoint)
    assert not is_reachable(endpoint)


@pytest.mark.parametrize(
    "endpoint", ["tcp://127.0.0.1:*", "tcp://127.0.0.1:0", "tcp://localhost:5", "ipc:///run/x.sock"]
)
def test_the_broker_connects_to_numbers_only(endpoint: str) -> None:
    assert not is_reachable(endpoint)
    assert is_reachable("tcp://127.0.0.1:5")


def test_both_sides_derive_the_same_sibling(runtime_folder: Path) -> None:
    expected = runtime_folder / "actrzmq" / "127.0.0.1-5570"
    assert sibling_path("tcp://127.0.0.1:5570") == sibling_path("tcp://localhost:5570") == expected
    assert sibling_path("tcp://127.0.0.2:5570") != expected
    assert sibling_path("tcp://[::1]:5570") == runtime_folder / "actrzmq" / "__1-5570"


@pytest.mark.parametrize("url", ["ipc:///tmp/x", "tcp://10.0.0.1:5570", "tcp://127.0.0.1:*"])
def test_what_is_not_a_loopback_port_has_no_sibling(url: str) -> None:
    assert sibling_path(url) is None
    assert candidates(url) == [url]


def test_without_a_runtime_folder_the_sibling_is_in_one_of_the_user() -> None:
    path = sibling_path("tcp://127.0.0.1:5570", {"XDG_RUNTIME_DIR": "relative"})
    assert path == Path(f"/tmp/actrzmq-{os.getuid()}/127.0.0.1-5570")


def test_a_sibling_path_that_is_too_long_is_not_used() -> None:
    assert sibling_path("tcp://127.0.0.1:5570", {"XDG_RUNTIME_DIR": "/" + "x" * 90}) is None


def test_nodes_take_the_sibling_while_a_broker_listens_there() -> None:
    url = "tcp://127.0.0.1:5570"
    path = sibling_path(url)
    assert path is not None
    assert candidates(url) == [url]
    listener = UnixListener(path)
    with closing(sockets.router()) as router:
        listener.bind_sibling(router)
        assert candidates(url) == [f"ipc://{path}", url]
        assert path.parent.stat().st_mode & 0o777 == 0o700
        assert path.stat().st_mode & 0o077 == 0
    listener.remove()
    assert candidates(url) == [url]
    assert list(path.parent.iterdir()) == []


def test_the_socket_of_a_killed_broker_is_passed_by_and_replaced() -> None:
    url = "tcp://127.0.0.1:5570"
    path = sibling_path(url)
    assert path is not None
    path.parent.mkdir(0o700)
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(path))
    assert candidates(url) == [url]
    listener = UnixListener(path)
    with closing(sockets.router()) as router:
        listener.bind_sibling(router)
        assert len(candidates(url)) == 2
    listener.remove()


def test_a_folder_that_others_may_enter_is_not_used(runtime_folder: Path) -> None:
    url = "tcp://127.0.0.1:5570"
    path = sibling_path(url)
    assert path is not None
    path.parent.mkdir()
    path.parent.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as foreign, closing(sockets.router()) as router:
        foreign.bind(str(path))
        foreign.listen()
        assert candidates(url) == [url]
        with pytest.raises(ActrTransportError, match="not ours alone"):
            UnixListener(path).bind_sibling(router)
    path.unlink()


def test_a_folder_that_is_a_link_is_not_used(runtime_folder: Path, tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    (runtime_folder / "actrzmq").symlink_to(tmp_path)
    path = sibling_path("tcp://127.0.0.1:5570")
    assert path is not None
    with closing(sockets.router()) as router, pytest.raises(ActrTransportError, match="not ours alone"):
        UnixListener(path).bind_sibling(router)
    (runtime_folder / "actrzmq").unlink()


def test_a_second_broker_does_not_take_the_path_from_the_first(runtime_folder: Path) -> None:
    path = runtime_folder / "broker"
    first, second = UnixListener(path), UnixListener(path)
    with closing(sockets.router()) as router, closing(sockets.router()) as other:
        first.bind(router)
        with pytest.raises(ActrTransportError, match="another broker listens there"):
            second.bind(other)
        second.remove()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
    first.remove()


def test_a_file_that_is_no_socket_stays(runtime_folder: Path) -> None:
    path = runtime_folder / "precious"
    path.write_text("mine")
    with closing(sockets.router()) as router, pytest.raises(ActrTransportError, match="a file that is no socket"):
        UnixListener(path).bind(router)
    assert path.read_text() == "mine"
    path.unlink()


def test_a_path_over_99_bytes_is_refused(runtime_folder: Path) -> None:
    with closing(sockets.router()) as router, pytest.raises(ActrTransportError, match="more than 99 bytes"):
        UnixListener(runtime_folder / ("x" * 99)).bind(router)


def test_a_lock_is_held_by_one_and_is_free_again_after_its_holder(tmp_path: Path) -> None:
    one, other = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    assert one.take()
    assert one.take()
    assert not other.take()
    one.release()
    assert other.take()
    other.release()
    assert list(tmp_path.iterdir()) == []


def test_a_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        FileLock(tmp_path / "lock").take()
        os._exit(0)
    os.waitpid(child, 0)
    lock = FileLock(tmp_path / "lock")
    assert lock.take()
    lock.release()
