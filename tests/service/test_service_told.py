"""What people are told: by the page's columns and tables, after a restart, without keys, without flags."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from service_harness import ENVIRONMENT, Process, start_server

from batfs.service import messages as m
from batfs.service.auth import Peer, add_to_allow_list, make_keys, read_key
from batfs.service.client import Client, NoAnswerError, NotLetInError
from batfs.service.core import Core
from batfs.service.shown import series, tables
from batfs.service.status import status
from batfs.storage.policies import make_policy

ROOT = Peer("operator", "root")
GB = 10**9


class Service:
    """A core with servers whose spaces are made at once; time is told."""

    def __init__(self, servers: dict[str, dict[str, int]], **how: Any) -> None:
        self.servers, self.now = servers, 0.0
        self.how = {"heartbeat": 1e6, **how}
        self.core = Core(make_policy("first_fit"), **self.how)
        self.rows: dict[tuple[str, object], Any] = {}
        self.answers: dict[str, list[m.Reply]] = {}
        self.held: dict[str, dict[str, int]] = {name: {} for name in servers}

    def register(self, *names: str) -> None:
        for name in names or self.servers:
            disks = [m.Disk(name=d, capacity=c, node=name) for d, c in self.servers[name].items()]
            self.say(
                Peer("server", name),
                m.RegisterServer(server=name, disks=disks, backend="x", held=self.held[name], sent=self.now),
            )

    def say(self, peer: Peer, message: m.Message) -> str:
        self.core.handle(self.now, peer.name.encode(), peer, m.encode(message))
        self.settle()
        return message.id

    def settle(self) -> None:
        while True:
            rows, out = self.core.drain()
            self.rows |= {
                (type(row).__name__, getattr(row, "number", getattr(row, "name", ""))): row for row in rows
            }
            if not out:
                return
            for address, message in out:
                name = address.decode()
                if isinstance(message, m.Reply):
                    self.answers.setdefault(message.id, []).append(message)
                elif isinstance(message, m.Provision | m.Remove):
                    key, about = (
                        f"{message.lease}/{message.disk}",
                        {"lease": message.lease, "disk": message.disk},
                    )
                    done: m.Message = m.Removed(server=name, sent=self.now, **about)
                    if isinstance(message, m.Provision):
                        self.held[name][key] = message.size
                        done = m.Provisioned(server=name, connection={}, sent=self.now, **about)
                    else:
                        self.held[name].pop(key, None)
                    self.core.handle(self.now, address, Peer("server", name), m.encode(done))

    def at(self, now: float) -> None:
        self.now = now
        self.core.advance(now)
        self.settle()

    def request(self, size: int, duration: float, **more: Any) -> str:
        return self.say(ROOT, m.RequestSpace(size=size, duration=duration, sent=self.now, **more))

    def last(self, ident: str) -> m.Reply:
        return self.answers[ident][-1]

    def again(self) -> Service:
        """The orchestrator is started again with what it had written."""
        new = Service(self.servers, **{**self.how, "now": self.now})
        new.now, new.held, new.rows = self.now, self.held, self.rows
        of = {
            kind: [row for (name, _), row in self.rows.items() if name == kind]
            for kind in ("ServerRow", "LeaseRow")
        }
        last = max((row.number for row in of["LeaseRow"]), default=0)
        new.core.restore(of["ServerRow"], of["LeaseRow"], [], last)
        return new


TWO = {"n1": {"a": 100 * GB, "b": 100 * GB}, "n2": {"a": 100 * GB}}


def at(line: tuple[list[float], list[Any]], moment: float) -> Any:
    """What a step line shows shortly after a moment (in seconds)."""
    times, values = line
    return [v for t, v in zip(times, values, strict=True) if t <= 1000 * moment][-1]


def test_the_lines_of_nodes_from_the_first_grant_on() -> None:
    """first_fit: 80 GB go to n1/a at 10 s, 90 to n1/b at 20 s, 70 to n2/a at 30 s; the first ends at 40 s.
    So n1 holds 0, 80, 170, 170, 90 GB and n2 0, 0, 0, 70, 70 GB: nobody holds anything before."""
    service = Service(TWO)
    service.register()
    for moment, size, duration in ((10, 80, 30), (20, 90, 100), (30, 70, 100)):
        service.at(moment)
        service.request(size * GB, duration)
    service.at(50)
    shown = series(status(service.core, history=True), "node")
    assert shown["name"] == ["n1", "n2"]
    for node, expected in enumerate(([0, 80, 170, 170, 90], [0, 0, 0, 70, 70])):
        line = (shown["times"][node], shown["used"][node])
        assert [at(line, moment) for moment in (5, 15, 25, 35, 45)] == expected
        assert line[0][0] == 0
        assert line[0][-1] == 50_000
    counts = [(shown["times"][node], shown["leases"][node]) for node in (0, 1)]
    assert [at(counts[0], moment) for moment in (5, 15, 25, 45)] == [0, 1, 2, 1]
    disks = series(status(service.core, history=True), "disk")
    assert disks["name"] == ["n1/a", "n1/b", "n2/a"]
    assert [at((disks["times"][1], disks["used"][1]), moment) for moment in (15, 25)] == [0, 90]


def test_lines_begin_with_what_was_held_when_older_changes_are_forgotten() -> None:
    service = Service(TWO)
    service.register()
    service.request(80 * GB, 10**6)
    for k in range(3000):
        service.at(10.0 + k)
        service.request(50 * GB, 0.5)
    service.at(4000.0)
    told = status(service.core, history=True)
    assert 0 < len(told["changes"]) < 6000
    shown = series(told, "node")
    assert shown["name"] == ["n1", "n2"]
    assert {round(v) for v in shown["used"][0]} == {80, 130}
    assert at((shown["times"][0], shown["used"][0]), told["since"] + 0.001) in (80, 130)
    assert set(shown["used"][1]) == {0.0}


def test_lines_after_a_restart() -> None:
    service = Service(TWO)
    service.register()
    service.request(80 * GB, 1000)
    service.at(100)
    new = service.again()
    new.register()
    new.at(110)
    told = status(new.core, history=True)
    shown = series(told, "node")
    assert (shown["used"][0][-1], shown["used"][1][-1]) == (80, 0)
    assert told["history"][-1][1] == 80 * GB


def test_tables_tell_states_and_whole_reasons() -> None:
    service = Service(TWO, heartbeat=5.0)
    service.register()
    service.request(80 * GB, 1000)
    service.request(95 * GB, 1000, start=500.0)
    service.request(90 * GB, 1000, wait=600.0)
    service.request(90 * GB, 1000, wait=600.0)
    service.at(10)
    service.register("n1")
    service.at(16)  # n2 has said nothing for more than three heartbeats
    leases = [lease.summary() for lease in service.core.leases.values()]
    told = tables(status(service.core), leases)
    assert "<td>up</td>" in told["servers"]
    assert "<td>away, last heard 00:00:00Z</td>" in told["servers"]
    assert [f"<td>{state}</td>" in told["leases"] for state in ("allocated", "reserved", "queued")] == [
        True
    ] * 3
    assert "the most free bytes on one disk for that time are" in told["queue"]
    long = "a reason <b>" + "of many words " * 15
    service.core._note_refusal("client x", "refused", long)
    refused = tables(status(service.core), [])["refusals"]
    assert long.replace("<", "&lt;").replace(">", "&gt;") in refused


def test_a_request_just_after_a_restart_waits_for_the_servers() -> None:
    service = Service(TWO, heartbeat=5.0)
    service.register()
    service.request(10 * GB, 1000)
    service.at(100)
    new = service.again()
    early = new.request(50 * GB, 100)
    assert new.last(early).state == "queued"
    assert "2 of 2 servers have not reported yet" in new.last(early).reason
    assert new.last(early).data["patience"] >= 15
    too_large = new.request(100 * GB, 100)  # first come, first served: behind the first
    new.at(101)
    assert new.last(early).state == "queued"
    new.register("n1")
    new.at(102)
    assert new.last(early).state == "allocated"
    new.register("n2")
    new.at(103)
    assert new.last(too_large).state == "allocated"  # the other disk of n1
    late = new.request(200 * GB, 100)
    assert new.last(late).state == "refused"  # all are back: no more waiting
    assert "one disk" in new.last(late).reason


def test_after_a_restart_nobody_waits_for_ever() -> None:
    """Servers that stay away are waited for so long, and then whoever would not wait is told why."""
    service = Service(TWO, heartbeat=5.0)
    service.register()
    service.at(100)
    new = service.again()
    early, patient, short = (new.request(50 * GB, 100, wait=wait) for wait in (0.0, 1000.0, 2.0))
    new.at(110)
    assert [new.last(ident).state for ident in (early, patient, short)] == ["queued"] * 3
    new.at(121)
    assert [new.last(ident).state for ident in (early, patient, short)] == ["refused", "queued", "refused"]
    assert new.last(early).reason == "no storage server is up"
    # a service that never had a server has nothing to wait for
    fresh = Service(TWO)
    assert fresh.last(fresh.request(GB, 10)).reason == "no storage server is up"


def test_a_request_just_after_a_restart_by_processes(tmp_path: Path) -> None:
    orchestrator = Process(tmp_path)
    orchestrator.start()
    server, _, thread = start_server("s", orchestrator.endpoint, {"d": 10**12})
    try:
        with Client(orchestrator.endpoint, timeout=20) as client:
            while not client.status()["disks"]:
                time.sleep(0.05)
            assert client.request(GB, 600).state == "allocated"
            orchestrator.kill()
            orchestrator.start()
            assert client.request(GB, 600).state == "allocated"
    finally:
        server.stop()
        thread.join(5)
        orchestrator.stop()


def batfs(*words: str, code: int = 0, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "batfs", "service", *words],
        capture_output=True, text=True, env={**ENVIRONMENT, **environment}, timeout=60,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    folder = tmp_path / "keys"
    for name, role in (("main", ""), ("alice", "client"), ("mallory", "")):
        public, _ = make_keys(folder, name)
        if role:
            add_to_allow_list(folder / "allowed", role, name, public)
    return folder


def test_who_has_no_key_or_the_wrong_one_is_told(tmp_path: Path, keys: Path) -> None:
    """At once, not after the whole timeout: the handshake has failed for good."""
    orchestrator = Process(tmp_path, "--key", str(keys / "main.key_secret"), "--allow", str(keys / "allowed"))
    orchestrator.start()
    main, alice = read_key(keys / "main.key"), read_key(keys / "alice.key_secret")
    mallory = read_key(keys / "mallory.key_secret")
    try:
        for pair, reason in (
            (None, "with those that have a key only"),
            ((mallory, main), "is not on its allow-list"),
            ((alice, read_key(keys / "mallory.key")), "another key than --orchestrator-key says"),
        ):
            began = time.monotonic()
            with Client(orchestrator.endpoint, keys=pair, timeout=30) as client:
                with pytest.raises(NotLetInError, match=reason):
                    client.status()
                assert time.monotonic() - began < 10
        with Client(orchestrator.endpoint, keys=(alice, main), timeout=10) as client:
            assert client.status()["leases"] == 0
        # who is put on the list meanwhile is let in when he asks again
        with Client(orchestrator.endpoint, keys=(mallory, main), timeout=30) as client:
            with pytest.raises(NotLetInError):
                client.status()
            add_to_allow_list(keys / "allowed", "client", "mallory", keys / "mallory.key")
            deadline = time.monotonic() + 20
            while True:
                try:
                    assert client.status()["leases"] == 0
                    break
                except NotLetInError:
                    assert time.monotonic() < deadline
        said = batfs("status", "--connect", orchestrator.endpoint, code=1)
        assert "BATFS_KEY" in said
        assert "Traceback" not in said
        # the environment, and a file with paths that go from its folder
        named = {
            "BATFS_KEY": str(keys / "alice.key_secret"),
            "BATFS_ORCHESTRATOR_KEY": str(keys / "main.key"),
        }
        assert json.loads(batfs("list", "--json", BATFS_CONNECT=orchestrator.endpoint, **named)) == []
        file = tmp_path / "home" / "batfs" / "service.toml"
        file.parent.mkdir(parents=True)
        relative = os.path.relpath(keys, file.parent)
        file.write_text(
            f'connect = "{orchestrator.endpoint}"\nkey = "{relative}/alice.key_secret"\n'
            f'orchestrator_key = "{relative}/main.key"\n'
        )
        assert batfs("list", "--json", XDG_CONFIG_HOME=str(tmp_path / "home")) == "[]\n"
        assert batfs("list", "--json", BATFS_SERVICE=str(file)) == "[]\n"
    finally:
        orchestrator.stop()


def test_keys_where_none_are_wanted_and_nobody_at_all(tmp_path: Path, keys: Path) -> None:
    orchestrator = Process(tmp_path)
    orchestrator.start()
    pair = read_key(keys / "alice.key_secret"), read_key(keys / "main.key")
    try:
        with (
            Client(orchestrator.endpoint, keys=pair, timeout=30) as client,
            pytest.raises(NotLetInError, match="was started without keys"),
        ):
            client.status()
    finally:
        orchestrator.stop()
    with (
        Client(orchestrator.endpoint, timeout=0.5) as client,
        pytest.raises(NoAnswerError, match="nobody listens at"),
    ):
        client.status()


def test_the_file_is_read_with_care(tmp_path: Path) -> None:
    file = tmp_path / "service.toml"
    for text, said in (
        ("conect = 'x'", "unknown member 'conect'"),
        ("key = 3", "expected a text, found 3"),
        ("key = ", "not TOML"),
        ("key = 'a.key_secret'", "--orchestrator-key is missing"),
    ):
        file.write_text(text)
        told = batfs("status", code=2, BATFS_SERVICE=str(file))
        assert said in told
        assert "Traceback" not in told
    assert "No such file" in batfs("status", code=2, BATFS_SERVICE=str(tmp_path / "none.toml"))


def test_a_start_wants_a_unit() -> None:
    said = batfs("request", "1GB", "--for", "1h", "--start", "90", code=2)
    assert "'90' has no unit" in said


def test_refusals_are_in_a_persons_units() -> None:
    service = Service(TWO)
    service.register()
    service.request(60 * GB, 1000)
    first = service.core.leases[1]
    service.request(90 * GB, 1000, start=1000.0)
    service.request(90 * GB, 1000, start=1000.0)
    service.request(90 * GB, 1000, start=1000.0)
    assert service.last(service.request(150 * GB, 10)).reason.endswith("for that time are 100 GB")
    assert service.last(service.request(301 * GB, 10)).reason == "no room: all disks together hold 300 GB"
    longer = service.say(ROOT, m.ExtendLease(lease=first.name, duration=100, sent=0.0))
    assert service.last(longer).reason == "others come after it: 50 GB are missing on n1/a"
    shrunk = m.RegisterServer(
        server="n1",
        disks=[m.Disk(name="a", capacity=GB), m.Disk(name="b", capacity=GB)],
        backend="x",
        sent=0.0,
    )
    assert "can't shrink from 100 GB" in service.last(service.say(Peer("server", "n1"), shrunk)).reason
