"""The orchestrator's durable state: one SQLite file in WAL mode.

Everything that was acknowledged can be read back after ``kill -9`` or a power cut: a batch of changes is one
transaction, and with ``synchronous=FULL`` the commit returns once the log is on the disk. The orchestrator
sends its answers only after that (group commit: one commit for all the messages that had arrived).

At the start the file is checked: SQLite's own structure, each row against its types, and the sums (a lease
that holds space holds all of it, on disks that are known). A damaged file is refused whole; one of an older
version is brought up to date, and a copy of it kept.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any

import msgspec

from batfs.errors import BatfsError, InputError
from batfs.service.clock import Moment
from batfs.service.messages import Disk

SCHEMA = 2

_LEASES = """
CREATE TABLE IF NOT EXISTS leases (
    number INTEGER PRIMARY KEY, user TEXT NOT NULL, request TEXT NOT NULL, digest BLOB NOT NULL,
    size INTEGER NOT NULL, asked REAL NOT NULL, start REAL NOT NULL, duration REAL NOT NULL,
    wait_until REAL NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL, host TEXT NOT NULL,
    options TEXT NOT NULL, shares TEXT NOT NULL, connections TEXT NOT NULL, changed REAL NOT NULL,
    now_start INTEGER NOT NULL DEFAULT 1, grace REAL NOT NULL DEFAULT 0, pending TEXT NOT NULL DEFAULT '[]')
"""
_TABLES = f"""
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS servers (
    name TEXT PRIMARY KEY, backend TEXT NOT NULL, state TEXT NOT NULL, disks TEXT NOT NULL) WITHOUT ROWID;
{_LEASES};
CREATE INDEX IF NOT EXISTS leases_state ON leases (state);
CREATE TABLE IF NOT EXISTS answers (
    user TEXT NOT NULL, request TEXT NOT NULL, digest BLOB NOT NULL, reply BLOB NOT NULL, at REAL NOT NULL,
    PRIMARY KEY (user, request)) WITHOUT ROWID;
"""
# what version 2 knows and version 1 didn't; the defaults are what version 1 assumed after a restart
_FROM_1 = """
ALTER TABLE leases ADD COLUMN now_start INTEGER NOT NULL DEFAULT 1;
ALTER TABLE leases ADD COLUMN grace REAL NOT NULL DEFAULT 0;
ALTER TABLE leases ADD COLUMN pending TEXT NOT NULL DEFAULT '[]';
UPDATE leases SET now_start = 0 WHERE start > asked;
UPDATE leases SET pending = (SELECT json_group_array(key) FROM json_each(CAST(leases.shares AS TEXT)))
    WHERE state IN ('provisioning', 'ending')
"""
_HOLDING = ("reserved", "provisioning", "allocated")
_REPAIR = "restore it from a copy; an empty ledger in its place would not know what the servers hold"


class StoreError(BatfsError):
    """The file can't be written now (no space, an error of the disk): what was to be kept is not."""


@dataclass(frozen=True, slots=True)
class LeaseRow:
    """One lease as it is kept; ``shares``: "server/disk" -> bytes; states in ``leases``."""

    number: int
    user: str
    request: str
    digest: bytes
    size: int
    asked: float
    start: float
    duration: float
    wait_until: float
    state: str
    reason: str = ""
    host: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    shares: dict[str, int] = field(default_factory=dict)
    connections: dict[str, Any] = field(default_factory=dict)
    changed: float = 0.0
    now_start: bool = True
    grace: float = 0.0
    pending: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ServerRow:
    name: str
    backend: str
    state: str
    disks: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """The answer given to a mutating message other than a request for space."""

    user: str
    request: str
    digest: bytes
    reply: bytes
    at: float


Row = LeaseRow | ServerRow | AnswerRow


