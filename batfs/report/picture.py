"""A matplotlib figure without global state: made, shown in a notebook, saved with the same bytes every
time.
"""

from __future__ import annotations

import contextlib
import functools
import io
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

import numpy as np

from batfs import files
from batfs.errors import unknown
from batfs.report import palette
from batfs.report.extras import require

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS: Final = ("png", "svg", "pdf")
# text stays text in SVG and PDF, so that it can be found and changed; nothing depends on the clock
STYLE: Final[dict[str, Any]] = {
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": palette.FAINT,
    "axes.labelcolor": palette.INK,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E4E7EB",
    "grid.linewidth": 0.6,
    "xtick.color": palette.INK,
    "ytick.color": palette.INK,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "batfs",
    "pdf.fonttype": 42,
    "figure.dpi": 100,
    "path.simplify": False,
}


P = ParamSpec("P")
R = TypeVar("R")


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Draw in the report's style, whatever the surroundings have set."""

    @functools.wraps(draw)
    def inside(*args: P.args, **kwargs: P.kwargs) -> R:
        with require("matplotlib").rc_context(STYLE):
            return draw(*args, **kwargs)

    return inside


def make_figure(width: float, height: float) -> Figure:
    """An empty figure, inches, that shows itself as PNG in a notebook."""
    base = require("matplotlib.figure").Figure
    picture: type[Figure] = _PICTURES.get(base) or _PICTURES.setdefault(
        base, type("Picture", (base,), {"_repr_png_": _png})
    )
    return picture(figsize=(width, height), layout="constrained")


_PICTURES: dict[type, Any] = {}


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


def slug(text: str) -> str:
    """``text`` as a part of a file name."""
    words = "".join(c if c.isalnum() or c in "._=-" else "_" for c in text)
    return "_".join(part for part in words.split("_") if part) or "run"


# what a figure is likely to be written with; a font cut down to it serves nearly all figures
_USUAL: Final = "".join(map(chr, range(32, 127))) + "\u2212\u2013\u2026\u00d7\u00b5\u2264\u2265"
_cut: dict[Any, tuple[Any, Any, bytes]] = {}


@contextlib.contextmanager
def _few_fonts() -> Iterator[None]:
    """Fonts are cut down once, not once a figure: to the usual characters, or for a figure that has others
    to its own. Tables of typesetting are left out: the glyphs are chosen and placed, no viewer looks at
    them. Together that took three quarters of the time of a PDF, and the bytes don't depend on the order."""
    options = require("fontTools.subset").Options
    pdf: Any = require("matplotlib.backends._backend_pdf_ps")
    dropped, subset, as_file = (
        getattr(where, name, None)
        for where, name in (
            (options, "_drop_tables_default"),
            (pdf, "get_glyphs_subset"),
            (pdf, "font_as_file"),
        )
    )
    if dropped is None or subset is None or as_file is None:  # a matplotlib that does it in another way
        yield
        return

    def cut(path: Any, wanted: Any) -> Any:
        usual: Any = _USUAL
        if not isinstance(wanted, str):  # glyphs by number since matplotlib 3.11, characters before
            font = require("matplotlib.font_manager").get_font(path)
            usual = {font.get_char_index(ord(character)) for character in _USUAL}
        if not set(wanted) <= set(usual):
            return subset(path, wanted)
        if path not in _cut:
            with subset(path, usual) as held:
                font = getattr(held, "font", held)
                _cut[path] = (held, font, as_file(font).getvalue())
        return contextlib.nullcontext(_cut[path][0])

    def written(font: Any) -> io.BytesIO:
        known = next((data for _, held, data in _cut.values() if held is font), None)
        found: io.BytesIO = as_file(font) if known is None else io.BytesIO(known)
        return found

    options._drop_tables_default = [*dropped, "GPOS", "GSUB", "GDEF", "BASE", "JSTF", "MATH", "kern"]
    pdf.get_glyphs_subset, pdf.font_as_file = cut, written
    try:
        yield
    finally:
        options._drop_tables_default = dropped
        pdf.get_glyphs_subset, pdf.font_as_file = subset, as_file


def _print(figure: Figure, kind: str, buffer: io.BytesIO) -> None:
    """As ``savefig`` does it, but drawn once: the layout is done, and savefig draws all before it draws
    for the file."""
    before = figure.dpi
    figure.set_dpi(150)
    try:
        if kind == "png":
            canvas = require("matplotlib.backends.backend_agg").FigureCanvasAgg(figure)
            canvas.draw()
            # nothing shines through; with three channels and less effort it takes half the time
            image = require("PIL.Image").fromarray(np.asarray(canvas.buffer_rgba())[..., :3])
            image.save(buffer, "png", compress_level=3, dpi=(150, 150))
        elif kind == "svg":
            canvas = require("matplotlib.backends.backend_svg").FigureCanvasSVG(figure)
            canvas.print_svg(buffer, metadata={"Date": None})
        else:
            canvas = require("matplotlib.backends.backend_pdf").FigureCanvasPdf(figure)
            with _few_fonts():
                canvas.print_pdf(buffer, metadata={"CreationDate": None})
    finally:
        figure.set_dpi(before)


def save_figure(figure: Figure, stem: Path, formats: Iterable[str] = FORMATS) -> list[Path]:
    """Write ``figure`` as ``stem.png`` and so on, whole or not at all; the same bytes every time."""
    paths = []
    engine = figure.get_layout_engine()
    if engine is not None:
        # lay out once, not once per format
        with require("matplotlib").rc_context(STYLE):
            engine.execute(figure)
        figure.set_layout_engine("none")
    for kind in formats:
        if kind not in FORMATS:
            raise unknown("figure format", kind, FORMATS)
        buffer = io.BytesIO()
        with require("matplotlib").rc_context(STYLE):
            _print(figure, kind, buffer)
        path = stem.with_name(f"{stem.name}.{kind}")
        files.write_bytes(path, buffer.getvalue())
        paths.append(path)
    return paths
