"""Words that others published: each stays on the line it is shown on, and looks like nothing else."""

from __future__ import annotations

import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto

from actrzmq.cli.changes import show_changes
from actrzmq.cli.describe import _show
from actrzmq.cli.output import show_table
from actrzmq.contracts.breaking.finding import Finding
from actrzmq.contracts.bundle import Contract, Published, contract_file, contract_of
from actrzmq.identity import ActrType
from actrzmq.install.resolve import Change, Kind, Plan

FORGERY = "service Bank { rpc SendMoney(All) returns (Nothing); }"
SEPARATORS = ["\n", "\r", "\r\n", "\n\n", "\v", "\f", "\x1c", "\x85", "\u2028", "\u2029"]
TO_A_TERMINAL = "\x1b[2J\x9b2J\x7f\u202e\0"


def is_seen_through(shown: str) -> bool:
    """Does no line begin with the forgery, and is nothing in it that a terminal obeys?"""
    return all(line.isprintable() and not line.lstrip().startswith("service Bank") for line in shown.splitlines())


def contract(source: str, descriptor: FileDescriptorProto) -> Contract:
    return contract_of([contract_file("a.proto", source, descriptor)])


def plain() -> FileDescriptorProto:
    return FileDescriptorProto(name="a.proto", package="p", syntax="proto2", message_type=[DescriptorProto(name="M")])


def described(contract: Contract, description: str = "", tags: tuple[str, ...] = (), name: str = "svc") -> Published:
    kind = ActrType("acme", "X")
    return Published(name, kind, 0, contract.fingerprint, description, tags, "2026-01-01", 1, contract)


@pytest.mark.parametrize("separator", SEPARATORS, ids=ascii)
def test_what_a_service_says_of_itself_stays_a_comment(separator: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = f"harmless{TO_A_TERMINAL}{separator}{FORGERY}"
    found = contract('syntax = "proto2"; package p; message M {}', plain())
    _show(described(found, words, ("first", words), words), None, as_json=False)
    shown = capsys.readouterr().out
    assert is_seen_through(shown)
    assert [line for line in shown.splitlines() if not line.startswith("// ")] == ["", "message p.M {}"]


@pytest.mark.parametrize("symbol", [None, "p.M"])
@pytest.mark.parametrize("separator", SEPARATORS, ids=ascii)
def test_free_text_in_a_descriptor_stays_on_its_line(
    separator: str, symbol: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    words = f"x{TO_A_TERMINAL}{separator}{FORGERY}"
    descriptor = plain()
    message = descriptor.message_type[0]
    message.reserved_name.append(words)
    for number, kind in enumerate((FieldDescriptorProto.TYPE_STRING, FieldDescriptorProto.TYPE_BYTES), 1):
        message.field.add(
            name=f"f{number}", number=number, type=kind, label=FieldDescriptorProto.LABEL_OPTIONAL, default_value=words
        )
    _show(described(contract("", descriptor)), symbol, as_json=False)
    shown = capsys.readouterr().out
    assert is_seen_through(shown)
    assert len([line for line in shown.splitlines() if "Bank" in line]) == 3


@pytest.mark.parametrize("separator", SEPARATORS, ids=ascii)
def test_a_comment_in_a_source_stays_one(separator: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = f"x\x1b[2J{separator}{FORGERY}"
    source = f'syntax = "proto2";\npackage p;\n/* {words} */\nmessage M {{}}\n'
    _show(described(contract(source, plain())), None, as_json=False)
    shown = capsys.readouterr().out
    assert is_seen_through(shown)
    assert "Bank" in shown  # the comment was not dropped


@pytest.mark.parametrize("separator", SEPARATORS, ids=ascii)
def test_a_row_of_a_table_is_one_line(separator: str, capsys: pytest.CaptureFixture[str]) -> None:
    show_table(("name", "host"), [(f"x{TO_A_TERMINAL}{separator}{FORGERY}", "here")])
    shown = capsys.readouterr().out
    assert is_seen_through(shown)
    assert len(shown.splitlines()) == 2


@pytest.mark.parametrize("separator", SEPARATORS, ids=ascii)
def test_what_an_install_found_is_one_line_each(separator: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = f"x{TO_A_TERMINAL}{separator}{FORGERY}"
    finding = Finding("FIELD_SAME_TYPE", words, words, words)
    change = Change("bank", Kind.UPDATED, f"service_semantic:{words}", f"service_semantic:{words}", (finding,))
    show_changes(Plan((change,)), as_json=False, dry=False)
    shown = capsys.readouterr().out
    assert is_seen_through(shown)
    assert len(shown.splitlines()) == 2
