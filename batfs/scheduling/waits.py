"""How long jobs waited for bytes, and the last reason."""

from __future__ import annotations

from batfs.filesystems.interface import Hold
from batfs.records import record


@record(frozen=False)
class _Wait:
    hold: Hold
    since: float | None
    total: float = 0.0


class StorageWaits:
    """A clock per job that was ever held back by storage; other jobs cost nothing.

    It runs from a failed attempt to place the job for lack of bytes, until it starts or an attempt fails for
    lack of nodes. Time spent behind others in the queue, untried, is not waiting for storage.
    """

    def __init__(self) -> None:
        self._waits: dict[str, _Wait] = {}

    def held(self, job_id: str, hold: Hold, now: float) -> None:
        wait = self._waits.get(job_id)
        if wait is None:
            self._waits[job_id] = _Wait(hold, now)
        else:
            wait.hold = hold
            if wait.since is None:
                wait.since = now

    def nodes_lack(self, job_id: str, now: float) -> None:
        wait = self._waits.get(job_id)
        if wait is not None and wait.since is not None:
            wait.total += now - wait.since
            wait.since = None

    def over(self, job_id: str, now: float) -> tuple[float, Hold | None]:
        """Seconds waited for bytes and the last reason; forgets the job."""
        wait = self._waits.pop(job_id, None)
        if wait is None:
            return 0.0, None
        running = 0.0 if wait.since is None else now - wait.since
        return wait.total + running, wait.hold

    def reason(self, job_id: str) -> Hold | None:
        wait = self._waits.get(job_id)
        return None if wait is None else wait.hold
