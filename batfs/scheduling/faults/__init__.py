"""What fails: ``plan`` reads what is to happen, ``timeline`` says when, ``outages`` does it."""

from batfs.scheduling.faults.outages import Outages, done_part
from batfs.scheduling.faults.plan import FaultPlan, parse_faults, read_faults
from batfs.scheduling.faults.timeline import Timeline

__all__ = ["FaultPlan", "Outages", "Timeline", "done_part", "parse_faults", "read_faults"]
