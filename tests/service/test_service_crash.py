"""kill -9 at random moments under load: nothing acknowledged is lost, no byte given twice, no lease leaks."""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest
from service_harness import ENVIRONMENT, Clients, Process, start_server

from batfs.service.client import Client

KILLS = int(os.environ.get("BATFS_KILLS", "8"))


def settle(client: Client, clients: Clients) -> None:
    """Until every client has its answer."""
    clients.quiet.set()
    assert clients.idle.wait(20), "a client waits for its answer"


def compare(client: Client, clients: Clients) -> None:
    """The ledger against the history of what was acknowledged."""
    # what was acknowledged before the question must show in its answer
    known = [(told, told.released) for told in list(clients.history.values()) if told.lease]
    live = {lease["lease"]: lease for lease in client.leases(everybody=True)}
    before = time.monotonic()
    for told, released in known:
        lease = live.get(told.lease)
        if released:
            assert lease is None or lease["state"] == "ending", f"{told.lease} was released and is {lease}"
        elif told.until > before + 0.5 and not told.asked_release:
            assert lease is not None, f"{told.lease} was granted until {told.end} and is gone"
            assert lease["shares"] == told.shares
            assert sum(lease["shares"].values()) == told.size
    names = [told.lease for told in list(clients.history.values()) if told.lease]
    assert len(names) == len(set(names)), "one lease was given to two requests"


