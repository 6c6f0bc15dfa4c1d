"""Batsim's flags that say what the machine of a platform file is, for every command that reads one."""

from __future__ import annotations

import argparse
from typing import Any

from batfs.parsing import Where, add_word, at_least


def add_machine_flags(parser: Where, *, events: bool = False) -> None:
    """``-m``, ``-r``, ``--mmax``, and on request ``--events``, each with Batsim's meaning."""
    add_word(parser, "--master-host", "[%(default)s]", default="master_host")
    add_word(parser, "--add-role-to-hosts", action="append", default=[])
    add_word(parser, "--mmax", "[%(default)s]", type=at_least(0), default=0)
    if events:
        add_word(parser, "--events", action="append", default=[])


def add_dynamic_jobs(parser: Where, more: str = "[off]", default: bool | None = False) -> None:
    """``--dynamic-jobs`` and ``--no-dynamic-jobs``."""
    add_word(
        parser,
        "--dynamic-jobs",
        more,
        old=("--enable-dynamic-jobs",),
        action=argparse.BooleanOptionalAction,
        default=default,
    )


def machine_values(args: argparse.Namespace) -> dict[str, Any]:
    """What was said of the machine, by the names that ``batfs.compare`` and campaign files have for it."""
    given = {key: getattr(args, key, None) for key in ("add_role_to_hosts", "mmax", "events")}
    if args.master_host != "master_host":
        given["master_host"] = args.master_host
    return {key: value for key, value in given.items() if value}
