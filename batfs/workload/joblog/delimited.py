"""Tables of text: ``sacct -P`` and ``-p`` (``|``, no quoting), CSV, TSV, and columns of fixed width.

A record that can't be read is a row with a problem, never an exception, and never takes others with it: a
``|`` table has no quoting and its names may hold anything, and a stray quotation mark in a CSV ends with its
line.
"""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Iterator, Sequence
from typing import Final

from batfs.workload.joblog.columns import ALIASES, plain_name
from batfs.workload.joblog.rows import Row, Table

_DELIMITERS: Final = "|\t,;"
_RULER: Final = re.compile(r" *-{2,}[- ]*")
_BOX: Final = re.compile(r"[-+]{3,}")
_COUNT: Final = re.compile(r"\(\d+ rows?\)")
_CLUSTER: Final = re.compile(r"CLUSTER: (\S+)\s*")
# columns that hold what users wrote: a delimiter in one of them is theirs
_FREE: Final = frozenset(
    [
        "jobname",
        "name",
        "jnam",
        "comment",
        "admincomment",
        "systemcomment",
        "submitline",
        "workdir",
        "reason",
        "command",
    ]
)
_MOST_WAYS: Final = 500  # to tell free texts apart that are tried
_LONGEST_RECORD: Final = 50  # lines that one record may span, when its name holds line breaks
_STRICT: Final = ("submit", "start", "end", "elapsed", "limit", "nodes", "nodes_requested")
_PLAUSIBLE: Final = re.compile(
    r"(?:[\d:T.+/ Z-]*|[\d.]+[KMG]|unknown|none|n/?a|nan|nat|null|\\n|unlimited|infinite|partition_limit"
    r"|not_set|invalid|[a-z]{3} [a-z]{3} [\d: ]+(?:[a-z]{3,4} )?\d{4})",
    re.IGNORECASE,
)
# Alibaba's PAI tables come without a header, which is in a file of its own
_PAI_JOB: Final = ("job_name", "inst_id", "user", "status", "start_time", "end_time")
_PAI_TASK: Final = (
    *("job_name", "task_name", "inst_num", "status", "start_time", "end_time"),
    *("plan_cpu", "plan_mem", "plan_gpu", "gpu_type"),
)
_PAI_STATES: Final = ("terminated", "failed", "running", "waiting")
_SACCT_HINT: Final = (
    "sacct -aXP -o JobIDRaw,State,Submit,Start,End,ElapsedRaw,NNodes,TimelimitRaw prints them"
)
_PAI_HINT: Final = "pai_job_table has no sizes: give pai_task_table.csv, whose inst_num are the nodes"


def read_delimited(text: str) -> Table:
    """The table in ``text``, whichever of the forms it has."""
    lines = _unboxed(text.split("\n"))
    first = next((i for i, line in enumerate(lines) if line.strip() and not _skipped(line)), 0)
    cluster = next((m[1] for line in lines[:first] if (m := _CLUSTER.fullmatch(line.rstrip("\r")))), "")
    header = lines[first].rstrip("\r").removeprefix("#")
    if first + 1 < len(lines) and _RULER.fullmatch(lines[first + 1].rstrip("\r")):
        return _fixed(lines, first, cluster)
    delimiter = max(_DELIMITERS, key=header.count)
    if delimiter not in header:
        odd = re.search(r"(?<=\w)[^\w\s()%/.-]+(?=\w)", header)
        if odd is None:
            return _spaced(lines, first, cluster)
        delimiter = odd[0]
    names = [name.strip() for name in _cells(header, delimiter)]
    if delimiter == "," and (pai := _pai(names)) is not None:
        first -= 1
        names = list(pai)
    while names and not names[-1]:  # sacct -p ends each line with the delimiter
        names.pop()
    rows = _Reader(lines, first, names, delimiter)
    plain = [plain_name(name) for name in names]
    if plain[: len(_PAI_TASK)] == [plain_name(name) for name in _PAI_TASK]:
        given = ("id=job_name", "submit=start_time", "name=task_name")
        return Table("Alibaba PAI's task table", names, iter(rows), given, parts=True)
    if plain == [plain_name(name) for name in _PAI_JOB]:
        return Table("Alibaba PAI's job table", names, iter(rows), ("submit=start_time",), hint=_PAI_HINT)
    word = {"|": "table with | between", "\t": "table with tabs between", ",": "CSV"}.get(delimiter, "table")
    slurm = bool({"jobidraw", "timelimitraw", "elapsedraw", "nnodes", "allocnodes", "reqnodes"} & set(plain))
    kind = f"sacct's {word}" if slurm else word
    hint = _SACCT_HINT if slurm or delimiter == "|" else None
    return Table(kind, names, iter(rows), slurm=slurm or delimiter == "|", hint=hint)


