"""`LocalCluster`: a broker and nodes in one process, which are all gone afterwards."""

from __future__ import annotations

import asyncio
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf.wrappers_pb2 import StringValue

from actrzmq import ActrConfigError, ActrOverloaded, ActrType, Context, DataStream, Dest, rpc, service
from actrzmq.net.sockets import open_sockets
from actrzmq.testing import LeakWarning, LocalCluster

GREET = "demo.Greeter.Greet"
GREETERS = Dest.type(ActrType("test", "Greeter"))


@service("demo.Greeter", exported=True)
class Greeter:
    """Greets, and does what tests want beside it."""

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None

    @rpc
    async def greet(self, req: StringValue, ctx: Context) -> StringValue:
        return StringValue(value=f"Hello, {req.value}!")

    @rpc
    async def leak(self, req: StringValue, ctx: Context) -> StringValue:
        self.task = asyncio.create_task(forget_me_not(), name="left")
        return req

    @rpc
    async def send(self, req: StringValue, ctx: Context) -> StringValue:
        caller = ctx.caller_id()
        assert caller is not None
        dest = Dest.actor(caller)
        for number in range(3):
            await ctx.send_stream(dest, DataStream(req.value, number, b"x"))
        await ctx.end_stream(dest, req.value)
        return req


async def forget_me_not() -> None:
    """A task that somebody should have ended."""
    await asyncio.sleep(60)


async def greet(context: Context, name: str = "Ada", dest: Dest = GREETERS) -> str:
    answer = await context.call(dest, GREET, StringValue(value=name), response_type=StringValue)
    return str(answer.value)


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    before = open_sockets()
    yield
    assert open_sockets() <= before
    assert not [thread for thread in threading.enumerate() if thread.name == "actrzmq-test-broker"]


def test_a_handler_is_called_in_a_cluster_of_its_own() -> None:
    async def main() -> str:
        async with LocalCluster() as cluster:
            await cluster.start(Greeter())
            return await greet(cluster.context())

    assert asyncio.run(main()) == "Hello, Ada!"


def test_frames_stream_to_the_test_itself() -> None:
    async def main() -> int:
        async with LocalCluster() as cluster:
            await cluster.start(Greeter())
            context, request = cluster.context(), StringValue(value="rows")
            async with context.stream("rows") as frames, asyncio.TaskGroup() as group:
                group.create_task(context.call(GREETERS, "demo.Greeter.Send", request, response_type=StringValue))
                return len([frame async for frame in frames])

    assert asyncio.run(main()) == 3


def test_the_names_of_a_node_follow_from_its_service_unless_they_are_given() -> None:
    async def main() -> list[str]:
        async with LocalCluster() as cluster:
            refs = [
                await cluster.start(Greeter()),
                await cluster.start(Greeter(), type="acme+Other", name="x"),
                await cluster.start(),
            ]
            return [str(ref.actor_id().type) for ref in refs]

    assert asyncio.run(main()) == ["test+Greeter", "acme+Other", "test+Client"]


def test_a_manifest_that_is_given_holds_but_for_its_broker(tmp_path: Path) -> None:
    manifest = tmp_path / "Actr.toml"
    manifest.write_text(
        '[package]\nname = "greeter"\nactr_type = { manufacturer = "acme", name = "Greeter" }\n'
        '[system.broker]\nurl = "tcp://127.0.0.1:1"\n'
        '[acl]\n[[acl.rules]]\npermission = "allow"\ntypes = ["acme+Friend"]\n'
    )

    async def main() -> None:
        async with LocalCluster(type="acme+Friend") as cluster:
            ref = await cluster.start(Greeter(), manifest=manifest)
            assert await greet(cluster.context(), dest=Dest.actor(ref.actor_id())) == "Hello, Ada!"
            stranger = await cluster.start()
            with pytest.raises(Exception, match="do not allow"):
                await greet(stranger.context(), dest=Dest.actor(ref.actor_id()))

    asyncio.run(main())


def test_the_node_of_the_test_is_not_found_by_others() -> None:
    async def main() -> int:
        async with LocalCluster() as cluster:
            own = cluster.context().self_id()
            other = await cluster.start(type=own.type)
            found = await other.context().discover_all(own.type)
            assert own not in found
            return len(found)

    assert asyncio.run(main()) == 1


def test_a_broker_that_is_restarted_costs_a_call_nothing_but_time() -> None:
    async def main() -> str:
        async with LocalCluster() as cluster:
            ref = await cluster.start(Greeter())
            before = ref.actor_id()
            await cluster.stop_broker()
            asking = asyncio.create_task(greet(cluster.context(), dest=Dest.actor(before)))
            await cluster.start_broker()
            answer = await asking
            assert ref.actor_id() == before
            return answer

    assert asyncio.run(main()) == "Hello, Ada!"


