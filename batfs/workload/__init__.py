"""What is asked for: jobs and profiles, and the formats they come in."""

from batfs.workload.batsim import parse_workload, read_workload, write_workload
from batfs.workload.io import RequestedIo, requested_io
from batfs.workload.jobs import forwarded_job, full_id, job_to_json, parse_job
from batfs.workload.profiles import parse_profile, profile_to_json

__all__ = [
    "RequestedIo",
    "forwarded_job",
    "full_id",
    "job_to_json",
    "parse_job",
    "parse_profile",
    "parse_workload",
    "profile_to_json",
    "read_workload",
    "requested_io",
    "write_workload",
]
