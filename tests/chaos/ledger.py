"""The ledger: who invoked, was told and processed what, and when; written outside of all that faults are done to.

Each process appends lines to a file of its own, one `write` each and nothing buffered: what a line says survives a
SIGKILL of its writer, since the kernel has it. What matters is the order of writing and acting:

* `invoke` and `push` come *before* the call and the frame leave: nothing can be processed that is not in the ledger.
* `ran` and `got` come first thing in the handler and the callback, *before* anything can be acknowledged: whatever
  somebody was told is done has its line.
* `told`, `ended`, `reset` and `closed` come *after* the runtime has said so: only what was claimed counts as claimed.
* `killed` comes before the signal: a line that is missing is never excused by a fault that came later.

Times are those of CLOCK_BOOTTIME, which all processes of a machine share.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec

SUFFIX = ".ledger"


class Line(msgspec.Struct, frozen=True, array_like=True):
    """What happened at `at` (seconds): to which call, stream or process, and whatever else there is to say of it."""

    at: float
    what: str
    key: str
    value: str = ""
    number: int = 0


Ledger = dict[str, list[Line]]
"""The lines of each process, by its name, in the order in which it wrote them."""


def now() -> float:
    """Seconds, on the clock that all processes share."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Recorder:
    """Appends to one process's file."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._encode = msgspec.json.Encoder().encode

    def write(self, what: str, key: str, value: str = "", number: int = 0) -> float:
        """Append a line; returns its time."""
        at = now()
        os.write(self._file, self._encode(Line(at, what, key, value, number)) + b"\n")
        return at

    def close(self) -> None:
        """No more."""
        os.close(self._file)


def read(folder: Path) -> Ledger:
    """All ledgers of a run. A last line that is cut off (its writer was killed in it) was never claimed."""
    decode = msgspec.json.Decoder(Line).decode
    ledger: Ledger = {}
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        whole, _, _ = path.read_bytes().rpartition(b"\n")
        ledger[path.name.removesuffix(SUFFIX)] = [decode(line) for line in whole.split(b"\n") if line]
    return ledger
