"""What .proto files may hold: every kind of type, name and arrangement is generated and works."""

from __future__ import annotations

import ast

import pytest

from actrzmq.errors import ActrConfigError
from tests.codegen.projects import Project

RICH = """
syntax = "proto3";
package acme.v1;
import "common/types.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/empty.proto";
import "google/protobuf/struct.proto";
message Outer {
  message Inner { int32 depth = 1; message Deepest { string x = 1; } }
  enum Kind { KIND_NONE = 0; KIND_SOME = 1; }
  Inner inner = 1;
  repeated Inner.Deepest deepest = 2;
  map<string, Inner> by_name = 3;
  map<int64, Kind> kinds = 4;
  Kind kind = 5;
  google.protobuf.Timestamp at = 6;
  google.protobuf.Struct more = 7;
  common.Shared shared = 8;
  oneof choice { string text = 9; Inner other = 10; }
  optional int32 maybe = 11;
}
enum Level { LOW = 0; HIGH = 1; }
service First {
  rpc Do(Outer) returns (Outer.Inner);
  rpc Ping(google.protobuf.Empty) returns (google.protobuf.Timestamp);
}
service Second { rpc Do(Outer.Inner) returns (common.Shared); rpc Share(common.Shared) returns (Outer); }
"""
COMMON = 'syntax = "proto3"; package common; message Shared { string name = 1; }'


@pytest.fixture
def rich(project: Project) -> Project:
    project.write("protos/local/acme/rich.proto", RICH)
    project.write("protos/local/common/types.proto", COMMON)
    project.write("protos/remote/acme-rich/acme/rich.proto", RICH)
    project.write("protos/remote/acme-rich/common/types.proto", COMMON)
    project.gen(aliases=("acme-rich",))
    return project


def test_nested_imported_and_well_known_types_work(rich: Project) -> None:
    found = rich.run("""
from datetime import datetime, timezone
from generated.local.acme import rich_pb2 as pb2
from generated.local.common import types_pb2
from google.protobuf import timestamp_pb2
message = pb2.Outer(
    inner=pb2.Outer.Inner(depth=3), deepest=[pb2.Outer.Inner.Deepest(x="y")], by_name={"a": pb2.Outer.Inner()},
    kinds={1: pb2.Outer.KIND_SOME}, kind=pb2.Outer.Kind.KIND_SOME, at=datetime(2026, 1, 1, tzinfo=timezone.utc),
    more={"k": [1, {"l": None}]}, shared=types_pb2.Shared(name="s"), text="t", maybe=0,
)
again = pb2.Outer.FromString(message.SerializeToString())
print(again == message, again.WhichOneof("choice"), again.HasField("maybe"), again.more["k"][0])
print(type(again.at) is timestamp_pb2.Timestamp, pb2.HIGH, pb2.Level.Name(1), pb2.Outer.Kind.keys())
print(type(again.shared) is types_pb2.Shared)
""")
    assert found.splitlines() == [
        "True text True 1.0",
        "True 1 HIGH ['KIND_NONE', 'KIND_SOME']",
        "True",
    ]


def test_several_services_of_a_file_each_have_an_actor_and_a_client(rich: Project) -> None:
    found = rich.run("""
from generated import first_actor, second_actor
from generated.remote.acme_rich.acme import rich_client
from generated.local.acme import rich_pb2
from google.protobuf import empty_pb2, timestamp_pb2
for route in (*first_actor.FirstDispatcher.routes, *second_actor.SecondDispatcher.routes):
    print(route.route_key, route.method, route.request.DESCRIPTOR.name, route.response.DESCRIPTOR.name)
print(first_actor.FirstDispatcher.routes[1].request is empty_pb2.Empty)
print(rich_client.FirstClient.do is not rich_client.SecondClient.do, rich_client.SECOND_SHARE)
""")
    assert found.splitlines() == [
        "acme.v1.First.Do do Outer Inner",
        "acme.v1.First.Ping ping Empty Timestamp",
        "acme.v1.Second.Do do Inner Shared",
        "acme.v1.Second.Share share Shared Outer",
        "True",
        "True acme.v1.Second.Share",
    ]


