"""``batfs service``: the storage service's processes and its client."""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batfs import process
from batfs.errors import InputError
from batfs.parsing import add_option, add_word, at_least, duration, seconds, size
from batfs.units import format_size, parse_time

if TYPE_CHECKING:
    from batfs.service.auth import KeyPair
    from batfs.service.client import Client
    from batfs.storage.storalloc_config import StorallocConfig

HELP = """\
The storage service: clients ask an orchestrator for space for a time; servers hold the disks.

  batfs service orchestrator --ledger ledger.db           decides, and remembers what it decided
  batfs service server --system system.yml --host n1 \\
        --backend directory --root /srv/batfs             holds disks, makes and removes the space
  batfs service request 200GB --for 2h                    asks; prints how to reach the space
  batfs service demo                                      all three on loopback, once round

On loopback no keys are needed. To bind to a network, make keys first:
  batfs service keys keys/ --name main                    for the orchestrator
  batfs service keys keys/ --name alice --role client --allow keys/allowed
"""

DEFAULT = "tcp://127.0.0.1:28100"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="COMMAND", title="commands")

    def verb(name: str, text: str) -> argparse.ArgumentParser:
        found: argparse.ArgumentParser = verbs.add_parser(name, help=text, description=text)
        return found

    p = verb("orchestrator", "Decide who gets which space; one ledger file, one process.")
    p.add_argument("--bind", metavar="ENDPOINT", help=f"where to listen [{DEFAULT}]")
    _storalloc(p, "where to listen, the policy and the size of blocks")
    p.add_argument(
        "--ledger", type=Path, metavar="FILE", help="the SQLite file that remembers [batfs-ledger.db]"
    )
    add_word(p, "--policy", "[worst_fit]")
    add_word(p, "--block-size", "[none]", type=size)
    add_word(p, "--min-block-size", "[0B]", type=size, default=0)
    p.add_argument(
        "--discipline",
        choices=("fifo", "backfill"),
        default="fifo",
        help="who may overtake whom in the queue [%(default)s]",
    )
    add_word(p, "--seed", "[%(default)s]", type=int, default=0)
    p.add_argument(
        "--heartbeat", type=seconds, default=5.0, metavar="TIME", help="how often servers report [5s]"
    )
    add_word(p, "--key", type=Path)
    add_word(p, "--allow", "; it is read again when it changes", type=Path)
    add_word(p, "--log", "of all components [standard error]", type=Path)
    p.add_argument(
        "--metrics", type=int, default=0, metavar="PORT", help="serve Prometheus metrics on loopback [off]"
    )
    p.add_argument(
        "--grace",
        type=duration,
        default=0.0,
        metavar="TIME",
        help="keep a lease's space so long after its end [0s]",
    )
    p.add_argument(
        "--quota",
        type=int,
        default=1_000_000,
        metavar="N",
        help="leases and requests of one user [%(default)s]",
    )
    p.add_argument("--simulate", action="store_true", help="virtual time: the clock is the requests'")

    p = verb("server", "Hold disks: register them, make space, remove it.")
    _connection(p)
    add_option(
        p,
        "--system",
        old=("-s",),
        type=Path,
        required=True,
        metavar="FILE",
        help="YAML or TOML: hosts and their disks",
    )
    p.add_argument("--host", metavar="NAME", help="only this host of the system file [all of them]")
    add_word(p, "--name", "; its key is listed under it [the host, or the file]")
    p.add_argument(
        "--backend",
        choices=("simulated", "directory", "nvmet"),
        default="simulated",
        help="what the space is: a record, files in a folder, NVMe over fabrics [%(default)s]",
    )
    add_word(p, "--root", "(directory)", type=Path)
    p.add_argument(
        "--kind",
        choices=("file", "quota"),
        default="file",
        help="directory: a file, or a quota'd folder [%(default)s]",
    )
    p.add_argument("--journal", type=Path, metavar="FILE", help="simulated: remember across restarts")
    p.add_argument("--address", metavar="IP", help="nvmet: where clients connect [the host's ipv4]")
    p.add_argument("--port", type=int, default=4420, metavar="PORT", help="nvmet: TCP port [%(default)s]")
    p.add_argument(
        "--transport", choices=("tcp", "rdma"), default="tcp", help="nvmet: the fabric [%(default)s]"
    )
    p.add_argument(
        "--carve",
        choices=("lvm", "partition"),
        default="lvm",
        help="nvmet: how space is cut [%(default)s]",
    )
    p.add_argument("--configfs", type=Path, metavar="FOLDER", help="nvmet: another configfs root")
    p.add_argument("--dry-run", action="store_true", help="nvmet: print every step, do none")
    add_word(p, "--log", "[standard error]", type=Path)

    # StorAlloc's own flags, with its meaning
    p = verb("client", "Ask for space as StorAlloc's own client does.")
    _connection(p)
    p.add_argument("-s", "--size", type=int, required=True, metavar="GB", help="a whole number of GB")
    p.add_argument("-t", "--time", required=True, metavar="H:MM:SS", help="how long the space is needed")
    p.add_argument("--start-time", metavar="'YYYY-MM-DD HH:MM:SS'", help="when it begins, UTC [now]")

    p = verb("request", "Ask for space.")
    _connection(p)
    p.add_argument("size", type=size, metavar="SIZE", help="e.g. 200GB")
    p.add_argument(
        "--for", dest="duration", type=duration, required=True, metavar="TIME", help="e.g. 2h, 90m, 3d"
    )
    p.add_argument("--start", metavar="WHEN", help="in so long (2h) or at an ISO time [now]")
    add_word(p, "--wait", "[refuse at once]", type=duration, default=0.0)
    p.add_argument("--nqn", default="", metavar="NQN", help="the host that may connect (nvmet)")
    p.add_argument("--option", action="append", default=[], metavar="key=value", help="for the policy")
    p.add_argument(
        "--id",
        metavar="ID",
        help="request id: the same id asks for the same thing, however often it is sent",
    )
    for name, text in (
        ("list", "Your leases."),
        ("status", "Capacity, servers, queue, refusals."),
        ("watch", "The same, again and again."),
    ):
        p = verb(name, text)
        _connection(p)
        if name == "list":
            add_word(p, "--all", ": everybody's leases (operators)", action="store_true")
        if name == "watch":
            p.add_argument("--every", type=seconds, default=1.0, metavar="TIME", help="how often [1s]")
            add_word(p, "--count", "times [for ever]", old=("--times",), type=at_least(0), default=0)
    for name, text in (("release", "Give space back."), ("cancel", "Take back a request that waits.")):
        p = verb(name, text)
        _connection(p)
        p.add_argument("lease", metavar="LEASE", help="its name, as 'batfs service request' printed it")
    p = verb("extend", "Keep space longer.")
    _connection(p)
    p.add_argument("lease", metavar="LEASE", help="its name, as 'batfs service request' printed it")
    p.add_argument("--by", type=duration, required=True, metavar="TIME", help="how much longer, e.g. 30m")
    p = verb("forget", "A vanished server will not come back (operators).")
    _connection(p)
    p.add_argument("server", metavar="SERVER", help="its name, as in 'batfs service status'")
    p = verb("keys", "Make a key pair, and put the public key on an allow-list.")
    p.add_argument("directory", type=Path, metavar="FOLDER", help="where the two files go")
    add_word(p, "--name", required=True)
    p.add_argument("--role", choices=("client", "server", "operator"), help="what the key may do")
    add_word(p, "--allow", "; the key is added to it", type=Path)
    p = verb("page", "A live page with capacity, allocations, queue and refusals.")
    _connection(p)
    p.add_argument("--page-port", type=int, default=28180, metavar="PORT", help="on loopback [%(default)s]")
    p = verb("replay", "Send a request trace through a service started with --simulate (virtual time).")
    _connection(p)
    p.add_argument("trace", type=Path, metavar="TRACE", help="as for 'batfs alloc replay'")
    add_word(p, "--capacity-from", "[%(default)s]", default="sum")
    add_word(p, "--zone", "[%(default)s]", default="UTC")
    add_word(
        p,
        "--no-merge",
        "[they are added up]",
        old=("--each-record",),
        dest="each_record",
        action="store_true",
    )
    add_option(
        p,
        "--queued",
        old=("--wait",),
        dest="wait",
        action="store_true",
        help="stand in the queue instead of being refused",
    )
    add_word(p, "--output", ": a CSV, a row per grant [none]", type=Path, metavar="FILE")
    p = verb("demo", "Orchestrator, server and client on loopback: allocate, write, release.")
    add_word(p, "--root", "[a temporary folder]", type=Path)


