"""What a storage server's back end does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from batfs.errors import BatfsError


class BackendError(BatfsError):
    """The space could not be made or removed; the text is logged and sent to the orchestrator."""


class Backend(Protocol):
    """Makes and removes space. Both calls are idempotent: the orchestrator repeats them when in doubt."""

    name: str

    def provision(self, lease: str, disk: str, size: int, user: str, host: str) -> Mapping[str, Any]:
        """Make ``size`` bytes on ``disk`` and say how to reach them. Raises BackendError."""
        ...

    def remove(self, lease: str, disk: str) -> None:
        """Destroy what ``provision`` made; nothing there is as good. Raises BackendError."""
        ...

    def held(self) -> Mapping[str, int]:
        """What exists now, found on the medium itself: ``"lease/disk"`` -> bytes."""
        ...
