"""`batfs service demo`: the whole service once round, on loopback, with real space."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from batfs.errors import BatfsError
from batfs.scratch import scratch_folder
from batfs.service.client import Client, NoAnswerError
from batfs.units import format_size

MB = 10**6


def _start(*words: str, log: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "batfs", "service", *words]
    with open(log, "w", encoding="utf-8") as errors:
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)


def demo(root: Path | None) -> int:
    """Bring up orchestrator and server, allocate, write into the space, release; 0 if all went well."""
    with scratch_folder("demo") as scratch:
        folder = Path(scratch)
        space = root or folder / "space"
        system = folder / "system.yml"
        system.write_text(
            "hosts:\n  - hostname: demo\n    ipv4: 127.0.0.1\n    network_bw: 1.0\n    disks:\n"
            + "".join(
                f"      - {{vendor: demo, model: demo, serial: '{i}', capacity: 0.1, "
                f"write_bandwidth: 1.0, read_bandwidth: 1.0, block_device: disk{i}}}\n"
                for i in range(2)
            ),
            encoding="utf-8",
        )
        orchestrator = _start(
            "orchestrator", "--bind", "tcp://127.0.0.1:*", "--ledger", str(folder / "ledger.db"),
            "--heartbeat", "0.5", log=folder / "orchestrator.log",
        )  # fmt: skip
        server = None
        try:
            assert orchestrator.stdout is not None
            endpoint = orchestrator.stdout.readline().split()[-1]
            print(f"orchestrator  listening on {endpoint}")
            server = _start(
                "server", "--system", str(system), "--backend", "directory", "--root", str(space),
                "--connect", endpoint, log=folder / "server.log",
            )  # fmt: skip
            with Client(endpoint, timeout=10) as client:
                _await_server(client)
                print(f"server        demo: 2 disks of {format_size(100 * MB)} below {space}")
                reply = client.request(60 * MB, 600)
                if not reply.ok:
                    raise BatfsError(f"refused: {reply.reason}")
                (connection,) = reply.data["connections"].values()
                path = Path(connection["path"])
                print(f"client        {reply.lease} {reply.state}: {format_size(60 * MB)} at {path}")
                with open(path, "r+b") as stream:
                    stream.write(b"batfs" * 1000)
                print(f"client        wrote 5000 bytes; the file has {path.stat().st_size} bytes")
                print(f"client        {reply.lease} {client.release(reply.lease).state}")
                deadline = time.monotonic() + 10
                while path.exists():
                    if time.monotonic() > deadline:
                        raise BatfsError("the space was not removed")
                    time.sleep(0.05)
                print(f"server        {path.parent.name} removed")
            return 0
        except NoAnswerError:
            print((folder / "orchestrator.log").read_text(), file=sys.stderr)
            raise
        finally:
            for process in (server, orchestrator):
                if process is not None:
                    process.terminate()
                    try:
                        process.wait(5)
                    except subprocess.TimeoutExpired:
                        process.kill()


def _await_server(client: Client) -> None:
    deadline = time.monotonic() + 15
    while not any(s["state"] == "up" for s in client.status()["servers"]):
        if time.monotonic() > deadline:
            raise BatfsError("the server did not register")
        time.sleep(0.05)
