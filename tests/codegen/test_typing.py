"""Generated code passes mypy --strict, and gives the user's own classes their types."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.codegen.projects import REPOSITORY, Project
from tests.codegen.protos import STREAM_SERVER
from tests.codegen.test_contents import COMMON, KEYWORDS, RICH

SHADOWS = """
syntax = "proto3";
package shadows;
import "google/protobuf/duration.proto";
message B { int32 int = 1; string str = 2; repeated bytes bytes = 3; bool bool = 4; }
message A {
  B B = 1;
  repeated B A = 2;
  map<string, B> type = 3;
  string self = 4;
  google.protobuf.Duration Any = 5;
  int32 _int = 6;
  enum E { NONE_SET = 0; }
  E e = 7;
  string ClassVar = 8;
}
message Base { int32 DESCRIPTOR = 1; B Clear = 2; repeated B SerializeToString = 3; map<string, B> ByteSize = 4; }
service Shadows { rpc Do(A) returns (B); }
"""

GOOD = """
from generated import first_actor, shadows_actor, stream_server_actor
from generated.local import shadows_pb2, stream_server_pb2 as pb2
from generated.local.acme import rich_pb2
from generated.remote.dep import stream_server_client
from generated.remote.dep import stream_server_pb2 as remote_pb2
from datetime import datetime
from typing import TypeVar
from actrzmq.runtime.context import Context
from actrzmq.runtime.messages import Request
from google.protobuf import empty_pb2, timestamp_pb2
from google.protobuf.message import Message

Answer = TypeVar("Answer", bound=Message)


def ask(request: Request[Answer]) -> Answer:
    print(request.route_key)
    return request.Response()


class Server(stream_server_actor.StreamServerHandler):
    async def register_stream(
        self, req: pb2.RegisterStreamRequest, ctx: Context
    ) -> pb2.RegisterStreamResponse:
        reveal_type(req.stream_id)
        return pb2.RegisterStreamResponse(success=True, message=req.stream_id)


class First(first_actor.FirstHandler):
    async def do(self, req: rich_pb2.Outer, ctx: Context) -> rich_pb2.Outer.Inner:
        reveal_type(req.by_name["x"].depth)
        reveal_type(req.kinds[3])
        reveal_type(req.at)
        return req.inner

    async def ping(self, req: empty_pb2.Empty, ctx: Context) -> timestamp_pb2.Timestamp:
        return timestamp_pb2.Timestamp()


async def use(client: stream_server_client.StreamServerClient) -> None:
    request = remote_pb2.RegisterStreamRequest(stream_id="x")
    reply = await client.register_stream(request, timeout_ms=3, wait=True, metadata={"trace": "1"})
    reveal_type(reply)
    reveal_type(ask(remote_pb2.RegisterStreamRequest()))


outer = rich_pb2.Outer(at=datetime.now(), kind="KIND_SOME", by_name={"a": rich_pb2.Outer.Inner()}, more={"a": 1})
reveal_type(rich_pb2.Outer.KIND_SOME)
reveal_type(shadows_pb2.A(B={"int": 1}, self="me").B.int)
reveal_type(shadows_pb2.A().A[0].str)
stream_server_actor.StreamServerWorkload(Server())
"""

BAD = """
from generated.local import stream_server_pb2 as pb2
from generated.remote.dep import stream_server_client
from generated.remote.dep import stream_server_pb2 as remote_pb2
pb2.RegisterStreamRequest(stream_id=3)
pb2.RegisterStreamRequest(no_such_field=3)
pb2.RegisterStreamRequest().stream
pb2.RegisterStreamResponse().route_key
async def use(client: stream_server_client.StreamServerClient, request: remote_pb2.RegisterStreamRequest) -> None:
    await client.register_stream(request, metadata={"trace": 1})
    await client.register_stream(request, 3, True)
"""


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("typed"))
    project.write("protos/local/stream_server.proto", STREAM_SERVER)
    project.write("protos/local/acme/rich.proto", RICH)
    project.write("protos/local/common/types.proto", COMMON)
    project.write("protos/local/shadows.proto", SHADOWS)
    project.write("protos/local/words.proto", KEYWORDS)
    project.write("protos/remote/dep/stream_server.proto", STREAM_SERVER)
    project.gen(exports=("local/stream_server.proto",), aliases=("dep",))
    return project


def mypy(project: Project, *paths: str) -> str:
    found = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={project.folder / '.cache'}"),
            *("--follow-imports=silent", "--no-error-summary", *paths),
        ],
        cwd=project.folder,
        env=os.environ | {"MYPYPATH": f"{project.folder}{os.pathsep}{REPOSITORY}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.stderr == ""
    return found.stdout


def errors(output: str) -> list[str]:
    return [line for line in output.splitlines() if ": error:" in line]


def revealed(output: str) -> list[str]:
    return [line.partition('type is "')[2].rstrip('"') for line in output.splitlines() if "Revealed type" in line]


def test_generated_code_and_what_a_user_writes_on_it_pass_mypy_strict(typed: Project) -> None:
    typed.write("good.py", GOOD)
    output = mypy(typed, "good.py", "stream_server.py", "generated")
    assert errors(output) == []
    assert revealed(output) == [
        "str",
        "int",
        "generated.local.acme.rich_pb2.Outer.Kind",
        "google.protobuf.timestamp_pb2.Timestamp",
        "generated.remote.dep.stream_server_pb2.RegisterStreamResponse",
        "generated.remote.dep.stream_server_pb2.RegisterStreamResponse",
        "generated.local.acme.rich_pb2.Outer.Kind",
        "int",
        "str",
    ]


def test_mistakes_with_generated_messages_and_clients_are_found_by_mypy(typed: Project) -> None:
    typed.write("bad.py", BAD)
    assert [line.split(":")[1] for line in errors(mypy(typed, "bad.py"))] == ["5", "6", "7", "8", "10", "11"]


def test_stubs_and_modules_define_the_same_names(typed: Project) -> None:
    stubs = list((typed.folder / "generated").rglob("*.pyi"))
    assert len(stubs) == 6
    found = typed.run("""
import ast, importlib, pathlib
root = pathlib.Path("../generated").resolve()
for stub in sorted(root.rglob("*.pyi")):
    parts = ("generated", *stub.relative_to(root).with_suffix("").parts)
    module = importlib.import_module(".".join(parts))
    tree = ast.parse(stub.read_text())
    names = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    names |= {node.target.id for node in tree.body if isinstance(node, ast.AnnAssign)}
    actual = {name for name in vars(module) if not name.startswith("_")}
    print(sorted(names ^ actual))
""")
    assert found.splitlines() == ["[]"] * 6


def test_the_path_of_a_stub_lies_beside_its_module(typed: Project) -> None:
    stubs = list((typed.folder / "generated").rglob("*.pyi"))
    assert stubs
    assert [stub for stub in stubs if not stub.with_suffix(".py").is_file()] == []
