"""Actr.toml: what is taken, and in which words the rest is refused."""

import os
import re
from pathlib import Path

import pytest

from actrzmq import errors
from actrzmq.errors import ActrConfigError
from actrzmq.identity import ActrType
from actrzmq.manifest import (
    Dependency,
    Dispatch,
    Manifest,
    Permission,
    Rule,
    Runtime,
    StreamPath,
    Streams,
    load_manifest,
)
from tests.manifest.conftest import HEAD, Load

SERVER = """exports = ["protos/local/stream_server.proto"]
[package]
name = "stream-register-server-python"
[actr_type]
manufacturer = "acme"
name = "StreamEchoServer"
"""

CLIENT = """[dependencies]
stream-register-server-python = { actr_type = "acme+StreamEchoServer" }
[package]
name = "stream-register-client-python"
[actr_type]
manufacturer = "acme"
name = "StreamEchoClient"
"""

FULL = """edition = 1
exports = ["a.proto"]
[package]
name = "full"
description = "All keys"
authors = ["A <a@example.org>"]
license = "Apache-2.0"
tags = ["x", "y"]
[package.actr_type]
manufacturer = "acme"
name = "Full"
[dependencies]
a = {}
b = { actr_type = "acme+B" }
c = { name = "service-name", realm = 7, actr_type = "acme+C", fingerprint = "service_semantic:%s" }
[system.broker]
url = "tcp://127.0.0.1:6000"
[system.deployment]
realm_id = 3
[system.discovery]
visible = false
[system.dispatch]
concurrency = 1
queue = 10
[system.streams]
path = "relay"
window_frames = 4
window_bytes = 1000
memory = 9000
[system.runtime]
drain_ms = 500
uvloop = true
[system.observability]
filter_level = "warn"
[acl]
[[acl.rules]]
permission = "allow"
types = ["acme+Client"]
[[acl.rules]]
permission = "deny"
types = ["acme+Bad", "acme+Worse"]
[scripts]
run = "python server.py"
""" % ("0" * 64)


