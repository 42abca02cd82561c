"""`actr check` says what a start would need and does not find, with what to do, and changes nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cli.inside import Folder, Ran
from tests.codegen.protos import STREAM_CLIENT, STREAM_SERVER
from tests.contracts.test_fingerprint import GOLDEN_FILE, GOLDEN_SERVICE

LOCK = f"""
[metadata]
version = 1

[[dependency]]
name = "echo"
actr_type = "acme+StreamEchoServer"
fingerprint = "{GOLDEN_SERVICE}"

[[dependency.files]]
path = "echo/stream_server.proto"
fingerprint = "{GOLDEN_FILE}"
"""
REMOTE = "protos/remote/echo/stream_server.proto"
DEPENDENCY = 'echo = { actr_type = "acme+StreamEchoServer" }'


@pytest.fixture
def project(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Folder:
    """A project with an exported contract, a dependency, and all that it needs."""
    project = Folder(tmp_path, capsys, monkeypatch)
    project.write("protos/local/stream_client.proto", STREAM_CLIENT)
    project.write(REMOTE, STREAM_SERVER)
    project.write("Actr.lock.toml", LOCK)
    project.manifest("protos/local/stream_client.proto", dependencies=DEPENDENCY)
    assert project.actr("gen").code == 0
    return project


def failures(ran: Ran) -> list[str]:
    return [line for line in ran.out.splitlines() if line.startswith("FAIL")]


def test_a_project_that_has_all_passes(project: Folder) -> None:
    before = project.files()
    ran = project.actr("check", "--offline")
    assert (ran.code, ran.err) == (0, "")
    assert [line.partition(":")[0] for line in ran.out.splitlines()] == [
        "PASS manifest",
        "PASS exports",
        "PASS lock file",
        "PASS dependency echo",
        "PASS generated code",
    ]
    assert project.files() == before


def test_json_says_the_same(project: Folder) -> None:
    (project.path / "Actr.lock.toml").unlink()
    ran = project.actr("check", "--offline", "--json")
    assert ran.code == 2
    assert ran.json["ready"] is False
    assert {
        "outcome": "FAIL",
        "subject": "lock file",
        "message": "Actr.lock.toml is not there",
        "next": "run `actr install`",
    } in ran.json["checks"]


def test_before_the_first_install_there_is_one_thing_to_do(project: Folder) -> None:
    (project.path / "Actr.lock.toml").unlink()
    shutil.rmtree(project.path / "protos" / "remote")
    ran = project.actr("check", "--offline")
    assert ran.code == 2
    bad = [line for line in ran.out.splitlines() if not line.startswith("PASS")]
    assert bad == ["FAIL lock file: Actr.lock.toml is not there; run `actr install`"]


def test_a_project_without_contracts_needs_neither_lock_file_nor_generated_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = Folder(tmp_path, capsys, monkeypatch)
    bare.manifest()
    assert bare.actr("check", "--offline") == (0, "PASS manifest: thing is acme+Thing\n", "")


def test_a_lock_file_with_comments_and_layout_of_the_cached_file_changed_still_passes(project: Folder) -> None:
    project.write(REMOTE, "// Another layout\n" + STREAM_SERVER.replace("  ", "\t"))
    project.actr("gen")
    assert project.actr("check", "--offline").code == 0


MISTAKES = {
    "a broken manifest": ("Actr.toml", "= 1", 2, "FAIL manifest: "),
    "an export that protoc refuses": (
        "protos/local/stream_client.proto",
        "message {",
        2,
        "FAIL exports: protos/local/stream_client.proto:1:",
    ),
    "a broken lock file": ("Actr.lock.toml", "= 1", 2, "FAIL lock file: "),
    "a dependency that is not locked": (
        "Actr.lock.toml",
        "[metadata]\nversion = 1\n",
        2,
        "FAIL dependency echo: is in the manifest, but not in the lock file; run `actr install`",
    ),
    "a lock of another type": (
        "Actr.lock.toml",
        LOCK.replace("acme+StreamEchoServer", "acme+Other"),
        2,
        "FAIL dependency echo: the manifest wants the actor type acme+StreamEchoServer, the lock file has acme+Other",
    ),
    "a cached file that was changed": (
        REMOTE,
        STREAM_SERVER.replace("int32", "int64"),
        2,
        "FAIL dependency echo: protos/remote/echo: echo/stream_server.proto means something else than what was locked",
    ),
    "a cached file that nobody locked": (
        "protos/remote/echo/more.proto",
        'syntax = "proto3";',
        2,
        "FAIL dependency echo: protos/remote/echo: echo/more.proto is there, but not in the lock file",
    ),
    "a lock of another contract": (
        "Actr.lock.toml",
        LOCK.replace(GOLDEN_SERVICE, "service_semantic:" + "0" * 64),
        2,
        f"FAIL dependency echo: protos/remote/echo: the files make {GOLDEN_SERVICE}",
    ),
    "stale code": (
        "protos/local/stream_client.proto",
        STREAM_CLIENT + "message More {}",
        1,
        "FAIL generated code: generated/",
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_what_is_wrong_fails_with_its_exit_code_and_is_named(project: Folder, case: str) -> None:
    path, text, code, words = MISTAKES[case]
    project.write(path, text)
    before = project.files()
    ran = project.actr("check", "--offline")
    assert ran.code == code
    assert any(line.startswith(words) for line in failures(ran)), ran.out
    assert ran.err == ""
    assert project.files() == before


def test_missing_files_of_a_dependency_fail_with_what_to_do(project: Folder) -> None:
    (project.path / REMOTE).unlink()
    ran = project.actr("check", "--offline")
    assert ran.code == 2
    assert "FAIL dependency echo: the dependency 'echo' has no files in protos/remote/echo" in ran.out


def test_what_the_lock_file_has_too_much_is_a_warning(project: Folder) -> None:
    project.manifest("protos/local/stream_client.proto")
    project.actr("gen")
    ran = project.actr("check", "--offline")
    assert ran.code == 0
    assert "WARN dependency echo: is in the lock file, but not in the manifest; run `actr install`\n" in ran.out


def test_no_colours_where_there_is_no_terminal(project: Folder) -> None:
    assert "\x1b" not in project.actr("check", "--offline").out
