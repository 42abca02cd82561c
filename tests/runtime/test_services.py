"""Services as users write them, without generated code and with it."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.wrappers_pb2 import Int64Value, StringValue

from actrzmq import ActrConfigError, ActrRuntimeError, ActrUnknownRoute, Context, Dest, rpc, service
from tests.codegen.projects import Project
from tests.codegen.protos import STREAM_SERVER
from tests.runtime.harness import HIDDEN, RUN, SERVER, Hidden, Script, World, ask, spawn, to


@service("shop.Counter", exported=True)
class Counter:
    """Counts."""

    def __init__(self) -> None:
        self.count = 0

    @rpc
    async def count_up(self, req: Int64Value, ctx: Context) -> Int64Value:
        self.count += req.value
        return Int64Value(value=self.count)

    @rpc(route_key="other.Name.Entirely")
    async def renamed(self, req: StringValue, ctx: Context) -> StringValue:
        return StringValue(value=req.value.upper())

    async def not_callable_from_outside(self) -> None: ...


async def test_the_route_key_is_the_services_name_and_the_methods_in_camel_case(world: World) -> None:
    server = await world.start("Server", Counter())
    client = await world.start("Client")
    answer = await client.context().call(to(server), "shop.Counter.CountUp", Int64Value(value=3))
    assert answer == Int64Value(value=3)
    assert await ask(client, to(server), "x", "other.Name.Entirely") == "X"
    with pytest.raises(ActrUnknownRoute):
        await ask(client, to(server), "x", "shop.Counter.NotCallableFromOutside")
    with pytest.raises(ActrUnknownRoute):
        await ask(client, to(server), "x", "shop.Counter.Renamed")


async def test_several_services_live_in_one_node(world: World) -> None:
    node = await world.start("Node", Script(), Hidden(), Counter())
    assert await ask(node, Dest.local(), "x", RUN) == "x"
    assert await ask(node, Dest.local(), "x", HIDDEN) == "hidden x"
    assert await node.call("shop.Counter.CountUp", Int64Value(value=1)) == Int64Value(value=1)


async def test_two_services_with_the_same_route_are_refused(world: World) -> None:
    node = await world.node("Node", Script(), Script())
    with pytest.raises(ActrConfigError, match=r"test\.Script\.Run is served by two"):
        await node.start()


async def test_a_node_without_a_service_only_calls(world: World) -> None:
    node = await world.start("Node")
    with pytest.raises(ActrUnknownRoute):
        await node.call(RUN, StringValue())


def test_a_method_without_annotations_is_refused() -> None:
    with pytest.raises(ActrConfigError, match=r"Bad\.run.*first parameter"):

        @service("test.Bad")
        class Bad:
            @rpc
            async def run(self, req, ctx):  # type: ignore[no-untyped-def]
                return req


def test_a_method_whose_result_is_no_message_is_refused() -> None:
    with pytest.raises(ActrConfigError, match=r"Bad\.run.*its result.*str"):

        @service("test.Bad")
        class Bad:
            @rpc
            async def run(self, req: StringValue, ctx: Context) -> str:
                return req.value


def test_a_method_with_other_parameters_is_refused() -> None:
    with pytest.raises(ActrConfigError, match=r"Bad\.run.*\(self, req, ctx\)"):

        @service("test.Bad")
        class Bad:
            @rpc
            async def run(self, req: StringValue) -> StringValue:
                return req


def test_annotations_that_name_what_is_not_there_are_refused() -> None:
    with pytest.raises(ActrConfigError, match=r"Bad\.run.*Nothing"):

        @service("test.Bad")
        class Bad:
            @rpc
            async def run(self, req: Nothing, ctx: Context) -> StringValue:  # type: ignore[name-defined]  # noqa: F821
                return StringValue()


def test_a_service_without_a_method_is_refused() -> None:
    with pytest.raises(ActrConfigError, match="no method marked @rpc"):

        @service("test.Bad")
        class Bad:
            pass


def test_two_methods_with_one_route_key_are_refused() -> None:
    with pytest.raises(ActrConfigError, match=r"two methods have the route key test\.Bad\.Run"):

        @service("test.Bad")
        class Bad:
            @rpc
            async def run(self, req: StringValue, ctx: Context) -> StringValue:
                return req

            @rpc(route_key="test.Bad.Run")
            async def walk(self, req: StringValue, ctx: Context) -> StringValue:
                return req


@pytest.mark.parametrize("name", ["", 5, None, "x" * 257])
def test_a_service_needs_a_name(name: Any) -> None:
    with pytest.raises(ActrConfigError, match="service name"):
        service(name)


async def test_an_idempotent_method_of_a_type_is_called_again_elsewhere(world: World) -> None:
    """The first instance dies with the call open; what may run twice goes on to the second."""
    killed = asyncio.Event()

    @service("test.Twice", exported=True)
    class Twice:
        def __init__(self, hangs: bool) -> None:
            self.hangs = hangs

        @rpc(idempotent=True)
        async def run(self, req: StringValue, ctx: Context) -> StringValue:
            if self.hangs:
                killed.set()
                await asyncio.sleep(60)
            return StringValue(value="done")

        @rpc
        async def once(self, req: StringValue, ctx: Context) -> StringValue:
            return await self.run(req, ctx)

    client = await world.start("Client")
    for route_key in ("test.Twice.Run", "test.Twice.Once"):
        killed.clear()
        hanging = await world.start("Server", Twice(True), drain_ms=1)
        call = asyncio.create_task(ask(client, Dest.type(SERVER), "", route_key, timeout_ms=10_000))
        await killed.wait()
        other = await world.start("Server", Twice(False))
        await hanging.shutdown()
        if route_key.endswith("Run"):
            assert await call == "done"
        else:
            with pytest.raises(ActrRuntimeError) as caught:
                await call
            assert caught.value.may_have_run
        await other.shutdown()


# with generated code

SERVE = """
import asyncio, sys
from actrzmq import ActrConfigError, ActrSystem, Dest
from generated.local.stream_server_pb2 import RegisterStreamRequest, RegisterStreamResponse
from generated.stream_server_actor import StreamServerHandler, StreamServerDispatcher, StreamServerWorkload

