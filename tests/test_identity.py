"""Who is who: names, types, ids, and the serial that belongs to a key."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actrzmq.errors import ActrConfigError
from actrzmq.identity import MAX_REALM, ActrId, ActrType, Serial, check_name, serial_of

names = st.from_regex(r"[A-Za-z]([A-Za-z0-9._-]{0,30}[A-Za-z0-9])?", fullmatch=True)
types = st.builds(ActrType, names, names)
ids = st.builds(ActrId, st.integers(0, 2**63 - 1).map(Serial), st.integers(0, MAX_REALM), types)


@given(types)
def test_a_type_is_what_it_prints(type: ActrType) -> None:
    assert ActrType.parse(str(type)) == type


@given(ids)
def test_an_id_is_what_it_prints(id: ActrId) -> None:
    assert ActrId.parse(str(id)) == id


def test_ids_look_like_this() -> None:
    id = ActrId(Serial(0x1A2B3C), 7, ActrType("acme", "Echo"))
    assert str(id) == "1a2b3c@7:acme+Echo"


@given(st.text(max_size=40))
def test_any_text_is_an_id_that_prints_it_or_is_refused(text: str) -> None:
    for parse in (ActrId.parse, ActrType.parse):
        try:
            parsed = parse(text)
        except ActrConfigError:
            continue
        assert str(parsed) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1a2b3c",
        "1a2b3c@0",
        "1a2b3c@0:acme",
        "1a2b3c:acme+Echo",
        "01@0:acme+Echo",
        "1A@0:acme+Echo",
        "0x1@0:acme+Echo",
        "1@00:acme+Echo",
        "1@-1:acme+Echo",
        "1@4294967296:acme+Echo",
        "8000000000000000@0:acme+Echo",
        "10000000000000000@0:acme+Echo",
        "1@0:acme+Echo\n",
        " 1@0:acme+Echo",
        "1@0:acme+Echo+Again",
        "１@0:acme+Echo",
    ],
)
def test_what_is_almost_an_id_is_refused(text: str) -> None:
    with pytest.raises(ActrConfigError):
        ActrId.parse(text)


@pytest.mark.parametrize("name", ["a", "A1", "a.b-c_d", "x" * 32])
def test_these_are_names(name: str) -> None:
    assert check_name(name, "name") == name


@pytest.mark.parametrize(
    "name", ["", "1a", "-a", "a-", "a.", "a b", "a\n", "a\x00", "é", "x" * 33, "a+b", "a/b", "a\u200bb"]
)
def test_these_are_not(name: str) -> None:
    with pytest.raises(ActrConfigError, match="name"):
        check_name(name, "name")


@pytest.mark.parametrize("serial", [-1, 2**63])
def test_a_serial_has_63_bits(serial: int) -> None:
    with pytest.raises(ActrConfigError):
        ActrId(Serial(serial), 0, ActrType("acme", "Echo"))


@pytest.mark.parametrize("realm", [-1, 2**32])
def test_a_realm_has_32_bits(realm: int) -> None:
    with pytest.raises(ActrConfigError):
        ActrId(Serial(1), realm, ActrType("acme", "Echo"))


@given(st.lists(ids, max_size=5))
def test_ids_are_ordered_by_their_text(several: list[ActrId]) -> None:
    assert [str(id) for id in sorted(several)] == sorted(map(str, several))


@given(st.binary(max_size=64))
def test_the_serial_of_a_key_is_always_the_same_and_has_63_bits(key: bytes) -> None:
    assert 0 <= serial_of(key) < 2**63
    assert serial_of(key) == serial_of(bytes(key))


def test_the_serial_of_a_key_never_changes_between_versions() -> None:
    assert serial_of(bytes(32)) == 0x66687AADF862BD77 >> 1


@given(ids)
def test_an_id_travels(id: ActrId) -> None:
    encoded = msgspec.msgpack.encode(id)
    assert msgspec.msgpack.decode(encoded, type=ActrId) == id


def test_an_id_that_could_not_be_made_can_not_be_received_either() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode([1, 0, ["a\n", "b"]]), type=ActrId)
