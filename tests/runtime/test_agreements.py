"""Instances of several versions side by side, and a client that has locked one: whom it finds and calls."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from google.protobuf.wrappers_pb2 import StringValue

from actrzmq import (
    ActrConfigError,
    ActrContractMismatch,
    ActrNode,
    ActrNotFound,
    ActrRef,
    ActrTransportError,
    Context,
    Dest,
    Status,
)
from actrzmq.brokerd.store import Store
from actrzmq.core.broker import BrokerCore, BrokerLimits
from actrzmq.runtime import descriptors
from actrzmq.wire.messages import Describe, Discover, Envelope
from tests.codegen.protos import STREAM_SERVER
from tests.net.peers import Broker, address
from tests.runtime.harness import RUN, SERVER, Handler, Script, World, ask, until
from tests.runtime.publishers import contract, locker, publisher

LIMITS = BrokerLimits(contracts=1 << 24)
ANY = Dest.type(SERVER)

V1 = STREAM_SERVER
V2 = V1.replace("int32 message_count = 2;", "int32 message_count = 2;\n  bool is_last = 3;")
V3 = V1.replace("int32 message_count = 2;", "string message_count = 2;")
FINDING = (
    "stream_server.proto: FIELD_WIRE_COMPATIBLE_TYPE stream_server.RegisterStreamRequest.message_count: "
    "field 2 had the type int32 and has string now"
)


@pytest.fixture(autouse=True)
def no_generated_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """What other tests have imported is not there."""
    monkeypatch.setattr(descriptors, "_contracts", {})


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """A live broker in a thread of this process, with a store."""
    with Broker(LIMITS, store=Store(tmp_path / "broker.db")) as broker:
        yield broker


def generate(text: str) -> None:
    """Import what `actr gen` makes of a dependency."""
    made = contract(text)
    descriptors.Files(*(file.descriptor for file in made.files), fingerprint=made.fingerprint)


def saying(name: str) -> Handler:
    async def say(req: StringValue, ctx: Context) -> StringValue:
        return StringValue(value=name)

    return say


async def serve(world: World, text: str, name: str = "") -> ActrNode:
    """A running instance with the contract `text`, which answers `name`."""
    node = publisher(world, text=text, handler=saying(name))
    await node.start()
    return node


def id_of(node: ActrNode) -> object:
    assert node._ref is not None
    return node._ref.actor_id()


class Asked:
    """What a broker is asked, by kind."""

    def __init__(self, core: BrokerCore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.counts: Counter[str] = Counter()
        receive = core.receive

        def count(peer: bytes, envelopes: Iterable[Envelope], now: int) -> None:
            said = list(envelopes)
            self.counts.update(type(envelope).__name__ for envelope in said)
            receive(peer, said, now)

        monkeypatch.setattr(core, "receive", count)

    def questions(self) -> int:
        return sum(self.counts[kind.__name__] for kind in (Discover, Describe)) + self.counts["Watch"]


async def test_instances_with_the_locked_contract_come_before_compatible_ones_and_breaking_ones_never(
    world: World,
) -> None:
    nodes = [await serve(world, text) for text in (V3, V2, V1)]
    client = await locker(world)
    ctx = client.context()
    assert {await ctx.discover(SERVER) for _ in range(20)} == {id_of(nodes[2])}
    assert await ctx.discover_all(SERVER) == [id_of(nodes[2]), id_of(nodes[1])]
    for node in nodes:
        await node.close()


async def test_where_the_locked_version_is_gone_a_compatible_one_takes_its_place(world: World) -> None:
    v3, v2, v1 = [await serve(world, text, name) for text, name in ((V3, "v3"), (V2, "v2"), (V1, "v1"))]
    client = await locker(world)
    assert {await ask(client, ANY) for _ in range(20)} == {"v1"}
    await v1.close()
    assert await client.context().discover(SERVER) == id_of(v2)
    assert {await ask(client, ANY) for _ in range(20)} == {"v2"}
    await v2.close()
    with pytest.raises(ActrContractMismatch):
        await ask(client, ANY)
    await v3.close()


async def test_where_all_break_what_is_locked_that_is_said_at_once_with_the_finding_and_no_call_reaches_them(
    world: World,
) -> None:
    called: list[str] = []

    async def note(req: StringValue, ctx: Context) -> StringValue:
        called.append(req.value)
        return req

    generate(V1)
    node = publisher(world, text=V3, handler=note)
    await node.start()
    client = await locker(world)
    ctx = client.context()
    async with asyncio.timeout(5):
        for attempt in (
            lambda: ctx.discover(SERVER, timeout_ms=60_000),
            lambda: ctx.discover_all(SERVER),
            lambda: ask(client, ANY, wait=True, timeout_ms=60_000),
            lambda: ctx.tell(ANY, RUN, StringValue()),
            lambda: ctx.open_stream(ANY, "s").__aenter__(),
        ):
            with pytest.raises(ActrContractMismatch) as caught:
                await attempt()
            error = caught.value
            assert FINDING in str(error)
            assert "acme+Server" in str(error)
            assert "`actr install --update script`" in str(error)
            assert (error.code, error.retryable, error.may_have_run) == (Status.FAILED_PRECONDITION, False, False)
            assert error.details["rule"] == "FIELD_WIRE_COMPATIBLE_TYPE"
    assert called == []
    await node.close()


async def test_a_stream_to_a_type_goes_to_one_that_keeps_to_what_is_locked(world: World) -> None:
    v3 = await serve(world, V3)
    v1 = publisher(world, text=V1)
    ref = await v1.start()
    client = await locker(world)
    frames: list[bytes] = []
    await ref.context().register_stream("s", lambda frame, sender: frames.append(frame.payload()))
    async with client.context().open_stream(ANY, "s") as out:
        await out.send(b"frame")
    assert frames == [b"frame"]
    await v1.close()
    await v3.close()


async def test_an_instance_that_publishes_no_contract_is_taken_after_exact_ones(world: World) -> None:
    await world.start("Server", Script(saying("bare")))
    client = await locker(world)
    assert await ask(client, ANY) == "bare"
    v1 = await serve(world, V1, "v1")
    assert await client.context().discover(SERVER) == id_of(v1)
    await until_answered(client, "v1")
    await v1.close()


async def until_answered(client: ActrRef, name: str) -> None:
    """Wait until calls to the type go to `name`."""
    while await ask(client, ANY) != name:  # noqa: ASYNC110 - what a watch has told is seen by calling
        await asyncio.sleep(0.005)


async def test_a_dependency_that_is_not_locked_is_not_judged(
    world: World, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Asked(broker.core, monkeypatch)
    node = await serve(world, V3, "v3")
    path = world.manifest("Client", '[dependencies]\nscript = { actr_type = "acme+Server" }')
    client = await (await world.system(path)).attach().start()
    assert await ask(client, ANY) == "v3"
    assert asked.counts["Describe"] == 0
    await node.close()


async def test_a_fingerprint_in_the_manifest_is_as_good_as_a_lock(world: World) -> None:
    generate(V1)
    node = await serve(world, V3)
    pinned = f'actr_type = "acme+Server", fingerprint = "{contract(V1).fingerprint}"'
    path = world.manifest("Client", f"[dependencies]\nscript = {{ {pinned} }}")
    client = await (await world.system(path)).attach().start()
    with pytest.raises(ActrContractMismatch, match="FIELD_WIRE_COMPATIBLE_TYPE"):
        await client.discover(SERVER)
    await node.close()


async def test_what_is_locked_in_another_realm_is_not_about_this_one(world: World) -> None:
    node = await serve(world, V3)
    client = await locker(world, dependency='actr_type = "acme+Server", realm = 7')
    assert await client.discover(SERVER) == id_of(node)
    await node.close()


@pytest.mark.parametrize("what", ["fingerprint", "actor type"])
async def test_a_lock_file_that_contradicts_the_manifest_is_an_error_at_the_start(world: World, what: str) -> None:
    dependency = {
        "fingerprint": f'fingerprint = "{contract(V2).fingerprint}"',
        "actor type": 'actr_type = "acme+Other"',
    }[what]
    with pytest.raises(ActrConfigError, match=rf"Actr\.toml wants the {what} .*; run `actr install`"):
        await locker(world, dependency=dependency)


async def test_a_damaged_lock_file_is_an_error_at_the_start(world: World) -> None:
    path = world.manifest("Client", '[dependencies]\nscript = { actr_type = "acme+Server" }')
    path.with_name("Actr.lock.toml").write_text("[metadata]\nversion = 1\n<<<<<<< ours\n")
    with pytest.raises(ActrConfigError, match=r"Actr\.lock\.toml"):
        await (await world.system(path)).attach().start()


# where the contracts come from


async def test_the_locked_contract_of_generated_code_does_where_the_broker_never_saw_it(
    world: World, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Asked(broker.core, monkeypatch)
    generate(V1)
    nodes = [await serve(world, V3), await serve(world, V2)]
    client = await locker(world)
    assert await client.discover(SERVER) == id_of(nodes[1])
    assert asked.counts["Describe"] == 2  # one for each version that is new
    for node in nodes:
        await node.close()


async def test_without_generated_code_the_broker_is_asked_for_the_locked_contract(world: World) -> None:
    v1, v2 = await serve(world, V1), await serve(world, V2)
    await v1.close()
    client = await locker(world)
    assert await client.discover(SERVER) == id_of(v2)
    await v2.close()


async def test_where_nobody_has_the_locked_contract_the_error_says_what_to_do(world: World) -> None:
    node = await serve(world, V2)
    client = await locker(world)
    with pytest.raises(ActrContractMismatch, match=r"locked for script .* run `actr install` and `actr gen`"):
        await client.discover(SERVER)
    generate(V1)  # imported by now

    async def is_found() -> bool:
        try:
            return await client.discover(SERVER) == id_of(node)
        except ActrContractMismatch:
            return False

    while not await is_found():  # noqa: ASYNC110 - a doubt passes with time alone
        await asyncio.sleep(0.05)
    await node.close()


async def test_an_instance_whose_contract_nobody_has_is_not_called(tmp_path: Path) -> None:
    with Broker() as broker:  # it keeps none
        world = World(broker.endpoint, tmp_path)
        generate(V1)
        node = await serve(world, V2)
        client = await locker(world)
        with pytest.raises((ActrContractMismatch, ActrTransportError, ActrNotFound)) as caught:
            await ask(client, ANY)
        assert "contract" in str(caught.value)
        v1 = await serve(world, V1, "v1")
        await until(lambda: len(client._engine.calls._balancer._topics[SERVER].instances) == 2, "both are seen")
        assert await ask(client, ANY) == "v1"
        await node.close()
        await v1.close()
        await world.close()


# what it costs


async def test_once_judged_a_call_asks_the_broker_nothing(
    world: World, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Asked(broker.core, monkeypatch)
    nodes = [await serve(world, V3, "v3"), await serve(world, V2, "v2")]
    generate(V1)
    client = await locker(world)
    await until_judged(client, 2)
    before = asked.questions()
    assert {await ask(client, ANY) for _ in range(200)} == {"v2"}
    assert asked.questions() == before
    assert asked.counts["Describe"] == 2
    for node in nodes:
        await node.close()


async def until_judged(client: ActrRef, count: int) -> None:
    await ask(client, ANY)
    await until(lambda: client.statistics().get("contracts.judged", 0) == count, f"{count} contracts judged")
    await until(lambda: not client._engine.agreements._judging, "all judged")


async def test_many_that_ask_at_once_have_a_version_judged_once(
    world: World, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Asked(broker.core, monkeypatch)
    generate(V1)
    node = await serve(world, V2, "v2")
    client = await locker(world)
    answers = await asyncio.gather(*(ask(client, ANY) for _ in range(50)), *(ask(client, ANY) for _ in range(50)))
    assert set(answers) == {"v2"}
    assert asked.counts["Describe"] == 1
    await node.close()


async def test_a_discovery_of_an_exact_one_is_one_question(
    world: World, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = [await serve(world, text) for text in (V3, V2, V1)]
    client = await locker(world)
    asked = Asked(broker.core, monkeypatch)
    assert await client.discover(SERVER) == id_of(nodes[2])
    assert asked.questions() == 1
    for node in nodes:
        await node.close()


# upgrades and restarts


async def test_no_call_fails_while_the_instances_are_replaced_by_a_compatible_version_one_by_one(world: World) -> None:
    old = [await serve(world, V1, "v1") for _ in range(3)]
    client = await locker(world)
    answers: Counter[str] = Counter()
    is_over = False

    async def load() -> None:
        while not is_over:
            answers[await ask(client, ANY, timeout_ms=10_000)] += 1
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(8):
            tasks.create_task(load())
        await until(lambda: answers["v1"] > 50, "calls to v1")
        new = []
        for node in old:
            new.append(await serve(world, V2, "v2"))
            await node.close()
        await until(lambda: answers["v2"] > 50, "calls to v2")
        is_over = True
    assert set(answers) == {"v1", "v2"}
    for node in new:
        await node.close()


async def test_after_a_restart_of_the_broker_a_call_waits_for_those_that_keep_to_what_is_locked(
    tmp_path: Path,
) -> None:
    generate(V1)
    with address() as endpoint:
        world = World(endpoint, tmp_path)
        with Broker(LIMITS, endpoint, store=Store(tmp_path / "broker.db")):
            client = await locker(world)
            v3 = await serve(world, V3, "v3")
            with pytest.raises(ActrContractMismatch):
                await ask(client, ANY)
        with Broker(LIMITS, endpoint, epoch=2, store=Store(tmp_path / "broker.db")):
            await until(lambda: client._engine.session.registration.epoch == 2, "the client is back")
            call = asyncio.create_task(ask(client, ANY, timeout_ms=20_000))
            found = asyncio.create_task(client.discover(SERVER, timeout_ms=20_000))
            v1 = await serve(world, V1, "v1")
            assert await call == "v1"
            assert await found == id_of(v1)
            for node in (v1, v3):
                await node.close()
            await world.close()
