"""Stops this process when the one that supervises it is gone, however that one went.

A supervisord that is killed can't stop its programs; they would run on, with nobody to restart or end them. Its
launcher therefore says in the environment who supervises, and a thread here waits for that process to end. Who
starts a program by hand does not set the variable, so that a shell, `nohup` or a terminal may go and come.

A process descriptor is waited for, not a signal asked of the kernel (PR_SET_PDEATHSIG): it works through
processes in between, can't miss a death that came first, and leaves a thread that can insist.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import threading
import time
from collections.abc import Callable, MutableMapping

from actrzmq.errors import ActrConfigError

PARENT_VARIABLE = "ACTRZMQ_PARENT"
GRACE_S = 15.0

_POLL_S = 0.5

log = logging.getLogger("actrzmq.supervision")


def watch_parent(grace_s: float = GRACE_S, environ: MutableMapping[str, str] | None = None) -> bool:
    """Have this process drain (SIGTERM) once the process in `ACTRZMQ_PARENT` is gone, killed after `grace_s` more.

    Returns whether there is one to watch. Takes the variable out of `environ` (the process's own), so that
    what this process starts does not watch in its stead, and a second call does nothing. Raises
    `ActrConfigError` if the variable is not a process id.
    """
    environ = os.environ if environ is None else environ
    text = environ.pop(PARENT_VARIABLE, "")
    if not text:
        return False
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 2**31:
        raise ActrConfigError(f"environment: {PARENT_VARIABLE}={text!r}: expected the process id of the supervisor")
    pid = int(text)
    wait = _end_of(pid)  # here, not in the thread: a later process may get the same id
    threading.Thread(target=_stop_after, args=(wait, pid, grace_s), name="actrzmq-watch-parent", daemon=True).start()
    return True


def _stop_after(wait: Callable[[], None], pid: int, grace_s: float) -> None:
    wait()
    _mute_broken_pipes()
    log.warning("supervisor gone pid=%d; draining", pid)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(grace_s)
    # Nobody is left to do this from outside.
    os.kill(os.getpid(), signal.SIGKILL)


def _mute_broken_pipes() -> None:
    """Let what is printed while draining go nowhere, where the supervisor was to read it: not raise."""
    poller = select.poll()
    for descriptor in (1, 2):
        poller.register(descriptor, 0)
    broken = [descriptor for descriptor, events in poller.poll(0) if events & select.POLLERR]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in broken:
        os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _end_of(pid: int) -> Callable[[], None]:
    """A function that returns once the process `pid` has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return lambda: None
    except (AttributeError, OSError):  # not Linux, an old kernel, or a sandbox that forbids it
        return lambda: _poll(pid)
    return lambda: _wait(descriptor)


def _wait(descriptor: int) -> None:
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    poller.poll()
    os.close(descriptor)


def _poll(pid: int) -> None:
    while True:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        except PermissionError:
            pass  # it lives, and belongs to another user
        time.sleep(_POLL_S)
