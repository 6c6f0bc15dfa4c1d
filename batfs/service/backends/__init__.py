"""What a server does with a grant: ``simulated`` nothing, ``directory`` files, ``nvmet`` NVMe-oF."""

from __future__ import annotations

from batfs.service.backends.interface import Backend, BackendError

__all__ = ["Backend", "BackendError"]
