"""Any message of the protocol, made from its own annotations."""

from __future__ import annotations

import types
import typing
from enum import Enum
from functools import cache
from typing import Any

from hypothesis import strategies as st
from msgspec import Meta, Struct

from actrzmq.identity import ActrId, ActrType, Serial
from actrzmq.wire import messages
from actrzmq.wire.messages import Batch, DataStream, Frames, Message, WithBody

MESSAGES: list[type[Message]] = [
    value
    for value in vars(messages).values()
    if isinstance(value, type) and issubclass(value, Message) and value is not Message
]

names = st.from_regex(r"[A-Za-z]([A-Za-z0-9._-]{0,6}[A-Za-z0-9])?", fullmatch=True)
actr_types = st.builds(ActrType, names, names)
actr_ids = st.builds(ActrId, st.integers(0, 2**63 - 1).map(Serial), st.integers(0, 2**32 - 1), actr_types)
data_streams = st.builds(
    DataStream,
    st.text(max_size=8),
    st.integers(-(2**63), 2**63 - 1),
    st.binary(max_size=8),
    st.none() | st.integers(0, 2**63 - 1),
    st.none() | st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2),
)


def a(kind: Any) -> st.SearchStrategy[Any]:
    """Anything of the type that the annotation `kind` stands for."""
    if kind is ActrType:
        return actr_types
    if kind is ActrId:
        return actr_ids
    if kind is DataStream:
        return data_streams
    if isinstance(kind, typing.NewType):
        return st.integers(0, 2**63 - 1)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return _within(*arguments)
    if origin in (typing.Union, types.UnionType):
        return st.one_of([a(one) for one in arguments])
    if origin is tuple:
        return st.lists(a(arguments[0]), max_size=3).map(tuple)
    if origin is list:
        return st.lists(a(arguments[0]), max_size=3)
    return _plain(kind)


def _plain(kind: Any) -> st.SearchStrategy[Any]:
    if kind is type(None):
        return st.none()
    if issubclass(kind, Enum):
        return st.sampled_from(list(kind))
    if issubclass(kind, Struct):
        return struct(kind)
    simple: dict[type, st.SearchStrategy[Any]] = {
        bool: st.booleans(),
        bytes: st.binary(max_size=8),
        str: st.text(max_size=8),
        int: st.integers(0, 2**63 - 1),
    }
    return simple[kind]


def _within(kind: Any, meta: Meta) -> st.SearchStrategy[Any]:
    if kind is int:
        return st.integers(0, 2**63 - 1)
    if kind is str:
        return st.text(max_size=min(meta.max_length or 0, 12))
    if typing.get_origin(kind) is tuple:
        return a(kind)
    key, value = typing.get_args(kind)
    return st.dictionaries(a(key), a(value), max_size=3)


@cache
def struct(kind: type[Struct]) -> st.SearchStrategy[Any]:
    """Any struct of that class."""
    hints = typing.get_type_hints(kind, vars(messages), include_extras=True)
    fields = {name: a(hints[name]) for name in kind.__struct_fields__}
    if kind in (Frames, Batch):
        fields["large"] = st.just(())
    return st.builds(kind, **fields)


envelopes = st.one_of([struct(kind) for kind in MESSAGES if kind is not Frames])
batches = st.builds(
    Batch,
    st.integers(0, 2**63 - 1),
    st.lists(envelopes, max_size=5),
    st.lists(st.integers(1, 2**40), max_size=3).map(tuple),
)
with_body = st.one_of([struct(kind) for kind in typing.get_args(WithBody)])
stream_messages = st.lists(
    st.one_of([struct(kind) for kind in typing.get_args(messages.OnStreamPlane)]),
    max_size=5,
)
