"""Two contracts with the same fingerprint mean the same; nothing but meaning changes one."""

from __future__ import annotations

import json

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actrzmq.contracts.fingerprint import canonical_file, file_fingerprint, service_fingerprint
from tests.codegen.protos import STREAM_SERVER, compiled

GOLDEN_FILE = "semantic:ebcc9ee84bfc0610aea904fdc44d5eb7ef584fccd6d5498c1a22cd30ecec8355"
GOLDEN_SERVICE = "service_semantic:8cd6382d374752af9f3ad1488cb4d465dd0fc1a8e22b69eee6e5a75d793d0708"


def fingerprint(text: str) -> str:
    return file_fingerprint(compiled(a=text)["a.proto"])


def proto2(body: str) -> str:
    return fingerprint(f'syntax = "proto2"; package p; {body}')


def proto3(body: str) -> str:
    return fingerprint(f'syntax = "proto3"; package p; {body}')


def edition(body: str) -> str:
    return fingerprint(f'edition = "2023"; package p; {body}')


def test_the_stream_server_has_the_fingerprints_that_other_implementations_compute() -> None:
    found = fingerprint(STREAM_SERVER)
    assert found == GOLDEN_FILE
    assert service_fingerprint([("stream_server.proto", file_fingerprint(compiled(a=STREAM_SERVER)["a.proto"]))]) == (
        GOLDEN_SERVICE
    )


def test_a_file_is_hashed_with_the_keys_and_in_the_order_that_formats_list() -> None:
    text = """
        syntax = "proto3";
        package p;
        import "google/protobuf/timestamp.proto";
        import "google/protobuf/empty.proto";
        message B {
          reserved 9, 4 to 6;
          reserved "z", "a";
          string b_name = 2;
          oneof kind { int32 number = 1 [deprecated = true]; google.protobuf.Timestamp at = 3; }
          repeated int32 many = 8 [packed = false, json_name = "lots"];
          message Inner {}
          enum Color { RED = 0; GREEN = 1; }
          optional bool flag = 10;
        }
        message A { B b = 1; }
        service S {
          rpc Two(A) returns (google.protobuf.Empty) { option idempotency_level = IDEMPOTENT; }
          rpc One(stream A) returns (stream B);
        }
    """
    expected = {
        "package": "p",
        "syntax": "proto3",
        "imports": ["google/protobuf/empty.proto", "google/protobuf/timestamp.proto"],
        "messages": [
            {
                "name": "A",
                "fields": [
                    {
                        "name": "b",
                        "number": 1,
                        "type_name": ".p.B",
                        "json_name": "b",
                        "options": {"json_name": "b"},
                    }
                ],
            },
            {
                "name": "B",
                "fields": [
                    {
                        "name": "number",
                        "number": 1,
                        "type_name": "int32",
                        "oneof_index": 0,
                        "json_name": "number",
                        "deprecated": True,
                        "options": {"deprecated": "true", "json_name": "number"},
                    },
                    {
                        "name": "b_name",
                        "number": 2,
                        "type_name": "string",
                        "json_name": "bName",
                        "options": {"json_name": "bName"},
                    },
                    {
                        "name": "at",
                        "number": 3,
                        "type_name": ".google.protobuf.Timestamp",
                        "oneof_index": 0,
                        "json_name": "at",
                        "options": {"json_name": "at"},
                    },
                    {
                        "name": "many",
                        "number": 8,
                        "label": "repeated",
                        "type_name": "int32",
                        "json_name": "lots",
                        "options": {"json_name": "lots", "packed": "false"},
                    },
                    {
                        "name": "flag",
                        "number": 10,
                        "type_name": "bool",
                        "oneof_index": 1,
                        "json_name": "flag",
                        "options": {"json_name": "flag"},
                    },
                ],
                "nested_messages": [{"name": "Inner"}],
                "nested_enums": [
                    {"name": "Color", "values": [{"name": "RED", "number": 0}, {"name": "GREEN", "number": 1}]}
                ],
                "oneofs": ["kind", "_flag"],
                "reserved_ranges": [{"start": 4, "end": 7}, {"start": 9, "end": 10}],
                "reserved_names": [{"name": "a"}, {"name": "z"}],
            },
        ],
        "services": [
            {
                "name": "S",
                "methods": [
                    {
                        "name": "One",
                        "input_type": ".p.A",
                        "output_type": ".p.B",
                        "client_streaming": True,
                        "server_streaming": True,
                    },
                    {
                        "name": "Two",
                        "input_type": ".p.A",
                        "output_type": ".google.protobuf.Empty",
                        "idempotency_level": "IDEMPOTENT",
                    },
                ],
            }
        ],
    }
    assert json.dumps(canonical_file(compiled(a=text)["a.proto"])) == json.dumps(expected)


