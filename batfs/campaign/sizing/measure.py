"""What a size does: runs with common random numbers, as many as it takes to tell."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from batfs.campaign.engine import Failure, loop, make_task, reproduce, seed_bases
from batfs.campaign.executors import Workers, open_workers
from batfs.campaign.inputs import InputStore
from batfs.campaign.plan import Cell, Plan
from batfs.campaign.progress import Progress
from batfs.campaign.sizing.asked import Knob, Target
from batfs.campaign.sizing.search import Place
from batfs.campaign.store import Store
from batfs.campaign.task import Outcome, Task
from batfs.decision.experiment import Experiment, announced, load, machine_fields
from batfs.decision.what_if import ALL, BANDWIDTH, NODES, WhatIf, changed
from batfs.errors import InputError
from batfs.records import replace
from batfs.report.inference import Interval, mean_interval
from batfs.report.run import read_run
from batfs.report.statistics import summarize
from batfs.scheduling.config import Layer, Settings
from batfs.scheduling.storages import shared_out, storage_table, with_overrides

#: Seeds with which a size begins; the number doubles as long as its interval holds the limit.
FIRST: Final = 4
# looked at several times while seeds are added, an interval has to be wider
_EARLY: Final = 0.99
REFUSED: Final = "refused_jobs"


@dataclass(eq=False)
class Measured:
    """One size: the figures of its runs, and how it stands to the targets.

    ``refuses``: jobs more a run are refused than at the largest size, so that its means are of other jobs and
    it can't be the answer. ``failures`` are runs that couldn't be done: with one it can't be either.
    """

    place: Place
    values: tuple[float, ...]
    targets: Sequence[Target]
    figures: list[dict[str, float]] = field(default_factory=list)
    cells: list[str] = field(default_factory=list)
    seeds: int = 0
    failures: list[Failure] = field(default_factory=list)
    most_refused: float | None = None

    def numbers(self, name: str) -> list[float]:
        """One figure of every run; NaN where a run has none."""
        return [run[name] for run in self.figures]

    def interval(self, name: str, level: float = 0.95) -> Interval:
        """Mean and interval of one figure over the runs that have it."""
        values = np.array(self.numbers(name))
        there = np.flatnonzero(~np.isnan(values))
        return mean_interval(values[there], [self.cells[k] for k in there.tolist()], level=level)

    @property
    def refused(self) -> float:
        """Jobs refused a run, in the mean."""
        numbers = self.numbers(REFUSED)
        return math.fsum(numbers) / len(numbers) if numbers else math.nan

    @property
    def refuses(self) -> bool:
        return self.most_refused is not None and self.refused > self.most_refused + 1e-9

    @property
    def _out(self) -> bool:
        return self.refuses or bool(self.failures) or not self.figures

    @property
    def meets(self) -> bool:
        return not self._out and all(t.met(self.interval(t.metric.name).mean) for t in self.targets)

    @property
    def may(self) -> bool:
        return not self._out and all(t.met(_best(self.interval(t.metric.name), t)) for t in self.targets)

    @property
    def surely(self) -> bool:
        return not self._out and all(t.met(_worst(self.interval(t.metric.name), t)) for t in self.targets)

    @property
    def told(self) -> bool:
        """Whether more seeds would hardly change whether it meets the targets."""
        if self._out:
            return True
        for target in self.targets:
            found = self.interval(target.metric.name, _EARLY)
            if math.isfinite(found.low) and not target.met(_best(found, target)):
                return True  # one target that surely isn't met is enough
        return all(
            math.isfinite((found := self.interval(t.metric.name, _EARLY)).low) and t.met(_worst(found, t))
            for t in self.targets
        )


def _best(found: Interval, target: Target) -> float:
    end = found.low if target.below else found.high
    return end if math.isfinite(end) else found.mean


def _worst(found: Interval, target: Target) -> float:
    end = found.high if target.below else found.low
    return end if math.isfinite(end) else found.mean


class Bench:
    """Measures sizes of the knobs on a plan's machine; a context manager that holds a directory, workers
    and what it has measured. InputError for what no run could do."""

    def __init__(
        self,
        plan: Plan,
        knobs: Sequence[Knob],
        targets: Sequence[Target],
        directory: Path,
        *,
        executor: str | Executor | None = None,
        jobs: int | None = None,
        progress: bool | None = None,
        say: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        self.plan, self.knobs, self.targets = plan, knobs, targets
        self.known: dict[Place, Measured] = {}
        self.made = self.found = 0
        self.store = Store(directory)
        self.inputs = InputStore(self.store.inputs)
        self._executor, self._jobs, self._shown, self._say = executor, jobs, progress, say
        self._stack = ExitStack()
        self._workers: Workers | None = None
        self._turn = [_turner(plan, knob) for knob in knobs]
        # as in a comparison, a seed draws its machine from the calibration
        self._bases = seed_bases(plan)
        self._most_refused: float | None = None
        self.top: Place = tuple(len(knob.values) - 1 for knob in knobs)

    def __enter__(self) -> Bench:
        self._stack.enter_context(self.store.locked("batfs size"))
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.close()

    def begin(self) -> Measured:
        """The largest size: what it refuses no other is blamed for."""
        top = self.judge(self.top)
        if all(target.metric.name != REFUSED for target in self.targets):
            self._most_refused = top.refused if top.figures else 0.0
            top.most_refused = self._most_refused
        return top

    def judge(self, place: Place) -> Measured:
        """The size, with as many seeds as it takes to say whether it meets the targets."""
        known = self.known.get(place)
        if known is None:
            values = tuple(knob.values[k] for knob, k in zip(self.knobs, place, strict=True))
            known = self.known[place] = Measured(place, values, self.targets)
            known.most_refused = self._most_refused
            seeds = len(self.plan.seeds)
            while known.seeds < seeds:
                known.seeds = min(seeds, 2 * known.seeds or FIRST)
                self._run(known)
                if known.told or self._repeats(known):
                    break
            self._say(self.sentence(known))
        return known

    def complete(self, place: Place) -> Measured:
        """The size with every seed."""
        known = self.judge(place)
        if not self._repeats(known) and known.seeds < len(self.plan.seeds):
            known.seeds = len(self.plan.seeds)
            self._run(known)
        return known

    def label(self, values: Sequence[float]) -> str:
        """``bb=1.2 TB``."""
        return ", ".join(f"{knob.target}={knob.text(v)}" for knob, v in zip(self.knobs, values, strict=True))

    def sentence(self, found: Measured) -> str:
        """What was found of a size, for a line of progress."""
        from batfs.report.tables import with_ends

        parts = [
            f"{t.metric.title} {with_ends(t.metric, found.interval(t.metric.name))}" for t in self.targets
        ]
        if found.refuses:
            parts.append(f"{found.refused:g} jobs refused a run")
        if found.failures:
            parts.append(f"{len(found.failures)} runs failed")
        word = "" if not self.targets else ": meets" if found.meets else ": doesn't meet"
        told = f"{self.label(found.values)}{word} ({'; '.join(parts)})" if parts else self.label(found.values)
        return f"{told}, {len(found.figures)} runs"

    def _repeats(self, known: Measured) -> bool:
        """Whether the seed changes nothing."""
        if self.plan.resample != "none" or len(known.figures) < 2:
            return False
        names = {"mean_waiting_time", "makespan", *(t.metric.name for t in self.targets)}
        return all(known.interval(name).n == len(set(known.cells)) for name in names)

    def _run(self, known: Measured) -> None:
        todo = [self._task(known, cell) for cell in self._cells(known)]
        missing = {task.id: (cell, task) for cell, task in todo if not self.store.has(task)}
        failed: dict[str, Outcome] = {}
        if missing:
            for _, task in missing.values():
                if self.store.folder(task).is_dir():
                    self.store.set_aside(task)
            workers = self._open()
            with Progress(len(missing), 0, self._shown, self.label(known.values)) as bar:
                # where processes died, others are started when needed
                failed, self._workers = loop(self.store, workers, bar, list(missing.values()))
        self.made += len(missing)
        self.found += len(todo) - len(missing)
        known.figures, known.cells, known.failures = [], [], []
        for cell, task in todo:
            if task.id in failed:
                outcome = failed[task.id]
                known.failures.append(
                    Failure(cell.label, cell.context, cell.seed, outcome.error, reproduce(cell, task))
                )
                continue
            known.figures.append(summarize(read_run(self.store.prefix(task)), self.plan.threshold))
            known.cells.append(cell.context)

    def _open(self) -> Workers:
        if self._workers is None:
            self._workers = self._stack.enter_context(open_workers(self._executor, self._jobs))
        return self._workers

    def _cells(self, known: Measured) -> list[Cell]:
        seeds = set(self.plan.seeds[: known.seeds])
        return [cell for cell in self.plan.cells() if cell.seed in seeds]

    def _task(self, known: Measured, cell: Cell) -> tuple[Cell, Task]:
        treatment: dict[str, Any] = dict(cell.treatment)
        larger: dict[str, Any] = {}
        for turn, value in zip(self._turn, known.values, strict=True):
            keys, fields = turn(value)
            treatment |= keys
            larger |= fields
        sized = replace_cell(cell, treatment, self.label(known.values))
        return sized, make_task(self.plan, sized, self.inputs, larger, self._bases.get(cell.seed))


def replace_cell(cell: Cell, treatment: Mapping[str, Any], label: str) -> Cell:
    """The same run under other settings."""
    return Cell(cell.platform, cell.workload, treatment, label, cell.context, cell.seed, cell.policy_seed)


_Turn = Callable[[float], tuple[dict[str, Any], dict[str, Any]]]


def _turner(plan: Plan, knob: Knob) -> _Turn:
    """From a value of the knob to keys of the configuration and fields of the experiment. InputError for a
    knob that this machine hasn't, and for a largest value that it can't have."""
    from batfs.campaign.settings import configured

    [treatment] = plan.products()
    settings = Settings(flags=Layer("the settings", configured(plan.base, treatment, plan.seeds[0])))
    config = settings.configuration()
    experiment = Experiment(
        Path(plan.platforms[0]), [Path(w) for w in plan.workloads], **machine_fields(plan.machine)
    )
    experiment = replace(experiment, dynamic_jobs=bool(plan.dynamic_jobs))
    loaded = load(experiment, config)
    if not knob.sized:
        most = knob.values[-1]
        what = WhatIf(f"{knob.target}={knob.text(most)}", knob.target, None, int(most))
        if knob.target == BANDWIDTH:
            what = WhatIf(what.text, BANDWIDTH, most)
        try:
            changed(experiment, settings, what, loaded)
        except InputError as error:
            raise error.at(place=f"{knob.target}={knob.text(most)}") from None
    if knob.target == NODES:
        return lambda value: ({}, {"nodes": int(value)})
    if knob.target == BANDWIDTH:

        def faster(value: float) -> tuple[dict[str, Any], dict[str, Any]]:
            _, over = changed(experiment, settings, WhatIf(f"x{value:g}", BANDWIDTH, value), loaded)
            told = over.configuration().storages
            return {
                f"storages.{name}.{key}": text for name, table in told.items() for key, text in table.items()
            }, {"storage_bandwidth": value}

        return faster
    table = storage_table(with_overrides(announced(loaded.machine)[1], config))
    systems = dict.fromkeys(storage.filesystem or ALL for storage in table)
    if knob.target in systems:
        return lambda value: ({f"filesystems.{knob.target}.size": int(value)}, {})
    if knob.target != ALL:
        changed(experiment, settings, WhatIf(knob.target, knob.target, None, 1), loaded)  # whether it is one
        return lambda value: ({f"storages.{knob.target}.size": int(value)}, {})
    capacities = [storage.capacity for storage in table]

    def every(value: float) -> tuple[dict[str, Any], dict[str, Any]]:
        sizes = shared_out(int(value), capacities)
        return {f"storages.{s.name}.size": size for s, size in zip(table, sizes, strict=True)}, {}

    return every
