"""What may break from an old enum to the new one."""

from __future__ import annotations

from actrzmq.contracts.breaking.finding import Breaks, Broken, Level
from actrzmq.contracts.breaking.reserved import compare_reserved
from actrzmq.contracts.breaking.schema import Enum


def compare_enums(old: Enum, new: Enum, level: Level) -> Breaks:
    """What breaks from `old` to `new`."""
    numbers = {name: number for number, names in new.values.items() for name in names}
    for number, names in sorted(old.values.items()):
        element = f"{old.full_name}.{names[0]}"
        moved = [name for name in names if numbers.get(name, number) != number]
        hint = f"; {moved[0]} has number {numbers[moved[0]]} now" if moved else ""
        if number not in new.values:
            yield Broken("ENUM_VALUE_NO_DELETE", element, f"value {number} is gone from {new.full_name}{hint}")
        elif moved or (level is Level.FILE and not set(names) <= set(new.values[number])):
            was, now = " = ".join(names), " = ".join(new.values[number])
            yield Broken("ENUM_VALUE_SAME_NAME", element, f"value {number} was {was} and is {now} now{hint}")
    yield from compare_reserved("RESERVED_ENUM_NO_DELETE", old, new, level)
    if level is Level.FILE and old.is_closed != new.is_closed:
        was, now = ("closed", "open") if old.is_closed else ("open", "closed")
        yield Broken("ENUM_SAME_TYPE", old.full_name, f"it was {was} to values it does not know and is {now} now")
