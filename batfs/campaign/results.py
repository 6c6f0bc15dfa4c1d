"""What a campaign ends in: tables, comparisons, figures; as files and as an object for notebooks."""

from __future__ import annotations

import html
import io
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property, partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batfs import __version__, files
from batfs.campaign.engine import Failure, Finished
from batfs.campaign.inputs import code_digest
from batfs.campaign.store import to_json
from batfs.report.comparisons import Compared, compare_groups
from batfs.report.extras import pd, require
from batfs.report.groups import Group
from batfs.report.run import Run, read_run
from batfs.report.statistics import THRESHOLD, all_metrics, job_table, summarize
from batfs.report.tables import HEADLINE, metric_named, shown

if TYPE_CHECKING:
    from batfs.report.figures import Figures


@dataclass(eq=False)
class Comparison:
    """The runs of a comparison and what they show. Times in seconds, sizes in bytes.

    ``failures`` are the runs that failed, each with the command that repeats it; nothing else holds them.
    """

    results: list[Run]
    baseline: str
    threshold: float = THRESHOLD
    failures: Sequence[Failure] = ()
    directory: Path | None = None
    resampled: bool = False
    rows: list[dict[str, Any]] = field(default_factory=list, repr=False)

    @cached_property
    def _drawn(self) -> Figures:
        from batfs.report.figures import Figures

        return Figures(self.results, self.threshold)

    @property
    def groups(self) -> list[Group]:
        """The runs by treatment and context."""
        return self._drawn.groups

    @cached_property
    def runs(self) -> pd.DataFrame:
        """A row per run: its settings, its seed, and every figure of ``batfs.report.statistics``."""
        rows = [
            {**row, **summarize(run, self.threshold)}
            for row, run in zip(self.rows, self.results, strict=True)
        ]
        return pd.DataFrame(rows)

    @cached_property
    def jobs(self) -> pd.DataFrame:
        """A row per job and run: ``job_table`` with the run's settings before it."""
        return self._stacked((run, job_table(run, self.threshold)) for run in self.results)

    @cached_property
    def io(self) -> pd.DataFrame:
        """A row per job, file system and run."""
        return self._stacked((run, run.io) for run in self.results)

    @cached_property
    def storage(self) -> pd.DataFrame:
        """A row per storage and run: use of capacity, bytes, activity."""
        from batfs.report.statistics import storage_table

        return self._stacked((run, storage_table(run)) for run in self.results)

    def _stacked(self, parts: Iterable[tuple[Run, pd.DataFrame]]) -> pd.DataFrame:
        names = ("run", "context", "treatment", "seed")
        tables = []
        for row, (_, table) in zip(self.rows, parts, strict=True):
            before = pd.DataFrame({name: [row[name]] * len(table) for name in names}, index=table.index)
            tables.append(pd.concat([before, table], axis=1))
        return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(names))

    @cached_property
    def compared(self) -> list[Compared]:
        """Every treatment against the baseline in every headline figure."""
        return compare_groups(self.groups, self.baseline) if len(self.groups) > 1 else []

    @cached_property
    def summary(self) -> pd.DataFrame:
        """A row per treatment and figure: mean over the runs, its 95 % interval, and the difference to the
        baseline with interval, effect size, adjusted p, and what can be concluded."""
        found = {(row.label, row.metric.name): row for row in self.compared}
        rows = []
        for group in self.groups:
            for name, metric in all_metrics().items():
                interval = group.interval(name)
                row: dict[str, Any] = {
                    "context": group.context,
                    "treatment": group.treatment,
                    "figure": name,
                    "unit": metric.unit,
                    "runs": interval.n,
                    "mean": interval.mean,
                    "low": interval.low,
                    "high": interval.high,
                }
                other = found.get((group.label, name))
                if other is not None:
                    d = other.difference
                    row |= {
                        "difference": d.mean,
                        "difference_low": d.low,
                        "difference_high": d.high,
                        "relative": d.relative,
                        "effect_size": d.effect,
                        "lower_in": d.lower,
                        "p": d.p,
                        "p_adjusted": d.adjusted,
                        "verdict": other.verdict or "none",
                        "conclusion": other.sentence,
                    }
                rows.append(row)
        return pd.DataFrame(rows)

    def conclusions(self, *, all_of_them: bool = False) -> list[str]:
        """A sentence per comparison; only those that found a difference unless all are wanted."""
        return [row.sentence for row in self.compared if all_of_them or row.found]

    def figures(self) -> Figures:
        """The report's figures of all runs, one method each (matplotlib)."""
        return self._drawn

    def report(self, path: str | Path, *, title: str = "batfs comparison") -> Path:
        """Write the HTML report of all runs to ``path``."""
        from batfs.report.page import write_figures_report

        notes = [SCOPES["drawn" if self.resampled else "same"]]
        if self.failures:
            notes.append(failed_sentence(self.failures))
        return write_figures_report(self._drawn, path, title=title, baseline=self.baseline, notes=notes)

    def table(self, names: Sequence[str] = HEADLINE) -> tuple[list[str], list[list[str]]]:
        """Header and rows of treatment x figure: mean and interval as text."""
        chosen = [metric_named(n) for n in names if any(g.interval(n).n for g in self.groups)]
        rows = []
        for metric in chosen:
            cells = []
            for group in self.groups:
                interval = group.interval(metric.name)
                text = shown(metric, interval.mean)
                if interval.n > 1 and interval.low != interval.high:
                    text += f" [{shown(metric, interval.low)}, {shown(metric, interval.high)}]"
                cells.append(text)
            rows.append([metric.title, *cells])
        return ["figure", *(group.label for group in self.groups)], rows

    def _repr_html_(self) -> str:
        header, rows = self.table()
        head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
        body = "".join("<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in row) + "</tr>" for row in rows)
        said = "".join(f"<li>{html.escape(text)}</li>" for text in self.conclusions())
        return f"<table><tr>{head}</tr>{body}</table>" + (f"<ul>{said}</ul>" if said else "")

    def __repr__(self) -> str:
        names = ", ".join(group.label for group in self.groups)
        return f"<Comparison of {names}: {len(self.results)} runs, {len(self.failures)} failed>"

    def write(self, directory: Path) -> list[Path]:
        """Write runs.parquet, jobs.parquet, summary.csv and conclusions.txt; the same bytes for the same
        runs.
        """
        paths = [
            directory / name for name in ("runs.parquet", "jobs.parquet", "summary.csv", "conclusions.txt")
        ]
        files.write_bytes(paths[0], parquet(self.runs))
        files.write_bytes(paths[1], parquet(self.jobs))
        files.write_text(paths[2], self.summary.to_csv(index=False, lineterminator="\n"))
        files.write_text(paths[3], "".join(f"{line}\n" for line in self.conclusions(all_of_them=True)))
        return paths


SCOPES = {
    "same": "Every seed runs the same jobs: what is concluded holds for these workloads. Whether it holds "
    "for others like them is what --resample asks.",
    "drawn": "Every seed draws a workload of its own from the one given, the same for every setting.",
}


def failed_sentence(failures: Sequence[Failure]) -> str:
    return f"{len(failures)} runs failed and are missing from every figure here; failures.csv names them."


def parquet(table: pd.DataFrame) -> bytes:
    """``table`` as a Parquet file."""
    pa, pq = require("pyarrow"), require("pyarrow.parquet")
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pandas(table, preserve_index=False), stream, compression="zstd")
    return stream.getvalue()