def _storalloc(parser: argparse.ArgumentParser, what: str) -> None:
    add_word(parser, "--storalloc-config", f": {what}", old=("--config",), dest="config", type=Path)


def _configured(args: argparse.Namespace) -> StorallocConfig | None:
    from batfs.storage.storalloc_config import read_config

    return None if args.config is None else read_config(args.config)


def _endpoint(args: argparse.Namespace) -> str:
    """Where the orchestrator is: the flag's word, the configuration's, or the usual one."""
    if args.connect is not None:
        return str(args.connect)
    config = _configured(args)
    return DEFAULT if config is None else config.endpoint


def _connection(parser: argparse.ArgumentParser) -> None:
    add_word(parser, "--connect", f"[{DEFAULT}]")
    _storalloc(parser, "where the orchestrator is")
    add_word(parser, "--key", type=Path)
    add_word(parser, "--orchestrator-key", type=Path)
    add_word(parser, "--timeout", "[30s]", type=seconds, default=30.0)
    add_word(parser, "--json", action="store_true")


def _keys(args: argparse.Namespace) -> tuple[KeyPair, KeyPair] | None:
    from batfs.service.auth import read_key

    if args.key is None and args.orchestrator_key is None:
        return None
    if args.key is None or args.orchestrator_key is None:
        raise InputError("--key and --orchestrator-key go together")
    own = read_key(args.key)
    if own.secret is None:
        raise InputError("holds no secret key", file=args.key, hint="give NAME.key_secret")
    return own, read_key(args.orchestrator_key)


