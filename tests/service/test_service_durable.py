"""Always back: a restart finds what there was, whatever happened to the clock, the disk or the file."""

from __future__ import annotations

import itertools
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_service_core import ACTIONS, ALICE, ROOT, World

from batfs.errors import InputError
from batfs.service import messages as m
from batfs.service.auth import Peer
from batfs.service.clock import GRACE, OFF, Clock, Moment
from batfs.service.core import Core, key_of
from batfs.service.leases import LIVE, Lease
from batfs.service.logs import Log
from batfs.service.orchestrator import Orchestrator, Settings
from batfs.service.store import AnswerRow, LeaseRow, Row, ServerRow, Store, StoreError
from batfs.storage.policies import make_policy


def restored(rows: dict[Any, Row], now: float, discipline: str = "fifo") -> Core:
    core = Core(make_policy("worst_fit"), heartbeat=5.0, discipline=discipline, now=now)
    leases = sorted((r for r in rows.values() if isinstance(r, LeaseRow)), key=lambda r: r.number)
    core.restore(
        [r for r in rows.values() if isinstance(r, ServerRow)],
        leases,
        [r for r in rows.values() if isinstance(r, AnswerRow)],
        max((r.number for r in leases), default=0),
    )
    return core


def begins(core: Core, lease: Lease) -> float:
    """When it begins; of one that waits in the queue, when it would if there were room now."""
    return (
        lease.start
        if lease.state != "queued"
        else core.now
        if lease.now_start
        else max(core.now, lease.start)
    )


def state(core: Core) -> dict[str, Any]:
    """All of a core that a restart must bring back (the servers' addresses it can't)."""
    return {
        "leases": {
            n: (x.state, x.reason, begins(core, x), x.duration, x.grace, x.wait_until, x.now_start, x.size,
                x.options, dict(x.shares), dict(x.connections), set(x.pending), x.user, x.host)
            for n, x in core.leases.items()
        },
        "queue": list(core.queue),
        "present": dict(zip(core.room.names, core.room.present, strict=True)),
        "reserved": [core.room.ledger.held(i) for i in range(len(core.room.names))],
        "servers": {s.name: (s.backend, s.disks) for s in core.servers.values()},
        "known": {key: (digest, what) for key, (digest, _, what) in core._known.items()},
        "next": core._next,
    }  # fmt: skip


SECOND = Peer("server", "s2")


@settings(max_examples=60, deadline=None)
@given(ACTIONS, st.sampled_from(["fifo", "backfill"]), st.booleans())
def test_a_restart_after_any_message_equals_the_state_before(
    actions: list[tuple[Any, ...]], discipline: str, two: bool
) -> None:
    """Random histories over one server or two (a lease may lie on both), the second forgotten at times.

    After each message another core is made of what is durable by then, and compared in all it should know.
    """
    w = World(capacity=60, disks=2, heartbeat=5.0, discipline=discipline, block_size=40)
    saved: dict[Any, Row] = {}
    serial = itertools.count()
    original = w.flush

    def flush() -> None:
        rows, out = w.core.drain()
        saved.update((key_of(row), row) for row in rows)
        w.core._out.extend(out)
        original()
        again = restored(saved, w.core.now, discipline)
        assert state(again) == state(w.core)
        again.validate()

    w.flush = flush  # type: ignore[method-assign]
    w.register()
    disks = [m.Disk(name="d0", capacity=60)]
    if two:
        w.say(SECOND, m.RegisterServer(server="s2", disks=disks, backend="t", sent=w.now))
    for action in actions:
        match action:
            case ("request", size, duration, ahead, wait):
                start = None if ahead < 10 else w.now + ahead
                w.request(size, float(duration), start=start, wait=float(wait), id=f"r{next(serial)}")
            case ("release", number):
                w.say(ALICE, m.ReleaseLease(lease=f"L{number}", sent=w.now))
            case ("extend", number, more):
                w.say(ALICE, m.ExtendLease(lease=f"L{number}", duration=float(more), sent=w.now))
            case ("tick", step):
                w.tick(w.now + step)
            case ("serve",):
                w.serve()
            case ("fail",):
                w.serve(fail=True)
            case ("vanish",):
                w.inbox.clear()
                w.tick(w.now + 30)
                w.say(ROOT, m.ForgetServer(server="s2", sent=w.now))
            case ("return",):
                w.register()
            case ("beat",):
                w.beat()
                if two:
                    w.say(SECOND, m.Heartbeat(server="s2", sent=w.now))
            case ("lose",):
                w.inbox.clear()
            case ("restart",):
                w.core = restored(saved, w.core.now, discipline)
                w.core.room.block_size = 40
                w.register()


