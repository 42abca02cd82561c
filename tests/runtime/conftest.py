"""A broker of their own for the tests of this folder, and coroutine functions as tests."""

from __future__ import annotations

import asyncio
import gc
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.net.peers import Broker
from tests.runtime.harness import PATIENCE_S, World


@pytest.fixture(autouse=True)
def no_broker_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may have set one."""
    monkeypatch.delenv("ACTRZMQ_BROKER", raising=False)


@pytest.fixture
def broker() -> Iterator[Broker]:
    """A live broker in a thread of this process."""
    with Broker() as broker:
        yield broker


@pytest.fixture
def world(broker: Broker, tmp_path: Path) -> World:
    """Nodes of that broker; those that a test leaves running are stopped behind it."""
    return World(broker.endpoint, tmp_path)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a coroutine function on an event loop of its own; what the loop complains of fails the test."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    world = pyfuncitem.funcargs.get("world")
    complaints: list[dict[str, Any]] = []

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, complaint: complaints.append(complaint))
        try:
            async with asyncio.timeout(PATIENCE_S):
                await pyfuncitem.obj(**arguments)
        finally:
            if isinstance(world, World):
                await world.close()

    asyncio.run(run())
    gc.collect()  # exceptions that nobody has looked at are told when their futures are collected
    assert not complaints
    return True
