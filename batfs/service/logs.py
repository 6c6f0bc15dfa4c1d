"""Structured logs: one JSON object a line, from every component, gathered at the orchestrator."""

from __future__ import annotations

import sys
import time
from collections import deque
from pathlib import Path
from typing import Any, TextIO

import orjson

from batfs.errors import InputError


class Log:
    """Writes records to a file (appending) or to stderr; keeps the last ones for whoever gathers them."""

    def __init__(self, component: str, path: Path | None = None, *, quiet: bool = False) -> None:
        self.component = component
        self.fresh: deque[dict[str, Any]] = deque(maxlen=1000)
        self._quiet = quiet and path is None
        self._stream: TextIO = sys.stderr
        if path is not None:
            try:
                self._stream = open(path, "a", encoding="utf-8")  # noqa: SIM115
            except OSError as error:
                raise InputError(f"cannot write the log: {error.strerror}", file=path) from error

    def __call__(self, event: str, **facts: Any) -> None:
        record = {"time": round(time.time(), 6), "component": self.component, "event": event, **facts}
        self.fresh.append(record)
        if not self._quiet:
            self._stream.write(orjson.dumps(record, default=str).decode() + "\n")
            self._stream.flush()

    def take(self) -> list[dict[str, Any]]:
        """The records since the last call (the newest thousand)."""
        records = list(self.fresh)
        self.fresh.clear()
        return records
