"""Hostile and broken input is refused in words that name file and line, and nothing is written."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from hypothesis import given, settings
from hypothesis import strategies as st

from actrzmq.codegen.build import build_project
from actrzmq.codegen.model import Project as ProjectModel
from actrzmq.codegen.render import render
from actrzmq.codegen.scaffold import scaffolds
from actrzmq.codegen.text import docstring
from actrzmq.errors import ActrConfigError
from tests.codegen.projects import Project
from tests.codegen.protos import source

BROKEN = {
    "a syntax error": ('syntax = "proto3";\nmessage A {\n  int32 = 1;\n}\n', r"a\.proto:3:\d+: "),
    "an unknown type": (
        'syntax = "proto3";\n\nmessage A { Missing m = 1; }\n',
        r'a\.proto:3:13: "Missing" is not defined',
    ),
    "a missing import": ('syntax = "proto3";\nimport "nowhere.proto";\n', r"a\.proto:2:1: .*nowhere\.proto"),
    "an absolute import": ('syntax = "proto3";\nimport "/etc/passwd";\n', r"a\.proto:2:1: "),
    "an import that climbs": ('syntax = "proto3";\nimport "../../secret.proto";\n', r"a\.proto:2:1: "),
    "an import of itself": ('syntax = "proto3";\nimport "a.proto";\n', r"a\.proto:2:1: .*recursively imports itself"),
    "a name that is code": ('syntax = "proto3";\nmessage A"; import os; os.abort() {}\n', r"a\.proto:2:\d+: "),
    "NUL and control characters": ('syntax = "proto3";\nmessage A { \0\x1b[31m int32 a = 1; }\n', r"a\.proto:2:\d+: "),
    "an unknown edition": ('edition = "2999";\nmessage A {}\n', r"a\.proto"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_refused_with_its_line_and_nothing_is_written(project: Project, case: str) -> None:
    text, expected = BROKEN[case]
    project.write("protos/local/good.proto", 'syntax = "proto3"; message G {}')
    project.write("protos/local/a.proto", text)
    project.write("secret.proto", 'syntax = "proto3"; message Secret {}')
    before = project.files()
    with pytest.raises(ActrConfigError, match=expected) as refused:
        project.gen()
    assert "protos/local/a.proto" in refused.value.message
    assert project.files() == before


def test_what_protoc_takes_and_python_does_not_is_refused_at_once(project: Project) -> None:
    project.write(
        "protos/local/a.proto", 'syntax = "proto2"; message A { optional int32 a_b = 1; optional int32 aB = 2; }'
    )
    with pytest.raises(ActrConfigError, match=r"a\.proto: protobuf's Python runtime refuses it: .*duplicate json_name"):
        project.gen()


def test_cyclic_imports_are_refused_with_the_cycle(project: Project) -> None:
    project.write("protos/local/a.proto", 'syntax = "proto3";\nimport "b.proto";\n')
    project.write("protos/local/b.proto", 'syntax = "proto3";\nimport "a.proto";\n')
    with pytest.raises(ActrConfigError, match=r"recursively imports itself: a\.proto -> b\.proto -> a\.proto"):
        project.gen()


def test_text_that_is_not_utf8_is_refused_with_its_line(project: Project) -> None:
    project.write("protos/local/a.proto", "").write_bytes(b'syntax = "proto3";\n// \xff\n')
    with pytest.raises(ActrConfigError, match=r"a\.proto:2: expected UTF-8, found byte 0xff"):
        project.gen()


@pytest.mark.parametrize("kind", ["file", "folder", "dependency", "remote", "local"])
def test_symbolic_links_are_refused_by_name(project: Project, tmp_path: Path, kind: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.proto").write_text('syntax = "proto3"; message A {}')
    links = {
        "file": ("protos/local/a.proto", outside / "a.proto"),
        "folder": ("protos/local/sub", outside),
        "dependency": ("protos/remote/dep", outside),
        "remote": ("protos/remote", outside),
        "local": ("protos/local", outside),
    }
    path, target = links[kind]
    link = project.folder / path
    link.parent.mkdir(parents=True)
    link.symlink_to(target)
    with pytest.raises(ActrConfigError, match="is a symbolic link"):
        project.gen(aliases=("dep",) if kind in ("dependency", "remote") else ())


@pytest.mark.parametrize(
    "name", ["a b.proto", "a\nb.proto", "-x.proto", "@x.proto", "ä.proto", "a;b.proto", "con.proto"]
)
def test_file_names_that_could_mean_something_else_are_refused(project: Project, name: str) -> None:
    project.write(f"protos/local/{name}", 'syntax = "proto3"; message A {}')
    with pytest.raises(ActrConfigError, match="proto file"):
        project.gen()


def test_files_that_differ_in_case_only_are_refused(project: Project) -> None:
    project.write("protos/local/Echo.proto", 'syntax = "proto3"; message A {}')
    project.write("protos/local/echo.proto", 'syntax = "proto3"; message B {}')
    with pytest.raises(ActrConfigError, match=r"'Echo\.proto' and 'echo\.proto' differ only in case"):
        project.gen()


def test_what_editors_leave_behind_is_no_proto_file(project: Project) -> None:
    project.write("protos/local/a.proto", 'syntax = "proto3"; message A {}')
    (project.folder / "protos/local/.#a.proto").symlink_to("user@host.1234")
    project.write("protos/local/._a.proto", "\0\5\26\7")
    project.write("protos/local/.git/x.proto", "junk")
    project.gen()


def test_a_vendored_copy_of_protobufs_own_files_is_not_used(project: Project) -> None:
    project.write("protos/local/google/protobuf/empty.proto", "this is not what protoc brings along")
    project.write(
        "protos/local/a.proto",
        'syntax = "proto3"; import "google/protobuf/empty.proto"; message A { google.protobuf.Empty e = 1; }',
    )
    project.gen()
    assert not (project.folder / "generated/local/google").exists()


def test_a_file_too_large_is_refused(project: Project) -> None:
    project.write("protos/local/a.proto", "//" + "x" * (5 * 1024 * 1024))
    with pytest.raises(ActrConfigError, match=r"a\.proto has more than 4194304 bytes"):
        project.gen()


def test_messages_nested_too_deep_are_refused(project: Project) -> None:
    project.write("protos/local/a.proto", 'syntax = "proto3"; ' + "message A { " * 500 + "} " * 500)
    with pytest.raises(ActrConfigError, match=r"a\.proto"):
        project.gen()


def test_a_dependency_without_files_says_what_is_missing(project: Project) -> None:
    project.write("protos/local/a.proto", 'syntax = "proto3"; message A {}')
    with pytest.raises(ActrConfigError, match=r"'dep' has no files in .*protos/remote/dep; `actr install` fetches"):
        project.gen(aliases=("dep",))


def test_a_file_beside_the_local_folder_is_not_silently_left_out(project: Project) -> None:
    project.write("protos/local/a.proto", 'syntax = "proto3"; message A {}')
    project.write("protos/b.proto", 'syntax = "proto3"; message B {}')
    with pytest.raises(ActrConfigError, match=r"protos/b\.proto is outside of .*protos/local"):
        project.gen()


WORDS = """
    import class None True __init__ __class__ __name__ __file__ __builtins__ __debug__ DESCRIPTOR _files
    _types _descriptors _routes self req ctx Context Final ABC Path Message Handler Service Type Route client
    messages Dispatcher WorkloadBase TYPE_CHECKING annotations int str type property _int _str on_start On_Stop
    _call _ctx Clear SerializeToString route_key Response A a_pb2 local remote match case _ __ ___ print abc
