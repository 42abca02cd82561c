"""Numbers and names that were set aside, and no longer are."""

from __future__ import annotations

from bisect import bisect_right

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
    """The ranges of `old`, first and last number, that `new` does not cover. Both are sorted."""
    merged = _merged(new)
    for first, last in old:
        at = bisect_right(merged, first, key=lambda taken: taken[0]) - 1
        if at < 0 or merged[at][1] < last:
            numbers = str(first) if first == last else f"{first} to {last}"
            yield Broken(rule, element, f"{numbers} was {what} and is not now, or not all of it")


def _merged(ranges: Ranges) -> list[tuple[int, int]]:
    """The same numbers, with no two ranges that touch."""
    merged: list[tuple[int, int]] = []
    for first, last in ranges:
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return merged
