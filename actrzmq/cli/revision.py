"""The .proto files of a git revision, read from git's own store: the work tree is neither read nor touched."""

from __future__ import annotations

import os
import subprocess  # runs git only
from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec import Struct

from actrzmq.errors import ActrConfigError

TIMEOUT_S = 60.0
MAX_FILES = 2000
MAX_BYTES = 32 * 1024 * 1024

_PLAIN = ("100644", "100755")
_NO_NAMES = ("", ".", "..", ".git")


class _Entry(Struct, frozen=True):
    """A file of a revision."""

    oid: str
    size: int
    path: str


def copy_revision(revision: str, project: Path, names: Iterable[str], target: Path) -> None:
    """Put the .proto files that `project` had at `revision`, and those of the `names`, into the folder `target`.

    Raises `ActrConfigError` where there is no git, no repository or no such revision, and where the project
    had no .proto files then, more than can be a contract, or one at a path that leads elsewhere.
    """
    _git(project, "rev-parse", "--git-dir", hint=f"{project} is in no git repository; name a folder instead")
    commit = _git(
        project,
        *("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"),
        hint=f"{revision!r} is neither a folder nor a revision of the git repository around {project}",
    )
    entries = list(_entries(project, commit.decode().strip(), frozenset(names)))
    if not any(entry.path.endswith(".proto") for entry in entries):
        raise ActrConfigError(f"{revision!r} has no .proto files below {project}")
    if len(entries) > MAX_FILES or sum(entry.size for entry in entries) > MAX_BYTES:
        raise ActrConfigError(f"{revision!r} has more than {MAX_FILES} .proto files or {MAX_BYTES} bytes")
    _write(_contents(project, entries), target)


def _entries(project: Path, commit: str, names: frozenset[str]) -> Iterator[_Entry]:
    listed = _git(project, "ls-tree", "-r", "-z", "-l", commit, hint=f"the files of {commit} can't be listed")
    for line in listed.split(b"\0")[:-1]:
        facts, _, name = line.partition(b"\t")
        mode, _, oid, size = facts.decode().split()
        path = os.fsdecode(name)
        # A symbolic link, which could lead anywhere, stays behind.
        if mode in _PLAIN and (path.endswith(".proto") or path in names):
            _check_inside(path)
            yield _Entry(oid, int(size), path)


def _check_inside(path: str) -> None:
    """Refuse a path that can leave the folder that it is below: git makes none, but shows those that others made."""
    if any(part.lower() in _NO_NAMES for part in path.split("/")):
        raise ActrConfigError(f"the revision has a file {path!r:.300}, which is no path below a folder; don't trust it")


def _contents(project: Path, entries: list[_Entry]) -> Iterator[tuple[str, bytes]]:
    asked = "".join(f"{entry.oid}\n" for entry in entries).encode()
    found = _git(project, "cat-file", "--batch", asked=asked, hint="git can't read the files")
    at = 0
    for entry in entries:
        at = found.index(b"\n", at) + 1
        yield entry.path, found[at : at + entry.size]
        at += entry.size + 1


def _write(contents: Iterable[tuple[str, bytes]], target: Path) -> None:
    for path, content in contents:
        file = target / path
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("xb") as opened:
                opened.write(content)
        except OSError as error:  # such as one name for two files, or for a file and a folder
            raise ActrConfigError(f"the revision's file {path!r:.300} can't be written: {error.strerror}") from None


def _git(folder: Path, *arguments: str, hint: str, asked: bytes = b"") -> bytes:
    try:
        done = subprocess.run(  # noqa: S603  # no shell, and what the user gave is behind --end-of-options
            ["git", "-C", str(folder), *arguments],  # noqa: S607  # the user's git
            input=asked,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
            env=os.environ | {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"},
        )
    except FileNotFoundError:
        raise ActrConfigError("there is no git to ask; name a folder instead of a revision") from None
    except subprocess.TimeoutExpired:
        raise ActrConfigError(f"git did not answer within {TIMEOUT_S:.0f} s") from None
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise ActrConfigError(f"{hint} (git: {said[0]})" if said else hint)
    return done.stdout
