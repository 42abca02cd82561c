"""A published path means one file below its root, on every system."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actrzmq.contracts.paths import check_distinct, check_proto_path
from actrzmq.errors import ActrConfigError

HOSTILE = [
    "/etc/passwd.proto",
    "../a.proto",
    "a/../b.proto",
    "a//b.proto",
    "./a.proto",
    "C:/a.proto",
    "C:a.proto",
    "a\\b.proto",
    "a\0.proto",
    "a\n.proto",
    "-I.proto",
    "@file.proto",
    ".hidden.proto",
    "con.proto",
    "sub/NUL/a.proto",
    "com1.a.proto",
    "a./b.proto",
    "a .proto",
    "ä.proto",
    "a\u202egnp.proto",
    "a.txt",
    "",
    ".proto",
    "a" * 300 + ".proto",
    "a/" * 20 + "a.proto",
    "a\x1b[31m.proto",
]


@pytest.mark.parametrize("path", HOSTILE)
def test_paths_that_could_mean_anything_else_are_refused(path: str) -> None:
    with pytest.raises(ActrConfigError):
        check_proto_path(path)


@given(st.text(max_size=40))
def test_what_is_accepted_is_ascii_relative_and_stays_below(path: str) -> None:
    try:
        accepted = check_proto_path(path + ".proto")
    except ActrConfigError as error:
        refusal = error.message
    else:
        assert path.isascii()
        assert not accepted.is_absolute()
        assert ".." not in accepted.parts
        assert str(accepted) == path + ".proto"
        return
    assert refusal.isprintable()


@pytest.mark.parametrize("path", ["a.proto", "acme/v1/echo-server.proto", "a.b_c.proto", "_a.proto", "2.proto"])
def test_ordinary_paths_are_accepted(path: str) -> None:
    assert str(check_proto_path(path)) == path


def test_paths_that_differ_in_case_only_are_refused_by_name() -> None:
    with pytest.raises(ActrConfigError, match=r"'A\.proto' and 'a\.proto'"):
        check_distinct(["A.proto", "b.proto", "a.proto"])
    check_distinct(["a.proto", "a.proto", "b.proto"])
