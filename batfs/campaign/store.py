"""A campaign's directory: finished runs, each whole or absent; one campaign at a time.

A run is written aside and its folder renamed into place, so a run that is there is complete, however the
campaign ended. What was being written is swept away at the next start.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from batfs import files
from batfs.campaign.task import PREFIX, Outcome, Task
from batfs.errors import BatfsError

ASIDE: Final = ".partial-"


class Store:
    """The directory ``root``: ``runs/``, ``inputs/`` and what the campaign ends in."""

    def __init__(self, root: Path) -> None:
        files.check_writable(root)
        self.root = root
        self.runs = root / "runs"
        self.inputs = root / "inputs"
        self.runs.mkdir(exist_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the directory; BatfsError when another campaign does. The lock ends with the process."""
        with open(self.root / ".lock", "w") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise BatfsError(
                    f"{self.root}: another 'batfs compare' is running in this directory"
                ) from error
            self._sweep()
            yield

    def _sweep(self) -> None:
        for path in self.runs.glob(f"{ASIDE}*"):
            shutil.rmtree(path, ignore_errors=True)
        for folder in (self.root, self.inputs):
            for path in folder.glob(f"*{files.PARTIAL}") if folder.is_dir() else ():
                path.unlink(missing_ok=True)

    def folder(self, task: Task) -> Path:
        return self.runs / task.folder

    def has(self, task: Task) -> bool:
        """Whether this very run (same inputs, settings, seed and code) is there."""
        return self.folder(task).is_dir()

    def prefix(self, task: Task) -> str:
        """The prefix of the run's files, for ``read_run``."""
        return f"{self.folder(task)}/{PREFIX}_"

    def keep(self, task: Task, outcome: Outcome, provenance: Mapping[str, Any]) -> None:
        """Write the files of a finished run; all of them or none."""
        aside = self.runs / f"{ASIDE}{task.folder}"
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir()
        for name, data in outcome.files.items():
            (aside / name).write_bytes(zlib.decompress(data))
        (aside / f"{PREFIX}_provenance.json").write_text(to_json(provenance), encoding="utf-8")
        os.rename(aside, self.folder(task))

    def strangers(self, known: set[str]) -> list[str]:
        """Folders of runs that are not ``known``: of other inputs, settings or code. They are left alone."""
        return sorted(
            p.name for p in self.runs.iterdir() if p.name not in known and not p.name.startswith(".")
        )


def to_json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n"