def test_a_queued_start_survives_a_restart() -> None:
    """A request for a later start that waits in the queue begins then, not at the restart."""
    w = World(capacity=100, disks=1)
    w.request(100, 3600.0, start=30.0)
    late = w.request(100, 60.0, start=40.0, wait=300.0)
    assert w.last(late).state == "queued"
    rows = {key_of(x): x for x in [s.row() for s in w.core.servers.values()]}
    rows |= {key_of(x.row()): x.row() for x in w.core.leases.values()}  # type: ignore[misc]
    w.core = restored(rows, 1.0)
    w.now = 1.0
    w.register()
    w.say(ALICE, m.ReleaseLease(lease="L1", sent=1.0))
    assert w.core.leases[2].state == "reserved"
    assert (w.core.leases[2].start, w.core.leases[2].end) == (40.0, 100.0)


def test_forgetting_a_server_is_durable(tmp_path: Path) -> None:
    """A lease on two servers, both away; released, one server forgotten: the ledger opens again."""
    ledger = tmp_path / "ledger.db"
    w = World(capacity=100, disks=1, heartbeat=1.0, block_size=60)
    store = Store(ledger)
    rows: dict[Any, Row] = {}
    original = w.flush

    def flush() -> None:
        found, out = w.core.drain()
        store.write(found)
        rows.update((key_of(row), row) for row in found)
        w.core._out.extend(out)
        original()

    w.flush = flush  # type: ignore[method-assign]
    w.register()
    w.say(
        SECOND, m.RegisterServer(server="s2", disks=[m.Disk(name="d0", capacity=100)], backend="t", sent=0.0)
    )
    w.request(120, 600)
    assert set(w.core.leases[1].shares) == {"s1/d0", "s2/d0"}
    w.tick(10.0)
    w.say(ALICE, m.ReleaseLease(lease="L1", sent=10.0))
    w.say(ROOT, m.ForgetServer(server="s2", sent=10.0))
    store.close()
    for _ in range(2):
        store = Store(ledger)
        core = Core(make_policy("worst_fit"), now=10.0)
        core.restore(store.servers(), store.leases(LIVE, 0.0), store.answers(0.0), store.last_number())
        assert state(core) == state(w.core)
        assert core.leases[1].pending == {"s1/d0"}
        store.close()


# ---- the clock ----------------------------------------------------------------------------


class Hands:
    """A system whose date and boot clock are moved by hand."""

    def __init__(self) -> None:
        self.date, self.up, self.boot = 1e9, 100.0, "one"

    def pass_(self, seconds: float) -> None:
        self.date += seconds
        self.up += seconds

    def clock(self, last: Moment | None = None) -> Clock:
        return Clock(last, wall=lambda: self.date, since_boot=lambda: self.up, boot=self.boot)


def test_within_a_boot_only_the_boot_clock_counts() -> None:
    hands = Hands()
    clock = hands.clock()
    for jump in (7200.0, -86400.0, 1e9):
        before = clock.now()
        hands.date += jump
        hands.pass_(5.0)
        assert clock.now() == before + 5.0
        # an orchestrator started again goes on with the same clock
        assert hands.clock(clock.moment()).now() == clock.now()
        assert hands.clock(clock.moment()).grace_until == 0.0
        hands.date -= jump
    assert clock.offset() == 0.0
    hands.date += 500.0
    assert clock.offset() == pytest.approx(500.0)


@pytest.mark.parametrize(
    ("off", "grace"), [(10.0, False), (OFF - 1, False), (OFF + 1, True), (1e8, True), (-50.0, False)]
)
def test_across_boots_nothing_is_removed_early(off: float, grace: bool) -> None:
    """The date is believed, never backwards; far past the last record it gives everybody a grace period."""
    hands = Hands()
    last = hands.clock().moment()
    hands.boot, hands.up = "two", 3.0
    hands.date += off
    clock = hands.clock(last)
    assert clock.now() == last.time + max(off, 0.0)
    assert clock.grace_until == (clock.now() + GRACE if grace else 0.0)