def test_a_plain_map_has_no_key_beyond_those_of_its_entry() -> None:
    text = 'syntax = "proto3"; message A { map<string, int32> m = 1; }'
    (message,) = canonical_file(compiled(a=text)["a.proto"])["messages"]
    (entry,) = message["nested_messages"]
    assert list(entry) == ["name", "fields"]


def test_an_ordinary_message_called_entry_has_no_key_beyond_the_listed_ones() -> None:
    text = """
        syntax = "proto3";
        message CacheEntry { string key = 1; string value = 2; }
        message A {
          message Entry { string key = 1; string value = 2; }
          repeated Entry all = 1;
          repeated CacheEntry b = 2;
        }
    """
    for message in canonical_file(compiled(a=text)["a.proto"])["messages"]:
        assert set(message) <= {"name", "fields", "nested_messages"}


CHANGES = {
    "a map is not a list of entries": (
        proto3,
        "message A { map<string, int32> foo = 1; }",
        "message A { message FooEntry { string key = 1; int32 value = 2; } repeated FooEntry foo = 1; }",
    ),
    "optional is not implicit": (proto3, "message A { int32 a = 1; }", "message A { optional int32 a = 1; }"),
    "a group is not a message": (
        proto2,
        "message A { optional group Foo = 1 { optional int32 x = 1; } }",
        "message A { message Foo { optional int32 x = 1; } optional Foo foo = 1; }",
    ),
    "required is not optional": (proto2, "message A { required int32 a = 1; }", "message A { optional int32 a = 1; }"),
    "a default counts": (
        proto2,
        "message A { optional int32 a = 1; }",
        "message A { optional int32 a = 1 [default = 5]; }",
    ),
    "packing counts": (
        proto2,
        "message A { repeated int32 a = 1; }",
        "message A { repeated int32 a = 1 [packed = true]; }",
    ),
    "an extension counts": (
        proto2,
        "message A { extensions 100 to 200; }",
        "message A { extensions 100 to 200; } extend A { optional int32 x = 100; }",
    ),
    "the number of an extension counts": (
        proto2,
        "message A { extensions 100 to 200; } extend A { optional int32 x = 100; }",
        "message A { extensions 100 to 200; } extend A { optional int32 x = 101; }",
    ),
    "what an extension extends counts": (
        proto2,
        "message A { extensions 100; } message B { extensions 100; } extend A { optional int32 x = 100; }",
        "message A { extensions 100; } message B { extensions 100; } extend B { optional int32 x = 100; }",
    ),
    "an extension in a message counts": (
        proto2,
        "message A { extensions 100 to 200; } message B { extend A { optional int32 x = 100; } }",
        "message A { extensions 100 to 200; } message B { }",
    ),
    "the message set format counts": (
        proto2,
        "message A { extensions 4 to 9; }",
        "message A { option message_set_wire_format = true; extensions 4 to 9; }",
    ),
    "the first value of a closed enum is its default": (
        proto2,
        "enum E { A = 1; B = 0; }",
        "enum E { B = 0; A = 1; }",
    ),
    "idempotency counts": (
        proto3,
        "message A {} service S { rpc M(A) returns (A); }",
        "message A {} service S { rpc M(A) returns (A) { option idempotency_level = NO_SIDE_EFFECTS; } }",
    ),
    "streaming counts": (
        proto3,
        "message A {} service S { rpc M(A) returns (A); }",
        "message A {} service S { rpc M(A) returns (stream A); }",
    ),
    "a reserved number counts": (proto3, "message A {}", "message A { reserved 1; }"),
    "the order of oneofs counts": (
        proto3,
        "message A { oneof a { int32 x = 1; } oneof b { int32 y = 2; } }",
        "message A { oneof b { int32 y = 2; } oneof a { int32 x = 1; } }",
    ),
    "implicit presence in an edition counts": (
        edition,
        "message A { int32 a = 1; }",
        "message A { int32 a = 1 [features.field_presence = IMPLICIT]; }",
    ),
    "required in an edition counts": (
        edition,
        "message A { int32 a = 1; }",
        "message A { int32 a = 1 [features.field_presence = LEGACY_REQUIRED]; }",
    ),
    "delimited messages in an edition count": (
        edition,
        "message A { A a = 1; }",
        "message A { A a = 1 [features.message_encoding = DELIMITED]; }",
    ),
    "expanded numbers in an edition count": (
        edition,
        "message A { repeated int32 a = 1; }",
        "option features.repeated_field_encoding = EXPANDED; message A { repeated int32 a = 1; }",
    ),
    "unchecked strings in an edition count": (
        edition,
        "message A { string a = 1; }",
        "option features.utf8_validation = NONE; message A { string a = 1; }",
    ),
    "a closed enum in an edition counts": (
        edition,
        "enum E { A = 0; }",
        "enum E { option features.enum_type = CLOSED; A = 0; }",
    ),
    "delimited in a oneof is inherited": (
        edition,
        "message A { oneof o { A a = 1; } }",
        "option features.message_encoding = DELIMITED; message A { oneof o { A a = 1; } }",
    ),
}

