"""kill -9 at random moments under load: nothing acknowledged is lost, no byte given twice, no lease leaks."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest
from service_harness import Clients, Process, start_server

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
    before = time.time()
    for told, released in known:
        lease = live.get(told.lease)
        if released:
            assert lease is None or lease["state"] == "ending", f"{told.lease} was released and is {lease}"
        elif told.end > before + 0.5 and not told.asked_release:
            assert lease is not None, f"{told.lease} was granted until {told.end} and is gone"
            assert lease["shares"] == told.shares
            assert sum(lease["shares"].values()) == told.size
    names = [told.lease for told in list(clients.history.values()) if told.lease]
    assert len(names) == len(set(names)), "one lease was given to two requests"


@pytest.mark.slow
@pytest.mark.parametrize("unreliable", [0.0, 0.1], ids=["reliable", "lossy"])
def test_kill_nine_under_load(tmp_path: Path, unreliable: float) -> None:
    rng = random.Random(int(unreliable * 10) + 7)
    capacities = {f"d{i}": 10_000 for i in range(4)}
    orchestrator = Process(tmp_path)
    orchestrator.start()
    servers = [start_server(name, orchestrator.endpoint, capacities) for name in ("s1", "s2")]
    clients = Clients(orchestrator.endpoint, 20, seed=1, sizes=(10, 4000), unreliable=unreliable)
    clients.start()
    with Client(orchestrator.endpoint, timeout=20, resend=0.3) as client:
        for _ in range(KILLS):
            time.sleep(rng.uniform(0.05, 0.7))
            orchestrator.kill()
            orchestrator.start()
            compare(client, clients)
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
