"""A run in one process under Batsim 5's rules: ``batfs run --protocol 5``.

The scheduler is the same and knows the machines by Batsim 4's numbers; what it decides is translated as it is
for the real Batsim 5. Workloads of Batsim 4 are converted first.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TextIO

from batfs.decision.engine import EndedRow, rows_of
from batfs.decision.experiment import Experiment, Loaded
from batfs.decision.jobs_file import JobsFile, jobs_path
from batfs.decision.replacing import Replacing, Translation
from batfs.errors import InputError
from batfs.files import writing
from batfs.platform import Machine, number_resources
from batfs.protocol import messages as m
from batfs.records import replace
from batfs.simulator import SimulationOptions
from batfs.workload.generations import convert
from batfs.workload.model import Workload


class Run5:
    """The parts of such a run. ``stack`` closes the file of the jobs."""

    def __init__(
        self, experiment: Experiment, loaded: Loaded, prefix: str | Path | None, stack: ExitStack
    ) -> None:
        if experiment.events:
            raise InputError("Batsim 5 has no events of machines", hint="leave out --events")
        self.path = None if prefix is None else jobs_path(prefix)
        self.prefix = prefix
        self._stream: TextIO = (
            io.StringIO() if self.path is None else stack.enter_context(writing(self.path, keep_partial=True))
        )
        self.experiment = experiment
        self.workloads: Sequence[Workload] = [convert(workload, 5)[0] for workload in loaded.workloads]
        self.machine: Machine = number_resources(
            loaded.platform,
            master=experiment.master,
            roles=experiment.roles,
            limit=loaded.machine.nb_compute,
            generation=5,
        )

    def process(self, scheduler: m.DecisionProcess) -> m.DecisionProcess:
        """Who decides, as Batsim 5 is told."""
        profiles = {workload.name: workload.profiles for workload in self.workloads}
        translation = Translation(
            config={},
            dynamic_jobs=self.experiment.dynamic_jobs,
            profiles=lambda _: profiles,
            watch=JobsFile(self._stream),
        )
        return Replacing(scheduler, translation)

    def options(self, options: SimulationOptions) -> SimulationOptions:
        """The run's options, with what the hello of batfs asks for. The simulator's own files are
        ``PREFIX_batsim_*``: its jobs file has two rows for a job with I/O."""
        return replace(
            options,
            outputs=None if self.prefix is None else f"{self.prefix}_batsim_",
            generation=5,
            dynamic_jobs=True,
            acknowledge_dynamic_jobs=False,
            profile_reuse=False,
            forward_profiles=True,
            on_job=None,
            on_work=None,
        )

    def jobs(self) -> Iterator[EndedRow]:
        """Every job that ended or was rejected; to be asked for when the simulation is over."""
        self._stream.flush()
        if isinstance(self._stream, io.StringIO):
            yield from rows_of(io.StringIO(self._stream.getvalue()))
        else:
            with open(self._stream.name, encoding="utf-8", newline="") as stream:
                yield from rows_of(stream)
