"""The workloads that come with batfs: made by the generator from fixed options, or (one job) by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from batfs.workload.model import Composed, Job, ParallelHomogeneousTotal, Profile, Workload
from batfs.workload.synth import FileSystemShare, SynthOptions, synthesize

GB: Final = 10**9

# 300 jobs for platforms/taurus_storage.xml: 16 nodes, five file systems. Volumes are scaled to what each can
# carry, so that half of the jobs last longer for their I/O, some wait for space in the burst buffers or the
# NVMe pool, and policies differ; no job's bytes exceed one of the burst buffers' or the pool's devices.
IO: Final = SynthOptions(
    jobs=300,
    nodes=16,
    seed=2026,
    load=0.5,
    daily_cycle=False,
    shortest=20,
    longest=3600,
    speed=1e9,
    load_over="gaps",
    io="rate:median=150MBps,sigma=1.0",
    filesystems=(
        FileSystemShare("disk", weight=2, scale=0.8, most=60 * GB),
        FileSystemShare("nfs", weight=2, scale=1.2, most=60 * GB),
        FileSystemShare("lustre", weight=3, scale=5, most=400 * GB),
        FileSystemShare("bb", weight=4, scale=20, most=100 * GB),
        FileSystemShare("nvme", weight=3, scale=20, most=80 * GB),
    ),
)


def _io(name: str) -> Workload:
    """Three hundred jobs on 16 nodes, whose I/O goes to five file systems."""
    return synthesize(IO, name)


def _io_example(name: str) -> Workload:
    """The worked example of Batsim's documentation: one job on two nodes.

    It reads 8e8 bytes from the central storage and writes 2e8 bytes to its nodes' own disks.
    """
    io = [{"filesystem": "nfs", "reads": 800_000_000}, {"filesystem": "disk", "writes": 200_000_000}]
    extra = {"io_reads": 800_000_000, "io_writes": 200_000_000, "io": io}
    profile = ParallelHomogeneousTotal(10_000_000_000, 10_000_000, extra)
    job = Job(f"{name}!job1", 0, 2, "io_example", 3600)
    return Workload(name, 2, [job], {"io_example": profile})


def _io_composed(name: str) -> Workload:
    """One job on two nodes in phases: it loads 8e8 bytes from the central storage, then three times solves a
    step and saves 2e8 bytes to its nodes' own disks."""
    phases: dict[str, Profile] = {
        "load": ParallelHomogeneousTotal(
            1_000_000_000, 0, {"io": [{"filesystem": "nfs", "reads": 800_000_000}]}
        ),
        "solve": ParallelHomogeneousTotal(10_000_000_000, 10_000_000),
        "save": ParallelHomogeneousTotal(0, 0, {"io": [{"filesystem": "disk", "writes": 200_000_000}]}),
        "steps": Composed(("solve", "save"), 3),
        "phased": Composed(("load", "steps")),
    }
    return Workload(name, 2, [Job(f"{name}!job1", 0, 2, "phased", 3600)], phases)


PRESETS: Final[Mapping[str, Callable[[str], Workload]]] = {
    "io": _io,
    "io_composed": _io_composed,
    "io_example": _io_example,
}
