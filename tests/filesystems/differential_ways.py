"""The ways in which one workload is run: in this process and over sockets, by batfs's scheduler and behind
the proxy, under both of Batsim's protocols. Each leaves the same files, and these are read back.
"""

from __future__ import annotations

import contextlib
import csv
import gc
import io
import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import differential_forks as forks
from differential_draws import Case
from differential_sides import NODES, OURS, THEIRS
from fs_tiny import Ran, simulate_tiny, write_inputs

from batfs.cli.main import main as batfs
from batfs.decision.experiment import Experiment
from batfs.decision.injector import Injector, WithFileSystems
from batfs.decision.proxy import RawProxy
from batfs.decision.pybatsim_process import PybatsimProcess, load_pybatsim
from batfs.decision.pybatsim_scheduler import BatfsScheduler
from batfs.decision.records import Recorder
from batfs.decision.run import run as run_whole
from batfs.errors import BatfsError
from batfs.protocol import messages as m
from batfs.protocol.codec import decode_reply, encode_request
from batfs.scheduling.config import Layer, Settings
from batfs.scheduling.core import Scheduler
from batfs.simulator import read_events

FIVE = Path(__file__).parents[1] / "support/fixed_batsim5.py"


class Outcome(NamedTuple):
    """What became of a run. ``jobs``: state, start and end (s) of each; ``rows``: who moved what where;
    ``reserved``: storage -> (s, bytes from then on); ``sets``: data sets. ``error``: what ended it before."""

    jobs: Mapping[str, tuple[str, float, float]]
    rows: Sequence[str]
    reserved: Mapping[str, Sequence[tuple[float, int]]]
    sets: Sequence[tuple[str, float, float]]
    error: str = ""


def failed(error: str) -> Outcome:
    return Outcome({}, [], {}, [], error)


class Wire:
    """A pybatsim scheduler behind the proxy, everything in bytes as on a socket."""

    def __init__(self, inner: PybatsimProcess, injector: Injector) -> None:
        self._inner, self._proxy = inner, RawProxy(injector)

    def decide(self, request: m.Request) -> m.Reply:
        text = encode_request(request)
        passes = self._proxy.passes(text)
        asked = self._proxy.request(text)
        assert asked is text or not passes
        return decode_reply(
            self._proxy.reply(None if asked is None else self._inner.ask(asked), self._inner.ask)
        )


# ---- reading what was written ------------------------------------------------------------------------------


