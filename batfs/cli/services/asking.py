"""The commands of ``batfs service`` that ask the orchestrator something and tell what it says."""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Callable
from typing import Any

from batfs import process
from batfs.cli.services.connecting import connected
from batfs.errors import InputError
from batfs.parsing import duration
from batfs.units import format_size


def _storallocs_client(args: argparse.Namespace) -> int:
    """``-s 200 -t 1:30:00``: GB, and a time of the clock, as StorAlloc's client takes them."""
    if args.size < 1:
        raise InputError(f"-s {args.size}: expected a whole number of GB above 0")
    found = re.fullmatch(r"(\d{1,2}):(\d{1,2}):(\d{1,2})", args.time)
    hours, minutes, seconds = (int(part) for part in found.groups()) if found else (-1, 0, 0)
    asked = 3600 * hours + 60 * minutes + seconds
    if not (0 <= hours < 24 and minutes < 60 and seconds < 60 and asked > 0):
        raise InputError(
            f"-t {args.time}: expected a time from 0:00:01 to 23:59:59", hint="batfs service request --for 3d"
        )
    start = None if args.start_time is None else _when(f"{args.start_time}+00:00")
    with connected(args) as client:
        reply = client.request(args.size * 10**9, float(asked), start=start)
    return _granted(args, reply)


def _request(args: argparse.Namespace) -> int:
    options: dict[str, Any] = {}
    for item in args.option:
        key, equals, value = item.partition("=")
        if not equals:
            raise InputError(f"the option {item!r} is not key=value")
        options[key] = value
    with connected(args) as client:
        reply = client.request(
            args.size,
            args.duration,
            start=None if args.start is None else _when(args.start),
            wait=args.wait,
            host=args.nqn,
            options=options,
            request_id=args.id,
            told=lambda r: print(f"{r.lease} {r.state}: {r.reason}", file=sys.stderr),
        )
    return _granted(args, reply)


def _granted(args: argparse.Namespace, reply: Any) -> int:
    """Tell what became of a request."""
    if args.json:
        print(json.dumps({"state": reply.state, "reason": reply.reason, **reply.data}))
    elif not reply.ok:
        process.say("refused", reply.reason)
    else:
        size, end = format_size(reply.data["size"]), _clock(reply.data["end"])
        print(f"{reply.lease} {reply.state}: {size} until {end}")
        for disk, connection in reply.data["connections"].items():
            print(f"  {disk}  {connection.get('connect') or connection.get('path')}")
    return 0 if reply.ok else 1


def _when(text: str) -> float:
    from datetime import datetime

    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        try:
            return time.time() + duration(text)
        except argparse.ArgumentTypeError as error:
            raise InputError(f"--start: {error}", hint="or a moment, such as 2027-01-31T08:00Z") from None
    if moment.tzinfo is None:
        raise InputError(f"the time {text!r} carries no zone", hint="add Z or +01:00")
    return moment.timestamp()


def _clock(seconds: float) -> str:
    from datetime import UTC, datetime

    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (ValueError, OverflowError, OSError):  # after the year 9999
        return f"{seconds:.0f} s"


def _list(args: argparse.Namespace) -> int:
    with connected(args) as client:
        leases = client.leases(everybody=args.all)
    if args.json:
        print(json.dumps(leases))
        return 0
    print(f"{'lease':<8} {'user':<12} {'state':<12} {'size':>10}  {'end':<20}  disks")
    for lease in leases:
        print(
            f"{lease['lease']:<8} {lease['user']:<12} {lease['state']:<12} {format_size(lease['size']):>10}  "
            f"{_clock(lease['end']):<20}  {' '.join(lease['shares'])}"
        )
    return 0


def _status(args: argparse.Namespace) -> int:
    with connected(args) as client:
        found = client.status()
    print(json.dumps(found) if args.json else _status_text(found))
    return 0


def _status_text(found: dict[str, Any]) -> str:
    lines = [
        f"{format_size(found['reserved'])} of {format_size(found['capacity'])} reserved, "
        f"{found['leases']} leases, {found['queued']} queued; policy {found['policy']}",
        "",
        f"{'server':<24} {'disk':<16} {'state':<6} {'capacity':>10} {'reserved':>10} {'used':>5} "
        f"{'leases':>6}",
    ]
    for d in found["disks"]:
        share = d["reserved"] / max(1, d["capacity"])
        lines.append(
            f"{d['server']:<24} {d['disk']:<16} {d['state']:<6} {format_size(d['capacity']):>10} "
            f"{format_size(d['reserved']):>10} {share:>5.0%} {d['allocations']:>6}"
        )
    lines += [f"problem: {text}" for text in found.get("problems", [])]
    if found.get("quarantined"):
        lines.append(
            f"{found['quarantined']} requests failed when their turn came, and wait for somebody to look:"
        )
        lines += [f"  {x['lease']} {x['user']}: {x['reason']}" for x in found.get("quarantine", [])[:5]]
    lines += [f"refused {_clock(r['time'])} {r['who']}: {r['text']}" for r in found.get("refusals", [])[-3:]]
    return "\n".join(lines)


def _watch(args: argparse.Namespace) -> int:
    shown = 0
    with connected(args) as client:
        while True:
            text = _status_text(client.status())
            print(f"\x1b[H\x1b[2J{text}" if sys.stdout.isatty() else text, flush=True)
            shown += 1
            if shown == args.count:
                return 0
            time.sleep(args.every)


def _release(args: argparse.Namespace) -> int:
    with connected(args) as client:
        reply = client.release(args.lease)
    return _said(args, reply.ok, reply.state, reply.reason)


def _extend(args: argparse.Namespace) -> int:
    with connected(args) as client:
        reply = client.extend(args.lease, args.by)
    return _said(args, reply.ok, f"until {_clock(reply.data.get('end', 0))}", reply.reason)


def _forget(args: argparse.Namespace) -> int:
    with connected(args) as client:
        reply = client.forget(args.server)
    return _said(args, reply.ok, "forgotten", reply.reason)


def _said(args: argparse.Namespace, ok: bool, text: str, reason: str) -> int:
    if args.json:
        print(json.dumps({"ok": ok, "text": text, "reason": reason}))
    elif ok:
        print(text)
    else:
        process.say("refused", reason)
    return 0 if ok else 1


VERBS: dict[str, Callable[[argparse.Namespace], int]] = {
    "client": _storallocs_client,
    "request": _request,
    "list": _list,
    "status": _status,
    "watch": _watch,
    "release": _release,
    "cancel": _release,
    "extend": _extend,
    "forget": _forget,
}
