"""What may break from an old field to the new one of the same number, its type apart."""

from __future__ import annotations

from actrzmq.contracts.breaking.finding import Breaks, Broken, Level
from actrzmq.contracts.breaking.schema import Cardinality, Field
from actrzmq.contracts.fingerprint import default_json_name

# On the wire, nothing tells the members of one of these from another.
_SINGULAR = {Cardinality.EXPLICIT, Cardinality.IMPLICIT}
_MANY = {Cardinality.REPEATED, Cardinality.MAP}


def compare_fields(old: Field, new: Field, level: Level) -> Breaks:
    """What breaks from `old` to `new`."""
    yield from _cardinality(old, new, level)
    yield from _default(old, new)
    if level is Level.FILE:
        yield from _names(old, new)
        yield from _utf8(old, new)


def _cardinality(old: Field, new: Field, level: Level) -> Breaks:
    was, now = old.cardinality, new.cardinality
    if was is now or ({was, now} <= _SINGULAR and _has_its_own(old) != _has_its_own(new)):
        return
    message = f"field {old.number} was {was} and is {now} now"
    if level is Level.FILE:
        yield Broken("FIELD_SAME_CARDINALITY", old.full_name, message)
    elif not ({was, now} <= _SINGULAR or {was, now} <= _MANY):
        yield Broken("FIELD_WIRE_COMPATIBLE_CARDINALITY", old.full_name, message)


def _has_its_own(field: Field) -> bool:
    """Whether presence follows from what the field is, so that the finding is that it is something else."""
    return field.kind in ("message", "group") or field.oneof is not None


def _default(old: Field, new: Field) -> Breaks:
    if (old.kind, old.cardinality in _MANY) != (new.kind, new.cardinality in _MANY) or old.default == new.default:
        return
    yield Broken(
        "FIELD_SAME_DEFAULT",
        old.full_name,
        f"field {old.number} had the default {old.default!r} and has {new.default!r} now",
    )


def _names(old: Field, new: Field) -> Breaks:
    if old.name != new.name:
        yield Broken("FIELD_SAME_NAME", old.full_name, f"field {old.number} was {old.name} and is {new.name} now")
    if old.json_name != new.json_name and not (_is_named_as_usual(old) and _is_named_as_usual(new)):
        yield Broken(
            "FIELD_SAME_JSON_NAME",
            old.full_name,
            f"field {old.number} was {old.json_name!r} in JSON and is {new.json_name!r} now",
        )


def _is_named_as_usual(field: Field) -> bool:
    return field.json_name == default_json_name(field.name)


def _utf8(old: Field, new: Field) -> Breaks:
    if old.kind == new.kind and old.checks_utf8 != new.checks_utf8:
        was, now = ("had to be", "need not be") if old.checks_utf8 else ("did not have to be", "has to be")
        yield Broken("FIELD_SAME_UTF8_VALIDATION", old.full_name, f"field {old.number} {was} UTF-8 and {now} now")
