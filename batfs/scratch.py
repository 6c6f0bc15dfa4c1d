"""Scratch folders that outlive no process for long: what one that was killed leaves, the next one removes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path


@contextmanager
def scratch_folder(kind: str) -> Iterator[Path]:
    """A folder of one's own in the system's place for such, gone at the end of the block.

    The first one that a process asks for removes those of processes that were killed: folders of this user's
    with a name of ours, in which nobody holds the lock any more.
    """
    _sweep()
    place = Path(tempfile.mkdtemp(prefix=f"batfs-{kind}-"))
    descriptor = os.open(place / _OWNED, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)
        os.close(descriptor)


_OWNED = ".batfs-owned"
_SCRATCH = re.compile(r"batfs-[a-z0-9]+-[a-z0-9_]{8}")


@cache
def _sweep() -> None:
    """Remove what killed processes left behind; once a process."""
    try:
        found = [entry for entry in os.scandir(tempfile.gettempdir()) if _SCRATCH.fullmatch(entry.name)]
    except OSError:
        return
    for entry in found:
        with contextlib.suppress(OSError):
            status = entry.stat(follow_symlinks=False)
            if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
                continue
            # one without it is just being made, or somebody else's
            descriptor = os.open(Path(entry) / _OWNED, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(entry, ignore_errors=True)
            finally:
                os.close(descriptor)
