"""Reads `broker.toml` into `BrokerSettings`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from actrzmq.errors import ActrConfigError
from actrzmq.manifest import values
from actrzmq.manifest.load import BROKER_VARIABLE, GIB
from actrzmq.manifest.model import DEFAULT_BROKER_URL, BrokerLimits, BrokerSettings
from actrzmq.manifest.toml import Key, Table, read_toml

STORE_NAME = "broker.db"
MIB = 1024 * 1024
BESIDE_BODY_BYTES = 2 * MIB
"""What a message may have besides its last body, and some to spare: a header of half a MiB, other bodies of one."""


def load_broker_settings(path: Path | str | None, environ: Mapping[str, str] | None = None) -> BrokerSettings:
    """The settings in the file `path`, or the defaults without one; `ACTRZMQ_BROKER` overrides `listen`.

    Raises `ActrConfigError`, which names the file, the key and what was expected.
    """
    environ = os.environ if environ is None else environ
    if path is None:
        listen = _listen_variable(environ) or (DEFAULT_BROKER_URL,)
        return BrokerSettings(path=None, listen=listen, store=_state_folder(environ) / STORE_NAME)
    file = Path(os.path.abspath(path))
    root = read_toml(file, "give the path of a broker.toml, or start without --config for the defaults")
    root.only("listen", "relay", "lease_ms", "renew_ms", "store", "limits", "log_level")
    lease_ms, renew_ms = _lease(root)
    listen = _listen(root)
    return BrokerSettings(
        path=file,
        listen=_listen_variable(environ) or listen,
        relay=_relay(root),
        lease_ms=lease_ms,
        renew_ms=renew_ms,
        store=_store(root, file.parent),
        limits=_limits(root.table("limits")),
        log_level=root.choice("log_level", "info", values.LEVELS),
    )


def _listen(root: Table) -> tuple[str, ...]:
    if "listen" not in root:
        return (DEFAULT_BROKER_URL,)
    addresses = root.texts("listen")
    if not addresses or len(set(addresses)) < len(addresses):
        raise root.wrong("listen", "one or more addresses, each once", f"{len(addresses)}")
    for at, address in enumerate(addresses):
        _check_listen(root, Key(f"listen[{at}]"), address)
    return tuple(map(_numeric, addresses))


def _relay(root: Table) -> str:
    address = root.text("relay", "tcp://127.0.0.1:*")
    _check_listen(root, root.key("relay"), address)
    return _numeric(address)


def _check_listen(root: Table, where: Key, address: str) -> None:
    wrong = values.listen_address(address)
    if wrong:
        raise root.at(where, "a loopback address or ipc path", f"{address!r}, which {wrong}")


def _listen_variable(environ: Mapping[str, str]) -> tuple[str, ...] | None:
    address = environ.get(BROKER_VARIABLE)
    if not address:
        return None
    wrong = values.listen_address(address)
    if wrong:
        raise ActrConfigError(f"environment: {BROKER_VARIABLE}={address!r} {wrong}")
    return (_numeric(address),)


def _numeric(address: str) -> str:
    # Binding takes interfaces and numbers; a name would be resolved by the rules of connecting.
    return address.replace("tcp://localhost:", "tcp://127.0.0.1:")


def _lease(root: Table) -> tuple[int, int]:
    lease_ms = root.number("lease_ms", 10_000, 500, 3_600_000)
    renew_ms = root.number("renew_ms", 1_000, 50, 3_600_000)
    if renew_ms * 2 > lease_ms:  # one lost renewal must not cost a lease
        raise root.wrong("renew_ms", f"at most half of lease_ms, {lease_ms // 2}", str(renew_ms))
    return lease_ms, renew_ms


def _store(root: Table, directory: Path) -> Path:
    name = root.text("store", f"run/{STORE_NAME}")
    if not name or not name.isprintable():
        raise root.wrong("store", "the path of a file")
    return Path(os.path.abspath(directory / name))


def _state_folder(environ: Mapping[str, str]) -> Path:
    state = environ.get("XDG_STATE_HOME", "")
    # The specification of these variables says to ignore relative ones.
    base = Path(state) if state.startswith("/") else Path("~/.local/state").expanduser()
    return base / "actrzmq"


def _limits(table: Table) -> BrokerLimits:
    table.only("body_bytes", "nodes", "backlog_bytes", "relayed_bytes", "contracts_bytes")
    default = BrokerLimits()
    body_bytes = table.number("body_bytes", default.body_bytes, 1024, 64 * MIB)
    backlog_bytes = table.number("backlog_bytes", default.backlog_bytes, 1, 16 * GIB)
    least = body_bytes + BESIDE_BODY_BYTES
    if backlog_bytes < least:  # such a body could never be delivered
        expected = f"at least {least}, which is limits.body_bytes and 2 MiB for what goes along with such a body"
        found = f"{backlog_bytes}" if "backlog_bytes" in table else f"the default, {backlog_bytes}"
        raise table.wrong("backlog_bytes", expected, found)
    return BrokerLimits(
        body_bytes=body_bytes,
        nodes=table.number("nodes", default.nodes, 1, 1_000_000),
        backlog_bytes=backlog_bytes,
        relayed_bytes=table.number("relayed_bytes", default.relayed_bytes, 0, default.relayed_bytes),
        contracts_bytes=table.number("contracts_bytes", default.contracts_bytes, 0, 16 * GIB),
    )
