"""The flags that ``batfs run`` and ``batfs-sched`` share, and the settings they amount to."""

from __future__ import annotations

import argparse

from batfs.errors import InputError
from batfs.parsing import add_word
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
    add_word(group, "--policy", f", such as random, worst_fit or file.py:Name [{_DEFAULT.policy}]")
    add_word(group, "--queue", f", such as fcfs, easy or file.py:Name [{_DEFAULT.queue}]")
    needs = "; it needs dynamic jobs"
    add_word(
        group, "--io-policy", f", such as exclusive, set10 or file.py:Name{needs} [{_DEFAULT.io_policy}]"
    )
    add_word(
        group,
        "--measure-io",
        "under the I/O policy fair, too (others always do)",
        action="store_true",
        default=None,
    )
    add_word(
        group,
        "--staging",
        ", on file systems that stage and don't say it themselves; the last two need dynamic jobs [held]",
    )
    add_word(
        group,
        "--filesystem",
        ", such as pfs, dfs or file.py:Name, of the file system FS, or of all those that name none in the "
        "platform; repeatable",
        action="append",
    )
    add_word(group, "--default-filesystem", "[the shared file system with most storages]")
    add_word(group, "--seed", f"[{_DEFAULT.seed}]", type=int)
    add_word(group, "--node-selection", f"[{_DEFAULT.node_selection}]")
    add_word(group, "--node-order", "[id]", choices=("id", "name"))
    add_word(group, "--config")
    add_word(group, "--faults")
    add_word(group, "--no-io", dest="io", action="store_false", default=None)
    add_word(group, "--show-storages", "[only the compute nodes]", action="store_true", default=None)
    add_word(group, "--validate", ": nodes, capacities, bytes", action="store_true", default=None)


def settings_from(args: argparse.Namespace) -> Settings:
    """Settings of parsed flags. Raises InputError."""
    file = read_config(args.config) if args.config else None
    flags = {
        "policy": args.policy,
        "queue": args.queue,
        "io_policy": args.io_policy,
        "measure_io": args.measure_io,
        "staging": args.staging,
        "default_filesystem": args.default_filesystem,
        "seed": args.seed,
        "node_selection": args.node_selection,
        "node_order": args.node_order,
        "faults": _faults(args.faults) if args.faults else None,
        "validate": args.validate,
        "io": args.io,
        "show_storages": args.show_storages,
        "platform": getattr(args, "scheduler_platform", None),
        **parse_filesystem_flags(args.filesystem or ()),
    }
    return Settings(file=file, flags=flags_layer(flags))


def _faults(path: str) -> dict[str, object]:
    from batfs.scheduling.faults.plan import read_faults

    return read_faults(path)


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
