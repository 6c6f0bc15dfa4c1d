"""Batsim's flags that say what the machine of a platform file is, for every command that reads one."""

from __future__ import annotations

import argparse
from typing import Any


def add_machine_flags(parser: Any, *, mmax: bool = True, events: bool = False) -> None:
    """``-m``, ``-r``, and on request ``--mmax`` and ``--events``, each with Batsim's meaning."""
    add = parser.add_argument
    add("-m", "--master-host", metavar="HOST", default="master_host", help="the master [%(default)s]")
    add(
        "-r",
        "--add-role-to-hosts",
        metavar="HOSTS:ROLE",
        action="append",
        default=[],
        help="roles, such as 'nas1,nas2:storage' (repeatable)",
    )
    if mmax:
        add("--mmax", metavar="N", type=int, default=0, help="only the first N compute nodes [0: all]")
    if events:
        add(
            "--events",
            metavar="FILE",
            action="append",
            default=[],
            help="external events, one JSON object a line (repeatable)",
        )


def machine_values(args: argparse.Namespace) -> dict[str, Any]:
    """What was said of the machine, by the names that ``batfs.compare`` and campaign files have for it."""
    given = {key: getattr(args, key, None) for key in ("add_role_to_hosts", "mmax", "events")}
    if args.master_host != "master_host":
        given["master_host"] = args.master_host
    return {key: value for key, value in given.items() if value}
