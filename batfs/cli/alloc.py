"""``batfs alloc``: replay storage requests without nodes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from batfs.parsing import add_word, at_least, say, size

if TYPE_CHECKING:
    from batfs.storage.replay.requests import RequestTrace

HELP = """replay storage requests without nodes: which policy serves more jobs with less storage?

  batfs alloc replay SYSTEM TRACE     one policy, in detail
  batfs alloc sweep SYSTEM TRACE      policies x capacities x seeds, compared
  batfs alloc policies                the allocation policies and their rules
"""

REPLAY = """replay a trace of requests on a storage system under one allocation policy

SYSTEM is StorAlloc's YAML (hosts, disks; GB and GB/s) or the same as TOML. TRACE is StorAlloc's YAML (jobs)
or a CSV with the columns id, start, end or duration, and size (or read and written). Examples:

  batfs alloc replay infra8TB.yml IOJobsOct.yml --policy best_fit
  batfs alloc replay infra8TB.yml IOJobsOct.yml --policy lustre:threshold=0.1 --block-size 200GB
  batfs alloc replay infra8TB.yml IOJobsOct.yml --when-full retry:every=5m,backoff=2,limit=1h
  batfs alloc replay infra8TB.yml IOJobsOct.yml -c config_random.yml      as StorAlloc was configured
  batfs alloc replay infra8TB.yml IOJobsOct.yml --when-full backfill -e out/oct --figures out/figures
"""

SWEEP = """replay a trace under many policies, capacities and seeds, and compare them

Give --policy, --scale, --block-size and --when-full as often as you like; "all" is every policy. Examples:

  batfs alloc sweep infra8TB.yml infra64TB.yml IOJobsOct.yml --policy all
  batfs alloc sweep infra8TB.yml year.csv --policy random --policy lustre --scale 1 --scale 2 --seeds 9 -j 2
  batfs alloc sweep infra8TB.yml IOJobsOct.yml --block-size none --block-size 200GB --figures out -o sweep.csv
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(metavar="COMMAND", required=True, dest="verb", title="commands")
    replay = verbs.add_parser("replay", help="one policy, in detail", description=REPLAY)
    replay.add_argument("system", metavar="SYSTEM", help="the storage system, YAML or TOML")
    _add_trace(replay)
    add_word(replay, "--storalloc-config", ": policy, blocks, retry", old=("--config",), dest="config")
    add_word(replay, "--policy", "[worst_fit]")
    add_word(replay, "--seed", "[%(default)s]", type=int, default=0)
    add_word(replay, "--scale", "[1]", type=float, default=1.0)
    add_word(replay, "--block-size", "[none]", type=size)
    add_word(
        replay,
        "--when-full",
        ": refuse, retry:every=5m,backoff=1,limit=1h, storalloc, fifo or backfill [refuse]",
    )
    add_word(
        replay,
        "--export",
        ": PREFIX_summary.json, PREFIX_uses.csv, ... [none are written]",
        old=("--output", "-o"),
    )
    add_word(replay, "--validate", action="store_true")
    sweep = verbs.add_parser("sweep", help="many, compared", description=SWEEP)
    sweep.add_argument("systems", metavar="SYSTEM", nargs="+", help="the storage systems, YAML or TOML")
    _add_trace(sweep)
    add_word(sweep, "--policy", ", or all; repeatable [all]", action="append")
    add_word(sweep, "--scale", "(repeatable) [1]", type=float, action="append")
    add_word(sweep, "--block-size", ", or none; repeatable [none]", type=_block, action="append")
    add_word(sweep, "--when-full", ": refuse, retry, fifo or backfill; repeatable [refuse]", action="append")
    add_word(sweep, "--seeds", "[the seed 0]")
    sweep.add_argument("--seed", type=int, help=argparse.SUPPRESS)  # the first of --seeds, as it was once
    add_word(sweep, "--workers", "[all cores]", old=("--processes",), type=at_least(1))
    add_word(sweep, "--output", ": a CSV, a row per run [none]", metavar="FILE")
    for verb in (replay, sweep):
        add_word(verb, "--min-block-size", "[0B]", type=size, default=0)
        add_word(verb, "--json", action="store_true")
        add_word(verb, "--figures", "(SVG) [none are drawn]")
    rules = "the allocation policies and their rules"
    verbs.add_parser("policies", help=rules, description=rules)