def test_several_clusters_in_one_process_know_nothing_of_one_another() -> None:
    async def main() -> list[int]:
        async with LocalCluster() as one, LocalCluster(leaks=False) as other:
            await one.start(Greeter())
            kind = ActrType("test", "Greeter")
            with pytest.raises(Exception, match=r"test\+Greeter"):
                await other.context().discover(kind)
            return [len(await one.context().discover_all(kind))]

    assert asyncio.run(main()) == [1]


def test_what_a_handler_leaves_running_is_told_by_name_and_place() -> None:
    async def main() -> None:
        async with LocalCluster() as cluster:
            greeter = Greeter()
            await cluster.start(greeter)
            await cluster.context().call(GREETERS, "demo.Greeter.Leak", StringValue(), response_type=StringValue)
        assert greeter.task is not None
        assert not greeter.task.done()  # it is the program's, and not ended behind its back
        greeter.task.cancel()

    with pytest.warns(LeakWarning, match=r"the task left \(forget_me_not\), waiting in .*test_cluster\.py:\d+"):
        asyncio.run(main())


def test_a_node_beside_the_cluster_that_is_left_open_is_told() -> None:
    async def main() -> None:
        outer = LocalCluster(leaks=False)
        async with LocalCluster():
            await outer.__aenter__()
        await outer.__aexit__(None, None, None)

    with pytest.warns(LeakWarning, match="an open socket"):
        asyncio.run(main())


def test_who_does_not_want_to_hear_of_leaks_does_not() -> None:
    async def main() -> None:
        async with LocalCluster(leaks=False):
            asyncio.get_running_loop().call_soon(lambda: None)
            kept.append(asyncio.create_task(forget_me_not()))
        kept[0].cancel()

    kept: list[asyncio.Task[None]] = []
    with warnings.catch_warnings(record=True) as caught:
        asyncio.run(main())
    assert not caught


def test_the_error_of_a_test_is_not_hidden_by_what_it_left() -> None:
    async def main() -> None:
        async with LocalCluster():
            kept.append(asyncio.create_task(forget_me_not()))
            raise ZeroDivisionError("the test's own")

    kept: list[asyncio.Task[None]] = []
    with pytest.raises(ZeroDivisionError):
        asyncio.run(main())


def test_a_cluster_may_be_entered_again_once_it_was_left() -> None:
    async def main() -> None:
        cluster = LocalCluster()
        for _ in range(2):
            async with cluster:
                folder = cluster.folder
                await cluster.start(Greeter())
                assert await greet(cluster.context()) == "Hello, Ada!"
            assert not folder.exists()

    asyncio.run(main())


def test_outside_of_the_with_a_cluster_says_so() -> None:
    async def main() -> None:
        cluster = LocalCluster()
        with pytest.raises(ActrConfigError, match="async with"):
            cluster.context()
        with pytest.raises(ActrConfigError, match="async with"):
            await cluster.start(Greeter())
        async with cluster:
            with pytest.raises(ActrConfigError, match="already"):
                await cluster.__aenter__()

    asyncio.run(main())


def test_where_no_broker_can_be_a_node_is_not_sent() -> None:
    async def main() -> None:
        async with LocalCluster() as cluster:
            with pytest.raises(ActrConfigError, match=r"url='tcp://127.0.0.1' is not an address such as"):
                await cluster.start(url="tcp://127.0.0.1")

    asyncio.run(main())


def test_a_start_that_fails_leaves_a_cluster_that_works() -> None:
    class Broken(Greeter):
        def on_start(self) -> None:
            raise ZeroDivisionError

    async def main() -> str:
        async with LocalCluster() as cluster:
            with pytest.raises(ZeroDivisionError):
                await cluster.start(Broken())
            await cluster.start(Greeter())
            return await greet(cluster.context())

    assert asyncio.run(main()) == "Hello, Ada!"


def test_the_broker_does_what_its_file_says(tmp_path: Path) -> None:
    (tmp_path / "broker.toml").write_text('listen = ["tcp://127.0.0.1:1"]\n[limits]\nbody_bytes = 65536\n')

    async def main() -> None:
        async with LocalCluster(broker_toml=tmp_path / "broker.toml") as cluster:
            await cluster.start(Greeter())
            with pytest.raises(ActrOverloaded, match=r"65,?536"):
                await greet(cluster.context(), "x" * 70_000)

    asyncio.run(main())


def test_one_task_may_enter_a_cluster_and_another_leave_it() -> None:
    """As runners of tests do with the two halves of a fixture."""

    async def main() -> str:
        cluster = LocalCluster()
        await asyncio.create_task(cluster.__aenter__())
        await cluster.start(Greeter())
        answer = await greet(cluster.context())
        await asyncio.create_task(cluster.__aexit__(None, None, None))
        return answer

    assert asyncio.run(main()) == "Hello, Ada!"


def test_it_works_where_temporary_files_have_long_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))

    async def main() -> str:
        async with LocalCluster() as cluster:
            await cluster.start(Greeter())
            return await greet(cluster.context())

    assert asyncio.run(main()) == "Hello, Ada!"
    assert list(long.iterdir()) == []
