"""The back end that makes nothing: for trying policies and for load tests.

What it "holds" survives a restart in a small journal if a file is given, so that a restarted server reports
the same allocations as a real one would.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from batfs.errors import InputError
from batfs.service.backends.interface import BackendError


class Simulated:
    """Keeps a table of what was asked for; ``journal`` None keeps it in memory only."""

    name = "simulated"

    def __init__(self, server: str, journal: Path | None = None) -> None:
        self._server = server
        self._held: dict[str, int] = {}
        self._journal = None
        if journal is not None:
            self._restore(journal)
            self._journal = open(journal, "ab")  # noqa: SIM115 (kept open for the server's life)

    def _restore(self, journal: Path) -> None:
        if not journal.exists():
            return
        for number, line in enumerate(journal.read_bytes().splitlines(), start=1):
            try:
                key, size = orjson.loads(line)
            except (orjson.JSONDecodeError, ValueError, TypeError):
                # the last line may be cut short by a crash; its change was not reported
                if number < journal.read_bytes().count(b"\n"):
                    raise InputError(
                        "not a journal of this back end", file=journal, place=f"line {number}"
                    ) from None
                break
            if size:
                self._held[key] = size
            else:
                self._held.pop(key, None)
        aside = journal.with_name(journal.name + ".partial")
        aside.write_bytes(b"".join(orjson.dumps(item) + b"\n" for item in self._held.items()))
        os.replace(aside, journal)

    def _note(self, key: str, size: int) -> None:
        if self._journal is not None:
            self._journal.write(orjson.dumps([key, size]) + b"\n")
            self._journal.flush()

    def provision(self, lease: str, disk: str, size: int, user: str, host: str) -> Mapping[str, Any]:
        key = f"{lease}/{disk}"
        if self._held.get(key, size) != size:
            raise BackendError(f"{key} exists with {self._held[key]} bytes, not {size}")
        if key not in self._held:
            self._held[key] = size
            self._note(key, size)
        return {"server": self._server, "disk": disk, "path": f"simulated:{self._server}/{disk}/{lease}"}

    def remove(self, lease: str, disk: str) -> None:
        if self._held.pop(f"{lease}/{disk}", None) is not None:
            self._note(f"{lease}/{disk}", 0)

    def held(self) -> Mapping[str, int]:
        return dict(self._held)
