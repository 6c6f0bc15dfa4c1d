"""Nobody gets in: keys, roles, the allow-list, and messages that break the rules."""

from __future__ import annotations

import os
import random
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st

from batfs.errors import InputError
from batfs.service import messages as m
from batfs.service.auth import KeyPair, add_to_allow_list, is_loopback, make_keys, read_key
from batfs.service.backends.simulated import Simulated
from batfs.service.client import Client, NoAnswerError
from batfs.service.logs import Log
from batfs.service.orchestrator import Orchestrator, Settings
from batfs.service.server import Server
from batfs.storage.policies import make_policy

FUZZ = int(os.environ.get("BATFS_FUZZ", "4000"))


class Secured:
    """An orchestrator with keys on loopback, one server, and keys for alice, bob, root and mallory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.allowed = folder / "allowed"
        self.keys: dict[str, KeyPair] = {}
        for name, role in (
            ("main", ""),
            ("s1", "server"),
            ("alice", "client"),
            ("bob", "client"),
            ("root", "operator"),
        ):
            public, secret = make_keys(folder / "keys", name)
            self.keys[name] = read_key(secret)
            if role:
                add_to_allow_list(self.allowed, role, name, public)
        self.keys["mallory"] = read_key(make_keys(folder / "keys", "mallory")[1])
        self.public = read_key(folder / "keys" / "main.key")
        settings = Settings(
            endpoint="tcp://127.0.0.1:*",
            ledger=folder / "l.db",
            keys=self.keys["main"],
            allowed=self.allowed,
            heartbeat=0.5,
        )
        self.orchestrator = Orchestrator(settings, make_policy("first_fit"), Log("o", folder / "log"))
        self.thread = threading.Thread(target=self.orchestrator.run, kwargs={"signals": False}, daemon=True)
        self.thread.start()
        disks = [m.Disk(name="d0", capacity=1000)]
        self.server = Server(
            "s1",
            disks,
            Simulated("s1"),
            self.orchestrator.endpoint,
            keys=(self.keys["s1"], self.public),
            log=Log("s", quiet=True),
        )
        self.server_thread = threading.Thread(target=self.server.run, kwargs={"signals": False}, daemon=True)
        self.server_thread.start()
        deadline = time.monotonic() + 10
        while not self.server.welcome:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def client(self, name: str, timeout: float = 5.0) -> Client:
        return Client(self.orchestrator.endpoint, keys=(self.keys[name], self.public), timeout=timeout)

    def close(self) -> None:
        self.server.stop()
        self.server_thread.join(5)
        self.orchestrator.stop()
        self.thread.join(5)
        assert not self.thread.is_alive()


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[Secured]:
    place = Secured(tmp_path)
    yield place
    place.close()


def test_users_are_kept_apart(secured: Secured) -> None:
    with secured.client("alice") as alice, secured.client("bob") as bob, secured.client("root") as root:
        lease = alice.request(100, 60).lease
        assert [x["lease"] for x in alice.leases()] == [lease]
        assert bob.leases() == []
        assert not bob.release(lease).ok
        assert not bob.extend(lease, 10).ok
        assert "refusals" not in bob.status()
        assert "role" in bob.forget("s1").reason
        assert [x["user"] for x in root.leases(everybody=True)] == ["alice"]
        assert root.release(lease).ok


def test_strangers_and_the_unencrypted_get_no_answer(secured: Secured) -> None:
    with secured.client("mallory", timeout=0.5) as stranger, pytest.raises(NoAnswerError):
        stranger.status()
    with Client(secured.orchestrator.endpoint, timeout=0.5) as plain, pytest.raises(NoAnswerError):
        plain.status()
    with secured.client("alice") as alice:
        assert alice.status()["servers"][0]["state"] == "up"


def test_the_allow_list_is_read_again(secured: Secured) -> None:
    with secured.client("mallory", timeout=0.6) as late, secured.client("bob") as bob:
        assert bob.status()
        with pytest.raises(NoAnswerError):
            late.status()
        text = secured.allowed.read_text()
        secured.allowed.write_text("".join(line for line in text.splitlines(True) if " bob " not in line))
        add_to_allow_list(secured.allowed, "client", "mallory", secured.folder / "keys" / "mallory.key")
        bob.timeout = 0.5
        # bob's connection is open, but his key is not on the list any more
        with pytest.raises(NoAnswerError):
            bob.status()
    with secured.client("mallory") as late:
        assert late.status()


@pytest.mark.parametrize("how", ["malformed", "missing", "not text"])
def test_a_broken_allow_list_lets_nobody_new_in_and_says_so(secured: Secured, how: str) -> None:
    """Who is connected goes on by the last good list; a revocation in the next good one takes effect."""
    good = secured.allowed.read_text()
    with secured.client("alice", timeout=2.0) as alice, secured.client("root") as root:
        assert alice.status()
        assert root.status()["problems"] == []
        if how == "missing":
            secured.allowed.unlink()
        else:
            secured.allowed.write_bytes(b"nonsense\n" if how == "malformed" else b"\xff\xfe\0")
        assert alice.status()
        time.sleep(0.5)
        assert str(secured.allowed) in root.status()["problems"][0]
        with secured.client("bob", timeout=0.6) as late, pytest.raises(NoAnswerError):
            late.status()
        assert str(secured.allowed) in (secured.folder / "log").read_text()
        secured.allowed.write_text("".join(line for line in good.splitlines(True) if " alice " not in line))
        with secured.client("bob") as late:
            assert late.status()
        alice.timeout = 0.6
        with pytest.raises(NoAnswerError):
            alice.status()
        time.sleep(0.3)
        assert root.status()["problems"] == []


def test_a_key_named_local_has_its_role_only(secured: Secured) -> None:
    """ "local" is what the keyless user is called on loopback; a key of that name is like any other."""
    for role, name in (("client", "local"), ("server", "s2")):
        public, secret = make_keys(secured.folder / "keys", name)
        secured.keys[name] = read_key(secret)
        add_to_allow_list(secured.allowed, role, name, public)
    disks = [m.Disk(name="x", capacity=5)]
    with secured.client("local") as local, secured.client("s2") as other:
        for client in (local, other):
            reply = client.ask(m.RegisterServer(server="s1", disks=disks, backend="evil"))
            assert not reply.ok
            assert client.ask(m.ForgetServer(server="s1")).state == "refused"
        assert "not for this role" in local.ask(m.Heartbeat(server="s1")).reason
    assert secured.orchestrator.core.servers["s1"].backend == "simulated"


def test_a_client_cannot_play_the_server(secured: Secured) -> None:
    with secured.client("alice") as alice:
        reply = alice.ask(m.RegisterServer(server="s1", disks=[m.Disk(name="x", capacity=5)], backend="evil"))
        assert "not for this role" in reply.reason
        assert alice.status()["capacity"] == 1000


def test_keys_are_private_and_never_overwritten(tmp_path: Path) -> None:
    public, secret = make_keys(tmp_path, "a")
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert read_key(public).secret is None
    assert read_key(secret).secret is not None
    with pytest.raises(InputError, match="never overwritten"):
        make_keys(tmp_path, "a")
    with pytest.raises(InputError, match="may hold letters"):
        make_keys(tmp_path, "../a")
    secret.chmod(0o644)
    with pytest.raises(InputError, match="others can read"):
        read_key(secret)


def test_without_keys_loopback_only(tmp_path: Path) -> None:
    for endpoint in ("tcp://0.0.0.0:28100", "tcp://*:28100", "tcp://192.0.2.1:1", "tcp://127.evil.example:1"):
        assert not is_loopback(endpoint)
        with pytest.raises(InputError, match="loopback only"):
            Orchestrator(Settings(endpoint=endpoint), make_policy("random"), Log("o", quiet=True))
    assert is_loopback("tcp://127.0.0.1:28100")
    assert is_loopback("tcp://localhost:1")


def test_one_orchestrator_a_ledger(tmp_path: Path) -> None:
    settings = Settings(endpoint="tcp://127.0.0.1:*", ledger=tmp_path / "l.db")
    first = Orchestrator(settings, make_policy("random"), Log("o", quiet=True))
    try:
        with pytest.raises(InputError, match="locked"):
            Orchestrator(settings, make_policy("random"), Log("o", quiet=True))
    finally:
        first.close()
    (tmp_path / "other").write_text("this is not a ledger at all, but long enough to be read as a header")
    with pytest.raises(InputError, match="cannot open the ledger"):
        Orchestrator(
            Settings(endpoint="tcp://127.0.0.1:*", ledger=tmp_path / "other"),
            make_policy("random"),
            Log("o", quiet=True),
        )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.binary(max_size=300) | JSON.map(lambda value: orjson.dumps(value) if _dumps(value) else b""))
def test_decoding_raises_one_error_only(frame: bytes) -> None:
    with pytest.raises(m.MessageError):
        m.decode(frame)


def _dumps(value: object) -> bool:
    try:
        orjson.dumps(value)
    except orjson.JSONEncodeError:
        return False
    return True


def mutated(rng: random.Random, frames: list[bytes]) -> bytes:
    """A frame nobody should send: random bytes, or a good one with something changed, cut or repeated."""
    frame = bytearray(rng.choice(frames))
    match rng.randrange(7):
        case 0:
            return rng.randbytes(rng.randrange(200))
        case 1:
            frame[rng.randrange(len(frame))] = rng.randrange(256)
        case 2:
            del frame[rng.randrange(len(frame)) :]
        case 3:
            i = rng.randrange(len(frame))
            frame[i:i] = frame[i : i + rng.randrange(60)]
        case 4:
            body = orjson.loads(bytes(frame))
            key = rng.choice(list(body))
            body[key] = rng.choice(
                [None, -1, 0, 2**63, 1e308, "", "x" * 2000, [], {}, [[[]]], True, "L1", "\u0000"]
            )
            return orjson.dumps(body) if _dumps(body) else b"{}"
        case 5:
            body = orjson.loads(bytes(frame))
            body.pop(rng.choice(list(body)))
            return orjson.dumps(body)
        case 6:
            body = orjson.loads(bytes(frame))
            body["type"] = rng.choice(
                ["request", "release", "extend", "forget", "register", "provisioned", "removed", "log"]
            )
            return orjson.dumps(body)
    return bytes(frame)


def resident() -> int:
    """Bytes of memory of this process, the orchestrator's thread included."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
