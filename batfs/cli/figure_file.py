"""The one figure of a command that has no report: ``--figure FILE``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from batfs.errors import InputError, MissingExtraError
from batfs.files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def check_suffix(path: Path | None) -> None:
    """InputError for the name of a figure that says no format."""
    if path is not None and path.suffix not in (".png", ".svg", ".pdf"):
        raise InputError(f"found {path.suffix or 'no suffix'}, expected .png, .svg or .pdf", file=path)


@contextmanager
def figure_file(path: Path, width: float, height: float) -> Iterator[Figure]:
    """An empty figure (inches) to draw in; it is at ``path`` afterwards, whole or not at all."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("a figure", "report") from error
    check_suffix(path)
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    yield figure
    with replacing(path) as aside:
        figure.savefig(aside, format=path.suffix[1:], dpi=110)
