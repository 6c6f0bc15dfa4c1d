"""What a campaign ends in: tables, comparisons, figures; as files and as an object for notebooks."""

from __future__ import annotations

import html
import io
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from batfs import __version__, files, json_text
from batfs.campaign.engine import Failure, Finished
from batfs.campaign.inputs import code_digest
from batfs.campaign.plan import NULL_SUFFIX
from batfs.campaign.store import to_json
from batfs.report.comparisons import Compared, compare_groups, joined, joined_label
from batfs.report.extras import pd, require
from batfs.report.factors import Effect, main_effects
from batfs.report.forest import CELLS, cells, panels
from batfs.report.format import MISSING
from batfs.report.groups import Group
from batfs.report.headline import headline
from batfs.report.latex import latex_table
from batfs.report.reading import read_many
from batfs.report.run import Run
from batfs.report.statistics import THRESHOLD, Metric, all_metrics, job_table, summarize
from batfs.report.tables import metric_named, with_ends

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
    primary: str | None = None
    # runs that were to be done, by treatment and context; what lacks some is named
    planned: Mapping[tuple[str, str], int] = field(default_factory=dict, repr=False)

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
        """Every treatment against the baseline in every headline figure; over all contexts, too, if there are
        several. Empty where the baseline has no run."""
        if len(self.groups) < 2 or all(self.baseline not in (g.treatment, g.label) for g in self.groups):
            return []
        return compare_groups(self.groups, self.baseline, primary=self.primary)

    @cached_property
    def effects(self) -> list[Effect]:
        """What each factor does by itself, where several things were varied."""
        keys = [key for key in dict.fromkeys(k for row in self.rows for k in row) if key.startswith("set_")]
        levels = [
            {key.removeprefix("set_"): str(row.get(key, "")) for key in keys}
            for row in self.rows
            if not str(row["treatment"]).endswith(NULL_SUFFIX)
        ]
        runs = [
            run
            for row, run in zip(self.rows, self.results, strict=True)
            if not str(row["treatment"]).endswith(NULL_SUFFIX)
        ]
        mine = [
            one for one, run in zip(levels, runs, strict=True) if run.provenance["treatment"] == self.baseline
        ]
        return main_effects(runs, levels, mine[0], threshold=self.threshold) if mine else []

    @property
    def uncompared(self) -> list[tuple[str, str]]:
        """The settings (treatment, context) that were to be compared and can't be: they or the baseline
        have no run there."""
        done = {(group.treatment, group.context) for group in self.groups}
        return [
            (label, context)
            for label, context in self.planned
            if label != self.baseline and not {(label, context), (self.baseline, context)} <= done
        ]

    def gaps(self) -> list[str]:
        """A sentence for every setting and context that lacks runs, and for every one that can't be
        compared."""
        failed: dict[tuple[str, str], list[Failure]] = {}
        for failure in self.failures:
            failed.setdefault((failure.label, failure.context), []).append(failure)
        found = []
        for key, several in failed.items():
            count = self.planned.get(key, len(several))
            why = several[0].error.splitlines()[0] if several[0].error else "no message"
            runs = f"{len(several)} of {count} runs" if len(several) < count else f"all {count} runs"
            lost = "their pairs are missing" if len(several) < count else "it has no run"
            if key[0] == self.baseline:
                lost += ", and it is the baseline"
            found.append(f"{_named(*key)}: {runs} failed, so {lost} ({why}).")
        for label, context in self.uncompared:
            lacking = [
                _named(name, context)
                for name in (label, self.baseline)
                if all((group.treatment, group.context) != (name, context) for group in self.groups)
            ]
            found.append(
                f"{_named(label, context)} can't be compared to {self.baseline}: {' and '.join(lacking)} "
                f"{'has' if len(lacking) == 1 else 'have'} no run."
            )
        return found

    @cached_property
    def summary(self) -> pd.DataFrame:
        """A row per treatment and figure: mean over the runs, its 95 % interval, and the difference to the
        baseline with interval, effect size, adjusted p, and what can be concluded. Every column has its type
        whatever was compared; the rows over several contexts have the context ``*``."""
        found = {(row.label, row.metric.name): row for row in self.compared}
        over = {row.label for row in self.compared} - {group.label for group in self.groups}
        groups = [(group, group.context) for group in self.groups]
        for label in dict.fromkeys(row.label for row in self.compared if row.label in over):
            parts = [
                g for g in self.groups if joined_label(g.treatment, self._contexts(g.treatment)) == label
            ]
            groups.append((joined(parts), "*"))
        rows = [
            _summary_row(group, context, metric, found.get((group.label, name)))
            for group, context in groups
            for name, metric in all_metrics().items()
        ]
        return pd.DataFrame(
            {
                name: pd.Series([row[k] for row in rows], dtype=kind)
                for k, (name, kind) in enumerate(_SUMMARY.items())
            }
        )

    def _contexts(self, treatment: str) -> int:
        """Over how many contexts a treatment is compared: those in which the baseline has runs as well."""
        with_base = {g.context for g in self.groups if self.baseline in (g.treatment, g.label)}
        return sum(g.treatment == treatment and g.context in with_base for g in self.groups)

    def conclusions(self, *, all_of_them: bool = False) -> list[str]:
        """A sentence per comparison; only those that found a difference unless all are wanted."""
        return [row.sentence for row in self.compared if all_of_them or row.found]

    def figures(self) -> Figures:
        """The report's figures of all runs, one method each (matplotlib)."""
        self._drawn.differences = panels(self.compared, self.effects)
        return self._drawn

    def report(self, path: str | Path, *, title: str = "batfs comparison") -> Path:
        """Write the HTML report of all runs to ``path``."""
        from batfs.report.page import write_figures_report

        notes = [SCOPES["drawn" if self.resampled else "same"]]
        if self.failures:
            notes += [failed_sentence(self.failures), *self.gaps()]
        return write_figures_report(
            self.figures(), path, title=title, baseline=self.baseline, notes=notes, compared=self.compared
        )

    def table(self, names: Sequence[str] | None = None) -> tuple[list[str], list[list[str]]]:
        """Header and rows of treatment x figure: mean and interval as text."""
        if names is None:
            names = headline(self.results, self.threshold)
        chosen = [metric_named(n) for n in names if any(g.interval(n).n for g in self.groups)]
        rows = []
        for metric in chosen:
            cells = []
            for group in self.groups:
                interval = group.interval(metric.name)
                cells.append(with_ends(metric, interval))
            rows.append([metric.title, *cells])
        header = ["figure", *(group.label for group in self.groups)]
        done = {(group.treatment, group.context): len(group.runs) for group in self.groups}
        absent = [key for key in self.planned if key not in done]
        header += [_named(*key) for key in absent]
        rows = [[*row, *([MISSING] * len(absent))] for row in rows]
        if self.failures:
            counts = [
                (done.get(key, 0), self.planned[key]) for key in [*done, *absent] if key in self.planned
            ]
            if len(counts) == len(header) - 1:
                rows.append(["runs that succeeded", *(f"{n} of {of}" for n, of in counts)])
        return header, rows

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
        """Write runs.parquet, jobs.parquet, summary.csv, differences.csv, both as LaTeX, and conclusions.txt;
        the same bytes for the same runs."""
        paths = [
            directory / name for name in ("runs.parquet", "jobs.parquet", "summary.csv", "conclusions.txt")
        ]
        files.write_bytes(paths[0], parquet(self.runs))
        files.write_bytes(paths[1], parquet(self.jobs))
        files.write_text(paths[2], self.summary.to_csv(index=False, lineterminator="\n"))
        said = [*self.gaps(), *self.conclusions(all_of_them=True)]
        files.write_text(paths[3], "".join(f"{line}\n" for line in said))
        paths += [directory / name for name in ("summary.tex", "differences.csv", "differences.tex")]
        files.write_text(paths[4], latex_table(*self.table(), "means over runs, 95 % intervals in brackets"))
        files.write_text(paths[5], self.differences.to_csv(index=False, lineterminator="\n"))
        files.write_text(
            paths[6], latex_table(*self._difference_texts(), "paired differences to the baseline")
        )
        return paths

    @cached_property
    def differences(self) -> pd.DataFrame:
        """A row per comparison and figure, of settings and (where several things were varied) of each factor
        by itself: the paired difference, interval, effect size, adjusted p and what is concluded."""
        rows = [
            (row.label, row.baseline, row.metric, row.difference, row.verdict) for row in self.compared
        ] + [
            (f"{e.factor}={e.level}", f"{e.factor}={e.base}", e.metric, e.difference, "")
            for e in self.effects
        ]
        return pd.DataFrame(
            [
                {
                    "setting": label,
                    "baseline": baseline,
                    "figure": metric.name,
                    "unit": metric.unit,
                    "pairs": d.n,
                    "difference": d.mean,
                    "low": d.low,
                    "high": d.high,
                    "relative": d.relative,
                    "effect_size": d.effect,
                    "p_adjusted": math.nan if d.descriptive else d.adjusted,
                    "verdict": verdict or ("described" if d.descriptive else "none"),
                }
                for label, baseline, metric, d, verdict in rows
            ]
        )

    def _difference_texts(self) -> tuple[list[str], list[list[str]]]:
        rows = [
            [row.label, panel.metric.title, *cells(panel.metric, row)]
            for panel in panels(self.compared, self.effects)
            for row in panel.rows
        ]
        return ["setting", "figure", *CELLS], rows


