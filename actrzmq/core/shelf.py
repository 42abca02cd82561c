"""What the broker's core has its shelf do, where contents of contracts are kept, and what comes back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from msgspec import Struct

from actrzmq.core.catalogue import Key, Version


class Keep(Struct, frozen=True):
    """Order to the shelf: see whether `body` is the contract with this fingerprint, and keep it."""

    fingerprint: str
    body: bytes


class Note(Struct, frozen=True):
    """Order: store the facts of a version."""

    version: Version


class Forget(Struct, frozen=True):
    """Order: drop what is stored of a version (None: of none), and then contents that no version is left of.

    `is_lost`: the contents are no good any more, and neither are the versions that share them.
    """

    fingerprint: str
    key: Key | None = None
    is_lost: bool = False


class Fetch(Struct, frozen=True):
    """Order: read these contents, for the one who asked under `ticket`."""

    ticket: int
    fingerprint: str


class Kept(Struct, frozen=True):
    """Outcome: these contents are on the shelf."""

    fingerprint: str
    size: int


class NotKept(Struct, frozen=True):
    """Outcome: they are not, and why."""

    fingerprint: str
    reason: str
    is_wrong: bool
    """The bytes are not that contract, which is their sender's fault; else the shelf can't keep it."""


class Fetched(Struct, frozen=True):
    """Outcome: the contents; or None, and why they can't be read, now or (`is_lost`) ever."""

    ticket: int
    fingerprint: str
    body: bytes | None
    reason: str = ""
    is_lost: bool = False


Order = Keep | Note | Forget | Fetch
Outcome = Kept | NotKept | Fetched


class Shelf(Protocol):
    """Where contents are kept. It carries orders out elsewhere, and calls `notify` when outcomes are there."""

    notify: Callable[[], None]

    def put(self, orders: Sequence[Order]) -> None:
        """Have these carried out. Never waits."""

    def take(self) -> list[Outcome]:
        """The outcomes that there are, once."""
