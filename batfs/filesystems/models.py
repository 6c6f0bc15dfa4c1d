"""Importing this registers every built-in model."""

from __future__ import annotations

from batfs.filesystems import dfs, pfs

__all__ = ["dfs", "pfs"]
