"""``batfs service``: the storage service's processes and its client."""

from __future__ import annotations

import argparse
from pathlib import Path

from batfs.cli.services.connecting import DEFAULT
from batfs.parsing import add_option, add_word, at_least, duration, seconds, size

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

Instead of --connect, --key and --orchestrator-key: BATFS_CONNECT, BATFS_KEY and BATFS_ORCHESTRATOR_KEY, or
connect, key and orchestrator_key in ~/.config/batfs/service.toml (or the file that BATFS_SERVICE names).
"""


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


def _connection(parser: argparse.ArgumentParser) -> None:
    add_word(parser, "--connect", f"[BATFS_CONNECT, or {DEFAULT}]")
    _storalloc(parser, "where the orchestrator is")
    add_word(parser, "--key", "[BATFS_KEY]", type=Path)
    add_word(parser, "--orchestrator-key", "[BATFS_ORCHESTRATOR_KEY]", type=Path)
    add_word(parser, "--timeout", "[30s]", type=seconds, default=30.0)
    add_word(parser, "--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    from batfs.cli.services import asking, processes

    return {**processes.VERBS, **asking.VERBS}[args.verb](args)
