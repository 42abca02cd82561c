"""The one way to a broker for commands: which one, as whom, and with which exit code when there is none."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import click

from actrzmq.cli.exits import CommandError, Exit

if TYPE_CHECKING:
    from actrzmq.runtime.visitor import Visitor

WAIT_S = 3.0
MAX_WAIT_S = 86_400.0

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")

seconds = click.FloatRange(0.001, MAX_WAIT_S)
"""A length of time on the command line."""


def broker_address_options(command: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
    """Give `command` the options `--broker` and `--realm`, as `broker` and `realm`."""
    command = click.option("--realm", type=click.IntRange(0, 2**32 - 1), help="[default: the manifest's, or 0]")(
        command
    )
    return click.option(
        "--broker",
        metavar="URL",
        help="[default: $ACTRZMQ_BROKER, the Actr.toml in this folder, or tcp://127.0.0.1:5570]",
    )(command)


def broker_options(command: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
    """Give `command` the options `--broker`, `--realm` and `--wait`, as `broker`, `realm` and `wait`."""
    return broker_address_options(
        click.option(
            "--wait",
            type=seconds,
            default=WAIT_S,
            show_default=True,
            metavar="SECONDS",
            help="How long to wait for the broker.",
        )(command)
    )


def find_broker(url: str | None, realm: int | None) -> tuple[str, int]:
    """The broker's address and the realm: as given, else as the environment or the manifest in this folder says.

    Raises `ActrConfigError` for an address that is none, and for a manifest that is needed and can't be read.
    """
    from actrzmq.errors import ActrConfigError
    from actrzmq.manifest.load import BROKER_VARIABLE, load_manifest
    from actrzmq.manifest.model import DEFAULT_BROKER_URL, MANIFEST_NAME
    from actrzmq.manifest.values import broker_address

    for place, address in (("--broker ", url), (f"environment: {BROKER_VARIABLE}=", os.environ.get(BROKER_VARIABLE))):
        if address:
            wrong = broker_address(address)
            if wrong:
                raise ActrConfigError(f"{place}{address!r} {wrong}")
            url = url or address
    if (url is None or realm is None) and Path(MANIFEST_NAME).exists():
        manifest = load_manifest(MANIFEST_NAME, environ={})  # which was asked above
        url = url or manifest.broker_url
        realm = manifest.realm if realm is None else realm
    return url or DEFAULT_BROKER_URL, realm or 0


def run_visit(
    main: Callable[[Visitor], Awaitable[int | None]],
    url: str | None = None,
    realm: int | None = None,
    wait_s: float = WAIT_S,
) -> int:
    """Run `main` with a visitor at the broker, and return what it returns, or 0.

    Raises `CommandError` (exit code 3) if there is no broker within `wait_s`; whatever else is raised has the exit
    code of its class.
    """
    import asyncio
    import logging

    # What goes wrong is said by the error that comes of it, in one line; the library's log would say it again.
    log = logging.getLogger("actrzmq")
    log.addHandler(logging.NullHandler())
    log.propagate = False
    address, number = find_broker(url, realm)
    return asyncio.run(_visit(main, address, number, wait_s))


async def _visit(main: Callable[[Visitor], Awaitable[int | None]], url: str, realm: int, wait_s: float) -> int:
    from contextlib import AsyncExitStack

    from actrzmq.errors import ActrTransportError
    from actrzmq.runtime.visitor import visit

    async with AsyncExitStack() as stack:
        try:
            visitor = await stack.enter_async_context(visit(url, realm, round(wait_s * 1000)))
        except ActrTransportError:
            raise CommandError(
                f"no broker at {url} within {wait_s:g} s; start one with `actrzmq-broker`, or say where it is with "
                "--broker or ACTRZMQ_BROKER",
                Exit.NO_BROKER,
            ) from None
        return await main(visitor) or Exit.OK
