"""Running a campaign: what is missing is run, what is there is kept, what fails is told and doesn't stop
the rest.
"""

from __future__ import annotations

import json
import shlex
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batfs import __version__
from batfs.campaign.executors import Workers, open_workers
from batfs.campaign.inputs import Input, InputStore, code_digest, plugin_files, sha256
from batfs.campaign.plan import Cell, Plan
from batfs.campaign.progress import Progress
from batfs.campaign.settings import configured, copied, merge
from batfs.campaign.single import beyond_flags, command_line
from batfs.campaign.store import Store, to_json
from batfs.campaign.task import Outcome, Task, execute
from batfs.decision.options import PYBATSIM
from batfs.errors import InputError

if TYPE_CHECKING:
    from batfs.campaign.check import Checked


@dataclass(frozen=True, slots=True)
class Failure:
    """A run that failed: why, and the command that repeats it."""

    label: str
    context: str
    seed: int
    error: str
    command: str
    trace: str = ""


@dataclass(slots=True)
class Finished:
    """A campaign's end: its runs in the plan's order (failed ones left out) and the failures."""

    plan: Plan
    store: Store
    runs: list[tuple[Cell, Task]] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    repeated: int = 0
    strangers: list[str] = field(default_factory=list)
    inputs: list[Input] = field(default_factory=list)


def run_campaign(
    plan: Plan,
    directory: str | Path,
    *,
    executor: str | Executor | None = None,
    jobs: int | None = None,
    say: Callable[[str], None] = lambda sentence: None,
    progress: bool | None = None,
    checked: Checked | None = None,
) -> Finished:
    """Do every run of ``plan`` that ``directory`` doesn't hold yet.

    ``executor`` as in :func:`batfs.campaign.executors.open_workers`. Raises InputError where the plan
    itself can't be run (a missing file, an unknown policy), unless it was looked at already (``checked``);
    a run that fails is an entry of ``failures``.
    """
    from batfs.campaign.check import check_plan

    for sentence in (checked or check_plan(plan)).said:
        say(sentence)
    store = Store(Path(directory))
    with store.locked():
        inputs = InputStore(store.inputs)
        planned = make_tasks(plan, inputs)
        finished = Finished(plan, store, inputs=_distinct(task for _, task in planned))
        folders = {task.folder for _, task in planned}
        finished.strangers = store.strangers(folders)
        if finished.strangers:
            say(
                f"{len(finished.strangers)} runs in {store.runs} are of other inputs, settings or versions; "
                "they are kept and not used"
            )
        missing = []
        for cell, task in planned:
            damage = store.damage(task)
            if damage:
                say(f"{store.folder(task)} is damaged ({damage}): it is done again")
                store.set_aside(task)
            if not store.has(task):
                missing.append((cell, task))
        unique = {task.id: (cell, task) for cell, task in missing}
        finished.repeated = len({task.id for _, task in planned}) - len(unique)
        if finished.repeated and unique:
            say(f"{finished.repeated} runs are there already, {len(unique)} are missing")
        if unique:
            with open_workers(executor, jobs) as workers, Progress(len(unique), 0, progress) as bar:
                failed = _Loop(store, workers, bar).run(list(unique.values()))
        else:
            failed = {}
        drawing: dict[str, None] = {}
        for cell, task in planned:
            outcome = failed.get(task.id)
            if outcome is None:
                finished.runs.append((cell, task))
                if str(task.configuration.get("queue", "")).startswith(PYBATSIM) and store.drew(task):
                    drawing[cell.label] = None
            else:
                command = reproduce(cell, task)
                finished.failures.append(
                    Failure(cell.label, cell.context, cell.seed, outcome.error, command, outcome.trace)
                )
        for label in drawing:
            say(
                f"{label}: this scheduler draws random numbers by itself; its draws begin with the seed, so "
                "each seed is a run of its own"
            )
        return finished


