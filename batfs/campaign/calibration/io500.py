"""Machines from public IO500 submissions: parameters that give back the measured figures, and predictions.

A submission says how quickly N nodes wrote and read in IOR's two ways: *easy*, a file per process in large
sequential requests, and *hard*, one shared file in interleaved requests of 47,008 bytes. Per direction two
figures give two parameters. The targets' bandwidth B is the larger figure (hard beats easy in a few systems);
a figure b < B means a half-performance length h = s (B/b - 1) for its requests of s bytes
(see ``batfs.filesystems.access``). The model has fewer unknowns than a machine, and what a submission
doesn't say is assumed and said: see :data:`ASSUMED`.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from batfs.campaign.calibration import need_scipy
from batfs.campaign.calibration.ior import GIB
from batfs.campaign.calibration.machine import machine_with
from batfs.errors import InputError, nearest
from batfs.filesystems.access import Client
from batfs.platform.spec import Spec
from batfs.texts import read_text
from batfs.units import parse_size
from batfs.workload.access import KINDS as ENTRIES
from batfs.workload.access import Way
from batfs.workload.io import RequestedIo, requested_io
from batfs.workload.model import Job, ParallelHomogeneous, Workload

FIGURES: Final = ("ior-easy-write", "ior-hard-write", "ior-easy-read", "ior-hard-read")
HARD_SIZE: Final[int] = ENTRIES["ior_hard"]["request_size"]
EASY_SIZE: Final[int] = ENTRIES["ior_easy"]["request_size"]
NODES: Final = 10  # IO500's 10-node challenge; for submissions that name no number
MOST_NODES: Final = 100_000
TARGETS: Final = 4
ASSUMED: Final = (
    f"{NODES} nodes where a submission names none, one process a node where it names no tasks, {TARGETS}"
    " targets that share the bandwidth, cables that are no bottleneck, requests of 2 MiB where it doesn't say"
    " those of ior-easy"
)

#: Parts of the names under which file systems are known, by kind. Names of sites' own file systems and of
#: appliances that can hold several kinds are not in it.
KINDS: Final[Mapping[str, Sequence[str]]] = {
    "lustre": ("lustre", "exascaler", "ai400", "ai200", "es400", "es200", "es7990", "es18k", "lgcp"),
    "spectrum scale": ("spectrum", "scale", "gpfs", "ess", "elastic storage", "gs7k", "alpine"),
    "daos": ("daos",),
    "weka": ("weka", "wekaio", "matrix"),
    "beegfs": ("beegfs", "beeond"),
    "ceph": ("ceph", "suse enterprise storage"),
    "nfs": ("nfs", "vast", "qumulo", "netapp", "isilon", "onefs", "flashblade"),
    "panfs": ("panfs",),
    "node-local": ("gekkofs", "burstfs", "unifyfs", "chfs", "ime", "bpfs", "madfs", "superfs", "datawarp"),
}


@dataclass(frozen=True, slots=True)
class Submission:
    """One row: ``figures`` in GiB/s by name, those there are. ``nodes`` 0: not said."""

    name: str
    storage: str
    nodes: int
    processes: int
    easy_size: int
    figures: Mapping[str, float]

    @property
    def kind(self) -> str:
        """By :data:`KINDS`, from the name of the storage; ``unknown`` if none is in it."""
        text = f" {self.storage.lower()} "
        for kind, names in KINDS.items():
            for name in names:
                at = text.find(name)
                # short names begin and end a word: no 'ime' in 'time', no 'ess' in 'access'
                rest = text[at + len(name) :].removeprefix("fs")
                if at >= 0 and (len(name) > 4 or not (text[at - 1] + rest[0]).strip(" -_.,()0123456789")):
                    return kind
        return "unknown"


def read_summary(path: Path) -> list[Submission]:
    """The submissions of a summary in CSV: ``submission`` and a column for each figure.

    InputError for a file that is none, or a number that isn't one, with its line.
    """
    rows = csv.DictReader(io.StringIO(read_text(path).text, newline=""))
    try:
        return _submissions(rows, path)
    except csv.Error as error:
        raise InputError(str(error), file=path, place=f"line {rows.line_num + 1}") from None


def _submissions(rows: csv.DictReader[str], path: Path) -> list[Submission]:
    names = rows.fieldnames or ()
    absent = [name for name in ("submission", *FIGURES) if name not in names]
    if absent:
        raise InputError(f"no column {absent[0]!r}: not a summary of IO500", file=path, place="line 1")
    found = []
    for row in rows:
        try:
            found.append(_submission(row))
        except (InputError, ValueError, TypeError) as error:
            raise InputError(str(error), file=path, place=f"line {rows.line_num}") from None
    return found


def _submission(row: Mapping[str, str | None]) -> Submission:
    name = row["submission"]
    if not name:
        raise InputError("no name of a submission")
    parts = name.split("/")
    figures = {}
    for key in FIGURES:
        value = float(row[key] or 0.0)
        if not 0 <= value < math.inf:
            raise InputError(f"{key} is {row[key]}, expected GiB/s")
        if value:
            figures[key] = value
    nodes, tasks, each = (int(row.get(key) or 0) for key in ("nodes", "tasks", "tasks_per_node"))
    if not nodes and tasks and each:
        nodes = -(-tasks // each)
    if nodes > MOST_NODES:  # a slip of whoever filled in the form
        nodes = 0
    if not each and nodes and tasks:
        each = -(-tasks // nodes)
    size = row.get("easy_transfer") or ""
    return Submission(
        name,
        parts[2] if len(parts) > 2 else name,
        nodes,
        max(1, each),
        parse_size(size) if size else EASY_SIZE,
        figures,
    )


def find(submissions: Sequence[Submission], name: str) -> Submission:
    """The one whose name has ``name`` in it; InputError where that is none, or several."""
    exact = [s for s in submissions if s.name == name]
    found = exact or [s for s in submissions if name.lower() in s.name.lower()]
    if len(found) == 1:
        return found[0]
    if not found:
        close = nearest(name, (s.name for s in submissions))
        raise InputError(f"no submission {name!r}", hint=f"did you mean {close!r}?" if close else None)
    some = ", ".join(repr(s.name) for s in found[:3])
    raise InputError(
        f"{len(found)} submissions have {name!r} in their name: {some}{' ...' if len(found) > 3 else ''}"
    )


# ---- parameters that give the figures back --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Targets:
    """Bytes/s of all targets together, (read, write), and the ``server`` parameters in bytes by name."""

    bandwidths: tuple[float, float]
    server: Mapping[str, float]

    def text(self) -> str:
        """As the option ``server`` of a file system."""
        return " ".join(f"{name}:{value:.6g}B" for name, value in self.server.items() if value)


def calibrate(submission: Submission) -> Targets:
    """The targets that give the four figures. InputError if one of them is missing."""
    missing = [name for name in FIGURES if name not in submission.figures]
    if missing:
        raise InputError(f"{submission.name}: no figure {missing[0]}")
    bandwidths, server = [], {}
    for direction in ("read", "write"):
        easy, hard = (submission.figures[f"ior-{way}-{direction}"] * GIB for way in ("easy", "hard"))
        best = max(easy, hard)
        bandwidths.append(best)
        server[f"{direction}_half"] = Client().size(Way(size=submission.easy_size)) * (best / easy - 1.0)
        server[f"{direction}_random_half"] = HARD_SIZE * (best / hard - 1.0)
    return Targets((bandwidths[0], bandwidths[1]), server)


def machine(submission: Submission) -> Spec:
    """A platform on which IOR's four figures come out as the submission measured them."""
    targets = calibrate(submission)
    nodes = submission.nodes or NODES
    options = f",server={targets.text()}" if targets.text() else ""
    name = submission.name.replace("--", "-")
    said = f"{nodes} nodes{'' if submission.nodes else ' (assumed)'}"
    return machine_with(
        *("scratch", nodes, TARGETS, targets.bandwidths),
        model=f"pfs:stripe_count=0{options}",
        size="1EB",
        comment=f"Like the IO500 submission {name}: {said}, {TARGETS} targets (assumed)",
    )


