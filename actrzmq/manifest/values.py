"""Single values of our files, checked: names, actor types, addresses, fingerprints, levels."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address

from actrzmq.errors import ActrConfigError
from actrzmq.identity import MAX_REALM, ActrType
from actrzmq.manifest.toml import Key, Table
from actrzmq.wire.messages import MAX_NAME, MAX_TAGS, MAX_TEXT

MAX_NAME_BYTES = 128
MAX_IPC_PATH_BYTES = 100  # a unix socket path takes 107, and whoever derives a sibling needs some of them

LEVELS: Mapping[str, str] = {
    "trace": "debug",
    "debug": "debug",
    "info": "info",
    "warn": "warning",
    "warning": "warning",
    "error": "error",
    "critical": "critical",
}

# What Windows takes for a device, with any ending: a project should mean the same everywhere.
RESERVED = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\.|$)", re.ASCII | re.IGNORECASE)

_ALIAS = re.compile(r"[A-Za-z](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?", re.ASCII)
_SERVICE_FINGERPRINT = re.compile(r"service_semantic:[0-9a-f]{64}", re.ASCII)
_FILE_FINGERPRINT = re.compile(r"semantic:[0-9a-f]{64}", re.ASCII)
_TCP = re.compile(r"tcp://(\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9*](?:[A-Za-z0-9.-]*[A-Za-z0-9])?):([0-9]{1,5}|\*)", re.ASCII)

_ADDRESS = "an address such as tcp://127.0.0.1:5570 or ipc:///run/actrzmq/broker"
_FINGERPRINT = "and 64 lower-case hexadecimal digits"


def service_name(table: Table, key: str) -> str:
    """The published name of a service: printable, without white space or slashes."""
    name = table.text(key, expected="a name, as in my-service")
    if not is_service_name(name):
        raise table.wrong(key, f"a name of 1 to {MAX_NAME_BYTES} bytes without white space, '/' and '\\'")
    return name


def description(table: Table, key: str) -> str:
    """What a service is for, in its own words; empty where there are none."""
    value = table.text(key, "")
    if len(value) > MAX_TEXT:
        raise table.wrong(key, f"at most {MAX_TEXT} characters", f"{len(value)}")
    return value


def tags(table: Table, key: str) -> tuple[str, ...]:
    """Words by which a service may be looked for."""
    words = table.texts(key)
    if len(words) > MAX_TAGS or any(len(word) > MAX_NAME for word in words):
        longest = max(map(len, words))
        expected = f"at most {MAX_TAGS} tags of at most {MAX_NAME} characters"
        raise table.wrong(key, expected, f"{len(words)}, the longest of {longest}")
    return words


def is_service_name(text: str) -> bool:
    """Whether `text` may be the published name of a service."""
    return (
        0 < len(text.encode("utf-8", "surrogatepass")) <= MAX_NAME_BYTES
        and text.isprintable()
        and not any(char.isspace() or char in "/\\" for char in text)
    )


def is_alias(text: str) -> bool:
    """Whether `text` may be a dependency's alias, which names a folder and a Python package as well."""
    return _ALIAS.fullmatch(text) is not None and not RESERVED.match(text)


def check_alias(table: Table, alias: str) -> str:
    """`alias`, a key of `table`, if it may be one."""
    if not is_alias(alias):
        expected = "an alias of 1 to 64 ASCII letters, digits, '-', '_', '.' (first a letter, last none of the signs)"
        raise table.wrong(alias, expected, "this key")
    return alias


def actor_type_text(table: Table, key: str) -> ActrType:
    """The actor type at `key`, as in `acme+Echo`."""
    return parse_actor_type(table, table.key(key), table.text(key, expected="an actor type, as in acme+Echo"))


def parse_actor_type(table: Table, where: Key, text: str) -> ActrType:
    """`text`, found at `where`, as an actor type."""
    try:
        return ActrType.parse(text)
    except ActrConfigError as error:
        raise table.at(where, "an actor type, as in acme+Echo", str(error)) from None


def realm(table: Table, key: str, default: int) -> int:
    """The realm at `key`."""
    return table.number(key, default, 0, MAX_REALM)


def service_fingerprint(table: Table, key: str) -> str:
    """The fingerprint of a service's contract at `key`."""
    value = table.text(key)
    if not _SERVICE_FINGERPRINT.fullmatch(value):
        raise table.wrong(key, f"service_semantic: {_FINGERPRINT}")
    return value


def file_fingerprint(table: Table, key: str) -> str:
    """The fingerprint of one file at `key`."""
    value = table.text(key)
    if not _FILE_FINGERPRINT.fullmatch(value):
        raise table.wrong(key, f"semantic: {_FINGERPRINT}")
    return value


_NOT_LOOPBACK = (
    "is not a loopback address, and the broker has no encryption yet: whoever reaches the port could call "
    "every actor; listen at 127.0.0.1, and reach it from elsewhere through an SSH tunnel"
)


def broker_address(url: str) -> str | None:
    """What is wrong with `url` as the address of a broker, in words; None if nothing is."""
    if url.lower().startswith(("ws://", "wss://", "http://", "https://")):
        return "is for a signaling server; this runtime has a broker of its own, at tcp://127.0.0.1:5570 by default"
    if url.startswith("ipc://"):
        return _wrong_ipc(url)
    match = _TCP.fullmatch(url)
    if match is None:
        return f"is not {_ADDRESS}"
    if match[1] == "*" or match[2] == "*" or not 0 < int(match[2]) <= 65535:
        return "names no one place to connect to; expected a host and a port from 1 to 65535"
    return None if _is_loopback(match[1]) else _NOT_LOOPBACK


def listen_address(url: str) -> str | None:
    """What is wrong with `url` as an address to listen at, in words; None if nothing is.

    Port `*` means a free one. Only loopback addresses are taken: what travels is neither encrypted nor
    authenticated.
    """
    if url.startswith("ipc://"):
        return _wrong_ipc(url)
    match = _TCP.fullmatch(url)
    if match is None or (match[2] != "*" and int(match[2]) > 65535):
        return f"is not {_ADDRESS}"
    return None if _is_loopback(match[1]) else _NOT_LOOPBACK


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _wrong_ipc(url: str) -> str | None:
    path = url.removeprefix("ipc://")
    if not path.startswith("/") or not path.isprintable():
        return "is not an absolute path; expected ipc:///folder/name"
    if len(path.encode()) > MAX_IPC_PATH_BYTES:
        return f"is longer than the {MAX_IPC_PATH_BYTES} bytes that a unix socket's path may have here"
    return None
