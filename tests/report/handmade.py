"""Runs made by hand: first come first served on a small machine, so that the files are consistent with one
another.
"""

from __future__ import annotations

import csv
import heapq
import json
import random
from pathlib import Path

from batfs.resource_sets import format_resources

JOBS_HEADER = [
    "job_id",
    "workload_name",
    "profile",
    "submission_time",
    "requested_number_of_resources",
    "requested_time",
    "success",
    "final_state",
    "starting_time",
    "execution_time",
    "finish_time",
    "waiting_time",
    "turnaround_time",
    "stretch",
    "allocated_resources",
    "consumed_energy",
    "metadata",
]
IO_HEADER = [
    "job_id",
    "workload_name",
    "file_system",
    "storages",
    "read_bytes",
    "written_bytes",
    "read_by_storage",
    "written_by_storage",
    "internal_bytes",
    "staged_bytes",
    "io_resources",
    "storage_waiting_time",
    "hold_reason",
    "allocated_resources",
]
STATES_HEADER = [
    "time",
    "storage",
    "name",
    "filesystem",
    "capacity",
    "reserved_bytes",
    "used_bytes",
    "active_transfers",
]


def write_run(
    prefix: Path,
    jobs: int = 200,
    nodes: int = 16,
    storages: int = 6,
    seed: int = 0,
    label: str = "",
    slow: float = 1.0,
) -> Path:
    """Write a run's files under ``prefix``; ``slow`` stretches every execution. Returns ``prefix``."""
    draw = random.Random(seed)
    prefix.parent.mkdir(parents=True, exist_ok=True)
    free = [(0.0, node) for node in range(nodes)]
    heapq.heapify(free)
    now = earliest = 0.0
    rows, io_rows, changes = [], [], []
    for i in range(jobs):
        now += draw.expovariate(nodes / 260)
        size = min(nodes, 2 ** draw.randrange(0, 4))
        taken = [heapq.heappop(free) for _ in range(size)]
        held = draw.random() < 0.2
        wait = draw.uniform(1, 60) if held else 0.0
        start = earliest = max(earliest, now, taken[-1][0]) + wait
        length = draw.lognormvariate(3.5, 1.0) * slow
        end = start + length
        for _, node in taken:
            heapq.heappush(free, (end, node))
        ids = sorted(node for _, node in taken)
        name = str(i + 1)
        if i % 97 == 96:
            for _, node in taken:
                free.remove((end, node))
                heapq.heapify(free)
                heapq.heappush(free, (start, node))
            rows.append(
                [
                    name,
                    "w0",
                    "big",
                    f"{now:.6f}",
                    size,
                    -1,
                    0,
                    "REJECTED",
                    *[""] * 7,
                    "",
                    '"needs 9 TB, pool has 4 TB"',
                ]
            )
            continue
        rows.append(
            [
                name,
                "w0",
                f"p{size}",
                f"{now:.6f}",
                size,
                "900.000000",
                1,
                "COMPLETED_SUCCESSFULLY",
                f"{start:.6f}",
                f"{length:.6f}",
                f"{end:.6f}",
                f"{start - now:.6f}",
                f"{end - now:.6f}",
                f"{(end - now) / length:.6f}",
                format_resources(ids),
                "-1.000000",
                '""',
            ]
        )
        if draw.random() < 0.7:
            target = nodes + draw.randrange(storages)
            read, written = draw.randrange(10**9, 10**11), draw.randrange(10**8, 10**10)
            io_rows.append(
                [
                    name,
                    "w0",
                    f"fs{target % 2}",
                    target,
                    read,
                    written,
                    f"{target}:{read}",
                    f"{target}:{written}",
                    0,
                    draw.choice([0, read]),
                    format_resources([*ids, target]),
                    f"{wait:.6f}",
                    "StorageCapacity" if held else "",
                    format_resources(ids),
                ]
            )
            changes += [(start, target, read + written, 1), (end, target, -read - written, -1)]
    rows.sort(key=lambda row: float(row[10] or row[3]))
    _write(f"{prefix}_jobs.csv", JOBS_HEADER, rows)
    _write(f"{prefix}_io_jobs.csv", IO_HEADER, io_rows)
    state = {nodes + i: [0, 0] for i in range(storages)}
    lines = [[0.0, s, f"disk{s}", f"fs{s % 2}", 4 * 10**12, 0, 0, 0] for s in state]
    for time, storage, size, active in sorted(changes):
        state[storage][0] += size
        state[storage][1] += active
        held_bytes = state[storage][0]
        lines.append(
            [
                f"{time:.6f}",
                storage,
                f"disk{storage}",
                f"fs{storage % 2}",
                4 * 10**12,
                held_bytes,
                held_bytes // 2,
                state[storage][1],
            ]
        )
    _write(f"{prefix}_storage_states.csv", STATES_HEADER, lines)
    Path(f"{prefix}_provenance.json").write_text(
        json.dumps({"configuration": {"policy": label, "seed": seed}, "results": {"compute_nodes": nodes}})
    )
    return prefix


def _write(path: str, header: list[str], rows: list[list[object]]) -> None:
    with open(path, "w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, quoting=csv.QUOTE_MINIMAL, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
