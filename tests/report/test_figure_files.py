"""What is written of a figure: the same bytes whatever was drawn before it, in every script, no alpha."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("fontTools")

from batfs.report import picture


@picture.styled
def _figure(title: str):  # type: ignore[no-untyped-def]
    figure = picture.make_figure(3, 2)
    axes = figure.subplots()
    axes.plot([0, 1], [-1, 1])
    axes.set_title(title)
    return figure


def _pdf(folder: Path, title: str) -> bytes:
    folder.mkdir()
    [path] = picture.save_figure(_figure(title), folder / "one", ["pdf"])
    return path.read_bytes()


def test_a_figures_bytes_do_not_depend_on_those_drawn_before(tmp_path):
    """Fonts are cut down once for all usual characters, and apart for a title with others."""
    titles = ("waiting time", "attente à Łódź", "ожидание, waiting")
    first = [_pdf(tmp_path / f"first{k}", title) for k, title in enumerate(titles)]
    again = [_pdf(tmp_path / f"again{k}", title) for k, title in reversed(list(enumerate(titles)))]
    assert first == again[::-1]
    picture._cut.clear()
    assert _pdf(tmp_path / "alone", titles[0]) == first[0]


def test_every_character_of_a_pdf_has_its_glyph(tmp_path):
    """Each font that is embedded holds the glyphs it is used with: none is the box of a missing one."""
    fonts = pytest.importorskip("fontTools.ttLib")
    picture._cut.clear()
    for k, title in enumerate(("plain", "Ω and Ж beside abc")):
        _pdf(tmp_path / str(k), title)
    assert picture._cut  # the ticks' font, which has usual characters only, is kept
    for _, _, data in picture._cut.values():
        (tmp_path / "font.ttf").write_bytes(data)
        mapped = fonts.TTFont(tmp_path / "font.ttf")["glyf"]
        assert {"a", "Z", "zero", "minus"} <= set(mapped.keys())


def test_a_png_has_three_channels_and_says_its_size(tmp_path):
    image = pytest.importorskip("PIL.Image")
    [path] = picture.save_figure(_figure("plain"), tmp_path / "one", ["png"])
    with image.open(path) as opened:
        assert opened.mode == "RGB"
        assert opened.size == (450, 300)
        assert round(opened.info["dpi"][0]) == 150


def test_which_figures_there_are_and_that_they_are_the_same_wherever_drawn(tmp_path, write_run):
    """Of several settings those that compare; the course of each where it is asked for, or where there is
    one setting only. Other processes draw the same bytes."""
    from batfs.report import load_run
    from batfs.report.figures import Figures

    prefixes = [
        write_run(tmp_path / f"{name}{k}", jobs=20, seed=k, label=name) for name in "ab" for k in (1, 2)
    ]
    figures = Figures([load_run(prefix) for prefix in prefixes])
    names = set(figures.drawings())
    assert {"queue", "metrics", "ecdf_waiting_time", "letter_values_waiting_time"} <= names
    assert not any(name.startswith(("gantt", "storage")) for name in names)
    more = set(figures.drawings(courses=True))
    assert more > names
    assert {"gantt_a", "gantt_b", "queue_a", "storage_heat_b"} <= more
    assert {"gantt", "queue"} <= set(Figures([load_run(prefix) for prefix in prefixes[:2]]).drawings())
    written = []
    for place, processes in (("here", 1), ("there", 3)):
        (tmp_path / place).mkdir()
        paths = figures.save(tmp_path / place, ["svg"], processes=processes, courses=True)
        assert {path.stem for path in paths} == more
        written.append([path.read_bytes() for path in paths])
    assert written[0] == written[1]
