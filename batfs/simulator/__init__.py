"""A simulator that computes the times of Batsim 4.2.1 on SimGrid 3.34 (model ptask_L07)."""

from batfs.simulator.options import JobResult, Progress, SimulationOptions, SimulationResult
from batfs.simulator.simulation import simulate
from batfs.simulator.submitters import ExternalEvent, read_events

__all__ = [
    "ExternalEvent",
    "JobResult",
    "Progress",
    "SimulationOptions",
    "SimulationResult",
    "read_events",
    "simulate",
]
