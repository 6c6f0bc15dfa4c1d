"""What one run is made of: files, Batsim's settings, and the checks that come before anything starts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batfs.decision.options import PYBATSIM
from batfs.errors import InputError, nearest
from batfs.platform import Machine, Platform, load_platform, number_resources
from batfs.protocol.messages import Resource
from batfs.records import field, record, replace
from batfs.scheduling.config import Configuration
from batfs.scheduling.io_policies import FAIR, make_io_policy
from batfs.scheduling.nodes import make_selection
from batfs.scheduling.queues import make_queue_policy
from batfs.scheduling.storages import need_sizes, storage_table, with_overrides
from batfs.storage.policies import make_policy
from batfs.workload import RequestedIo, read_workload, requested_io
from batfs.workload.model import Composed, Workload

if TYPE_CHECKING:
    from batfs.filesystems.site import FileSystems
    from batfs.scheduling.tenancy import MakeFiles


@record
class Experiment:
    """A platform, workloads, and Batsim's settings, each with the meaning of Batsim's flag of that name."""

    platform: Path
    workloads: Sequence[Path]
    master: str = "master_host"
    roles: Sequence[str] = ()
    mmax: int = 0
    mmax_workload: bool = False
    sg_config: Mapping[str, str] = field(default_factory=dict)
    events: Sequence[Path] = ()
    dynamic_jobs: bool = False
    acknowledge_dynamic_jobs: bool = False
    profile_reuse: bool = False
    forward_profiles: bool = False
    compute_sharing: bool = False
    storage_sharing: bool = True
    schedule_trace: bool = True
    machine_state_trace: bool = True
    scheduler_config: str = ""
    # times which the links of storages are faster than in the file (batfs run --what-if)
    storage_bandwidth: float = 1.0
    # compute nodes, where these aren't those of the file (likewise)
    nodes: int | None = None
    # 5: as Batsim 5 would simulate it
    generation: int = 4
    # where the solver's rounds are told
    solver_log: Path | None = None
    # the platform, where it has been read before (and is as in the file)
    read: Platform | None = None

    @property
    def inputs(self) -> list[Path]:
        """Every file it is made from."""
        return [self.platform, *self.workloads, *self.events]


def machine_fields(flags: Mapping[str, Any], events: Sequence[str | Path] | None = None) -> dict[str, Any]:
    """Fields of an Experiment from Batsim's flags of those names. ``events``: the files, if elsewhere."""
    found = flags.get("events", ()) if events is None else events
    return {
        "master": flags.get("master_host", "master_host"),
        "roles": flags.get("add_role_to_hosts", ()),
        "mmax": flags.get("mmax", 0),
        "events": [Path(path) for path in found],
        "nodes": flags.get("nodes"),
        "storage_bandwidth": flags.get("storage_bandwidth", 1.0),
    }


def read_machine(platform: Path, flags: Mapping[str, Any]) -> tuple[Platform, Machine]:
    """A platform file and the machine that it is under Batsim's flags of those names. InputError."""
    fields = machine_fields(flags)
    read = load_platform(platform)
    machine = number_resources(
        read, master=fields["master"], roles=fields["roles"], limit=fields["mmax"] or None
    )
    return read, machine


@record
class Loaded:
    """An experiment's inputs, read and found sound.

    ``files`` is None for a pybatsim scheduler on a machine whose storages can't hold anything, for they have
    no size: then no I/O can be moved.
    """

    experiment: Experiment
    platform: Platform
    machine: Machine
    workloads: Sequence[Workload]
    files: FileSystems | None

    def make_files(self) -> MakeFiles:
        """The file systems as a scheduler has them made: first those that are there, then more like them."""
        from batfs.decision.files import make_on

        made = [] if self.files is None else [self.files]

        def make(
            config: Configuration, compute: Sequence[Resource], storages: Sequence[Resource], dynamic: bool
        ) -> FileSystems:
            return made.pop() if made else make_on(config, compute, storages, dynamic, self.platform)

        return make