def _unboxed(lines: list[str]) -> list[str]:
    """The lines of a table that mysql or psql drew, without the drawing; other lines as they are."""
    top = next((i for i, line in enumerate(lines) if line.strip()), 0)
    mysql = _BOX.fullmatch(lines[top].strip()) is not None and lines[top].lstrip().startswith("+")
    below = lines[top + 1].strip() if top + 1 < len(lines) else ""
    if not mysql and not ("+" in below and _BOX.fullmatch(below)):
        return lines
    plain = ("" if _BOX.fullmatch(line.strip()) or _COUNT.fullmatch(line.strip()) else line for line in lines)
    return [line.strip()[1:-1] if mysql and line else line for line in plain]


def _skipped(line: str) -> bool:
    """Lines before the header: a comment that isn't it, squeue's name of a cluster, Excel's ``sep=``."""
    if _CLUSTER.fullmatch(line.rstrip("\r")) or re.fullmatch("sep=.", line.strip()):
        return True
    if not line.startswith("#"):
        return False
    known = {plain_name(name) for role in ("id", "submit", "start") for name in ALIASES[role]}
    words = [plain_name(word) for word in re.split(r"[|\t,;]", line)]
    return len(words) < 3 or not known & set(words)


def _pai(cells: Sequence[str]) -> Sequence[str] | None:
    """The header of a PAI table that has none, told by its first line."""
    if len(cells) not in (len(_PAI_JOB), len(_PAI_TASK)) or cells[3].lower() not in _PAI_STATES:
        return None
    return _PAI_JOB if len(cells) == len(_PAI_JOB) else _PAI_TASK


def _cells(line: str, delimiter: str) -> list[str]:
    """One line of a table: by the rules of CSV where it has quotation marks and these have any meaning."""
    if '"' not in line or not _quotes(line, delimiter):
        return line.split(delimiter)
    try:
        return next(csv.reader([line], delimiter=delimiter))
    except (
        csv.Error
    ):  # a field of more than 128 kB, a bare carriage return: no quotation marks that mean anything
        return line.split(delimiter)


def _shape(cell: str) -> str:
    """What kind of number or time a cell looks like; empty where it says nothing (unknown, zero)."""
    text = cell.strip()
    if len(text) >= 10 and text.count("-") + text.count("/") >= 2:
        return "date"
    digits = text.partition(".")[0]
    if not digits.isdigit() or not digits.strip("0"):
        return ""
    return "since 1970" if len(digits) > 8 else "small"


def _shared_out(surplus: int, places: int) -> Iterator[tuple[int, ...]]:
    """The ways to share so many delimiters out among so many free texts."""
    if places <= 1:
        yield from [(surplus,)] if places else []
        return
    for here in range(surplus + 1):
        for rest in _shared_out(surplus - here, places - 1):
            yield (here, *rest)


def _quotes(header: str, delimiter: str) -> bool:
    """Whether a table quotes: CSV does, sacct's | doesn't, unless its very header is quoted."""
    return len(delimiter) == 1 and (delimiter != "|" or header.startswith('"'))


