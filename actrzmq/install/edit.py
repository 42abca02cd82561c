"""Adds a dependency to the text of a manifest, or takes one out. All else stays as it is, to the byte."""

from __future__ import annotations

import re
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Any

import tomlkit
from msgspec import Struct
from tomlkit.exceptions import TOMLKitError

from actrzmq.errors import ActrConfigError

_SECTION = "dependencies"
_HEADER = re.compile(rf"\s*\[\s*{_SECTION}\s*\]")
_BARE = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


class Addition(Struct, frozen=True):
    """A dependency that is to be in the manifest."""

    alias: str
    actor_type: str = ""
    name: str = ""
    fingerprint: str = ""

    def declared(self) -> dict[str, str]:
        """What stands in the manifest for it."""
        keys = {"name": self.name, "actr_type": self.actor_type, "fingerprint": self.fingerprint}
        return {key: value for key, value in keys.items() if value}

    @property
    def line(self) -> str:
        """The line for it in `[dependencies]`."""
        pairs = ", ".join(f"{key} = {_quoted(value)}" for key, value in self.declared().items())
        return f"{_key(self.alias)} = " + (f"{{ {pairs} }}" if pairs else "{}")


def add_dependency(text: str, addition: Addition, where: Path) -> str:
    """`text` with the dependency. Raises `ActrConfigError` where it can't be put in without touching the rest."""
    expected = _values(text, where)
    expected.setdefault(_SECTION, {})[addition.alias] = addition.declared()
    for attempt in (_below_the_others, _at_the_end, _by_tomlkit):
        new = attempt(text, addition)
        if new is not None and _is_grown(text, new) and _says(new, expected):
            return new
    raise _refuse(where, f"add this line to its [{_SECTION}] by hand: {addition.line}")


def remove_dependency(text: str, alias: str, where: Path) -> str:
    """`text` without the dependency. Raises `ActrConfigError` where it can't be taken out without touching the rest."""
    expected = _values(text, where)
    expected.get(_SECTION, {}).pop(alias, None)
    document = tomlkit.parse(text)
    with suppress(TOMLKitError, KeyError):  # what did not work is seen below
        del document[_SECTION][alias]
    new = tomlkit.dumps(document)
    if not (_is_grown(new, text) and _says(new, expected, or_without_section=True)):
        raise _refuse(where, f"remove {alias} from its [{_SECTION}] by hand")
    return new


def _below_the_others(text: str, addition: Addition) -> str | None:
    """A line below the last one of the section that is neither empty nor a comment."""
    lines = text.splitlines(keepends=True)
    last = None
    for at, line in enumerate(lines):
        if _HEADER.match(line):
            last = at
        elif last is not None and line.lstrip().startswith("["):
            break
        elif last is not None and line.strip() and not line.lstrip().startswith("#"):
            last = at
    if last is None:
        return None
    head = _with_last_line_ended("".join(lines[: last + 1]), text)
    # Where the file ended without a line end, it does so again.
    end = _eol(text) if lines[last].endswith("\n") else ""
    return head + addition.line + end + "".join(lines[last + 1 :])


def _at_the_end(text: str, addition: Addition) -> str | None:
    """A section of its own, as the last one."""
    head = _with_last_line_ended(text, text) + _eol(text) if text else ""
    return head + f"[{_SECTION}]{_eol(text)}{addition.line}{_eol(text)}"


def _by_tomlkit(text: str, addition: Addition) -> str | None:
    """As tomlkit does it: for dotted keys, inline tables and tables of tables."""
    document = tomlkit.parse(text)
    table = tomlkit.inline_table()
    table.update(addition.declared())
    with suppress(TOMLKitError, KeyError):
        document[_SECTION][addition.alias] = table
    return tomlkit.dumps(document)


def _values(text: str, where: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except ValueError as error:
        raise ActrConfigError(f"{where}: expected valid TOML, found {error}") from None


def _says(text: str, expected: dict[str, Any], *, or_without_section: bool = False) -> bool:
    try:
        found = tomllib.loads(text)
    except ValueError:
        return False
    if or_without_section and _SECTION in expected and not expected[_SECTION]:
        found.setdefault(_SECTION, {})
    return found == expected


def _is_grown(short: str, long: str) -> bool:
    """Is `long` what `short` becomes by putting one piece in somewhere?"""
    head = next((at for at, (one, other) in enumerate(zip(short, long, strict=False)) if one != other), len(short))
    return len(short) <= len(long) and long.endswith(short[head:])


def _refuse(where: Path, advice: str) -> ActrConfigError:
    return ActrConfigError(f"{where} can't be edited without changing more of it; {advice}")


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _quoted(name)


def _quoted(value: str) -> str:
    return tomlkit.string(value).as_string()


def _eol(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _with_last_line_ended(head: str, text: str) -> str:
    return head if head.endswith("\n") else head + _eol(text)