def load(experiment: Experiment, config: Configuration) -> Loaded:
    """Read everything and check what can be checked before the first event. Raises InputError."""
    if not experiment.workloads:
        raise InputError("no workload given", hint="-w FILE")
    if experiment.mmax < 0:
        raise InputError(f"--mmax must be at least 0, found {experiment.mmax}")
    platform = experiment.read
    if platform is None or experiment.storage_bandwidth != 1:
        platform = load_platform(experiment.platform, config=dict(experiment.sg_config))
    workloads = [read_workload(path, f"w{k}") for k, path in enumerate(experiment.workloads)]
    limit = experiment.mmax
    if experiment.mmax_workload:
        most = max(workload.nb_res for workload in workloads)
        limit = min(limit, most) if limit else most
    machine = number_resources(
        platform, master=experiment.master, roles=experiment.roles, limit=limit or None
    )
    if experiment.nodes is not None:
        platform, machine = _with_nodes(experiment, platform, experiment.nodes)
    if experiment.storage_bandwidth != 1:
        from batfs.decision.what_if import faster

        faster(platform, machine, experiment.storage_bandwidth)
    loaded = Loaded(experiment, platform, machine, workloads, None)
    return replace(loaded, files=check_settings(loaded, config))


def check_settings(loaded: Loaded, config: Configuration) -> FileSystems | None:
    """Whether such settings can be simulated on what was read: the file systems they mean (see
    :class:`Loaded`). Raises InputError."""
    foreign = config.queue.startswith(PYBATSIM)
    if not foreign:
        make_queue_policy(config.queue)
    if make_io_policy(config.io_policy).name != FAIR and not loaded.experiment.dynamic_jobs:
        raise InputError(
            f"the I/O policy {config.io_policy!r} starts transfers one by one, as jobs of their own",
            hint="--enable-dynamic-jobs lets it",
        )
    make_policy(config.policy)
    make_selection(config.node_selection)
    if config.faults:
        _check_faults(config, loaded.machine, foreign=foreign)
    if foreign and _no_sizes(loaded.machine, config):
        return None
    return _check_storage(loaded.experiment, config, loaded.platform, loaded.machine, loaded.workloads)


def _check_faults(config: Configuration, machine: Machine, *, foreign: bool) -> None:
    """What fails is there, and can be let fail."""
    from batfs.scheduling.faults import Timeline, parse_faults

    plan = parse_faults(config.faults)
    try:
        Timeline.on(plan, machine, config.seed)
    except InputError as error:
        raise error.at(place="faults") from None
    if foreign and plan.of_nodes:
        raise InputError(
            f"the queue {config.queue!r} isn't batfs's own: its jobs without I/O aren't known to batfs, so "
            "nodes can't fail",
            place="faults",
            hint="storages can",
        )


def _with_nodes(experiment: Experiment, platform: Platform, nodes: int) -> tuple[Platform, Machine]:
    """The platform and its machine with so many compute nodes, those of the file first."""
    whole = number_resources(platform, master=experiment.master, roles=experiment.roles)
    if nodes > whole.nb_compute:
        from batfs.platform.larger import load_larger

        names = [node.name for node in whole.compute]
        config = dict(experiment.sg_config)
        platform = load_larger(experiment.platform, names, nodes, config=config)
    return platform, number_resources(platform, master=experiment.master, roles=experiment.roles, limit=nodes)


def _no_sizes(machine: Machine, config: Configuration) -> bool:
    """Whether there are storages, and none of them says how large it is."""
    _, storages = announced(machine)
    sized = with_overrides(storages, config)
    return bool(sized) and all(storage.property("size") is None for storage in sized)


def asked_bytes(workloads: Sequence[Workload]) -> int:
    """What all jobs ask to read and write."""
    total = 0
    for workload in workloads:
        of: dict[str, int] = {}
        for job in workload.jobs:
            size = of.get(job.profile)
            if size is None:
                profile = workload.profiles[job.profile]
                if type(profile) is Composed:
                    from batfs.workload.phases import io_over_phases

                    parts = io_over_phases(profile, workload.profiles)
                else:
                    parts = requested_io(profile, f"profiles.{job.profile}")
                size = of[job.profile] = sum(part.reads + part.writes for part in parts)
            total += size
    return total


