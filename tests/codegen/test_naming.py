"""Names: snake case as Python spells it, a trailing underscore where two meet, an error where nobody can tell."""

from __future__ import annotations

import keyword

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actrzmq.codegen.naming import Names, constant, identifier, is_speakable, snake, spell
from actrzmq.errors import ActrConfigError

PROTO_NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,12}", fullmatch=True)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("StreamServer", "stream_server"),
        ("LocalStreamService", "local_stream_service"),
        ("HTTPServer", "http_server"),
        ("getURL", "get_url"),
        ("GetV2Thing", "get_v2_thing"),
        ("Foo2Bar", "foo2_bar"),
        ("already_snake", "already_snake"),
        ("stream-register-server-python", "stream_register_server_python"),
        ("a.b", "a_b"),
        ("A", "a"),
    ],
)
def test_names_become_snake_case(name: str, expected: str) -> None:
    assert snake(name) == expected


@given(PROTO_NAMES)
def test_snake_case_is_stable_and_an_identifier_once_spelled(name: str) -> None:
    assert snake(snake(name)) == snake(name)
    assert is_speakable(identifier(snake(name)))
    assert is_speakable(identifier(name))
    assert identifier(constant(name, name)).isidentifier()


@given(st.text(max_size=12))
def test_anything_can_be_spelled(name: str) -> None:
    assert spell(name).isidentifier()
    assert is_speakable(identifier(name))


@pytest.mark.parametrize("name", keyword.kwlist)
def test_keywords_get_a_trailing_underscore(name: str) -> None:
    assert identifier(name) == f"{name}_"


def test_two_leading_underscores_become_one_so_that_no_class_mangles_them() -> None:
    assert identifier("__Thing") == "_Thing"
    assert identifier("__init__") == "_init__"


def test_the_second_of_two_names_that_meet_gets_a_trailing_underscore() -> None:
    names = Names("a scope")
    assert names.claim("get_foo", "get_foo", "rpc get_foo") == "get_foo"
    assert names.claim("get_foo", "GetFoo", "rpc GetFoo") == "get_foo_"


def test_a_reserved_name_gets_a_trailing_underscore() -> None:
    assert Names("a scope", {"on_stop"}).claim("on_stop", "OnStop", "rpc OnStop") == "on_stop_"


def test_a_clash_that_no_underscore_resolves_names_both() -> None:
    names = Names("the handler of S")
    names.claim("get_foo", "get_foo", "rpc get_foo (a.proto:3)")
    names.claim("get_foo", "GetFoo", "rpc GetFoo (a.proto:4)")
    with pytest.raises(ActrConfigError, match=r"rpc getFoo \(a\.proto:5\) and rpc GetFoo \(a\.proto:4\)"):
        names.claim("get_foo", "getFoo", "rpc getFoo (a.proto:5)")


def test_two_things_of_the_very_same_name_are_a_clash() -> None:
    names = Names("generated")
    names.claim("api", "Api", "service a.Api (a.proto:3)")
    with pytest.raises(ActrConfigError, match=r"service b\.Api \(b\.proto:4\) and service a\.Api \(a\.proto:3\)"):
        names.claim("api", "Api", "service b.Api (b.proto:4)")


@given(st.lists(PROTO_NAMES, unique=True, max_size=30), st.sets(st.sampled_from(["on_stop", "a", "b_"])))
def test_no_two_things_ever_share_a_name(names: list[str], reserved: set[str]) -> None:
    scope = Names("a scope", reserved)
    given_out = []
    for name in names:
        try:
            given_out.append(scope.claim(identifier(snake(name)), name, name))
        except ActrConfigError:
            continue
    assert len(given_out) == len(set(given_out))
    assert not reserved & set(given_out)
    assert all(is_speakable(name) for name in given_out)
