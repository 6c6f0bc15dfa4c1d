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
        self.lost = 0  # records that could not be written
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
            self._write(record)

    def _write(self, record: dict[str, Any]) -> None:
        """What can't be logged must not end who logs it: it is counted, and told with the next that can."""
        try:
            line = orjson.dumps(record, default=str)
        except (TypeError, RecursionError):  # letters that are no Unicode, numbers beyond 64 bits, nesting
            line = orjson.dumps({"text": ascii(record)[:2000]})
        try:
            if self.lost:
                self._stream.write(f'{{"component":"log","event":"lost","records":{self.lost}}}\n')
            self._stream.write(line.decode() + "\n")
            self._stream.flush()
            self.lost = 0
        except (OSError, ValueError):  # a full disk, a closed stderr
            self.lost += 1

    def take(self) -> list[dict[str, Any]]:
        """The records since the last call (the newest thousand)."""
        records = list(self.fresh)
        self.fresh.clear()
        return records
