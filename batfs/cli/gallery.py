"""``batfs gallery``: one workload under each file-system model."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batfs import files
from batfs.cli.machine_flags import add_machine_flags, machine_values
from batfs.errors import InputError
from batfs.parsing import add_word, at_least

if TYPE_CHECKING:
    from batfs.report.gallery import Exhibit

HELP = """run one workload on the same machine under each file-system model, side by side

All the bytes of every job go to one file system of the machine under one model, in a run of its own. Prints a
table and writes it with figures: how long I/O keeps a job's nodes, and how full the storages get. Examples:

  batfs gallery
  batfs gallery -n 80 --seed 3 -o out/gallery
  batfs gallery -p platforms/taurus_storage.xml -w workloads/io.json
  batfs gallery --model pfs --model pfs=nfs --model cache
  batfs gallery --model pfs --faults platforms/faults.toml
  batfs gallery --model pfs --model cache --data-sets
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_word(parser, "--platform", "[%(default)s]", type=Path, default=Path("platforms/taurus_storage.xml"))
    add_machine_flags(parser, events=True)
    add_word(parser, "--workload", "[a generated one]", type=Path, metavar="FILE")
    add_word(
        parser,
        "--model",
        ", on which file system, with which options; repeatable "
        "[pfs, dfs, burst_buffer and nvme_pool on the file systems of taurus_storage.xml]",
        action="append",
        metavar="MODEL[=FS[:k=v,...]]",
    )
    add_word(
        parser,
        "--count",
        "jobs the generated workload has [%(default)s]",
        old=("--jobs",),
        type=at_least(1),
        default=40,
    )
    add_word(parser, "--seed", "[%(default)s]", type=int, default=0)
    add_word(parser, "--queue", "[%(default)s]", default="easy")
    add_word(parser, "--faults", ": each model once more with them, and a figure of both", type=Path)
    parser.add_argument(
        "--data-sets",
        action="store_true",
        help="each model once more with jobs that share data sets, and a figure of how long these live",
    )
    add_word(parser, "--output", "[%(default)s]", type=Path, default=Path("out/gallery"), metavar="FOLDER")
    add_word(parser, "--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    from batfs.report.gallery import EXHIBITS, SHOWN, gallery, parse_exhibit, save

    if args.model:
        exhibits = {}
        for word in args.model:
            name, exhibit = parse_exhibit(word)
            exhibits[name if name not in exhibits else f"{name} on {exhibit.filesystem}"] = exhibit
    else:
        exhibits = {name: EXHIBITS[name] for name in SHOWN}
    faults = None if args.faults is None else _faults(args)
    with files.holding_folder(args.output):
        shown = gallery(
            args.platform,
            args.workload,
            exhibits,
            args.output,
            jobs=args.count,
            seed=args.seed,
            queue=args.queue,
            machine=machine_values(args),
        )
        written = save(shown, args.output)
        if faults is not None:
            written += _with_faults(args, exhibits, faults)
        if args.data_sets:
            written += _with_data_sets(args, exhibits)
    rows = [one.row() for one in shown]
    if args.json:
        print(json.dumps({"runs": rows, "files": [str(path) for path in written]}, indent=2))
        return 0
    from batfs.units import format_size

    head = ("model", "file system", "mean I/O", "max I/O", "waiting", "staging", "makespan", "peak reserved")
    table = [head] + [
        (
            str(row["model"]),
            str(row["file_system"]),
            f"{row['mean_io_time']:.1f} s",
            f"{row['max_io_time']:.1f} s",
            f"{row['mean_waiting_time']:.1f} s",
            f"{row['mean_staging_time']:.1f} s",
            f"{row['makespan']:.0f} s",
            format_size(row["peak_reserved_bytes"]),
        )
        for row in rows
    ]
    widths = [max(len(line[k]) for line in table) for k in range(len(head))]
    for line in table:
        cells = [
            c.ljust(w) if k < 2 else c.rjust(w) for k, (c, w) in enumerate(zip(line, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())
    refused = {row["model"]: row["rejected"] for row in rows if row["rejected"]}
    for name, count in {row["model"]: row["unsuccessful"] for row in rows if row["unsuccessful"]}.items():
        print(f"{name}: {count} jobs were killed, failed or ran out of time; they don't count as I/O")
    for name, count in refused.items():
        print(f"{name}: {count} jobs rejected, they can never fit")
    print(f"\nwritten: {', '.join(str(path) for path in written)}")
    return 0


def _faults(args: argparse.Namespace) -> dict[str, Any]:
    """What fails, before anything is simulated."""
    from batfs.report.fault_picture import check_names
    from batfs.scheduling.faults import read_faults

    faults = read_faults(args.faults)
    try:
        check_names(args.platform, faults, machine_values(args))
    except InputError as error:
        raise error if error.file is not None else error.at(file=args.faults) from None
    return faults


def _with_data_sets(args: argparse.Namespace, exhibits: Mapping[str, Exhibit]) -> list[Path]:
    """The figure of jobs that share data sets, under each model."""
    from batfs.report import set_picture
    from batfs.report.gallery import flags_of, simulated, workload_file
    from batfs.report.picture import save_figure
    from batfs.workload import read_workload, write_workload

    shown, reading = [], []
    for name, exhibit in exhibits.items():
        plain = read_workload(workload_file(args.output, name), "w0")
        file = workload_file(args.output, f"{name}-data_sets")
        shared = set_picture.sharing(plain, exhibit)
        write_workload(file, shared)
        flags = set_picture.with_sets(flags_of(exhibit, args.seed, args.queue), exhibit)
        shown.append(simulated(args.platform, file, name, exhibit, flags, machine_values(args)))
        reading.append(set_picture.readers(shared))
    return save_figure(set_picture.picture(shown, reading), args.output / "gallery-data_sets", ("png",))


def _with_faults(
    args: argparse.Namespace, exhibits: Mapping[str, Exhibit], faults: dict[str, Any]
) -> list[Path]:
    """The figure of what the faults do to each model."""
    from batfs.report.fault_picture import picture, run_both
    from batfs.report.gallery import flags_of, workload_file
    from batfs.report.picture import save_figure

    courses = run_both(
        args.platform,
        {name: workload_file(args.output, name) for name in exhibits},
        {name: flags_of(exhibit, args.seed, args.queue) for name, exhibit in exhibits.items()},
        faults,
        machine_values(args),
    )
    return save_figure(picture(courses), args.output / "gallery-faults", ("png",))
