"""The first event: SIMULATION_BEGINS, from the machine and the options."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from batfs.protocol.messages import Resource, SimulationBegins

if TYPE_CHECKING:
    from batfs.simulator.server import Server


def simulation_begins(server: Server) -> SimulationBegins:
    """Batsim's description of the machine and its settings."""
    options = server.options
    resources = [
        Resource(r.id, r.name, r.role, "idle", r.properties, r.zone_properties)
        for r in server.machine.resources
    ]
    nodes = server.machine.nb_compute
    return SimulationBegins(
        0.0,
        resources[:nodes],
        resources[nodes:],
        options.compute_sharing,
        options.storage_sharing,
        {
            "redis-enabled": False,
            "redis-hostname": options.redis[0],
            "redis-port": options.redis[1],
            "redis-prefix": options.redis[2],
            "profiles-forwarded-on-submission": options.forward_profiles,
            "dynamic-jobs-enabled": options.dynamic_jobs,
            "dynamic-jobs-acknowledged": options.acknowledge_dynamic_jobs,
            "profile-reuse-enabled": options.profile_reuse,
            "sched-config": options.scheduler_config,
            "forward-unknown-events": options.forward_unknown_events and bool(options.events),
        },
        {name: str(Path(w.path).absolute()) if w.path else "" for name, w in server.workloads.items()},
        {name: w.profiles for name, w in server.workloads.items()},
    )