def test_route_keys_are_never_put_on_imported_or_well_known_types(rich: Project) -> None:
    found = rich.run("""
from generated.local.acme import rich_pb2
from generated.local.common import types_pb2
from google.protobuf import empty_pb2
from actrzmq.runtime.messages import response_of
print(rich_pb2.Outer.route_key, rich_pb2.Outer.Inner().route_key)
print(hasattr(types_pb2.Shared, "route_key"), hasattr(empty_pb2.Empty, "route_key"))
print(response_of(types_pb2.Shared, "acme.v1.Second.Share") is rich_pb2.Outer)
print(response_of(empty_pb2.Empty, "acme.v1.First.Ping").DESCRIPTOR.full_name)
print(response_of(empty_pb2.Empty, "acme.v1.First.Pong"))
""")
    assert found.splitlines() == [
        "acme.v1.First.Do acme.v1.Second.Do",
        "False False",
        "True",
        "google.protobuf.Timestamp",
        "None",
    ]


def test_messages_print_and_pickle_like_other_classes(rich: Project) -> None:
    found = rich.run("""
import pickle
from generated.local.acme import rich_pb2
print(rich_pb2.Outer, rich_pb2.Outer.Inner.Deepest.__module__)
for made in (rich_pb2.Outer(maybe=4), rich_pb2.Outer.Inner(depth=2)):
    print(pickle.loads(pickle.dumps(made)) == made)
""")
    assert found.splitlines() == [
        "<class 'generated.local.acme.rich_pb2.Outer'> generated.local.acme.rich_pb2",
        "True",
        "True",
    ]


def test_a_request_shared_by_two_methods_says_which_constants_to_use(project: Project) -> None:
    text = (
        'syntax = "proto3"; package p; message A {} message B {} '
        "service S { rpc One(A) returns (B); rpc Two(A) returns (B); }"
    )
    project.write("protos/local/a.proto", text)
    project.write("protos/remote/dep/x.proto", text)
    project.gen(aliases=("dep",))
    code = """
from generated.{package} import {name}_pb2 as pb2
from actrzmq import errors
for read in (lambda: pb2.A.route_key, lambda: pb2.A().route_key, lambda: pb2.A().Response):
    try:
        read()
    except errors.ActrConfigError as error:
        print(error)
"""
    local = project.run(code.format(package="local", name="a")).splitlines()
    remote = project.run(code.format(package="remote.dep", name="x")).splitlines()
    assert len(local) == len(remote) == 3
    assert "p.A.route_key: several methods take a p.A" in local[0]
    assert "s_actor.S_ONE, s_actor.S_TWO" in local[0]
    assert "x_client.S_ONE, x_client.S_TWO" in remote[0]


def test_a_field_or_type_named_route_key_or_response_stays_what_it_is(project: Project) -> None:
    project.write(
        "protos/local/a.proto",
        'syntax = "proto3"; package p; message A { string route_key = 1; message Response { int32 x = 1; } } '
        "message B {} message C { enum Response { route_key = 0; } } "
        "service S { rpc One(A) returns (B); rpc Two(C) returns (B); rpc Three(B) returns (A); }",
    )
    project.gen()
    found = project.run("""
from generated.local import a_pb2 as pb2
from generated import s_actor
print(pb2.A(route_key="mine").route_key, pb2.A.Response(x=1).x, pb2.C.route_key, pb2.C.Response.Name(0))
print(s_actor.S_ONE, pb2.B.route_key)
""")
    assert found.splitlines() == ["mine 1 0 route_key", "p.S.One p.S.Three"]


KEYWORDS = """
syntax = "proto3";
package import.class;
message from { string from = 1; int32 None = 2; bool self = 3; class class = 4; }
message class { message def { int32 x = 1; } def except = 1; enum lambda { pass = 0; } lambda in = 2; }
enum yield { is = 0; }
service None { rpc import(from) returns (class); rpc True(class.def) returns (from); }
service with { rpc await(from) returns (from); }
"""


