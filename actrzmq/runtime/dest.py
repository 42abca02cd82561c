"""Where a call, a tell or a stream goes."""

from __future__ import annotations

from msgspec import Struct

from actrzmq.errors import ActrConfigError
from actrzmq.identity import ActrId, ActrType


class Dest(Struct, frozen=True):
    """A destination: one actor, any live actor of a type, or (neither given) the own process."""

    id: ActrId | None = None
    """The actor, where it is one."""
    actor_type: ActrType | None = None
    """The type, where any of it will do."""

    @staticmethod
    def shell() -> Dest:
        """The own process, as its main program sees it; the same as `local`."""
        return _OWN

    @staticmethod
    def local() -> Dest:
        """The own process. A call from inside a handler does not wait for a free slot, so it can't deadlock."""
        return _OWN

    @staticmethod
    def actor(id: ActrId) -> Dest:
        """That actor and no other. Raises `ActrConfigError` if `id` is not an `ActrId`."""
        if not isinstance(id, ActrId):
            raise ActrConfigError(f"Dest.actor({id!r}): expected an ActrId, as discover() returns it")
        return Dest(id)

    @staticmethod
    def type(type: ActrType) -> Dest:
        """Any live actor of that type, chosen anew for each call by load. Raises `ActrConfigError` for others."""
        if not isinstance(type, ActrType):
            raise ActrConfigError(f"Dest.type({type!r}): expected an ActrType, as in ActrType('acme', 'Echo')")
        return Dest(None, type)

    def __str__(self) -> str:
        return str(self.id or self.actor_type or "the own process")


_OWN = Dest()


def no_dest(dest: object) -> ActrConfigError:
    """The error for something else in place of a `Dest`: for an AttributeError, so that a `Dest` costs no check."""
    return ActrConfigError(
        f"{type(dest).__name__} {dest!s:.80}: expected a Dest; for one node, Dest.actor(id), "
        "for any of a type, Dest.type(actor_type)"
    )