def test_fuzzing_the_socket(secured: Secured) -> None:
    """Random, mutated and replayed messages from bob: no crash, no effect on alice's lease, no growth."""
    rng = random.Random(11)
    with secured.client("alice") as alice:
        lease = alice.request(500, 3600).lease
        socket = zmq.Context.instance().socket(zmq.DEALER)
        socket.linger = 0
        socket.curve_publickey, socket.curve_secretkey = (
            secured.keys["bob"].public,
            secured.keys["bob"].secret,
        )
        socket.curve_serverkey = secured.public.public
        socket.connect(secured.orchestrator.endpoint)
        good = [
            m.encode(message)
            for message in (
                m.RequestSpace(size=100_000, duration=10.0, options={"a": 1}),
                m.ReleaseLease(lease=lease),
                m.ExtendLease(lease=lease, duration=10.0),
                m.ListLeases(all=True),
                m.GetStatus(history=True),
                m.ForgetServer(server="s1"),
                m.RegisterServer(
                    server="s1", disks=[m.Disk(name="d0", capacity=5)], backend="x", held={lease: 1}
                ),
                m.Provisioned(server="s1", lease=lease, disk="d0", connection={}),
                m.Removed(server="s1", lease=lease, disk="d0"),
                m.LogRecords(component="c", records=[{"a": 1}]),
            )
        ]
        known_before = len(secured.orchestrator.core._known)
        halfway = 0
        for count in range(FUZZ):
            if count == FUZZ // 2:
                halfway = resident()
            frames = [mutated(rng, good) if rng.random() < 0.8 else rng.choice(good)]
            if rng.random() < 0.02:
                frames *= rng.randrange(2, 5)
            socket.send_multipart(frames)
            if count % 500 == 0:
                socket.send(b"x" * (m.MAX_BYTES + 1))
                while socket.poll(0):
                    socket.recv_multipart()
        # bob may have asked for space of his own; whatever he got is on his name
        leases = {x["lease"]: x["user"] for x in secured.client("root").leases(everybody=True)}
        assert leases.pop(lease) == "alice"
        assert set(leases.values()) <= {"bob"}
        assert [d["capacity"] for d in alice.status()["disks"]] == [1000]
        assert alice.status()["servers"][0]["state"] == "up"
        core = secured.orchestrator.core
        counts = dict(core.counts)
        assert counts["refused_malformed"] > FUZZ // 10
        assert counts["refused_role"] > 0
        assert counts["refused_oversized"] > 0
        assert resident() - halfway < 32 * 2**20, "memory grows with what is sent"
        # what is remembered is bounded by what was understood, not by what was sent
        assert len(core._known) - known_before < FUZZ // 4
        assert len(core.refusals) <= 50
        assert alice.release(lease).ok
        socket.close()


