"""Actr.lock.toml: what is taken, and in which words the rest is refused."""

import re
from pathlib import Path

import pytest

from actrzmq.errors import ActrConfigError
from actrzmq.identity import ActrType
from actrzmq.manifest import Lock, LockedDependency, LockedFile, load_lock

HEAD = '[metadata]\nversion = 1\ngenerated_at = "2026-01-26T07:42:02.150546+00:00"\n'
HEX = "ab" * 32
DEPENDENCY = f"""[[dependency]]
name = "a"
actr_type = "acme+A"
fingerprint = "service_semantic:{HEX}"
"""


def file(path: str) -> str:
    return f"[[dependency.files]]\npath = '{path}'\nfingerprint = \"semantic:{HEX}\"\n"


def load(folder: Path, text: str) -> Lock:
    path = folder / "Actr.lock.toml"
    path.write_text(text)
    return load_lock(path)


def test_metadata_alone_is_a_lock_without_dependencies(tmp_path: Path) -> None:
    assert load(tmp_path, HEAD) == Lock(
        path=tmp_path / "Actr.lock.toml", version=1, generated_at="2026-01-26T07:42:02.150546+00:00"
    )


def test_every_key_arrives_in_the_model(tmp_path: Path) -> None:
    more = """package = "service-a"
cached_at = "2026-01-26T07:42:02+00:00"
published_at = "2026-01-25T07:42:02+00:00"
description = "d"
tags = ["t"]
"""
    lock = load(tmp_path, HEAD + DEPENDENCY + more + file("a/x/y.proto"))
    assert lock.dependencies == {
        "a": LockedDependency(
            name="a",
            package="service-a",
            actor_type=ActrType("acme", "A"),
            fingerprint=f"service_semantic:{HEX}",
            files=(LockedFile(path="a/x/y.proto", fingerprint=f"semantic:{HEX}"),),
            cached_at="2026-01-26T07:42:02+00:00",
            published_at="2026-01-25T07:42:02+00:00",
            description="d",
            tags=("t",),
        )
    }


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "metadata.version: expected a whole number from 1"),
        ("[metadata]\nversion = 2\n", "metadata.version: 2 is from a newer actr than this one; update actrzmq"),
        (HEAD + "[[dependencies]]\n", "unknown key dependencies; did you mean dependency?"),
        (HEAD + DEPENDENCY + DEPENDENCY, "dependency[1].name: expected each dependency once"),
        (HEAD + DEPENDENCY.replace("acme+A", "acme"), "dependency[0].actr_type: expected an actor type"),
        (HEAD + DEPENDENCY.replace('"a"', '"../a"'), "dependency[0].name: expected the alias of a dependency"),
        (HEAD + DEPENDENCY.replace("service_", ""), "dependency[0].fingerprint: expected service_semantic:"),
        (HEAD + DEPENDENCY + 'cached_at = "soon"\n', "dependency[0].cached_at: expected a time"),
        (HEAD + DEPENDENCY + "cached_at = 2026-01-01\n", "dependency[0].cached_at: expected a time in quotes"),
        (HEAD + DEPENDENCY + file("a/x.proto") + "size = 1\n", "unknown key dependency[0].files[0].size"),
        (HEAD + DEPENDENCY + file("a/x.proto") * 2, "dependency[0].files[1].path: expected each file once"),
        (HEAD + DEPENDENCY + file("a/x.proto") + file("a/X.proto"), "expected each file once"),
        (HEAD + DEPENDENCY + file("a/\u00e9.proto") + file("a/e\u0301.proto"), "expected each file once"),
    ],
)
def test_a_wrong_key_is_named_with_what_was_expected(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(ActrConfigError, match=re.escape(sentence)):
        load(tmp_path, text)


@pytest.mark.parametrize(
    "path",
    [
        "x.proto",
        "b/x.proto",
        "/a/x.proto",
        "a/../x.proto",
        "a/../../x.proto",
        "a//x.proto",
        "a/./x.proto",
        "a/x.py",
        "a/.proto/",
        "a\\x.proto",
        "a/c:x.proto",
        "a/nul.proto",
        "a/CON/x.proto",
        "a/x /y.proto",
        "a/x./y.proto",
        "a/\u202e.proto",
        "a/" + "x" * 1100 + ".proto",
    ],
)
def test_a_path_that_leads_elsewhere_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(ActrConfigError, match=re.escape("dependency[0].files[0].path: expected a .proto file")):
        load(tmp_path, HEAD + DEPENDENCY + file(path))


def test_a_missing_lock_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(ActrConfigError, match="no such file; a project without dependencies needs none"):
        load_lock(tmp_path / "Actr.lock.toml")
