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
