"""What a tenancy is made of, as its configuration says: the machine's books, a gate, faults."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from batfs.errors import InputError
from batfs.filesystems.staging_modes import StagingLimit
from batfs.protocol import messages as m
from batfs.scheduling.config import Configuration
from batfs.scheduling.io_policies import FAIR, make_io_policy
from batfs.scheduling.lives import LiveJob, Lives
from batfs.scheduling.machine import FileSystems, Machine
from batfs.scheduling.storages import Throttle
from batfs.storage.topology import PlatformNetwork
from batfs.units import parse_size

if TYPE_CHECKING:
    from batfs.scheduling.faults import Outages
    from batfs.scheduling.gate import Gate
    from batfs.scheduling.loads import Loads, Routes


def make_machine(
    compute: Sequence[m.Resource], storages: Sequence[m.Resource], files: FileSystems, config: Configuration
) -> Machine:
    """The books of a machine, as its configuration has them."""
    machine = Machine(
        compute,
        storages,
        own_nodes=files.own_nodes,
        node_order=config.node_order,
        node_selection=config.node_selection,
    )
    platform = getattr(files, "platform", None)
    if platform is not None:  # what the policies locality and max_bandwidth go by
        names = [storage.name for storage in storages]
        machine.view.network = PlatformNetwork(platform, names, machine.active)
    return machine


def asks_for_watch(config: Configuration, *, paced: bool) -> bool:
    """Whether such settings have transfers that are sent by themselves (dynamic jobs) watched, and held back
    or cut in pieces; ``paced``: what staging may take is limited."""
    return config.io_policy != FAIR or config.measure_io or bool(config.chunk) or paced


def make_gate(
    config: Configuration,
    machine: Machine,
    files: FileSystems,
    lives: Lives,
    routes: Routes | None,
    limits: Sequence[Throttle],
    system_of: Mapping[int, str],
    *,
    dynamic: bool,
    say: Callable[[str], None],
) -> tuple[Gate, Loads] | None:
    """What holds transfers back, and the loads that it goes by; None if nobody wants that. ``limits``: the
    platform's throttles."""
    paced: Mapping[str, StagingLimit] = getattr(files, "staging_limits", {})
    if not asks_for_watch(config, paced=bool(paced)):
        return None
    from batfs.scheduling.gate import Gate
    from batfs.scheduling.loads import Loads
    from batfs.scheduling.pacing import Pacer

    policy = make_io_policy(config.io_policy)
    if not dynamic:
        say(
            f"the I/O policy {policy.name!r} has nothing to decide: transfers are sent by themselves "
            "where dynamic jobs are on (--enable-dynamic-jobs)"
        )
        return None
    if getattr(policy, "limits_rates", False) and not limits:
        raise InputError(
            f"the I/O policy {policy.name!r} limits rates, and the platform has no throttle",
            hint="batfs platform add-throttles FILE",
        )
    if routes is None and (policy.name != FAIR or any(limit.share for limit in paced.values())):
        what = f"the I/O policy {policy.name!r}" if policy.name != FAIR else "the share of staging"
        say(
            f"{what} goes by what storages say of their bandwidths: without the "
            "platform file (the setting 'platform') it knows no others"
        )
    loads = Loads(routes, machine.view, machine.position)
    gate = lives.gate = Gate(policy, loads, system_of, limits, lives.moves)
    if config.chunk:
        gate.chunk = parse_size(config.chunk)
        gate.slowed = lambda piece: files.slowed(piece, machine.view)
    if paced:
        gate.pacer = Pacer(paced, loads.capacity, gate.chunk)
    return gate, loads


def make_outages(
    config: Configuration,
    machine: Machine,
    files: FileSystems,
    lives: Lives,
    *,
    dynamic: bool,
    sending: Callable[[], bool],
    say: Callable[[str], None],
    kill: Callable[[Sequence[str]], None],
    follow: Callable[[LiveJob], object],
    gone: Callable[[Sequence[int]], None],
) -> Outages | None:
    """What fails, and when; None if nothing does. See ``faults.Outages``."""
    if not config.faults:
        return None
    from batfs.scheduling.faults import Outages, parse_faults

    try:
        return Outages(
            parse_faults(config.faults),
            *(machine, files, lives, config.seed),
            dynamic=dynamic,
            sending=sending,
            say=say,
            kill=kill,
            follow=follow,
            gone=gone,
        )
    except InputError as error:
        raise error.at(place="faults") from None