def test_a_lease_outlives_a_jump_of_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lease of an hour; the date is two hours ahead for a while; then a boot at a date two hours ahead."""
    hands = Hands()
    monkeypatch.setattr("batfs.service.orchestrator.Clock", hands.clock)
    monkeypatch.setattr("batfs.service.messages.time.time", lambda: hands.date)

    def start() -> Orchestrator:
        made = Orchestrator(
            Settings(endpoint="tcp://127.0.0.1:*", ledger=tmp_path / "l.db"),
            make_policy("worst_fit"),
            Log("o", quiet=True),
        )
        register = m.RegisterServer(
            server="s1", disks=[m.Disk(name="d0", capacity=100)], backend="t",
            held={"L1/d0": 50} if made.core.leases else {}, sent=hands.date,
        )  # fmt: skip
        say(made, b"s1", register)
        return made

    def say(made: Orchestrator, address: bytes, message: m.Message) -> None:
        from batfs.service.auth import LOCAL

        made.core.offset = made.clock.offset()
        made.core.handle(made.clock.now(), address, LOCAL, m.encode(message))
        made._flush()

    made = start()
    say(made, b"c", m.RequestSpace(size=50, duration=3600.0, sent=hands.date))
    say(made, b"s1", m.Provisioned(server="s1", lease="L1", disk="d0", connection={}, sent=hands.date))
    assert made.core.leases[1].state == "allocated"
    hands.date += 7200
    hands.pass_(4.0)
    made._round()
    assert made.core.leases[1].state == "allocated"
    # what is told is in the system's date: an hour from then, less the four seconds
    listing = m.ListLeases(sent=hands.date)
    say(made, b"c", listing)
    assert made.core.leases[1].summary(made.core.offset)["end"] == pytest.approx(hands.date + 3596, abs=0.01)
    hands.date -= 7200
    made._round()
    made.close()
    hands.boot, hands.up, hands.date = "two", 1.0, hands.date + 7200
    made = start()
    made._round()
    assert made.core.leases[1].state == "allocated", "ended by the date, but kept for the grace period"
    hands.pass_(GRACE - 5)
    made._round()
    assert made.core.leases[1].state == "allocated"
    hands.pass_(10.0)
    made._round()
    assert made.core.leases[1].state == "ending"
    made.close()


def test_a_grace_period_keeps_space_after_its_end() -> None:
    """--grace 20: a lease of 10 s from 0 is there until 30, may be extended meanwhile, and nobody gets it."""
    w = World(capacity=100, disks=1, grace=20.0, heartbeat=100.0)
    w.request(100, 10)
    w.serve()
    w.tick(15.0)
    assert w.core.leases[1].state == "allocated"
    assert "no room" in w.last(w.request(1, 5)).reason
    extend = m.ExtendLease(lease="L1", duration=10.0, sent=15.0)
    w.say(ALICE, extend)
    assert w.last(extend.id).data["end"] == 20.0
    w.tick(39.0)
    assert w.core.leases[1].state == "allocated"
    w.tick(40.0)
    assert w.core.leases[1].state == "ending"


# ---- the ledger's file -----------------------------------------------------------------------


def filled(path: Path) -> None:
    store = Store(path)
    disks = [{"name": f"d{i}", "capacity": 1000} for i in range(3)]
    rows: list[Row] = [ServerRow("s1", "t", "up", disks)]
    rows += [
        LeaseRow(n, "alice", f"r{n}", b"x" * 16, 10, 0.0, 0.0, 1e6, 0.0, "allocated",
                 shares={f"s1/d{n % 3}": 10})
        for n in range(1, 200)
    ]  # fmt: skip
    rows += [AnswerRow("alice", f"a{n}", b"y" * 16, b'{"type":"reply"}', float(n)) for n in range(100)]
    store.write(rows, Moment(5.0, "b", 1.0))
    store.close()


def test_a_damaged_ledger_is_refused_with_one_sentence(tmp_path: Path) -> None:
    """Bytes changed at random, cut short, emptied: it opens as it was, or is refused and left as it is."""
    import random

    path = tmp_path / "ledger.db"
    filled(path)
    whole = path.read_bytes()
    rng = random.Random(3)
    store = Store(path)
    want = [list(store.leases()), store.servers(), store.answers(0.0)]
    store.close()
    refused: list[str] = []
    for _ in range(150):
        damaged = bytearray(whole)
        kind = rng.randrange(3)
        if kind == 0:
            for _ in range(rng.randrange(1, 30)):
                damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        elif kind == 1:
            del damaged[rng.randrange(1, len(damaged)) :]
        else:
            at = rng.randrange(len(damaged))
            damaged[at : at + 4096] = bytes(min(4096, len(damaged) - at))
        path.write_bytes(damaged)
        try:
            store = Store(path)
        except InputError as error:
            refused.append(str(error))
        else:
            # an unused byte, or one in a text that may be anything
            assert len(list(store.leases())) == len(want[0])
            store.close()
        for extra in tmp_path.iterdir():
            if extra != path:
                extra.unlink()
    assert len(refused) > 100
    assert all(str(path) in text and "\n" not in text for text in refused)


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("UPDATE leases SET size = 11 WHERE number = 5", "L5 holds 10 of 11 bytes"),
        ("UPDATE leases SET shares = '{\"s9/d\":10}' WHERE number = 5", "s9/d, which no server has"),
        ("UPDATE leases SET shares = 'x' WHERE number = 5", "cannot open the ledger"),
        ("UPDATE leases SET pending = '[\"z\"]' WHERE number = 5", "a disk that it isn't on"),
        ("UPDATE servers SET disks = '[1]'", "cannot open the ledger"),
        ("UPDATE meta SET value = '7' WHERE key = 'schema'", "schema 7"),
        ("DELETE FROM meta", "schema none"),
        ("UPDATE meta SET value = '[]' WHERE key = 'moment'", "cannot open the ledger"),
        ("DROP TABLE answers", "not a ledger"),
        ("UPDATE answers SET reply = 'x'", "cannot open the ledger"),
    ],
)
def test_sums_and_types_are_checked(tmp_path: Path, sql: str, says: str) -> None:
    path = tmp_path / "ledger.db"
    filled(path)
    with sqlite3.connect(path) as db:
        db.execute(sql)
    db.close()
    with pytest.raises(InputError, match=says):
        store = Store(path)
        store.moment()


def test_an_emptied_ledger_with_its_log_is_not_a_new_one(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(b"")
    path.with_name("ledger.db-wal").write_bytes(b"something")
    with pytest.raises(InputError, match="its log is there"):
        Store(path)
    assert path.with_name("ledger.db-wal").read_bytes() == b"something"


def test_a_new_ledger_does_not_empty_the_servers() -> None:
    """An orchestrator started with the wrong file must not take what servers hold for leftovers."""
    core = Core(make_policy("worst_fit"))
    core.durable = True
    disks = [m.Disk(name="d0", capacity=100)]
    core.handle(0.0, b"s1", Peer("server", "s1"), m.encode(
        m.RegisterServer(server="s1", disks=disks, backend="t", held={"L5/d0": 10}, sent=0.0)))  # fmt: skip
    ((_, reply),) = core.drain()[1]
    assert isinstance(reply, m.Reply)
    assert "this ledger is new" in reply.reason


# the tables of version 1, as they were
VERSION_1 = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE servers (
    name TEXT PRIMARY KEY, backend TEXT NOT NULL, state TEXT NOT NULL, disks TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE leases (
    number INTEGER PRIMARY KEY, user TEXT NOT NULL, request TEXT NOT NULL, digest BLOB NOT NULL,
    size INTEGER NOT NULL, asked REAL NOT NULL, start REAL NOT NULL, duration REAL NOT NULL,
    wait_until REAL NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL, host TEXT NOT NULL,
    options TEXT NOT NULL, shares TEXT NOT NULL, connections TEXT NOT NULL, changed REAL NOT NULL);
CREATE INDEX leases_state ON leases (state);
CREATE TABLE answers (
    user TEXT NOT NULL, request TEXT NOT NULL, digest BLOB NOT NULL, reply BLOB NOT NULL, at REAL NOT NULL,
    PRIMARY KEY (user, request)) WITHOUT ROWID;
INSERT INTO meta VALUES ('schema', '1');
INSERT INTO servers VALUES ('s1', 't', 'up', CAST('[{"name":"d0","capacity":100,"node":"",
    "read_bandwidth":0.0,"write_bandwidth":0.0,"network_bandwidth":0.0,"device":""}]' AS BLOB));
INSERT INTO leases VALUES (1,'alice','r1',x'00',60,5.0,5.0,1e9,5.0,'allocated','','',CAST('{}' AS BLOB),
    CAST('{"s1/d0":60}' AS BLOB),CAST('{"s1/d0":{"path":"p"}}' AS BLOB),5.0);
INSERT INTO leases VALUES (2,'alice','r2',x'00',20,5.0,5.0,1e9,5.0,'provisioning','','',CAST('{}' AS BLOB),
    CAST('{"s1/d0":20}' AS BLOB),CAST('{}' AS BLOB),5.0);
INSERT INTO leases VALUES (3,'bob','r3',x'00',60,5.0,90.0,10.0,1e9,'queued','no room','',CAST('{}' AS BLOB),
    CAST('{}' AS BLOB),CAST('{}' AS BLOB),5.0);
INSERT INTO leases VALUES (4,'bob','r4',x'00',30,5.0,5.0,10.0,5.0,'ending','released','',CAST('{}' AS BLOB),
    CAST('{"s1/d0":10,"gone/d0":20}' AS BLOB),CAST('{}' AS BLOB),5.0);
"""


