"""The report as a page: what a screen reader, a keyboard, a phone, a dark room and a printer get."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from html import unescape
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

pd = pytest.importorskip("pandas", reason="the extra 'report' is not installed")

from batfs.report import load_runs  # noqa: E402
from batfs.report.factors import main_effects  # noqa: E402
from batfs.report.page import write_report  # noqa: E402
from batfs.report.tables import fitted, text_table  # noqa: E402

WriteRun = Callable[..., Path]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ASSETS = Path(__file__).parents[2] / "batfs" / "report" / "assets"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory, write_run: WriteRun) -> dict[str, Path]:
    """A page of one run, and one of eight settings with two seeds each."""
    folder = tmp_path_factory.mktemp("pages")
    for k in range(8):
        for seed in (1, 2):
            write_run(
                folder / f"{k}-{seed}", jobs=25, seed=seed, label=f"a_policy_with_a_long_name_{k}, easy"
            )
    runs = load_runs([folder])
    many = write_report(runs, folder / "many.html", title="Eight settings")
    return {"one": write_report(runs[:1], folder / "one.html", title="One run"), "many": many}


class Outline(HTMLParser):
    """Elements with their attributes, and which enclose which."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None], list[str]]] = []
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs), list(self._open)))
        if tag not in ("meta", "input", "br", "circle", "line"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self._open:
            while self._open.pop() != tag:
                pass


def outlined(text: str) -> Outline:
    outline = Outline()
    outline.feed(re.sub(r"<script.*?</script>", "", text, flags=re.S))
    return outline


@pytest.mark.parametrize("name", ["one", "many"])
def test_structure_for_screen_readers(pages: dict[str, Path], name: str) -> None:
    """The rules of axe-core that the page's text by itself can break."""
    outline = outlined(pages[name].read_text())
    tags = [tag for tag, _, _ in outline.found]
    assert next(attrs for tag, attrs, _ in outline.found if tag == "html")["lang"] == "en"
    assert tags.count("h1") == tags.count("main") == tags.count("nav") == 1
    levels = [int(tag[1]) for tag in tags if re.fullmatch(r"h[1-6]", tag)]
    assert all(new <= old + 1 for old, new in pairwise(levels))
    idents = [attrs["id"] for _, attrs, _ in outline.found if "id" in attrs]
    assert len(idents) == len(set(idents))
    for tag, attrs, around in outline.found:
        if tag == "th":
            assert attrs.get("scope") in ("row", "col")
        if tag == "section":
            assert attrs["aria-labelledby"] in idents
        if tag == "svg" or attrs.get("role") in ("img", "region"):
            assert attrs.get("aria-label")
        if tag == "table":  # wide ones scroll by keyboard, too
            assert "div" in around
        if tag == "select":
            assert "label" in around
        if attrs.get("role") == "region":
            assert attrs["tabindex"] == "0"
    labels = [a["aria-label"] for t, a, _ in outline.found if a.get("role") == "region"]
    assert len(labels) == len(set(labels))


def luminance(colour: str) -> float:
    """Relative luminance of WCAG 2.1."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * c for c in colour[1:])
    parts = [int(digits[k : k + 2], 16) / 255 for k in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1])
def test_contrast(scheme: int) -> None:
    """Text on what it stands on: at least 4.5 to 1 (WCAG AA), in the light and in the dark."""
    blocks = re.findall(r":root \{(.*?)\}", (ASSETS / "report.css").read_text(), re.S)
    colours = dict(re.findall(r"--(\w+): (#[0-9a-fA-F]+)", blocks[scheme]))
    pairs = [(text, ground) for text in ("ink", "faint", "accent") for ground in ("page", "card")]
    pairs += [("ink", "better"), ("ink", "worse"), ("good", "page"), ("bad", "page")]
    for text, ground in pairs:
        light, dark = sorted((luminance(colours[text]), luminance(colours[ground])), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (text, ground)


def test_a_row_of_the_table_has_one_unit(pages: dict[str, Path]) -> None:
    text = pages["many"].read_text()
    table = text[text.index("Results by setting") :].partition("</table>")[0]
    assert not re.search(r"<td[^>]*>[\d.,\s]+ (s|min|h|d|[kMGT]?B|%)<", table)
    assert re.search(r"mean waiting time<small>(s|min|h|d)</small>", table)
    # labels are whole
    assert table.count("a_policy_with_a_long_name_7, easy") >= 1


def test_eight_settings_in_a_terminal_of_100_columns() -> None:
    """Labels whole, intervals left out and blocks below one another where that is too wide."""
    header = ["figure", *(f"a_policy_with_a_name_{k}, easy" for k in range(8))]
    rows = [["mean waiting time", *(f"1{k}.5 [1{k}, 1{k}.9] min" for k in range(8))], ["runs", *"22222222"]]
    shown = fitted(header, rows, 100)
    assert max(map(len, shown.splitlines())) <= 100
    for label in header[1:]:
        assert label in shown
    assert "17.5 min" in shown
    assert shown.count("mean waiting time") == shown.count("figure") >= 2
    assert fitted(header[:3], [row[:3] for row in rows], 100) == text_table(header[:3], [r[:3] for r in rows])


def test_factors_of_a_design() -> None:
    """Two policies x two queues x five seeds: worst_fit adds 10 s on the average of the queues, easy takes
    away 4 s, whatever the seed adds."""

    class Fake:
        def __init__(self, policy: str, queue: str, seed: int) -> None:
            wait = 100 + seed + 10 * (policy == "worst_fit") - 4 * (queue == "easy")
            # what one adds to the other is gone in the mean
            wait += 2 * (1 if (policy == "worst_fit") == (queue == "easy") else -1)
            self.memory = {"summary 10.0": {"mean_waiting_time": float(wait)}}
            self.pair, self.cell = ("w", str(seed)), ("w",)

    runs: list[Any] = []
    settings = []
    for policy in ("random", "worst_fit"):
        for queue in ("fcfs", "easy"):
            for seed in range(5):
                runs.append(Fake(policy, queue, seed))
                settings.append({"policy": policy, "queue": queue})
    found = main_effects(runs, settings, {"policy": "random", "queue": "fcfs"}, ["mean_waiting_time"])
    assert {(e.factor, e.level, e.base): e.difference.mean for e in found} == {
        ("policy", "worst_fit", "random"): pytest.approx(10),
        ("queue", "easy", "fcfs"): pytest.approx(-4),
    }
    assert all(e.difference.n == 5 and e.difference.descriptive for e in found)
    assert main_effects(runs[:10], settings[:10], {"policy": "random", "queue": "fcfs"}) == []


PROBE = """<script>setTimeout(async () => {
  const root = document.documentElement, every = q => [...document.querySelectorAll(q)];
  const out = {
    wide: root.scrollWidth - innerWidth, plots: PLOTS.length,
    ready: root.dataset.ready, error: root.dataset.error,
    page: getComputedStyle(document.body).backgroundColor, saves: every("button.save").length,
    links: every("nav a").length,
    unnamed: every("canvas.over").filter(c => !c.getAttribute("aria-label")).length,
  };
  every("details").forEach(d => { d.open = true; });
  if (window.axe) {
    const told = v => [v.impact, v.id, v.nodes.map(n => n.html.slice(0, 200))];
    out.axe = (await axe.run()).violations.map(told);
  }
  const pre = document.createElement("pre");
  pre.id = "probe"; pre.textContent = JSON.stringify(out); document.body.append(pre);
}, 3000);</script>"""


def look(page: Path, folder: Path, width: int, *flags: str) -> dict[str, Any]:
    """What the page is like in a window of that width."""
    assert CHROMIUM is not None
    axe = ""
    spec = importlib.util.find_spec("axe_playwright_python")
    if spec is not None and spec.submodule_search_locations:
        code = (Path(spec.submodule_search_locations[0]) / "axe.min.js").read_text(encoding="utf-8")
        axe = "<script>" + code.replace("</script>", "<\\/script>") + "</script>"
    probed = folder / f"{page.stem}-{width}.html"
    probed.write_text(page.read_text().replace("</body>", axe + PROBE + "</body>"))
    words = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
    words += [
        f"--window-size={width},900",
        "--virtual-time-budget=15000",
        *flags,
        "--dump-dom",
        probed.as_uri(),
    ]
    done = subprocess.run(words, capture_output=True, text=True, timeout=240)
    found = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, re.S)
    assert found is not None, done.stderr[-2000:]
    result: dict[str, Any] = json.loads(unescape(found[1]))
    return result


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("name, width", [("one", 1280), ("many", 800), ("many", 500)])
def test_in_a_browser(pages: dict[str, Path], tmp_path: Path, name: str, width: int, dark: bool) -> None:
    """Three widths, light and dark: drawn, nothing sticks out of the window, every chart has a name and can
    be saved; axe-core, where it is installed, finds nothing serious."""
    seen = look(pages[name], tmp_path, width, *(["--blink-settings=preferredColorScheme=0"] if dark else []))
    assert seen["ready"] == "yes"
    assert seen.get("error") is None
    assert seen["wide"] <= 0
    assert seen["plots"] > 4
    assert seen["saves"] >= seen["plots"]
    assert seen["unnamed"] == 0
    assert seen["links"] >= 5
    assert seen["page"] == ("rgb(19, 24, 29)" if dark else "rgb(255, 255, 255)")
    assert [v for v in seen.get("axe", []) if v[0] in ("serious", "critical")] == []


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_in_print(pages: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "page.pdf"
    words = [
        str(CHROMIUM),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={tmp_path / 'p'}",
    ]
    words += ["--virtual-time-budget=8000", f"--print-to-pdf={out}", pages["many"].as_uri()]
    subprocess.run(words, capture_output=True, timeout=240, check=True)
    assert out.read_bytes().startswith(b"%PDF")
    assert out.stat().st_size > 20_000
    # some pages, and no run of empty ones
    assert 3 <= len(re.findall(rb"/Type\s*/Page\b", out.read_bytes())) <= 20


def test_small_print_is_smaller_than_its_figure() -> None:
    """On paper tables are set in points: what is small in them must not keep the screen's size."""
    style = (ASSETS / "report.css").read_text().partition("@media print")[2]
    small = re.search(r"td small[^{]*\{ font-size: ([\d.]+)em", style)
    assert small is not None
    assert float(small[1]) < 1