def test_keywords_can_name_everything(project: Project) -> None:
    project.write("protos/local/global/class.proto", KEYWORDS)
    project.write("protos/remote/async/not.proto", KEYWORDS)
    project.gen(exports=("local/global/class.proto",), aliases=("async",))
    found = project.run("""
from generated.local.global_ import class_pb2 as pb2
from generated import none_actor, with_actor
from generated.remote.async_ import not_client, not_pb2
message = pb2.from_(**{"from": "x", "None": 3, "self": True, "class": pb2.class_()})
print(getattr(message, "from"), getattr(message, "None"), message.self, pb2.is_, pb2.yield_.Name(0))
print(message.route_key if hasattr(pb2.class_, "route_key") else "shared")
print([route.method for route in none_actor.NoneDispatcher.routes], none_actor.NONE_TRUE)
print(with_actor.withDispatcher.routes[0].method, not_client.NoneClient.import_.__name__)
""")
    assert found.splitlines()[0] == "x 3 True 0 is"
    assert found.splitlines()[2:] == ["['import_', 'true'] import.class.None.True", "await_ import_"]
    for path, text in project.files().items():
        if path.endswith((".py", ".pyi")):
            ast.parse(text)


def test_editions_groups_extensions_and_custom_options_load(project: Project) -> None:
    project.write(
        "protos/local/old.proto",
        'syntax = "proto2"; package old; import "google/protobuf/descriptor.proto"; '
        "extend google.protobuf.MethodOptions { optional string note = 50007; } "
        "message A { optional group Part = 1 { optional int32 x = 1; } extensions 100 to 200; "
        "extend A { optional int32 inner_ext = 101; } } "
        "extend A { optional string outer_ext = 100; } "
        'service Old { rpc Go(A) returns (A) { option (note) = "hi"; option idempotency_level = IDEMPOTENT; } }',
    )
    project.write(
        "protos/local/new.proto",
        'edition = "2023"; package new; option features.field_presence = IMPLICIT; message A { int32 x = 1; A a = 2; }',
    )
    project.gen()
    found = project.run("""
from generated.local import old_pb2, new_pb2
a = old_pb2.A(part=old_pb2.A.Part(x=3))
a.Extensions[old_pb2.outer_ext] = "e"
a.Extensions[old_pb2.A.inner_ext] = 4
print(old_pb2.A.FromString(a.SerializeToString()) == a, old_pb2.OUTER_EXT_FIELD_NUMBER)
print(new_pb2.A(a=new_pb2.A(x=1)).a.x)
""")
    assert found.splitlines() == ["True 100", "1"]


def test_the_idempotency_of_a_method_reaches_its_route_and_its_callers(project: Project) -> None:
    project.write(
        "protos/local/a.proto",
        'syntax = "proto3"; package p; message A {} message B {} message C {} service S { '
        "rpc One(A) returns (A) { option idempotency_level = IDEMPOTENT; } "
        "rpc Two(B) returns (A) { option idempotency_level = NO_SIDE_EFFECTS; } "
        "rpc Three(C) returns (A) { option idempotency_level = IDEMPOTENCY_UNKNOWN; } }",
    )
    project.gen()
    found = project.run("""
from generated import s_actor
from generated.local import a_pb2 as pb2
from actrzmq.runtime.messages import is_idempotent
print([route.idempotent for route in s_actor.SDispatcher.routes])
print([is_idempotent(message, message.route_key) for message in (pb2.A, pb2.B, pb2.C)])
print(is_idempotent(pb2.A, "p.S.Other"))
""")
    assert found.splitlines() == ["[True, True, False]", "[True, True, False]", "False"]


def test_methods_that_meet_in_snake_case_are_told_apart_by_an_underscore(project: Project) -> None:
    project.write(
        "protos/local/a.proto",
        'syntax = "proto3"; message A {} service S { rpc GetFoo(A) returns (A); rpc get_foo(A) returns (A); '
        "rpc OnStop(A) returns (A); }",
    )
    project.gen()
    found = project.run(
        "from generated import s_actor\n"
        "for route in s_actor.SDispatcher.routes: print(route.route_key, route.method)\n"
        "print(s_actor.S_GET_FOO, s_actor.S_GET_FOO_)"
    )
    assert found.splitlines() == ["S.GetFoo get_foo_", "S.get_foo get_foo", "S.OnStop on_stop_", "S.get_foo S.GetFoo"]


