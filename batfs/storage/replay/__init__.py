"""Storage-only simulation: a trace of requests for space, replayed without nodes or networks."""

from batfs.storage.replay.engine import Outcome, replay
from batfs.storage.replay.metrics import Summary
from batfs.storage.replay.requests import CAPACITY_FROM, RequestTrace, TraceRequest, read_requests
from batfs.storage.replay.system import read_storages
from batfs.storage.replay.waiting import WHEN_FULL, make_when_full

__all__ = [
    "CAPACITY_FROM",
    "WHEN_FULL",
    "Outcome",
    "RequestTrace",
    "Summary",
    "TraceRequest",
    "make_when_full",
    "read_requests",
    "read_storages",
    "replay",
]
