"""What fails: ``plan`` reads what is to happen, ``timeline`` says when, ``outages`` does it."""

from batfs.scheduling.faults.outages import Outages, done_part
from batfs.scheduling.faults.plan import FaultPlan, parse_faults, read_faults

__all__ = ["FaultPlan", "Outages", "done_part", "parse_faults", "read_faults"]
