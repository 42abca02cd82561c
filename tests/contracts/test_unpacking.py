"""Contracts that come over the network: what is whole comes out as it went in, anything else is refused in words."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import Default
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from actrzmq.contracts import bundle
from actrzmq.contracts.bundle import (
    Contract,
    check_contract,
    contract_file,
    contract_of,
    digest_of,
    pack,
    unpack,
)
from actrzmq.contracts.fingerprint import file_fingerprint
from actrzmq.errors import ActrConfigError
from tests.codegen.protos import STREAM_SERVER, compiled

GOLDEN = "service_semantic:8cd6382d374752af9f3ad1488cb4d465dd0fc1a8e22b69eee6e5a75d793d0708"
COMMON = 'syntax = "proto3";\npackage common;\nmessage Id { string text = 1; }\n'
USER = (
    'syntax = "proto3";\npackage user;\n\nimport "google/protobuf/timestamp.proto";\nimport "common.proto";\n'
    "message User { common.Id id = 1; google.protobuf.Timestamp since = 2; }\n"
)


def contract(**files: str) -> Contract:
    found = compiled(**files)
    return contract_of(contract_file(f"{name}.proto", text, found[f"{name}.proto"]) for name, text in files.items())


ECHO = pack(contract(stream_server=STREAM_SERVER))
PAIR = pack(contract(common=COMMON, user=USER))


def forged(body: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    """`body` with something changed in it."""
    data = msgspec.msgpack.decode(body)
    change(data)
    return msgspec.msgpack.encode(data)


def with_paths(*paths: str) -> bytes:
    """A contract of empty files at `paths`, consistent but for these."""
    files = []
    for path in paths:
        descriptor = FileDescriptorProto(name=path, syntax="proto3")
        source = 'syntax = "proto3";'
        fingerprint = file_fingerprint(descriptor)
        files.append(
            {
                "path": path,
                "digest": digest_of(source.encode()),
                "fingerprint": fingerprint,
                "source": source,
                "descriptor": descriptor.SerializeToString(),
            }
        )
    return msgspec.msgpack.encode({"fingerprint": "service_semantic:00", "files": files, "version": 1})


def with_imports(**imports: list[str]) -> bytes:
    """A contract of files that import one another as `imports` says, consistent but for these."""
    files = []
    for name, others in imports.items():
        descriptor = FileDescriptorProto(name=f"{name}.proto", syntax="proto3", dependency=others)
        lines = "".join(f'import "{other}";\n' for other in others)
        files.append(contract_file(f"{name}.proto", f'syntax = "proto3";\n\n{lines}', descriptor))
    return pack(contract_of(files))


@pytest.mark.parametrize("body", [ECHO, PAIR])
def test_a_contract_comes_out_as_it_went_in(body: bytes) -> None:
    assert pack(unpack(body)) == body


def test_the_contract_of_stream_echo_has_the_fingerprint_that_others_compute() -> None:
    assert unpack(ECHO).fingerprint == GOLDEN
    assert unpack(ECHO).files[0].source == STREAM_SERVER


def test_unpacking_adds_nothing_to_the_pool_of_the_process() -> None:
    unpack(PAIR)
    with pytest.raises(KeyError):
        Default().FindFileByName("user.proto")


@pytest.mark.parametrize(
    "path",
    [
        "../up.proto",
        "a/../../up.proto",
        "/etc/up.proto",
        "C:/up.proto",
        "c:up.proto",
        "a\\up.proto",
        "up.proto\0.txt",
        "up\n.proto",
        "con.proto",
        "aux/up.proto",
        "a//up.proto",
        "./up.proto",
        ".hidden/up.proto",
        "-rf.proto",
        "ａ.proto",
        "é.proto",
        "e\u0301.proto",
        "a" * 300 + ".proto",
        "a/" * 20 + "up.proto",
        "up.txt",
        "",
        "google/protobuf/any.proto",
    ],
)
def test_a_path_that_leads_elsewhere_or_means_two_things_is_refused(path: str) -> None:
    with pytest.raises(ActrConfigError, match=r"^not a contract: proto file"):
        unpack(with_paths(path))


@pytest.mark.parametrize(
    ("paths", "words"),
    [
        (("a/up.proto", "a/UP.proto"), "differ only in case"),
        (("A/up.proto", "a/up2.proto", "a/up.proto"), "differ only in case"),
        (("a/up.proto", "b/up.proto"), "both named 'up.proto'"),
        (("up.proto", "up.proto"), "one of them twice"),
        ((), "no files"),
    ],
)
def test_paths_that_collide_are_refused(paths: tuple[str, ...], words: str) -> None:
    with pytest.raises(ActrConfigError, match=words):
        unpack(with_paths(*paths))


def change_file(**changes: object) -> Callable[[dict[str, Any]], object]:
    return lambda data: data["files"][0].update(changes)


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.update(fingerprint=GOLDEN[:-1] + "0"),
        change_file(digest="0" * 64),
        change_file(fingerprint="semantic:" + "0" * 64),
        change_file(source=STREAM_SERVER + "\n"),
    ],
)
def test_what_is_not_what_its_digests_say_is_refused(change: Callable[[dict[str, Any]], object]) -> None:
    with pytest.raises(ActrConfigError, match="contradict one another"):
        unpack(forged(ECHO, change))


def test_files_out_of_order_are_refused() -> None:
    with pytest.raises(ActrConfigError, match="contradict one another"):
        unpack(forged(PAIR, lambda data: data["files"].reverse()))


def test_a_descriptor_of_another_name_is_refused() -> None:
    with pytest.raises(ActrConfigError, match=r"a descriptor that calls it 'stream_server\.proto'"):
        unpack(forged(ECHO, change_file(path="other.proto")))


@pytest.mark.parametrize("descriptor", [b"\xff", b"\x0a\xff", b"\x22\x80\x80\x80\x80\x01"])
def test_a_descriptor_that_does_not_parse_is_refused(descriptor: bytes) -> None:
    with pytest.raises(ActrConfigError, match="a descriptor that can't be read"):
        unpack(forged(ECHO, change_file(descriptor=descriptor)))


def test_a_descriptor_that_no_compiler_would_make_is_refused() -> None:
    bad = FileDescriptorProto(name="stream_server.proto", syntax="proto3")
    field = bad.message_type.add(name="M").field.add(name="f", number=1, type=9, label=1)
    field.oneof_index = 7
    with pytest.raises(ActrConfigError, match="don't fit together"):
        unpack(forged(ECHO, change_file(descriptor=bad.SerializeToString())))


def test_an_import_that_is_neither_there_nor_well_known_is_refused_with_its_line() -> None:
    with pytest.raises(ActrConfigError, match=r"a\.proto:4 imports 'gone\.proto', which is neither"):
        unpack(with_imports(a=["b.proto", "gone.proto"], b=[]))


def test_an_import_that_is_no_text_is_refused() -> None:
    bad = b"\x0a\x13stream_server.proto\x1a\x02\xff\xfe"
    with pytest.raises(ActrConfigError, match="which is no text"):
        unpack(forged(ECHO, change_file(descriptor=bad)))


def test_imports_that_go_in_a_circle_are_refused() -> None:
    with pytest.raises(ActrConfigError, match=r"go in a circle: .*\.proto -> "):
        unpack(with_imports(a=["b.proto"], b=["c.proto"], c=["a.proto"]))
    with pytest.raises(ActrConfigError, match="go in a circle"):
        unpack(with_imports(a=["a.proto"]))


def test_a_long_chain_of_imports_is_no_trouble() -> None:
    names = [f"f{number}" for number in range(bundle.MAX_FILES)]
    chain = {name: [f"{other}.proto"] for name, other in itertools.pairwise(names)}
    unpack(with_imports(**chain, **{names[-1]: []}))


def test_too_many_files_or_bytes_are_refused_on_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    for limit, value in (("MAX_FILES", 1), ("MAX_BYTES", 300), ("MAX_DESCRIPTOR_BYTES", 200)):
        with monkeypatch.context() as patch:
            patch.setattr(bundle, limit, value)
            with pytest.raises(ActrConfigError, match="at most"):
                unpack(PAIR)
            with pytest.raises(ActrConfigError, match="at most"):
                pack(contract(common=COMMON, user=USER))


def test_a_descriptor_as_full_as_it_may_be_is_judged_in_bounded_time() -> None:
    many = FileDescriptorProto(name="stream_server.proto").SerializeToString()
    many += b"\x22\x00" * ((bundle.MAX_DESCRIPTOR_BYTES - len(many)) // 2)  # messages without even a name
    began = time.process_time()
    with pytest.raises(ActrConfigError):
        unpack(forged(ECHO, change_file(descriptor=many)))
    assert time.process_time() - began < 10


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x80", b"{}", b"\x91" * 5000, b"\xdd\xff\xff\xff\xff", PAIR[:-1]])
def test_what_is_no_contract_at_all_is_refused(body: bytes) -> None:
    with pytest.raises(ActrConfigError, match=r"^not a contract: "):
        unpack(body)


def test_a_version_of_tomorrow_is_refused() -> None:
    with pytest.raises(ActrConfigError, match="version 2"):
        unpack(forged(ECHO, lambda data: data.update(version=2)))


def assert_whole_or_refused(read: Callable[[], object]) -> None:
    refusal = ""
    try:
        read()
    except ActrConfigError as error:
        refusal = error.message
    assert refusal.isprintable()  # no line of a log can be forged by it


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([ECHO, PAIR]), st.data())
def test_a_contract_that_was_tampered_with_is_whole_or_refused(body: bytes, data: st.DataObject) -> None:
    content = bytearray(body)
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    assert_whole_or_refused(lambda: unpack(bytes(content)))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_descriptor_that_was_tampered_with_is_whole_or_refused(data: st.DataObject) -> None:
    content = bytearray(unpack(PAIR).files[1].descriptor)
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    first, second = unpack(PAIR).files
    tampered = structs.replace(second, descriptor=bytes(content))
    assert_whole_or_refused(lambda: check_contract(contract_of([first, tampered])))