def full_for_a_while(orchestrator: Process, rng: random.Random) -> None:
    """No file of the running orchestrator may grow any more: what a full disk is to it."""
    assert orchestrator.process is not None
    pid, folder = orchestrator.process.pid, orchestrator.folder
    size = max(path.stat().st_size for path in folder.glob("ledger.db*"))
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (rng.choice([0, size // 2, size]), resource.RLIM_INFINITY))
    time.sleep(rng.uniform(0.1, 0.8))
    assert orchestrator.process.poll() is None, "a full disk ended it"
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def refuse_damage(orchestrator: Process, rng: random.Random) -> None:
    """The ledger of one that was killed, damaged: refused with a sentence, or what was damaged didn't count.
    Then as it was."""
    folder = orchestrator.folder
    kept = {path: path.read_bytes() for path in folder.glob("ledger.db*")}
    ledger = folder / "ledger.db"
    data = bytearray(kept[ledger])
    how = rng.randrange(4)
    if how == 0:
        del data[rng.randrange(len(data)) :]
    elif how == 1:
        at = rng.randrange(0, len(data), 512)
        data[at : at + 512] = rng.randbytes(512)
    elif how == 2:
        data[:100] = bytes(100)
    else:
        data = bytearray(b"something else" * 100)
    ledger.write_bytes(data)
    line = orchestrator.launch()
    assert orchestrator.process is not None
    if line:
        orchestrator.kill()
    else:
        assert orchestrator.process.wait(10) in (1, 2)
        assert orchestrator.process.stdout is not None
        orchestrator.process.stdout.close()
        said = (folder / "said").read_text().splitlines()
        assert len(said) == 1, said
        assert "ledger" in said[0], said
    for path in folder.glob("ledger.db*"):
        path.unlink()
    for path, before in kept.items():
        path.write_bytes(before)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("unreliable", "mixed"), [(0.0, False), (0.1, False), (0.05, True)], ids=["reliable", "lossy", "mixed"]
)
def test_kill_nine_under_load(tmp_path: Path, unreliable: float, mixed: bool) -> None:
    """``mixed``: with wrong dates, a full disk and damaged ledgers in between."""
    rng = random.Random(int(unreliable * 10) + 7)
    capacities = {f"d{i}": 10_000 for i in range(4)}
    orchestrator = Process(tmp_path, wrong_date=mixed)
    orchestrator.start()
    servers = [start_server(name, orchestrator.endpoint, capacities) for name in ("s1", "s2")]
    clients = Clients(orchestrator.endpoint, 20, seed=1, sizes=(10, 4000), unreliable=unreliable)
    clients.start()
    with Client(orchestrator.endpoint, timeout=20, resend=0.3) as client:
        for _ in range(KILLS):
            time.sleep(rng.uniform(0.05, 0.7))
            if mixed and rng.random() < 0.4:
                (tmp_path / "date").write_text(str(rng.choice([0, -1500, 1500, 7, -30])))
            if mixed and rng.random() < 0.3:
                full_for_a_while(orchestrator, rng)
            orchestrator.kill()
            if mixed and rng.random() < 0.3:
                refuse_damage(orchestrator, rng)
            orchestrator.start()
            compare(client, clients)
        (tmp_path / "date").write_text("0")
        acknowledged = clients.acknowledged
        time.sleep(1.0)
        assert clients.acknowledged > acknowledged, "the service came back and serves"
        settle(client, clients)
        compare(client, clients)
        # give everything back: the books must come out empty
        for lease in client.leases(everybody=True):
            client.release(lease["lease"])
        deadline = time.monotonic() + 20
        while client.leases(everybody=True):
            assert time.monotonic() < deadline, client.leases(everybody=True)
            time.sleep(0.1)
        status = client.status()
        assert status["reserved"] == 0
        assert all(disk["present"] == 0 for disk in status["disks"])
    clients.over.set()
    clients.join(5)
    for server, backend, thread in servers:
        assert not backend.broken
        assert not backend.held()
        server.stop()
        thread.join(5)
    assert orchestrator.stop() == 0


def start_server_process(folder: Path, name: str, endpoint: str, system: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "batfs", "service", "server", "--system", str(system), "--host", name,
         "--backend", "directory", "--root", str(folder / name), "--connect", endpoint,
         "--log", str(folder / f"{name}.log")],
        env=ENVIRONMENT,
    )  # fmt: skip


def on_disk(folder: Path, disk: str) -> int:
    """Bytes of whole allocations below one disk's folder, as a restarted server would count them."""
    found = 0
    for about in folder.glob(f"{disk}/L*/about.json"):
        try:
            found += int(json.loads(about.read_bytes())["size"])
        except FileNotFoundError:
            continue  # removed while we looked
    return found


@pytest.mark.slow
@pytest.mark.parametrize("mixed", [False, True], ids=["servers", "mixed"])
def test_kill_nine_of_servers(tmp_path: Path, mixed: bool) -> None:
    """Two servers with real space, killed in turn under load: what exists and what is promised stay one.
    ``mixed``: the orchestrator is killed, too, with wrong dates, a full disk and damaged ledgers."""
    rng = random.Random(5)
    capacity = 10_000_000
    system = tmp_path / "system.yml"
    disks = [{"vendor": "v", "model": "m", "serial": "1", "capacity": capacity / 1e9, "read_bandwidth": 1.0,
              "write_bandwidth": 1.0, "block_device": f"/dev/d{i}"} for i in range(2)]  # fmt: skip
    hosts = [{"hostname": n, "ipv4": "10.0.0.1", "network_bw": 1.0, "disks": disks} for n in ("s1", "s2")]
    system.write_text(json.dumps({"hosts": hosts}))
    orchestrator = Process(tmp_path, wrong_date=mixed)
    orchestrator.start()
    servers = {n: start_server_process(tmp_path, n, orchestrator.endpoint, system) for n in ("s1", "s2")}
    clients = Clients(orchestrator.endpoint, 20, seed=2, sizes=(1000, 4_000_000), unreliable=0.05)
    clients.start()
    with Client(orchestrator.endpoint, timeout=20, resend=0.3) as client:
        for _ in range(KILLS):
            time.sleep(rng.uniform(0.1, 1.0))
            if mixed and rng.random() < 0.4:
                (tmp_path / "date").write_text(str(rng.choice([0, -1500, 1500, 7, -30])))
            if mixed and rng.random() < 0.2:
                full_for_a_while(orchestrator, rng)
            if mixed and rng.random() < 0.3:
                orchestrator.kill()
                if rng.random() < 0.5:
                    refuse_damage(orchestrator, rng)
                orchestrator.start()
            name = rng.choice(["s1", "s2"])
            servers[name].kill()
            servers[name].wait()
            for disk in ("d0", "d1"):
                assert on_disk(tmp_path / name, disk) <= capacity, "a byte was given twice"
            servers[name] = start_server_process(tmp_path, name, orchestrator.endpoint, system)
            compare(client, clients)
        (tmp_path / "date").write_text("0")
        settle(client, clients)
        compare(client, clients)
        # every allocation that was acknowledged and not given back exists, at its full size
        for lease in client.leases(everybody=True):
            if lease["state"] == "allocated" and lease["end"] > time.time() + 1:
                for connection in lease["connections"].values():
                    assert Path(connection["path"]).stat().st_size == lease["size"]
        for lease in client.leases(everybody=True):
            client.release(lease["lease"])
        deadline = time.monotonic() + 20
        while client.leases(everybody=True):
            assert time.monotonic() < deadline, client.leases(everybody=True)
            time.sleep(0.1)
        assert all(disk["present"] == 0 for disk in client.status()["disks"])
        assert client.status()["counters"].get("lost", 0) == 0
    clients.over.set()
    clients.join(5)
    for name, server in servers.items():
        server.terminate()
        server.wait(10)
        assert list((tmp_path / name).glob("*/L*")) == []
    orchestrator.stop()
