"""Contracts travel as JSON, and a node notices when its own is out of date."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from actrzmq.contracts.bundle import (
    Contract,
    check_fresh,
    contract_file,
    contract_of,
    from_json,
    read_contract,
    to_json,
)
from actrzmq.errors import ActrConfigError
from tests.codegen.protos import STREAM_SERVER, compiled

OTHER = 'syntax = "proto3"; message Other { }\r\n// ende: ö\n'


def contract(**files: str) -> Contract:
    found = compiled(**files)
    return contract_of(contract_file(f"{name}.proto", text, found[f"{name}.proto"]) for name, text in files.items())


def test_a_contract_survives_its_json() -> None:
    made = contract(stream_server=STREAM_SERVER, other=OTHER)
    assert from_json(to_json(made), Path("contract.json")) == made


def test_the_first_line_of_the_json_says_who_wrote_it() -> None:
    first = to_json(contract(other=OTHER)).splitlines()[0]
    assert "actr gen" in first


def test_a_contract_holds_sources_descriptors_and_fingerprints() -> None:
    (file,) = contract(stream_server=STREAM_SERVER).files
    assert file.source == STREAM_SERVER
    assert file.parsed().service[0].name == "StreamServer"
    assert not file.parsed().HasField("source_code_info")
    assert file.fingerprint.startswith("semantic:ebcc9ee8")


@pytest.mark.parametrize("key", ["digest", "fingerprint", "source"])
def test_a_contract_edited_by_hand_is_refused(key: str) -> None:
    data = json.loads(to_json(contract(other=OTHER)))
    data["files"][0][key] += "0"
    with pytest.raises(ActrConfigError, match=r"contract\.json.*run `actr gen`"):
        from_json(json.dumps(data), Path("contract.json"))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"fingerprint": 1}', "<<<<<<< HEAD\n{}", '"\\ud800"'])
def test_what_is_not_a_contract_is_refused_in_words(text: str) -> None:
    with pytest.raises(ActrConfigError, match=r"is not a contract.*run `actr gen`"):
        from_json(text, Path("contract.json"))


def test_paths_that_lead_elsewhere_are_refused_in_a_contract() -> None:
    data = json.loads(to_json(contract(other=OTHER)))
    data["files"][0]["path"] = "../other.proto"
    with pytest.raises(ActrConfigError, match=r"\.\./other\.proto"):
        from_json(json.dumps(data), Path("contract.json"))


def test_two_files_of_one_base_name_are_refused_by_name() -> None:
    found = compiled(other=OTHER)["other.proto"]
    with pytest.raises(ActrConfigError, match=r"'a/other\.proto' and 'b/other\.proto'"):
        contract_of(contract_file(path, OTHER, found) for path in ("a/other.proto", "b/other.proto"))


def test_a_missing_contract_says_to_run_gen(tmp_path: Path) -> None:
    with pytest.raises(ActrConfigError, match=r"contract\.json can't be read.*run `actr gen`"):
        read_contract(tmp_path / "contract.json")
    with pytest.raises(ActrConfigError, match=r"a\.proto was never generated; run `actr gen`"):
        check_fresh(None, [tmp_path / "a.proto"])
    check_fresh(None, [])


def test_a_contract_is_fresh_until_an_export_changes(tmp_path: Path) -> None:
    export = tmp_path / "other.proto"
    export.write_bytes(OTHER.encode())
    made = contract(other=OTHER)
    check_fresh(made, [export])
    export.write_bytes(OTHER.encode() + b"\n")
    with pytest.raises(ActrConfigError, match=r"other\.proto has changed.*run `actr gen`"):
        check_fresh(made, [export])


def test_a_contract_is_stale_when_exports_come_and_go(tmp_path: Path) -> None:
    export = tmp_path / "other.proto"
    export.write_bytes(OTHER.encode())
    more = tmp_path / "more.proto"
    made = contract(other=OTHER)
    with pytest.raises(ActrConfigError, match=r"more\.proto is exported but not in.*run `actr gen`"):
        check_fresh(made, [export, more])
    with pytest.raises(ActrConfigError, match=r"other\.proto.*no longer exported; run `actr gen`"):
        check_fresh(made, [])
    export.unlink()
    with pytest.raises(ActrConfigError, match=r"other\.proto is exported but can't be read"):
        check_fresh(made, [export])


def test_contracts_are_read_without_the_compiler_or_the_command_line() -> None:
    script = (
        "import sys, actrzmq.contracts.bundle, actrzmq.runtime.descriptors, actrzmq.runtime.messages;"
        "print([name for name in ('grpc_tools', 'click', 'tomlkit', 'rich') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
