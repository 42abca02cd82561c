"""The shelf: contracts in the broker's store, checked before they are kept.

All of it runs in the store's thread, but for `put` and `take`. The facts (fingerprints, sizes, versions) are read when
the broker starts, the contents only when somebody asks for them.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections import Counter, deque
from collections.abc import Callable, Sequence
from zlib import crc32

from actrzmq.core.catalogue import Key, Version
from actrzmq.core.shelf import Fetch, Fetched, Forget, Keep, Kept, Note, NotKept, Order, Outcome
from actrzmq.errors import ActrConfigError
from actrzmq.identity import ActrType
from actrzmq.wire.messages import MAX_TAGS

FACTS = ("content", "version")
"""The tables that are read at the start."""
SCHEMA = """
create table if not exists content (fingerprint text primary key, size integer not null, body_checksum integer not null,
    checksum integer not null) without rowid;
create table if not exists body (fingerprint text primary key, body blob not null);
create table if not exists version (realm integer not null, manufacturer text not null, type text not null,
    name text not null, fingerprint text not null, description text not null, tags text not null,
    published_at text not null, number integer not null, used integer not null, checksum integer not null,
    primary key (realm, manufacturer, type, name, fingerprint)) without rowid;
"""
_WHERE = "where realm = ? and manufacturer = ? and type = ? and name = ? and fingerprint = ?"
_LEFT = "and fingerprint not in (select fingerprint from version)"

log = logging.getLogger("actrzmq.store")

Row = Note | Forget


class Shelf:
    """Carries out the core's orders. `wake` is called when there are some, `notify` when outcomes are there."""

    def __init__(self, counters: Counter[str], wake: Callable[[], None]) -> None:
        self.notify: Callable[[], None] = lambda: None
        self._counters = counters
        self._wake = wake
        self._orders: deque[Order] = deque()
        self._outcomes: deque[Outcome] = deque()
        self._unwritten: dict[Key | str, Row] = {}
        """Rows that wait for a disk that can be written."""

    def put(self, orders: Sequence[Order]) -> None:
        """Have these carried out. Never waits."""
        self._orders.extend(orders)
        self._wake()

    def take(self) -> list[Outcome]:
        """The outcomes that there are, once."""
        return [self._outcomes.popleft() for _ in range(len(self._outcomes))]

    @property
    def has_orders(self) -> bool:
        """Is there anything left to do?"""
        return bool(self._orders or self._unwritten)

    def work(self, connect: Callable[[], sqlite3.Connection]) -> bool:
        """Carry out what was ordered. False where something can't be written, and is to be tried again."""
        keeps, fetches = [], []
        for _ in range(len(self._orders)):
            order = self._orders.popleft()
            match order:
                case Fetch():
                    fetches.append(order)
                case Keep():
                    refusal = _refusal(order)
                    if refusal:
                        log.warning("refused a contract fingerprint=%s reason=%s", order.fingerprint, refusal)
                        self._post(NotKept(order.fingerprint, refusal, True))
                    else:
                        keeps.append(order)
                case Note() | Forget():
                    self._defer(order)
        is_written = self._write(keeps, connect)  # first: what is told has been stored, if it can be
        for fetch in fetches:
            self._post(self._fetch(fetch, connect))
        return is_written and self._write((), connect)  # reading may have found damage

    def _write(self, keeps: Sequence[Keep], connect: Callable[[], sqlite3.Connection]) -> bool:
        if not keeps and not self._unwritten:
            return True
        try:
            with connect() as database:
                for row in self._unwritten.values():
                    _write_row(database, row)
                for keep in keeps:
                    _write_contents(database, keep)
        except (sqlite3.Error, OSError) as error:
            if not self._counters["store.contracts_failing"]:
                log.error("can't keep contracts reason=%s; going on without", error)
            self._counters["store.contracts_failing"] += 1
            for keep in keeps:
                self._post(NotKept(keep.fingerprint, f"the broker's store can't be written: {error}", False))
            return not self._unwritten
        self._unwritten.clear()
        if self._counters.pop("store.contracts_failing", 0):
            log.warning("contracts are kept again")
        for keep in keeps:
            log.info("keeping a contract fingerprint=%s bytes=%d", keep.fingerprint, len(keep.body))
            self._post(Kept(keep.fingerprint, len(keep.body)))
        return True

    def _fetch(self, fetch: Fetch, connect: Callable[[], sqlite3.Connection]) -> Fetched:
        try:
            body = _read_contents(connect(), fetch.fingerprint)
        except (sqlite3.Error, OSError) as error:
            log.error("can't read a contract fingerprint=%s reason=%s", fetch.fingerprint, error)
            return Fetched(fetch.ticket, fetch.fingerprint, None, str(error))
        if body is not None:
            return Fetched(fetch.ticket, fetch.fingerprint, body)
        self._counters["store.bad_rows"] += 1
        log.error("dropped a contract that was damaged fingerprint=%s", fetch.fingerprint)
        self._defer(Forget(fetch.fingerprint, None, is_lost=True))
        return Fetched(fetch.ticket, fetch.fingerprint, None, "it was damaged", is_lost=True)

    def _defer(self, row: Row) -> None:
        key = row.version.key if isinstance(row, Note) else row.key or row.fingerprint
        self._unwritten.pop(key, None)  # the latest says it all, and goes last
        self._unwritten[key] = row

    def _post(self, outcome: Outcome) -> None:
        self._outcomes.append(outcome)
        self.notify()


