"""A decision component of Batsim 5 that knows nothing of I/O: each job on nodes of its own at once (``place``
in its ``extra_data``: the first of them; or those ``chosen`` for it), not before its ``until``; each killed
at its ``kill`` if that is SOON or more ahead when it is heard of.

``python fixed_batsim5.py ENDPOINT``
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from fcfs_batsim5 import main

#: Seconds.
SOON = 0.1


class Fixed:
    def __init__(self, chosen: Mapping[str, list[int]] = MappingProxyType({})) -> None:
        self.chosen = chosen
        self.ids: dict[str, int] = {}
        self.waiting: dict[str, tuple[float, list[int]]] = {}  # until when, on which nodes
        self.kills: dict[str, float] = {}
        self.running: set[str] = set()
        self.over = False
        self.out: list[dict[str, Any]] = []
        self.now = 0.0

    def decide(self, message: dict[str, Any]) -> list[dict[str, Any]]:
        self.now, self.out = message["now"], []
        for entry in message["events"]:
            kind, event = entry["event_type"], entry["event"]
            if kind == "SimulationBeginsEvent":
                assert not event.get("storage_hosts"), "storages are not hidden"
                self.ids = {host["name"]: host["id"] for host in event["computation_hosts"]}
            elif kind == "JobSubmittedEvent":
                self.submitted(event["job_id"], event["job"])
            elif kind == "JobCompletedEvent":
                self.running.discard(event["job_id"])
            elif kind == "RequestedCallEvent":
                self.called()
            elif kind == "SimulationEndsEvent":
                self.over = True
        return self.out

    def submitted(self, job_id: str, job: dict[str, Any]) -> None:
        extra = json.loads(job["extra_data"])
        place, until = extra["place"], extra.get("until", 0.0)
        nodes = self.chosen.get(job_id, range(place, place + job["resource_request"]))
        self.waiting[job_id] = (until, [self.ids[f"n{k}"] for k in nodes])
        if extra.get("kill", 0.0) > self.now + SOON:
            self.kills[job_id] = extra["kill"]
        for at in (self.kills.get(job_id), extra.get("until")):
            if at is not None:
                when = {"time": math.ceil(at * 1000), "time_unit": "Millisecond"}
                call = {"call_me_later_id": f"{job_id} at {at}", "when_type": "OneShot", "when": when}
                self.say("CallMeLaterEvent", call)
        self.called()

    def called(self) -> None:
        for job_id, (until, nodes) in list(self.waiting.items()):
            if until <= self.now:
                del self.waiting[job_id]
                self.running.add(job_id)
                allocation = {
                    "host_allocation": " ".join(map(str, sorted(nodes))),
                    "executor_placement_type": "PredefinedExecutorPlacementStrategyWrapper",
                    "executor_placement": {},
                }
                self.say("ExecuteJobEvent", {"job_id": job_id, "allocation": allocation})
        due = [job_id for job_id, at in self.kills.items() if at <= self.now]
        for job_id in due:
            del self.kills[job_id]
        due = [job_id for job_id in due if job_id in self.running]
        if due:
            self.say("KillJobsEvent", {"job_ids": due})

    def say(self, kind: str, event: dict[str, Any]) -> None:
        self.out.append({"timestamp": self.now, "event_type": kind, "event": event})


if __name__ == "__main__":
    main(sys.argv[1], Fixed())
