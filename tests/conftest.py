"""What holds for all tests."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

# Unix sockets of brokers go here and nowhere else, whoever starts them: short enough for a socket's path, and gone with
# the run, also what a broker that was killed has left.
_RUNTIME = tempfile.mkdtemp(prefix="actr")
os.environ["XDG_RUNTIME_DIR"] = _RUNTIME
atexit.register(shutil.rmtree, _RUNTIME, ignore_errors=True)
