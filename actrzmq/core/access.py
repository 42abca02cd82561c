"""Who may talk to whom."""

from __future__ import annotations

from collections.abc import Sequence

from actrzmq.identity import ActrId
from actrzmq.wire.messages import Rule


def is_allowed(caller: ActrId, owner: ActrId, rules: Sequence[Rule] | None) -> bool:
    """May `caller` talk to `owner`, whose access rules these are?

    Never across realms. Without rules (None), everyone in the realm. With rules, a deny that matches wins, and what no
    rule allows is denied.
    """
    if caller.realm != owner.realm:
        return False
    if rules is None:
        return True
    matching = [rule.allow for rule in rules if caller.type in rule.types]
    return bool(matching) and all(matching)