def _add_trace(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("trace", metavar="TRACE", help="the requests, YAML or CSV")
    add_word(parser, "--capacity-from", "[%(default)s]", default="sum")
    add_word(parser, "--zone", "[%(default)s]", default="UTC")
    add_word(parser, "--no-merge", "[they are added up]", action="store_true")


def _block(text: str) -> int | None:
    """An argparse type."""
    return None if text == "none" else size(text)


def run(args: argparse.Namespace) -> int:
    verbs: dict[str, Callable[[argparse.Namespace], int]] = {
        "replay": _replay,
        "sweep": _sweep,
        "policies": _policies,
    }
    return verbs[args.verb](args)


def _replay(args: argparse.Namespace) -> int:
    from batfs.storage.replay import run as runs
    from batfs.storage.storalloc_config import read_config

    # flags go before the file
    config = None if args.config is None else read_config(args.config)
    block_size = None if config is None else config.block_size
    settings = runs.Settings(
        system=args.system,
        policy=args.policy or ("worst_fit" if config is None else config.policy),
        seed=args.seed,
        scale=args.scale,
        block_size=block_size if args.block_size is None else args.block_size,
        min_block_size=args.min_block_size,
        when_full=args.when_full or ("refuse" if config is None else config.when_full),
        validate=args.validate,
    )
    trace = _trace(args)
    with _progress(len(trace.requests), "requests") as done:
        result = runs.run_replay(settings, trace, details=bool(args.export or args.figures), done=done)
    written = runs.write_outputs(args.export, result) if args.export else []
    if args.figures:
        from batfs.storage.replay.figures import replay_figures

        written += replay_figures(result, Path(args.figures))
    if args.json:
        _print_json(runs.to_json(result))
        return 0
    print(runs.describe(result))
    print()
    _table(("", "requests", ""), runs.totals(result.summary))
    print()
    total = [result.summary.total] if result.summary.total else []
    uses = [*result.summary.storages[:50], *result.summary.groups[:50], *total]
    _table(runs.USE_COLUMNS, [runs.use_row(use) for use in uses])
    _print_written(written)
    return 0


def _sweep(args: argparse.Namespace) -> int:
    from batfs import files
    from batfs.process import cores
    from batfs.storage.replay import sweep

    settings = sweep.plan(
        args.systems,
        sweep.expand(args.policy or ["all"]),
        scales=args.scale or [1.0],
        block_sizes=args.block_size or [None],
        min_block_size=args.min_block_size,
        when_full=args.when_full or ["refuse"],
        seeds=_seeds(args),
    )
    if args.output:
        files.check_writable(Path(args.output).parent)
    trace = _trace(args)
    with _progress(len(settings), "replays") as done:
        cells = sweep.run_sweep(settings, trace, processes=args.workers or cores(), done=done)
    rows = sweep.run_rows(settings, cells)
    written: list[Path] = []
    if args.output:
        with files.writing(Path(args.output)) as stream:
            sweep.write_rows(stream, rows)
        written.append(Path(args.output))
    if args.figures:
        from batfs.storage.replay.figures import sweep_figures

        written += sweep_figures(cells, Path(args.figures))
    if args.json:
        _print_json(rows)
        return 0
    _table(sweep.CELL_COLUMNS, [sweep.cell_row(cell) for cell in cells])
    _print_written(written)
    return 0


def _seeds(args: argparse.Namespace) -> Sequence[int]:
    from batfs.campaign.plan import parse_seeds

    if args.seed is None:
        return [0] if args.seeds is None else parse_seeds(args.seeds)
    say("batfs alloc sweep: note: --seed is now part of --seeds, such as --seeds 0-8")
    return range(args.seed, args.seed + len(parse_seeds(args.seeds or 1)))


def _policies(args: argparse.Namespace) -> int:
    from batfs.storage.policies import POLICIES, known_policies

    for name in known_policies():
        text = (POLICIES.get(name).__doc__ or "").strip().partition("\n\n")[0]
        print(f"{name}\n  {' '.join(text.split())}")
    return 0


def _trace(args: argparse.Namespace) -> RequestTrace:
    from batfs.storage.replay.requests import read_requests

    return read_requests(
        args.trace, capacity_from=args.capacity_from, zone=args.zone, merge=not args.no_merge
    )


def _print_json(value: object) -> None:
    import orjson

    from batfs import json_text

    print(json_text.dumps(value, option=orjson.OPT_INDENT_2).decode())


def _print_written(paths: Sequence[Path]) -> None:
    if paths:
        print("\nwritten: " + ", ".join(map(str, paths)))


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns that line up: the first to the left, numbers to the right; no folding when piped."""
    widths = [max(len(row[k]) for row in (columns, *rows)) for k in range(len(columns))]
    words = {k for k in range(len(columns)) if not any(row[k][:1].isdigit() for row in rows)}
    for row in (columns, *rows):
        cells = (
            f"{c:<{w}}" if k in words else f"{c:>{w}}"
            for k, (c, w) in enumerate(zip(row, widths, strict=True))
        )
        print("  ".join(cells).rstrip())


@contextmanager
def _progress(total: int, what: str) -> Iterator[Callable[[int], None] | None]:
    """A bar on the terminal (stderr), nothing elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda n: bar.update(task, completed=n)
