"""Values of a type, near misses of it, and bytes that were damaged: what a hostile peer would say.

Values are made of what MessagePack knows, from the types' own annotations, so a new field is covered when it is added.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import inspect

from actrzmq.identity import ActrType

Make = Callable[[random.Random], Any]

NUMBERS = (0, 1, 2, 3, 20, 127, 128, 255, 256, 65_535, 1 << 31, (1 << 32) - 1, (1 << 62) + 5, (1 << 63) - 1)
BAD_NUMBERS = (-1, -(1 << 63), 1 << 63, (1 << 64) - 1)
TEXTS = (
    "",
    "a",
    "acme",
    "Echo",
    "s1",
    "work",
    "tcp://127.0.0.1:1",
    "\n\x1b[2J forged",
    "\u202e\u0000",
    "é" * 100,
    "x" * 256,
)
BAD_TEXTS = ("x" * 257, "x" * 5_000)
WRONG: tuple[Any, ...] = (None, True, 0.5, "?", b"?", [], {}, [[]], -1, 1 << 63, [0, []], {"a": 1})
ENDS = (
    b"\xdd\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xff",
    b"\xdf\x00\xff\xff\xff",
    b"\xdb\x7f\xff\xff\xff",
    b"\xc1",
    b"\x91" * 40,
)

encode = msgspec.msgpack.Encoder().encode


class Shapes:
    """Makes values. `numbers` and `texts` are mixed in: serials, channels and names that mean something to who hears
    them. Of all fields, about `wrong` of one are of another type or out of range.
    """

    def __init__(self, wrong: float, numbers: Sequence[int] = (), texts: Sequence[str] = ()) -> None:
        self._wrong = wrong
        self.numbers: list[int] = [*NUMBERS, *numbers]
        self.texts: list[str] = [*TEXTS, *texts]

    def of(self, kind: Any) -> Make:
        """What makes values of `kind`."""
        return self._make(inspect.type_info(kind))

    def _make(self, info: inspect.Type) -> Make:
        right, wrong = self._right(info), self._wrong

        def make(dice: random.Random) -> Any:
            return right(dice) if dice.random() >= wrong else self._near_miss(dice)

        return make

    def _near_miss(self, dice: random.Random) -> Any:
        return dice.choice(dice.choice((WRONG, BAD_NUMBERS, BAD_TEXTS)))

    def _right(self, info: inspect.Type) -> Make:
        match info:
            case inspect.IntType():
                return lambda dice: dice.choice(self.numbers) if dice.random() < 0.8 else dice.getrandbits(62)
            case inspect.StrType():
                return lambda dice: dice.choice(self.texts)
            case inspect.BytesType():
                return lambda dice: dice.randbytes(dice.choice((0, 0, 1, 8, 16, 32, 100)))
            case inspect.BoolType():
                return lambda dice: dice.random() < 0.5
            case inspect.NoneType():
                return lambda dice: None
            case inspect.EnumType(cls=cls):
                values = [member.value for member in cls] * 5 + [len(cls)]
                return lambda dice: dice.choice(values)
            case inspect.UnionType(types=types):
                return _one_of([self._make(one) for one in types])
            case inspect.StructType(cls=cls):
                return self._struct(info)
            case inspect.ListType(item_type=item) | inspect.VarTupleType(item_type=item):
                return _some(self._make(item), 3)
            case inspect.DictType(key_type=key, value_type=value):
                return _pairs(self._make(key), self._make(value))
            case _:
                raise TypeError(f"no values of {info} can be made")

    def _struct(self, info: inspect.StructType) -> Make:
        tag = [] if info.tag is None else [info.tag]
        fields = [self._field(field, info) for field in info.fields]

        def make(dice: random.Random) -> Any:
            said = tag + [field(dice) for field in fields]
            return said if dice.random() >= self._wrong else said[: dice.randrange(len(said) + 1)]

        return make

    def _field(self, field: inspect.Field, info: inspect.StructType) -> Make:
        # What is checked when a message is made must mostly be right, or nothing gets beyond that.
        if field.name == "realm":
            number = self._make(field.type)
            return lambda dice: 0 if dice.random() < 0.9 else number(dice)
        if field.name == "large":
            some = self._make(field.type)
            return lambda dice: [] if dice.random() < 0.9 else some(dice)
        if field.name in ("manufacturer", "name") and info.cls is ActrType and isinstance(field.type, inspect.StrType):
            good, any_text = ("acme", "Echo", "Red", "Blue"), self._make(field.type)
            return lambda dice: dice.choice(good) if dice.random() < 0.9 else any_text(dice)
        return self._make(field.type)


def damaged(dice: random.Random, content: bytes) -> bytes:
    """`content` with one to four things wrong with it."""
    bad = bytearray(content)
    for _ in range(dice.choice((1, 1, 1, 2, 2, 3, 4))):
        length = len(bad)
        at = int(dice.random() * length) if length else 0
        what = dice.random()
        if what < 0.45 and length:
            bad[at] = dice.getrandbits(8)
        elif what < 0.6 and length:
            bad[at] ^= 1 << dice.getrandbits(3)
        elif what < 0.7:
            bad[at:at] = dice.randbytes(1 + dice.getrandbits(2))
        elif what < 0.8:
            del bad[at : at + 1 + dice.getrandbits(3)]
        elif what < 0.87:
            bad[at:at] = dice.choice(ENDS)
        elif what < 0.94:
            other = int(dice.random() * length) if length else 0
            bad[at:at] = bad[other : other + dice.getrandbits(6)]
        else:
            del bad[at:]
    return bytes(bad)


def monster(dice: random.Random, size: int) -> bytes:
    """Up to `size` bytes that promise much: depth, length, or both."""
    size = dice.choice((size, size, size + 1, dice.randrange(size)))
    unit = dice.choice(
        (b"\x91", b"\x81\xa0", b"\x92\x00", b"\x91\x06", b"\xa1x", b"\xc4\x00", b"\x90", dice.randbytes(3))
    )
    head = dice.choice(
        (b"", b"\x92\x00", b"\x92\x00\xdd" + dice.randbytes(4), b"\x91\x94\x36\x01\x01\xdd" + (size // 8).to_bytes(4))
    )
    return (head + unit * (size // len(unit)))[:size]


def _one_of(makes: list[Make]) -> Make:
    return lambda dice: dice.choice(makes)(dice)


def _some(item: Make, most: int) -> Make:
    return lambda dice: [item(dice) for _ in range(dice.randrange(most + 1))]


def _pairs(key: Make, value: Make) -> Make:
    return lambda dice: {_hashable(key(dice)): value(dice) for _ in range(dice.randrange(3))}


def _hashable(key: Any) -> Any:
    return key if isinstance(key, str | int | bytes) else "key"
