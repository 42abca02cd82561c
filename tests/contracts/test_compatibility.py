"""What breaks is found and named, at the level where it breaks, and nothing else is."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from actrzmq.contracts.breaking import pairs
from actrzmq.contracts.bundle import Contract, contract_file, contract_of
from actrzmq.contracts.compatibility import Level, Verdict, compare, judge
from tests.contracts.schemas import of, schema

BOTH = "FILE WIRE"
FILE = "FILE"
WIRE = "WIRE"

Expected = Mapping[str, str]
Case = tuple[str, str, str, Expected, Expected]

ENUM = "enum E { ZERO = 0; ONE = 1; } "
SERVICE = "message A {} message B { int32 b = 1; } "

# Of each case: the syntax, two versions, and what each breaks of the other: "RULE element" and the levels.
CASES: dict[str, Case] = {
    "a message": (
        "proto3",
        "message A { int32 a = 1; } message B { string b = 1; }",
        "message A { int32 a = 1; }",
        {"MESSAGE_NO_DELETE p.B": BOTH},
        {},
    ),
    "a nested message": (
        "proto3",
        "message A { message B { string b = 1; } }",
        "message A {}",
        {"MESSAGE_NO_DELETE p.A.B": BOTH},
        {},
    ),
    "an enum": ("proto3", ENUM, "", {"ENUM_NO_DELETE p.E": BOTH}, {}),
    "a nested enum": (
        "proto3",
        "message A { enum E { ZERO = 0; } }",
        "message A {}",
        {"ENUM_NO_DELETE p.A.E": BOTH},
        {},
    ),
    "a service": (
        "proto3",
        SERVICE + "service S { rpc M(A) returns (B); }",
        SERVICE,
        {"SERVICE_NO_DELETE p.S": BOTH},
        {},
    ),
    "a service with another name": (
        "proto3",
        SERVICE + "service S {}",
        SERVICE + "service T {}",
        {"SERVICE_NO_DELETE p.S": BOTH},
        {"SERVICE_NO_DELETE p.T": BOTH},
    ),
    "a method": (
        "proto3",
        SERVICE + "service S { rpc M(A) returns (B); rpc N(A) returns (B); }",
        SERVICE + "service S { rpc M(A) returns (B); }",
        {"RPC_NO_DELETE p.S.N": BOTH},
        {},
    ),
    "a request of another type": (
        "proto3",
        SERVICE + "service S { rpc M(A) returns (B); }",
        SERVICE + "service S { rpc M(B) returns (B); }",
        {"RPC_SAME_REQUEST_TYPE p.S.M": FILE},  # all that A has, nothing, is there in B as well
        {"RPC_SAME_REQUEST_TYPE p.S.M": BOTH},
    ),
    "a response of another type": (
        "proto3",
        SERVICE + "message C { string b = 1; } service S { rpc M(A) returns (B); }",
        SERVICE + "message C { string b = 1; } service S { rpc M(A) returns (C); }",
        {"RPC_SAME_RESPONSE_TYPE p.S.M": BOTH},
        {"RPC_SAME_RESPONSE_TYPE p.S.M": BOTH},
    ),
    "a response that is one of protobuf's own": (
        "proto3",
        'import "google/protobuf/empty.proto"; message A {} service S { rpc M(A) returns (A); }',
        'import "google/protobuf/empty.proto"; message A {} service S { rpc M(A) returns (google.protobuf.Empty); }',
        {"RPC_SAME_RESPONSE_TYPE p.S.M": BOTH},
        {"RPC_SAME_RESPONSE_TYPE p.S.M": BOTH},
    ),
    "a stream from the client": (
        "proto3",
        SERVICE + "service S { rpc M(A) returns (B); }",
        SERVICE + "service S { rpc M(stream A) returns (B); }",
        {"RPC_SAME_CLIENT_STREAMING p.S.M": BOTH},
        {"RPC_SAME_CLIENT_STREAMING p.S.M": BOTH},
    ),
    "a stream from the server": (
        "proto3",
        SERVICE + "service S { rpc M(A) returns (B); }",
        SERVICE + "service S { rpc M(A) returns (stream B); }",
        {"RPC_SAME_SERVER_STREAMING p.S.M": BOTH},
        {"RPC_SAME_SERVER_STREAMING p.S.M": BOTH},
    ),
    "a method that may be repeated": (
        "proto3",
        SERVICE + "service S { rpc M(A) returns (B) { option idempotency_level = IDEMPOTENT; } }",
        SERVICE + "service S { rpc M(A) returns (B); }",
        {"RPC_SAME_IDEMPOTENCY_LEVEL p.S.M": BOTH},
        {"RPC_SAME_IDEMPOTENCY_LEVEL p.S.M": FILE},
    ),
    "a method without side effects": (
        "proto3",
        SERVICE + "service S { rpc M(A) returns (B) { option idempotency_level = NO_SIDE_EFFECTS; } }",
        SERVICE + "service S { rpc M(A) returns (B) { option idempotency_level = IDEMPOTENT; } }",
        {"RPC_SAME_IDEMPOTENCY_LEVEL p.S.M": BOTH},
        {"RPC_SAME_IDEMPOTENCY_LEVEL p.S.M": FILE},
    ),
    "a field": (
        "proto3",
        "message A { int32 a = 1; int32 b = 2; }",
        "message A { int32 a = 1; }",
        {"FIELD_NO_DELETE p.A.b": BOTH},
        {},
    ),
    "a field whose number is reserved": (
        "proto3",
        "message A { int32 a = 1; int32 b = 2; }",
        "message A { int32 a = 1; reserved 2; reserved 'b'; }",
        {"FIELD_NO_DELETE p.A.b": BOTH},
        {"RESERVED_MESSAGE_NO_DELETE p.A": BOTH},
    ),
    "a field of a nested message": (
        "proto3",
        "message A { message B { message C { int32 c = 1; } } }",
        "message A { message B { message C {} } }",
        {"FIELD_NO_DELETE p.A.B.C.c": BOTH},
        {},
    ),
    "a field with another number": (
        "proto3",
        "message A { int32 a = 1; }",
        "message A { int32 a = 2; }",
        {"FIELD_NO_DELETE p.A.a": BOTH},
        {"FIELD_NO_DELETE p.A.a": BOTH},
    ),
    "two fields that change places": (
        "proto3",
        "message A { int32 a = 1; int32 b = 2; }",
        "message A { int32 b = 1; int32 a = 2; }",
        {"FIELD_SAME_NAME p.A.a": BOTH, "FIELD_SAME_NAME p.A.b": BOTH},
        {"FIELD_SAME_NAME p.A.a": BOTH, "FIELD_SAME_NAME p.A.b": BOTH},
    ),
    "a field with another name": (
        "proto3",
        "message A { int32 a = 1; }",
        "message A { int32 b = 1; }",
        {"FIELD_SAME_NAME p.A.a": FILE},
        {"FIELD_SAME_NAME p.A.b": FILE},
    ),
    "a field with another name in JSON": (
        "proto3",
        "message A { int32 a = 1; }",
        'message A { int32 a = 1 [json_name = "x"]; }',
        {"FIELD_SAME_JSON_NAME p.A.a": FILE},
        {"FIELD_SAME_JSON_NAME p.A.a": FILE},
    ),
    "another scalar": (
        "proto3",
        "message A { int32 a = 1; }",
        "message A { string a = 1; }",
        {"FIELD_SAME_TYPE p.A.a": FILE, "FIELD_WIRE_COMPATIBLE_TYPE p.A.a": WIRE},
        {"FIELD_SAME_TYPE p.A.a": FILE, "FIELD_WIRE_COMPATIBLE_TYPE p.A.a": WIRE},
    ),
    "a scalar whose values may be cut": (
        "proto3",
        "message A { int32 a = 1; }",
        "message A { int64 a = 1; }",
        {"FIELD_SAME_TYPE p.A.a": BOTH},
        {"FIELD_SAME_TYPE p.A.a": BOTH},
    ),
    "bytes that were text": (
        "proto3",
        "message A { string a = 1; }",
        "message A { bytes a = 1; }",
        {"FIELD_SAME_TYPE p.A.a": BOTH},
        {"FIELD_SAME_TYPE p.A.a": BOTH},
    ),
    "another encoding of the same numbers": (
        "proto3",
        "message A { int32 a = 1; }",
        "message A { sint32 a = 1; }",
        {"FIELD_SAME_TYPE p.A.a": FILE, "FIELD_WIRE_COMPATIBLE_TYPE p.A.a": WIRE},
        {"FIELD_SAME_TYPE p.A.a": FILE, "FIELD_WIRE_COMPATIBLE_TYPE p.A.a": WIRE},
    ),
    "an enum that was a number": (
        "proto3",
        ENUM + "message A { int32 a = 1; }",
        ENUM + "message A { E a = 1; }",
        {"FIELD_SAME_TYPE p.A.a": BOTH},
        {"FIELD_SAME_TYPE p.A.a": BOTH},
    ),
    "a message that was bytes": (
        "proto3",
        "message A { bytes a = 1; }",
        "message A { A a = 1; }",
        {"FIELD_SAME_TYPE p.A.a": FILE, "FIELD_WIRE_COMPATIBLE_TYPE p.A.a": WIRE},
        {"FIELD_SAME_TYPE p.A.a": FILE, "FIELD_WIRE_COMPATIBLE_TYPE p.A.a": WIRE},
    ),
    "another message": (
        "proto3",
        "message A { B a = 1; } message B { int32 x = 1; } message C { string x = 1; }",
        "message A { C a = 1; } message B { int32 x = 1; } message C { string x = 1; }",
        {"FIELD_SAME_TYPE p.A.a": FILE, "FIELD_WIRE_COMPATIBLE_TYPE p.A.a": WIRE},
        {"FIELD_SAME_TYPE p.A.a": FILE, "FIELD_WIRE_COMPATIBLE_TYPE p.A.a": WIRE},
    ),
    "another enum": (
        "proto3",
        "message A { E a = 1; } enum E { X = 0; Y = 1; } enum F { P = 0; Q = 2; }",
        "message A { F a = 1; } enum E { X = 0; Y = 1; } enum F { P = 0; Q = 2; }",
        {"FIELD_SAME_TYPE p.A.a": FILE, "FIELD_WIRE_COMPATIBLE_TYPE p.A.a": WIRE},
        {"FIELD_SAME_TYPE p.A.a": FILE, "FIELD_WIRE_COMPATIBLE_TYPE p.A.a": WIRE},
    ),
    "a message with another name": (
        "proto3",
        "message A { B a = 1; repeated B as = 2; } message B { int32 x = 1; B b = 2; } "
        "service S { rpc M(B) returns (A); }",
        "message A { C a = 1; repeated C as = 2; } message C { int32 y = 1; C b = 2; } "
        "service S { rpc M(C) returns (A); }",
        {
            "MESSAGE_NO_DELETE p.B": FILE,
            "FIELD_SAME_TYPE p.A.a": FILE,
            "FIELD_SAME_TYPE p.A.as": FILE,
            "RPC_SAME_REQUEST_TYPE p.S.M": FILE,
        },
        {
            "MESSAGE_NO_DELETE p.C": FILE,
            "FIELD_SAME_TYPE p.A.a": FILE,
            "FIELD_SAME_TYPE p.A.as": FILE,
            "RPC_SAME_REQUEST_TYPE p.S.M": FILE,
        },
    ),
    "a message with another name, in which something renamed breaks": (
        "proto3",
        "message A { B a = 1; } message B { C b = 1; } message C { B back = 1; int32 x = 2; }",
        "message A { D a = 1; } message D { E b = 1; } message E { D back = 1; string x = 2; }",
        {
            "MESSAGE_NO_DELETE p.B": FILE,
            "MESSAGE_NO_DELETE p.C": FILE,
            "FIELD_SAME_TYPE p.A.a": FILE,
            "FIELD_WIRE_COMPATIBLE_TYPE p.A.a": WIRE,
        },
        {
            "MESSAGE_NO_DELETE p.D": FILE,
            "MESSAGE_NO_DELETE p.E": FILE,
            "FIELD_SAME_TYPE p.A.a": FILE,
            "FIELD_WIRE_COMPATIBLE_TYPE p.A.a": WIRE,
        },
    ),
    "a message that nothing refers to, with another name": (
        "proto3",
        "message Frame { bytes data = 1; Part part = 2; } message Part { int32 x = 1; }",
        "message Chunk { bytes body = 1; Piece part = 2; } message Piece { int32 x = 1; }",
        {"MESSAGE_NO_DELETE p.Frame": FILE, "MESSAGE_NO_DELETE p.Part": FILE},
        {"MESSAGE_NO_DELETE p.Chunk": FILE, "MESSAGE_NO_DELETE p.Piece": FILE},
    ),
    "an enum with another name": (
        "proto3",
        "message A { E a = 1; } enum E { X = 0; Y = 1; }",
        "message A { F a = 1; } enum F { P = 0; Q = 1; R = 2; }",
        {"ENUM_NO_DELETE p.E": FILE, "FIELD_SAME_TYPE p.A.a": FILE},
        {"ENUM_NO_DELETE p.F": FILE, "FIELD_SAME_TYPE p.A.a": FILE, "FIELD_WIRE_COMPATIBLE_TYPE p.A.a": WIRE},
    ),
    "a message that moved out of another": (
        "proto3",
        "message A { B b = 1; message B { int32 x = 1; } }",
        "message A { B b = 1; } message B { int32 x = 1; }",
        {"MESSAGE_NO_DELETE p.A.B": FILE, "FIELD_SAME_TYPE p.A.b": FILE},
        {"MESSAGE_NO_DELETE p.B": FILE, "FIELD_SAME_TYPE p.A.b": FILE},
    ),
    "an enum that is a message now": (
        "proto3",
        "enum E { X = 0; } message A { E e = 1; }",
        "message E {} message A { E e = 1; }",
        {"ENUM_NO_DELETE p.E": BOTH, "FIELD_SAME_TYPE p.A.e": FILE, "FIELD_WIRE_COMPATIBLE_TYPE p.A.e": WIRE},
        {"MESSAGE_NO_DELETE p.E": BOTH, "FIELD_SAME_TYPE p.A.e": FILE, "FIELD_WIRE_COMPATIBLE_TYPE p.A.e": WIRE},
    ),
    "a group": (
        "proto2",
        "message A { optional group B = 1 { optional int32 x = 1; } }",
        "message A { optional B b = 1; message B { optional int32 x = 1; } }",
        {"FIELD_SAME_TYPE p.A.b": FILE, "FIELD_WIRE_COMPATIBLE_TYPE p.A.b": WIRE},
        {"FIELD_SAME_TYPE p.A.b": FILE, "FIELD_WIRE_COMPATIBLE_TYPE p.A.b": WIRE},
    ),
    "what is in a group": (
        "proto2",
        "message A { optional group B = 1 { optional int32 x = 1; } }",
        "message A { optional group B = 1 { optional fixed32 x = 1; } }",
        {"FIELD_SAME_TYPE p.A.B.x": FILE, "FIELD_WIRE_COMPATIBLE_TYPE p.A.B.x": WIRE},
        {"FIELD_SAME_TYPE p.A.B.x": FILE, "FIELD_WIRE_COMPATIBLE_TYPE p.A.B.x": WIRE},
    ),
    "delimited messages": (
        "edition",
        "message A { A a = 1; }",
        "message A { A a = 1 [features.message_encoding = DELIMITED]; }",
        {"FIELD_SAME_TYPE p.A.a": FILE, "FIELD_WIRE_COMPATIBLE_TYPE p.A.a": WIRE},
        {"FIELD_SAME_TYPE p.A.a": FILE, "FIELD_WIRE_COMPATIBLE_TYPE p.A.a": WIRE},
    ),
    "the values of a map": (
        "proto3",
        "message A { map<string, int32> a = 1; }",
        "message A { map<string, double> a = 1; }",
        {"FIELD_SAME_TYPE p.A.a": FILE, "FIELD_WIRE_COMPATIBLE_TYPE p.A.a": WIRE},
        {"FIELD_SAME_TYPE p.A.a": FILE, "FIELD_WIRE_COMPATIBLE_TYPE p.A.a": WIRE},
    ),
    "the keys of a map": (
        "proto3",
        "message A { map<string, int32> a = 1; }",
        "message A { map<int32, int32> a = 1; }",
        {"FIELD_SAME_TYPE p.A.a": FILE, "FIELD_WIRE_COMPATIBLE_TYPE p.A.a": WIRE},
        {"FIELD_SAME_TYPE p.A.a": FILE, "FIELD_WIRE_COMPATIBLE_TYPE p.A.a": WIRE},
    ),
    "a map with another name, of messages with another name": (
        "proto3",
        "message A { map<string, B> a = 1; } message B { int32 x = 1; }",
        "message A { map<string, C> b = 1; } message C { int32 x = 1; }",
        {"FIELD_SAME_NAME p.A.a": FILE, "FIELD_SAME_TYPE p.A.a": FILE, "MESSAGE_NO_DELETE p.B": FILE},
        {"FIELD_SAME_NAME p.A.b": FILE, "FIELD_SAME_TYPE p.A.b": FILE, "MESSAGE_NO_DELETE p.C": FILE},
    ),
    "a map that is written out": (
        "proto3",
        "message A { map<string, int32> a = 1; }",
        "message A { repeated E a = 1; message E { string key = 1; int32 value = 2; } }",
        {"FIELD_SAME_CARDINALITY p.A.a": FILE},
        {"FIELD_SAME_CARDINALITY p.A.a": FILE, "MESSAGE_NO_DELETE p.A.E": FILE},
    ),
    "a map that is written out wrongly": (
        "proto3",
        "message A { map<string, int32> a = 1; }",
        "message A { repeated E a = 1; message E { string key = 1; string value = 2; } }",
        {"FIELD_SAME_CARDINALITY p.A.a": FILE, "FIELD_WIRE_COMPATIBLE_TYPE p.A.a": WIRE},
        {
            "FIELD_SAME_CARDINALITY p.A.a": FILE,
            "MESSAGE_NO_DELETE p.A.E": FILE,
            "FIELD_WIRE_COMPATIBLE_TYPE p.A.a": WIRE,
        },
    ),
    "repeated": (
        "proto3",
        "message A { int32 a = 1; }",
        "message A { repeated int32 a = 1; }",
        {"FIELD_SAME_CARDINALITY p.A.a": FILE, "FIELD_WIRE_COMPATIBLE_CARDINALITY p.A.a": WIRE},
        {"FIELD_SAME_CARDINALITY p.A.a": FILE, "FIELD_WIRE_COMPATIBLE_CARDINALITY p.A.a": WIRE},
    ),
    "required": (
        "proto2",
        "message A { optional int32 a = 1; }",
        "message A { required int32 a = 1; }",
        {"FIELD_SAME_CARDINALITY p.A.a": FILE, "FIELD_WIRE_COMPATIBLE_CARDINALITY p.A.a": WIRE},
        {"FIELD_SAME_CARDINALITY p.A.a": FILE, "FIELD_WIRE_COMPATIBLE_CARDINALITY p.A.a": WIRE},
    ),
    "required in an edition": (
        "edition",
        "message A { int32 a = 1; }",
        "message A { int32 a = 1 [features.field_presence = LEGACY_REQUIRED]; }",
        {"FIELD_SAME_CARDINALITY p.A.a": FILE, "FIELD_WIRE_COMPATIBLE_CARDINALITY p.A.a": WIRE},
        {"FIELD_SAME_CARDINALITY p.A.a": FILE, "FIELD_WIRE_COMPATIBLE_CARDINALITY p.A.a": WIRE},
    ),
    "presence": (
        "proto3",
        "message A { int32 a = 1; }",
        "message A { optional int32 a = 1; }",
        {"FIELD_SAME_CARDINALITY p.A.a": FILE},
        {"FIELD_SAME_CARDINALITY p.A.a": FILE},
    ),
    "a new field that is required": (
        "proto2",
        "message A {}",
        "message A { required int32 a = 1; }",
        {"MESSAGE_SAME_REQUIRED_FIELDS p.A": BOTH},
        {"FIELD_NO_DELETE p.A.a": BOTH},
    ),
    "into a oneof": (
        "proto3",
        "message A { int32 a = 1; }",
        "message A { oneof o { int32 a = 1; int32 b = 2; } }",
        {"FIELD_SAME_ONEOF p.A.a": BOTH},
        {"FIELD_SAME_ONEOF p.A.a": BOTH, "FIELD_NO_DELETE p.A.b": BOTH, "ONEOF_NO_DELETE p.A.o": FILE},
    ),
    "into another oneof": (
        "proto2",
        "message A { oneof o { int32 a = 1; int32 b = 2; } oneof q { int32 c = 3; } }",
        "message A { oneof o { int32 a = 1; } oneof q { int32 b = 2; int32 c = 3; } }",
        {"FIELD_SAME_ONEOF p.A.b": BOTH},
        {"FIELD_SAME_ONEOF p.A.b": BOTH},
    ),
    "two oneofs that became one, with another name": (
        "proto2",
        "message A { oneof o { int32 a = 1; int32 b = 2; } oneof q { int32 c = 3; } }",
        "message A { oneof r { int32 a = 1; int32 b = 2; int32 c = 3; } }",
        {
            "ONEOF_NO_DELETE p.A.o": FILE,
            "ONEOF_NO_DELETE p.A.q": FILE,
            "FIELD_SAME_ONEOF p.A.a": FILE,
            "FIELD_SAME_ONEOF p.A.b": FILE,
            "FIELD_SAME_ONEOF p.A.c": BOTH,
        },
        {
            "ONEOF_NO_DELETE p.A.r": FILE,
            "FIELD_SAME_ONEOF p.A.a": FILE,
            "FIELD_SAME_ONEOF p.A.b": FILE,
            "FIELD_SAME_ONEOF p.A.c": BOTH,
        },
    ),
    "a oneof with another name": (
        "proto2",
        "message A { oneof o { int32 a = 1; } }",
        "message A { oneof q { int32 a = 1; } }",
        {"FIELD_SAME_ONEOF p.A.a": FILE, "ONEOF_NO_DELETE p.A.o": FILE},
        {"FIELD_SAME_ONEOF p.A.a": FILE, "ONEOF_NO_DELETE p.A.q": FILE},
    ),
    "a default": (
        "proto2",
        "message A { optional int32 a = 1 [default = 1]; }",
        "message A { optional int32 a = 1 [default = 2]; }",
        {"FIELD_SAME_DEFAULT p.A.a": BOTH},
        {"FIELD_SAME_DEFAULT p.A.a": BOTH},
    ),
    "a default that was said": (
        "proto2",
        'message A { optional string a = 1 [default = "x"]; }',
        "message A { optional string a = 1; }",
        {"FIELD_SAME_DEFAULT p.A.a": BOTH},
        {"FIELD_SAME_DEFAULT p.A.a": BOTH},
    ),
    "the first value of a closed enum": (
        "proto2",
        "enum E { X = 1; Y = 2; } message A { optional E e = 1; repeated E es = 2; }",
        "enum E { Y = 2; X = 1; } message A { optional E e = 1; repeated E es = 2; }",
        {"FIELD_SAME_DEFAULT p.A.e": BOTH},
        {"FIELD_SAME_DEFAULT p.A.e": BOTH},
    ),
    "a value of an enum": (
        "proto3",
        "enum E { X = 0; Y = 1; }",
        "enum E { X = 0; }",
        {"ENUM_VALUE_NO_DELETE p.E.Y": BOTH},
        {},
    ),
    "a value of a nested enum that moved": (
        "proto3",
        "message A { enum E { X = 0; Y = 1; } }",
        "message A { enum E { X = 0; Y = 2; } }",
        {"ENUM_VALUE_NO_DELETE p.A.E.Y": BOTH},
        {"ENUM_VALUE_NO_DELETE p.A.E.Y": BOTH},
    ),
    "values that change places": (
        "proto3",
        "enum E { X = 0; Y = 1; }",
        "enum E { Y = 0; X = 1; }",
        {"ENUM_VALUE_SAME_NAME p.E.X": BOTH, "ENUM_VALUE_SAME_NAME p.E.Y": BOTH},
        {"ENUM_VALUE_SAME_NAME p.E.X": BOTH, "ENUM_VALUE_SAME_NAME p.E.Y": BOTH},
    ),
    "a value with another name": (
        "proto3",
        "enum E { X = 0; Y = 1; }",
        "enum E { X = 0; Z = 1; }",
        {"ENUM_VALUE_SAME_NAME p.E.Y": FILE},
        {"ENUM_VALUE_SAME_NAME p.E.Z": FILE},
    ),
    "a value's second name": (
        "proto3",
        "enum E { option allow_alias = true; X = 0; Y = 0; }",
        "enum E { X = 0; }",
        {"ENUM_VALUE_SAME_NAME p.E.X": FILE},
        {},
    ),
    "an enum that was closed": (
        "edition",
        "enum E { option features.enum_type = CLOSED; X = 0; }",
        "enum E { X = 0; }",
        {"ENUM_SAME_TYPE p.E": FILE},
        {"ENUM_SAME_TYPE p.E": FILE},
    ),
    "reserved numbers": (
        "proto3",
        "message A { reserved 5 to 9; }",
        "message A { reserved 5 to 6, 8 to 9; }",
        {"RESERVED_MESSAGE_NO_DELETE p.A": BOTH},
        {},
    ),
    "reserved numbers in other pieces": (
        "proto3",
        "message A { reserved 5 to 9, 20; }",
        "message A { reserved 8 to 25, 4 to 7; }",
        {},
        {"RESERVED_MESSAGE_NO_DELETE p.A": BOTH},
    ),
    "a reserved name": (
        "proto3",
        'message A { reserved "x"; }',
        "message A {}",
        {"RESERVED_MESSAGE_NO_DELETE p.A": FILE},
        {},
    ),
    "reserved values": (
        "proto3",
        'enum E { X = 0; reserved 5 to 6; reserved "Z"; }',
        'enum E { X = 0; reserved 5; reserved "Z"; }',
        {"RESERVED_ENUM_NO_DELETE p.E": BOTH},
        {},
    ),
    "room for extensions": (
        "proto2",
        "message A { extensions 100 to 200; }",
        "message A { extensions 100 to 199; }",
        {"EXTENSION_MESSAGE_NO_DELETE p.A": FILE},
        {},
    ),
    "an extension": (
        "proto2",
        "message A { extensions 100; } message B { extend A { optional int32 x = 100; } }",
        "message A { extensions 100; } message B {}",
        {"EXTENSION_NO_DELETE p.B.x": BOTH},
        {},
    ),
    "the type of an extension": (
        "proto2",
        "message A { extensions 100; } extend A { optional int32 x = 100; }",
        "message A { extensions 100; } extend A { optional string x = 100; }",
        {"FIELD_SAME_TYPE p.x": FILE, "FIELD_WIRE_COMPATIBLE_TYPE p.x": WIRE},
        {"FIELD_SAME_TYPE p.x": FILE, "FIELD_WIRE_COMPATIBLE_TYPE p.x": WIRE},
    ),
    "an extension of a message with another name": (
        "proto2",
        "message A { extensions 100; } message U { optional A a = 1; } extend A { optional V x = 100; } message V {}",
        "message B { extensions 100; } message U { optional B a = 1; } extend B { optional W x = 100; } message W {}",
        {
            "MESSAGE_NO_DELETE p.A": FILE,
            "MESSAGE_NO_DELETE p.V": FILE,
            "FIELD_SAME_TYPE p.U.a": FILE,
            "EXTENSION_NO_DELETE p.x": FILE,
        },
        {
            "MESSAGE_NO_DELETE p.B": FILE,
            "MESSAGE_NO_DELETE p.W": FILE,
            "FIELD_SAME_TYPE p.U.a": FILE,
            "EXTENSION_NO_DELETE p.x": FILE,
        },
    ),
    "the message set format": (
        "proto2",
        "message A { extensions 4 to 9; }",
        "message A { option message_set_wire_format = true; extensions 4 to 9; }",
        {"MESSAGE_SAME_MESSAGE_SET_WIRE_FORMAT p.A": BOTH},
        {"MESSAGE_SAME_MESSAGE_SET_WIRE_FORMAT p.A": BOTH},
    ),
    "strings that need not be UTF-8": (
        "edition",
        "message A { string a = 1; }",
        "message A { string a = 1 [features.utf8_validation = NONE]; }",
        {"FIELD_SAME_UTF8_VALIDATION p.A.a": FILE},
        {"FIELD_SAME_UTF8_VALIDATION p.A.a": FILE},
    ),
    "packed numbers": (
        "proto3",
        "message A { repeated int32 a = 1; }",
        "message A { repeated int32 a = 1 [packed = false]; }",
        {},
        {},
    ),
    "what is marked as deprecated": (
        "proto3",
        "message A { int32 a = 1; }",
        "message A { option deprecated = true; int32 a = 1 [deprecated = true]; }",
        {},
        {},
    ),
    "a default that holds anyway": (
        "proto2",
        "enum E { X = 3; Y = 1; } message A { optional int32 a = 1; optional E e = 2; optional bool b = 3; }",
        "enum E { X = 3; Y = 1; } message A { optional int32 a = 1 [default = 0]; optional E e = 2 [default = X]; "
        "optional bool b = 3 [default = false]; }",
        {},
        {},
    ),
}


OF_WHOLE_FILES = ("FILE_NO_DELETE", "FILE_SAME_PACKAGE", "FILE_SAME_SYNTAX")
"""The rules that have tests of their own below."""


def found(old: list[FileDescriptorProto], new: list[FileDescriptorProto]) -> dict[str, str]:
    """What `new` breaks of `old`, as the table has it."""
    levels: dict[str, str] = {}
    for level in Level:
        for finding in compare(old, new, level):
            key = f"{finding.rule} {finding.element}"
            if level.value not in levels.get(key, ""):
                levels[key] = f"{levels.get(key, '')} {level.value}".strip()
    return levels


@pytest.mark.parametrize("case", CASES)
def test_what_breaks_is_found_and_named(case: str) -> None:
    syntax, one, other, _, _ = CASES[case]
    assert found(of(syntax, one), of(syntax, other)) == CASES[case][3]


@pytest.mark.parametrize("case", CASES)
def test_what_breaks_the_other_way_round_is_found_and_named(case: str) -> None:
    syntax, one, other, _, _ = CASES[case]
    assert found(of(syntax, other), of(syntax, one)) == CASES[case][4]


EVERYTHING = """
    message A { int32 a = 1; oneof o { string b = 2; } map<string, B> m = 3; optional int32 p = 4; message N {} }
    message B { A back = 1; E e = 2; repeated B more = 3; }
    enum E { ZERO = 0; ONE = 1; }
    service S { rpc M(A) returns (B); }
