"""One ZeroMQ context for each process, and none that a fork has inherited."""

from __future__ import annotations

import errno
import os
import resource
import threading

import zmq

from actrzmq.errors import ActrRuntimeError, ActrTransportError, Status

MAX_SOCKETS = 65_535
DESCRIPTORS = 131_072
LARGE_BLOCK = 8 * 1024 * 1024

_Context = zmq.Context[zmq.Socket[bytes]]


class _Process:
    """What belongs to one process: made anew in the child of a fork."""

    def __init__(self, parent: _Process | None) -> None:
        self.parent = parent  # kept, so that nothing is ever closed that belongs to it
        self.making = threading.Lock()
        self.context: _Context | None = None


_processes = [_Process(None)]
os.register_at_fork(after_in_child=lambda: _processes.__setitem__(0, _Process(_processes[0])))


def context() -> _Context:
    """The one context of this process, made when first asked for."""
    process = _processes[0]
    with process.making:
        if process.context is None:
            raise_descriptor_limit()
            process.context = zmq.Context()
            # 1,023 by default; one PUSH for each destination exceeds that.
            process.context.set(zmq.MAX_SOCKETS, MAX_SOCKETS)
            keep_large_blocks()
        return process.context


def check_process(socket: zmq.Socket[bytes]) -> None:
    """Raise `ActrRuntimeError` if `socket` was made in the parent of this process.

    In the child of a fork, sends "succeed" and nothing arrives: the threads that do the work stayed behind.
    """
    process = _processes[0]
    if process.parent is not None and socket.context is not process.context:
        raise _forked()


def this_process() -> object:
    """A mark of this process, which its children by fork do not have."""
    return _processes[0]


def check_same_process(mark: object) -> None:
    """Raise `ActrRuntimeError` if `mark` is that of a parent of this process."""
    if mark is not _processes[0]:
        raise _forked()


def _forked() -> ActrRuntimeError:
    return ActrRuntimeError(
        "this process was forked after actrzmq was started in its parent, whose connections it can't use; "
        "start actrzmq in the child, or start the child by spawning instead of forking",
        code=Status.FAILED_PRECONDITION,
    )


def keep_large_blocks() -> None:
    """Have the C library keep the memory of large bodies and payloads for those that come next.

    glibc learns from the largest block that was ever freed: smaller ones no longer come from the system and go back to
    it each time, as long as no more than twice that much lies idle. Else each frame of 1 MB costs 200 page faults at
    its receiver, and twice the processor time. The block made here is never written to, and so takes no memory itself.
    """
    bytes(LARGE_BLOCK)


def raise_descriptor_limit() -> int:
    """Let this process open as many files as it may, and return how many; a socket takes two or more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return soft


def check_descriptors(count: int, what: str) -> None:
    """Raise `ActrTransportError` unless this process may open so many files more, as `what` does.

    They are opened, and closed again: libzmq ends the whole process where it can't open what it needs, and one that
    can't connect would wait for ever.
    """
    raise_descriptor_limit()
    held: list[int] = []
    try:
        for _ in range(count):
            held.append(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        if error.errno not in (errno.EMFILE, errno.ENFILE):
            raise
        raise ActrTransportError(
            f"{what} opens {count} files, and this process may open only {len(held)} more; raise its limit (ulimit -n)"
        ) from None
    finally:
        for descriptor in held:
            os.close(descriptor)
