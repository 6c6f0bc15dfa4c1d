"""Two schedulers that take the same decisions, as files for batfs and for pybatsim: each job on nodes of its
own as soon as there is room for its bytes (``place``: its first node; ``free``: below which ours chooses, and
theirs takes what ours has chosen before), the last one at its ``until``, each
killed at its ``kill`` if that is SOON or more ahead when it is heard of."""

from __future__ import annotations

NODES, SPARE = 10, 2  # the last ones run no jobs: they come and go

OURS = '''
import json
from pathlib import Path
from batfs.protocol.clock import SOON
from batfs.filesystems.interface import Hold
from batfs.scheduling.interface import Pass

class Fixed:
    """See ``differential_sides``."""
    name = "fixed"
    def __init__(self):
        self.kills, self.until = {}, {}
        self.chosen = {}
    def nodes(self, job):
        extra = job.job.extra
        return (1 << extra["free"]) - 1 if "free" in extra else ((1 << job.nodes) - 1) << extra["place"]
    def schedule(self, view):
        for job in view.arrived:
            if job.job.extra.get("kill", 0.0) > view.now + SOON:
                self.kills[job.id] = job.job.extra["kill"]
        starts = []
        for job in (view.queue if view.freed else view.arrived):
            if job.job.extra.get("until", 0.0) > view.now:
                continue
            placed = view.place(job, among=self.nodes(job))
            if not isinstance(placed, Hold):
                starts.append(placed)
        started = {placed.job.id for placed in starts}
        for job in view.queue:
            until = job.job.extra.get("until", 0.0)
            if 0.0 < until <= view.now and job.id not in started:
                placed = view.place(job, among=self.nodes(job))
                if not isinstance(placed, Hold):
                    starts.append(placed)
        chosen = {p.job.id: view.node_ids(p.nodes) for p in starts if "free" in p.job.job.extra}
        if chosen:
            self.chosen.update(chosen)
            Path("FOLDER/chosen.json").write_text(json.dumps(self.chosen))
        due = [i for i, at in self.kills.items() if at <= view.now]
        kills = [i for i in due if i in view.running and view.running[i].nodes]
        for i in due:
            del self.kills[i]
        times = [*self.kills.values(), *(j.job.extra.get("until", 0.0) for j in view.queue)]
        later = [at for at in times if at > view.now]
        return Pass(starts, kills, min(later, default=None))
'''

THEIRS = """
import json
from pathlib import Path
SOON = 0.1
from batsim.batsim import BatsimScheduler
from procset import ProcSet

class Fixed(BatsimScheduler):
    def onSimulationBegins(self):
        assert not self.bs.storage_resources and self.bs.nb_resources == self.bs.nb_compute_resources
        self.kills, self.until, self.running = {}, {}, {}
        chosen = Path("FOLDER/theirs.json")
        self.chosen = json.loads(chosen.read_text()) if chosen.exists() else {}
    def onJobSubmission(self, job):
        extra = job.json_dict
        if extra.get("kill", 0.0) > self.bs.time() + SOON:
            self.kills[job.id] = extra["kill"]
            self.bs.wake_me_up_at(extra["kill"])
        if "until" in extra:
            self.until[job.id] = (extra["until"], job)
            self.bs.wake_me_up_at(extra["until"])
        else:
            self.start(job)
    def start(self, job):
        place = job.json_dict["place"]
        nodes = self.chosen.get(job.id, range(place, place + job.requested_resources))
        job.allocation = ProcSet(*nodes)
        self.running[job.id] = job
        self.bs.execute_jobs([job])
    def onJobCompletion(self, job):
        del self.running[job.id]
    def onJobsKilled(self, jobs):
        pass
    def onRequestedCall(self):
        now = self.bs.time()
        for i, (at, job) in list(self.until.items()):
            if at <= now:
                del self.until[i]
                self.start(job)
        for i, at in list(self.kills.items()):
            if at <= now:
                del self.kills[i]
                if i in self.running:
                    self.bs.kill_jobs([self.running[i]])
    def onNotifyEventMachineUnavailable(self, machines):
        assert all(i < NODES for i in machines)
    onNotifyEventMachineAvailable = onNotifyEventMachineUnavailable
""".replace("NODES", str(NODES))
