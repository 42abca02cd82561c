"""What `actr call` and `actr stream` have in common: a request from JSON, sent by the published contract."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from select import select
from typing import TYPE_CHECKING

from msgspec import Struct

from actrzmq.cli.exits import CommandError, Exit, exit_code_of, one_line
from actrzmq.cli.picking import pick
from actrzmq.errors import ActrConfigError, ActrNotFound, ActrRuntimeError

if TYPE_CHECKING:
    from actrzmq.contracts.untyped import Untyped
    from actrzmq.identity import ActrType
    from actrzmq.runtime.dest import Dest
    from actrzmq.runtime.visitor import Visitor

MAX_JSON_BYTES = 64 * 1024 * 1024
TIMEOUT_S = 30.0
FIRST_WORD_S = 10.0
"""How long to wait for a pipe that was not asked for: it may be one that nobody writes to or closes."""
NOTHING = "{}"
"""A request that says nothing."""


class Request(Struct, frozen=True):
    """A call that is ready to be made."""

    actor_type: ActrType
    route_key: str
    body: bytes
    untyped: Untyped

    async def send(self, visitor: Visitor, dest: Dest, timeout_s: float, metadata: Mapping[str, str]) -> str:
        """Call it at `dest`; returns the reply as JSON. Raises `CommandError` with status and exit code."""
        try:
            reply = await visitor.context.call(
                dest, self.route_key, self.body, timeout_ms=round(timeout_s * 1000), metadata=metadata
            )
            return self.untyped.decode(self.route_key, reply)
        except ActrRuntimeError as error:
            raise CommandError(f"{self.route_key} at {dest}: {told(error)}", _exit_code(error)) from None


async def prepare(visitor: Visitor, service: tuple[ActrType | None, str], method: str, text: str) -> Request:
    """The request that the words of a command line mean, by the newest contract of `service`, a type or a name.

    Raises `ActrNotFound`, `CommandError` and `ActrConfigError`, in words, for what does not exist or does not fit.
    """
    from actrzmq.contracts.untyped import Untyped

    published = await visitor.describe(*service)
    assert published.contract is not None  # it was asked for
    untyped = Untyped(published.contract)
    route_key = pick(method, untyped.route_keys, f"methods of {published.actor_type}")
    return Request(published.actor_type, route_key, untyped.encode(route_key, text), untyped)


def told(error: ActrRuntimeError) -> str:
    """An error in one line: its status with the number, its words, its details."""
    details = "".join(f" [{key}={value}]" for key, value in sorted(error.details.items()))
    return one_line(f"{error.code.name} ({error.code.value}): {error.message}{details}")


def _exit_code(error: ActrRuntimeError) -> Exit:
    # A handler that has not found something has run: that is a failure of the call, and not of finding the service.
    if isinstance(error, ActrNotFound) and error.may_have_run:
        return Exit.FAILED
    return exit_code_of(error)


def read_json(text: str | None) -> str:
    """The JSON of the command line. `-` means standard input, and so does None unless a person sits at it.

    Nothing at all there is `{}`. Raises `ActrConfigError` for bytes that are no text.
    """
    if text is None and (sys.stdin is None or sys.stdin.isatty()):
        return NOTHING
    if text is not None and text != "-":
        return text
    if text is None and not select([sys.stdin], (), (), FIRST_WORD_S)[0]:
        raise ActrConfigError(
            f"nothing came on standard input within {FIRST_WORD_S:g} s; give the JSON, as in {NOTHING}, or `-` to wait"
        )
    content = sys.stdin.buffer.read(MAX_JSON_BYTES + 1) if sys.stdin else b""
    if len(content) > MAX_JSON_BYTES:
        raise ActrConfigError(f"standard input has more than {MAX_JSON_BYTES} bytes")
    try:
        read = content.decode()
    except UnicodeDecodeError as error:
        raise ActrConfigError(f"standard input is not UTF-8: {error.reason} at byte {error.start}") from None
    return NOTHING if text is None and not read.strip() else read


def parse_metadata(pairs: Sequence[str]) -> dict[str, str]:
    """`("key=value", …)` as a mapping. Raises `ActrConfigError` for what is no pair, and for a key given twice."""
    metadata: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise ActrConfigError(f"-H {pair!r}: expected key=value")
        if key in metadata:
            raise ActrConfigError(f"-H {key!r} is given twice; a call carries one value for each key")
        metadata[key] = value
    return metadata