def phases(submission: Submission, seconds: float = 300.0) -> Workload:
    """IOR's four phases one after the other, each with the bytes that its figure moves in ``seconds``."""
    nodes = submission.nodes or NODES
    jobs, profiles = [], {}
    for place, figure in enumerate(FIGURES):
        # whole stripes on each target from each node, or a small figure would be off by those left over
        unit = nodes * TARGETS << 20
        size = max(1, round(submission.figures[figure] * GIB * seconds / unit)) * unit
        direction = "reads" if figure.endswith("read") else "writes"
        easy = "easy" in figure
        entry: dict[str, Any] = {
            "filesystem": "scratch",
            direction: size,
            "kind": "ior_easy" if easy else "ior_hard",
        }
        entry["processes_per_node"] = submission.processes
        if easy:
            entry["request_size"] = submission.easy_size
        totals = {f"io_{direction}": size}
        profiles[figure] = ParallelHomogeneous(0, 0, {**totals, "io": [entry]})
        jobs.append(Job(f"io500!{figure}", 1000.0 * seconds * place, nodes, figure))
    return Workload("io500", nodes, jobs, profiles)


def rehearse(submission: Submission, folder: Path) -> dict[str, float]:
    """GiB/s of the four phases, simulated on :func:`machine`; ``folder`` is for its files."""
    from batfs.decision.experiment import Experiment
    from batfs.decision.run import run
    from batfs.files import write_text
    from batfs.platform.generate import generate
    from batfs.scheduling.config import Layer, Settings
    from batfs.simulator import JobResult
    from batfs.workload import write_workload

    platform, workload = folder / "machine.xml", folder / "phases.json"
    write_text(platform, generate(machine(submission)))
    asked = phases(submission)
    write_workload(workload, asked)
    found: dict[str, float] = {}

    def ended(job: JobResult) -> None:
        figure = job.job_id.partition("!")[2]
        if job.rejected:
            raise InputError(f"{submission.name}: {figure} can't run: {job.metadata}")
        part: RequestedIo = requested_io(asked.profiles[figure])[0]
        found[figure] = (part.reads + part.writes) / GIB / job.runtime

    run(
        Experiment(platform, [workload]),
        Settings(flags=Layer("IO500", {"queue": "fcfs"})),
        None,
        on_job=ended,
    )
    return found