# so many runs are worth the start of other processes
_MANY = 40


def _analysed(prefix: str, threshold: float) -> Run:
    run = read_run(prefix)
    summarize(run, threshold)  # kept in run.memory
    return run


def _read_back(finished: Finished, processes: int) -> list[Run]:
    prefixes = [finished.store.prefix(task) for _, task in finished.runs]
    read = partial(_analysed, threshold=finished.plan.threshold)
    if processes < 2 or len(prefixes) < _MANY:
        return [read(prefix) for prefix in prefixes]
    with ProcessPoolExecutor(processes, get_context("forkserver")) as pool:
        return list(pool.map(read, prefixes, chunksize=8))


def collect(finished: Finished, processes: int = 1) -> Comparison:
    """The comparison that a finished campaign is, its runs read back from its directory."""
    runs, rows = _read_back(finished, processes), []
    for (cell, task), run in zip(finished.runs, runs, strict=True):
        run.label = str(task.about["label"])
        rows.append(
            {
                "run": task.folder,
                "context": cell.context,
                "treatment": cell.label,
                "seed": cell.seed,
                "policy_seed": cell.policy_seed,
                "platform": cell.platform,
                "workload": cell.workload,
                **{f"set_{key}": str(value) for key, value in cell.treatment.items()},
            }
        )
    plan = finished.plan
    return Comparison(
        runs,
        plan.baseline_label(),
        plan.threshold,
        finished.failures,
        finished.store.root,
        plan.resample != "none",
        rows,
    )


def write_campaign(finished: Finished, comparison: Comparison) -> None:
    """The campaign's tables, provenance and failures into its directory."""
    root = finished.store.root
    if comparison.results:
        comparison.write(root)
    document = {
        "batfs": __version__,
        "code": code_digest(),
        "plan": finished.plan.describe(),
        "inputs": {
            Path(item.path).name: {"name": item.name, "sha256": item.sha256} for item in finished.inputs
        },
        "runs": [task.folder for _, task in finished.runs],
        "failed": len(finished.failures),
    }
    files.write_text(root / "provenance.json", to_json(document))
    path = root / "failures.csv"
    if finished.failures:
        table = pd.DataFrame(
            [
                {
                    "treatment": f.label,
                    "context": f.context,
                    "seed": f.seed,
                    "error": f.error,
                    "command": f.command,
                }
                for f in finished.failures
            ]
        )
        files.write_text(path, table.to_csv(index=False, lineterminator="\n"))
    else:
        path.unlink(missing_ok=True)