def make_tasks(plan: Plan, inputs: InputStore) -> list[tuple[Cell, Task]]:
    """Every cell of the plan with its task. Raises InputError for what no run could do."""
    draws = seed_bases(plan)
    return [(cell, make_task(plan, cell, inputs, base=draws.get(cell.seed))) for cell in plan.cells()]


def make_task(
    plan: Plan,
    cell: Cell,
    inputs: InputStore,
    larger: Mapping[str, Any] | None = None,
    base: Mapping[str, Any] | None = None,
) -> Task:
    """A cell's task; ``larger``: what of the machine isn't as in the file (``nodes``,
    ``storage_bandwidth``); ``base``: the configuration below its treatment, if not the plan's. Raises
    InputError for what no run could do."""
    configuration = configured(plan.base if base is None else base, cell.treatment, cell.policy_seed)
    platform = inputs.keep(cell.platform)
    workload = inputs.workload(cell.workload, plan.resample, cell.seed)
    plugins = tuple(inputs.keep(file) for file in plugin_files(configuration))
    machine = {**plan.machine, **(larger or {})}
    decides = {
        "batfs": __version__,
        "code": code_digest(),
        "platform": platform.sha256,
        "workload": workload.sha256,
        "plugins": [plugin.sha256 for plugin in plugins],
        "configuration": configuration,
        "dynamic_jobs": plan.dynamic_jobs,
        "label": cell.label,
    }
    events = tuple(inputs.keep(file) for file in machine.get("events", ()))
    if machine:
        said = {key: value for key, value in machine.items() if key != "events"}
        decides["machine"] = {**said, "events": [file.sha256 for file in events]}
    digest = sha256(json.dumps(decides, sort_keys=True).encode())
    name = f"{cell.label} @ {cell.context}" if cell.context else cell.label
    about: dict[str, Any] = {
        "label": name,
        "treatment": cell.label,
        "context": cell.context,
        "pair": [cell.context, str(cell.seed)],
    }
    rest = beyond_flags(configuration)
    config = inputs.keep_text("configuration.json", to_json(rest)) if rest else None
    folder = f"{_slug(name)}-seed{cell.seed}-{digest[:12]}"
    return Task(
        digest,
        folder,
        platform,
        workload,
        plugins,
        configuration,
        plan.dynamic_jobs,
        about,
        config,
        machine,
        events,
    )


def seed_bases(plan: Plan) -> dict[int, dict[str, Any]]:
    """The configuration below the treatments, by seed, where a calibration is drawn from; what the plan says
    itself comes first."""
    if plan.calibration is None:
        return {}
    from batfs.campaign.calibration.file import read_calibration

    calibration = read_calibration(Path(plan.calibration))
    found = {}
    for seed in plan.seeds:
        drawn: dict[str, Any] = {"filesystems": dict(calibration.options(seed))}
        merge(drawn, copied(plan.base))
        found[seed] = drawn
    return found


def _slug(text: str) -> str:
    words = "".join(c if c.isalnum() or c in "._=" else "-" for c in text)
    return "-".join(part for part in words.split("-") if part)[:80]


def _distinct(tasks: Any) -> list[Input]:
    found: dict[str, Input] = {}
    for task in tasks:
        for item in (task.platform, task.workload, *task.plugins):
            found.setdefault(item.path, item)
    return list(found.values())


def provenance(task: Task, cell: Cell, outcome: Outcome) -> dict[str, Any]:
    """What repeats this run, without what differs each time (clock, machine, scratch folders)."""
    items = (task.platform, task.workload, *task.plugins)
    return {
        "batfs": __version__,
        **task.about,
        "command": reproduce(cell, task),
        "configuration": dict(outcome.configuration),
        "inputs": {item.name: {"sha256": item.sha256, "copy": Path(item.path).name} for item in items},
        "results": dict(outcome.results),
    }


def reproduce(cell: Cell, task: Task) -> str:
    """The ``batfs run`` that does the same run alone."""
    workload = task.workload.path if _drawn(task) else cell.workload
    words = command_line(
        cell.platform, workload, task.configuration, task.config_file, task.dynamic_jobs, task.machine
    )
    return shlex.join(words)