def export(folder: Path, name: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('syntax = "proto3";')
    return path


def test_the_server_manifest_of_the_specification_loads_as_it_stands(load: Load, tmp_path: Path) -> None:
    proto = export(tmp_path, "protos/local/stream_server.proto")
    manifest = load(SERVER, head="")
    assert manifest == Manifest(
        path=tmp_path / "Actr.toml",
        name="stream-register-server-python",
        actor_type=ActrType("acme", "StreamEchoServer"),
        exports=(proto,),
    )
    assert manifest.directory == tmp_path
    assert manifest.lock_path == tmp_path / "Actr.lock.toml"
    assert manifest.acl is None


def test_the_client_manifest_of_the_specification_loads_as_it_stands(load: Load) -> None:
    manifest = load(CLIENT, head="")
    alias = "stream-register-server-python"
    assert manifest.dependencies == {
        alias: Dependency(
            alias=alias, name=None, actor_type=ActrType("acme", "StreamEchoServer"), realm=0, fingerprint=None
        )
    }


def test_every_key_arrives_in_the_model(load: Load, tmp_path: Path) -> None:
    proto = export(tmp_path, "a.proto")
    manifest = load(FULL, head="")
    assert manifest == Manifest(
        path=tmp_path / "Actr.toml",
        name="full",
        description="All keys",
        authors=("A <a@example.org>",),
        license="Apache-2.0",
        tags=("x", "y"),
        actor_type=ActrType("acme", "Full"),
        exports=(proto,),
        dependencies={
            "a": Dependency(alias="a", name="a", actor_type=None, realm=3, fingerprint=None),
            "b": Dependency(alias="b", name=None, actor_type=ActrType("acme", "B"), realm=3, fingerprint=None),
            "c": Dependency(
                alias="c",
                name="service-name",
                actor_type=ActrType("acme", "C"),
                realm=7,
                fingerprint="service_semantic:" + "0" * 64,
            ),
        },
        broker_url="tcp://127.0.0.1:6000",
        realm=3,
        visible=False,
        dispatch=Dispatch(concurrency=1, queue=10),
        streams=Streams(path=StreamPath.RELAY, window_frames=4, window_bytes=1000, memory=9000),
        runtime=Runtime(drain_ms=500, uvloop=True),
        filter_level="warning",
        acl=(
            Rule(Permission.ALLOW, (ActrType("acme", "Client"),)),
            Rule(Permission.DENY, (ActrType("acme", "Bad"), ActrType("acme", "Worse"))),
        ),
        scripts={"run": "python server.py"},
    )


def test_an_empty_acl_is_not_the_same_as_none(load: Load) -> None:
    assert load("").acl is None
    assert load("[acl]\n").acl == ()


def test_both_places_of_actr_type_may_be_given_if_equal(load: Load) -> None:
    both = HEAD + '[actr_type]\nmanufacturer = "acme"\nname = "{}"\n'
    assert load(both.format("Echo"), head="").actor_type == ActrType("acme", "Echo")
    with pytest.raises(ActrConfigError, match=r"actr_type: expected the same as in package.actr_type"):
        load(both.format("Other"), head="")


def test_the_environment_overrides_the_broker(load: Load) -> None:
    text = '[system.broker]\nurl = "tcp://127.0.0.1:6000"\n'
    assert load(text, environ={"ACTRZMQ_BROKER": "tcp://127.0.0.1:7000"}).broker_url == "tcp://127.0.0.1:7000"
    assert load(text, environ={"ACTRZMQ_BROKER": ""}).broker_url == "tcp://127.0.0.1:6000"
    with pytest.raises(ActrConfigError, match="ACTRZMQ_BROKER='nonsense' is not an address"):
        load(text, environ={"ACTRZMQ_BROKER": "nonsense"})


def test_signaling_is_an_alias_of_broker(load: Load) -> None:
    assert load('[system.signaling]\nurl = "tcp://127.0.0.1:1"\n').broker_url == "tcp://127.0.0.1:1"


def test_a_manifest_from_a_windows_editor_loads(load: Load) -> None:
    assert load("", head="\ufeff" + HEAD.replace("\n", "\r\n")).name == "echo"


def test_a_relative_path_is_made_absolute(load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load("")
    monkeypatch.chdir(tmp_path)
    assert load_manifest("Actr.toml", {}).path == tmp_path / "Actr.toml"


TYPES = ", ".join(f'"acme+T{number}"' for number in range(1_000))
TOO_MANY_TYPES = "".join(
    f'[[acl.rules]]\npermission = "deny"\ntypes = [{types}]\n' for types in (TYPES, '"acme+Other"')
)

SENTENCES = [
    ("[sistem]\n", "unknown key sistem; did you mean system?"),
    ("[system.borker]\n", "unknown key system.borker; did you mean system.broker?"),
    ("[system.broker]\nurll = 1\n", "unknown key system.broker.urll; did you mean system.broker.url?"),
    ("[system.discovery]\nqqq = 1\n", "unknown key system.discovery.qqq; known here: visible"),
    ("[zzz]\n", "unknown key zzz; known here: edition, exports, package, actr_type"),
    ('["a\\nb"]\n', r'unknown key "a\\nb"; known here:'),
    ("[system.broker]\nurl = 7\n", "system.broker.url: expected a string, found 7"),
    (
        '[system.broker]\nurl = "tcp://x"\n',
        "system.broker.url: 'tcp://x' is not an address such as tcp://127.0.0.1:5570",
    ),
    ('[system.broker]\nurl = "tcp://10.0.0.1:5570"\n', "is not a loopback address"),
    ('[system.broker]\nurl = "tcp://a:0"\n', "expected a host and a port from 1 to 65535"),
    ('[system.broker]\nurl = "ipc://relative"\n', "is not an absolute path"),
    (
        '[system.signaling]\nurl = "ws://h/x"\n',
        "system.signaling.url: 'ws://h/x' is for a signaling server; this runtime",
    ),
    (
        '[system.broker]\nurl = "tcp://127.0.0.1:1"\n[system.signaling]\nurl = "tcp://127.0.0.1:2"\n',
        'system.signaling.url: expected the same as system.broker.url, tcp://127.0.0.1:1, found "tcp://127.0.0.1:2"',
    ),
    ("[system.webrtc]\nstun_urls = []\n", "system.webrtc: this runtime connects processes over ZeroMQ"),
    ('[system.ais_endpoint]\nurl = "x"\n', "system.ais_endpoint: this runtime connects processes over ZeroMQ"),
    ("[system]\nbroker = 3\n", "system.broker: expected a table, [system.broker], found 3"),
    ("[system.deployment]\nrealm_id = -1\n", "realm_id: expected a whole number from 0 to 4294967295, found -1"),
    ("[system.deployment]\nrealm_id = true\n", "realm_id: expected a whole number from 0 to 4294967295, found true"),
    ('[system.discovery]\nvisible = "yes"\n', 'system.discovery.visible: expected true or false, found "yes"'),
    ("[system.dispatch]\nconcurrency = 0\n", "system.dispatch.concurrency: expected a whole number from 1 to"),
    ('[system.streams]\npath = "both"\n', 'system.streams.path: expected one of auto, direct, relay, found "both"'),
    ('[system.streams]\npath = ["auto"]\n', "system.streams.path: expected one of auto, direct, relay, found a list"),
    ('[system.observability]\nfilter_level = "loud"\n', "filter_level: expected one of trace, debug, info, warn,"),
    ('[dependencies]\na = "acme+B"\n', "dependencies.a: expected a table: {} or { actr_type"),
    (
        '[dependencies]\na = { actr_type = "acme" }\n',
        "dependencies.a.actr_type: expected an actor type, as in acme+Echo",
    ),
    ('[dependencies]\na = { type = "x" }\n', "unknown key dependencies.a.type; did you mean dependencies.a.actr_type?"),
    ('[dependencies]\na = { name = "x y" }\n', "dependencies.a.name: expected a name of 1 to 128 bytes without white"),
    ('[dependencies]\n"../x" = {}\n', 'dependencies."../x": expected an alias of 1 to 64 ASCII letters'),
    ("[dependencies]\nnul = {}\n", "dependencies.nul: expected an alias"),
    ('[dependencies]\na = { fingerprint = "semantic:00" }\n', "dependencies.a.fingerprint: expected service_semantic:"),
    ("[acl]\nrules = 1\n", "acl.rules: expected tables, [[acl.rules]], found 1"),
    ('[[acl.rules]]\npermission = "maybe"\ntypes = ["a+B"]\n', "acl.rules[0].permission: expected one of allow, deny"),
    ('[[acl.rules]]\ntypes = ["a+B"]\n', "acl.rules[0].permission: expected one of allow, deny, found nothing"),
    ('[[acl.rules]]\npermission = "allow"\n', "acl.rules[0].types: expected at least one actor type"),
    ('[[acl.rules]]\npermission = "allow"\ntypes = ["a+B", "c"]\n', "acl.rules[0].types[1]: expected an actor type"),
    (TOO_MANY_TYPES, "acl.rules: expected at most 1000 types in all, found 1001"),
    ("[scripts]\nrun = 1\n", "scripts.run: expected a command line, found 1"),
    ("[package]\n", "expected valid TOML, found"),
    (f"[system.deployment]\nrealm_id = {'9' * 50}\n", "found a number of more than 64 bits"),
    (f"[system.deployment]\nrealm_id = {'9' * 5000}\n", "expected valid TOML, found"),
]


@pytest.mark.parametrize(("text", "sentence"), SENTENCES)
def test_a_wrong_key_is_named_with_what_was_expected(load: Load, tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(ActrConfigError) as raised:
        load(text)
    message = str(raised.value)
    assert message.startswith(f"{tmp_path}/Actr.toml: ")
    assert sentence in message
    assert "\n" not in message
    assert isinstance(raised.value, ValueError)
    assert raised.value.code is errors.Status.INVALID_ARGUMENT


HEADS = [
    ("", "package.name: expected a name, as in my-service, found nothing"),
    ('[package]\nnam = "x"\n', "unknown key package.nam; did you mean package.name?"),
    ('[package]\nname = ""\n[actr_type]\nmanufacturer="a"\nname="B"\n', "package.name: expected a name of 1 to 128"),
    ('[package]\nname = "x"\n', "package.actr_type: expected a table with manufacturer and name"),
    ('[package]\nname = "x"\n[actr_type]\nname = "B"\n', "actr_type.manufacturer: expected a string, found nothing"),
    ('[package]\nname = "x"\n[actr_type]\nname = "B"\nmanufacturer = "1"\n', "actr_type: expected manufacturer and"),
    ('[package]\nname = "x"\nactr_type = "a+B"\n', "package.actr_type: expected a table, [package.actr_type], found"),
    ('exports = "a.proto"\n' + HEAD, 'exports: expected a list of strings, found "a.proto"'),
    ('exports = ["no.proto"]\n' + HEAD, "exports[0]: expected a .proto file in the project, relative to the manifest"),
    ('exports = ["../x.proto"]\n' + HEAD, "'../x.proto', which is outside"),
    ('exports = ["/etc/x.proto"]\n' + HEAD, "exports[0]: expected a .proto file in the project"),
    ('exports = ["Actr.toml"]\n' + HEAD, "exports[0]: expected a .proto file in the project"),
    ('exports = ["%s.proto"]\n' % ("x" * 5000) + HEAD, "exports[0]: expected a .proto file in the project"),
    ("edition = 2\n" + HEAD, "edition: expected a whole number from 1 to 1, found 2"),
    (HEAD + HEAD, "expected valid TOML, found Cannot declare"),
    ("a = [" + "[" * 5000, "expected at most 32 levels of nesting"),
    (".".join("a" * 40) + " = 1", "expected at most 32 levels of nesting"),
    ("[" + " . ".join(['"b"'] * 40) + "]", "expected at most 32 levels of nesting"),
]


@pytest.mark.parametrize(("text", "sentence"), HEADS)
def test_a_wrong_head_is_named_with_what_was_expected(load: Load, text: str, sentence: str) -> None:
    with pytest.raises(ActrConfigError, match=re.escape(sentence)):
        load(text, head="")


def test_the_error_carries_file_key_and_expectation_for_programs(load: Load, tmp_path: Path) -> None:
    with pytest.raises(ActrConfigError) as raised:
        load("[system.discovery]\nvisible = 1\n")
    assert raised.value.details == {
        "file": str(tmp_path / "Actr.toml"),
        "key": "system.discovery.visible",
        "expected": "true or false",
    }


def test_an_export_twice_is_refused(load: Load, tmp_path: Path) -> None:
    export(tmp_path, "a.proto")
    with pytest.raises(ActrConfigError, match=r"exports\[1\]: expected each file once"):
        load('exports = ["a.proto", "./a.proto"]\n' + HEAD, head="")


def test_an_export_through_a_link_that_leads_outside_is_refused(
    load: Load, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = export(tmp_path_factory.mktemp("outside"), "a.proto")
    (tmp_path / "a.proto").symlink_to(outside)
    with pytest.raises(ActrConfigError, match="which is outside"):
        load('exports = ["a.proto"]\n' + HEAD, head="")


def test_a_project_behind_a_link_loads(load: Load, tmp_path: Path) -> None:
    export(tmp_path, "real/a.proto")
    (tmp_path / "real" / "Actr.toml").write_text('exports = ["a.proto"]\n' + HEAD)
    (tmp_path / "link").symlink_to("real")
    assert load_manifest(tmp_path / "link" / "Actr.toml", {}).exports == (tmp_path / "link" / "a.proto",)


def test_a_missing_manifest_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ActrConfigError, match="no such file; give the path of a project's"):
        load_manifest(tmp_path / "Actr.toml")


def test_a_folder_or_a_pipe_is_no_manifest(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(ActrConfigError, match="expected a regular file"):
            load_manifest(path)


def test_a_name_that_no_file_can_have_is_refused() -> None:
    with pytest.raises(ActrConfigError, match="is not the name of a file"):
        load_manifest("a\0b")
    with pytest.raises(ActrConfigError, match="can't be read"):
        load_manifest("x" * 5000)


def test_a_large_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "Actr.toml"
    path.write_bytes(b"#" * (1024 * 1024 + 1))
    with pytest.raises(ActrConfigError, match="expected at most 1048576 bytes, found more"):
        load_manifest(path)