class Server(StreamServerHandler):
    async def register_stream(self, req, ctx):
        return RegisterStreamResponse(success=True, message=req.stream_id)

async def main():
    async with await ActrSystem.from_toml(sys.argv[1]) as system:
        ref = await system.attach(StreamServerWorkload(Server())).start()
        request = RegisterStreamRequest(stream_id="x")
        print((await ref.call(request.route_key, request)).message)
        print((await ref.context().call(Dest.local(), request.route_key, request, response_type=None)).success)

try:
    asyncio.run(main())
except ActrConfigError as error:
    print(f"{type(error).__name__}: {error}")
"""


def generated(world: World, exports: str = "local/stream_server.proto") -> Project:
    """A project with the server of stream-echo, its code generated, and a manifest for the broker."""
    manifest = world.manifest("Server")
    project = Project(manifest.parent)
    project.write(f"protos/{exports}", STREAM_SERVER)
    manifest.write_text(f'exports = ["protos/{exports}"]\n{manifest.read_text()}')
    project.gen(exports=(exports,))
    return project


def run(project: Project) -> str:
    with spawn(SERVE, "Actr.toml", cwd=project.folder) as process:
        out, err = process.communicate(timeout=30)
    assert err == ""
    return out


def test_generated_code_serves(world: World) -> None:
    assert run(generated(world)) == "x\nTrue\n"


def test_a_contract_that_has_changed_since_it_was_generated_says_what_to_run(world: World) -> None:
    project = generated(world)
    project.write("protos/local/stream_server.proto", STREAM_SERVER + "\nmessage More {}\n")
    assert run(project).endswith("has changed since its code was generated; run `actr gen`\n")


def test_a_contract_that_is_missing_says_what_to_run(world: World) -> None:
    project = generated(world)
    (project.folder / "generated" / "contract.json").unlink()
    assert run(project).endswith("run `actr gen`\n")


def test_a_contract_that_was_edited_says_what_to_run(world: World) -> None:
    project = generated(world)
    path = project.folder / "generated" / "contract.json"
    contract = json.loads(path.read_text())
    contract["fingerprint"] = "service_semantic:" + "0" * 64
    path.write_text(json.dumps(contract))
    assert "run `actr gen`" in run(project)


def test_exports_without_generated_code_say_what_to_run(world: World) -> None:
    project = generated(world)
    project.write("protos/local/more.proto", 'syntax = "proto3";\npackage more;\nmessage More {}\n')
    manifest = project.folder / "Actr.toml"
    manifest.write_text(manifest.read_text().replace('.proto"]', '.proto", "protos/local/more.proto"]'))
    assert run(project).endswith("is exported but not in the generated contract; run `actr gen`\n")


async def test_two_generated_packages_serve_in_one_process(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two nodes, each with generated code of its own for the same proto package, told apart by their import names."""
    refs = []
    for name in ("first_generated", "second_generated"):
        manifest = world.manifest("Server")
        project = Project(manifest.parent)
        project.write("protos/local/stream_server.proto", STREAM_SERVER.replace("message = 2", f"message_{name} = 2"))
        manifest.write_text(f'exports = ["protos/local/stream_server.proto"]\n{manifest.read_text()}')
        project.gen(exports=("local/stream_server.proto",), output=name)
        monkeypatch.syspath_prepend(project.folder)
        refs.append(await start(manifest, name, world))
    for name, ref in zip(("first_generated", "second_generated"), refs, strict=True):
        pb2 = sys.modules[f"{name}.local.stream_server_pb2"]
        request = pb2.RegisterStreamRequest(stream_id=name)
        answer = await refs[0].context().call(to(ref), request.route_key, request)
        assert getattr(answer, f"message_{name}") == name
        assert type(answer) is pb2.RegisterStreamResponse
    for name in [name for name in sys.modules if name.startswith(("first_generated", "second_generated"))]:
        monkeypatch.delitem(sys.modules, name)


async def start(manifest: Path, name: str, world: World) -> Any:
    from importlib import import_module

    actor = import_module(f"{name}.stream_server_actor")
    pb2 = import_module(f"{name}.local.stream_server_pb2")

    class Server(actor.StreamServerHandler):  # type: ignore[misc, name-defined]
        async def register_stream(self, req: Any, ctx: Context) -> Any:
            return pb2.RegisterStreamResponse(**{f"message_{name}": req.stream_id})

    system = await world.system(manifest)
    return await system.attach(actor.StreamServerWorkload(Server())).start()
