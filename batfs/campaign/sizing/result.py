"""What ``batfs size`` ends in: the answer and its interval, the curve, the knee; as files and an object."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batfs import __version__, files
from batfs.campaign.check import check_plan
from batfs.campaign.engine import Failure
from batfs.campaign.inputs import code_digest
from batfs.campaign.plan import Plan
from batfs.campaign.sizing.asked import Cost, Knob, Target, distinct, figure_named, prices
from batfs.campaign.sizing.measure import Bench, Measured
from batfs.campaign.sizing.search import Answer, Span, cheapest, coarse, knee
from batfs.campaign.store import to_json
from batfs.errors import InputError
from batfs.report.extras import pd
from batfs.report.format import number
from batfs.report.latex import latex_table
from batfs.report.statistics import Metric
from batfs.report.tables import metric_named, with_ends

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LOST = ("refused_jobs", "unsuccessful_jobs")


@dataclass(eq=False)
class Sizing:
    """Sizes of a machine's part and what they do. Times in seconds, sizes in bytes.

    ``measured``: every size that was run, from the smallest. ``answer``: the cheapest that meets the targets,
    if one does. ``made``: runs that were made now, of ``every`` in the full grid with every seed.
    """

    knobs: Sequence[Knob]
    targets: Sequence[Target]
    figure: Metric
    measured: list[Measured]
    answer: Answer
    price: Sequence[float]
    priced: bool
    seeds: int
    made: int
    every: int
    about: Mapping[str, Any] = field(default_factory=dict)
    directory: Path | None = None

    def cost(self, values: Sequence[float]) -> float:
        """What such a size costs: of prices, or without any its bytes."""
        return math.fsum(price * value for price, value in zip(self.price, values, strict=True))

    @property
    def best(self) -> Measured | None:
        """The cheapest size that meets the targets."""
        return next((m for m in self.measured if m.place == self.answer.place), None)

    @property
    def failures(self) -> list[Failure]:
        """Runs that couldn't be done."""
        return [failure for one in self.measured for failure in one.failures]

    @cached_property
    def knee(self) -> Measured | None:
        """Of one thing that is varied: the size beyond which more helps less than in proportion, among those
        that refuse no jobs which the largest doesn't."""
        if len(self.knobs) > 1:
            return None
        known = [m for m in self.measured if not m.refuses and m.figures]
        known = [m for m in known if math.isfinite(m.interval(self.figure.name).mean)]
        sign = -self.figure.better or 1
        values = [sign * m.interval(self.figure.name).mean for m in known]
        found = knee([m.values[0] for m in known], values)
        return None if found is None else known[found]

    @property
    def figures(self) -> list[Metric]:
        """Those that the tables show."""
        names = [t.metric.name for t in self.targets] + [self.figure.name]
        return [metric_named(name) for name in dict.fromkeys(names) if name not in _LOST]

    @cached_property
    def table(self) -> pd.DataFrame:
        """A row per size that was run: what is varied, cost, runs, mean and interval of each figure, jobs
        refused and failed or killed a run, runs that failed, and whether it meets the targets."""
        rows = []
        for one in self.measured:
            row: dict[str, Any] = self._named(one)
            row |= {"cost": self.cost(one.values)} if self.priced else {}
            row |= {"runs": len(one.figures), "failed_runs": len(one.failures)}
            for metric in [*self.figures, *(metric_named(name) for name in _LOST)]:
                found = one.interval(metric.name)
                row[metric.name] = found.mean
                if metric.name not in _LOST:
                    row[f"{metric.name}_low"], row[f"{metric.name}_high"] = found.low, found.high
            row["refuses"] = one.refuses
            if self.targets:
                row["meets"] = one.meets
                row["answer"] = one.place == self.answer.place
            rows.append(row)
        return pd.DataFrame(rows)

    def text_rows(self) -> tuple[list[str], list[list[str]]]:
        """Header and rows of the same for people."""
        header = [knob.target for knob in self.knobs]
        header += [*(["cost"] if self.priced else []), *(m.title for m in self.figures)]
        header += ["refused", "failed or killed", "runs"] + (["target"] if self.targets else [])
        rows = []
        for one in self.measured:
            row = [knob.text(value) for knob, value in zip(self.knobs, one.values, strict=True)]
            row += [number(self.cost(one.values))] if self.priced else []
            row += [with_ends(metric, one.interval(metric.name)) for metric in self.figures]
            row += [number(one.interval(name).mean) for name in _LOST]
            row.append(str(len(one.figures)) + (f", {len(one.failures)} failed" if one.failures else ""))
            if self.targets:
                word = "refuses jobs" if one.refuses else "met" if one.meets else "missed"
                row.append(f"{word} <" if one.place == self.answer.place else word)
            rows.append(row)
        return header, rows

    def span_text(self, axis: int) -> str:
        """The 95 % interval of the answer's size in one thing, the others as they are in the answer."""
        knob, span = self.knobs[axis], self.answer.spans[axis]
        least, most = (knob.text(knob.values[k]) for k in (0, -1))
        low = f"under {least}" if span.low is None else knob.text(knob.values[span.low])
        high = f"over {most}" if span.high is None else knob.text(knob.values[span.high])
        return f"{low} to {high}"

    def sentences(self) -> list[str]:
        """What was found, for people."""
        said = []
        wanted = " and ".join(str(target) for target in self.targets)
        best = self.best
        if best is not None:
            what = self._values(best)
            of = f"the cheapest of {self._counts()}" if self.priced else f"the smallest of {self._counts()}"
            cost = f", at a cost of {number(self.cost(best.values))}" if self.priced else ""
            said.append(f"{wanted}: {what} is enough{cost}, {of}.")
            said += self._sureness(best)
        elif self.targets:
            top = self.measured[-1]
            found = "; ".join(
                f"{t.metric.title} {with_ends(t.metric, top.interval(t.metric.name))}" for t in self.targets
            )
            said.append(f"{wanted} isn't met even with {self._values(top)} ({found}).")
        if self.knee is not None:
            value = with_ends(self.figure, self.knee.interval(self.figure.name))
            said.append(
                f"The knee is at about {self._values(self.knee)} ({self.figure.title} {value}): what is "
                "added beyond it helps less than what was added before."
            )
        said += self._lost()
        searched = "by halving" if len(self.knobs) == 1 else "along the border of what meets the target"
        if self.targets:
            said.append(
                f"Searched {searched}, with the same jobs at every size: {self._total()} of {self.every} "
                "runs of the full grid. Taken for granted: more doesn't make it worse, but for noise."
            )
        return said

    def _total(self) -> int:
        return sum(len(m.figures) + len(m.failures) for m in self.measured)

    def _values(self, one: Measured) -> str:
        return " and ".join(
            f"{knob.target} {knob.text(value)}" for knob, value in zip(self.knobs, one.values, strict=True)
        )

    def _named(self, one: Measured) -> dict[str, float]:
        return dict(zip((knob.target for knob in self.knobs), one.values, strict=True))

    def _counts(self) -> str:
        ranges = (
            f"{len(k.values)} sizes from {k.text(k.values[0])} to {k.text(k.values[-1])}" for k in self.knobs
        )
        return " by ".join(ranges)

    def _sureness(self, best: Measured) -> list[str]:
        one = all(best.interval(t.metric.name).n < 2 for t in self.targets)
        if one:
            return [
                "That is exact for this workload: the seed changes nothing here. For workloads like it: "
                "--resample."
            ]
        if len(best.figures) < 3:
            return ["There is no interval of fewer than three runs (--seeds)."]
        said = [
            f"95 % interval of that: {knob.target} {self.span_text(axis)}"
            + (", the other as it is" if len(self.knobs) > 1 else "")
            + "."
            for axis, knob in enumerate(self.knobs)
        ]
        values = "; ".join(
            f"{t.metric.title} {with_ends(t.metric, best.interval(t.metric.name))}" for t in self.targets
        )
        return [*said, f"There: {values}."]

    def _lost(self) -> list[str]:
        refusing = [m for m in self.measured if m.refuses]
        said = []
        if refusing:
            worst, last = refusing[0], refusing[-1]
            where = self._values(worst) if worst is last else f"{self._values(worst)} to {self._values(last)}"
            most = max(m.refused for m in refusing)
            said.append(
                f"Jobs are refused at {where}, up to {number(most)} a run, which the largest size can hold: "
                "means there are of the others, and such a size isn't taken for an answer."
            )
        top = self.measured[-1]
        if top.figures and top.refused:
            said.append(f"Even the largest size refuses {number(top.refused)} jobs a run; no mean has them.")
        if self.failures:
            said.append(
                f"{len(self.failures)} runs failed; a size with one can't be the answer. The first: "
                f"{self.failures[0].error}"
            )
        return said

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for programs."""
        best = self.best
        spans = {
            knob.target: [None if k is None else knob.values[k] for k in (span.low, span.high)]
            for knob, span in zip(self.knobs, self.answer.spans, strict=False)
        }
        rows = self.table.astype(object).where(self.table.notna(), None).to_dict("records")
        return {
            "targets": [target.text for target in self.targets],
            "answer": None if best is None else self._named(best),
            "cost": None if best is None or not self.priced else self.cost(best.values),
            "interval": spans if best is not None and len(best.figures) > 2 else None,
            "knee": None if self.knee is None else self.knee.values[0],
            "figure": self.figure.name,
            "runs": self._total(),
            "runs_of_the_full_grid": self.every,
            "sizes": rows,
            "conclusions": self.sentences(),
        }

    def draw(self) -> Figure:
        """The curve with its intervals, the target, the knee and the answer (matplotlib)."""
        from batfs.report.sizes import draw_curve, draw_plane

        return draw_curve(self) if len(self.knobs) == 1 else draw_plane(self)

    def write(self, directory: Path, formats: Sequence[str] = ("png", "svg", "pdf")) -> list[Path]:
        """sizes.csv, sizes.tex, size.json, conclusions.txt, provenance.json and the figure."""
        from batfs.report.picture import save_figure

        header, rows = self.text_rows()
        paths = [
            directory / name
            for name in ("sizes.csv", "sizes.tex", "size.json", "conclusions.txt", "provenance.json")
        ]
        files.write_text(paths[0], self.table.to_csv(index=False, lineterminator="\n"))
        files.write_text(paths[1], latex_table(header, rows, "means over runs, 95 % intervals in brackets"))
        files.write_text(paths[2], to_json(self.as_dict()))
        files.write_text(paths[3], "".join(f"{line}\n" for line in self.sentences()))
        files.write_text(paths[4], to_json({"batfs": __version__, "code": code_digest(), **self.about}))
        return paths + (save_figure(self.draw(), directory / "sizes", formats) if formats else [])

    def _repr_html_(self) -> str:
        header, rows = self.text_rows()
        head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
        body = "".join("<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in row) + "</tr>" for row in rows)
        said = "".join(f"<li>{html.escape(text)}</li>" for text in self.sentences())
        return f"<table><tr>{head}</tr>{body}</table><ul>{said}</ul>"

    def __repr__(self) -> str:
        best = self.best
        told = "no answer" if best is None else self._values(best)
        return f"<Sizing: {told}; {len(self.measured)} sizes, {self._total()} runs>"


def find_size(
    plan: Plan,
    knobs: Sequence[Knob],
    targets: Sequence[Target],
    directory: Path,
    *,
    costs: Sequence[Cost] = (),
    figure: str | None = None,
    executor: str | Executor | None = None,
    jobs: int | None = None,
    progress: bool | None = None,
    say: Callable[[str], None] = lambda sentence: None,
) -> Sizing:
    """Search the cheapest size in ``directory``, which keeps every run; see :mod:`..search` for how.
    InputError for what no run could do."""
    if not knobs:
        raise InputError("what is to be sized?", hint="bb=100GB..6TB")
    distinct(knobs)
    if len(plan.labels()) > 1 or plan.null:
        raise InputError("one setting can be sized at a time", hint="one --policy, one --queue")
    if len(plan.platforms) > 1:
        raise InputError("one platform can be sized at a time")
    if len(knobs) > 1 and not targets:
        raise InputError("two things are sized for a target", hint="--target 'wait.p95<1h'")
    price = prices(knobs, costs)
    shown = targets[0].metric if targets and figure is None else figure_named(figure or "wait.mean")
    counts = [len(knob.values) for knob in knobs]

    def cost(place: Sequence[int]) -> float:
        values = (knob.values[k] for knob, k in zip(knobs, place, strict=True))
        return math.fsum(one * value for one, value in zip(price, values, strict=True))

    said = check_plan(plan).said
    with Bench(
        plan, knobs, targets, directory, executor=executor, jobs=jobs, progress=progress, say=say
    ) as bench:
        for sentence in said:
            say(sentence)
        bench.begin()
        answer = Answer(None)
        if targets:
            answer = cheapest(counts, bench.judge, cost)
        if len(knobs) == 1:
            _fill(bench, counts[0], shown)
        measured = sorted(bench.known.values(), key=lambda m: m.place)
    return Sizing(
        knobs,
        targets,
        shown,
        measured,
        answer,
        price,
        bool(costs),
        len(plan.seeds),
        bench.made,
        math.prod(counts) * len(plan.seeds) * len(plan.contexts()),
        {"plan": plan.describe(), "sizes": {k.target: list(k.values) for k in knobs}},
        directory,
    )


def _fill(bench: Bench, count: int, shown: Metric) -> None:
    """The curve from end to end and, without a target, some more sizes where it bends."""
    for k in coarse(count):
        bench.judge((k,))
    if bench.targets:
        return
    for _ in range(2):
        known = sorted(bench.known.values(), key=lambda m: m.place)
        good = [m for m in known if m.figures and not m.refuses]
        sign = -shown.better or 1
        values = [sign * m.interval(shown.name).mean for m in good]
        at = knee([m.values[0] for m in good], values)
        if at is None:
            return
        places = [m.place[0] for m in good]
        for k, other in ((at - 1, at), (at, at + 1)):
            if k >= 0 and other < len(places):
                bench.judge(((places[k] + places[other]) // 2,))


__all__ = ["Answer", "Sizing", "Span", "find_size"]
