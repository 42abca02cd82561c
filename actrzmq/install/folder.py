"""Steps in the file system below one folder, of which no path leads out: symbolic links are never followed."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_ISDIR, S_ISREG

from actrzmq.errors import ActrConfigError

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Folder:
    """The folder `root`. Paths are relative to it, with `/`; each method is one step, and may be the last one."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def make_folder(self, path: str) -> None:
        """Make the folder `path`, if it is not there."""
        with self._parent(path) as (parent, name):
            while True:
                try:
                    os.mkdir(name, dir_fd=parent)
                except FileExistsError:
                    with suppress(FileNotFoundError):  # another command has just tidied it up: make it once more
                        if not S_ISDIR(os.lstat(name, dir_fd=parent).st_mode):
                            raise self._in_the_way(path, "no folder") from None
                        return
                else:
                    return

    def write(self, path: str, content: bytes, replaces: str = "") -> None:
        """Make the file `path`, which must not be there, and bring its content to the disk.

        It has the mode of the file `replaces`, if that is there, from the first moment on.
        """
        mode = self._mode(replaces) if replaces else None
        with self._parent(path) as (parent, name):
            file = os.open(name, _NEW_FILE, 0o666 if mode is None else mode, dir_fd=parent)
            with open(file, "wb") as opened:
                if mode is not None:  # without what the umask takes away
                    os.fchmod(file, mode)
                opened.write(content)
                opened.flush()
                os.fsync(file)

    def move(self, source: str, target: str) -> None:
        """Put the file `source` where `target` is or is to be."""
        with self._parent(source) as (old, old_name), self._parent(target) as (new, new_name):
            os.rename(old_name, new_name, src_dir_fd=old, dst_dir_fd=new)

    def remove(self, path: str) -> None:
        """Remove the file `path`, if it is there."""
        try:
            with self._parent(path) as (parent, name):
                os.unlink(name, dir_fd=parent)
        except FileNotFoundError:
            return

    def remove_empty(self, path: str) -> bool:
        """Remove the folder `path`, if it is there and empty. Is it gone?"""
        try:
            with self._parent(path) as (parent, name):
                os.rmdir(name, dir_fd=parent)
        except FileNotFoundError:
            return True
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                return False
            raise
        return True

    def sync(self, path: str) -> None:
        """Bring the names in the folder `path` to the disk."""
        with self._open(tuple(path.split("/")) if path else ()) as folder:
            os.fsync(folder)

    def names(self, path: str) -> list[str]:
        """What is in the folder `path`; nothing if it is not there."""
        try:
            with self._open(tuple(path.split("/"))) as folder:
                return sorted(os.listdir(folder))
        except FileNotFoundError:
            return []

    def read(self, path: str) -> bytes | None:
        """The content of the file `path`; None if it is not there."""
        try:
            with self._parent(path) as (parent, name):
                file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise self._in_the_way(path, "a symbolic link") from None
            raise
        with open(file, "rb") as opened:
            if not S_ISREG(os.fstat(file).st_mode):
                raise self._in_the_way(path, "no regular file")
            return opened.read()

    def check_file(self, path: str) -> None:
        """Raise `ActrConfigError` unless `path` can be written: a regular file or nothing, in folders or nothing."""
        try:
            with self._parent(path) as (parent, name):
                mode = os.lstat(name, dir_fd=parent).st_mode
        except FileNotFoundError:
            return
        if not S_ISREG(mode):
            raise self._in_the_way(path, "no regular file")

    def _mode(self, path: str) -> int | None:
        try:
            with self._parent(path) as (parent, name):
                return os.lstat(name, dir_fd=parent).st_mode & 0o777
        except FileNotFoundError:
            return None

    @contextmanager
    def _parent(self, path: str) -> Iterator[tuple[int, str]]:
        *folders, name = path.split("/")
        with self._open(tuple(folders)) as parent:
            yield parent, name

    @contextmanager
    def _open(self, folders: tuple[str, ...]) -> Iterator[int]:
        current = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for at, name in enumerate(folders):
                try:
                    inner = os.open(name, _DIRECTORY, dir_fd=current)
                except OSError as error:
                    if error.errno in (errno.ENOTDIR, errno.ELOOP):
                        raise self._in_the_way("/".join(folders[: at + 1]), "no folder, or a symbolic link") from None
                    raise
                os.close(current)
                current = inner
            yield current
        finally:
            os.close(current)

    def _in_the_way(self, path: str, what: str) -> ActrConfigError:
        return ActrConfigError(f"{self.root / path} is in the way: it is {what}; move it away")
