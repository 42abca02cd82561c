"""Folders for unix sockets, whose paths have to fit into an address of 107 bytes."""

from __future__ import annotations

import tempfile
from pathlib import Path

from actrzmq.net.endpoints import MAX_PATH_BYTES

LONGEST_NAME = len("/supervisor.sock")


def short_folder() -> Path:
    """A new one, private to its owner: where temporary files go, or in /tmp where that has too long a path."""
    folder = Path(tempfile.mkdtemp(prefix="actr"))
    if len(str(folder).encode()) + LONGEST_NAME <= MAX_PATH_BYTES:
        return folder
    folder.rmdir()
    return Path(tempfile.mkdtemp(prefix="actr", dir="/tmp"))
