"""Names: what a name of a .proto file is called in Python, and what happens when two want the same."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from keyword import iskeyword

from actrzmq.errors import ActrConfigError

# Before the capital that begins a word: after a small letter or digit, or the last of a run of capitals.
_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_]")

# What a file beside the main program must not be called: it would be imported in place of the real one.
IMPORTABLE = sys.stdlib_module_names | {"actrzmq", "click", "google", "grpc_tools", "msgspec", "rich"} | {
    "supervisor", "tomli", "tomlkit", "uvloop", "zmq"
}  # fmt: skip

# Names that methods can't have. Hooks are looked up on the handler by theirs; the rest belongs to the base
# classes of handlers and clients.
IN_HANDLERS = frozenset({"on_start", "on_ready", "on_stop", "on_error", "_abc_impl", "_call", "_ctx", "_dest"})


def snake(name: str) -> str:
    """`name` in snake case: `HTTPServer` becomes `http_server`, `my-service.v2` `my_service_v2`."""
    return _WORD.sub("_", _NOT_IN_NAMES.sub("_", name)).lower()


def constant(service: str, method: str) -> str:
    """The name of a route-key constant: `STREAM_SERVER_REGISTER_STREAM`."""
    return identifier(f"{snake(service)}_{snake(method)}".upper())


def spell(name: str) -> str:
    """`name` with nothing in it that a Python name can't have.

    Two leading underscores become one: inside a class Python would read another name.
    """
    name = _NOT_IN_NAMES.sub("_", name)
    if name.startswith("__"):
        name = "_" + name.lstrip("_")
    return name if name and not name[0].isdigit() else f"_{name}"


def identifier(name: str) -> str:
    """`name` as Python can say it anywhere: spelled, and with an underscore behind if it is a keyword."""
    name = spell(name)
    return f"{name}_" if iskeyword(name) else name


def is_speakable(name: str) -> bool:
    """Whether `name`, as it stands, can be written as an attribute, in a class body as well."""
    return name.isidentifier() and not iskeyword(name) and not name.startswith("__")


class Names:
    """The names of one Python scope, each held by one thing.

    What wants a name that is reserved, or that something else of another name got first, takes it with an
    underscore behind; where that is gone as well, or the two have the very same name, nobody can tell
    them apart, and it is an error.
    """

    def __init__(self, scope: str, reserved: Iterable[str] = ()) -> None:
        self._scope = scope
        self._reserved = frozenset(reserved)
        self._held: dict[str, tuple[str, str]] = {}

    def claim(self, wanted: str, original: str, holder: str) -> str:
        """The name that `holder`, called `original` in its .proto file, gets when it wants `wanted`.

        Raises `ActrConfigError` that names both holders where two can't be told apart.
        """
        first = self._held.get(wanted)
        if first is not None and first[0] == original:
            raise self._clash(wanted, first[1], holder)
        for name in (wanted, f"{wanted}_"):
            if name not in self._held and name not in self._reserved:
                self._held[name] = (original, holder)
                return name
        raise self._clash(wanted, self._held.get(f"{wanted}_", ("", "a name of Python's own"))[1], holder)

    def _clash(self, name: str, first: str, second: str) -> ActrConfigError:
        return ActrConfigError(
            f"{second} and {first} would both be called {name!r} in {self._scope}; rename one of them"
        )
