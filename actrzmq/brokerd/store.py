"""What a broker remembers over its restart: which nodes were live, which are down for good, and published contracts.

SQLite, in a thread of its own: the loop hands over what changed and goes on, and what collects while one transaction
is written goes into the next. Losing the last moment before a power cut costs little, since the nodes are gone as well;
a broker that is killed loses nothing that was written.

The store serves the broker, never the other way round: a file that is damaged is moved aside and made anew, and while
none can be read or written the broker routes without one.
"""

from __future__ import annotations

import errno
import logging
import os
import sqlite3
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Collection, Sequence
from pathlib import Path

from msgspec import Struct

from actrzmq.brokerd import contracts
from actrzmq.brokerd.contracts import Shelf, checksum
from actrzmq.core.broker import Bury, Remember
from actrzmq.core.catalogue import Version
from actrzmq.core.expected import Remembered
from actrzmq.errors import ActrConfigError, ActrTransportError
from actrzmq.identity import ActrId, ActrType, Serial
from actrzmq.net.filelock import FileLock

VERSION = 1
DEAD = 100_000
"""Serials that are down, remembered: the latest ones."""
PENDING = 100_000
"""Changes that may wait to be written; of more, the oldest are forgotten."""
RETRY_S = 1.0
CLOSE_S = 0.5

