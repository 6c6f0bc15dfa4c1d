"""Importing this registers every built-in model."""

from __future__ import annotations

from batfs.filesystems import burst_buffer, cache, dfs, nvme_pool, pfs

__all__ = ["burst_buffer", "cache", "dfs", "nvme_pool", "pfs"]