class Store:
    """Opens (and creates) the file. Raises InputError when it is not ours, damaged, or can't be opened."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.migrated: Path | None = None  # the copy of the older version
        try:
            new = not path.exists() or path.stat().st_size == 0
            if new and path.with_name(path.name + "-wal").exists():
                # the log alone would be thrown away by SQLite
                raise InputError(
                    "the ledger is missing or empty, but its log is there", file=path, hint=_REPAIR
                )
            self._db = sqlite3.connect(path, isolation_level=None, timeout=5.0, check_same_thread=False)
        except (OSError, sqlite3.Error) as error:
            raise InputError(f"cannot open the ledger: {error}", file=path) from error
        try:
            self._open(new)
        except (sqlite3.Error, ValueError, TypeError, OverflowError) as error:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
            if "locked" in str(error):
                raise InputError(
                    f"cannot open the ledger: {error}",
                    file=path,
                    hint="is another orchestrator running on it?",
                ) from error
            raise InputError(f"cannot open the ledger: {error}", file=path, hint=_REPAIR) from error
        except BaseException:
            self._db.close()
            raise

    def _open(self, new: bool) -> None:
        # one writer only: a second orchestrator on the same file must not start
        self._db.execute("PRAGMA locking_mode=EXCLUSIVE")
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute("BEGIN EXCLUSIVE")
        try:
            if not new:
                self._check_structure()
                found = self._db.execute("SELECT value FROM meta WHERE key='schema'").fetchone()
                if found is None or found[0] not in ("1", str(SCHEMA)):
                    has = found[0] if found else "none"
                    raise InputError(
                        f"the ledger has schema {has}; this version reads {SCHEMA} and 1",
                        file=self.path,
                        hint="it was written by a newer batfs; nothing was changed",
                    )
                if found[0] == "1":
                    self._migrate()
            for statement in _TABLES.split(";"):
                self._db.execute(statement)
            self._db.execute("INSERT OR REPLACE INTO meta VALUES ('schema', ?)", (str(SCHEMA),))
            self._check_contents()
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def _check_structure(self) -> None:
        said = [str(row[0]) for row in self._db.execute("PRAGMA integrity_check(1)")]
        if said != ["ok"]:
            raise InputError(
                f"the ledger is damaged: {said[0].splitlines()[-1]}", file=self.path, hint=_REPAIR
            )
        tables = {row[0] for row in self._db.execute("SELECT name FROM sqlite_master WHERE type='table'")}
        if not {"meta", "servers", "leases", "answers"} <= tables:
            raise InputError("this SQLite file is not a ledger of batfs", file=self.path)

    def _migrate(self) -> None:
        """A copy beside it, under a name nobody has; then the new columns, in the transaction under way."""
        number = 0
        while (copy := self.path.with_name(f"{self.path.name}.v1{f'.{number}' if number else ''}")).exists():
            number += 1
        self._db.execute("COMMIT")  # what stands in the log goes into the file that is copied
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        try:
            shutil.copy2(self.path, copy)
            handle = os.open(copy, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
        except OSError as error:
            with contextlib.suppress(OSError):
                copy.unlink()
            self._db.execute("BEGIN EXCLUSIVE")
            raise InputError(
                f"no copy of the older ledger can be kept: {error.strerror}", file=copy
            ) from error
        self._db.execute("BEGIN EXCLUSIVE")
        for statement in _FROM_1.split(";"):
            self._db.execute(statement)
        self.migrated = copy

    def _check_contents(self) -> None:
        """Every row reads as what it should be, and every lease that holds space holds all of it."""
        known: set[str] = set()
        for server in self.servers():
            disks = msgspec.convert(server.disks, list[Disk])
            if server.state != "forgotten":
                known |= {f"{server.name}/{disk.name}" for disk in disks}
        for lease in self.leases():
            wrong = ""
            if lease.state in _HOLDING and sum(lease.shares.values()) != lease.size:
                wrong = f"holds {sum(lease.shares.values())} of {lease.size} bytes"
            elif lease.state in _HOLDING and not set(lease.shares) <= known:
                wrong = f"holds bytes on {min(set(lease.shares) - known)}, which no server has"
            elif not set(lease.pending) <= set(lease.shares):
                wrong = "waits for a disk that it isn't on"
            if wrong:
                raise InputError(
                    f"the ledger is damaged: L{lease.number} {wrong}", file=self.path, hint=_REPAIR
                )
        self.moment()
        for answer in self.answers(0.0):
            msgspec.json.decode(answer.reply)

    def write(self, rows: Iterable[Row], moment: Moment | None = None) -> None:
        """Make a batch of changes durable, all or nothing; returns when they are on the disk.

        Raises StoreError when that is not possible now.
        """
        db = self._db
        try:
            db.execute("BEGIN IMMEDIATE")
            for row in rows:
                db.execute(*_statement(row))
            if moment is not None:
                text = msgspec.json.encode(moment).decode()
                db.execute("INSERT OR REPLACE INTO meta VALUES ('moment', ?)", (text,))
            db.execute("COMMIT")
        except BaseException as error:
            with contextlib.suppress(sqlite3.Error):
                if db.in_transaction:
                    db.execute("ROLLBACK")
            if isinstance(error, sqlite3.OperationalError):
                raise StoreError(f"the ledger can't be written: {error}") from error
            raise

    def moment(self) -> Moment | None:
        """The moment that was recorded last."""
        found = self._db.execute("SELECT value FROM meta WHERE key='moment'").fetchone()
        return None if found is None else msgspec.json.decode(found[0], type=Moment)

    def leases(
        self, states: Iterable[str] | None = None, since: float | None = None, most: int = 200_000
    ) -> Iterator[LeaseRow]:
        """In order of their number: those in ``states``, and the last ``most`` changed after ``since``."""
        if states is None:
            found = self._db.execute("SELECT * FROM leases ORDER BY number")
        else:
            wanted = list(states)
            marks = ",".join("?" * len(wanted))
            found = self._db.execute(
                f"SELECT * FROM leases WHERE state IN ({marks}) UNION SELECT * FROM"
                " (SELECT * FROM leases WHERE changed >= ? ORDER BY number DESC LIMIT ?) ORDER BY number",
                [*wanted, float("inf") if since is None else since, most],
            )
        for r in found:
            yield msgspec.convert(
                dict(
                    zip(
                        _COLUMNS,
                        (*r[:12], *map(_loads, r[12:15]), r[15], bool(r[16]), r[17], _loads(r[18])),
                        strict=True,
                    )
                ),
                LeaseRow,
            )

    def servers(self) -> list[ServerRow]:
        rows = self._db.execute("SELECT name, backend, state, disks FROM servers ORDER BY name").fetchall()
        names = ("name", "backend", "state", "disks")
        return [
            msgspec.convert(dict(zip(names, (*r[:3], _loads(r[3])), strict=True)), ServerRow) for r in rows
        ]

    def answers(self, since: float) -> list[AnswerRow]:
        names = ("user", "request", "digest", "reply", "at")
        return [
            msgspec.convert(dict(zip(names, r, strict=True)), AnswerRow)
            for r in self._db.execute(
                "SELECT * FROM answers WHERE at >= ? ORDER BY at, user, request", (since,)
            )
        ]

    def last_number(self) -> int:
        return int(self._db.execute("SELECT COALESCE(MAX(number), 0) FROM leases").fetchone()[0])

    def prune(self, before: float, final_states: Iterable[str], refused: int = 10_000) -> None:
        """Forget ended leases and answers from before ``before`` (their ids can no longer be repeated), and
        of the refused requests all but the last ``refused``. Raises StoreError."""
        wanted = list(final_states)
        marks = ",".join("?" * len(wanted))
        try:
            # the highest number stays: lease names are never used twice
            self._db.execute(
                f"DELETE FROM leases WHERE changed < ? AND state IN ({marks})"
                " AND number < (SELECT MAX(number) FROM leases)",
                (before, *wanted),
            )
            self._db.execute(
                "DELETE FROM leases WHERE state = 'refused' AND number < (SELECT MAX(number) FROM leases)"
                " AND number < (SELECT number FROM leases WHERE state = 'refused'"
                " ORDER BY number DESC LIMIT 1 OFFSET ?)",
                (refused,),
            )
            self._db.execute("DELETE FROM answers WHERE at < ?", (before,))
        except sqlite3.OperationalError as error:
            raise StoreError(f"the ledger can't be written: {error}") from error

    def close(self) -> None:
        with contextlib.suppress(sqlite3.Error):  # what was acknowledged is in the file already
            self._db.close()


_COLUMNS = tuple(LeaseRow.__dataclass_fields__)
_VALUES = attrgetter(*_COLUMNS)
_JSON = tuple(map(_COLUMNS.index, ("options", "shares", "connections", "pending")))
_INSERT = f"INSERT OR REPLACE INTO leases VALUES ({','.join('?' * len(_COLUMNS))})"
_encode = msgspec.json.Encoder().encode


def _loads(text: str | bytes) -> Any:
    return msgspec.json.decode(text)


def _statement(row: Row) -> tuple[str, tuple[Any, ...]]:
    if isinstance(row, LeaseRow):
        values = list(_VALUES(row))
        for i in _JSON:
            values[i] = _encode(values[i])
        return _INSERT, tuple(values)
    if isinstance(row, ServerRow):
        return (
            "INSERT OR REPLACE INTO servers VALUES (?,?,?,?)",
            (row.name, row.backend, row.state, msgspec.json.encode(row.disks)),
        )
    return (
        "INSERT OR REPLACE INTO answers VALUES (?,?,?,?,?)",
        (row.user, row.request, row.digest, row.reply, row.at),
    )
