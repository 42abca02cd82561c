"""A file that one process holds, and that nobody holds any more once that process has ended, however it did."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class FileLock:
    """The right to what `path` stands for. The file itself has no content and is removed when it is let go."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = None

    def take(self) -> bool:
        """Take it if nobody has it; False if somebody has. Raises `OSError` if the file can't be made."""
        while self._file is None:
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._is_current(file):
                    self._file = file
                    return True
            except BlockingIOError:
                return False
            finally:
                if self._file is None:
                    os.close(file)
        return True

    @property
    def is_held(self) -> bool:
        """Is it ours?"""
        return self._file is not None

    def release(self) -> None:
        """Let it go, if it is held."""
        if self._file is not None:
            self.path.unlink(missing_ok=True)  # while it is held: whoever waits for this very file looks again
            os.close(self._file)
            self._file = None

    def _is_current(self, file: int) -> bool:
        """Is `file` still the one at the path? Its last holder may have removed it between our two steps."""
        try:
            return os.path.samestat(os.fstat(file), self.path.stat())
        except FileNotFoundError:
            return False