def test_two_services_of_one_name_are_refused_with_both_places(project: Project) -> None:
    for package in ("one", "two"):
        project.write(
            f"protos/local/{package}.proto",
            f'syntax = "proto3";\npackage {package};\nmessage A {{}}\nservice Api {{ rpc M(A) returns (A); }}\n',
        )
    with pytest.raises(ActrConfigError, match=r"two\.Api \(.*two\.proto:4\) and service one\.Api \(.*one\.proto:4\)"):
        project.gen()


@pytest.mark.parametrize("method", ["M(stream A) returns (A)", "M(A) returns (stream A)"])
@pytest.mark.parametrize("folder", ["local", "remote/dep"])
def test_streaming_methods_are_refused_with_file_and_line(project: Project, method: str, folder: str) -> None:
    project.write(
        f"protos/{folder}/a.proto", f'syntax = "proto3";\nmessage A {{}}\nservice S {{\n  rpc {method};\n}}\n'
    )
    aliases = ("dep",) if "remote" in folder else ()
    with pytest.raises(ActrConfigError, match=rf"protos/{folder}/a\.proto:4: rpc M uses `stream`"):
        project.gen(aliases=aliases)
    assert not (project.folder / "generated").exists()


def test_an_export_that_imports_what_is_not_exported_is_refused_with_file_and_line(project: Project) -> None:
    project.write("protos/local/common.proto", COMMON)
    project.write(
        "protos/local/a.proto",
        'syntax = "proto3";\nimport "google/protobuf/empty.proto";\nimport "common.proto";\n'
        "message A { common.Shared s = 1; google.protobuf.Empty e = 2; }\n",
    )
    with pytest.raises(ActrConfigError, match=r"a\.proto:3: a\.proto is exported and imports common\.proto"):
        project.gen(exports=("local/a.proto",))
    project.gen(exports=("local/a.proto", "local/common.proto"))


def test_an_import_for_options_alone_has_to_be_exported_as_well(project: Project) -> None:
    project.write(
        "protos/local/notes.proto",
        'edition = "2024"; import "google/protobuf/descriptor.proto"; '
        "extend google.protobuf.MessageOptions { string note = 50009; }",
    )
    project.write(
        "protos/local/a.proto",
        'edition = "2024";\nimport option "notes.proto";\nmessage A { option (note) = "n"; }\n',
    )
    with pytest.raises(ActrConfigError, match=r"a\.proto:2: a\.proto is exported and imports notes\.proto"):
        project.gen(exports=("local/a.proto",))
    project.gen(exports=("local/a.proto", "local/notes.proto"))
    assert project.run("from generated.local import a_pb2; print(a_pb2.A().ByteSize())") == "0\n"


def test_two_exports_of_one_base_name_are_refused(project: Project) -> None:
    for folder in ("x", "y"):
        project.write(f"protos/local/{folder}/a.proto", f'syntax = "proto3"; package {folder}; message A {{}}')
    with pytest.raises(ActrConfigError, match=r"'x/a\.proto' and 'y/a\.proto'"):
        project.gen(exports=("local/x/a.proto", "local/y/a.proto"))


def test_comments_become_docstrings_whatever_is_in_them(project: Project) -> None:
    project.write(
        "protos/local/a.proto",
        'syntax = "proto3"; message A {}\n// """ + __import__("os").abort() + """\n// ends with a quote " and \\\n'
        'service S {\n  // Says """hello"""\n  rpc M(A) returns (A);\n}\n',
    )
    project.gen()
    found = project.run(
        "from generated import s_actor\nprint(s_actor.SHandler.__doc__)\nprint(s_actor.SHandler.m.__doc__)"
    )
    assert '""" + __import__("os").abort() + """' in found
    assert 'Says """hello"""' in found
