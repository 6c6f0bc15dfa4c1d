"""Input files by their content: a campaign keeps a copy of each, named by its hash, and runs from the copies.

So a file that changes while a campaign runs, or between two calls, can't get into half of its runs.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from batfs import files, texts
from batfs.campaign.resample import make_resampler, resample
from batfs.errors import InputError
from batfs.plugins import parse_spec


@dataclass(frozen=True, slots=True)
class Input:
    """A file: ``name`` as the user gave it, ``path`` of the campaign's copy, its content's ``sha256``.

    ``data`` is the content, deflated, for workers that don't see this machine's files. ``companions`` are
    files it names, beside it.
    """

    name: str
    path: str
    sha256: str
    data: bytes | None = None
    companions: tuple[Input, ...] = ()

    def shipped(self) -> Input:
        """The same with its content inside."""
        companions = tuple(companion.shipped() for companion in self.companions)
        return replace(self, data=zlib.compress(Path(self.path).read_bytes()), companions=companions)

    def materialise(self, folder: Path) -> str:
        """A path with this content: the copy, or a file made in ``folder``. InputError if the copy was
        changed.
        """
        for companion in self.companions:
            companion.materialise(folder)
        if self.data is None:
            if _digest_of(self.path) != self.sha256:
                raise InputError("the campaign's copy of this input was changed", file=self.path)
            return self.path
        path = folder / Path(self.path).name
        if not path.exists():
            files.write_bytes(path, zlib.decompress(self.data))
        return str(path)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _digest_of(path: str) -> str:
    try:
        return sha256(Path(path).read_bytes())
    except OSError as error:
        raise InputError(f"cannot read: {error.strerror}", file=path) from error


class InputStore:
    """The copies of one campaign in ``folder`` (made when the first is kept)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[tuple[str, ...], Input] = {}
        self.used: set[str] = set()

    def keep(self, path: str) -> Input:
        """The file at ``path``, copied. InputError when it can't be read."""
        found = self._known.get((path,))
        if found is None:
            if Path(path).exists() and not Path(path).is_file():
                raise InputError("is no file, and would have to be read again and again", file=path)
            data = texts.read_bytes(path)
            found = self._known[(path,)] = self._store(path, Path(path).name, data)
        return found

    def keep_text(self, file: str, text: str) -> str:
        """``text`` as a file of this store; its path."""
        found = self._known.get((file, text))
        if found is None:
            found = self._known[(file, text)] = self._store(file, file, text.encode())
        return found.path

    def workload(self, path: str, method: str, seed: int) -> Input:
        """The workload at ``path`` as ``seed`` draws it (itself for the method ``none``), and its traces."""
        if make_resampler(method) is None:
            return self._with_traces(path)
        key = (path, method, str(seed))
        found = self._known.get(key)
        if found is None:
            from batfs.workload import read_workload, write_workload

            source = self._with_traces(path)
            drawn = resample(read_workload(source.path), method, seed)
            place = self.folder / f"seed{seed}-{Path(path).name}"
            write_workload(place, drawn)
            data = place.read_bytes()
            place.unlink()
            found = replace(
                self._store(path, f"seed{seed}-{Path(path).name}", data), companions=source.companions
            )
            self._known[key] = found
        return found

    def _with_traces(self, path: str) -> Input:
        """The workload at ``path``; traces it names are its companions, under the names of their copies."""
        found = self._known.get((path, "traces"))
        if found is None:
            found = self._known[path, "traces"] = self._gather_traces(path, self.keep(path))
        return found

    def _gather_traces(self, path: str, plain: Input) -> Input:
        if b'"trace"' not in Path(plain.path).read_bytes():
            return plain
        from batfs.workload import read_workload
        from batfs.workload.batsim import workload_lines
        from batfs.workload.traces import gather

        companions: dict[str, Input] = {}

        def keep(data: bytes, name: str) -> str:
            kept = self._store(name, name, data)
            companions[Path(kept.path).name] = kept
            return Path(kept.path).name

        moved, traces = gather(read_workload(path), keep)
        if not traces:
            return plain
        kept = self._store(path, Path(path).name, "".join(workload_lines(moved)).encode())
        return replace(kept, companions=tuple(companions.values()))

    def _store(self, name: str, file: str, data: bytes) -> Input:
        digest = sha256(data)
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{digest[:12]}-{file}"
        if not path.exists() or _digest_of(str(path)) != digest:
            files.write_bytes(path, data)
        self.used.add(path.name)
        return Input(name, str(path), digest)


def plugin_files(configuration: Mapping[str, Any]) -> list[str]:
    """The Python files that a configuration names (``mine.py:Name``), each once, in order."""
    found: dict[str, None] = {}
    for value in _texts(configuration):
        file = plugin_file(value)
        if file is not None:
            found[file] = None
    return list(found)


def plugin_file(value: str) -> str | None:
    """``mine.py`` of ``mine.py:Name:k=4``; None for a plain name."""
    if ".py:" not in value:
        return None
    name = parse_spec(value).name
    return name.rpartition(":")[0] if name.rpartition(":")[0].endswith(".py") else None


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return [text for item in value.values() for text in _texts(item)]
    return []


@lru_cache(maxsize=1)
def code_digest() -> str:
    """A hash of batfs's own sources that a run's figures depend on: results of other code are never mixed
    in.
    """
    home = Path(__file__).parents[1]
    aside = {"cli", "report", "campaign", "service"}
    total = hashlib.sha256()
    for path in sorted(home.rglob("*.py")):
        parts = path.relative_to(home).parts
        if parts[0] not in aside:
            total.update("/".join(parts).encode() + b"\0" + path.read_bytes() + b"\0")
    return total.hexdigest()
