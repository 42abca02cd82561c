"""How a command ends: its exit code, and the words on standard error."""

from __future__ import annotations

from enum import IntEnum

from actrzmq.errors import ActrConfigError, ActrContractMismatch, ActrNotFound, ActrRuntimeError, ActrTimeoutError


class Exit(IntEnum):
    """The exit codes of every command."""

    OK = 0
    FAILED = 1
    USAGE = 2
    """Wrong arguments or manifest."""
    NO_BROKER = 3
    NOT_FOUND = 4
    """No such service or instance."""
    DEADLINE = 5
    MISMATCH = 6
    """The contract is another than the one that was locked."""
    INTERRUPTED = 130


# The first class that fits counts.
_BY_CLASS: tuple[tuple[type[ActrRuntimeError], Exit], ...] = (
    (ActrConfigError, Exit.USAGE),
    (ActrNotFound, Exit.NOT_FOUND),
    (ActrTimeoutError, Exit.DEADLINE),
    (ActrContractMismatch, Exit.MISMATCH),
    (ActrRuntimeError, Exit.FAILED),
)


class CommandError(ActrRuntimeError):
    """What a command ends with where the class of an error does not say the exit code."""

    def __init__(self, message: str, exit_code: Exit = Exit.FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def exit_code_of(error: ActrRuntimeError) -> Exit:
    """The exit code that `error` stands for."""
    if isinstance(error, CommandError):
        return error.exit_code
    return next(code for kind, code in _BY_CLASS if isinstance(error, kind))


def printable(text: str) -> str:
    """`text` with nothing in it that a terminal would obey: names in it may come from anywhere."""
    return "".join(
        letter if letter.isprintable() or letter == "\n" else letter.encode("unicode_escape").decode()
        for letter in text
    )


def one_line(text: str) -> str:
    """`text` as `printable` gives it, and with its lines joined."""
    return printable(" ".join(text.split()) if "\n" in text else text)
