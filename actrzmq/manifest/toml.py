"""Reads a TOML file within bounds, and hands out its values with errors that say where and what.

Whatever the bytes of the file, the outcome is a `Table` or an `ActrConfigError`, soon and in little memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from json import dumps
from pathlib import Path
from stat import S_ISREG
from typing import NewType, TypeVar

import tomli

from actrzmq.errors import ActrConfigError

T = TypeVar("T")

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 32

_REQUIRED = object()
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)

# More parts in one dotted key than any file of ours has. tomli needs the square of their number.
_DEEP_KEY = re.compile(
    r"""(?<![\w-]) (?: (?: [\w-]++ | "[^"\n]*+" | '[^'\n]*+' ) [ \t]*+ \. [ \t]*+ ){""" + f"{MAX_DEPTH}}}", re.VERBOSE
)

Key = NewType("Key", str)
"""A dotted key as the file would spell it."""


def read_toml(path: Path, missing: str) -> Table:
    """The table at the root of the file `path`.

    Raises `ActrConfigError` if there is no such file (the message then ends with `missing`, which says what
    to do), if it is larger than 1 MiB or nested deeper than 32 levels, or if it is not TOML in UTF-8.
    """
    text = _decode(path, _read(path, missing))
    if _DEEP_KEY.search(text):
        raise _broken(path, f"at most {MAX_DEPTH} levels of nesting", "a dotted key of more")
    try:
        values = tomli.loads(text)
    except RecursionError:
        raise _broken(path, f"at most {MAX_DEPTH} levels of nesting", "more") from None
    except ValueError as error:  # also what int() raises for thousands of digits
        raise _broken(path, "valid TOML", _printable(str(error))) from None
    return Table(path, Key(""), values)


def _read(path: Path, missing: str) -> bytes:
    try:
        mode = path.stat().st_mode
        # Opening a FIFO would wait for its writer, and a device may never end.
        content = _first_bytes(path) if S_ISREG(mode) else None
    except FileNotFoundError:
        raise ActrConfigError(f"{_printable(str(path))}: no such file; {missing}") from None
    except OSError as error:
        raise ActrConfigError(f"{_printable(str(path))}: can't be read: {error.strerror}") from None
    except ValueError:  # a NUL in the name
        raise ActrConfigError(f"{_printable(str(path))}: is not the name of a file") from None
    if content is None:
        raise _broken(path, "a regular file", "something else")
    if len(content) > MAX_BYTES:
        raise _broken(path, f"at most {MAX_BYTES} bytes", "more")
    return content


def _first_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)


def _decode(path: Path, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _broken(path, "text in UTF-8", f"a byte that is not at offset {error.start}") from None


def _broken(path: Path, expected: str, found: str) -> ActrConfigError:
    return ActrConfigError(
        f"{_printable(str(path))}: expected {expected}, found {found}",
        details={"file": str(path), "expected": expected},
    )


class Table:
    """One table of a TOML file, which knows where it stands.

    Every reader of a key takes a default and raises `ActrConfigError`, naming file, key and what was
    expected, where the value is of another kind; without a default the key is required.
    """

    def __init__(self, file: Path, where: Key, values: Mapping[str, object]) -> None:
        self.file = file
        self.where = where
        self._values = values

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def key(self, key: str) -> Key:
        """The full name of `key` in this file."""
        key = _clip(key, 64)
        own = key if _BARE_KEY.fullmatch(key) else dumps(_printable(key), ensure_ascii=False)
        return Key(f"{self.where}.{own}" if self.where else own)

    def wrong(self, key: str, expected: str, found: str | None = None) -> ActrConfigError:
        """The error that says what `key` should have been."""
        return self.at(self.key(key), expected, _found(self._values.get(key)) if found is None else found)

    def at(self, where: Key, expected: str, found: str) -> ActrConfigError:
        """The error that says what was expected at `where` in this file."""
        return ActrConfigError(
            f"{_printable(str(self.file))}: {where}: expected {expected}, found {_clip(found, 300)}",
            details={"file": str(self.file), "key": where, "expected": expected},
        )

    def refuse(self, key: str, sentence: str) -> ActrConfigError:
        """The error for a `key` that we know and don't take, for the reason that `sentence` gives."""
        where = self.key(key)
        return ActrConfigError(
            f"{_printable(str(self.file))}: {where}: {_clip(sentence, 500)}",
            details={"file": str(self.file), "key": where},
        )

    def only(self, *known: str) -> None:
        """Raise for the first key that is not one of `known`, naming the nearest that is."""
        for key in self._values:
            if key not in known:
                near = get_close_matches(key[:64], known, n=1, cutoff=0.5)
                hint = f"did you mean {self.key(near[0])}?" if near else f"known here: {', '.join(known)}"
                where = self.key(key)
                raise ActrConfigError(
                    f"{_printable(str(self.file))}: unknown key {where}; {hint}",
                    details={"file": str(self.file), "key": where, "expected": ", ".join(known)},
                )

    def table(self, key: str) -> Table:
        """The table below `key`; an empty one where there is none."""
        values = self._values.get(key, {})
        if not isinstance(values, dict):
            raise self.wrong(key, f"a table, [{self.key(key)}]")
        return Table(self.file, self.key(key), values)

    def tables(self, key: str) -> list[Table]:
        """The array of tables below `key`; an empty one where there is none."""
        rows = self._values.get(key, [])
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise self.wrong(key, f"tables, [[{self.key(key)}]]")
        return [Table(self.file, Key(f"{self.key(key)}[{at}]"), row) for at, row in enumerate(rows)]

    def text(self, key: str, default: object = _REQUIRED, expected: str = "a string") -> str:
        """The string at `key`."""
        value = self._values.get(key, default)
        if not isinstance(value, str):
            raise self.wrong(key, expected)
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """The list of strings at `key`; empty where there is none."""
        values = self._values.get(key, [])
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise self.wrong(key, "a list of strings")
        return tuple(values)

    def flag(self, key: str, default: bool) -> bool:
        """The boolean at `key`."""
        value = self._values.get(key, default)
        if not isinstance(value, bool):
            raise self.wrong(key, "true or false")
        return value

    def number(self, key: str, default: object, low: int, high: int) -> int:
        """The whole number at `key`, from `low` to `high`."""
        value = self._values.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self.wrong(key, f"a whole number from {low} to {high}")
        return value

    def choice(self, key: str, default: str, choices: Mapping[str, T]) -> T:
        """What `choices` has for the string at `key`."""
        value = self._values.get(key, default)
        if not isinstance(value, str) or value not in choices:
            raise self.wrong(key, "one of " + ", ".join(choices))
        return choices[value]


def _found(value: object) -> str:
    """`value` in few words, whatever it is: a huge or deep one is named, not shown."""
    if value is None:
        return "nothing"
    if isinstance(value, str):
        return dumps(_printable(_clip(value, 60)), ensure_ascii=False)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) if value.bit_length() <= 64 else "a number of more than 64 bits"
    if isinstance(value, dict):
        return "a table"
    return "a list" if isinstance(value, list) else f"{value}"


def _clip(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _printable(text: str) -> str:
    """`text` on one line and without control characters, so that no message can be forged by a file."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
