"""Which descriptor pool a dependency lands in, and that nobody has to know."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.codegen.projects import Project


def versioned(field: str) -> str:
    return f"""
syntax = "proto3";
package shop;
import "google/protobuf/timestamp.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/empty.proto";
message Order {{ {field} = 1; google.protobuf.Timestamp at = 2; google.protobuf.Struct more = 3; }}
message Receipt {{ {field} = 1; message Line {{ int32 price = 1; }} repeated Line lines = 2; }}
service Shop {{ rpc Buy(Order) returns (Receipt); rpc Ping(google.protobuf.Empty) returns (google.protobuf.Empty); }}
"""


@pytest.fixture
def shops(project: Project) -> Project:
    """Two dependencies with one file name and one proto package, but different messages."""
    project.write("protos/remote/old-shop/shop.proto", versioned("string id"))
    project.write("protos/remote/new-shop/shop.proto", versioned("int64 id"))
    project.gen(aliases=("old-shop", "new-shop"))
    return project


def test_two_dependencies_may_define_the_same_file_and_package_differently(shops: Project) -> None:
    found = shops.run("""
from generated.remote.old_shop import shop_pb2 as old
from generated.remote.new_shop import shop_pb2 as new
print(old.Order(id="a").id, new.Order(id=7).id, old.Order is new.Order)
print(old.Order.route_key, new.Order.route_key, new.Order.Response is new.Receipt, old.Order.Response is old.Receipt)
print(new.Receipt(lines=[new.Receipt.Line(price=2)]).lines[0].price)
""")
    assert found.splitlines() == ["a 7 False", "shop.Shop.Buy shop.Shop.Buy True True", "2"]


@pytest.mark.parametrize("order", [("old_shop", "new_shop"), ("new_shop", "old_shop")])
def test_well_known_types_of_a_private_pool_take_datetime_and_dict(shops: Project, order: tuple[str, str]) -> None:
    found = shops.run(f"""
from datetime import datetime, timezone
import importlib
at = datetime(2026, 1, 2, tzinfo=timezone.utc)
for name in {order!r}:
    pb2 = importlib.import_module(f"generated.remote.{{name}}.shop_pb2")
    order = pb2.Order(at=at, more={{"a": [1, None, {{"b": True}}]}})
    again = pb2.Order.FromString(order.SerializeToString())
    again.at.FromDatetime(at)
    print(again.at.ToDatetime(timezone.utc) == at, again.more["a"][2]["b"], again == order)
    order.at = at
    order.more = {{"c": 1}}
    print(order.at.ToJsonString(), dict(order.more))
""")
    assert found.splitlines() == ["True True True", "2026-01-02T00:00:00Z {'c': 1.0}"] * 2


def test_a_response_is_found_for_a_well_known_request_of_either_pool(shops: Project) -> None:
    found = shops.run("""
from generated.remote.old_shop import shop_pb2 as old
from google.protobuf import empty_pb2
from actrzmq.runtime.messages import response_of
print(response_of(empty_pb2.Empty, "shop.Shop.Ping").DESCRIPTOR.full_name)
from generated.remote.new_shop import _descriptors
private = _descriptors.FILES.message("google.protobuf.Empty")
print(private is empty_pb2.Empty, response_of(private, "shop.Shop.Ping") is private)
""")
    assert found.splitlines() == ["google.protobuf.Empty", "False True"]


def test_the_same_file_in_two_dependencies_is_one_in_the_default_pool(project: Project) -> None:
    for alias in ("one", "two"):
        project.write(f"protos/remote/{alias}/shop.proto", versioned("string id"))
    project.gen(aliases=("one", "two"))
    found = project.run("""
