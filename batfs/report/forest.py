"""Paired differences with their intervals, a row for each comparison, a panel for each figure."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from batfs.report import palette
from batfs.report.axes import grid, rows_of
from batfs.report.comparisons import Compared
from batfs.report.factors import Effect
from batfs.report.format import MISSING, number, quantity, together, unit_of
from batfs.report.inference import Difference
from batfs.report.picture import styled
from batfs.report.statistics import Metric

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison in one figure."""

    label: str
    difference: Difference
    verdict: str
    sentence: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """A figure and its comparisons, those of settings or those of single factors."""

    metric: Metric
    rows: tuple[Row, ...]
    what: str = ""

    @property
    def title(self) -> str:
        return self.metric.title + (f" ({self.what})" if self.what else "")

    @property
    def svg(self) -> str:
        return svg(self)


def panels(compared: Sequence[Compared], effects: Sequence[Effect] = ()) -> list[Panel]:
    """The figures in which something varies, in their order: settings against the baseline, then factors."""
    found: dict[tuple[str, str], list[Row]] = {}
    metrics: dict[str, Metric] = {}
    for one in compared:
        metrics[one.metric.name] = one.metric
        row = Row(one.label, one.difference, one.verdict, one.sentence)
        found.setdefault((f"against {one.baseline}", one.metric.name), []).append(row)
    for effect in effects:
        metrics[effect.metric.name] = effect.metric
        label = f"{effect.factor}: {effect.level}"
        found.setdefault(("by factor", effect.metric.name), []).append(Row(label, effect.difference, ""))
    joined: dict[tuple[str, str], list[Row]] = {}
    for (what, name), rows in found.items():  # baselines of several contexts are one panel
        joined.setdefault(("by factor" if what == "by factor" else "", name), []).extend(rows)
    return [
        Panel(metrics[name], tuple(rows), what)
        for (what, name), rows in joined.items()
        if any(row.difference.n and not row.difference.equal for row in rows)
    ]


def cells(metric: Metric, row: Row) -> list[str]:
    """Difference, interval, share, effect size, pairs and what is concluded of it, as texts."""
    d = row.difference
    unit = "percentage points" if metric.unit == "%" else metric.unit
    if not d.n:
        return [MISSING] * 5 + ["0", ""]
    if math.isfinite(d.low):
        (mean, low, high), name = together((d.mean, d.low, d.high), unit)
        shown, interval = f"{mean} {name}".strip(), f"{low} to {high}"
    else:
        shown, interval = quantity(d.mean, unit), MISSING
    share = MISSING if math.isnan(d.relative) else f"{100 * d.relative:+.1f} %"
    effect = MISSING if not math.isfinite(d.effect) else number(d.effect, 3)
    p = MISSING if math.isnan(d.adjusted) or d.descriptive else f"{d.adjusted:.2g}"
    verdict = (
        "described" if d.descriptive else row.verdict or ("too few pairs" if d.n < d.needed else "not told")
    )
    if d.exact and not row.verdict:
        verdict = "exact here"
    return [shown, interval, share, effect, p, str(d.n), verdict]


CELLS: Final = ("difference", "95 % interval", "share", "effect size", "p adjusted", "pairs", "verdict")