_SCHEMA = f"""
create table if not exists node (serial integer primary key, realm integer not null, manufacturer text not null,
    type text not null, name text not null, checksum integer not null);
create table if not exists dead (number integer primary key, serial integer not null unique, checksum integer not null);
{contracts.SCHEMA}
pragma user_version = {VERSION};
"""
_CHECKED = ("node", "dead", *contracts.FACTS)
"""Tables that are looked through at the start. The contents of contracts are not: they may be many, and each is checked
when it is read."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
_NOT_THE_FILE = (
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
)
"""Errors for which the file may well be good, and is left where it is."""

log = logging.getLogger("actrzmq.store")


class Recalled(Struct, frozen=True):
    """What the last broker on this store knew."""

    nodes: list[Remembered]
    dead: list[Serial]
    contents: list[tuple[str, int]] = []
    """Contracts, by fingerprint, and their size in bytes."""
    versions: list[Version] = []


class Store:
    """The file `path`. One broker at a time has it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.counters: Counter[str] = Counter()
        self._lock = FileLock(path.with_name(path.name + ".lock"))
        self._database: sqlite3.Connection | None = None
        self._pending: OrderedDict[Serial, Remember | Bury] = OrderedDict()
        self._guard = threading.Lock()
        self._wake = threading.Event()
        self.shelf = Shelf(self.counters, self._wake.set)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="actrzmq-store", daemon=True)

    def open(self) -> Recalled:
        """Take the store, read it, and begin to write.

        Raises `ActrTransportError` if another broker has it, and `ActrConfigError` if nothing can be stored there.
        """
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not self._lock.take():
                raise ActrTransportError(f"another broker uses the store {self.path}; stop it, or give another --store")
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            if error.errno not in _FULL:
                self._lock.release()
                raise ActrConfigError(f"store {self.path}: {error.strerror}; give another --store") from None
            log.error("no room for the store path=%s reason=%s; going on without it", self.path, error.strerror)
        recalled = self._recall()
        self._thread.start()
        return recalled

    def put(self, effects: Sequence[Remember | Bury]) -> None:
        """Have `effects` written soon. Never waits for the disk."""
        with self._guard:
            for effect in effects:
                serial = effect.serial if isinstance(effect, Bury) else effect.node.id.serial
                self._pending.pop(serial, None)  # the latest says it all, and goes last
                self._pending[serial] = effect
            self._forget_excess()
        self._wake.set()

    def close(self) -> None:
        """Write what is left, for half a second at most, and give the store up."""
        self._closing.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(CLOSE_S)
        self._lock.release()

    def _recall(self) -> Recalled:
        for _ in range(2):  # once more after a bad file was moved aside
            try:
                self._database = _connect(self.path)
                return self._read(self._database)
            except sqlite3.Error as error:
                self._disconnect()
                self.counters["store.unreadable"] += 1
                if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF in _NOT_THE_FILE:
                    log.error("can't use the store path=%s reason=%s; going on without it", self.path, error)
                    break
                self._move_aside(error)
        return Recalled([], [])

    def _read(self, database: sqlite3.Connection) -> Recalled:
        nodes, dead, bad = [], [], []
        for serial, *row, check in database.execute("select * from node"):
            node = _node(serial, *row) if check == checksum(serial, *row) else None
            nodes.append(node) if node is not None else bad.append(("node", serial))
        for _, serial, check in database.execute("select * from dead order by number"):
            dead.append(Serial(serial)) if check == checksum(serial) else bad.append(("dead", serial))
        contents, versions, bad_contracts = contracts.read(database)
        if bad or bad_contracts:
            self.counters["store.bad_rows"] += len(bad) + bad_contracts
            rows = len(bad) + bad_contracts
            log.error("dropped rows of the store that were damaged path=%s rows=%d", self.path, rows)
            with database:
                for table, serial in bad:
                    database.execute(f"delete from {table} where serial = ?", (serial,))  # noqa: S608
        return Recalled(nodes, dead, contents, versions)

    def _move_aside(self, error: sqlite3.Error) -> None:
        aside = f"{self.path}.unreadable-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{os.getpid()}"
        log.error("can't read the store path=%s reason=%s; moved to=%s and made anew", self.path, error, aside)
        for suffix in ("", "-wal", "-shm"):
            try:
                os.replace(f"{self.path}{suffix}", aside + suffix)
            except OSError:
                continue  # there is none, or the disk is no better than the file

    def _run(self) -> None:
        while not (self._closing.is_set() and not self._pending and not self.shelf.has_orders):
            self._wake.wait()
            self._wake.clear()
            with self._guard:
                batch, self._pending = self._pending, OrderedDict()
            is_written = not batch or self._write(batch.values())
            if not is_written:
                with self._guard:
                    self._pending = batch | self._pending
                    self._forget_excess()
            if not self.shelf.work(self._connected):
                is_written = False
                self._disconnect()
            if not is_written:
                if self._closing.is_set():
                    break
                self._closing.wait(RETRY_S)
                self._wake.set()
        self._disconnect()

    def _connected(self) -> sqlite3.Connection:
        if self._database is None:
            self._database = _connect(self.path)
        return self._database

    def _write(self, effects: Collection[Remember | Bury]) -> bool:
        try:
            with self._connected() as database:
                for effect in effects:
                    _write(database, effect)
                database.execute("delete from dead where number <= (select max(number) from dead) - ?", (DEAD,))
        except (sqlite3.Error, OSError) as error:
            if not self.counters["store.failing"]:
                log.error("can't write the store path=%s reason=%s; going on without it", self.path, error)
            self.counters["store.failing"] += 1
            self._disconnect()
            return False
        self.counters["store.written"] += len(effects)
        if self.counters.pop("store.failing", 0):
            log.warning("the store is written again path=%s", self.path)
        return True

    def _forget_excess(self) -> None:
        while len(self._pending) > PENDING:
            self._pending.popitem(last=False)
            self.counters["store.forgotten"] += 1

    def _disconnect(self) -> None:
        if self._database is not None:
            try:
                self._database.close()
            except sqlite3.Error as error:
                log.error("can't close the store path=%s reason=%s", self.path, error)
            self._database = None


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=1.0, check_same_thread=False)
    try:
        version = database.execute("pragma user_version").fetchone()[0]
        if version not in {0, VERSION}:
            raise sqlite3.DatabaseError(f"version {version}, expected {VERSION}")
        tables = [name for (name,) in database.execute("select name from sqlite_master where type = 'table'")]
        for table in tables:
            checked = database.execute(f"pragma quick_check({table})").fetchone()[0] if table in _CHECKED else "ok"
            if checked != "ok":
                raise sqlite3.DatabaseError(checked)
        database.execute("pragma journal_mode = wal")
        database.execute("pragma synchronous = normal")
        database.executescript(_SCHEMA)
    except sqlite3.Error:
        database.close()
        raise
    return database


def _write(database: sqlite3.Connection, effect: Remember | Bury) -> None:
    if isinstance(effect, Bury):
        serial = effect.serial
        database.execute("delete from node where serial = ?", (serial,))
        database.execute("insert or ignore into dead (serial, checksum) values (?, ?)", (serial, checksum(serial)))
        return
    id = effect.node.id
    row = (id.serial, id.realm, id.type.manufacturer, id.type.name, effect.node.name)
    database.execute("insert or replace into node values (?, ?, ?, ?, ?, ?)", (*row, checksum(*row)))


def _node(serial: int, realm: int, manufacturer: str, type_name: str, name: str) -> Remembered | None:
    try:
        return Remembered(ActrId(Serial(serial), realm, ActrType(manufacturer, type_name)), name)
    except ActrConfigError:
        return None
