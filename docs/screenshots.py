"""Pictures for README and docs: ``make screenshots``. Needs Chromium, and half a minute of campaign.

What is shown is made here and now: a comparison of five allocation policies and the report of one run.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
BATFS = [sys.executable, "-m", "batfs"]
INPUT = ["-p", "platforms/taurus_storage.xml", "-w", "workloads/io.json"]
POLICIES = ("random", "round_robin", "first_fit", "worst_fit", "least_loaded")


def batfs(*words: str) -> None:
    subprocess.run([*BATFS, *words], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def shoot(browser: str, page: Path, image: str, width: int, height: int) -> None:
    """Photograph the top of ``page``, as a file of that size."""
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--force-device-scale-factor=1",
    ]
    flags += ["--virtual-time-budget=15000", f"--window-size={width},{height}"]
    target = IMAGES / image
    words = [browser, *flags, f"--screenshot={target}", page.resolve().as_uri()]
    subprocess.run(words, check=True, stderr=subprocess.DEVNULL, timeout=300)
    print(f"{target.relative_to(ROOT)}: {width} x {height}")


def main() -> int:
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        print("no Chromium here: install one, such as Debian's chromium", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="batfs-screenshots-") as name:
        folder = Path(name)
        batfs("run", *INPUT, "--queue", "easy", "--policy", "worst_fit", "-q", "-e", str(folder / "run"))
        batfs("report", str(folder / "run"), "--formats", "none", "-o", str(folder / "run.html"))
        shoot(browser, folder / "run.html", "report-run.png", 1200, 900)
        chosen = [word for policy in POLICIES for word in ("--policy", policy)]
        more = ["--queue", "easy", "--seeds", "12", "--resample", "blocks", "--formats", "none"]
        batfs(
            "compare",
            *INPUT,
            *chosen,
            *more,
            "-o",
            str(folder / "compare"),
            "--title",
            "Five allocation policies",
        )
        shoot(browser, folder / "compare" / "report.html", "compare-results.png", 1200, 900)
    return 0


if __name__ == "__main__":
    sys.exit(main())
