"""The thread that watches the event loop: what it sees reaches the node, the log and the broker."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator

import pytest
from google.protobuf.wrappers_pb2 import StringValue

from actrzmq import ActrTransportError, Context
from actrzmq.core.broker import BrokerLimits
from actrzmq.wire.messages import Discover, Found, NotFound
from tests.net.peers import Broker, Peer
from tests.runtime.harness import SERVER, World, ask, to, until

LEASE = 10_000


@pytest.fixture
def broker() -> Iterator[Broker]:
    """A broker that hears soon that a loop turns again."""
    with Broker(BrokerLimits(lease=LEASE, renew=100)) as broker:
        yield broker


async def hang(req: StringValue, ctx: Context) -> StringValue:
    """A handler that does not return."""
    await asyncio.Event().wait()
    return req


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A watchdog whose seconds are hundredths."""
    for name, milliseconds in {"EVERY": 5, "LAG": 100, "STALL": 300, "REPORT_EVERY": 20}.items():
        monkeypatch.setattr(f"actrzmq.net.watchdog.{name}", milliseconds)
    # The loop shows signs of life more often than it may be late.
    monkeypatch.setattr("actrzmq.net.shell.HEARTBEAT", 20)


async def test_a_node_that_was_not_scheduled_for_a_lease_gives_its_identity_up(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    client, server = await world.pair(hang)
    former = client.actor_id()
    call = asyncio.create_task(ask(client, to(server), timeout_ms=20_000))
    await until(lambda: server.statistics()["calls.running_or_queued"], "the call runs")
    watchdog = client._engine.shell.watchdog
    watchdog._beat_at -= LEASE + 1  # as if its thread had not run for so long
    with pytest.raises(
        ActrTransportError, match=r"cut off.*not scheduled for 10\d\d\d ms.*lease of 10000 ms"
    ) as caught:
        await asyncio.wait_for(call, 5)
    assert caught.value.may_have_run
    assert client.actor_id() != former
    assert client.statistics()["fenced"] == 1
    assert "fenced: not scheduled for 10" in caplog.text
    assert f"new id={client.actor_id()}" in caplog.text
    await until(lambda: not server.statistics()["calls.running_or_queued"], "the handler is cancelled")
    assert await client.discover(SERVER, 5_000) == server.actor_id()  # it takes part again
    await until(lambda: client._engine.session.is_online, "registered again")


async def test_a_node_that_was_not_scheduled_for_less_than_a_lease_keeps_its_identity(world: World) -> None:
    client, server = await world.pair()
    former = client.actor_id()
    client._engine.shell.watchdog._beat_at -= LEASE - 2_000
    assert await ask(client, to(server), "well") == "well"
    assert client.actor_id() == former
    assert "fenced" not in client.statistics()


async def test_the_log_names_what_blocks_the_loop_once_when_it_lags_and_once_when_it_stalls(
    world: World, impatient: None, caplog: pytest.LogCaptureFixture
) -> None:
    def obstinate() -> None:
        deadline = time.monotonic() + 5
        while "event loop stalled" not in caplog.text and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.1)  # time to say it again, which it must not

    async def block(req: StringValue, ctx: Context) -> StringValue:
        obstinate()
        return req

    client, server = await world.pair(block)
    await ask(client, to(server), timeout_ms=20_000)
    for text, level in (("event loop blocked", logging.WARNING), ("event loop stalled", logging.ERROR)):
        said = [record for record in caplog.records if record.getMessage().startswith(text)]
        named = [record.levelno for record in said if "in obstinate" in record.getMessage()]
        assert named == [level] * 2, "each of the two nodes of this loop says it once"


async def test_a_lagging_node_is_shown_to_nobody_until_its_loop_turns_again(
    world: World, broker: Broker, impatient: None
) -> None:
    with Peer(broker.endpoint, "Observer") as observer:
        observer.register()

        def hidden() -> int:
            """How many live servers the broker hides; blocks the loop until there are any."""
            deadline = time.monotonic() + 5
            while time.monotonic() < deadline:
                observer.say(Discover(1, SERVER, all=True))
                answer = observer.hear(Found | NotFound)  # type: ignore[arg-type]
                if isinstance(answer, NotFound):
                    return answer.hidden
            return 0

        async def block(req: StringValue, ctx: Context) -> StringValue:
            return StringValue(value=str(hidden()))

        client, server = await world.pair(block)
        assert await client.context().discover_all(SERVER) == [server.actor_id()]
        assert await ask(client, to(server), timeout_ms=20_000) == "1"
        assert (await asyncio.wait_for(client.context().discover_all(SERVER, 5_000), 6)) == [server.actor_id()]
        assert await ask(client, to(server), timeout_ms=20_000) == "1"  # and so on, with a report of its own
