"""Which kind of job log a file is, by its content."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from batfs.errors import InputError
from batfs.texts import Text, decode
from batfs.workload.foreign import foreign_json, foreign_text
from batfs.workload.joblog.accounting import (
    LSF_LINE,
    PBS_LINE,
    SLURM_LINE,
    read_lsf,
    read_pbs,
    read_slurm_pairs,
)
from batfs.workload.joblog.delimited import read_delimited
from batfs.workload.joblog.documents import parse_json, read_json, read_parquet
from batfs.workload.joblog.rows import Table

_SWF_LINE: Final = re.compile(r"\s*(?:-?[\d.]+(?:e[+-]?\d+)?\s+){17}-?[\d.]+(?:\s|$)")


def is_swf(text: str) -> bool:
    """Whether ``text`` looks like the standard workload format: comments with ``;``, lines of 18 numbers."""
    for line in text.split("\n", 200)[:200]:
        if not line.strip():
            continue
        if not line.lstrip().startswith(";"):
            return _SWF_LINE.match(line) is not None
    return text.lstrip().startswith(";")


def read_table(path: Path, data: bytes, given: Sequence[str]) -> tuple[Table, Text | None]:
    """The rows of a log and how its text was read (None: it isn't text). InputError for no job log."""
    if data.startswith(b"PAR1"):
        return read_parquet(path, given), None
    text = decode(data, path)
    body = text.text.lstrip("\ufeff \t\r\n")
    if not body:
        raise InputError("the file is empty", file=path)
    try:
        what = foreign_text(body)
        if what is not None:
            raise InputError(f"not a job log: {what}")
        if body[0] in "{[":
            document = parse_json(text.text.strip().encode())
            what = foreign_json(document)
            if what is not None and "from-log" not in what:
                raise InputError(f"not a job log: {what}")
            return read_json(document), text
        for line, reader in ((PBS_LINE, read_pbs), (LSF_LINE, read_lsf), (SLURM_LINE, read_slurm_pairs)):
            if line.match(body):
                return reader(text.text), text
        return read_delimited(text.text), text
    except InputError as error:
        raise error.at(file=path) from None
