"""What holds for all tests."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator

import pytest

# Unix sockets of brokers go here and nowhere else, whoever starts them: short enough for a socket's path, and gone with
# the run, also what a broker that was killed has left.
_RUNTIME = tempfile.mkdtemp(prefix="actr")
os.environ["XDG_RUNTIME_DIR"] = _RUNTIME
atexit.register(shutil.rmtree, _RUNTIME, ignore_errors=True)

# A shell has what it runs in the background ignore Ctrl-C, which would be passed on to every program under test.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# So does nohup with a hang-up.
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture
def free_address() -> Iterator[str]:
    """Where there is no broker, and only this test will start one."""
    from tests.net.peers import address  # not before XDG_RUNTIME_DIR is set

    with address() as endpoint:
        yield endpoint