"""
IDENTIFIER = st.one_of(
    st.sampled_from(WORDS.split()),
    st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,6}", fullmatch=True),
)


@st.composite
def hostile_files(draw: st.DrawFn) -> FileDescriptorProto:
    """A file as protoc could hand it over, with the worst names that it accepts."""
    file = FileDescriptorProto(
        name="a.proto", syntax="proto3", package=draw(st.sampled_from(["", "p", "import.class"]))
    )
    prefix = f".{file.package}" if file.package else ""
    names = draw(st.lists(IDENTIFIER, min_size=2, max_size=8, unique=True))
    messages, services = names[: len(names) // 2], names[len(names) // 2 :]
    for name in messages:
        message = file.message_type.add(name=name)
        _fill(draw, message, f"{prefix}.{name}", [f"{prefix}.{other}" for other in messages])
    for name in services:
        service = file.service.add(name=name)
        for method in draw(st.lists(IDENTIFIER, max_size=4, unique=True)):
            service.method.add(
                name=method,
                input_type=f"{prefix}.{draw(st.sampled_from(messages))}",
                output_type=f"{prefix}.{draw(st.sampled_from(messages))}",
            )
    return file


def _fill(draw: st.DrawFn, message: DescriptorProto, full_name: str, types: list[str]) -> None:
    members: list[str] = draw(st.lists(IDENTIFIER, max_size=5, unique=True))
    flags = draw(st.tuples(st.booleans(), st.booleans()))
    if members and flags[0]:
        message.nested_type.add(name=members.pop())
        types = [*types, f"{full_name}.{message.nested_type[0].name}"]
    if members and flags[1]:
        enum = message.enum_type.add(name=members.pop())
        if members:
            enum.value.add(name=members.pop(), number=0)
    for number, name in enumerate(members, 1):
        field = message.field.add(name=name, number=number, label=FieldDescriptorProto.LABEL_OPTIONAL)
        field.type = draw(st.sampled_from([FieldDescriptorProto.TYPE_STRING, FieldDescriptorProto.TYPE_MESSAGE]))
        if field.type == FieldDescriptorProto.TYPE_MESSAGE:
            field.type_name = draw(st.sampled_from(types))


@settings(max_examples=400, deadline=None)
@given(hostile_files())
def test_no_name_makes_generated_code_anything_but_the_code_we_meant(file: FileDescriptorProto) -> None:
    sources = {"a.proto": source("a.proto", "")}
    try:
        project = build_project(
            (sources, {"a.proto": file}), frozenset({"a.proto"}), {"dep": (sources, {"a.proto": file})}
        )
    except ActrConfigError as error:
        refusal = error.message
    else:
        _check_rendered(project)
        return
    assert "would both be called" in refusal


def _check_rendered(project: ProjectModel) -> None:
    files = render(project) | scaffolds(project, "generated", in_package=False)
    for path, text in files.items():
        tree = ast.parse(text, path)
        if path.endswith(".py"):
            compile(text, path, "exec")
        _check_harmless(tree, path)


def _check_harmless(tree: ast.Module, path: str) -> None:
    """Nothing at the top of a generated module but the statements that our templates have."""
    expected = (ast.Expr, ast.ImportFrom, ast.Import, ast.Assign, ast.AnnAssign, ast.ClassDef, ast.If)
    assert all(isinstance(statement, expected) for statement in tree.body), path
    called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    ours = {
        "Files",
        "Path(__file__).with_name",
        "Path",
        "Route",
        "_files.message",
        "_files.module",
        "logging.getLogger",
        "messages.declare",
        "messages.name_response",
        "messages.name_route",
        "messages.refuse",
        "NotImplementedError",
        "self._call",
        "super",
        "super().__init__",
    }
    assert {name for name in called if not name.endswith("Dispatcher")} <= ours, path


@settings(max_examples=400)
@given(st.text(alphabet=st.one_of(st.characters(), st.sampled_from('"\\\n\r\0\x0c\u2028{}$')), max_size=40))
def test_no_comment_gets_out_of_its_docstring(comment: str) -> None:
    tree = ast.parse(f"class A:\n{docstring(comment, 4)}\n    x = 1\n")
    (definition,) = tree.body
    assert isinstance(definition, ast.ClassDef)
    assert len(definition.body) == 2