def test_a_ledger_of_version_1_is_taken_over_and_a_copy_kept(tmp_path: Path) -> None:
    """No lease is lost; a queued start is known again; a share on a forgotten server no longer stops it."""
    path = tmp_path / "ledger.db"
    with sqlite3.connect(path) as db:
        db.executescript(VERSION_1)
    db.close()
    path.with_name("ledger.db.v1").write_text("somebody else's")
    store = Store(path)
    assert store.migrated == path.with_name("ledger.db.v1.1")
    with sqlite3.connect(f"file:{store.migrated}?mode=ro", uri=True) as copy:
        assert copy.execute("SELECT value FROM meta").fetchall() == [("1",)]
        assert len(copy.execute("SELECT * FROM leases").fetchall()) == 4
    copy.close()
    assert path.with_name("ledger.db.v1").read_text() == "somebody else's"
    core = Core(make_policy("worst_fit"), now=6.0)
    core.restore(store.servers(), store.leases(LIVE, 0.0), store.answers(0.0), store.last_number())
    assert {n: x.state for n, x in core.leases.items()} == {
        1: "allocated", 2: "provisioning", 3: "queued", 4: "ending"}  # fmt: skip
    assert not core.leases[3].now_start
    assert core.leases[3].start == 90.0
    assert core.leases[2].pending == {"s1/d0"}
    assert core.leases[4].shares == {"s1/d0": 10}
    assert core.room.present == [90]
    store.write(core.drain()[0])
    store.close()
    again = Store(path)
    assert again.migrated is None
    again.close()


