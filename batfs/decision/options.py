"""The flags that ``batfs run`` and ``batfs-sched`` share, and the settings they amount to."""

from __future__ import annotations

import argparse

from batfs.errors import InputError
from batfs.scheduling.config import (
    Configuration,
    Settings,
    flags_layer,
    parse_filesystem_flags,
    read_config,
)

_DEFAULT = Configuration()

#: What a queue policy begins with that is a pybatsim scheduler.
PYBATSIM = "pybatsim:"


def add_scheduler_arguments(parser: argparse.ArgumentParser) -> None:
    """Everything the scheduler can be told by flags; None where nothing was said."""
    group = parser.add_argument_group("scheduler")
    group.add_argument(
        "--policy",
        metavar="NAME[:k=v,...]",
        help="allocation policy: on which storages a job's bytes live, such as random, worst_fit or "
        f"file.py:Name (default: {_DEFAULT.policy})",
    )
    group.add_argument(
        "--queue",
        metavar="NAME[:k=v,...]",
        help="queue policy: which waiting job starts next, such as fcfs, easy or file.py:Name "
        f"(default: {_DEFAULT.queue})",
    )
    group.add_argument(
        "--io-policy",
        metavar="NAME[:k=v,...]",
        help="I/O policy: which transfers may move now, and how fast, such as exclusive, set10 or "
        f"file.py:Name; it needs dynamic jobs (default: {_DEFAULT.io_policy})",
    )
    group.add_argument(
        "--measure-io",
        action="store_true",
        default=None,
        help="measure how much I/O slows the jobs under the I/O policy fair too (others always do)",
    )
    group.add_argument(
        "--filesystem",
        metavar="[FS=]MODEL[:k=v,...]",
        action="append",
        help="file-system model, such as pfs, dfs or file.py:Name, of the file system FS, or of all those "
        "that name none in the platform; repeatable",
    )
    group.add_argument(
        "--default-filesystem",
        metavar="FS",
        help="where plain io_reads and io_writes go (default: the shared file system with most storages)",
    )
    group.add_argument(
        "--seed", type=int, metavar="N", help=f"of the random generator (default: {_DEFAULT.seed})"
    )
    group.add_argument(
        "--node-selection",
        metavar="RULE",
        help=f"which free nodes a job gets: lowest, contiguous, block (default: {_DEFAULT.node_selection})",
    )
    group.add_argument(
        "--node-order",
        choices=("id", "name"),
        help="what lowest and contiguous go by: Batsim's id, or name (node_2 before node_10); default: id",
    )
    group.add_argument(
        "--config", metavar="FILE", help="settings in TOML (or JSON); flags win over it: see the docs"
    )
    group.add_argument(
        "--no-io",
        dest="io",
        action="store_false",
        default=None,
        help="leave the jobs' I/O out: their bytes are counted, but not moved, and hold no space",
    )
    group.add_argument(
        "--show-storages",
        action="store_true",
        default=None,
        help="show the storages to a scheduler that isn't batfs's own (default: only the compute nodes)",
    )
    group.add_argument(
        "--validate",
        action="store_true",
        default=None,
        help="check every invariant after every message (slow): disjoint nodes, capacities, no byte lost",
    )


def settings_from(args: argparse.Namespace) -> Settings:
    """Settings of parsed flags. Raises InputError."""
    file = read_config(args.config) if args.config else None
    flags = {
        "policy": args.policy,
        "queue": args.queue,
        "io_policy": args.io_policy,
        "measure_io": args.measure_io,
        "default_filesystem": args.default_filesystem,
        "seed": args.seed,
        "node_selection": args.node_selection,
        "node_order": args.node_order,
        "validate": args.validate,
        "io": args.io,
        "show_storages": args.show_storages,
        "platform": getattr(args, "scheduler_platform", None),
        **parse_filesystem_flags(args.filesystem or ()),
    }
    return Settings(file=file, flags=flags_layer(flags))


def split_pybatsim(queue: str) -> tuple[str, dict[str, object]]:
    """``pybatsim:schedFcfs`` or ``pybatsim:file.py:{"option": 1}`` as (name or file, options)."""
    name, brace, options = queue.removeprefix(PYBATSIM).partition(":{")
    if not brace:
        return name, {}
    import orjson

    try:
        values = orjson.loads("{" + options)
    except orjson.JSONDecodeError as error:
        raise InputError(f"the options of {queue!r} are malformed JSON: {error.msg}") from None
    return name, dict(values)