def announced(machine: Machine) -> tuple[list[Resource], list[Resource]]:
    """(compute nodes, storages) as the simulator announces them."""
    compute: list[Resource] = []
    storages: list[Resource] = []
    for r in machine.resources:
        resource = Resource(r.id, r.name, r.role, "idle", r.properties, r.zone_properties)
        (storages if r.role == "storage" else compute).append(resource)
    return compute, storages


def _check_storage(
    experiment: Experiment,
    config: Configuration,
    platform: Platform,
    machine: Machine,
    workloads: Sequence[Workload],
) -> FileSystems:
    from batfs.decision.files import make_on

    compute, storages = announced(machine)
    storages = with_overrides(storages, config)
    try:
        storage_table(storages)
    except InputError as error:
        raise error.at(file=experiment.platform) from None
    dynamic = experiment.dynamic_jobs and experiment.storage_sharing
    files = make_on(config, compute, storages, dynamic, platform)
    if not config.io:
        return files
    defaults = (files.default_reads, files.default_writes)
    used = {name for workload in workloads for name in check_io(workload, files.models, defaults)}
    for name in [*used]:  # what is behind a tier is used with it
        while name := getattr(files.models[name], "backing", ""):
            used.add(name)
    try:
        need_sizes(storages, used)
    except InputError as error:
        raise error.at(file=experiment.platform) from None
    _check_routes(experiment, platform, machine, [s for s in storages if s.property("filesystem") in used])
    return files


def check_io(workload: Workload, known: Iterable[str], defaults: tuple[str, str]) -> set[str]:
    """The file systems that the profiles of the workload's jobs use; ``defaults``: where plain reads and
    writes go. InputError at the profile."""
    names = list(known)
    used: set[str] = set()
    seen: set[str] = set()
    for job in workload.jobs:
        if job.profile in seen:
            continue
        seen.add(job.profile)
        profile = workload.profiles[job.profile]
        if type(profile) is Composed:
            from batfs.workload.phases import with_io

            asking = with_io(profile, workload.profiles)
        elif profile.extra:
            asking = iter((("", profile, 1),))
        else:
            continue
        try:
            for child, one, _ in asking:
                place = f"profiles.{child or job.profile}"
                for part in requested_io(one, place):
                    used |= _used(part, names, defaults, place)
        except InputError as error:
            raise error.at(file=workload.path) from None
    return used


def _used(part: RequestedIo, names: Sequence[str], defaults: tuple[str, str], place: str) -> set[str]:
    """The file systems of one entry, which must be among ``names``."""
    if not names:
        raise InputError(
            "asks for I/O, but the platform has no storage",
            place=place,
            hint="a storage is a <host> with the role 'storage'; a <disk> is none",
        )
    if part.filesystem is None:
        return set(defaults)
    if part.filesystem not in names:
        close = nearest(part.filesystem, names)
        raise InputError(
            f"unknown file system {part.filesystem!r}; the platform has: {', '.join(sorted(names))}",
            place=place,
            hint=f"did you mean {close!r}?" if close else None,
        )
    return {part.filesystem}


def _check_routes(
    experiment: Experiment, platform: Platform, machine: Machine, storages: Sequence[Resource]
) -> None:
    """Every storage in use can be reached: from its node if it belongs to one, else from the first node; and
    every node reaches the first shared storage. In a Full zone SimGrid takes a missing route for one that
    costs nothing, so bytes would arrive at once: that is an error here."""
    compute = [r for r in machine.resources if r.role != "storage"]
    host_of = {r.name: r.host for r in machine.resources}
    shared = [s for s in storages if not s.property("node")]
    pairs = [(s.property("node") or compute[0].name, s.name) for s in storages] if compute else []
    if shared:
        pairs += [(node.name, shared[0].name) for node in compute]
    for node, storage in pairs:
        if node not in host_of or host_of[node] == host_of[storage]:
            continue
        for source, destination in ((node, storage), (storage, node)):
            route = platform.route(host_of[source], host_of[destination])
            if not route.links:
                raise InputError(
                    f"there is no route from {source!r} to {destination!r}: bytes between them would take "
                    "no time",
                    file=experiment.platform,
                    hint="add a <route> between them",
                )
