"""Names that people type: the whole one, or as much of its end as says which one is meant."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from actrzmq.cli.exits import CommandError, Exit
from actrzmq.identity import ActrType

MAX_SHOWN = 20


def pick(name: str, candidates: Iterable[str], what: str) -> str:
    """The one of `candidates` that is `name`, or that alone ends in it: `Echo.Say` for `demo.Echo.Say`.

    Raises `CommandError` that names the candidates; `what` is what they are ("methods of acme+Echo").
    """
    known = list(dict.fromkeys(candidates))
    wanted = name.replace("/", ".").strip(".")
    if wanted in known:
        return wanted
    found = [one for one in known if one.endswith(f".{wanted}")]
    if len(found) == 1:
        return found[0]
    if found:
        raise CommandError(f"{name!r} is one of several {what}: {listed(found)}", Exit.USAGE)
    raise CommandError(f"{name!r} is none of the {what}: {listed(known)}{_meant(wanted, known)}", Exit.NOT_FOUND)


def _meant(wanted: str, known: Sequence[str]) -> str:
    by_end = {one.rpartition(".")[2]: one for one in reversed(known)}
    close = get_close_matches(wanted, known, 1) or [by_end[end] for end in get_close_matches(wanted, by_end, 1)]
    return f"; did you mean {close[0]}?" if close else ""


def listed(names: Sequence[str]) -> str:
    """`names` for a message: the first ones, and how many more there are."""
    if not names:
        return "there are none"
    more = f" and {len(names) - MAX_SHOWN} more" if len(names) > MAX_SHOWN else ""
    return ", ".join(names[:MAX_SHOWN]) + more


def target(text: str) -> tuple[ActrType | None, str]:
    """What TYPE on a command line means: an actor type (`acme+Echo`), else the name of a published service.

    Raises `ActrConfigError` for an actor type that can't be one.
    """
    return (ActrType.parse(text), "") if "+" in text else (None, text)
