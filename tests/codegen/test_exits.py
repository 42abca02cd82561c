"""Exit codes mean something, and are decided in one place."""

from __future__ import annotations

import pytest

from actrzmq.cli.exits import CommandError, Exit, exit_code_of, printable
from actrzmq.errors import (
    ActrConfigError,
    ActrContractMismatch,
    ActrNotFound,
    ActrPermissionDenied,
    ActrRuntimeError,
    ActrTimeoutError,
    ActrTransportError,
)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ActrConfigError("x"), 2),
        (ActrNotFound("x"), 4),
        (ActrTimeoutError("x"), 5),
        (ActrContractMismatch("x"), 6),
        (ActrTransportError("x"), 1),
        (ActrPermissionDenied("x"), 1),
        (ActrRuntimeError("x"), 1),
        (CommandError("x"), 1),
        (CommandError("x", Exit.NO_BROKER), 3),
        (CommandError("x", Exit.MISMATCH), 6),
    ],
)
def test_every_error_has_its_exit_code(error: ActrRuntimeError, code: int) -> None:
    assert exit_code_of(error) == code


def test_what_a_terminal_would_obey_is_spelled_out() -> None:
    assert printable("a\x1b[2Jb\r\u202e\nc") == "a\\x1b[2Jb\\r\\u202e\nc"
