"""A broker that lies: what it sends is refused in words, and nothing is written, inside the project or outside."""

from __future__ import annotations

import ntpath
import os
import posixpath
import random
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from msgspec.structs import replace

from actrzmq.contracts.bundle import Contract, ContractFile, Published, contract_file, digest_of
from actrzmq.contracts.fingerprint import service_fingerprint
from actrzmq.errors import ActrConfigError
from actrzmq.identity import ActrType
from actrzmq.install.project import Wish, install
from actrzmq.install.verify import check_paths
from actrzmq.manifest.lock import load_lock
from actrzmq.manifest.values import is_alias
from tests.codegen.protos import STREAM_SERVER
from tests.install.conftest import MANIFEST
from tests.install.published import (
    ALIAS,
    GOLDEN,
    NOW,
    LyingVersions,
    Versions,
    contents,
    contract,
    published,
    stream_echo,
)

PIECES = (
    *("..", ".", "/", "//", "\\", "\\\\", "C:", "c:/", "~", "~root", "$HOME", "%2e%2e", "\0", "\n", "\r", "\x1b[2J"),
    *("con", "NUL", "aux.proto", "com1", "lpt9.x", "a", "b", "A", "x.proto", ".proto", "proto", " ", "-", "--", "_"),
    *("\u202e", "\u2025", "\uff0e\uff0e", "\u2215", "\u2044", "\u00e9", "e\u0301", "\udcff", "\U0001f600", "*", "?"),
    *(
        "|",
        "<",
        '"',
        "'",
        ";",
        ":",
        "::$DATA",
        "file://",
        "a" * 300,
        "../" * 20,
        "google/protobuf/any.proto",
        "a/b.proto",
    ),
)


def names(seed: int) -> Iterator[str]:
    dice = random.Random(seed)
    while True:
        yield "".join(dice.choices(PIECES, k=dice.randint(1, 6))) + dice.choice(["", ".proto"])


def test_of_100000_hostile_names_none_leaves_the_folder_of_its_dependency() -> None:
    accepted = 0
    for alias, path, _ in zip(names(1), names(2), range(100_000), strict=False):
        if is_alias(alias):
            for system in (posixpath, ntpath):
                root = system.join("project", "protos", "remote")
                assert system.dirname(system.normpath(system.join(root, alias))) == system.normpath(root), alias
        with suppress(ActrConfigError):
            check_paths((path,), ALIAS)
            accepted += 1
            for system in (posixpath, ntpath):
                folder = system.normpath(system.join("project", "protos", "remote", ALIAS))
                found = system.normpath(system.join(folder, path))
                assert found.startswith(folder + system.sep), path
                assert found.removeprefix(folder + system.sep).replace(system.sep, "/") == path
    assert 1000 < accepted < 50_000


def lie(*files: ContractFile, **facts: object) -> Published:
    """A contract of `files` whose fingerprints are right, whatever the files are."""
    made = Contract(service_fingerprint((file.path, file.fingerprint) for file in files), files)
    return published(made, **facts)  # type: ignore[arg-type]


def at(path: str) -> ContractFile:
    return contract_file(path, 'syntax = "proto3";\n', FileDescriptorProto(name=path, syntax="proto3"))


@pytest.fixture
def refuse(manifest: Path, tmp_path: Path) -> Iterator[object]:
    def check(version: Published, words: str) -> None:
        with pytest.raises(ActrConfigError, match=words) as caught:
            install(manifest, Wish(), LyingVersions(version).ask, NOW)
        assert caught.value.message.startswith(f"{ALIAS}: what the broker sent is refused, and nothing was written: ")

    yield check
    assert contents(tmp_path) == {"project/Actr.toml": MANIFEST.encode()}
    assert [path.name for path in manifest.parent.iterdir()] == ["Actr.toml"]