def _drawn(task: Task) -> bool:
    """Whether the workload was drawn for a seed: then only the campaign has the file."""
    return Path(task.workload.path).name[13:].startswith("seed")


def loop(
    store: Store, workers: Workers, bar: Progress, todo: Sequence[tuple[Cell, Task]]
) -> tuple[dict[str, Outcome], Workers | None]:
    """Do these runs; the failed ones, by id, and the workers if they can be used again."""
    feeding = _Loop(store, workers, bar)
    failed = feeding.run(todo)
    return failed, workers if feeding.executor is workers.executor else None


class _Loop:
    """Feeds the executor a few runs at a time and puts what comes back in its place."""

    def __init__(self, store: Store, workers: Workers, bar: Progress) -> None:
        self.store, self.workers, self.bar = store, workers, bar
        self.executor = workers.executor
        self.failed: dict[str, Outcome] = {}
        self.done = 0
        self.flying: dict[Future[Outcome], tuple[Cell, Task]] = {}

    def run(self, todo: Sequence[tuple[Cell, Task]]) -> dict[str, Outcome]:
        """The failed ones, by id."""
        waiting = deque(todo)
        suspects: list[tuple[Cell, Task]] = []
        try:
            while waiting or self.flying:
                while waiting and len(self.flying) < self.workers.at_once:
                    self._submit(waiting.popleft())
                self.bar.update(self.done, len(self.flying), len(self.failed))
                ready, _ = wait(self.flying, return_when=FIRST_COMPLETED)
                broken = [self.flying.pop(future) for future in ready if not self._take(future)]
                if broken:
                    # a worker died: of the runs under way one is to blame, and each is tried alone
                    suspects += [*broken, *self.flying.values()]
                    self.flying.clear()
                    self.executor.shutdown(wait=False, cancel_futures=True)
                    if self.workers.renew is None:
                        raise InputError("the executor broke down; call again to do what is missing")
                    self.executor = self.workers.renew(max(1, self.workers.at_once - 2))
            for cell, task in suspects:
                self._alone(cell, task)
        finally:
            if self.executor is not self.workers.executor:
                self.executor.shutdown(wait=False, cancel_futures=True)
        return self.failed

    def _submit(self, item: tuple[Cell, Task]) -> None:
        _, task = item
        self.flying[self.executor.submit(execute, self._packed(task))] = item

    def _packed(self, task: Task) -> Task:
        if self.workers.shares_files:
            return task
        plugins = tuple(plugin.shipped() for plugin in task.plugins)
        return replace(
            task,
            platform=task.platform.shipped(),
            workload=task.workload.shipped(),
            plugins=plugins,
            events=tuple(file.shipped() for file in task.events),
        )

    def _take(self, future: Future[Outcome]) -> bool:
        """Whether the future gave an outcome; it is kept then."""
        try:
            outcome = future.result()
        except BrokenExecutor:
            return False
        except (
            Exception
        ) as error:  # a cluster gives its own kinds: a worker lost too often, a task it can't send
            outcome = Outcome(self.flying[future][1].id, error=f"{type(error).__name__}: {error}")
        cell, task = self.flying.pop(future)
        self._settle(cell, task, outcome)
        return True

    def _settle(self, cell: Cell, task: Task, outcome: Outcome) -> None:
        if outcome.error:
            self.failed[task.id] = outcome
        else:
            self.store.keep(task, outcome, provenance(task, cell, outcome))
            self.done += 1

    def _alone(self, cell: Cell, task: Task) -> None:
        assert self.workers.renew is not None
        executor = self.workers.renew(1)
        try:
            outcome = executor.submit(execute, task).result()
        except BrokenExecutor:
            outcome = Outcome(task.id, error="its process died (out of memory, or a crash)")
        finally:
            executor.shutdown(wait=False, cancel_futures=True)
        self._settle(cell, task, outcome)
        self.bar.update(self.done, 0, len(self.failed))
