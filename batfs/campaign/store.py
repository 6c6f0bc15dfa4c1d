"""A campaign's directory: finished runs, each whole or absent; one campaign at a time.

A run is written aside and its folder renamed into place, so a run that is there is complete, however the
campaign ended. What was being written is swept away at the next start.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from batfs import files, json_text
from batfs.campaign.task import PREFIX, Outcome, Task
from batfs.errors import BatfsError, InputError

ASIDE: Final = ".partial-"
HASHES: Final = "hashes.json"  # SHA-256 of each other file of a run


class Store:
    """The directory ``root``: ``runs/``, ``inputs/`` and what the campaign ends in."""

    def __init__(self, root: Path) -> None:
        files.check_writable(root)
        self.root = root
        self.runs = root / "runs"
        self.inputs = root / "inputs"
        self.runs.mkdir(exist_ok=True)

    @contextmanager
    def locked(self, command: str = "batfs compare") -> Iterator[None]:
        """Hold the directory; BatfsError when another campaign does. The lock ends with the process."""
        with ExitStack() as stack:
            try:
                stack.enter_context(files.holding_folder(self.root))
            except InputError as error:
                raise BatfsError(f"another {command!r} is running here: {error}") from None
            self._sweep()
            yield

    def _sweep(self) -> None:
        for path in self.runs.glob(f"{ASIDE}*"):
            shutil.rmtree(path, ignore_errors=True)
        for folder in (self.root, self.inputs):
            for path in folder.iterdir() if folder.is_dir() else ():
                # only what a killed campaign was writing: whatever else is called .partial is somebody's
                if files.is_aside(path.name):
                    path.unlink(missing_ok=True)

    def folder(self, task: Task) -> Path:
        return self.runs / task.folder

    def has(self, task: Task) -> bool:
        """Whether this very run (same inputs, settings, seed and code) is there, and whole."""
        return self.folder(task).is_dir() and not self.damage(task)

    def damage(self, task: Task) -> str:
        """What is wrong with a run that is there: a file that is missing or isn't what was written.

        Empty if nothing is (or if the run isn't there).
        """
        folder = self.folder(task)
        if not folder.is_dir():
            return ""
        try:
            kept = json.loads((folder / HASHES).read_bytes())
            hashes = {str(name): str(digest) for name, digest in kept.items()}
        except (OSError, ValueError, AttributeError):
            return f"{HASHES} can't be read"
        for name, digest in hashes.items():
            try:
                found = _digest((folder / name).read_bytes())
            except OSError as error:
                return f"{name}: {error.strerror}"
            if found != digest:
                return f"{name} is not what was written"
        return ""

    def set_aside(self, task: Task) -> None:
        """Take a damaged run away, so that it is done again."""
        aside = self.runs / f"{ASIDE}{task.folder}"
        shutil.rmtree(aside, ignore_errors=True)
        os.rename(self.folder(task), aside)
        shutil.rmtree(aside, ignore_errors=True)

    def drew(self, task: Task) -> bool:
        """Whether the scheduler of a run that is there has drawn random numbers by itself."""
        provenance = json.loads((self.folder(task) / f"{PREFIX}_provenance.json").read_bytes())
        return bool(provenance.get("results", {}).get("draws"))

    def prefix(self, task: Task) -> str:
        """The prefix of the run's files, for ``read_run``."""
        return f"{self.folder(task)}/{PREFIX}_"

    def keep(self, task: Task, outcome: Outcome, provenance: Mapping[str, Any]) -> None:
        """Write the files of a finished run; all of them or none."""
        aside = self.runs / f"{ASIDE}{task.folder}"
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir()
        contents = {name: zlib.decompress(data) for name, data in outcome.files.items()}
        contents[f"{PREFIX}_provenance.json"] = to_json(provenance).encode()
        for name, data in contents.items():
            (aside / name).write_bytes(data)
        hashes = {name: _digest(data) for name, data in contents.items()}
        (aside / HASHES).write_text(to_json(hashes), encoding="utf-8")
        os.rename(aside, self.folder(task))

    def strangers(self, known: set[str]) -> list[str]:
        """Folders of runs that are not ``known``: of other inputs, settings or code. They are left alone."""
        return sorted(
            p.name for p in self.runs.iterdir() if p.name not in known and not p.name.startswith(".")
        )


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def to_json(value: Mapping[str, Any]) -> str:
    return json_text.indented(value) + "\n"
