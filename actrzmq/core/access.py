"""Who may talk to whom."""

from __future__ import annotations

from collections.abc import Sequence

from actrzmq.identity import ActrId, ActrType
from actrzmq.wire.messages import Rule


def allowed_types(rules: Sequence[Rule] | None) -> frozenset[ActrType] | None:
    """The types that these access rules allow: a deny that matches wins, and what no rule allows is denied.

    Without rules (None), all types (None). Made once, since every relayed message is looked up, and every candidate of
    a discovery.
    """
    if rules is None:
        return None
    allowed, denied = (
        {type for rule in rules if rule.allow is is_allow for type in rule.types} for is_allow in (True, False)
    )
    return frozenset(allowed - denied)


def is_allowed(caller: ActrId, owner: ActrId, types: frozenset[ActrType] | None) -> bool:
    """May `caller` talk to `owner`, whose access rules allow these types? Never across realms."""
    return caller.realm == owner.realm and (types is None or caller.type in types)