SAMENESS = {
    "comments and layout": (
        proto3,
        "message A { int32 a = 1; }",
        "// Of A.\nmessage A {\n\n  /* this */ int32 a = 1; // that\n}",
    ),
    "the order of everything that has a name or number": (
        proto3,
        "enum E { X = 0; Y = 1; } message A { int32 a = 1; E b = 2; } message B {} "
        "service S { rpc M(A) returns (B); rpc N(A) returns (B); }",
        "service S { rpc N(A) returns (B); rpc M(A) returns (B); } message B {} "
        "message A { E b = 2; int32 a = 1; } enum E { X = 0; Y = 1; }",
    ),
    "options for other languages": (
        proto3,
        "message A { string a = 1; }",
        'option java_package = "x"; option go_package = "y"; option optimize_for = SPEED; '
        "message A { string a = 1 [ctype = CORD, debug_redact = true]; }",
    ),
    "custom options": (
        proto2,
        'import "google/protobuf/descriptor.proto"; extend google.protobuf.FieldOptions { optional int32 z = 5000; } '
        "message A { optional int32 a = 1; }",
        'import "google/protobuf/descriptor.proto"; extend google.protobuf.FieldOptions { optional int32 z = 5000; } '
        "message A { optional int32 a = 1 [(z) = 3]; }",
    ),
    "room for extensions": (proto2, "message A { }", "message A { extensions 100 to 200; }"),
    "the JSON name that it has anyway": (
        proto3,
        "message A { int32 some_name = 1; }",
        'message A { int32 some_name = 1 [json_name = "someName"]; }',
    ),
    "what is said to be false": (
        proto3,
        "message A { int32 a = 1; }",
        "message A { option deprecated = false; int32 a = 1 [deprecated = false]; }",
    ),
    "features that hold anyway": (
        edition,
        "message A { repeated int32 a = 1; A b = 2; string c = 3; }",
        "option features.field_presence = EXPLICIT; option features.message_encoding = LENGTH_PREFIXED; "
        "message A { repeated int32 a = 1 [features.repeated_field_encoding = PACKED]; A b = 2; string c = 3; }",
    ),
    "where a feature is said": (
        edition,
        "option features.message_encoding = DELIMITED; message A { A a = 1; }",
        "message A { A a = 1 [features.message_encoding = DELIMITED]; }",
    ),
    "features that a field can't have": (
        edition,
        "message A { map<string, A> a = 1; int32 b = 2; repeated string c = 3; }",
        "option features.message_encoding = DELIMITED; option features.repeated_field_encoding = EXPANDED; "
        "message A { map<string, A> a = 1; int32 b = 2; repeated string c = 3; }",
    ),
    "presence in a oneof": (
        edition,
        "message A { oneof o { int32 a = 1; } }",
        "option features.field_presence = IMPLICIT; message A { oneof o { int32 a = 1; } }",
    ),
    "features about names and JSON": (
        edition,
        "message A { }",
        "option features.json_format = LEGACY_BEST_EFFORT; message A { }",
    ),
    "negative and aliased values in another order": (
        proto3,
        "enum E { option allow_alias = true; A = 0; B = -1; C = 0; }",
        "enum E { option allow_alias = true; A = 0; C = 0; B = -1; }",
    ),
}


