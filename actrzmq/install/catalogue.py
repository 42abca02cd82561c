"""Where contracts come from: whoever can describe what a service has published."""

from __future__ import annotations

from typing import Protocol

from actrzmq.contracts.bundle import Published
from actrzmq.identity import ActrType


class Catalogue(Protocol):
    """What has been published in one realm."""

    async def describe(
        self, actor_type: ActrType | None = None, name: str = "", fingerprint: str = "", with_files: bool = True
    ) -> Published:
        """The version with that fingerprint; without one, the newest. Raises `ActrNotFound` if there is none."""
        ...
