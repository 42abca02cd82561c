"""What a file declares, for people: names resolved, comments attached, maps and oneofs as they were written."""

from __future__ import annotations

from pathlib import Path

import pytest

from actrzmq.codegen.comments import outlines_of
from actrzmq.codegen.protoc import compile_protos
from actrzmq.codegen.sources import Source
from actrzmq.contracts.bundle import Contract, contract_file, contract_of
from actrzmq.contracts.outline import Outline, outline
from actrzmq.contracts.prototext import outline_text

OLD = """
// The file.
syntax = "proto2";
package old.things;
// A service.
service Store {
  rpc Put(Item) returns (Item) { option idempotency_level = NO_SIDE_EFFECTS; }
  rpc Pour(stream Item) returns (stream Item) { option deprecated = true; }
}
enum Level { LOW = -1; HIGH = 1 [deprecated = true]; }
message Item {
  option deprecated = true;
  // First line.
  //   indented
  required string id = 1 [default = "x"];
  optional Level level = 2;
  repeated Inner inner = 3;
  map<int32, Inner> by_number = 4;
  oneof one { string a = 5; Inner b = 6; }
  message Inner { enum Kind { NONE = 0; } }  // Behind.
  reserved 9, 20 to 29, 1000 to max;
  reserved "gone";
}
message Empty {}
"""

TEXT = """\
// A service.
service old.things.Store {
  rpc Put(old.things.Item) returns (old.things.Item) { option idempotency_level = NO_SIDE_EFFECTS; }
  rpc Pour(stream old.things.Item) returns (stream old.things.Item) { option deprecated = true; }
}

message old.things.Item {
  option deprecated = true;
  reserved 9;
  reserved 20 to 29;
  reserved 1000 to max;
  reserved "gone";
  message Inner {
    enum Kind {
      NONE = 0;
    }
  }
  // First line.
  //   indented
  required string id = 1 [default = "x"];
  optional old.things.Level level = 2;
  repeated old.things.Item.Inner inner = 3;
  map<int32, old.things.Item.Inner> by_number = 4;
  oneof one {
    string a = 5;
    old.things.Item.Inner b = 6;
  }
}

message old.things.Empty {}

enum old.things.Level {
  LOW = -1;
  HIGH = 1 [deprecated = true];
}"""


def contract(text: str, source: str | None = None) -> Contract:
    """A contract of one file, whose published source may be another one than that of its descriptor."""
    compiled = compile_protos({"a.proto": Source("a.proto", "a.proto", Path("a.proto"), text)})
    return contract_of([contract_file("a.proto", text if source is None else source, compiled["a.proto"])])


def read(text: str) -> Outline:
    compiled = compile_protos({"a.proto": Source("a.proto", "a.proto", Path("a.proto"), text)})
    return outline(compiled["a.proto"])


def test_a_file_reads_as_it_was_written_with_full_names() -> None:
    assert outline_text(read(OLD)) == TEXT


def test_all_messages_and_enums_are_found_those_inside_too() -> None:
    found = read(OLD)
    assert found.doc == "The file."
    assert [message.name for message in found.all_messages()] == [
        "old.things.Item",
        "old.things.Item.Inner",
        "old.things.Empty",
    ]
    assert [enum.name for enum in found.all_enums()] == ["old.things.Level", "old.things.Item.Inner.Kind"]


def test_in_proto3_only_what_says_optional_is_optional() -> None:
    (message,) = read(
        'syntax = "proto3"; message A { optional int32 a = 1; int32 b = 2; repeated int32 c = 3; }'
    ).messages
    assert [(field.label, field.oneof) for field in message.fields] == [("optional", ""), ("", ""), ("repeated", "")]


def test_without_a_package_names_stand_alone() -> None:
    found = read('syntax = "proto3"; message A {} service S { rpc M(A) returns (A); }')
    assert (found.messages[0].name, found.services[0].methods[0].route_key) == ("A", "S.M")


def test_a_published_contract_has_the_comments_of_its_source() -> None:
    (found,) = outlines_of(contract(OLD))
    assert found.services[0].doc == "A service."


@pytest.mark.parametrize("source", ["nonsense", OLD.replace("string a = 5", "bytes a = 5")])
def test_a_source_that_says_something_else_is_not_believed(source: str) -> None:
    (found,) = outlines_of(contract(OLD, source.replace("// A service.", "// Lies.")))
    assert found.services[0].doc == ""
    assert outline_text(found).splitlines()[0] == "service old.things.Store {"
