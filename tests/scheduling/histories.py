"""What random histories have in common: the queue policies, and what is held when all jobs are over."""

from __future__ import annotations

from batfs.filesystems.cache import add_bytes
from batfs.filesystems.site import FileSystems

QUEUES = (
    "fcfs",
    "filler",
    "easy",
    "easy_storage",
    "sjf_storage",
    "conservative",
    "plan",
    "plan_io",
    "fit_io",
)


def kept_by_sets(files: FileSystems) -> dict[int, int]:
    """Bytes of the data sets that are there, by the position of the storage that has them."""
    kept: dict[int, int] = {}
    for book in files.data_sets.values():
        for found in book.sets.values():
            add_bytes(kept, {files.position[s]: size for s, size in found.bytes_on().items()})
    return kept
