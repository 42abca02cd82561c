"""What the kernel says of a process."""

from __future__ import annotations

import os
import re
from pathlib import Path


def rss(pid: int) -> int:
    """Bytes of memory that it has at present."""
    return _status(pid, "VmRSS") * 1024


def anonymous(pid: int) -> int:
    """Bytes of that which are no part of a file: what it has for itself."""
    return _status(pid, "RssAnon") * 1024


def peak(pid: int) -> int:
    """Bytes of memory that it has had at most."""
    return _status(pid, "VmHWM") * 1024


def descriptors(pid: int) -> int:
    """Descriptors that it has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def cpu_s(pid: int) -> float:
    """Seconds of processor time that it has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def started_at(pid: int) -> float:
    """When it was started, to 10 ms, on the clock of the ledger."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[19]) / os.sysconf("SC_CLK_TCK")


def orphans(folder: Path) -> list[str]:
    """The processes that still run and have `folder` in their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it has just ended
            continue
        if str(folder) in command:
            found.append(command)
    return found


def _status(pid: int, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])
