"""The shelf: what it keeps and what not, what is there after a restart, and what damage and a full disk do to it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from actrzmq.brokerd import contracts as module
from actrzmq.brokerd import store as store_module
from actrzmq.brokerd.contracts import Shelf
from actrzmq.brokerd.store import Recalled, Store
from actrzmq.contracts.bundle import contract_file, contract_of, pack
from actrzmq.core.broker import Remember
from actrzmq.core.catalogue import Key, Version
from actrzmq.core.expected import Remembered
from actrzmq.core.shelf import Fetch, Fetched, Forget, Keep, Kept, Note, NotKept, Order, Outcome
from actrzmq.identity import ActrId, ActrType, Serial
from tests.codegen.protos import STREAM_SERVER, compiled
from tests.net.peers import wait_until

ECHO = ActrType("acme", "Echo")


def packed(text: str = STREAM_SERVER) -> tuple[str, bytes]:
    """A contract: its fingerprint, and its bytes."""
    found = compiled(stream_server=text)
    contract = contract_of([contract_file("stream_server.proto", text, found["stream_server.proto"])])
    return contract.fingerprint, pack(contract)


A, BODY = packed()
B, OTHER = packed('syntax = "proto3";\nmessage Other { string text = 1; }\n')


def version(fingerprint: str = A, name: str = "echo", used: int = 1, tags: tuple[str, ...] = ("x", "ü")) -> Version:
    return Version(Key(7, ECHO, name, fingerprint), "says it\nagain", tags, "2026-01-01T00:00:00.000+00:00", 1, used)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "broker.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    store = Store(path)
    store.open()
    yield store
    store.close()


def outcomes(shelf: Shelf, count: int = 1) -> list[Outcome]:
    """The next so many outcomes."""
    found: list[Outcome] = []

    def are_there() -> bool:
        found.extend(shelf.take())
        return len(found) >= count

    wait_until(are_there, f"{count} outcomes")
    return found


def keep(path: Path, *orders: Order) -> None:
    """Carry `orders` out, and close."""
    store = Store(path)
    store.open()
    store.shelf.put(orders)
    store.close()


def recall(path: Path) -> Recalled:
    store = Store(path)
    recalled = store.open()
    store.close()
    return recalled


def change(path: Path, *statements: str) -> None:
    database = sqlite3.connect(path)
    with database:
        for statement in statements:
            database.execute(statement)
    database.close()


def test_contents_are_kept_and_read_again(store: Store) -> None:
    store.shelf.put([Keep(A, BODY)])
    assert outcomes(store.shelf) == [Kept(A, len(BODY))]
    store.shelf.put([Fetch(5, A)])
    assert outcomes(store.shelf) == [Fetched(5, A, BODY)]


def test_the_one_who_waits_is_told_when_an_outcome_is_there(store: Store) -> None:
    told: list[bool] = []
    store.shelf.notify = lambda: told.append(True)
    store.shelf.put([Keep(A, BODY)])
    wait_until(lambda: told, "a notice")
    assert store.shelf.take() == [Kept(A, len(BODY))]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"nonsense", "not a contract"),
        (BODY[:-1], "not a contract"),
        (OTHER, f"its content has the fingerprint {B}"),
    ],
)
def test_what_is_not_that_contract_is_refused_loudly(
    store: Store, body: bytes, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    store.shelf.put([Keep(A, body)])
    (outcome,) = outcomes(store.shelf)
    assert isinstance(outcome, NotKept)
    assert outcome.is_wrong
    assert words in outcome.reason
    assert f"refused a contract fingerprint={A}" in caplog.text


def test_whatever_goes_wrong_in_a_check_the_shelf_goes_on(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(body: bytes) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr("actrzmq.contracts.bundle.unpack", fail)
        store.shelf.put([Keep(A, BODY)])
        assert outcomes(store.shelf) == [NotKept(A, "it could not be checked: MemoryError", True)]
    store.shelf.put([Keep(A, BODY)])
    assert outcomes(store.shelf) == [Kept(A, len(BODY))]


def test_facts_are_recalled_and_the_latest_holds(path: Path) -> None:
    keep(path, Keep(A, BODY), Keep(B, OTHER), Note(version()), Note(version(B)), Note(version(used=9)))
    recalled = recall(path)
    assert sorted(recalled.contents) == sorted([(A, len(BODY)), (B, len(OTHER))])
    assert {kept.key: kept for kept in recalled.versions} == {
        version(B).key: version(B),
        version().key: version(used=9),
    }


def test_contents_go_with_their_last_version(path: Path) -> None:
    keep(path, Keep(A, BODY), Note(version()), Note(version(name="other")))
    keep(path, Forget(A, version().key))
    assert recall(path).contents == [(A, len(BODY))]
    keep(path, Forget(A, version(name="other").key))
    assert recall(path) == Recalled([], [])
    database = sqlite3.connect(path)
    assert database.execute("select count(*) from body").fetchone() == (0,)
    database.close()


def test_contents_that_nobody_knows_are_dropped_at_the_start(path: Path) -> None:
    keep(path, Keep(A, BODY))
    assert recall(path).contents == []


@pytest.mark.parametrize(
    "statement",
    [
        "update version set description = 'other'",
        "update version set tags = 'no json'",
        "update version set type = '-'",
        "update content set size = 1",
    ],
)
def test_damaged_facts_are_dropped_loudly_and_the_others_stay(
    path: Path, statement: str, caplog: pytest.LogCaptureFixture
) -> None:
    keep(path, Keep(A, BODY), Note(version()), Keep(B, OTHER), Note(version(B)))
    change(path, f"{statement} where fingerprint = '{A}'")
    recalled = recall(path)
    assert [kept.key.fingerprint for kept in recalled.versions] == [B]
    assert recalled.contents == [(B, len(OTHER))]
    assert "rows=1" in caplog.text
    caplog.clear()
    assert recall(path) == recalled
    assert "damaged" not in caplog.text


@pytest.mark.parametrize(
    "statement", ["update body set body = x'00'", "update body set body = 'text'", "delete from body"]
)
def test_damaged_contents_are_told_and_dropped_when_they_are_read(
    path: Path, statement: str, caplog: pytest.LogCaptureFixture
) -> None:
    keep(path, Keep(A, BODY), Note(version()))
    change(path, statement)
    store = Store(path)
    assert store.open().contents == [(A, len(BODY))]  # the start does not look at contents
    store.shelf.put([Fetch(1, A)])
    assert outcomes(store.shelf) == [Fetched(1, A, None, "it was damaged", is_lost=True)]
    assert f"dropped a contract that was damaged fingerprint={A}" in caplog.text
    store.shelf.put([Keep(A, BODY), Fetch(2, A)])
    assert Kept(A, len(BODY)) in outcomes(store.shelf, 2)
    store.close()
    assert recall(path).versions == []


def test_while_the_disk_is_full_contents_are_refused_in_words_and_facts_wait(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(store_module, "RETRY_S", 0.01)
    is_full = False
    write = module._write_row

    def maybe(database: sqlite3.Connection, row: Note | Forget) -> None:
        if is_full:
            raise sqlite3.OperationalError("database or disk is full")
        write(database, row)

    monkeypatch.setattr(module, "_write_row", maybe)
    store = Store(path)
    store.open()
    store.shelf.put([Keep(A, BODY), Note(version())])
    outcomes(store.shelf)
    is_full = True
    store.shelf.put([Note(version(used=9)), Keep(B, OTHER)])
    (refused,) = outcomes(store.shelf)
    assert refused == NotKept(B, "the broker's store can't be written: database or disk is full", False)
    wait_until(lambda: store.counters["store.contracts_failing"] >= 3, "failures")
    store.shelf.put([Fetch(1, A)])
    assert outcomes(store.shelf) == [Fetched(1, A, BODY)]  # what is there can be read
    is_full = False
    wait_until(lambda: not store.counters["store.contracts_failing"], "recovery")
    store.close()
    assert caplog.text.count("disk is full") == 1
    assert recall(path).versions == [version(used=9)]


def test_a_full_disk_does_not_keep_nodes_from_being_stored(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(store_module, "RETRY_S", 0.01)
    monkeypatch.setattr(module, "_write_row", full)
    node = Remembered(ActrId(Serial(1), 7, ECHO), "echo")
    store = Store(path)
    store.open()
    store.shelf.put([Note(version())])
    wait_until(lambda: store.counters["store.contracts_failing"], "failures")
    store.put([Remember(node)])
    wait_until(lambda: store.counters["store.written"], "write")
    store.close()
    assert recall(path).nodes == [node]


def fill(path: Path) -> None:
    """Make `path` a store that is full of contracts: 60 of 1 MiB each."""
    keep(path, Keep(A, BODY), Note(version()))
    database = sqlite3.connect(path)
    with database:
        for number in range(60):
            row = (f"service_semantic:{number:064x}", 1 << 20, 1)
            values = module._values(version(row[0]))
            database.execute("insert into content values (?,?,?,?)", (*row, module.checksum(*row)))
            database.execute("insert into body values (?, zeroblob(1048576))", row[:1])
            database.execute("insert into version values (?,?,?,?,?,?,?,?,?,?,?)", (*values, module.checksum(*values)))
    database.close()


def test_a_start_reads_facts_only_however_much_is_kept(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(path)
    read: set[str | None] = set()

    def note(action: int, name: str | None, argument: str | None, *_: object) -> int:
        if action == sqlite3.SQLITE_READ:
            read.add(name)
        elif action == sqlite3.SQLITE_PRAGMA and name == "quick_check":
            read.add(argument)
        return sqlite3.SQLITE_OK

    def connect(*arguments: Any, **options: Any) -> sqlite3.Connection:
        database: sqlite3.Connection = opened(*arguments, **options)
        database.set_authorizer(note)
        return database

    opened = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", connect)
    store = Store(path)
    recalled = store.open()
    seen = read.copy()
    store.close()
    assert len(recalled.contents) == 61
    assert {"content", "version"} <= seen
    assert not {"body", None} & seen  # None: all tables are checked