def test_a_full_disk_is_a_refusal(tmp_path: Path) -> None:
    """No page more for the ledger: new requests are refused, nothing is promised, later all goes on."""
    path = tmp_path / "ledger.db"
    store = Store(path)
    w = World(capacity=10**9, disks=1, heartbeat=1e6)
    sent: list[m.Message] = []

    def flush() -> None:
        rows, out = w.core.drain()
        try:
            store.write(rows)
        except StoreError as error:
            out = w.core.take_back(rows, out, str(error))
        else:
            w.core.fresh.clear()
            w.core.unsafe = ""
        sent.extend(x for _, x in out if isinstance(x, m.Provision))
        for address, message in out:
            if isinstance(message, m.Reply):
                w.answers.setdefault(message.id, []).append(message)
            elif address == b"s1":
                w.inbox.append(message)
        w.core.validate()

    w.flush = flush  # type: ignore[method-assign]
    w.register()
    kept = w.request(100, 1e5)
    w.serve()
    assert w.last(kept).state == "allocated"
    store._db.execute("PRAGMA max_page_count = 1")
    count = len(sent)
    refused: list[str] = []
    for _ in range(500):
        refused.append(w.request(10, 1e5, host="h" * 1000))
        if refused[-1] in w.answers and w.last(refused[-1]).state == "refused":
            break
        w.serve()
    assert "the ledger can't be written" in w.last(refused[-1]).reason
    release = m.ReleaseLease(lease="L1", sent=w.now)
    w.say(ALICE, release)
    assert w.last(release.id).state == "refused"
    before = len(w.core.leases)
    assert w.request(10, 1e5) in w.answers
    assert len(w.core.leases) == before
    assert len(sent) >= count
    store._db.execute("PRAGMA max_page_count = 1000000")
    w.tick(w.now)
    assert w.core.unsafe == ""
    w.say(ALICE, m.ReleaseLease(lease="L1", sent=w.now))
    again = w.request(10, 1e5)
    w.serve()
    assert w.last(again).state == "allocated"
    store.close()
    store = Store(path)
    core = Core(make_policy("worst_fit"), now=w.now)
    core.restore(store.servers(), store.leases(LIVE, 0.0), store.answers(0.0), store.last_number())
    assert {n: x.state for n, x in core.leases.items()} == {n: x.state for n, x in w.core.leases.items()}
    store.close()


def test_the_moment_is_kept(tmp_path: Path) -> None:
    store = Store(tmp_path / "l.db")
    assert store.moment() is None
    moment = Moment(time.time(), "boot", 12.5)
    store.write([], moment)
    assert store.moment() == moment
    store.close()
