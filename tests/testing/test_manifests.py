"""Who a node is that a test starts: what is given, what its project says, or what follows from its service."""

from __future__ import annotations

from pathlib import Path

import pytest

from actrzmq import ActrConfigError, ActrType, Dispatcher, WorkloadBase
from actrzmq.manifest import StreamPath
from actrzmq.testing.manifests import DRAIN_MS, manifest_for

PROJECT = '[package]\nname = "greeter"\nactr_type = { manufacturer = "acme", name = "Greeter" }\n'


def workload(service: str = "demo.sub.Greeter", contract: Path | None = None) -> WorkloadBase:
    members = {"service": service, "contract": contract}
    return WorkloadBase(type("Made", (Dispatcher,), members)())


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose code was generated."""
    (tmp_path / "project" / "generated").mkdir(parents=True)
    (tmp_path / "project" / "Actr.toml").write_text(PROJECT)
    return tmp_path / "project"


def test_a_service_without_a_project_gives_its_name(tmp_path: Path) -> None:
    found = manifest_for([workload(), workload("other.Second")], tmp_path)
    assert (found.actor_type, found.name) == (ActrType("test", "Greeter"), "greeter")
    assert found.runtime.drain_ms == DRAIN_MS


def test_generated_code_belongs_to_a_project_which_says_who_it_is(project: Path, tmp_path: Path) -> None:
    generated = workload(contract=project / "generated" / "contract.json")
    assert manifest_for([workload("plain.One"), generated], tmp_path).actor_type == ActrType("acme", "Greeter")


def test_what_is_given_goes_first(project: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text(PROJECT.replace("Greeter", "Other"))
    generated = workload(contract=project / "generated" / "contract.json")
    assert manifest_for([generated], tmp_path, other).actor_type == ActrType("acme", "Other")
    assert manifest_for([generated], tmp_path, None, "acme+Third", "x").actor_type == ActrType("acme", "Third")


def test_a_manifest_that_is_made_up_takes_more(tmp_path: Path) -> None:
    more = '[system.streams]\npath = "relay"\n[system.runtime]\ndrain_ms = 7\n'
    found = manifest_for([], tmp_path, toml=more)
    assert (found.streams.path, found.runtime.drain_ms) == (StreamPath.RELAY, 7)


@pytest.mark.parametrize(
    ("more", "drain_ms"),
    [
        ("[system]\nruntime = { drain_ms = 7 }", 7),
        ("[system]\nruntime.uvloop = true", DRAIN_MS),
        ("system.runtime.drain_ms = 7", 7),
        ("[system.runtime]\nuvloop = true", DRAIN_MS),
    ],
)
def test_more_may_be_said_in_each_way_that_toml_has(tmp_path: Path, more: str, drain_ms: int) -> None:
    assert manifest_for([], tmp_path, toml=more).runtime.drain_ms == drain_ms


@pytest.mark.parametrize("name", ["it's", 'it\'s-"x"', "grüße", "🙂"])
def test_a_name_arrives_as_it_was_given(tmp_path: Path, name: str) -> None:
    assert manifest_for([], tmp_path, name=name).name == name


def test_the_environment_of_who_runs_the_tests_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACTRZMQ_BROKER", "nonsense")
    manifest_for([], tmp_path)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"toml": "[system.streem]"}, "streams"),
        ({"actor_type": "Greeter"}, "Greeter"),
        ({"given": "nowhere.toml"}, "nowhere.toml"),
    ],
)
def test_what_can_not_be_is_refused_in_words(tmp_path: Path, arguments: dict[str, str], words: str) -> None:
    with pytest.raises(ActrConfigError, match=words):
        manifest_for([workload()], tmp_path, **arguments)


def test_more_is_not_added_to_a_file_that_is_there(project: Path, tmp_path: Path) -> None:
    with pytest.raises(ActrConfigError, match=r"toml= is for a node without a manifest; this one has .*Actr\.toml"):
        manifest_for([], tmp_path, project / "Actr.toml", toml="[system.runtime]")


def test_generated_code_without_a_project_is_told_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ActrConfigError, match=r"no Actr\.toml in the folders above it; give the node a manifest="):
        manifest_for([workload(contract=tmp_path / "generated" / "contract.json")], tmp_path)
