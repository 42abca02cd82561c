"""`actr describe`: the published contract, in words and as JSON, also of a service that no longer runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli import lab
from tests.cli.commands import actr, refused
from tests.cli.conftest import Actr
from tests.cli.lab import TYPE
from tests.e2e.world import World


def test_a_service_is_shown_with_its_comments(at_lab: Actr) -> None:
    found = at_lab("describe", TYPE)
    assert (found.returncode, found.stderr) == (0, "")
    assert "// acme+Lab · lab: Tries things out.\n" in found.stdout
    assert "// tags: test\n" in found.stdout
    assert "live instances: 1" in found.stdout
    assert (
        "service lab.Lab {\n  // Says what it is told.\n  rpc Echo(lab.Sample) returns (lab.Sample);\n" in found.stdout
    )
    assert "  map<string, int32> counts = 4;\n" in found.stdout
    assert "  optional double ratio = 7;\n" in found.stdout


def test_it_goes_by_the_published_name_too(at_lab: Actr) -> None:
    assert at_lab("describe", "lab").stdout == at_lab("describe", TYPE).stdout


def test_a_method_comes_with_its_messages(at_lab: Actr) -> None:
    found = at_lab("describe", TYPE, "Fail")
    assert found.stdout.startswith("// lab.Lab.Fail\n// Raises the error of that name.\nrpc Fail(lab.Sample) returns (")
    assert found.stdout.count("message lab.Sample {") == 1


@pytest.mark.parametrize(("symbol", "kind"), [("lab.Other", "service"), ("Sample", "message"), ("Colour", "enum")])
def test_one_declaration_is_shown_alone(at_lab: Actr, symbol: str, kind: str) -> None:
    found = at_lab("describe", TYPE, symbol)
    assert found.stdout.startswith(f"{kind} lab.")
    assert json.loads(at_lab("describe", TYPE, symbol, "--json").stdout)["kind"] == kind


def test_as_json_it_is_one_document_with_all_facts(at_lab: Actr) -> None:
    found = json.loads(at_lab("describe", TYPE, "--json").stdout)
    assert found["actor_type"] == TYPE
    assert found["fingerprint"].startswith("service_semantic:")
    assert found["live"] == 1
    assert found["files"][0]["services"][0]["methods"][0]["doc"] == "Says what it is told."


def test_an_unknown_name_is_told_the_known_ones(at_lab: Actr) -> None:
    said = refused(at_lab("describe", TYPE, "Smaple"), 4)
    assert "lab.Lab.Echo" in said
    assert "did you mean lab.Sample?" in said


def test_an_ambiguous_name_is_told_which_it_may_be(at_lab: Actr) -> None:
    assert "lab.Lab.Echo, lab.Other.Echo" in refused(at_lab("describe", TYPE, "Echo"), 2)


def test_a_service_that_has_stopped_is_still_described_but_can_not_be_called(folder: Path, tmp_path: Path) -> None:
    world = World(folder, tmp_path)
    try:
        world.broker()
        server = lab.start(world, folder)
        running = actr("describe", TYPE, "--json", cwd=tmp_path, ACTRZMQ_BROKER=world.url)
        server.stop()
        stopped = actr("describe", TYPE, "--json", cwd=tmp_path, ACTRZMQ_BROKER=world.url)
        assert json.loads(stopped.stdout) == {**json.loads(running.stdout), "live": 0}
        said = refused(actr("call", TYPE, "lab.Lab.Echo", cwd=tmp_path, ACTRZMQ_BROKER=world.url), 4)
        assert f"no live node of type {TYPE}" in said
    finally:
        world.stop()


def test_a_version_can_be_asked_for_by_its_fingerprint(at_lab: Actr) -> None:
    fingerprint = json.loads(at_lab("describe", TYPE, "--json").stdout)["fingerprint"]
    assert at_lab("describe", TYPE, "--fingerprint", fingerprint).returncode == 0
    other = fingerprint.rpartition(":")[0] + ":" + "0" * 64
    assert TYPE in refused(at_lab("describe", TYPE, "--fingerprint", other), 4)
