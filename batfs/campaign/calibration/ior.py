"""Measurements of one's own machine: what IOR and IO500 print.

IOR's output is read as its versions print it: options as ``name : value`` (3.3 and later) or
``name = value`` (before), then a table whose header names the columns, a line for each repetition. Of a
folder of IO500 results the ``[RESULT]`` lines of ``result_summary.txt`` count, with the nodes and tasks of
its IOR outputs or as said.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from batfs.errors import InputError
from batfs.texts import read_text
from batfs.units import parse_size
from batfs.workload.access import KINDS, Way, parse_access

MIB: Final = float(1 << 20)
GIB: Final = float(1 << 30)


@dataclass(frozen=True, slots=True)
class Measurement:
    """``bandwidth`` bytes/s of all processes together, ``direction`` read or write; ``own``: each process has
    a file of its own. ``source``: file and line."""

    direction: str
    nodes: int
    processes: int
    way: Way
    own: bool
    bandwidth: float
    source: str = ""


def read_measurements(paths: Sequence[Path], nodes: int = 0, processes: int = 0) -> list[Measurement]:
    """What the files, or the files in these folders, measured. ``nodes`` and ``processes`` (a node) stand in
    where they don't say. InputError where a file is neither, or nothing was measured."""
    found: list[Measurement] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*.txt") if p.is_file())
            measured = [m for p in inside for m in _read(p, nodes, processes)]
            if not measured:
                raise InputError("no output of IOR and no result_summary.txt in this folder", file=path)
        else:
            measured = _read(path, nodes, processes)
            if not measured and not read_operations([path]):
                raise InputError("neither an output of IOR with results nor a summary of IO500", file=path)
        found += measured
    return found


def read_operations(paths: Sequence[Path]) -> dict[str, float]:
    """Metadata operations a second by name (create, stat, read, remove), of what mdtest printed: the mean
    over its tables. Versions print ``File creation : max min mean std``, with or without the colon."""
    found: dict[str, list[float]] = {}
    for path in paths:
        for file in sorted(path.rglob("*.txt")) if path.is_dir() else [path]:
            text = read_text(file).text
            if "mdtest" not in text or "SUMMARY" not in text:
                continue
            for number, line in enumerate(text.splitlines(), start=1):
                rate = _RATES.match(line)
                words = [] if rate is None else rate[2].strip().removeprefix(":").split()
                if rate is None or not words or not (words[0][0].isdigit() or words[0][0] == "."):
                    continue
                values = [_number(word, f"{file.name}: line {number}") for word in words]
                mean = values[2] if len(values) > 2 else values[-1]
                if mean > 0:
                    found.setdefault(_NAMES[rate[1].lower()], []).append(mean)
    return {name: sum(means) / len(means) for name, means in sorted(found.items())}


_NAMES: Final = {"creation": "create", "stat": "stat", "read": "read", "removal": "remove"}
_RATES: Final = re.compile(r"\s*File (creation|stat|read|removal)\b(.*)", re.IGNORECASE)


def _number(word: str, place: str) -> float:
    """InputError for what is none, or what nothing measures (its reciprocal is calculated with)."""
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if value and not 1e-9 <= abs(value) <= 1e18:
        raise InputError(f"found {word!r:.40}, expected a number, 0 or from 1e-9 to 1e18", place=place)
    return value


def _read(path: Path, nodes: int, processes: int) -> list[Measurement]:
    text = read_text(path).text
    if "[RESULT]" in text and "ior-" in text:
        return _io500(text, path, nodes, processes)
    if re.search(r"^IOR-\d", text, re.MULTILINE) or "MPI Coordinated Test of Parallel I/O" in text:
        return _ior(text, path, nodes, processes)
    return []


_RESULT: Final = re.compile(r"\[RESULT\]\s+ior-(easy|hard)-(read|write)\s+([0-9.]+)\s+GiB/s", re.IGNORECASE)


def _io500(text: str, path: Path, nodes: int, processes: int) -> list[Measurement]:
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        match = _RESULT.search(line)
        where = f"{path.name}: line {number}"
        if match is None or (rate := _number(match[3], where)) <= 0:
            continue
        easy = match[1].lower() == "easy"
        way = parse_access(KINDS["ior_easy" if easy else "ior_hard"], "").reads
        if not nodes:
            raise InputError(
                "a summary of IO500 doesn't say on how many nodes", file=path, hint="say --nodes N"
            )
        found.append(
            Measurement(
                *(match[2].lower(), nodes, max(1, processes), way, easy, rate * GIB),
                where,
            )
        )
    return found


_OPTION: Final = re.compile(r"([A-Za-z][A-Za-z /_-]*)[:=](.*)")


def _ior(text: str, path: Path, nodes: int, processes: int) -> list[Measurement]:
    options: dict[str, str] = {}
    columns: list[str] = []
    found: list[Measurement] = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if words and words[0] == "access" and any(word.startswith("bw(") for word in words):
            columns = words
            continue
        option = _OPTION.match(line.lstrip())
        if option is not None:
            name = option[1].strip().lower()
            if name == "command line":  # another run in the same file
                options, columns = {}, []
            options[name] = option[2].strip()
            continue
        if columns and len(words) >= 2 and words[0] in ("read", "write"):
            where = f"{path.name}: line {number}"
            found.append(
                _measurement(dict(zip(columns, words, strict=False)), options, where, nodes, processes)
            )
    return [m for m in found if m.bandwidth > 0]


def _measurement(
    row: dict[str, str], options: dict[str, str], where: str, nodes: int, processes: int
) -> Measurement:
    try:
        [name] = [name for name in row if name.startswith("bw(")]
        scale = GIB if "GiB" in name else MIB
        bandwidth = _number(row[name], where) * scale
        told = re.findall(r"\d+", options.get("clients", ""))  # "16 (8 per node)" before 3.3
        tasks = int(options.get("tasks") or (told[0] if told else 0))
        each = int(options.get("clients per node") or (told[1] if len(told) > 1 else 0) or processes or 0)
        count = int(options.get("nodes") or 0) or (-(-tasks // each) if tasks and each else 0) or nodes
        size = parse_size(options["xfersize"].replace("bytes", "B")) if "xfersize" in options else 1 << 18
        block = parse_size(options["blocksize"].replace("bytes", "B")) if "blocksize" in options else 0
        segments = int(options.get("segments") or 1)
    except (ValueError, InputError) as error:
        raise InputError(f"not a line of IOR's results: {error}", place=where) from None
    if not count:
        raise InputError("it isn't said on how many nodes", place=where, hint="say --nodes N")
    access = options.get("access", "")
    own = "file-per-process" in access
    together = "collective" in (options.get("type", "") + access)
    order = "random" if "random" in options.get("ordering in a file", "") else "sequential"
    if order == "sequential" and not own and segments > 1 and block <= size:
        order = "strided"  # one transfer of each process in turn: interleaved
    way = Way(order, size, together)
    direction = row["access"]
    return Measurement(direction, count, each or max(1, -(-tasks // count)), way, own, bandwidth, where)
