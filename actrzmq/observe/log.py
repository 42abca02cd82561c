"""What a program prints about itself: one line for each fact, which nobody else can forge.

The library logs under `actrzmq` and configures nothing; programs call `configure`. What came from elsewhere (a name,
an address) may hold line ends and escape codes; they are shown, not obeyed. A line that belongs to the one before it,
as in a traceback, begins with `  | `, which no fact does.
"""

from __future__ import annotations

import logging
import time

_CONTINUED = "\n  | "


class LineFormatter(logging.Formatter):
    """Time (UTC), level, logger, message; nothing in the message can end its line."""

    def format(self, record: logging.LogRecord) -> str:
        """`record` as text, without a line end."""
        message = record.getMessage()
        head, *block = message.split("\n") if _has_block(record) else [message]
        if record.exc_info:
            block += self.formatException(record.exc_info).split("\n")
        if record.stack_info:
            block += record.stack_info.split("\n")
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        start = f"{moment}.{int(record.msecs):03}Z {record.levelname.lower()} {record.name} "
        return _CONTINUED.join([start + escape(head), *(escape(line) for line in block)])


def configure(level: str) -> None:
    """Print what the library logs from `level` (a name of `logging`, in any case) on, to stderr."""
    handler = logging.StreamHandler()
    handler.setFormatter(LineFormatter())
    logger = logging.getLogger("actrzmq")
    for other in list(logger.handlers):
        logger.removeHandler(other)
    logger.addHandler(handler)
    logger.propagate = False
    logger.setLevel(level.upper())


def escape(text: str) -> str:
    r"""`text` in one line: what ends a line, moves the cursor, reorders or hides text as `\n`, `\x1b`, `\u202e`."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _has_block(record: logging.LogRecord) -> bool:
    """Did the author of the message mean several lines?"""
    return isinstance(record.msg, str) and "\n" in record.msg