@pytest.mark.parametrize("case", CHANGES)
def test_what_changes_meaning_changes_the_fingerprint(case: str) -> None:
    make, one, other = CHANGES[case]
    assert make(one) != make(other)


@pytest.mark.parametrize("case", SAMENESS)
def test_what_does_not_change_meaning_leaves_the_fingerprint_alone(case: str) -> None:
    make, one, other = SAMENESS[case]
    assert make(one) == make(other)


def test_the_syntax_counts_and_an_absent_one_is_proto2() -> None:
    assert fingerprint("message A { }") == fingerprint('syntax = "proto2"; message A { }')
    assert fingerprint("message A { }") != fingerprint('syntax = "proto3"; message A { }')


def test_text_beyond_ascii_is_hashed_as_utf8() -> None:
    text = 'syntax = "proto2"; message A { optional string a = 1 [default = "grüße"]; }'
    assert "grüße" in json.dumps(canonical_file(compiled(a=text)["a.proto"]), ensure_ascii=False)


def test_a_service_fingerprint_goes_by_base_names_in_order() -> None:
    one, other = proto3("message A {}"), proto3("message B {}")
    files = [("x/b.proto", file_fingerprint(_proto("B"))), ("y/a.proto", file_fingerprint(_proto("A")))]
    moved = [("a.proto", files[1][1]), ("b.proto", files[0][1])]
    assert one != other
    assert service_fingerprint(files) == service_fingerprint(moved)
    assert service_fingerprint(files) != service_fingerprint([("b.proto", files[1][1]), ("a.proto", files[0][1])])


def _proto(name: str) -> FileDescriptorProto:
    file = FileDescriptorProto(name="a.proto", syntax="proto3")
    file.message_type.add(name=name)
    return file


RICH = compiled(
    a="""
        syntax = "proto2";
        package p;
        import "google/protobuf/any.proto";
        import "google/protobuf/empty.proto";
        message A {
          optional int32 a = 1; repeated B b = 2; required string c = 3; map<string, A> d = 4;
          reserved 20, 30 to 40; reserved "x", "y", "z"; extensions 100 to 200;
          message N { optional E e = 1; } message M { } enum F { P = 3; } enum G { Q = 4; }
          extend A { optional int32 x1 = 101; repeated int32 x2 = 102; }
        }
        message B { optional double z = 9; optional float y = 8; }
        enum E { ONE = 1; TWO = 2; THREE = 3; }
        enum H { ZERO = 0; TEN = 10; }
        extend A { optional B y1 = 110; optional B y2 = 111; }
        service S { rpc M1(A) returns (B); rpc M2(B) returns (A); }
        service T { rpc M1(A) returns (B); }
    """
)["a.proto"]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.randoms(use_true_random=False))
def test_no_order_of_declarations_changes_the_fingerprint(random: object) -> None:
    shuffled = FileDescriptorProto()
    shuffled.CopyFrom(RICH)
    _shuffle(shuffled, random)
    assert file_fingerprint(shuffled) == file_fingerprint(RICH)


def _shuffle(element: object, random: object) -> None:
    """Shuffle all repeated fields whose order has no meaning, all the way down."""
    # oneofs are absent here; the first value of an enum is its default and stays.
    for field, values in element.ListFields():  # type: ignore[attr-defined]
        if not field.is_repeated:
            continue
        items = list(values)
        if field.name == "value":
            head, tail = items[:1], items[1:]
            random.shuffle(tail)  # type: ignore[attr-defined]
            items = head + tail
        elif field.name not in ("oneof_decl", "location", "path", "span"):
            random.shuffle(items)  # type: ignore[attr-defined]
        items = [_copy(item) for item in items]
        element.ClearField(field.name)  # type: ignore[attr-defined]
        getattr(element, field.name).extend(items)
        if field.message_type is not None:
            for item in getattr(element, field.name):
                _shuffle(item, random)


def _copy(item: object) -> object:
    if not hasattr(item, "CopyFrom"):
        return item
    fresh = type(item)()
    fresh.CopyFrom(item)  # type: ignore[attr-defined]
    return fresh
