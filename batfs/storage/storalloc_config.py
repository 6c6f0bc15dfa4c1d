"""StorAlloc's configuration files (``config_random.yml`` and its like), as far as they say anything here.

Sizes are in GB there. What configures its own processes beside the orchestrator (logging, simulation,
visualisation) has no counterpart and is passed over; anything else it doesn't know is an error.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any, Final

from batfs.errors import InputError, unknown
from batfs.records import record
from batfs.workload.storalloc import load_document

POLICIES: Final = {
    "random_alloc": "storalloc_random",
    "round_robin": "storalloc_round_robin",
    "worst_case": "storalloc_worst_case",
    "worst_fit": "storalloc_worst_fit",
}
_PASSED_OVER: Final = (
    "orchestrator_hostname",
    "orchestrator_fe_ipc",
    "orchestrator_be_ipc",
    "res_catalog",
    "min_block_size_gb",
    "server_port",
    "log_server_addr",
    "log_server_port",
    "log_server_sync_port",
    "simulation_addr",
    "simulation_port",
    "s_visualisation_port",
    "o_visualisation_port",
    "visualisation",
)
_KNOWN: Final = (
    "orchestrator_addr",
    "client_port",
    "transport",
    "sched_strategy",
    "allow_retry",
    "block_size_gb",
    *_PASSED_OVER,
)


@record
class StorallocConfig:
    """``endpoint``: where clients, and here servers too, reach the orchestrator. ``block_size`` is in bytes,
    None for no splitting; ``retry``: requests without room are tried with later starts."""

    endpoint: str
    policy: str
    retry: bool
    block_size: int | None

    @property
    def when_full(self) -> str:
        """What a replay does with requests that find no room."""
        return "storalloc" if self.retry else "refuse"


def read_config(path: str | PathLike[str]) -> StorallocConfig:
    """The configuration in a file. InputError names the member that is wrong."""
    file = Path(path)
    document = load_document(file)
    if not isinstance(document, dict):
        raise InputError("a mapping was expected, with sched_strategy and others", file=file)
    for key in document:
        if key not in _KNOWN:
            raise unknown("member", str(key), _KNOWN, file=file)
    strategy = _need(document, "sched_strategy", str, file)
    if strategy not in POLICIES:
        raise unknown("strategy", strategy, POLICIES, file=file, place="sched_strategy")
    transport = document.get("transport", "tcp")
    if transport not in ("tcp", "ipc"):
        raise unknown("transport", str(transport), ("tcp", "ipc"), file=file, place="transport")
    block = document.get("block_size_gb")
    if block is not None and (isinstance(block, bool) or not isinstance(block, int | float) or not block > 0):
        raise InputError(
            f"found {block!r}, expected a number of GB above 0", file=file, place="block_size_gb"
        )
    address = str(document.get("orchestrator_addr", "127.0.0.1"))
    return StorallocConfig(
        endpoint=f"tcp://{address}:{_need(document, 'client_port', int, file)}",
        policy=POLICIES[strategy],
        retry=_need(document, "allow_retry", bool, file),
        block_size=None if block is None else round(block * 10**9),
    )


def _need(document: dict[str, Any], key: str, kind: type, file: Path) -> Any:
    if key not in document:
        raise InputError(f"the member {key!r} is missing", file=file)
    if type(document[key]) is not kind:
        names = {str: "a text", int: "a whole number", bool: "yes or no"}
        raise InputError(f"found {document[key]!r}, expected {names[kind]}", file=file, place=key)
    return document[key]
