"""The commands of ``batfs service`` that start something: orchestrator, server, page; and keys."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from batfs import process
from batfs.cli.services.connecting import DEFAULT, configured, connected, endpoint, keys
from batfs.errors import InputError


def _orchestrator(args: argparse.Namespace) -> int:
    from batfs.service.auth import read_key
    from batfs.service.logs import Log
    from batfs.service.orchestrator import Orchestrator, Settings
    from batfs.storage.policies import make_policy

    config = configured(args)
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
    Server(site.name, site.disks, backend, endpoint(args), keys=keys(args), log=log).run()
    return 0


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

    return serve(connected(args), args.page_port)


def _replay(args: argparse.Namespace) -> int:
    from batfs.service.replay import describe, replay_trace, write_grants
    from batfs.storage.replay.requests import read_requests

    trace = read_requests(
        args.trace, capacity_from=args.capacity_from, zone=args.zone, merge=not args.each_record
    )
    with connected(args) as client:
        grants = replay_trace(client, trace.requests, wait=args.wait)
    if args.output is not None:
        write_grants(args.output, grants)
    print(json.dumps([grant.row() for grant in grants]) if args.json else describe(grants))
    return 0


def _demo(args: argparse.Namespace) -> int:
    from batfs.service.demo import demo

    return demo(args.root)


VERBS: dict[str, Callable[[argparse.Namespace], int]] = {
    "orchestrator": _orchestrator,
    "server": _server,
    "keys": _keys_verb,
    "page": _page,
    "replay": _replay,
    "demo": _demo,
}
