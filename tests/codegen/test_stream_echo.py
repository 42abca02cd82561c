"""The main job: stream-echo's generated code has the files, the imports and the shapes of the specification."""

from __future__ import annotations

from tests.codegen.projects import Project

SERVER = "stream-register-server-python"


def test_a_server_gets_messages_an_actor_a_contract_and_a_scaffold(server: Project) -> None:
    server.gen(exports=("local/stream_server.proto",))
    assert {
        "generated/local/stream_server_pb2.py",
        "generated/local/stream_server_pb2.pyi",
        "generated/stream_server_actor.py",
        "generated/contract.json",
        "stream_server.py",
    } <= server.files().keys()


def test_a_client_gets_local_messages_an_actor_and_the_typed_client_of_its_dependency(client: Project) -> None:
    client.gen(aliases=(SERVER,))
    files = client.files().keys()
    assert {
        "generated/local/stream_client_pb2.py",
        "generated/local_stream_service_actor.py",
        "generated/remote/stream_register_server_python/stream_server_pb2.py",
        "generated/remote/stream_register_server_python/stream_server_client.py",
    } <= files
    assert not {"local_stream_service.py", "generated/contract.json"} & files


def test_the_imports_of_the_specification_work_from_another_folder(client: Project) -> None:
    client.gen(aliases=(SERVER,))
    found = client.run("""
from generated.local import stream_client_pb2 as pb2
from generated import local_stream_service_actor as local_service_actor
from generated.remote.stream_register_server_python import stream_server_pb2 as server_pb2
request = server_pb2.RegisterStreamRequest(stream_id="s", message_count=3)
print(request.route_key, request.Response is server_pb2.RegisterStreamResponse)
print(pb2.StartStreamRequest.route_key)
print(local_service_actor.LocalStreamServiceDispatcher.exported)
""")
    assert found.splitlines() == [
        "stream_server.StreamServer.RegisterStream True",
        "stream_client.LocalStreamService.StartStream",
        "False",
    ]


def test_one_import_of_a_message_module_is_enough_for_its_route_key(client: Project) -> None:
    client.gen(aliases=(SERVER,))
    found = client.run(
        "from generated.remote.stream_register_server_python import stream_server_pb2 as server_pb2\n"
        "print(server_pb2.RegisterStreamRequest().route_key)"
    )
    assert found.strip() == "stream_server.StreamServer.RegisterStream"


def test_handlers_are_abstract_and_workloads_carry_them(server: Project) -> None:
    server.gen(exports=("local/stream_server.proto",))
    found = server.run("""
from pathlib import Path
from generated import stream_server_actor as actor
from generated.local import stream_server_pb2 as pb2
try:
    actor.StreamServerHandler()
except TypeError as error:
    print("register_stream" in str(error))
class Mine(actor.StreamServerHandler):
    async def register_stream(self, req, ctx):
        return pb2.RegisterStreamResponse(success=True)
handler = Mine()
workload = actor.StreamServerWorkload(handler)
dispatcher = workload.get_dispatcher()
(route,) = dispatcher.routes
print(workload.handler is handler, dispatcher.service, dispatcher.exported, route.method, route.idempotent)
print(route.request is pb2.RegisterStreamRequest, route.response is pb2.RegisterStreamResponse)
print(route.route_key == actor.STREAM_SERVER_REGISTER_STREAM)
print(dispatcher.contract.name, dispatcher.contract.is_file())
from actrzmq.contracts.bundle import check_fresh, read_contract
check_fresh(read_contract(dispatcher.contract), [Path("../protos/local/stream_server.proto")])
""")
    assert found.splitlines() == [
        "True",
        "True stream_server.StreamServer True register_stream False",
        "True True",
        "True",
        "contract.json True",
    ]


def test_the_generated_client_calls_with_its_constant_and_its_response_class(client: Project) -> None:
    client.gen(aliases=(SERVER,))
    found = client.run("""
import asyncio
from generated.remote.stream_register_server_python import stream_server_client as client, stream_server_pb2 as pb2
class Ctx:
    async def call(self, dest, route_key, request, **more):
        assert more.pop("response_type") is pb2.RegisterStreamResponse
        print(dest, route_key, request.stream_id, sorted(more.items()))
        return pb2.RegisterStreamResponse(success=True)
made = client.StreamServerClient(Ctx(), "there")
request = pb2.RegisterStreamRequest(stream_id="s")
print(asyncio.run(made.register_stream(request)).success)
print(asyncio.run(made.register_stream(request, timeout_ms=5, wait=True, metadata={"trace": "1"})).success)
print(client.STREAM_SERVER_REGISTER_STREAM)
""")
    assert found.splitlines() == [
        "there stream_server.StreamServer.RegisterStream s "
        "[('metadata', None), ('timeout_ms', 30000), ('wait', False)]",
        "True",
        "there stream_server.StreamServer.RegisterStream s "
        "[('metadata', {'trace': '1'}), ('timeout_ms', 5), ('wait', True)]",
        "True",
        "stream_server.StreamServer.RegisterStream",
    ]


def test_the_scaffold_is_the_users_once_it_exists(server: Project) -> None:
    server.gen(exports=("local/stream_server.proto",))
    text = server.files()["stream_server.py"].decode()
    assert "class StreamServer(stream_server_actor.StreamServerHandler):" in text
    assert "async def register_stream(self, req: pb2.RegisterStreamRequest, ctx: Context)" in text
    server.write("stream_server.py", "mine = True\n")
    server.gen(exports=("local/stream_server.proto",))
    assert server.files()["stream_server.py"] == b"mine = True\n"


def test_a_scaffold_never_poses_as_a_module_of_the_standard_library(project: Project) -> None:
    project.write("protos/local/a.proto", 'syntax = "proto3"; message A {} service Json { rpc Dump(A) returns (A); }')
    project.gen(exports=("local/a.proto",))
    assert "json_.py" in project.files()
    assert "json.py" not in project.files()


def test_a_scaffold_inside_a_package_imports_relatively(project: Project) -> None:
    project.write("app/__init__.py", "")
    project.write("protos/local/a.proto", 'syntax = "proto3"; message A {} service Echo { rpc Say(A) returns (A); }')
    project.gen(exports=("local/a.proto",), output="app/generated")
    assert "from .generated import echo_actor" in project.files()["app/echo.py"].decode()
    assert project.run("import app.generated.echo_actor as actor; print(actor.EchoWorkload.__name__)") == (
        "EchoWorkload\n"
    )


def test_a_generated_package_may_have_any_name_and_place(server: Project) -> None:
    server.gen(exports=("local/stream_server.proto",), output="src/deep/wire_code")
    found = server.run(
        "import deep.wire_code.stream_server_actor as actor; print(actor.StreamServerDispatcher.contract.name)",
        server.folder / "src",
    )
    assert found == "contract.json\n"


def test_an_input_without_a_local_folder_is_the_root_itself(project: Project) -> None:
    project.write("protos/a.proto", 'syntax = "proto3"; message A {} service Echo { rpc Say(A) returns (A); }')
    project.write("protos/remote/other/a.proto", 'syntax = "proto3"; message B {}')
    project.gen(exports=("a.proto",), aliases=("other",))
    files = project.files().keys()
    assert {"generated/local/a_pb2.py", "generated/remote/other/a_pb2.py", "echo.py"} <= files
    assert "generated/local/remote/other/a_pb2.py" not in files
