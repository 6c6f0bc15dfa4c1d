"""The orchestrator's durable state: one SQLite file in WAL mode.

Everything that was acknowledged can be read back after ``kill -9`` or a power cut: a batch of changes is one
transaction, and with ``synchronous=FULL`` the commit returns once the log is on the disk. The orchestrator
sends its answers only after that (group commit: one commit for all the messages that had arrived).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from batfs.errors import InputError

SCHEMA = 1

_TABLES = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS servers (
    name TEXT PRIMARY KEY, backend TEXT NOT NULL, state TEXT NOT NULL, disks TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS leases (
    number INTEGER PRIMARY KEY, user TEXT NOT NULL, request TEXT NOT NULL, digest BLOB NOT NULL,
    size INTEGER NOT NULL, asked REAL NOT NULL, start REAL NOT NULL, duration REAL NOT NULL,
    wait_until REAL NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL, host TEXT NOT NULL,
    options TEXT NOT NULL, shares TEXT NOT NULL, connections TEXT NOT NULL, changed REAL NOT NULL);
CREATE INDEX IF NOT EXISTS leases_state ON leases (state);
CREATE TABLE IF NOT EXISTS answers (
    user TEXT NOT NULL, request TEXT NOT NULL, digest BLOB NOT NULL, reply BLOB NOT NULL, at REAL NOT NULL,
    PRIMARY KEY (user, request)) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class LeaseRow:
    """One lease as it is kept; ``shares``: "server/disk" -> bytes; states in ``core``."""

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
    """Opens (and creates) the file. Raises InputError when it is not ours or can't be opened."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._db = sqlite3.connect(path, isolation_level=None, timeout=5.0, check_same_thread=False)
            # one writer only: a second orchestrator on the same file must not start
            self._db.execute("PRAGMA locking_mode=EXCLUSIVE")
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.execute("BEGIN EXCLUSIVE")
            for statement in _TABLES.split(";"):
                self._db.execute(statement)
            found = self._db.execute("SELECT value FROM meta WHERE key='schema'").fetchone()
            if found is None:
                self._db.execute("INSERT INTO meta VALUES ('schema', ?)", (str(SCHEMA),))
            self._db.execute("COMMIT")
        except sqlite3.DatabaseError as error:
            hint = "is another orchestrator running on it?" if "locked" in str(error) else None
            raise InputError(f"cannot open the ledger: {error}", file=path, hint=hint) from error
        if found is not None and found[0] != str(SCHEMA):
            raise InputError(f"the ledger has schema {found[0]}; this version reads {SCHEMA}", file=path)

    def write(self, rows: Iterable[Row]) -> None:
        """Make a batch of changes durable, all or nothing; returns when they are on the disk."""
        db = self._db
        db.execute("BEGIN IMMEDIATE")
        try:
            for row in rows:
                if isinstance(row, LeaseRow):
                    db.execute(
                        "INSERT OR REPLACE INTO leases VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
                        (
                            row.number,
                            row.user,
                            row.request,
                            row.digest,
                            row.size,
                            row.asked,
                            row.start,
                            row.duration,
                            row.wait_until,
                            row.state,
                            row.reason,
                            row.host,
                            orjson.dumps(row.options),
                            orjson.dumps(row.shares),
                            orjson.dumps(row.connections),
                            row.changed,
                        ),
                    )
                elif isinstance(row, ServerRow):
                    db.execute(
                        "INSERT OR REPLACE INTO servers VALUES (?,?,?,?)",
                        (row.name, row.backend, row.state, orjson.dumps(row.disks)),
                    )
                else:
                    db.execute(
                        "INSERT OR REPLACE INTO answers VALUES (?,?,?,?,?)",
                        (row.user, row.request, row.digest, row.reply, row.at),
                    )
        except BaseException:
            db.execute("ROLLBACK")
            raise
        db.execute("COMMIT")

    def leases(self, states: Iterable[str] | None = None, since: float | None = None) -> Iterator[LeaseRow]:
        """Leases in order of their number: those in ``states``, and any changed after ``since``."""
        wanted = list(states or ())
        marks = ",".join("?" * len(wanted))
        where = f"WHERE state IN ({marks}) OR changed >= ?" if states is not None else ""
        limit = [*wanted, float("inf") if since is None else since] if states is not None else []
        for r in self._db.execute(f"SELECT * FROM leases {where} ORDER BY number", limit):
            options, shares, connections = (orjson.loads(column) for column in r[12:15])
            yield LeaseRow(*(*r[:12], options, shares, connections, r[15]))

    def servers(self) -> list[ServerRow]:
        rows = self._db.execute("SELECT name, backend, state, disks FROM servers ORDER BY name").fetchall()
        return [ServerRow(r[0], r[1], r[2], orjson.loads(r[3])) for r in rows]

    def answers(self, since: float) -> list[AnswerRow]:
        return [
            AnswerRow(*r)
            for r in self._db.execute("SELECT * FROM answers WHERE at >= ? ORDER BY user, request", (since,))
        ]

    def last_number(self) -> int:
        return int(self._db.execute("SELECT COALESCE(MAX(number), 0) FROM leases").fetchone()[0])

    def prune(self, before: float, final_states: Iterable[str]) -> None:
        """Forget ended leases and answers from before ``before`` (their ids can no longer be repeated)."""
        wanted = list(final_states)
        marks = ",".join("?" * len(wanted))
        # the highest number stays: lease names are never used twice
        self._db.execute(
            f"DELETE FROM leases WHERE changed < ? AND state IN ({marks})"
            " AND number < (SELECT MAX(number) FROM leases)",
            (before, *wanted),
        )
        self._db.execute("DELETE FROM answers WHERE at < ?", (before,))

    def close(self) -> None:
        self._db.close()