from generated.remote.one import shop_pb2 as one
from generated.remote.two import shop_pb2 as two
print(one.Order is two.Order, two.Order(id="x").route_key)
""")
    assert found == "True shop.Shop.Buy\n"


def test_files_of_one_name_and_different_packages_do_not_meet(project: Project) -> None:
    for alias in ("one", "two"):
        project.write(
            f"protos/remote/{alias}/api.proto", f'syntax = "proto3"; package {alias}; message A {{ int32 x = 1; }}'
        )
    project.gen(aliases=("one", "two"))
    found = project.run(
        "from generated.remote.one import api_pb2 as one\nfrom generated.remote.two import api_pb2 as two\n"
        "print(one.A(x=1).x + two.A(x=2).x, one.A.DESCRIPTOR.full_name, two.A.DESCRIPTOR.full_name)"
    )
    assert found == "3 one.A two.A\n"


def test_symbols_of_one_name_in_files_of_different_names_do_not_meet(project: Project) -> None:
    project.write("protos/remote/one/a.proto", 'syntax = "proto3"; package p; message A { int32 x = 1; }')
    project.write("protos/remote/two/b.proto", 'syntax = "proto3"; package p; enum A { ZERO = 0; }')
    project.gen(aliases=("one", "two"))
    found = project.run(
        "from generated.remote.one import a_pb2\nfrom generated.remote.two import b_pb2\n"
        "print(a_pb2.A(x=1).x, b_pb2.A.Name(0))"
    )
    assert found == "1 ZERO\n"


def test_extensions_of_one_number_in_two_dependencies_do_not_meet(project: Project) -> None:
    for alias in ("one", "two"):
        project.write(
            f"protos/remote/{alias}/{alias}.proto",
            f'syntax = "proto2"; package {alias}; import "google/protobuf/descriptor.proto"; '
            "extend google.protobuf.FieldOptions { optional string note = 50001; } "
            'message A { optional int32 x = 1 [(note) = "n"]; }',
        )
    project.gen(aliases=("one", "two"))
    found = project.run(
        "from generated.remote.one import one_pb2\nfrom generated.remote.two import two_pb2\n"
        "print(one_pb2.A(x=1).x, two_pb2.A(x=2).x, one_pb2.note.number, two_pb2.note.number)"
    )
    assert found == "1 2 50001 50001\n"


def test_a_dependency_joins_a_pool_whole_or_not_at_all(project: Project) -> None:
    shared = 'syntax = "proto3"; package c; message Shared {{ {field} = 1; }}'
    own = 'syntax = "proto3"; package {name}; import "c.proto"; message A {{ c.Shared s = 1; }}'
    for alias, field in (("one", "int32 x"), ("two", "string x")):
        project.write(f"protos/remote/{alias}/c.proto", shared.format(field=field))
        project.write(f"protos/remote/{alias}/{alias}.proto", own.format(name=alias))
    project.gen(aliases=("one", "two"))
    found = project.run("""
from google.protobuf import descriptor_pool
from generated.remote.one import one_pb2
from generated.remote.two import two_pb2, c_pb2
print(one_pb2.A(s={"x": 1}).s.x, two_pb2.A(s=c_pb2.Shared(x="y")).s.x)
try:
    descriptor_pool.Default().FindFileByName("two.proto")
except KeyError:
    print("not in the default pool")
""")
    assert found.splitlines() == ["1 y", "not in the default pool"]


def test_two_generated_packages_live_in_one_process(project: Project, tmp_path: Path) -> None:
    other = Project(tmp_path / "other")
    project.write("protos/local/shop.proto", versioned("string id"))
    other.write("protos/local/shop.proto", versioned("int64 id"))
    project.gen(exports=("local/shop.proto",), output="left")
    other.gen(exports=("local/shop.proto",), output="right")
    found = project.run(
        """
import left.shop_actor, right.shop_actor
for package in (left, right):
    for route in package.shop_actor.ShopDispatcher.routes:
        print(route.request.DESCRIPTOR.full_name, route.request.DESCRIPTOR.fields_by_name.get("id") and
              route.request.DESCRIPTOR.fields_by_name["id"].type)
""",
        other.folder,
    )
    assert found.splitlines() == [
        "shop.Order 9",
        "google.protobuf.Empty None",
        "shop.Order 3",
        "google.protobuf.Empty None",
    ]


def test_modules_that_protoc_made_of_the_same_file_share_their_classes(project: Project) -> None:
    import subprocess
    import sys

    file = project.write("protos/local/shop.proto", versioned("string id"))
    project.gen()
    theirs = project.folder / "theirs"
    theirs.mkdir()
    subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", f"-I{file.parent}", f"--python_out={theirs}", "shop.proto"],
        check=True,
    )
    found = project.run(
        "import shop_pb2\nfrom generated.local import shop_pb2 as ours\n"
        "print(ours.Order is shop_pb2.Order, shop_pb2.Order.__module__, ours.Order.route_key)",
        theirs,
    )
    assert found == "True shop_pb2 shop.Shop.Buy\n"