def _client(args: argparse.Namespace) -> Client:
    from batfs.service.client import Client

    return Client(_endpoint(args), keys=_keys(args), timeout=args.timeout)


def run(args: argparse.Namespace) -> int:
    return VERBS[args.verb](args)


def _orchestrator(args: argparse.Namespace) -> int:
    from batfs.service.auth import read_key
    from batfs.service.logs import Log
    from batfs.service.orchestrator import Orchestrator, Settings
    from batfs.storage.policies import make_policy

    config = _configured(args)
    block_size = None if config is None else config.block_size
    ledger = None if args.simulate else args.ledger or Path("batfs-ledger.db")
    settings = Settings(
        endpoint=args.bind or (DEFAULT if config is None else config.endpoint),
        ledger=ledger,
        keys=read_key(args.key) if args.key else None,
        allowed=args.allow,
        discipline=args.discipline,
        heartbeat=args.heartbeat,
        seed=args.seed,
        simulate=args.simulate,
        block_size=block_size if args.block_size is None else args.block_size,
        min_block_size=args.min_block_size,
        metrics=args.metrics,
        grace=args.grace,
        quota=args.quota,
    )
    policy = args.policy or ("worst_fit" if config is None else config.policy)
    if config is not None and config.retry:
        note = "allow_retry: who finds no room may wait in the queue (batfs service request --wait 1h)"
        process.say("batfs service", f"note: {note}")
    orchestrator = Orchestrator(settings, make_policy(policy), Log("orchestrator", args.log))
    print(f"listening on {orchestrator.endpoint}", flush=True)
    orchestrator.run()
    return 0


def _server(args: argparse.Namespace) -> int:
    from batfs.service.logs import Log
    from batfs.service.server import Server
    from batfs.service.systems import make_backend, read_site

    site = read_site(args.system, args.host, args.name)
    backend = make_backend(args, site)
    if args.dry_run and args.backend != "nvmet":
        raise InputError("--dry-run is for the nvmet back end")
    log = Log(f"server {site.name}", args.log)
    Server(site.name, site.disks, backend, _endpoint(args), keys=_keys(args), log=log).run()
    return 0


