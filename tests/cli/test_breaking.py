"""`actr check --breaking` compares the exports with those of a revision or folder, and changes nothing."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.cli.inside import Folder

HEAD = 'syntax = "proto3"; package p; '
OLD = HEAD + "message A { int32 a = 1; } service S { rpc M(A) returns (A); }"
RENAMED = OLD.replace("int32 a", "int32 b")
BROKEN = OLD.replace("int32 a", "string a")
FINDING = "a.proto: FIELD_SAME_TYPE p.A.a: field 1 had the type int32 and has string now\n"

AS_ME = ("-c", "user.name=me", "-c", "user.email=me@example.org")


def git(folder: Path, *arguments: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    subprocess.run(
        ["git", *AS_ME, "-c", "init.defaultBranch=main", *arguments],
        cwd=folder,
        env=environment | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull},
        check=True,
        capture_output=True,
    )


@pytest.fixture
def project(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Folder:
    """A project that exports one file, in a folder of its own."""
    for name in list(os.environ):
        if name.startswith("GIT_"):
            monkeypatch.delenv(name)
    folder = tmp_path / "work" / "project"
    folder.mkdir(parents=True)
    project = Folder(folder, capsys, monkeypatch)
    project.write("protos/local/a.proto", OLD)
    project.manifest("protos/local/a.proto")
    return project


@pytest.fixture
def committed(project: Folder) -> Folder:
    """The same, committed to a repository whose top is the folder above."""
    git(project.path.parent, "init")
    git(project.path.parent, "add", ".")
    git(project.path.parent, "commit", "-m", "first")
    return project


def test_nothing_changed_is_identical_and_exits_0(committed: Folder) -> None:
    ran = committed.actr("check", "--breaking", "HEAD")
    assert ran == (0, "identical to HEAD (FILE)\n", "")


def test_what_breaks_is_one_line_each_and_exits_6(committed: Folder) -> None:
    committed.write("protos/local/a.proto", BROKEN)
    assert committed.actr("check", "--breaking", "main") == (6, FINDING, "")


def test_the_level_decides_whether_a_name_counts(committed: Folder) -> None:
    committed.write("protos/local/a.proto", RENAMED)
    assert committed.actr("check", "--breaking", "HEAD").code == 6
    ran = committed.actr("check", "--breaking", "HEAD", "--level", "wire")
    assert ran == (0, "compatible with HEAD (WIRE)\n", "")


def test_json_has_every_part_of_a_finding(committed: Folder) -> None:
    committed.write("protos/local/a.proto", BROKEN)
    ran = committed.actr("check", "--breaking", "HEAD", "--json")
    assert ran.code == 6
    assert ran.json == {
        "against": "HEAD",
        "level": "FILE",
        "verdict": "breaking",
        "findings": [
            {
                "file": "a.proto",
                "rule": "FIELD_SAME_TYPE",
                "element": "p.A.a",
                "message": "field 1 had the type int32 and has string now",
            }
        ],
    }


def test_a_revision_is_taken_from_git_and_neither_files_nor_index_change(committed: Folder) -> None:
    committed.write("protos/local/a.proto", BROKEN)
    git(committed.path, "add", ".")
    committed.write("protos/local/a.proto", RENAMED)
    top = committed.path.parent
    before = {str(file): file.read_bytes() for file in top.rglob("*") if file.is_file()}
    assert committed.actr("check", "--breaking", "HEAD").code == 6
    assert {str(file): file.read_bytes() for file in top.rglob("*") if file.is_file()} == before


def test_a_file_that_is_no_longer_exported_is_found_by_the_old_manifest(committed: Folder) -> None:
    committed.write("protos/local/b.proto", HEAD + "message B {}")
    committed.manifest("protos/local/b.proto")
    ran = committed.actr("check", "--breaking", "HEAD")
    assert ran == (6, "a.proto: FILE_NO_DELETE a.proto: the file is gone, or no longer exported\n", "")


def test_files_that_were_never_exported_don_t_count(committed: Folder) -> None:
    committed.write("protos/local/own.proto", HEAD + "message Own { int32 x = 1; }")
    git(committed.path, "add", ".")
    git(committed.path, "commit", "-m", "second")
    committed.write("protos/local/own.proto", HEAD + "message Own {}")
    assert committed.actr("check", "--breaking", "HEAD").code == 0


@pytest.mark.parametrize("where", ["../old", "../old/protos", "../old/protos/local"])
def test_a_folder_may_be_a_project_or_hold_protos(project: Folder, where: str) -> None:
    old = project.path.parent / "old"
    (old / "protos" / "local").mkdir(parents=True)
    (old / "protos" / "local" / "a.proto").write_text(OLD)
    if where == "../old":
        (old / "Actr.toml").write_text((project.path / "Actr.toml").read_text())
    project.write("protos/local/a.proto", BROKEN)
    assert project.actr("check", "--breaking", where) == (6, FINDING, "")


def test_a_bare_folder_tells_of_files_that_are_gone_but_not_of_those_that_are_not_exported(project: Folder) -> None:
    old = project.path.parent / "old"
    old.mkdir()
    for name in ("a", "own", "gone"):
        (old / f"{name}.proto").write_text(HEAD.replace("p;", f"{name};") + "message M {}")
    (old / "a.proto").write_text(OLD)
    project.write("protos/local/own.proto", HEAD)
    ran = project.actr("check", "--breaking", "../old")
    assert [line.partition(" ")[0] for line in ran.out.splitlines()] == ["gone.proto:"]


def test_a_project_that_exported_nothing_can_not_break_anything(project: Folder) -> None:
    project.manifest()
    git(project.path, "init")
    git(project.path, "add", ".")
    git(project.path, "commit", "-m", "first")
    project.manifest("protos/local/a.proto")
    assert project.actr("check", "--breaking", "HEAD") == (0, "HEAD exports nothing, so nothing can break\n", "")


@pytest.mark.parametrize(
    ("against", "words"),
    [
        ("nope", "'nope' is neither a folder nor a revision"),
        ("--output=/tmp/x", "is neither a folder nor a revision"),
        ("HEAD^{tree}", "is neither a folder nor a revision"),
        ("$(touch escaped)", "is neither a folder nor a revision"),
        ("", "is neither a folder nor a revision"),
    ],
)
def test_what_is_no_revision_is_one_clear_line_and_exits_2(committed: Folder, against: str, words: str) -> None:
    before = committed.files()
    ran = committed.actr("check", f"--breaking={against}")
    assert (ran.code, ran.out) == (2, "")
    assert words in ran.err
    assert len(ran.err.splitlines()) == 1
    assert committed.files() == before


def test_outside_of_a_repository_a_revision_is_one_clear_line(
    project: Folder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    ran = project.actr("check", "--breaking", "main")
    assert ran.code == 2
    assert "is in no git repository; name a folder instead" in ran.err


def test_without_git_a_revision_is_one_clear_line(project: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    ran = project.actr("check", "--breaking", "main")
    assert (ran.code, ran.err) == (2, "actr: there is no git to ask; name a folder instead of a revision\n")


def test_an_old_file_that_protoc_refuses_is_named_with_its_revision_and_line(committed: Folder) -> None:
    committed.write("protos/local/a.proto", 'syntax = "proto3";\nmessage A {')
    git(committed.path, "commit", "-am", "broken")
    committed.write("protos/local/a.proto", OLD)
    ran = committed.actr("check", "--breaking", "HEAD")
    assert ran.code == 2
    assert "HEAD:protos/local/a.proto:2:" in ran.err


def test_a_revision_without_the_project_is_one_clear_line(committed: Folder) -> None:
    git(committed.path.parent, "rm", "-r", "--cached", ".")
    git(committed.path.parent, "commit", "--allow-empty", "-m", "nothing")
    ran = committed.actr("check", "--breaking", "HEAD")
    assert ran.code == 2
    assert "'HEAD' has no .proto files below" in ran.err


def test_a_symbolic_link_in_a_revision_leads_nowhere(committed: Folder, tmp_path: Path) -> None:
    (tmp_path / "outside.proto").write_text(OLD)
    link = committed.path / "protos" / "local" / "a.proto"
    link.unlink()
    link.symlink_to(tmp_path / "outside.proto")
    git(committed.path, "add", ".")
    git(committed.path, "commit", "-m", "link")
    link.unlink()
    link.write_text(OLD)
    ran = committed.actr("check", "--breaking", "HEAD")
    assert ran.code == 2
    assert "HEAD" in ran.err


def plumbed(repository: Path, *arguments: str, given: bytes) -> str:
    """What git makes of `given`, by the name that it then has."""
    done = subprocess.run(["git", *arguments], cwd=repository, input=given, check=True, capture_output=True)
    return done.stdout.decode().strip()


def forged(repository: Path, *names: str) -> None:
    """Commit, as `HEAD`, a tree that no git would write: a file at the path of these `names`."""
    mode, found = b"100644", plumbed(repository, "hash-object", "-w", "--stdin", given=OLD.encode())
    for name in reversed(names):
        entry = mode + b" " + name.encode() + b"\0" + bytes.fromhex(found)
        found = plumbed(repository, "hash-object", "-t", "tree", "-w", "--stdin", "--literally", given=entry)
        mode = b"40000"
    git(repository, "update-ref", "HEAD", plumbed(repository, *AS_ME, "commit-tree", found, given=b""))


@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize(
    "names",
    [
        ("..", "..", "victim", "mine.proto"),
        ("protos", "..", "..", "victim", "mine.proto"),
        ("", "victim", "mine.proto"),
        (".", "mine.proto"),
        (".git", "mine.proto"),
        ("..", "Actr.toml"),
        ("protos", "x" * 300, "mine.proto"),
    ],
)
def test_a_path_that_leads_elsewhere_is_refused_and_nothing_is_written(
    committed: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...], exists: bool
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    victim = tmp_path / "victim" / "mine.proto"
    if exists:
        victim.parent.mkdir()
        victim.write_text("precious")
    git(committed.path, "init")  # a repository whose top is the project
    forged(committed.path, *names)
    ran = committed.actr("check", "--breaking", "HEAD")
    assert ran.code == 2
    assert len(ran.err.splitlines()) == 1
    assert victim.exists() == exists
    assert not exists or victim.read_text() == "precious"
    assert list(tmp_path.rglob("mine.proto")) == [victim] * exists
    assert list(temporary.iterdir()) == []


def test_names_with_spaces_and_dots_in_front_are_no_reason_to_refuse_a_revision(committed: Folder) -> None:
    committed.write(".hidden/old and gone.proto", "nonsense")
    git(committed.path, "add", ".")
    git(committed.path, "commit", "-m", "more")
    assert committed.actr("check", "--breaking", "HEAD").code == 0
