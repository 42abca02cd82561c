"""Numbers and names that were set aside, and no longer are."""

from __future__ import annotations

from actrzmq.contracts.breaking.finding import Breaks, Broken, Level
from actrzmq.contracts.breaking.schema import Enum, Message

Ranges = tuple[tuple[int, int], ...]


def compare_reserved(rule: str, old: Message | Enum, new: Message | Enum, level: Level) -> Breaks:
    """What was reserved in `old` and is not in `new`. Names don't travel, so they count for files only."""
    yield from compare_ranges(rule, old.full_name, "reserved", old.reserved_ranges, new.reserved_ranges)
    if level is Level.FILE:
        for name in sorted(old.reserved_names - new.reserved_names):
            yield Broken(rule, old.full_name, f"the name {name} was reserved and is not now")


def compare_ranges(rule: str, element: str, what: str, old: Ranges, new: Ranges) -> Breaks:
    """The ranges of `old`, first and last number, that `new` does not cover."""
    for first, last in old:
        if not _covers(new, first, last):
            numbers = str(first) if first == last else f"{first} to {last}"
            yield Broken(rule, element, f"{numbers} was {what} and is not now, or not all of it")


def _covers(ranges: Ranges, first: int, last: int) -> bool:
    for start, end in ranges:  # sorted
        if start <= first <= end:
            first = end + 1
    return first > last