_SUMMARY: Final = {
    "context": "str",
    "treatment": "str",
    "figure": "str",
    "unit": "str",
    "runs": "int64",
    "mean": "float64",
    "low": "float64",
    "high": "float64",
    "difference": "float64",
    "difference_low": "float64",
    "difference_high": "float64",
    "relative": "float64",
    "effect_size": "float64",
    "lower_in": "float64",
    "p": "float64",
    "p_adjusted": "float64",
    "verdict": "str",
    "conclusion": "str",
    "independent_runs": "int64",
    "least": "float64",
    "most": "float64",
    "pairs": "int64",
    "pairs_needed": "int64",
    "comparisons": "int64",
    "detectable": "float64",
}


def _summary_row(group: Group, context: str, metric: Metric, other: Compared | None) -> list[Any]:
    """The values of :data:`_SUMMARY`."""
    interval = group.interval(metric.name)
    runs = int(np.count_nonzero(~np.isnan(group.figures(metric.name))))
    row: list[Any] = [context, group.treatment, metric.name, metric.unit, runs]
    row += [interval.mean, interval.low, interval.high]
    ends = [interval.n, interval.least, interval.most]
    if other is None:
        return [*row, *([math.nan] * 8), "", "", *ends, 0, 0, 0, math.nan]
    d = other.difference
    row += [d.mean, d.low, d.high, d.relative, d.effect, d.lower, d.p, d.adjusted]
    verdict = other.verdict or ("described" if d.descriptive else "none")
    return [*row, verdict, other.sentence, *ends, d.n, d.needed, d.family, d.seen]