@styled
def draw(found: Sequence[Panel]) -> Figure:
    """The panels as one figure: points, intervals, effect sizes; filled where a difference is established."""
    columns = 1 if len(found) < 2 else 2
    lines = -(-max(1, len(found)) // columns)
    most = max((len(panel.rows) for panel in found), default=1)
    figure, places = grid(lines, columns, 5.6 * columns, lines * (1.0 + 0.3 * most))
    beside: list[str] = []
    for place, (axes, panel) in enumerate(zip(places, found, strict=False)):
        known = [row for row in panel.rows if row.difference.n]
        ends = [
            abs(v)
            for r in known
            for v in (r.difference.mean, r.difference.low, r.difference.high)
            if math.isfinite(v)
        ]
        scale, unit = unit_of(max(ends, default=1.0), panel.metric.unit)
        axes.axvline(0, color=palette.FAINT, linewidth=1)
        for k, row in enumerate(known):
            d = row.difference
            colour = palette.CATEGORIES[{"better": 2, "worse": 5}.get(row.verdict, 0)]
            if math.isfinite(d.low):
                axes.plot([d.low / scale, d.high / scale], [k, k], color=colour, linewidth=2, alpha=0.6)
            told = d.called or d.exact
            axes.plot(
                d.mean / scale,
                k,
                "o",
                color=colour,
                markerfacecolor=colour if told else "white",
                markersize=6,
            )
            if math.isfinite(d.effect):
                axes.text(
                    1.01, k, f"d = {number(d.effect, 2)}", transform=axes.get_yaxis_transform(), fontsize=8,
                    ha="left", va="center", color=palette.FAINT,
                )  # fmt: skip
        labels = [row.label for row in known]
        rows_of(axes, labels, named=place % columns == 0 or labels != beside)
        beside = labels
        axes.set_ylim(len(known) - 0.4, -0.6)
        axes.locator_params(axis="x", nbins=6)
        name = "percentage points" if unit == "%" else unit
        axes.set_title(panel.title)
        axes.set_xlabel(f"difference ({name})" if name else "difference")
    for axes in places[len(found) :]:
        axes.set_visible(False)
    return figure


_WIDE: Final = 520.0
_ROW: Final = 24.0
_EFFECT: Final = 58.0


def svg(panel: Panel) -> str:
    """A panel for the page: its colours come from the style sheet, and a reader is told the sentences."""
    known = [row for row in panel.rows if row.difference.n]
    left = min(230.0, 14.0 + 6.8 * max((len(row.label) for row in known), default=0))
    right = _WIDE - _EFFECT
    ends = [0.0]
    for row in known:
        ends += [
            v for v in (row.difference.mean, row.difference.low, row.difference.high) if math.isfinite(v)
        ]
    low, high = min(ends), max(ends)
    wide = (high - low) or 1.0
    low, high = low - 0.04 * wide, high + 0.04 * wide

    def across(value: float) -> float:
        return left + (value - low) / (high - low) * (right - left)

    tall = _ROW * len(known) + 34
    unit = "percentage points" if panel.metric.unit == "%" else panel.metric.unit
    marks = sorted({min(ends), 0.0, max(ends)})
    texts, name = together(marks, unit)
    told = html.escape(" ".join(row.sentence for row in known if row.sentence), quote=True)
    parts = [
        f'<svg viewBox="0 0 {_WIDE:g} {tall:g}" role="img" '
        f'aria-label="{html.escape(panel.title, quote=True)}: {told}">',
        f'<line x1="{across(0):.1f}" x2="{across(0):.1f}" y1="0" y2="{tall - 32:g}"/>',
    ]
    for k, row in enumerate(known):
        d, y = row.difference, _ROW * (k + 0.5)
        kind = (
            row.verdict if row.verdict in ("better", "worse") else "told" if d.called or d.exact else "none"
        )
        label = row.label if len(row.label) <= 33 else f"{row.label[:32]}…"
        parts.append(
            f'<text x="{left - 8:.1f}" y="{y + 4:.1f}" text-anchor="end">{html.escape(label)}</text>'
        )
        parts.append(f'<g class="{kind}"><title>{html.escape(row.sentence)}</title>')
        if math.isfinite(d.low):
            parts.append(
                f'<line class="{kind}" x1="{across(d.low):.1f}" x2="{across(d.high):.1f}" '
                f'y1="{y:.1f}" y2="{y:.1f}" stroke-width="2.5"/>'
            )
        parts.append(
            f'<circle class="{kind}" cx="{across(d.mean):.1f}" cy="{y:.1f}" r="4.5" stroke-width="1.6"/></g>'
        )
        if math.isfinite(d.effect):
            parts.append(
                f'<text class="dim" x="{_WIDE - 4:g}" y="{y + 4:.1f}" text-anchor="end">'
                f"d {number(d.effect, 2)}</text>"
            )
    before = -math.inf
    for mark, text in zip(marks, texts, strict=True):
        x = across(mark)
        if x - before > 60 or mark == 0:
            parts.append(
                f'<text class="dim" x="{x:.1f}" y="{tall - 17:g}" text-anchor="middle">{text}</text>'
            )
            before = x
    parts.append(
        f'<text class="dim" x="{(left + right) / 2:.1f}" y="{tall - 3:g}" text-anchor="middle">'
        f"difference{f' ({html.escape(name)})' if name else ''}</text></svg>"
    )
    return "".join(parts)
