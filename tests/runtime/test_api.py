"""The names that are promised, and how they are called."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import actrzmq
from actrzmq import (
    ActrConfigError,
    ActrId,
    ActrNode,
    ActrRef,
    ActrSystem,
    ActrType,
    Context,
    DataStream,
    Dest,
    PayloadType,
    WorkloadBase,
)
from tests.runtime.harness import environment

PROMISED: dict[type, dict[str, list[str]]] = {
    ActrSystem: {"from_toml": ["path"], "attach": ["workloads"]},
    ActrNode: {"start": []},
    ActrRef: {
        "actor_id": [],
        "call": ["route_key", "request", "timeout_ms", "payload_type"],
        "tell": ["route_key", "request"],
        "discover": ["actor_type", "timeout_ms"],
        "shutdown": [],
        "wait_for_shutdown": [],
        "wait_for_ctrl_c_and_shutdown": [],
        "context": [],
    },
    Context: {
        "self_id": [],
        "caller_id": [],
        "request_id": [],
        "deadline": [],
        "discover": ["actor_type", "timeout_ms"],
        "discover_all": ["actor_type"],
        "watch": ["actor_type"],
        "call": ["dest", "route_key", "request", "timeout_ms", "payload_type"],
        "tell": ["dest", "route_key", "request"],
        "register_stream": ["stream_id", "callback", "sender"],
        "unregister_stream": ["stream_id"],
        "send_stream": ["dest", "data_stream", "payload_type"],
        "end_stream": ["dest", "stream_id"],
        "abort_stream": ["dest", "stream_id"],
        "open_stream": ["dest", "stream_id"],
        "stream": ["stream_id"],
    },
    Dest: {"shell": [], "local": [], "actor": ["id"], "type": ["type"]},
    DataStream: {"stream_id": [], "sequence": [], "payload": [], "timestamp_ms": [], "metadata": []},
    WorkloadBase: {
        "get_dispatcher": [],
        "on_start": ["ctx"],
        "on_ready": ["ctx"],
        "on_stop": ["ctx"],
        "on_error": ["ctx", "error"],
    },
}


@pytest.mark.parametrize("kind", PROMISED, ids=lambda kind: kind.__name__)
def test_methods_take_their_arguments_in_the_order_that_is_promised(kind: type) -> None:
    for name, promised in PROMISED[kind].items():
        parameters = [one for one in inspect.signature(getattr(kind, name)).parameters if one != "self"]
        assert parameters[: len(promised)] == promised, name


@pytest.mark.parametrize("method", [Context.call, ActrRef.call])
def test_a_call_takes_thirty_seconds_unless_told_otherwise(method: object) -> None:
    parameters = inspect.signature(method).parameters  # type: ignore[arg-type]
    assert parameters["timeout_ms"].default == 30_000
    assert parameters["payload_type"].default is None


def test_discover_does_not_wait_unless_told_to() -> None:
    assert inspect.signature(Context.discover).parameters["timeout_ms"].default == 0


def test_streams_are_reliable_unless_told_otherwise() -> None:
    assert inspect.signature(Context.send_stream).parameters["payload_type"].default is PayloadType.StreamReliable


def test_payload_types_have_the_numbers_that_users_know() -> None:
    assert {kind.name: kind.value for kind in PayloadType} == {
        "RpcReliable": 0,
        "RpcSignal": 1,
        "StreamReliable": 2,
        "StreamLatencyFirst": 3,
        "MediaRtp": 4,
    }


def test_every_promised_name_is_there_and_documented() -> None:
    for name in actrzmq.__all__:
        value = getattr(actrzmq, name)
        assert name.startswith("__") or inspect.getdoc(value), name
    assert set(actrzmq.__all__) == set(dir(actrzmq))
    with pytest.raises(AttributeError, match="no attribute 'Actor'"):
        actrzmq.Actor  # noqa: B018


def test_actor_types_and_ids_print_parse_compare_and_sort() -> None:
    kind = ActrType("acme", "StreamEchoServer")
    assert str(kind) == "acme+StreamEchoServer"
    assert ActrType.parse(str(kind)) == kind
    text = "1a2b3c@0:acme+StreamEchoServer"
    actor = ActrId.parse(text)
    assert (str(actor), actor.serial, actor.realm, actor.type) == (text, 0x1A2B3C, 0, kind)
    assert len({actor, ActrId.parse(text), ActrId.parse("1a2b3d@0:acme+StreamEchoServer")}) == 2
    texts = ["9@0:a+b", "10@0:a+b", "10@0:a+a"]
    assert [str(one) for one in sorted(map(ActrId.parse, texts))] == sorted(texts)


@pytest.mark.parametrize(
    "name", ["", "a" * 33, "1a", "-a", "a-", "a.", "a_", "a b", "é", "a+b", "a/b", "a\n", "ａ"], ids=ascii
)
def test_names_that_are_none_are_refused(name: str) -> None:
    for names in ((name, "Echo"), ("acme", name)):
        with pytest.raises(ActrConfigError):
            ActrType(*names)


@pytest.mark.parametrize("name", ["a", "A1", "a-b_c.d", "a" * 32])
def test_names_that_are_some_are_taken(name: str) -> None:
    assert ActrType.parse(f"{name}+{name}") == ActrType(name, name)


@pytest.mark.parametrize(
    "text", ["", "1@0", "1@0:acme", "01@0:a+b", "A@0:a+b", "1@-1:a+b", "1@01:a+b", "1@0:a+b ", "8000000000000000@0:a+b"]
)
def test_texts_that_are_no_id_are_refused(text: str) -> None:
    with pytest.raises(ActrConfigError):
        ActrId.parse(text)


def test_the_library_configures_no_logging_and_a_node_imports_no_tools() -> None:
    code = (
        "import logging, sys, actrzmq\n"
        "[getattr(actrzmq, name) for name in actrzmq.__all__]\n"
        "assert not logging.root.handlers and not logging.getLogger('actrzmq').handlers\n"
        "tools = {'grpc_tools', 'click', 'tomlkit', 'rich', 'supervisor', 'hypothesis', 'pytest'}\n"
        "print(sorted(tools & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")
