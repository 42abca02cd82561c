"""Calls by a contract alone: JSON to bytes and back, in a pool that knows nothing but the contract."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from actrzmq.codegen.protoc import compile_protos
from actrzmq.codegen.sources import Source
from actrzmq.contracts.bundle import contract_file, contract_of
from actrzmq.contracts.untyped import Untyped
from actrzmq.errors import ActrConfigError, ActrDecodeError

FILES = {
    # The importer comes first in the order of paths.
    "a.proto": """
        syntax = "proto3"; package a; import "b.proto"; import "google/protobuf/struct.proto";
        import "google/protobuf/wrappers.proto"; import "google/protobuf/any.proto";
        import "google/protobuf/empty.proto";
        service Svc {
          rpc Say(b.Thing) returns (b.Thing);
          rpc Free(google.protobuf.Value) returns (google.protobuf.Value);
          rpc Nothing(google.protobuf.Empty) returns (Wide);
          rpc Pour(stream b.Thing) returns (b.Thing);
        }
        message Wide {
          google.protobuf.Any any = 1; google.protobuf.Int64Value maybe = 2; google.protobuf.Struct open = 3;
        }
    """,
    "b.proto": 'syntax = "proto3"; package b; message Thing { string some_name = 1; Thing inner = 2; }',
}


@pytest.fixture
def untyped() -> Untyped:
    compiled = compile_protos({path: Source(path, path, Path(path), text) for path, text in FILES.items()})
    return Untyped(contract_of(contract_file(path, text, compiled[path]) for path, text in FILES.items()))


def test_methods_go_by_their_route_keys(untyped: Untyped) -> None:
    assert untyped.route_keys == ("a.Svc.Say", "a.Svc.Free", "a.Svc.Nothing", "a.Svc.Pour")


@pytest.mark.parametrize("name", ["some_name", "someName"])
def test_a_name_may_be_spelled_both_ways_and_comes_back_as_in_the_file(untyped: Untyped, name: str) -> None:
    body = untyped.encode("a.Svc.Say", json.dumps({name: "x", "inner": {name: "y"}}))
    assert json.loads(untyped.decode("a.Svc.Say", body)) == {"some_name": "x", "inner": {"some_name": "y"}}


@pytest.mark.parametrize("text", ["5.0", '"x"', "[1.0, null]", '{"a": {}}', "true"])
def test_a_well_known_type_takes_the_json_that_it_stands_for(untyped: Untyped, text: str) -> None:
    assert json.loads(untyped.decode("a.Svc.Free", untyped.encode("a.Svc.Free", text))) == json.loads(text)


def test_what_is_in_any_is_found_in_the_contract(untyped: Untyped) -> None:
    url = b"type.googleapis.com/b.Thing"
    packed = bytes([0x0A, len(url)]) + url + b"\x12\x03\x0a\x01x"
    body = bytes([0x0A, len(packed)]) + packed
    assert json.loads(untyped.decode("a.Svc.Nothing", body)) == {
        "any": {"@type": "type.googleapis.com/b.Thing", "some_name": "x"}
    }


def test_what_is_in_any_and_in_no_contract_is_an_error_in_words(untyped: Untyped) -> None:
    url = b"type.googleapis.com/c.Gone"
    body = bytes([0x0A, len(url) + 2, 0x0A, len(url)]) + url
    with pytest.raises(ActrDecodeError, match="another version of the contract"):
        untyped.decode("a.Svc.Nothing", body)


def test_bytes_that_are_no_message_are_an_error_in_words(untyped: Untyped) -> None:
    with pytest.raises(ActrDecodeError, match=r"a\.Svc\.Say can't be shown as a b\.Thing"):
        untyped.decode("a.Svc.Say", b"\xff\xff\xff")


def test_a_streaming_method_can_not_be_called(untyped: Untyped) -> None:
    with pytest.raises(ActrConfigError, match="stream"):
        untyped.encode("a.Svc.Pour", "{}")


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '{"inner": 4}', '{"some_name": []}', '{"inner":' * 30_000])
def test_json_that_does_not_fit_names_the_message(untyped: Untyped, text: str) -> None:
    with pytest.raises(ActrConfigError, match=r"the JSON is no b\.Thing: ") as raised:
        untyped.encode("a.Svc.Say", text)
    assert "\n" not in raised.value.message
