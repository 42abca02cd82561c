"""Installing: what ends up where, what is asked, and what is refused while nothing changes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from actrzmq.errors import ActrConfigError, ActrContractMismatch, ActrNotFound, ActrTransportError
from actrzmq.identity import ActrType
from actrzmq.install.edit import Addition
from actrzmq.install.project import Wish, install, remove
from actrzmq.install.questions import ALL
from actrzmq.install.resolve import Kind, Plan
from tests.codegen.protos import STREAM_SERVER
from tests.install.conftest import MANIFEST
from tests.install.published import (
    ALIAS,
    GOLDEN,
    LATER,
    NEWER,
    NOW,
    NoBroker,
    Versions,
    contents,
    contract,
    published,
    stream_echo,
    tree,
)

REMOTE = Path("protos", "remote", ALIAS, "stream_server.proto")
LOCK = f"""\
[metadata]
version = 1
generated_at = "{NOW}"

[[dependency]]
name = "{ALIAS}"
actr_type = "acme+StreamEchoServer"
fingerprint = "{GOLDEN}"
cached_at = "{NOW}"

[[dependency.files]]
path = "{ALIAS}/stream_server.proto"
fingerprint = "semantic:ebcc9ee84bfc0610aea904fdc44d5eb7ef584fccd6d5498c1a22cd30ecec8355"
"""

OLD, NEW = stream_echo(), stream_echo(NEWER)


def go(manifest: Path, catalogue: Versions | NoBroker, now: str = NOW, **wish: object) -> Plan:
    return install(manifest, Wish(**wish), catalogue.ask, now)  # type: ignore[arg-type]


def kinds(plan: Plan) -> dict[str, Kind]:
    return {change.alias: change.kind for change in plan.changes}


def only_lock(manifest: Path) -> Path:
    """What a fresh clone has where `protos/remote` is not kept with it."""
    go(manifest, Versions(OLD))
    (manifest.parent / REMOTE).unlink()
    return manifest


@pytest.fixture
def unchanged(manifest: Path) -> Iterator[None]:
    """Whatever the test does leaves the project as it found it, but for what the test itself prepared."""
    yield
    assert contents(manifest.parent) == {"Actr.toml": MANIFEST.encode()}


def test_a_dependency_is_fetched_and_locked_as_the_specification_shows(manifest: Path) -> None:
    plan = go(manifest, Versions(OLD))
    assert kinds(plan) == {ALIAS: Kind.ADDED}
    assert contents(manifest.parent) == {
        "Actr.toml": MANIFEST.encode(),
        "Actr.lock.toml": LOCK.encode(),
        str(REMOTE): STREAM_SERVER.encode(),
    }


def test_a_second_install_changes_nothing_and_needs_no_broker(manifest: Path) -> None:
    go(manifest, Versions(OLD))
    before = tree(manifest.parent)
    plan = go(manifest, NoBroker(), LATER)
    assert kinds(plan) == {ALIAS: Kind.UNCHANGED}
    assert tree(manifest.parent) == before


def test_a_comment_added_to_an_installed_file_is_no_reason_to_ask(manifest: Path) -> None:
    go(manifest, Versions(OLD))
    with (manifest.parent / REMOTE).open("a") as file:
        file.write("// mine\n")
    before = tree(manifest.parent)
    go(manifest, NoBroker(), LATER)
    assert tree(manifest.parent) == before


@pytest.mark.parametrize("damage", ["message A {", STREAM_SERVER.replace("= 2", "= 7"), "\xff"])
def test_a_damaged_file_is_restored_and_the_lock_stays(manifest: Path, damage: str) -> None:
    go(manifest, Versions(OLD))
    before = contents(manifest.parent)
    (manifest.parent / REMOTE).write_bytes(damage.encode("latin-1"))
    catalogue = Versions(OLD, NEW)
    assert kinds(go(manifest, catalogue, LATER)) == {ALIAS: Kind.RESTORED}
    assert contents(manifest.parent) == before
    assert catalogue.asked == [GOLDEN]


def test_what_is_locked_stays_although_something_newer_is_published(manifest: Path) -> None:
    only_lock(manifest)
    go(manifest, Versions(OLD, NEW), LATER)
    assert (manifest.parent / REMOTE).read_text() == STREAM_SERVER
    assert (manifest.parent / "Actr.lock.toml").read_text() == LOCK


@pytest.mark.parametrize("update", [ALL, (ALIAS,)])
def test_an_update_takes_the_newest_and_says_what_it_breaks(manifest: Path, update: object) -> None:
    go(manifest, Versions(OLD))
    plan = go(manifest, Versions(OLD, NEW), LATER, update=update)
    assert kinds(plan) == {ALIAS: Kind.UPDATED}
    assert [found.rule for found in plan.changes[0].breaking or ()] == ["FIELD_NO_DELETE"]
    assert (plan.changes[0].old, plan.changes[0].new) == (GOLDEN, NEW.fingerprint)
    assert (manifest.parent / REMOTE).read_text() == NEWER
    text = (manifest.parent / "Actr.lock.toml").read_text()
    assert f'generated_at = "{LATER}"' in text
    assert f'cached_at = "{LATER}"' in text


def test_an_update_to_the_same_contract_changes_nothing(manifest: Path) -> None:
    go(manifest, Versions(OLD))
    before = tree(manifest.parent)
    assert kinds(go(manifest, Versions(OLD), LATER, update=ALL)) == {ALIAS: Kind.UNCHANGED}
    assert tree(manifest.parent) == before


def test_a_locked_contract_that_is_gone_is_an_error_that_says_how_to_accept_the_new_one(manifest: Path) -> None:
    only_lock(manifest)
    before = tree(manifest.parent)
    with pytest.raises(ActrContractMismatch) as caught:
        go(manifest, Versions(NEW), LATER)
    lines = caught.value.message.splitlines()
    assert lines[0].startswith(f"{ALIAS}: the broker has no contract 8cd6382d3747; acme+StreamEchoServer has ")
    assert "stream_server.proto" in lines[1]
    assert lines[-1].strip() == f"to accept it: actr install --update {ALIAS}"
    assert tree(manifest.parent) == before


def test_files_that_moved_under_the_same_fingerprint_are_a_mismatch(manifest: Path) -> None:
    only_lock(manifest)
    moved = published(contract(api__stream_server=STREAM_SERVER))
    assert moved.fingerprint == GOLDEN
    with pytest.raises(ActrContractMismatch, match="contract 8cd6382d3747 is published with other files"):
        go(manifest, Versions(moved), LATER)
    go(manifest, Versions(moved), LATER, update=ALL)
    assert (manifest.parent / "protos/remote" / ALIAS / "api/stream_server.proto").exists()
    assert not (manifest.parent / REMOTE).exists()


def test_a_lock_that_was_merged_by_hand_is_noticed(manifest: Path) -> None:
    go(manifest, Versions(OLD))
    lock = manifest.parent / "Actr.lock.toml"
    lock.write_text(lock.read_text().replace(GOLDEN, NEW.fingerprint))
    with pytest.raises(ActrContractMismatch, match="is published with other files than the lock lists"):
        go(manifest, Versions(OLD, NEW), LATER)
    lock.write_text(lock.read_text().partition("[[dependency.files]]")[0])
    with pytest.raises(ActrConfigError, match="is in the way"):
        go(manifest, NoBroker(), LATER)


@pytest.mark.usefixtures("unchanged")
def test_nothing_published_is_said_with_what_to_do(manifest: Path) -> None:
    with pytest.raises(ActrNotFound, match=r"nothing is published for acme\+StreamEchoServer in realm 0; start that"):
        go(manifest, Versions())


@pytest.mark.usefixtures("unchanged")
def test_without_a_broker_nothing_changes(manifest: Path) -> None:
    with pytest.raises(ActrTransportError):
        go(manifest, NoBroker())


@pytest.mark.usefixtures("unchanged")
def test_a_dry_run_writes_nothing(manifest: Path) -> None:
    assert kinds(go(manifest, Versions(OLD), dry=True)) == {ALIAS: Kind.ADDED}


def test_a_fingerprint_in_the_manifest_decides(manifest: Path) -> None:
    go(manifest, Versions(OLD))
    pinned = MANIFEST.replace('Server" }', f'Server", fingerprint = "{NEW.fingerprint}" }}')
    manifest.write_text(pinned)
    assert kinds(go(manifest, Versions(NEW, OLD), LATER)) == {ALIAS: Kind.UPDATED}
    assert kinds(go(manifest, NoBroker(), LATER, update=ALL)) == {ALIAS: Kind.UNCHANGED}
    (manifest.parent / REMOTE).unlink()
    with pytest.raises(ActrContractMismatch, match="change its fingerprint in the manifest"):
        go(manifest, Versions(OLD), LATER)


def test_a_dependency_that_now_means_another_service_is_resolved_anew(manifest: Path) -> None:
    go(manifest, Versions(OLD))
    manifest.write_text(MANIFEST.replace("acme+StreamEchoServer", "acme+Other"))
    other = published(contract(other='syntax = "proto3"; message A {}'), actor_type=ActrType("acme", "Other"))
    assert kinds(go(manifest, Versions(OLD, other), LATER)) == {ALIAS: Kind.UPDATED}
    assert sorted(path.name for path in (manifest.parent / "protos/remote" / ALIAS).iterdir()) == ["other.proto"]


def test_a_dependency_found_by_name_locks_the_name_where_the_alias_is_another(manifest: Path) -> None:
    manifest.write_text(
        MANIFEST.replace(f'{ALIAS} = {{ actr_type = "acme+StreamEchoServer" }}', f'e = {{ name = "{ALIAS}" }}')
    )
    go(manifest, Versions(OLD))
    text = (manifest.parent / "Actr.lock.toml").read_text()
    assert f'name = "e"\npackage = "{ALIAS}"\nactr_type = "acme+StreamEchoServer"\n' in text
    go(manifest, NoBroker())


def test_what_the_manifest_no_longer_has_leaves_lock_and_folder(manifest: Path) -> None:
    go(manifest, Versions(OLD))
    manifest.write_text(MANIFEST.replace(f'{ALIAS} = {{ actr_type = "acme+StreamEchoServer" }}\n', ""))
    assert kinds(go(manifest, NoBroker(), LATER)) == {ALIAS: Kind.REMOVED}
    assert "[[dependency]]" not in (manifest.parent / "Actr.lock.toml").read_text()
    assert not (manifest.parent / "protos/remote" / ALIAS).exists()


def test_a_project_without_dependencies_gets_a_lock_of_metadata_alone(manifest: Path) -> None:
    manifest.write_text(MANIFEST.partition("\n[package]")[2].join(["[package]", ""]))
    go(manifest, NoBroker())
    assert (manifest.parent / "Actr.lock.toml").read_text() == f'[metadata]\nversion = 1\ngenerated_at = "{NOW}"\n'
    before = tree(manifest.parent)
    go(manifest, NoBroker(), LATER)
    assert tree(manifest.parent) == before


def test_frozen_names_what_would_change_and_asks_nobody(manifest: Path) -> None:
    with pytest.raises(ActrConfigError, match="no such file; run `actr install` without --frozen"):
        go(manifest, NoBroker(), frozen=True)
    go(manifest, Versions(OLD))
    before = tree(manifest.parent)
    assert kinds(go(manifest, NoBroker(), LATER, frozen=True)) == {ALIAS: Kind.UNCHANGED}
    assert tree(manifest.parent) == before
    (manifest.parent / REMOTE).unlink()
    with pytest.raises(ActrContractMismatch, match="its files are missing"):
        go(manifest, NoBroker(), frozen=True)
    manifest.write_text(MANIFEST.replace(ALIAS, "other"))
    with pytest.raises(ActrContractMismatch) as caught:
        go(manifest, NoBroker(), frozen=True)
    assert caught.value.message.splitlines()[1:] == ["other: not locked", f"{ALIAS}: locked, but not in the manifest"]


def test_a_file_that_was_never_installed_is_not_replaced(manifest: Path) -> None:
    mine = manifest.parent / REMOTE
    mine.parent.mkdir(parents=True)
    mine.write_text("// my notes\n")
    with pytest.raises(ActrConfigError, match=r"stream_server.proto is in the way: it was not installed"):
        go(manifest, Versions(OLD))
    assert mine.read_text() == "// my notes\n"
    assert not (manifest.parent / "Actr.lock.toml").exists()


def test_a_copy_made_by_hand_is_adopted(manifest: Path) -> None:
    copy = manifest.parent / REMOTE
    copy.parent.mkdir(parents=True)
    copy.write_text(STREAM_SERVER)
    before = copy.stat().st_mtime_ns
    go(manifest, Versions(OLD))
    assert copy.stat().st_mtime_ns == before
    assert (manifest.parent / "Actr.lock.toml").read_text() == LOCK


def test_a_stray_proto_beside_installed_ones_is_named_and_other_files_are_nobodys_business(manifest: Path) -> None:
    go(manifest, Versions(OLD))
    (manifest.parent / REMOTE).with_name("notes.txt").write_text("notes")
    go(manifest, NoBroker())
    (manifest.parent / REMOTE).with_name("mine.proto").write_text('syntax = "proto3";')
    with pytest.raises(ActrConfigError, match=r"mine.proto is in the way: it was not installed"):
        go(manifest, NoBroker())


def test_a_dependency_is_added_to_the_manifest_and_installed(manifest: Path) -> None:
    manifest.write_text("# mine\n" + MANIFEST.replace(f'{ALIAS} = {{ actr_type = "acme+StreamEchoServer" }}\n', ""))
    go(manifest, Versions(OLD), add=Addition(ALIAS, "acme+StreamEchoServer"))
    assert manifest.read_text() == "# mine\n" + MANIFEST
    assert (manifest.parent / "Actr.lock.toml").read_text() == LOCK
    before = tree(manifest.parent)
    go(manifest, NoBroker(), LATER, add=Addition(ALIAS, "acme+StreamEchoServer"))
    assert tree(manifest.parent) == before


@pytest.mark.usefixtures("unchanged")
def test_a_dependency_that_can_not_be_installed_is_not_added(manifest: Path) -> None:
    with pytest.raises(ActrNotFound):
        go(manifest, Versions(), add=Addition("other", "acme+Other"))
    with pytest.raises(ActrConfigError, match=r"already there, for acme\+StreamEchoServer"):
        go(manifest, Versions(OLD), add=Addition(ALIAS, "acme+Other"))
    for addition in (
        Addition("../x"),
        Addition("x", "nonsense"),
        Addition("x", name="a b"),
        Addition("x", "", "", "f"),
    ):
        with pytest.raises(ActrConfigError, match="expected"):
            go(manifest, Versions(OLD), add=addition)


def test_removing_takes_a_dependency_out_of_manifest_lock_and_folder(manifest: Path) -> None:
    go(manifest, Versions(OLD))
    remove(manifest, ALIAS, LATER)
    assert contents(manifest.parent) == {
        "Actr.toml": MANIFEST.replace(f'{ALIAS} = {{ actr_type = "acme+StreamEchoServer" }}\n', "").encode(),
        "Actr.lock.toml": f'[metadata]\nversion = 1\ngenerated_at = "{LATER}"\n'.encode(),
    }


def test_removing_leaves_other_dependencies_and_files_of_others_alone(manifest: Path) -> None:
    manifest.write_text(MANIFEST.replace("[package]", "two = {}\n[package]"))
    go(manifest, Versions(OLD, published(OLD.contract, "two")))  # type: ignore[arg-type]
    notes = (manifest.parent / REMOTE).with_name("notes.txt")
    notes.write_text("notes")
    remove(manifest, ALIAS, LATER)
    assert sorted(contents(manifest.parent / "protos/remote")) == [f"{ALIAS}/notes.txt", "two/stream_server.proto"]
    assert kinds(go(manifest, NoBroker(), LATER)) == {"two": Kind.UNCHANGED}


@pytest.mark.usefixtures("unchanged")
def test_what_there_is_not_can_not_be_removed_or_updated(manifest: Path) -> None:
    with pytest.raises(ActrConfigError, match=f"there is no dependency 'stream'; known: {ALIAS}"):
        remove(manifest, "stream", NOW)
    with pytest.raises(ActrConfigError, match=f"did you mean {ALIAS}?"):
        go(manifest, Versions(OLD), update=(ALIAS[:-1],))


def test_a_byte_order_mark_and_line_ends_of_a_manifest_stay(manifest: Path) -> None:
    manifest.write_bytes(b"\xef\xbb\xbf" + MANIFEST.replace("\n", "\r\n").encode())
    go(manifest, Versions(OLD, published(OLD.contract, "two")), add=Addition("two"))  # type: ignore[arg-type]
    line = f'{ALIAS} = {{ actr_type = "acme+StreamEchoServer" }}\n'
    assert (
        manifest.read_bytes()
        == b"\xef\xbb\xbf" + MANIFEST.replace(line, f"{line}two = {{}}\n").replace("\n", "\r\n").encode()
    )


@pytest.mark.parametrize(
    "link", ["protos", "protos/remote", f"protos/remote/{ALIAS}", "Actr.lock.toml", ".actr", str(REMOTE)]
)
def test_a_symbolic_link_is_refused_and_nothing_is_written_behind_it(manifest: Path, tmp_path: Path, link: str) -> None:
    behind = tmp_path / "behind"
    behind.mkdir()
    (manifest.parent / link).parent.mkdir(parents=True, exist_ok=True)
    (manifest.parent / link).symlink_to(behind)
    with pytest.raises(ActrConfigError, match=r"symbolic link|in the way"):
        go(manifest, Versions(OLD))
    assert list(behind.iterdir()) == []
    assert (manifest.parent / link).is_symlink()