def read(database: sqlite3.Connection) -> tuple[list[tuple[str, int]], list[Version], int]:
    """What is kept: contents with their sizes, versions, and how many rows were damaged, and are dropped."""
    contents, versions, bad = {}, [], 0
    for fingerprint, size, body_checksum, check in database.execute("select * from content").fetchall():
        if check == checksum(fingerprint, size, body_checksum):
            contents[fingerprint] = size
        else:
            bad += 1
            with database:
                _drop_contents(database, fingerprint)
    for *row, check in database.execute("select * from version").fetchall():
        version = _version(*row) if check == checksum(*row) else None
        if version is not None and version.key.fingerprint in contents:
            versions.append(version)
            continue
        bad += version is None
        with database:
            database.execute(f"delete from version {_WHERE}", row[:5])  # noqa: S608
    used = {version.key.fingerprint for version in versions}
    for fingerprint in contents.keys() - used:  # the broker ended before it knew what they belong to
        with database:
            _drop_contents(database, fingerprint)
    return [(fingerprint, size) for fingerprint, size in contents.items() if fingerprint in used], versions, bad


def checksum(*row: int | str) -> int:
    """By which a row is seen to be as it was written."""
    return crc32("\0".join(map(str, row)).encode())


def _refusal(keep: Keep) -> str:
    """Why this is not the contract that it is said to be; empty if it is."""
    from actrzmq.contracts.bundle import unpack  # protobuf takes long to load, and the broker has to start

    try:
        fingerprint = unpack(keep.body).fingerprint
    except ActrConfigError as error:
        return error.message
    except Exception as error:  # whatever it was that a stranger sent: the thread goes on
        log.exception("could not check a contract fingerprint=%s", keep.fingerprint)
        return f"it could not be checked: {type(error).__name__}"
    return "" if fingerprint == keep.fingerprint else f"its content has the fingerprint {fingerprint}"


def _write_row(database: sqlite3.Connection, row: Row) -> None:
    if isinstance(row, Note):
        values = _values(row.version)
        database.execute("insert or replace into version values (?,?,?,?,?,?,?,?,?,?,?)", (*values, checksum(*values)))
        return
    if row.key is not None:
        database.execute(f"delete from version {_WHERE}", _names(row.key))  # noqa: S608
    if row.is_lost:
        database.execute("delete from version where fingerprint = ?", (row.fingerprint,))
    for table in ("content", "body"):
        database.execute(f"delete from {table} where fingerprint = ? {_LEFT}", (row.fingerprint,))  # noqa: S608


def _write_contents(database: sqlite3.Connection, keep: Keep) -> None:
    row = (keep.fingerprint, len(keep.body), crc32(keep.body))
    database.execute("insert or replace into content values (?, ?, ?, ?)", (*row, checksum(*row)))
    database.execute("insert or replace into body values (?, ?)", (keep.fingerprint, keep.body))


def _read_contents(database: sqlite3.Connection, fingerprint: str) -> bytes | None:
    rows = database.execute(
        "select body, body_checksum from content join body using (fingerprint) where fingerprint = ?", (fingerprint,)
    ).fetchall()
    return next((body for body, check in rows if isinstance(body, bytes) and crc32(body) == check), None)


def _drop_contents(database: sqlite3.Connection, fingerprint: str) -> None:
    for table in ("content", "body"):
        database.execute(f"delete from {table} where fingerprint = ?", (fingerprint,))  # noqa: S608


def _names(key: Key) -> tuple[int, str, str, str, str]:
    return key.realm, key.type.manufacturer, key.type.name, key.name, key.fingerprint


def _values(version: Version) -> tuple[int | str, ...]:
    texts = (version.description, json.dumps(version.tags), version.published_at)
    return (*_names(version.key), *texts, version.number, version.used)


def _version(
    realm: int,
    manufacturer: str,
    type_name: str,
    name: str,
    fingerprint: str,
    description: str,
    tags: str,
    published_at: str,
    number: int,
    used: int,
) -> Version | None:
    try:
        key = Key(realm, ActrType(manufacturer, type_name), name, fingerprint)
        return Version(key, description, tuple(json.loads(tags))[:MAX_TAGS], published_at, number, used)
    except (ActrConfigError, ValueError):
        return None
