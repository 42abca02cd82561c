"""What supervisord and supervisorctl load from supervisord.conf, before they open or look for the socket.

Two things that a configuration file can't say: the run folder is private to its owner, and the socket works
where its path is longer than a socket's address may be. supervisord has no hook that early, so that the class of
its unix server is replaced by a subclass; nothing else of it is touched.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from supervisor import http

from actrzmq.supervision.parent import watch_parent

# A socket's address takes 107 bytes, and supervisord first binds <path>.<process id>, up to 8 more.
MAX_SOCKET_PATH = 99

# The programs of one priority stop together, those of the next after them; each has 15 s.
SHUTDOWN_S = 60.0

_UNIX = "unix://"


class PrivateServer(http.supervisor_af_unix_http_server):  # type: ignore[misc]  # supervisor is not typed
    """supervisord's server on a unix socket, in a folder that only its owner may enter."""

    def __init__(self, socketname: str, *arguments: object, **options: object) -> None:
        folder, name = os.path.split(socketname)
        make_private(Path(folder))
        if is_short(socketname):
            super().__init__(socketname, *arguments, **options)
            return
        with working_directory(folder):
            super().__init__(name, *arguments, **options)


# The plugin is imported while the configuration is read, and again found imported when supervisord reloads.
http.supervisor_af_unix_http_server = PrivateServer


def make_private(folder: Path) -> None:
    """Have `folder`, closed to everybody but its owner. Raises ValueError, which supervisord reports."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.stat().st_mode & 0o077:
            folder.chmod(0o700)
    except OSError as error:
        raise ValueError(f"can't make the folder {folder} private: {error.strerror}") from None


def is_short(path: str) -> bool:
    """Whether `path` fits into the address of a socket, with what supervisord adds to it."""
    return len(os.fsencode(path)) <= MAX_SOCKET_PATH


@contextmanager
def working_directory(folder: str) -> Iterator[None]:
    """Work in `folder` for a while. Only for programs with one thread, as supervisord is."""
    before = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.chdir(folder)
        yield
    finally:
        os.fchdir(before)
        os.close(before)


class Nothing:
    """An interface without methods: loading it was the point."""


def make_rpcinterface(supervisord: object, **options: str) -> Nothing:
    """What supervisord asks of a section [rpcinterface:…].

    Here also: a supervisord in the foreground may be told to stop with whoever started it.
    """
    del supervisord, options
    watch_parent(grace_s=SHUTDOWN_S)
    return Nothing()


def make_ctl_plugin(controller: Controller, **options: str) -> Nothing:
    """What supervisorctl asks of a section [ctlplugin:…]: here, to find a socket with a long path."""
    del options
    url = controller.options.serverurl
    path = url.removeprefix(_UNIX)
    if url.startswith(_UNIX) and not is_short(path):
        folder, name = os.path.split(path)
        if os.path.isdir(folder):
            os.chdir(folder)
            controller.options.serverurl = _UNIX + name
    return Nothing()


class Options:
    """The part of supervisorctl's options that matters here."""

    serverurl: str


class Controller:
    """The part of supervisorctl that matters here."""

    options: Options
