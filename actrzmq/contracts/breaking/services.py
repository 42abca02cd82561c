"""What may break from an old method to the new one, its types apart."""

from __future__ import annotations

from actrzmq.contracts.breaking.finding import Breaks, Broken, Level
from actrzmq.contracts.breaking.schema import Method

_LEVELS = ("unknown", "NO_SIDE_EFFECTS", "IDEMPOTENT")
# What each level lets callers rely on.
_PROMISES = (set[str](), {"repeatable", "harmless"}, {"repeatable"})


def compare_methods(old: Method, new: Method, level: Level) -> Breaks:
    """What breaks from `old` to `new`."""
    for side, was, now in (
        ("CLIENT", old.client_streaming, new.client_streaming),
        ("SERVER", old.server_streaming, new.server_streaming),
    ):
        if was != now:
            words = {True: "a stream", False: "one message"}
            yield Broken(
                f"RPC_SAME_{side}_STREAMING",
                old.full_name,
                f"the {side.lower()} sent {words[was]} and sends {words[now]} now",
            )
    if _is_weaker(old, new) if level is Level.WIRE else old.idempotency != new.idempotency:
        yield Broken(
            "RPC_SAME_IDEMPOTENCY_LEVEL",
            old.full_name,
            f"its idempotency level was {_LEVELS[old.idempotency]} and is {_LEVELS[new.idempotency]} now",
        )


def _is_weaker(old: Method, new: Method) -> bool:
    """Whether callers that hold the old contract may repeat what they no longer should."""
    return not _PROMISES[old.idempotency] <= _PROMISES[new.idempotency]