def _storallocs_client(args: argparse.Namespace) -> int:
    """``-s 200 -t 1:30:00``: GB, and a time of the clock, as StorAlloc's client takes them."""
    if args.size < 1:
        raise InputError(f"-s {args.size}: expected a whole number of GB above 0")
    found = re.fullmatch(r"(\d{1,2}):(\d{1,2}):(\d{1,2})", args.time)
    hours, minutes, seconds = (int(part) for part in found.groups()) if found else (-1, 0, 0)
    duration = 3600 * hours + 60 * minutes + seconds
    if not (0 <= hours < 24 and minutes < 60 and seconds < 60 and duration > 0):
        raise InputError(
            f"-t {args.time}: expected a time from 0:00:01 to 23:59:59", hint="batfs service request --for 3d"
        )
    start = None if args.start_time is None else _when(f"{args.start_time}+00:00")
    with _client(args) as client:
        reply = client.request(args.size * 10**9, float(duration), start=start)
    return _granted(args, reply)


def _request(args: argparse.Namespace) -> int:
    options: dict[str, Any] = {}
    for item in args.option:
        key, equals, value = item.partition("=")
        if not equals:
            raise InputError(f"the option {item!r} is not key=value")
        options[key] = value
    with _client(args) as client:
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
        return time.time() + parse_time(text)
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
    with _client(args) as client:
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
    with _client(args) as client:
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
    with _client(args) as client:
        while True:
            text = _status_text(client.status())
            print(f"\x1b[H\x1b[2J{text}" if sys.stdout.isatty() else text, flush=True)
            shown += 1
            if shown == args.count:
                return 0
            time.sleep(args.every)


def _release(args: argparse.Namespace) -> int:
    with _client(args) as client:
        reply = client.release(args.lease)
    return _said(args, reply.ok, reply.state, reply.reason)


def _extend(args: argparse.Namespace) -> int:
    with _client(args) as client:
        reply = client.extend(args.lease, args.by)
    return _said(args, reply.ok, f"until {_clock(reply.data.get('end', 0))}", reply.reason)


def _forget(args: argparse.Namespace) -> int:
    with _client(args) as client:
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


def _keys_verb(args: argparse.Namespace) -> int:
    from batfs.service.auth import add_to_allow_list, make_keys

    public, secret = make_keys(args.directory, args.name)
    print(f"{public}\n{secret}")
    if args.allow is not None:
        if args.role is None:
            raise InputError("--allow needs --role")
        add_to_allow_list(args.allow, args.role, args.name, public)
        print(f"{args.name} is on {args.allow} as {args.role}")
    return 0


def _page(args: argparse.Namespace) -> int:
    from batfs.service.page import serve

    return serve(_client(args), args.page_port)


def _replay(args: argparse.Namespace) -> int:
    from batfs.service.replay import describe, replay_trace, write_grants
    from batfs.storage.replay.requests import read_requests

    trace = read_requests(
        args.trace, capacity_from=args.capacity_from, zone=args.zone, merge=not args.each_record
    )
    with _client(args) as client:
        grants = replay_trace(client, trace.requests, wait=args.wait)
    if args.output is not None:
        write_grants(args.output, grants)
    print(json.dumps([grant.row() for grant in grants]) if args.json else describe(grants))
    return 0


def _demo(args: argparse.Namespace) -> int:
    from batfs.service.demo import demo

    return demo(args.root)


VERBS = {
    "orchestrator": _orchestrator,
    "server": _server,
    "client": _storallocs_client,
    "request": _request,
    "list": _list,
    "status": _status,
    "watch": _watch,
    "release": _release,
    "cancel": _release,
    "extend": _extend,
    "forget": _forget,
    "keys": _keys_verb,
    "page": _page,
    "replay": _replay,
    "demo": _demo,
}
