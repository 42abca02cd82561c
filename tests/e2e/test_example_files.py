"""The files of examples/stream-echo are what the specification and `actr install` say."""

from pathlib import Path

from actrzmq.codegen.protoc import compile_protos
from actrzmq.codegen.sources import read_sources
from actrzmq.contracts.fingerprint import file_fingerprint, service_fingerprint
from actrzmq.identity import ActrType
from actrzmq.manifest import load_lock, load_manifest

EXAMPLE = Path(__file__).parents[2] / "examples" / "stream-echo"
SERVER = EXAMPLE / "server"
CLIENT = EXAMPLE / "client"
ALIAS = "stream-register-server-python"


def test_the_manifests_load() -> None:
    assert load_manifest(SERVER / "Actr.toml", {}).actor_type == ActrType("acme", "StreamEchoServer")
    assert set(load_manifest(CLIENT / "Actr.toml", {}).dependencies) == {ALIAS}


def test_the_servers_lock_has_no_dependencies() -> None:
    assert load_lock(SERVER / "Actr.lock.toml").dependencies == {}


def test_the_clients_lock_has_the_fingerprints_of_the_file_beside_it() -> None:
    locked = load_lock(CLIENT / "Actr.lock.toml").dependencies[ALIAS]
    cached = CLIENT / "protos" / "remote" / ALIAS / "stream_server.proto"
    descriptors = compile_protos(read_sources(cached.parent, "remote"))
    fingerprint = file_fingerprint(descriptors["stream_server.proto"])
    assert [(file.path, file.fingerprint) for file in locked.files] == [(f"{ALIAS}/stream_server.proto", fingerprint)]
    assert locked.fingerprint == service_fingerprint([("stream_server.proto", fingerprint)])
    assert locked.fingerprint.endswith("8cd6382d374752af9f3ad1488cb4d465dd0fc1a8e22b69eee6e5a75d793d0708")


def test_the_cached_contract_is_the_servers_own_file() -> None:
    cached = CLIENT / "protos" / "remote" / ALIAS / "stream_server.proto"
    assert cached.read_bytes() == (SERVER / "protos" / "local" / "stream_server.proto").read_bytes()
