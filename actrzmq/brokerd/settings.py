"""What a broker is told: by argument, else by the environment, else by its file, else by default."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import structs

from actrzmq._version import __version__
from actrzmq.errors import ActrConfigError
from actrzmq.manifest import BROKER_VARIABLE, BrokerSettings, load_broker_settings
from actrzmq.manifest.values import LEVELS, listen_address

STORE_VARIABLE = "ACTRZMQ_STORE"
LEVEL_VARIABLE = "ACTRZMQ_LOG_LEVEL"

_EPILOG = f"""example: actrzmq-broker --config conf/broker.toml --listen tcp://127.0.0.1:5570

Where no argument says otherwise, {BROKER_VARIABLE} in the environment says where to listen, {STORE_VARIABLE} where
the store is, and {LEVEL_VARIABLE} how much is logged. It prints `ready endpoint=…` when nodes may connect,
stops on SIGTERM, and logs its counts on SIGUSR1."""


def parse_settings(arguments: Sequence[str], environ: Mapping[str, str] | None = None) -> BrokerSettings:
    """The settings that `arguments` and `environ` (the process's own) come to.

    Raises `ActrConfigError`, which says where the mistake is; `SystemExit` after `--help` and `--version`, and for
    arguments that there are not.
    """
    environ = os.environ if environ is None else environ
    given = _parser().parse_args(arguments)
    if given.listen:
        environ = {name: value for name, value in environ.items() if name != BROKER_VARIABLE}
    settings = load_broker_settings(given.config, environ)
    store = given.store or environ.get(STORE_VARIABLE)
    level = given.log_level or environ.get(LEVEL_VARIABLE)
    changes: dict[str, object] = {}
    if given.listen:
        changes["listen"] = tuple(_address("--listen", address) for address in given.listen)
    if given.relay:
        changes["relay"] = _address("--relay", given.relay)
    if store:
        changes["store"] = Path(os.path.abspath(store))
    if level:
        changes["log_level"] = _level("--log-level" if given.log_level else f"environment: {LEVEL_VARIABLE}", level)
    return structs.replace(settings, **changes)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="actrzmq-broker",
        description="The broker: nodes register with it, find one another by it, and call one another through it.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--config", metavar="FILE", help="a broker.toml; without one, the defaults")
    parser.add_argument(
        "--listen",
        metavar="ENDPOINT",
        action="append",
        help="tcp://127.0.0.1:PORT (* takes a free one) or ipc:///PATH; may be given several times",
    )
    parser.add_argument("--relay", metavar="ENDPOINT", help="where to take the frames of streams that are relayed")
    parser.add_argument("--store", metavar="PATH", help="where to remember nodes over a restart")
    parser.add_argument("--log-level", metavar="LEVEL", help=", ".join(dict.fromkeys(LEVELS.values())))
    parser.add_argument("--version", action="version", version=f"actrzmq-broker {__version__}")
    return parser


def _address(where: str, address: str) -> str:
    wrong = listen_address(address)
    if wrong:
        raise ActrConfigError(f"{where} {address!r} {wrong}")
    return address.replace("tcp://localhost:", "tcp://127.0.0.1:")


def _level(where: str, level: str) -> str:
    try:
        return LEVELS[level.lower()]
    except KeyError:
        levels = ", ".join(dict.fromkeys(LEVELS.values()))
        raise ActrConfigError(f"{where} {level!r}: expected one of {levels}") from None