def encodable(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def test_hostile_names_from_a_broker_end_below_their_dependency_or_nowhere(manifest: Path, tmp_path: Path) -> None:
    folder = manifest.parent / "protos" / "remote" / ALIAS
    refused = installed = 0
    for path, _ in zip(filter(encodable, names(3)), range(300), strict=False):
        before = contents(tmp_path)
        try:
            install(manifest, Wish(), LyingVersions(lie(at(path))).ask, NOW)
        except ActrConfigError:
            assert contents(tmp_path) == before
            refused += 1
        else:
            assert [folder / path] == [file for file in folder.rglob("*") if file.is_file()]
            installed += 1
            assert {*os.listdir(manifest.parent)} == {"Actr.toml", "Actr.lock.toml", "protos"}
            shutil.rmtree(manifest.parent / "protos")
            (manifest.parent / "Actr.lock.toml").unlink()
        assert os.listdir(tmp_path) == ["project"]
    assert refused > 200
    assert installed > 3


GOOD = stream_echo()
FILE = contract(stream_server=STREAM_SERVER).files[0]
EVIL = STREAM_SERVER.replace("message_count", "evil_count")

LIES = {
    "another type": (replace(GOOD, actor_type=ActrType("acme", "Evil")), r"the actor type is acme\+Evil"),
    "another realm": (replace(GOOD, realm=7), "the realm is 7, where 0 was asked for"),
    "a name that is none": (replace(GOOD, name="a/b"), "can't be the name of a service"),
    "another fingerprint": (replace(GOOD, fingerprint=f"service_semantic:{'0' * 64}"), "have another fingerprint"),
    "no contract": (replace(GOOD, contract=None), "it has no files"),
    "no files": (lie(), "no files"),
    "a wrong digest": (lie(replace(FILE, digest="0" * 64)), "contradict one another"),
    "a text that means something else": (
        lie(replace(FILE, source=EVIL, digest=digest_of(EVIL.encode()))),
        "the text means something else",
    ),
    "a text that means nothing": (lie(replace(FILE, source="{", digest=digest_of(b"{"))), "stream_server.proto:1:1"),
    "a wrong file fingerprint": (lie(replace(FILE, fingerprint="semantic:" + "0" * 64)), "contradict one another"),
    "an import that is missing": (
        lie(
            contract_file(
                "a.proto",
                'syntax = "proto3";\nimport "../../secret.proto";\n',
                FileDescriptorProto(name="a.proto", syntax="proto3", dependency=["../../secret.proto"]),
            )
        ),
        r"a\.proto:2 imports '\.\./\.\./secret\.proto'",
    ),
    "a path upwards": (lie(at("../x.proto")), r"'\.\.' can't be part of its path"),
    "an absolute path": (lie(at("/etc/x.proto")), "can't be part of its path"),
    "two that differ in case": (lie(at("a/x.proto"), at("A/x.proto")), "differ only in case"),
    "one twice": (lie(at("x.proto"), at("x.proto")), "one of them twice"),
    "a file that is a folder": (lie(at("a.proto"), at("A.proto/b.proto")), "lies in a folder that is a file as well"),
    "a file of protobuf's own": (lie(at("google/protobuf/any.proto")), "protobuf's own"),
    "a time that is none": (replace(GOOD, published_at="soon"), "'soon' is no time"),
    "a description without end": (replace(GOOD, description="x" * 5000), "larger than 4096 characters"),
    "tags without end": (replace(GOOD, tags=("x",) * 65), "64 tags"),
    "a description that is no text": (replace(GOOD, description="\udcff"), "surrogates not allowed"),
}


@pytest.mark.parametrize("kind", LIES)
def test_a_lie_is_refused(refuse: object, kind: str) -> None:
    refuse(*LIES[kind])  # type: ignore[operator]


def test_another_version_than_the_locked_one_is_refused(manifest: Path) -> None:
    install(manifest, Wish(), Versions(GOOD).ask, NOW)
    (manifest.parent / "protos/remote" / ALIAS / "stream_server.proto").unlink()
    before = contents(manifest.parent)
    with pytest.raises(ActrConfigError, match=f"the fingerprint is service_semantic:.*where {GOLDEN} was asked for"):
        install(manifest, Wish(), LyingVersions(lie(at("x.proto"))).ask, NOW)
    assert contents(manifest.parent) == before


def test_facts_that_look_like_toml_stay_facts(manifest: Path) -> None:
    description = 'x"\n[[dependency]]\nname = "evil"\x7f\x00\u2028'
    install(manifest, Wish(), Versions(replace(GOOD, description=description, tags=('"]\n',))).ask, NOW)
    lock = load_lock(manifest.parent / "Actr.lock.toml")
    assert list(lock.dependencies) == [ALIAS]
    assert lock.dependencies[ALIAS].description == description