def rows_of(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def read_back(prefix: Path, jobs: Mapping[str, tuple[str, float, float]]) -> Outcome:
    """The outcome with these jobs, of whose scheduler's files begin with ``prefix``."""
    reserved: dict[str, list[tuple[float, int]]] = {}
    for row in rows_of(Path(f"{prefix}_storage_states.csv")):
        steps = reserved.setdefault(row["name"], [])
        steps.append((float(row["time"]), int(row["reserved_bytes"])))
    sets = [
        (
            ",".join(row[c] for c in ("data_set", "file_system", "bytes", "held_bytes", "owner"))
            + ","
            + ",".join(row[c] for c in ("read_bytes", "written_bytes", "why", "by")),
            float(row["created"] or 0),
            float(row["ended"] or 0),
        )
        for row in rows_of(Path(f"{prefix}_data_sets.csv"))
    ]
    rows = [",".join([*row.values()][:11]) for row in rows_of(Path(f"{prefix}_io_jobs.csv"))]
    return Outcome(jobs, sorted(rows), reserved, sorted(sets))


def jobs_of(path: Path) -> dict[str, tuple[str, float, float]]:
    found = {}
    for row in rows_of(path):
        times = (float(row[c] or -1) for c in ("starting_time", "finish_time"))
        start, end = times
        if "REJECTED" in row["final_state"]:
            start = end = -1.0
        found[f"{row['workload_name']}!{row['job_id']}"] = (row["final_state"], start, end)
    return found


# ---- in this process ---------------------------------------------------------------------------------------


class Runner:
    """One workload's files in a folder, and the ways to run it."""

    def __init__(self, case: Case, folder: Path) -> None:
        self.case, self.folder = case, folder
        shutil.rmtree(folder, ignore_errors=True)  # its plugins' bytecode too
        folder.mkdir(parents=True)
        self.events = folder / "events.txt"
        self.events.write_text(case.events)
        (folder / "ours.py").write_text(OURS.replace("FOLDER", str(folder)))
        (folder / "fixed.py").write_text(THEIRS.replace("FOLDER", str(folder)))
        self.config = {**case.config, "validate": True}
        (folder / "config.json").write_text(json.dumps(self.config))
        self.own = {"queue": f"{folder}/ours.py:Fixed", **self.config}
        self.files = write_inputs(folder, NODES, case.storages, case.jobs, properties=case.properties)

    @property
    def chosen(self) -> str:
        """The nodes that batfs's scheduler has chosen, where it did: for :meth:`take`."""
        path = self.folder / "chosen.json"
        return path.read_text() if path.exists() else "{}"

    def take(self, chosen: str) -> None:
        """The other schedulers take these nodes."""
        (self.folder / "theirs.json").write_text(chosen)

    def settings(self, *, ours: bool) -> Settings:
        return Settings(flags=Layer("test", self.own if ours else self.config))

    def _in_process(self, kind: str, make: Callable[[Settings, Any, Recorder], m.DecisionProcess]) -> Outcome:
        case, prefix = self.case, self.folder / kind

        def process(settings: Settings, files: Any, ran: Ran) -> m.DecisionProcess:
            return make(settings, files, recorder)

        read = [read_events(self.events, forward_unknown=False)]
        try:
            with Recorder(prefix) as recorder:
                ran = simulate_tiny(
                    *(self.folder, NODES, case.storages, case.jobs, self.own),
                    dynamic=case.dynamic,
                    process=process,
                    events=read,
                    properties=case.properties,
                )
        except BatfsError as error:
            return failed(str(error))
        jobs = {
            name: (r.state, *((-1.0, -1.0) if r.rejected else (r.start, r.start + r.runtime)))
            for name, r in ran.jobs.items()
        }
        assert not ran.result.deadlock
        return read_back(prefix, jobs)

    def scheduler(self) -> Outcome:
        """batfs's scheduler in this process."""
        return self._in_process(
            "scheduler", lambda settings, files, seen: Scheduler(settings, files, observer=seen)
        )

    def pybatsim(self) -> Outcome:
        """The same told through pybatsim's callbacks, as ``batfs-sched`` does."""

        def make(settings: Settings, files: Any, seen: Recorder) -> m.DecisionProcess:
            inner = BatfsScheduler(settings=settings, observer=seen, say=lambda sentence: None)
            inner.core.make_files = files
            return PybatsimProcess(inner)

        return self._in_process("pybatsim", make)

    def proxy(self) -> Outcome:
        """A pybatsim scheduler behind the proxy, in records."""
        return self._in_process("proxy", lambda _, files, seen: WithFileSystems(*self._behind(files, seen)))

    def bytes(self) -> Outcome:
        """The same in bytes."""
        return self._in_process("bytes", lambda _, files, seen: Wire(*self._behind(files, seen)))

    def _behind(self, files: Any, seen: Recorder) -> tuple[PybatsimProcess, Injector]:
        injector = Injector(self.settings(ours=False), make_files=files, observer=seen)
        return PybatsimProcess(load_pybatsim(str(self.folder / "fixed.py"))), injector

    def five(self) -> Outcome:
        """batfs's scheduler under Batsim 5's protocol, in this process."""
        prefix = self.folder / "five"
        experiment = Experiment(
            platform=self.files[0],
            workloads=[self.files[1]],
            dynamic_jobs=self.case.dynamic,
            generation=5,
        )
        try:
            run_whole(experiment, self.settings(ours=True), prefix)
        except BatfsError as error:
            return failed(str(error))
        return read_back(prefix, jobs_of(Path(f"{prefix}_jobs.csv")))

    # ---- over sockets --------------------------------------------------------------------------------------

    def sched(self) -> Outcome:
        """``batfs sim`` and ``batfs-sched``."""
        return self._over_sockets("sched", [("sched", ["--queue", f"{self.folder}/ours.py:Fixed"])])

    def hosted(self) -> Outcome:
        """``batfs sim`` and ``batfs-proxy``, the other scheduler within it."""
        return self._over_sockets("hosted", [("proxy", ["--queue", f"pybatsim:{self.folder}/fixed.py"])])

    def third(self) -> Outcome:
        """``batfs sim``, ``batfs-proxy`` and pybatsim's own launcher, three processes."""
        back = f"ipc://{self.folder}/back"
        launcher = [f"{self.folder}/fixed.py", "-s", back, "-t", "60000"]  # it gives up after 2 s unless told
        return self._over_sockets("third", [("launcher", launcher), ("proxy", ["--scheduler", back])])

    def sched5(self) -> Outcome:
        """``batfs sim --protocol 5`` and ``batfs-sched``."""
        return self._over_sockets(
            "sched5", [("sched", ["--queue", f"{self.folder}/ours.py:Fixed"])], generation=5
        )

    def third5(self) -> Outcome:
        """``batfs sim --protocol 5``, ``batfs-proxy`` and a decision component of Batsim 5."""
        back = f"ipc://{self.folder}/back"
        return self._over_sockets(
            "third5", [("component", [back]), ("proxy", ["--scheduler", back])], generation=5
        )

    def _over_sockets(
        self, kind: str, deciding: Sequence[tuple[str, list[str]]], generation: int = 4
    ) -> Outcome:
        folder, case, front = self.folder, self.case, self.folder / "front"
        common = ["-s", f"ipc://{front}", "--config", "config.json", "-e", kind]
        common += ["--platform", str(self.files[0])]  # I/O policies go by its bandwidths
        workload = self.files[1]
        if generation == 5:
            workload = folder / "five.json"
            if not workload.exists():
                words = ["workload", "convert", str(self.files[1]), "-o", str(workload), "--to", "batsim5"]
                with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
                    assert batfs(words) == 0
        words = ["-p", str(self.files[0]), "-w", str(workload), "-e", f"{kind}_sim", "-q"]
        if generation == 5:
            words += ["--protocol", "5", "-s", f"ipc://{front}", ""]
        else:
            words += ["-s", f"ipc://{front}", "--events", str(self.events)]
            words += ["--enable-dynamic-jobs"] if case.dynamic else []
        processes: list[int] = []
        with forks.ended_with(processes):
            for name, own in deciding:
                given = [*common, *own] if name in ("sched", "proxy") else own
                processes.append(forks.fork(MAINS[name], given, folder, folder / f"{kind}_{name}.log"))
                forks.await_socket(front if name in ("sched", "proxy") else folder / "back", processes[-1])
            processes.append(forks.fork(_sim, ["sim", *words], folder, folder / f"{kind}_sim.log"))
            try:
                codes = forks.await_all(processes)
            except forks.Hung:
                return failed(f"{kind}: a process never ended: {self._said(kind)}")
        for name in ("front", "back"):
            (folder / name).unlink(missing_ok=True)
        if any(codes):
            return failed(f"{kind}: exit codes {codes}: {self._said(kind)}")
        jobs = folder / (f"{kind}_sim_jobs.csv" if generation == 4 else f"{kind}_jobs.csv")
        return read_back(folder / kind, jobs_of(jobs))

    def _said(self, kind: str) -> str:
        return " | ".join(path.read_text()[-600:] for path in sorted(self.folder.glob(f"{kind}_*.log")))


def _sim(words: list[str]) -> int:
    from batfs.cli.main import main

    return main(words)


def _sched(words: list[str]) -> int:
    from batfs.decision.command import main

    return main(words)


def _proxy(words: list[str]) -> int:
    from batfs.decision.proxy_command import main

    return main(words)


def _launcher(words: list[str]) -> int:
    import zmq
    from batsim.cmds.launcher import main

    code = int(main() or 0)
    for one in gc.get_objects():  # its last answer goes with its context: a fork's end sees to none
        if isinstance(one, zmq.Context):
            one.term()
    return code


def _component(words: list[str]) -> int:
    sys.path.insert(0, str(FIVE.parent))
    from fcfs_batsim5 import main
    from fixed_batsim5 import Fixed

    main(words[0], Fixed(json.loads(Path("theirs.json").read_text())))
    return 0


MAINS: Mapping[str, Callable[[list[str]], int]] = {
    "sched": _sched,
    "proxy": _proxy,
    "launcher": _launcher,
    "component": _component,
}
