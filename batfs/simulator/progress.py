"""The progress line of long runs: simulated time, jobs done, jobs a second, memory. Only on a terminal."""

from __future__ import annotations

import sys
import time

from batfs.simulator.options import Progress
from batfs.units import format_size

PATIENCE = 2.0  # s; a run shorter than this shows nothing


def memory_used() -> int:
    """Bytes this process holds in memory; 0 where the system doesn't say."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * 4096
    except (OSError, ValueError, IndexError):
        return 0


def clock_text(seconds: float) -> str:
    """Simulated time as ``3 d 04:05:06``."""
    whole = int(seconds)
    days, rest = divmod(whole, 86400)
    text = f"{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"
    return f"{days} d {text}" if days else text


class ProgressLine:
    """One line on stderr, rewritten in place."""

    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled
        self._begin = time.monotonic()
        self._shown = False

    def show(self, progress: Progress) -> None:
        elapsed = time.monotonic() - self._begin
        if not self.enabled or elapsed < PATIENCE:
            return
        share = progress.jobs_done / progress.jobs if progress.jobs else 0.0
        width = 24
        full = min(width, int(share * width))
        bar = "#" * full + "-" * (width - full)
        text = (
            f"[{bar}] {progress.jobs_done}/{progress.jobs} jobs  t={clock_text(progress.now)}  "
            f"{progress.jobs_done / elapsed:.0f} jobs/s  {format_size(memory_used())}"
        )
        print(f"\r{text}\x1b[K", end="", file=sys.stderr, flush=True)
        self._shown = True

    def clear(self) -> None:
        """Leave an empty line behind."""
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            self._shown = False
