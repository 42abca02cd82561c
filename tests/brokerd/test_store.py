"""The store: what it recalls, whom it refuses, and what it does with damage and a full disk."""

import errno
import os
import secrets
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from actrzmq.brokerd import store as module
from actrzmq.brokerd.store import Recalled, Store
from actrzmq.core.broker import Bury, Remember
from actrzmq.core.expected import Remembered
from actrzmq.errors import ActrConfigError, ActrTransportError
from actrzmq.identity import ActrId, ActrType, Serial
from actrzmq.net.filelock import FileLock
from actrzmq.wire.messages import Reason
from tests.net.peers import wait_until


def node(serial: int, name: str = "node") -> Remembered:
    return Remembered(ActrId(Serial(serial), 7, ActrType("acme", "Node")), name)


def keep(path: Path, *effects: Remember | Bury) -> None:
    store = Store(path)
    store.open()
    store.put(effects)
    store.close()


def recall(path: Path) -> Recalled:
    store = Store(path)
    recalled = store.open()
    store.close()
    return recalled


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "broker.db"


def test_it_recalls_who_was_live_and_who_is_down(path: Path) -> None:
    keep(path, Remember(node(1)), Remember(node(2, "zwei\n")), Remember(node(3)), Bury(Serial(3), Reason.LEASE))
    assert recall(path) == Recalled([node(1), node(2, "zwei\n")], [Serial(3)])
    keep(path, Bury(Serial(1), Reason.LEASE))
    assert recall(path) == Recalled([node(2, "zwei\n")], [Serial(3), Serial(1)])


def test_nothing_but_the_store_itself_is_left_and_it_is_private(path: Path) -> None:
    keep(path, Remember(node(1)))
    assert list(path.parent.iterdir()) == [path]
    assert path.stat().st_mode & 0o077 == 0
    assert path.parent.stat().st_mode & 0o077 == 0


def test_a_second_broker_is_refused_and_the_first_one_not_disturbed(path: Path) -> None:
    first, second = Store(path), Store(path)
    first.open()
    with pytest.raises(ActrTransportError, match="another broker uses the store"):
        second.open()
    second.close()
    first.put([Remember(node(1))])
    first.close()
    assert recall(path).nodes == [node(1)]


def test_what_a_killed_broker_wrote_is_there(path: Path) -> None:
    child = os.fork()
    if child == 0:
        store = Store(path)
        store.open()
        store.put([Remember(node(1))])
        wait_until(lambda: store.counters["store.written"] == 1, "write")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert recall(path).nodes == [node(1)]


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def overwrite(path: Path) -> None:
    path.write_bytes(b"no database at all" * 1000)


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096:8192] = secrets.token_bytes(4096)
    path.write_bytes(content)


def from_the_future(path: Path) -> None:
    database = sqlite3.connect(path)
    database.execute("pragma user_version = 99")
    database.close()


@pytest.mark.parametrize("harm", [truncate, overwrite, damage, from_the_future])
def test_a_file_that_cannot_be_read_is_moved_aside_loudly_and_made_anew(
    path: Path, harm: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    keep(path, *(Remember(node(serial)) for serial in range(1, 200)))
    harm(path)
    harmed = path.read_bytes()
    assert recall(path) == Recalled([], [])
    assert "moved to=" in caplog.text
    (aside,) = path.parent.glob("broker.db.unreadable-*")
    assert aside.read_bytes()[:100] == harmed[:100]
    keep(path, Remember(node(5)))
    assert recall(path).nodes == [node(5)]


def test_a_row_that_was_changed_is_dropped_and_the_others_stay(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    keep(path, Remember(node(1)), Remember(node(2)), Bury(Serial(3), Reason.LEASE), Bury(Serial(4), Reason.LEASE))
    database = sqlite3.connect(path)
    with database:
        database.execute("update node set name = 'other' where serial = 1")
        database.execute("update dead set serial = 9 where serial = 3")
    database.close()
    assert recall(path) == Recalled([node(2)], [Serial(4)])
    assert "rows=2" in caplog.text


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_full_disk_at_the_start_costs_the_store_only(
    path: Path, code: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(FileLock, "take", full)
    assert recall(path) == Recalled([], [])
    assert "going on without it" in caplog.text


def test_while_the_disk_is_full_changes_wait_and_are_written_later(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("WARNING")
    monkeypatch.setattr(module, "RETRY_S", 0.01)
    is_full = True
    write = module._write

    def maybe(database: sqlite3.Connection, effect: Remember | Bury) -> None:
        if is_full:
            raise sqlite3.OperationalError("database or disk is full")
        write(database, effect)

    monkeypatch.setattr(module, "_write", maybe)
    store = Store(path)
    store.open()
    store.put([Remember(node(1))])
    wait_until(lambda: store.counters["store.failing"] >= 3, "failures")
    store.put([Remember(node(2))])
    is_full = False
    wait_until(lambda: "is written again" in caplog.text, "recovery")
    store.close()
    assert caplog.text.count("disk is full") == 1
    assert sorted(found.id.serial for found in recall(path).nodes) == [1, 2]


def test_what_waits_is_bounded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PENDING", 10)
    store = Store(path)
    store.put([Remember(node(serial)) for serial in range(1, 31)])
    assert store.counters["store.forgotten"] == 20
    store.open()
    store.close()
    assert [found.id.serial for found in recall(path).nodes] == list(range(21, 31))


def test_of_those_that_are_down_the_latest_are_remembered(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DEAD", 100)
    keep(path, *(Bury(Serial(serial), Reason.LEASE) for serial in range(1, 301)))
    assert recall(path).dead == list(range(201, 301))


def test_a_place_where_nothing_can_be_written_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ActrConfigError, match=r"store .*/file/broker\.db: .*; give another --store"):
        Store(tmp_path / "file" / "broker.db").open()
    with pytest.raises(ActrConfigError, match="Is a directory"):
        Store(tmp_path).open()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
