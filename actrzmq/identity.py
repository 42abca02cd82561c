"""Who is who: actor types, actor ids, and the serial behind an id."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import NewType

from msgspec import Struct

from actrzmq.errors import ActrConfigError

Serial = NewType("Serial", int)
"""A node's number, 63 bits: the first bits of the SHA-256 of a key that only the node knows."""

# First a letter, last a letter or digit; 1 to 32 bytes, all of them ASCII.
_NAME = re.compile(r"[A-Za-z](?:[A-Za-z0-9._-]{0,30}[A-Za-z0-9])?", re.ASCII)
_ACTOR_ID = re.compile(r"([0-9a-f]{1,16})@(0|[1-9][0-9]{0,9}):(.+)", re.ASCII | re.DOTALL)

MAX_REALM = 2**32 - 1
KEY_BYTES = 32


def serial_of(key: bytes) -> Serial:
    """The serial that belongs to the secret session `key`: the first 63 bits of its SHA-256.

    Whoever shows the key owns the serial; whoever knows only the serial can't find the key.
    """
    return Serial(int.from_bytes(sha256(key).digest()[:8]) >> 1)


def check_name(name: str, what: str) -> str:
    """`name`, if it may be a manufacturer or type name; else `ActrConfigError`."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ActrConfigError(
            f"{what} {name!r}: expected 1 to 32 ASCII characters: first a letter, last a letter or digit, "
            "between them letters, digits, '-', '_' and '.'"
        )
    return name


class ActrType(Struct, frozen=True, order=True, array_like=True):
    """What kind of actor a node is; prints and parses as `manufacturer+Name`.

    Raises `ActrConfigError` for names that are not 1–32 ASCII letters, digits, `-`, `_`, `.`
    (first a letter, last alphanumeric).
    """

    manufacturer: str
    name: str

    def __post_init__(self) -> None:
        check_name(self.manufacturer, "manufacturer")
        check_name(self.name, "type name")

    @classmethod
    def parse(cls, text: str) -> ActrType:
        """`acme+Echo` as an `ActrType`; `ActrConfigError` if it is not of that form."""
        manufacturer, plus, name = text.partition("+")
        if not plus:
            raise ActrConfigError(f"actor type {text!r}: expected manufacturer+Name, as in acme+Echo")
        return cls(manufacturer, name)

    def __str__(self) -> str:
        return f"{self.manufacturer}+{self.name}"


class ActrId(Struct, frozen=True, array_like=True):
    """One node's identity; prints and parses as `1a2b3c@0:acme+Echo` (serial in hex, realm, type)."""

    serial: Serial
    realm: int
    type: ActrType

    def __post_init__(self) -> None:
        if not 0 <= self.serial < 2**63:
            raise ActrConfigError(f"serial {self.serial!r}: expected 0 to 2**63-1")
        if not 0 <= self.realm <= MAX_REALM:
            raise ActrConfigError(f"realm {self.realm!r}: expected 0 to {MAX_REALM}")

    @classmethod
    def parse(cls, text: str) -> ActrId:
        """The id that `text` prints; `ActrConfigError` if it is not of that form."""
        match = _ACTOR_ID.fullmatch(text)
        if match is None or (len(match[1]) > 1 and match[1].startswith("0")):
            raise ActrConfigError(f"actor id {text!r}: expected <hex>@<realm>:<manufacturer>+<name>")
        return cls(Serial(int(match[1], 16)), int(match[2]), ActrType.parse(match[3]))

    def __str__(self) -> str:
        return f"{self.serial:x}@{self.realm}:{self.type}"

    def __lt__(self, other: ActrId) -> bool:
        """Ids are ordered by their text."""
        return str(self) < str(other)
