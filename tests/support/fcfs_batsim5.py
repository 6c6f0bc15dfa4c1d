"""A decision component of Batsim 5 that knows nothing of I/O: first come, first served, lowest names first.

``python fcfs_batsim5.py ENDPOINT``
"""

from __future__ import annotations

import json
import struct
import sys
from typing import Any

import zmq

FEATURES = (
    *("dynamic_registration", "profile_reuse", "acknowledge_dynamic_jobs"),
    *("forward_profiles_on_job_submission", "forward_profiles_on_jobs_killed"),
    "forward_profiles_on_simulation_begins",
)


def hello() -> bytes:
    event = {
        "batprotocol_version": "1.0.0",
        "decision_component_name": "fcfs",
        "decision_component_version": "1",
        "decision_component_commit": "",
        "requested_simulation_features": dict.fromkeys(FEATURES, False),
    }
    said = {"now": 0.0, "events": [{"timestamp": 0.0, "event_type": "EDCHelloEvent", "event": event}]}
    return struct.pack("=I", 2) + json.dumps(said).encode()


class Fcfs:
    def __init__(self) -> None:
        self.names: dict[int, bytes] = {}
        self.free: list[int] = []
        self.queue: list[tuple[str, int]] = []
        self.held: dict[str, list[int]] = {}
        self.over = False

    def decide(self, message: dict[str, Any]) -> list[dict[str, Any]]:
        for entry in message["events"]:
            kind, event = entry["event_type"], entry["event"]
            if kind == "SimulationBeginsEvent":
                assert not event.get("storage_hosts"), "storages are not hidden"
                self.names = {host["id"]: host["name"].encode() for host in event["computation_hosts"]}
                self.free = self.sorted(self.names)
            elif kind == "JobSubmittedEvent":
                assert "profile" not in event, "a profile that was not asked for"
                self.queue.append((event["job_id"], event["job"]["resource_request"]))
            elif kind == "JobCompletedEvent":
                self.free = self.sorted([*self.free, *self.held.pop(event["job_id"])])
            elif kind == "SimulationEndsEvent":
                self.over = True
        out = []
        while self.queue and self.queue[0][1] <= len(self.free):
            job, count = self.queue.pop(0)
            self.held[job], self.free = self.free[:count], self.free[count:]
            allocation = {
                "host_allocation": " ".join(map(str, sorted(self.held[job]))),
                "executor_placement_type": "PredefinedExecutorPlacementStrategyWrapper",
                "executor_placement": {},
            }
            event = {"job_id": job, "allocation": allocation}
            out.append({"timestamp": message["now"], "event_type": "ExecuteJobEvent", "event": event})
        return out

    def sorted(self, hosts: Any) -> list[int]:
        return sorted(hosts, key=self.names.__getitem__)


def main(endpoint: str, component: Any = None) -> None:
    """Serve one simulation, by another ``component`` if one is given."""
    context = zmq.Context()
    socket = context.socket(zmq.REP)
    socket.bind(endpoint)
    socket.recv()
    socket.send(hello())
    component = component or Fcfs()
    while not component.over:
        message = json.loads(socket.recv().rstrip(b"\0"))
        answer = {"now": message["now"], "events": component.decide(message)}
        socket.send(json.dumps(answer).encode() + b"\0")
    socket.close(2000)
    context.term()


if __name__ == "__main__":
    main(sys.argv[1])
