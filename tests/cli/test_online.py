"""`actr check` with a broker: which instances there are, and whether one of them keeps to what was locked."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cli import lab
from tests.cli.commands import actr
from tests.e2e.world import Program, World
from tests.manifest.locks import lock_text

CLIENT = """
[package]
name = "client"
[package.actr_type]
manufacturer = "acme"
name = "Client"
[dependencies]
lab = {{ {what} }}
"""


def write_client(folder: Path, proto: str, what: str = 'actr_type = "acme+Lab"') -> None:
    """A client that has locked `proto` as the contract of the lab."""
    remote = folder / "protos" / "remote" / "lab"
    remote.mkdir(parents=True, exist_ok=True)
    (remote / "lab.proto").write_text(proto)
    (folder / "Actr.toml").write_text(CLIENT.format(what=what))
    (folder / "Actr.lock.toml").write_text(lock_text("lab", "acme+Lab", {"lab.proto": proto}))
    assert actr("gen", cwd=folder).returncode == 0


def last_line(found: str) -> str:
    return found.splitlines()[-1]


@pytest.fixture
def client(tmp_path: Path) -> Path:
    return tmp_path


@pytest.mark.parametrize("what", ['actr_type = "acme+Lab"', 'name = "lab"', ""])
def test_an_instance_with_the_locked_contract_passes(world: World, server: Program, client: Path, what: str) -> None:
    write_client(client, lab.PROTO, what)
    found = actr("check", cwd=client, ACTRZMQ_BROKER=world.url)
    assert found.returncode == 0, found.stdout
    assert f"PASS broker: {world.url} answers\n" in found.stdout
    assert last_line(found.stdout) == "PASS instances of lab: 1 ready, with the locked contract"


def test_an_instance_that_offers_more_passes(world: World, server: Program, client: Path) -> None:
    write_client(client, lab.PROTO.replace("string stream_id = 8;", "").replace("name = 1", "title = 1"))
    found = actr("check", cwd=client, ACTRZMQ_BROKER=world.url)
    assert found.returncode == 0, found.stdout
    assert "is compatible with the locked one" in last_line(found.stdout)


def test_an_instance_that_breaks_what_was_locked_fails_with_the_finding(
    world: World, server: Program, client: Path
) -> None:
    write_client(client, lab.PROTO.replace("int64 big", "string big"))
    found = actr("check", cwd=client, ACTRZMQ_BROKER=world.url)
    assert found.returncode == 6, found.stdout
    assert last_line(found.stdout) == (
        "FAIL instances of lab: 1 ready, and all break the locked contract: lab.proto: FIELD_WIRE_COMPATIBLE_TYPE "
        "lab.Sample.big: field 2 had the type string and has int64 now; run `actr install --update lab` and mend the "
        "calls, or start an instance of the old contract"
    )


@pytest.mark.parametrize("what", ['actr_type = "acme+Lab", realm = 7', 'name = "other", actr_type = "acme+Lab"'])
def test_a_dependency_that_is_not_there_fails_with_what_to_do(
    world: World, server: Program, client: Path, what: str
) -> None:
    write_client(client, lab.PROTO, what)
    lock = client / "Actr.lock.toml"
    if "other" in what:
        lock.write_text(lock.read_text().replace('name = "lab"', 'name = "lab"\npackage = "other"'))
    found = actr("check", cwd=client, ACTRZMQ_BROKER=world.url)
    assert found.returncode == 4, found.stdout
    assert last_line(found.stdout).startswith("FAIL instances of lab: no live node of acme+Lab in realm ")
    assert last_line(found.stdout).endswith("; start one")


def test_no_broker_fails_and_is_left_out_on_request(client: Path) -> None:
    write_client(client, lab.PROTO)
    nowhere = "tcp://127.0.0.1:1"
    found = actr("check", cwd=client, ACTRZMQ_BROKER=nowhere)
    assert found.returncode == 3, found.stdout
    assert last_line(found.stdout).startswith("FAIL broker: ")
    assert nowhere in last_line(found.stdout)
    assert actr("check", "--offline", cwd=client, ACTRZMQ_BROKER=nowhere).returncode == 0


def test_the_exports_are_compared_with_what_the_broker_has(
    world: World, server: Program, folder: Path, tmp_path: Path
) -> None:
    for name in ("Actr.toml", "protos"):
        (shutil.copytree if name == "protos" else shutil.copy)(folder / name, tmp_path / name)
    same = actr("check", "--breaking", "broker", cwd=tmp_path, ACTRZMQ_BROKER=world.url)
    assert (same.returncode, same.stdout) == (0, "identical to broker (FILE)\n")
    proto = tmp_path / "protos" / "local" / "lab.proto"
    proto.write_text(proto.read_text().replace("rpc Sleep(Sample) returns (Sample);", ""))
    found = actr("check", "--breaking", "broker", cwd=tmp_path, ACTRZMQ_BROKER=world.url)
    assert (found.returncode, found.stdout) == (
        6,
        "lab.proto: RPC_NO_DELETE lab.Lab.Sleep: method Sleep is gone from lab.Lab\n",
    )


def test_a_service_that_was_never_published_can_not_be_compared(
    world: World, server: Program, folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(folder / "protos", tmp_path / "protos")
    (tmp_path / "Actr.toml").write_text((folder / "Actr.toml").read_text().replace('name = "lab"', 'name = "unheard"'))
    found = actr("check", "--breaking", "broker", cwd=tmp_path, ACTRZMQ_BROKER=world.url)
    assert found.returncode == 4
    assert "unheard" in found.stderr
