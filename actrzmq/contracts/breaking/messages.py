"""What may break from an old message to the new one, the types of its fields apart."""

from __future__ import annotations

from collections import Counter

from actrzmq.contracts.breaking.fields import compare_fields
from actrzmq.contracts.breaking.finding import Breaks, Broken, Level
from actrzmq.contracts.breaking.reserved import compare_ranges, compare_reserved
from actrzmq.contracts.breaking.schema import Cardinality, Message


def compare_messages(old: Message, new: Message, level: Level) -> Breaks:
    """What breaks from `old` to `new`."""
    yield from _deleted(old, new)
    yield from _newly_required(old, new)
    for number in sorted(old.fields.keys() & new.fields.keys()):
        yield from compare_fields(old.fields[number], new.fields[number], level)
    yield from _oneofs(old, new, level)
    yield from compare_reserved("RESERVED_MESSAGE_NO_DELETE", old, new, level)
    if old.is_message_set != new.is_message_set:
        was, now = ("was", "is not") if old.is_message_set else ("was not", "is")
        yield Broken(
            "MESSAGE_SAME_MESSAGE_SET_WIRE_FORMAT", old.full_name, f"it {was} in message set format and {now} now"
        )
    if level is Level.FILE:
        yield from compare_ranges(
            "EXTENSION_MESSAGE_NO_DELETE", old.full_name, "for extensions", old.extension_ranges, new.extension_ranges
        )
    else:
        yield from _moved(old, new)


def _deleted(old: Message, new: Message) -> Breaks:
    numbers = {field.name: field.number for field in new.fields.values()}
    for number, field in sorted(old.fields.items()):
        if number not in new.fields:
            found = numbers.get(field.name)
            hint = f"; {field.name} has number {found} now" if found is not None else ""
            yield Broken("FIELD_NO_DELETE", field.full_name, f"field {number} is gone from {new.full_name}{hint}")


def _newly_required(old: Message, new: Message) -> Breaks:
    for number, field in sorted(new.fields.items()):
        if number not in old.fields and field.cardinality is Cardinality.REQUIRED:
            yield Broken(
                "MESSAGE_SAME_REQUIRED_FIELDS",
                old.full_name,
                f"field {number}, {field.name}, is new in {new.full_name} and required, so nothing old can be read",
            )


def _moved(old: Message, new: Message) -> Breaks:
    """Where names are free, a name that has another number now still says that the numbers were mixed up."""
    numbers = {field.name: field.number for field in new.fields.values()}
    for number, field in sorted(old.fields.items()):
        found = numbers.get(field.name, number)
        if found != number and number in new.fields:
            yield Broken(
                "FIELD_SAME_NAME",
                field.full_name,
                f"field {number} was {field.name} and is {new.fields[number].name} now, while {field.name} has "
                f"number {found}",
            )


def _oneofs(old: Message, new: Message, level: Level) -> Breaks:
    if level is Level.FILE:
        for oneof in old.oneofs:
            if oneof not in new.oneofs:
                yield Broken("ONEOF_NO_DELETE", f"{old.full_name}.{oneof}", f"oneof {oneof} is gone")
    kept = _kept(old, new)
    for number in sorted(old.fields.keys() & new.fields.keys()):
        was, now = old.fields[number].oneof, new.fields[number].oneof
        by_name = level is Level.FILE or was is None or now is None
        if was != now if by_name else (was, now) not in kept:
            message = f"field {number} was {_place(was)} and is {_place(now)} now"
            yield Broken("FIELD_SAME_ONEOF", old.fields[number].full_name, message)


def _kept(old: Message, new: Message) -> set[tuple[str | None, str | None]]:
    """What each oneof became: the one of the same name if they share members, else the one with most of them."""
    both = old.fields.keys() & new.fields.keys()
    shared = Counter((old.fields[number].oneof, new.fields[number].oneof) for number in both)
    kept, olds, news = set(), set(), set()
    for (was, now), _ in sorted(shared.items(), key=lambda item: (item[0][0] != item[0][1], -item[1], str(item[0]))):
        if None not in (was, now) and was not in olds and now not in news:
            kept.add((was, now))
            olds.add(was)
            news.add(now)
    return kept


def _place(oneof: str | None) -> str:
    return "in no oneof" if oneof is None else f"in the oneof {oneof}"
