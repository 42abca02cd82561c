"""What is refused before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping

from actrzmq.core.failures import too_long
from actrzmq.errors import ActrConfigError, ActrOverloaded
from actrzmq.wire.messages import MAX_INT, MAX_METADATA, MAX_NAME, MAX_TEXT, DataStream

MAX_TIMEOUT_MS = 24 * 3600 * 1000
DEFAULT_TIMEOUT_MS = 30_000
MAX_METADATA_BYTES = 64 * 1024


def check_timeout(timeout_ms: int, *, may_be_zero: bool = False) -> int:
    """`timeout_ms`, if it is a number of milliseconds from 1 to a day; else `ActrConfigError`."""
    least = 0 if may_be_zero else 1
    if (
        isinstance(timeout_ms, bool)
        or not isinstance(timeout_ms, int | float)
        or not (least <= timeout_ms <= MAX_TIMEOUT_MS)
    ):
        raise ActrConfigError(f"timeout_ms={timeout_ms!r}: expected {least} to {MAX_TIMEOUT_MS} milliseconds")
    return int(timeout_ms) or least


def check_name(name: str, what: str) -> str:
    """`name`, if it is a text of 1 to 256 characters; else `ActrConfigError`."""
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME or not _can_travel(name):
        shown = name if not isinstance(name, str) or len(name) < 80 else f"{name[:80]}… ({len(name)} characters)"
        raise ActrConfigError(f"{what} {shown!r}: expected a text of 1 to {MAX_NAME} characters")
    return exact(name)


def exact(text: str) -> str:
    """`text` as a plain str: a subclass (numpy has one) can't be encoded, and would spoil the batch that it is in."""
    return str.__str__(text)


def check_body(body: bytes, limit: int, what: str) -> bytes:
    """`body`, if it is no longer than `limit` bytes; else `ActrOverloaded`, and nothing is sent."""
    if len(body) > limit:
        raise too_long(len(body), limit, what, may_have_run=False)
    return body


def check_metadata(metadata: Mapping[str, str] | None) -> dict[str, str] | None:
    """`metadata` as it travels: at most 64 texts of 64 KiB in all; else `ActrConfigError`."""
    if not metadata:
        return None
    if len(metadata) > MAX_METADATA:
        raise ActrConfigError(f"metadata of {len(metadata)} entries, at most {MAX_METADATA}")
    for key, value in metadata.items():
        if not _is_text(key, MAX_NAME) or not _is_text(value, MAX_TEXT):
            raise ActrConfigError(
                f"metadata {str(key)[:80]!r}: expected a text of at most {MAX_NAME} characters for the key, "
                f"{MAX_TEXT} for the value"
            )
    copy = {exact(key): exact(value) for key, value in metadata.items()}
    size = sum(len(key.encode()) + len(value.encode()) for key, value in copy.items())
    if size > MAX_METADATA_BYTES:
        raise ActrConfigError(f"metadata of {size} bytes, at most {MAX_METADATA_BYTES} in all")
    return copy


def check_frame(frame: DataStream, limit: int) -> DataStream:
    """`frame`, or an equal one that nobody else can change, if it can travel; else as the other checks here.

    What could not be encoded must not get as far as the batch that it would spoil.
    """
    payload, sequence = frame.payload(), frame.sequence()
    if type(payload) is not bytes:
        raise ActrConfigError(f"stream {frame.stream_id()}: a payload of {type(payload).__name__}, expected bytes")
    if type(sequence) is not int or not -MAX_INT <= sequence <= MAX_INT:
        raise ActrConfigError(f"stream {frame.stream_id()}: sequence={sequence!r:.80}, expected a 64-bit integer")
    timestamp = frame.timestamp_ms()
    if timestamp is not None and (type(timestamp) is not int or not -MAX_INT <= timestamp <= MAX_INT):
        raise ActrConfigError(f"stream {frame.stream_id()}: timestamp_ms={timestamp!r:.80}, expected milliseconds")
    if len(payload) > limit:
        raise ActrOverloaded(
            f"stream {frame.stream_id()}: a frame of {len(payload)} bytes, at most {limit} "
            "(limits.body_bytes of the broker); send it in pieces",
            retryable=False,
        )
    if frame.metadata() is not None or type(frame.stream_id()) is not str:
        # It is kept until it is acknowledged, and the metadata are the user's own dict.
        metadata = check_metadata(frame.metadata())
        return DataStream(exact(frame.stream_id()), sequence, payload, timestamp, metadata)
    return frame


def shown(error: BaseException) -> str:
    """Type and text of what a user's code has raised; an error that can't even be shown is told all the same."""
    name = type(error).__name__
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - its own __str__ has raised
        return f"{name}, which can't be shown"
    return f"{name}: {text}" if text else name


def _is_text(text: object, length: int) -> bool:
    return isinstance(text, str) and len(text) <= length and _can_travel(text)


def _can_travel(text: str) -> bool:
    """Half a surrogate pair, as in a file name that is not UTF-8, can't be encoded."""
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False