def test_refusals_are_counted_and_logged(secured: Secured) -> None:
    with secured.client("alice") as alice:
        assert "duration" in alice.request(10, -1.0).reason
        status = alice.status()
        assert status["counters"]["refused_requests"] == 1
    assert '"event":"refused"' in (secured.folder / "log").read_text()


@pytest.mark.parametrize("before", [b"\xff\xff", b"client alice\n", b"role name key\n"])
def test_a_list_that_is_none_is_left_as_it_is(tmp_path: Path, before: bytes) -> None:
    """... and so is one that the new line would make one: a list that is wrong closes the service."""
    make_keys(tmp_path, "alice")
    (tmp_path / "allowed").write_bytes(before)
    with pytest.raises(InputError):
        add_to_allow_list(tmp_path / "allowed", "client", "alice", tmp_path / "alice.key")
    assert (tmp_path / "allowed").read_bytes() == before
    good = tmp_path / "good"
    add_to_allow_list(good, "client", "alice", tmp_path / "alice.key")
    kept = good.read_bytes()
    for role, name in (("client", "bob"), ("king", "alice"), ("client", "a b")):  # the same key twice
        with pytest.raises(InputError):
            add_to_allow_list(good, role, name, tmp_path / "alice.key")
        assert good.read_bytes() == kept
