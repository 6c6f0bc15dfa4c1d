"""A whole simulation: build the system, run actors and clock by turns, write the outputs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from batfs.errors import InputError
from batfs.platform import Machine, Platform
from batfs.process import few_collections
from batfs.protocol import messages as m
from batfs.simulator import submitters
from batfs.simulator.engine import Deadlock, Engine
from batfs.simulator.options import Progress, SimulationOptions, SimulationResult
from batfs.simulator.outputs import Outputs
from batfs.simulator.outputs import summary as summary_of
from batfs.simulator.server import Server
from batfs.workload.model import Workload

if TYPE_CHECKING:
    from batfs.simulator.solver_log import SolverLog

PATIENCE = 64  # clock steps between looks at the wall clock


def simulate(
    platform: Platform,
    machine: Machine,
    workloads: Sequence[Workload],
    decision_process: m.DecisionProcess,
    options: SimulationOptions | None = None,
) -> SimulationResult:
    """Simulate ``workloads`` on ``platform``, with ``machine`` its resources as Batsim numbers them.

    ``decision_process`` is asked at every event, with typed records (times already rounded as Batsim prints
    them). The workloads are named w0, w1, ... in Batsim; their names here are theirs.

    Raises InputError when an input or a decision is one that Batsim refuses, or crashes or hangs on;
    output files then keep the suffix ``.partial``. Any exception of the decision process passes through,
    after the same.
    """
    options = options or SimulationOptions()
    engine = Engine(
        [*(host.cores * host.speed for host in platform.hosts), *(link.bandwidth for link in platform.links)],
        [*(False for _ in platform.hosts), *(link.fatpipe for link in platform.links)],
        [*(host.name for host in platform.hosts), *(link.name for link in platform.links)],
        interpreted=options.interpreted,
    )
    names = {workload.name for workload in workloads}
    if len(names) != len(workloads):
        raise InputError("two workloads have the same name")
    for workload in workloads:
        if workload.nb_res < 1:
            raise InputError(f"nb_res is {workload.nb_res}, expected at least 1", file=workload.path)
    outputs = _outputs(options)(options, [resource.name for resource in machine.resources])
    try:
        return _Run(engine, machine, workloads, decision_process, options, outputs).run()
    except BaseException as error:
        kept = outputs.abandon()
        if kept and isinstance(error, InputError):
            error.partial = kept  # type: ignore[attr-defined]
        raise


def _server(options: SimulationOptions) -> type[Server]:
    if options.generation == 5:
        from batfs.simulator.v5.server import Server5

        return Server5
    return Server


def _outputs(options: SimulationOptions) -> type[Outputs]:
    if options.generation == 5:
        from batfs.simulator.v5.outputs import Outputs5

        return Outputs5
    return Outputs


class _Run:
    def __init__(
        self,
        engine: Engine,
        machine: Machine,
        workloads: Sequence[Workload],
        decision_process: m.DecisionProcess,
        options: SimulationOptions,
        outputs: Outputs,
    ) -> None:
        self.engine = engine
        self.options = options
        self.outputs = outputs
        self.workloads = workloads
        self.server = _server(options)(engine, machine, workloads, decision_process, options, outputs)
        self.solver_log: SolverLog | None = None
        if options.solver_log is not None:
            from batfs.simulator.solver_log import SolverLog

            names, label = engine.names, self.server.label
            engine.solver.log = self.solver_log = SolverLog(options.solver_log, engine, names, label)
        self.next_report = time.monotonic() + options.progress_interval
        self.jobs = sum(len(workload.jobs) for workload in workloads)

    def run(self) -> SimulationResult:
        begin = time.perf_counter()
        try:
            with few_collections():
                deadlock = self._loop()
        finally:
            if self.solver_log is not None:
                self.solver_log.flush()
        machines = self.server.machines
        summary = summary_of(self.outputs.totals, machines, self.server.deciding, time.perf_counter() - begin)
        self.outputs.finish(summary)
        unreported = self.outputs.unreported
        return SimulationResult(
            self.engine.now,
            self.server.requests,
            deadlock,
            summary,
            self.outputs.paths,
            self.engine.steps,
            self.engine.solves,
            (unreported.success + unreported.failed, unreported.success, unreported.makespan),
            *(self.server.left() if deadlock else ((), ())),
        )

    def _loop(self) -> bool:
        """Until the server ends (False) or nothing can happen any more (True)."""
        server = self.server
        maestro = server.maestro
        if self.options.no_scheduler:
            from batfs.simulator.unscheduled import launch_all

            launch_all(server, self.workloads)
        else:
            for workload in self.workloads:
                server.submitters["job"] += 1
                maestro.create(submitters.submit_jobs(server, workload.jobs), server.master)
            for events in self.options.events:
                server.submitters["event"] += 1
                maestro.create(submitters.submit_events(server, events), server.master)
            server.actor = maestro.create(server.script(), server.master)
        try:
            while not maestro.run(PATIENCE):
                self._report()
        except Deadlock:
            server.check_end()
            return True
        return False

    def _report(self) -> None:
        """Tell the caller now and then how far the run is."""
        report = self.options.on_progress
        now = time.monotonic()
        if report is not None and now >= self.next_report:
            self.next_report = now + self.options.progress_interval
            report(Progress(self.engine.now, self.outputs.jobs_done, self.jobs, self.server.requests))