# ---- hard figures from easy ones --------------------------------------------------------------------------

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Prediction:
    """A hard figure in GiB/s with its 90 % interval, made without the system's own."""

    submission: Submission
    direction: str
    measured: float
    predicted: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Errors:
    """Medians of |predicted / measured - 1|, factors being counted both ways (half and twice are both 1):
    of the prediction, of the easy figure itself, of the easy figure over the median ratio of the others; and
    how many of the 90 % intervals cover what was measured."""

    count: int
    predicted: float
    easy: float
    ratio: float
    covered: float


def predict(
    submissions: Sequence[Submission], direction: str, folds: int = 10
) -> tuple[list[Prediction], Errors]:
    """Hard figures from the easy ones, the number of nodes and processes and the kind of file system.

    A linear model of logarithms; a kind's own level is shrunk towards that of all by its number of systems
    (a ridge of one system). Cross-validated: each system is predicted by the others of another *site*, since
    a site's submissions repeat each other; sites are dealt to ``folds`` in the order of their names.
    """
    need_scipy("a prediction with its interval")
    from scipy import stats

    rows = [s for s in submissions if all(f"ior-{way}-{direction}" in s.figures for way in ("easy", "hard"))]
    easy, hard = (np.log([s.figures[f"ior-{way}-{direction}"] for s in rows]) for way in ("easy", "hard"))
    kinds = [s.kind for s in rows]
    sites = {site: k % folds for k, site in enumerate(sorted({_site(s) for s in rows}))}
    fold = np.array([sites[_site(s)] for s in rows])
    columns = _columns(rows, easy, kinds)
    found: list[Prediction] = []
    guesses: list[float] = []
    for k in range(folds):
        there, other = np.flatnonzero(fold == k), np.flatnonzero(fold != k)
        if not len(there):
            continue
        weights, spread, freedom = _fit(columns[other], hard[other])
        level = float(np.median(hard[other] - easy[other]))
        t = float(stats.t.ppf(0.95, freedom))
        for i in there:
            middle = float(columns[i] @ weights)
            guesses.append(abs(math.expm1(abs(easy[i] + level - hard[i]))))
            found.append(
                Prediction(
                    *(rows[i], direction, math.exp(hard[i]), math.exp(middle)),
                    *(math.exp(middle - t * spread), math.exp(middle + t * spread)),
                )
            )
    errors = [math.expm1(abs(math.log(p.predicted / p.measured))) for p in found]
    naive = [math.expm1(abs(float(easy[i] - hard[i]))) for i in range(len(rows))]
    covered = sum(p.low <= p.measured <= p.high for p in found) / len(found)
    middle, easy_alone, by_ratio = (float(np.median(values)) for values in (errors, naive, guesses))
    return found, Errors(len(found), middle, easy_alone, by_ratio, covered)


def _site(submission: Submission) -> str:
    return submission.name.partition("/")[0]


def _columns(rows: Sequence[Submission], easy: Floats, kinds: Sequence[str]) -> Floats:
    levels = sorted(set(kinds))
    nodes = np.log([s.nodes or NODES for s in rows])
    said = np.array([1.0 if s.nodes else 0.0 for s in rows])
    plain = [np.ones(len(rows)), easy, nodes * said, said, np.log([s.processes for s in rows])]
    own = [np.array([1.0 if kind == level else 0.0 for kind in kinds]) for level in levels]
    return np.column_stack([*plain, *own])


def _fit(x: Floats, y: Floats) -> tuple[Floats, float, float]:
    """(weights, standard deviation of what is left, degrees of freedom)."""
    ridge = np.diag([0.0 if k < 5 else 1.0 for k in range(x.shape[1])]) + 1e-9 * np.eye(x.shape[1])
    gram = x.T @ x
    weights = np.linalg.solve(gram + ridge, x.T @ y).astype(np.float64)
    left = (y - x @ weights).astype(np.float64)
    freedom = len(y) - float(np.trace(np.linalg.solve(gram + ridge, gram)))
    return weights, math.sqrt(float(left @ left) / freedom), freedom


def largest_error(measured: Mapping[str, float], simulated: Mapping[str, float]) -> float:
    """The largest |simulated / measured - 1| of the four figures."""
    return max(abs(simulated[figure] / measured[figure] - 1.0) for figure in FIGURES)


def complete(submissions: Iterable[Submission]) -> list[Submission]:
    """Those with all four figures."""
    return [s for s in submissions if all(figure in s.figures for figure in FIGURES)]
