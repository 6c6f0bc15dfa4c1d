"""Output files that appear whole or not at all.

A file is written beside its place under a name ending in ``.partial`` and renamed when it is complete;
what was there before stays untouched until then. After a failure the ``.partial`` file is kept on request
(a long run's partial results are worth having) and removed otherwise.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from batfs.errors import InputError

PARTIAL = ".partial"


def partial_path(path: Path) -> Path:
    """Where ``path`` is written until it is complete."""
    return path.with_name(path.name + PARTIAL)


@contextmanager
def writing(path: Path, *, keep_partial: bool = False) -> Iterator[TextIO]:
    """A text file (UTF-8, ``\\n``) that replaces ``path`` when the block ends without an exception."""
    aside = partial_path(path)
    try:
        stream = open(aside, "w", encoding="utf-8", newline="\n")  # noqa: SIM115
    except OSError as error:
        raise InputError(f"cannot write: {error.strerror}", file=path) from error
    try:
        with stream:
            yield stream
        os.replace(aside, path)
    except BaseException:
        if not keep_partial:
            aside.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path``, whole or not at all."""
    with writing(path) as stream:
        stream.write(text)


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path``, whole or not at all."""
    aside = partial_path(path)
    try:
        aside.write_bytes(data)
        os.replace(aside, path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise InputError(f"cannot write: {error.strerror}", file=path) from error


def check_writable(directory: Path) -> None:
    """Create ``directory`` if need be; InputError when nothing can be written into it."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the directory: {error.strerror}", file=directory) from error
    if not os.access(directory, os.W_OK | os.X_OK):
        raise InputError("the directory can't be written", file=directory)
    # root passes access() on read-only file systems and on /proc: try for real
    probe = directory / f".batfs-{os.getpid()}{PARTIAL}"
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(f"the directory can't be written: {error.strerror}", file=directory) from error