class _Reader:
    """The rows of a table with a delimiter, each good or with a problem."""

    def __init__(self, lines: list[str], first: int, names: list[str], delimiter: str) -> None:
        self._lines = lines
        self._first = first
        self._count = len(names)
        self._delimiter = delimiter
        self._header = [plain_name(name) for name in names]
        self._free = [i for i, name in enumerate(self._header) if name in _FREE]
        known = {plain_name(name) for role in _STRICT for name in ALIASES[role]}
        self._strict = [i for i, name in enumerate(self._header) if name in known and name != "nodes"]
        times = {plain_name(name) for role in ("submit", "start", "end") for name in ALIASES[role]}
        self._times = [i for i in self._strict if self._header[i] in times]
        self._quoted = _quotes(lines[first] if first >= 0 else "", delimiter)

    def __iter__(self) -> Iterator[Row]:
        lines, delimiter, count = self._lines, self._delimiter, self._count
        at, end = self._first + 1, len(lines)
        while at < end:
            line = lines[at]
            number = at + 1
            at += 1
            if not line or line == "\r":
                continue
            if line[-1] == "\r":
                line = line[:-1]
            if self._quoted and '"' in line:
                cells, at = self._quoted_record(line, at)
            else:
                cells = line.split(delimiter)
                if cells[-1] == "" and len(cells) == count + 1:
                    cells.pop()
                if len(cells) < count and not self._quoted and line.strip():
                    cells, at = self._continued(cells, at)
            if len(cells) == count:
                if (
                    cells[0].strip() != ""
                    and plain_name(cells[0]) == self._header[0]
                    and self._is_header(cells)
                ):
                    continue
                yield Row(number, cells)
            elif not line.strip() or _CLUSTER.fullmatch(line):
                continue
            elif len(cells) > count and (mended := self._mended(cells)) is not None:
                yield Row(number, mended)
            else:
                yield Row(number, (), f"found {len(cells)} columns, expected {count}")

    def _is_header(self, cells: Sequence[str]) -> bool:
        """The header again, where logs were put one behind the other."""
        return [plain_name(cell) for cell in cells] == self._header

    def plausible(self, cells: Sequence[str]) -> bool:
        """Whether the columns of times and numbers hold nothing else."""
        if not all(_PLAUSIBLE.fullmatch(cells[i].strip()) for i in self._strict):
            return False
        shapes = {_shape(cells[i]) for i in self._times} - {""}
        others = {_shape(cells[i]) for i in self._strict if i not in self._times}
        return len(shapes) < 2 and not {"date", "since 1970"} & others

    def _mended(self, cells: list[str]) -> list[str] | None:
        """A row with more cells than columns: a free text takes what is over, if it can be told which."""
        surplus = len(cells) - self._count
        found: list[list[str]] = []
        for shares in itertools.islice(_shared_out(surplus, len(self._free)), _MOST_WAYS):
            candidate: list[str] = []
            at = 0
            for place in range(self._count):
                more = shares[self._free.index(place)] if place in self._free else 0
                candidate.append(self._delimiter.join(cells[at : at + more + 1]))
                at += more + 1
            if self.plausible(candidate):
                found.append(candidate)
        free = set(self._free)
        needed = {tuple(c for i, c in enumerate(row) if i not in free) for row in found}
        return found[0] if len(needed) == 1 else None

    def _continued(self, cells: list[str], at: int) -> tuple[list[str], int]:
        """A record with too few cells may go on behind a line break in a name; else it stays as it is."""
        joined, place = cells, at
        while (
            self._free and len(joined) < self._count and place < min(len(self._lines), at + _LONGEST_RECORD)
        ):
            more = self._lines[place].rstrip("\r").split(self._delimiter)
            if len(more) >= self._count:
                break
            joined = [*joined[:-1], f"{joined[-1]}\n{more[0]}", *more[1:]]
            place += 1
        if len(joined) >= self._count:
            whole = joined if len(joined) == self._count else self._mended(joined)
            if whole is not None and self.plausible(whole):
                return whole, place
        return cells, at

    def _quoted_record(self, line: str, at: int) -> tuple[list[str], int]:
        """A record of a CSV: its quoted cells may hold line breaks; a stray quotation mark is a character."""
        record, place = line, at
        while True:
            cells = self._closed(record)
            if cells is not None:
                if len(cells) == self._count:
                    return cells, place
                break
            if place >= len(self._lines) or place - at >= _LONGEST_RECORD:
                break
            record = f"{record}\n{self._lines[place]}"
            place += 1
        cells = line.split(self._delimiter)
        return cells, at

    def _closed(self, record: str) -> list[str] | None:
        """The cells of ``record``, None while a quotation is open."""
        if record.count('"') % 2:
            return None
        try:
            rows = list(csv.reader([record], delimiter=self._delimiter, strict=True))
        except csv.Error:
            return None
        return rows[0] if len(rows) == 1 else None


def _fixed(lines: list[str], first: int, cluster: str) -> Table:
    """sacct's default output: right or left in columns whose widths the line of dashes tells."""
    ruler = lines[first + 1].rstrip("\r")
    spans = [(m.start(), m.end()) for m in re.finditer("-+", ruler)]
    width = spans[-1][1]
    header = [lines[first][begin:end].strip() for begin, end in spans]

    def rows() -> Iterator[Row]:
        for number, raw in enumerate(lines[first + 2 :], start=first + 3):
            line = raw.rstrip("\r\n")
            if not line.strip() or line.strip() == ruler.strip() or line == lines[first].rstrip("\r"):
                continue
            yield Row(number, _sliced(line, spans, width))

    return Table("sacct's columns of fixed width", header, rows(), slurm=True, hint=_SACCT_HINT)


def _sliced(line: str, spans: Sequence[tuple[int, int]], width: int) -> list[str]:
    """The cells between the ruler's ends, in bytes where the line was filled up by bytes."""
    data = line.encode("utf-8", "replace")
    if len(data) != len(line) and len(line.rstrip()) < len(data.rstrip()) and len(data) in (width, width + 1):
        return [data[begin:end].decode("utf-8", "replace").strip() for begin, end in spans]
    return [line[begin:end].strip() for begin, end in spans]


def _spaced(lines: list[str], first: int, cluster: str) -> Table:
    """squeue's default output: words right-aligned under the header's, with the cluster's name before it."""
    names = lines[first].split()
    ends = [m.end() for m in re.finditer(r"\S+", lines[first].rstrip("\r"))]
    header = [*names, "Cluster"]

    def rows() -> Iterator[Row]:
        name = cluster
        for number, raw in enumerate(lines[first + 1 :], start=first + 2):
            line = raw.rstrip("\r\n")
            found = _CLUSTER.fullmatch(line)
            if found:
                name = found[1]
            if found or not line.strip() or line.split() == names:
                continue
            words = line.split()
            if len(words) != len(names):
                begins = [0, *ends[:-1]]
                words = [line[b:e].strip() for b, e in zip(begins, [*ends[:-1], len(line)], strict=True)]
            yield Row(number, [*words, name])

    hint = "squeue -o '%i|%u|%T|%V|%S|%e|%D|%l' prints what is needed"
    return Table("squeue's columns", header, rows(), slurm=True, hint=hint)