SCOPES = {
    "same": "Every seed runs the same jobs: what is concluded holds for these workloads. Whether it holds "
    "for others like them is what --resample asks.",
    "drawn": "Every seed draws a workload of its own from the one given, the same for every setting.",
}


def _named(label: str, context: str) -> str:
    return f"{label} @ {context}" if context else label


def failed_sentence(failures: Sequence[Failure]) -> str:
    return f"{len(failures)} runs failed and are missing from every figure here; failures.csv names them."


def parquet(table: pd.DataFrame) -> bytes:
    """``table`` as a Parquet file."""
    pa, pq = require("pyarrow"), require("pyarrow.parquet")
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pandas(table, preserve_index=False), stream, compression="zstd")
    return stream.getvalue()


def collect(finished: Finished, processes: int = 1) -> Comparison:
    """The comparison that a finished campaign is, its runs read back from its directory."""
    prefixes = [finished.store.prefix(task) for _, task in finished.runs]
    runs, rows = read_many(prefixes, finished.plan.threshold, processes), []
    for (cell, task), run in zip(finished.runs, runs, strict=True):
        run.label = str(task.about["label"])
        row = {
            "run": task.folder,
            "context": cell.context,
            "treatment": cell.label,
            "seed": cell.seed,
            "policy_seed": cell.policy_seed,
            "platform": cell.platform,
            "workload": cell.workload,
            **{f"set_{key}": str(value) for key, value in cell.treatment.items()},
        }
        rows.append(json_text.within(row))  # tables hold text, and a path need not be any
    plan = finished.plan
    return Comparison(
        runs,
        plan.baseline_label(),
        plan.threshold,
        finished.failures,
        finished.store.root,
        plan.resample != "none",
        rows,
        plan.primary,
        Counter((cell.label, cell.context) for cell in plan.cells()),
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