"""


def test_adding_is_compatible() -> None:
    more = """
        message A { int32 a = 1; oneof o { string b = 2; int64 c = 7; } map<string, B> m = 3; optional int32 p = 4;
                    message N { int32 x = 1; } message O {} repeated string many = 8; oneof q { bool y = 9; } }
        message B { A back = 1; E e = 2; repeated B more = 3; E f = 4; reserved 10; }
        message C {}
        enum E { ZERO = 0; ONE = 1; TWO = 2; }
        enum F { NONE = 0; }
        service S { rpc M(A) returns (B); rpc N(C) returns (C); }
        service T { rpc M(A) returns (B); }
    """
    assert found(of("proto3", EVERYTHING), of("proto3", more)) == {}


def test_a_file_that_is_gone_breaks_code_but_not_what_travels() -> None:
    one = schema(a='syntax = "proto3"; package p; message A {}', b='syntax = "proto3"; package p; message B {}')
    other = schema(a='syntax = "proto3"; package p; message A {} message B {}')
    assert found(one, other) == {"FILE_NO_DELETE b.proto": FILE}


def test_another_package_is_told_once_and_breaks_the_wire_where_it_has_services() -> None:
    body = "message A { A a = 1; B.C c = 2; } message B { enum C { X = 0; } } service S { rpc M(A) returns (A); }"
    one = schema(a=f'syntax = "proto3"; package p; {body}')
    other = schema(a=f'syntax = "proto3"; package q; {body}')
    assert found(one, other) == {"FILE_SAME_PACKAGE a.proto": FILE, "SERVICE_NO_DELETE p.S": WIRE}


def test_another_syntax_is_told_and_what_it_changes() -> None:
    body = "message A { repeated int32 a = 1; optional string s = 2; }"
    assert found(of("proto2", body), of("proto3", body)) == {
        "FILE_SAME_SYNTAX a.proto": FILE,
        "FIELD_SAME_UTF8_VALIDATION p.A.s": FILE,
    }


def test_an_edition_that_means_the_same_is_the_only_finding() -> None:
    old = of("proto3", EVERYTHING)
    features = "option features.field_presence = IMPLICIT; "
    new = of(
        "edition",
        features + EVERYTHING.replace("optional int32 p = 4", "int32 p = 4 [features.field_presence = EXPLICIT]"),
    )
    assert found(old, new) == {"FILE_SAME_SYNTAX a.proto": FILE}
    assert found(new, old) == {"FILE_SAME_SYNTAX a.proto": FILE}


def test_the_default_of_an_enum_from_another_file_counts() -> None:
    head = 'syntax = "proto2"; package p; '
    user = head + 'import "b.proto"; message A { optional E e = 1; }'
    one = schema(a=user, b=head + "enum E { X = 1; Y = 2; }")
    other = schema(a=user, b=head + "enum E { Y = 2; X = 1; }")
    assert found(one, other) == {"FIELD_SAME_DEFAULT p.A.e": BOTH}


def test_types_that_change_their_names_in_a_circle_are_followed_to_an_end() -> None:
    count = 40
    ring = "message {0}{1} {{ {0}{2} next = 1; int32 x = 2; }} "

    def chain(letter: str, length: int) -> str:
        links = "".join(ring.format(letter, at, (at + 1) % length) for at in range(length))
        return links + f"message User {{ {letter}0 first = 1; }}"

    old, new = of("proto3", chain("A", count)), of("proto3", chain("B", count - 1))
    assert compare(old, new, Level.WIRE) == ()  # rings of other lengths read the same
    worse = of("proto3", chain("B", count - 1).replace("B7 next = 1; int32 x", "B7 next = 1; string x"))
    assert [finding.element for finding in compare(old, worse, Level.WIRE) if "TYPE" in finding.rule] == [
        "p.User.first"
    ]


def test_more_renamed_types_than_can_be_followed_are_a_finding_and_no_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    old = of("proto3", "message A { A next = 1; } message User { A first = 1; }")
    new = of("proto3", "message B { C next = 1; } message C { B next = 1; } message User { B first = 1; }")
    assert compare(old, new, Level.WIRE) == ()
    monkeypatch.setattr(pairs, "MAX_RENAMED", 3)
    (finding,) = compare(old, new, Level.WIRE)
    assert (finding.rule, finding.element) == ("FIELD_WIRE_COMPATIBLE_TYPE", "p.User.first")
    assert "too many types were renamed to follow them all" in finding.message


def test_many_messages_in_another_package_are_found_by_their_last_names() -> None:
    body = " ".join(f"message M{number} {{ int32 a{number} = {number}; }}" for number in range(1, 400))
    one, other = (schema(a=f'syntax = "proto3"; package {package}; {body}') for package in "pq")
    assert found(one, other) == {"FILE_SAME_PACKAGE a.proto": FILE}


def test_a_finding_names_file_rule_element_and_what_was_and_is() -> None:
    (finding,) = compare(
        of("proto3", "message A { int32 a = 1; }"), of("proto3", "message A { bool a = 1; }"), Level.FILE
    )
    assert str(finding) == "a.proto: FIELD_SAME_TYPE p.A.a: field 1 had the type int32 and has bool now"


def test_findings_come_in_the_order_of_file_element_and_rule() -> None:
    old = schema(
        b='syntax = "proto3"; package b; message A { int32 x = 1; }',
        a='syntax = "proto3"; package a; message B { int32 z = 1; int32 y = 2; } message A { int32 a = 1; }',
    )
    new = schema(
        a='syntax = "proto3"; package a; message A { repeated string a = 1; } message B {}',
        b='syntax = "proto3"; package b; message A {}',
    )
    assert [f"{finding.file} {finding.element} {finding.rule}" for finding in compare(old, new, Level.FILE)] == [
        "a.proto a.A.a FIELD_SAME_CARDINALITY",
        "a.proto a.A.a FIELD_SAME_TYPE",
        "a.proto a.B.y FIELD_NO_DELETE",
        "a.proto a.B.z FIELD_NO_DELETE",
        "b.proto b.A.x FIELD_NO_DELETE",
    ]
    assert compare(list(reversed(old)), list(reversed(new)), Level.FILE) == compare(old, new, Level.FILE)


def contract(body: str) -> Contract:
    return contract_of(contract_file("a.proto", body, file) for file in of("proto3", body))


@pytest.mark.parametrize(
    ("new", "verdict"),
    [
        ("/* the same */ message A { int32 a = 1; }", Verdict.IDENTICAL),
        ("message A { int32 a = 1; int32 b = 2; }", Verdict.COMPATIBLE),
        ("message A { int32 b = 1; }", Verdict.COMPATIBLE),
        ("message A { string a = 1; }", Verdict.BREAKING),
    ],
)
def test_a_contract_is_identical_compatible_or_breaking(new: str, verdict: Verdict) -> None:
    found, findings = judge(contract("message A { int32 a = 1; }"), contract(new))
    assert found is verdict
    assert bool(findings) == (verdict is Verdict.BREAKING)


def test_contracts_are_judged_at_the_level_that_is_asked_for() -> None:
    old, new = contract("message A { int32 a = 1; }"), contract("message A { int32 b = 1; }")
    assert judge(old, new, Level.FILE)[0] is Verdict.BREAKING
