"""What the command `actr` starts with: little enough that a signal finds it in place while the rest is imported."""

import signal
import sys
from types import FrameType
from typing import NoReturn

INTERRUPTED = 130

_heard: list[int] = []


def main() -> None:
    """Run the process's own command line and exit, with 130 and no traceback whenever Ctrl-C comes.

    Told to stop (SIGTERM, SIGHUP) it tidies up in the same way, and exits with 128 and the number of the signal.
    """
    try:
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is signal.SIG_DFL:  # `nohup` has SIGHUP ignored
                signal.signal(number, _leave)
        from actrzmq.cli.main import run

        code = run()
    except KeyboardInterrupt:
        code = INTERRUPTED
    sys.exit(128 + _heard[0] if _heard and code == INTERRUPTED else code)


def _leave(number: int, _: FrameType | None) -> NoReturn:
    _heard.append(number)
    raise KeyboardInterrupt
