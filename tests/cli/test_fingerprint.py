"""`actr fingerprint` prints what other implementations compute, for a project and for single files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.inside import Folder
from tests.codegen.protos import STREAM_CLIENT, STREAM_SERVER
from tests.contracts.test_fingerprint import GOLDEN_FILE, GOLDEN_SERVICE
from tests.e2e.world import REPOSITORY

SERVER = REPOSITORY / "examples" / "stream-echo" / "server"


@pytest.fixture
def project(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Folder:
    return Folder(tmp_path, capsys, monkeypatch)


def test_the_example_has_the_fingerprints_of_the_specification(project: Folder) -> None:
    ran = project.actr("fingerprint", "--actr-toml", str(SERVER / "Actr.toml"))
    assert (ran.code, ran.err) == (0, "")
    service, file = ran.out.splitlines()
    assert service == f"{GOLDEN_SERVICE}  stream-register-server-python"
    assert file == f"{GOLDEN_FILE}  {SERVER / 'protos' / 'local' / 'stream_server.proto'}"


def test_json_says_the_same(project: Folder) -> None:
    project.write("protos/local/stream_server.proto", STREAM_SERVER)
    project.manifest("protos/local/stream_server.proto")
    assert project.actr("fingerprint", "--json").json == {
        "name": "thing",
        "fingerprint": GOLDEN_SERVICE,
        "files": [{"path": "protos/local/stream_server.proto", "fingerprint": GOLDEN_FILE}],
    }


def test_files_need_no_manifest_and_are_taken_together_as_well(project: Folder) -> None:
    project.write("stream_server.proto", "// Another layout.\n" + STREAM_SERVER.replace("  ", "\t"))
    ran = project.actr("fingerprint", "stream_server.proto")
    assert ran.out == f"{GOLDEN_SERVICE}  as one contract\n{GOLDEN_FILE}  stream_server.proto\n"
    project.write("other/client.proto", STREAM_CLIENT)
    ran = project.actr("fingerprint", "stream_server.proto", "other/client.proto", "--json")
    assert ran.json["fingerprint"] != GOLDEN_SERVICE
    assert [row["path"] for row in ran.json["files"]] == ["stream_server.proto", "other/client.proto"]


def test_imports_of_a_file_begin_where_those_of_its_project_do(project: Folder) -> None:
    head = 'syntax = "proto3"; '
    for root in ("protos/local", "protos/remote/friend"):
        project.write(f"{root}/sub/a.proto", head + 'import "sub/b.proto"; message A { B b = 1; }')
        project.write(f"{root}/sub/b.proto", head + "message B {}")
    one = project.actr("fingerprint", "protos/local/sub/a.proto", "--json")
    other = project.actr("fingerprint", "protos/remote/friend/sub/a.proto", "--json")
    assert one.code == 0, one.err
    assert one.json["fingerprint"] == other.json["fingerprint"]


def test_imports_of_a_loose_file_are_found_beside_it_and_nothing_else_is_read(project: Folder) -> None:
    head = 'syntax = "proto3";\n'
    imports = "import 'google/protobuf/any.proto'; import 'c.proto';"
    project.write("a.proto", head + 'import public "b.proto"; // import "gone.proto"\nmessage A { B b = 1; }')
    project.write("b.proto", head + imports + "message B { google.protobuf.Any a = 1; }")
    project.write("c.proto", head)
    project.write("broken.proto", "this is none")
    ran = project.actr("fingerprint", "a.proto")
    assert ran.code == 0, ran.err


@pytest.mark.parametrize(
    ("files", "arguments", "words"),
    [
        ({}, (), "Actr.toml"),
        ({}, ("gone.proto",), "gone.proto: there is no such file"),
        ({"a.txt": ""}, ("a.txt",), "expected a name that ends in .proto"),
        ({"a.proto": 'syntax = "proto3";\nmessage A { int32 }'}, ("a.proto",), "a.proto:2:"),
        ({"a.proto": 'import "../b.proto";', "b.proto": ""}, ("a.proto",), "../b.proto"),
        ({"x/a.proto": 'syntax = "proto3"; import "gone.proto";'}, ("x/a.proto",), "gone.proto"),
    ],
)
def test_what_can_not_be_read_is_one_clear_line_and_exits_2(
    project: Folder, files: dict[str, str], arguments: tuple[str, ...], words: str
) -> None:
    for path, text in files.items():
        project.write(path, text)
    ran = project.actr("fingerprint", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert words in ran.err
    assert "Traceback" not in ran.err


def test_a_project_that_exports_nothing_is_told_what_to_do(project: Folder) -> None:
    project.manifest()
    ran = project.actr("fingerprint")
    assert ran.code == 2
    assert "exports nothing" in ran.err
