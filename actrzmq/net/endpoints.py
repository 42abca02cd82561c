"""Where to connect and where to listen: loopback ports, and unix sockets beside them.

A broker at `tcp://127.0.0.1:5570` also listens at a unix socket, its *sibling*, whose path follows from the user, the
host and the port. Nodes of the same user on the same machine find it there and take it: a round trip over it takes five
sixths of the time. Its folder belongs to the user and to nobody else, or it is not used.
"""

from __future__ import annotations

import os
import re
import socket
import stat
from collections.abc import Mapping
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

import zmq

from actrzmq.errors import ActrTransportError
from actrzmq.net import sockets
from actrzmq.net.filelock import FileLock

MAX_PATH_BYTES = 99
"""Of a unix socket: it may have 107, and supervisord binds `<path>.<pid>` first."""

_TCP = re.compile(r"tcp://(\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9.-]+):([0-9]{1,5}|\*)", re.ASCII)
_IPC = "ipc://"


def is_local(endpoint: str) -> bool:
    """Is this a loopback port, or the absolute path of a unix socket: something that others can't be behind?"""
    if endpoint.startswith(_IPC):
        path = endpoint.removeprefix(_IPC)
        return path.startswith("/") and path.isprintable() and len(path.encode()) <= MAX_PATH_BYTES
    match = _TCP.fullmatch(endpoint)
    if match is None or (match[2] != "*" and int(match[2]) > 65_535):
        return False
    return _is_loopback(match[1])


def is_reachable(endpoint: str) -> bool:
    """May the broker connect to this, which a node calls its own? A loopback address with a port, in numbers."""
    match = _TCP.fullmatch(endpoint)
    return match is not None and match[1] != "localhost" and is_local(endpoint) and match[2] not in {"*", "0"}


def candidates(url: str, environ: Mapping[str, str] | None = None) -> list[str]:
    """The endpoints at which the broker `url` may be reached, the best first: its sibling, if it answers, and `url`."""
    sibling = sibling_path(url, environ)
    if sibling is not None and _is_private(sibling.parent) and _answers(sibling):
        return [_IPC + str(sibling), url]
    return [url]


def sibling_path(url: str, environ: Mapping[str, str] | None = None) -> Path | None:
    """The path of the unix socket beside the loopback port `url`; None for what has no sibling."""
    match = _TCP.fullmatch(url)
    if match is None or match[2] in {"*", "0"} or not _is_loopback(match[1]):
        return None
    host = match[1].strip("[]").replace("localhost", "127.0.0.1").replace(":", "_")
    path = _folder(os.environ if environ is None else environ) / f"{host}-{match[2]}"
    return path if len(os.fsencode(path)) <= MAX_PATH_BYTES else None


def _folder(environ: Mapping[str, str]) -> Path:
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    # The specification says to ignore relative ones.
    return Path(runtime) / "actrzmq" if runtime.startswith("/") else Path(f"/tmp/actrzmq-{os.getuid()}")  # noqa: S108


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _is_private(folder: Path) -> bool:
    """Is this a folder of ours, and nobody else's? Anyone may have made it, in /tmp."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077


def _answers(path: Path) -> bool:
    """Does anyone listen at the unix socket `path`? A broker that was killed leaves the file."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        try:
            probe.connect(os.fspath(path))
        except BlockingIOError:
            return True  # it listens, and is busy
        except OSError:
            return False
    return True


class UnixListener:
    """A unix socket to listen at. ZeroMQ would take the path from whoever has it, so it is locked first."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.endpoint = _IPC + str(path)
        self._lock = FileLock(path.with_name(path.name + ".lock"))
        self._shut_path = path.with_name(path.name + ".shut")

    def bind(self, listening: zmq.Socket[bytes]) -> None:
        """Have `listening` listen here. `ActrTransportError` if another process does, or if the path can't be used."""
        if len(os.fsencode(self.path)) > MAX_PATH_BYTES:
            raise ActrTransportError(f"can't listen at {self.endpoint}: the path has more than {MAX_PATH_BYTES} bytes")
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            is_taken = self._lock.take()
        except OSError as error:
            raise ActrTransportError(f"can't listen at {self.endpoint}: {error.strerror}") from None
        if not is_taken:
            raise ActrTransportError(f"can't listen at {self.endpoint}: another broker listens there")
        try:
            self._remove_stale()
            sockets.bind(listening, self.endpoint)
        except ActrTransportError:
            self._lock.release()
            raise

    def bind_sibling(self, listening: zmq.Socket[bytes]) -> None:
        """As `bind`, but only in a folder that is ours alone: nodes look for this path without being told."""
        with suppress(OSError):
            self.path.parent.mkdir(mode=0o700, exist_ok=True)
        if not _is_private(self.path.parent):
            raise ActrTransportError(f"can't listen at {self.endpoint}: its folder is not ours alone (mode 0700)")
        self.bind(listening)

    def shut(self) -> None:
        """Have nobody find it, until `open`. Who is connected stays so: unbinding would end their connections."""
        with suppress(OSError):
            self.path.rename(self._shut_path)

    def open(self) -> None:
        """Have it found again."""
        with suppress(OSError):
            self._shut_path.rename(self.path)

    def remove(self) -> None:
        """Leave nothing behind; to be called once the socket is closed."""
        if self._lock.is_held:
            for path in (self.path, self._shut_path):
                with suppress(OSError):
                    path.unlink(missing_ok=True)
            self._lock.release()

    def _remove_stale(self) -> None:
        """Remove the socket that a killed broker has left; anything but a socket is somebody's file and stays."""
        try:
            if stat.S_ISSOCK(self.path.lstat().st_mode):
                self.path.unlink()
            else:
                raise ActrTransportError(f"can't listen at {self.endpoint}: there is a file that is no socket")
        except FileNotFoundError:
            pass
        except OSError as error:
            raise ActrTransportError(f"can't listen at {self.endpoint}: {error.strerror}") from None
