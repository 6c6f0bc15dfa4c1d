"""The back end that makes nothing: for trying policies and for load tests.

What it "holds" survives a restart in a small journal if a file is given, so that a restarted server reports
the same allocations as a real one would.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from batfs.errors import InputError
from batfs.files import write_bytes
from batfs.service.backends.interface import BackendError
from batfs.texts import read_bytes


class Simulated:
    """Keeps a table of what was asked for; ``journal`` None keeps it in memory only."""

    name = "simulated"

    def __init__(self, server: str, journal: Path | None = None) -> None:
        self._server = server
        self._held: dict[str, int] = {}
        self._journal = None
        if journal is not None:
            self._restore(journal)
            try:
                self._journal = open(journal, "ab")  # noqa: SIM115 (kept open for the server's life)
            except OSError as error:
                raise InputError(f"cannot write the journal: {error.strerror}", file=journal) from error

    def _restore(self, journal: Path) -> None:
        if not journal.exists():
            return
        lines = read_bytes(journal).split(b"\n")
        for number, line in enumerate(lines, start=1):
            if not line and number == len(lines):
                break
            try:
                key, size = orjson.loads(line)
                if not isinstance(key, str) or type(size) is not int or size < 0:
                    raise ValueError
            except (orjson.JSONDecodeError, ValueError, TypeError):
                # the end may be cut short, or be zeros, after a crash; those changes were not reported
                if any(rest.strip(b"\0 ") for rest in lines[number:]):
                    raise InputError(
                        "not a journal of this back end", file=journal, place=f"line {number}"
                    ) from None
                break
            if size:
                self._held[key] = size
            else:
                self._held.pop(key, None)
        write_bytes(journal, b"".join(orjson.dumps(item) + b"\n" for item in self._held.items()))

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
