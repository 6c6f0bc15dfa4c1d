"""The allocation policies, by name.

A policy is a class with ``name`` and ``choose(view, request, rng)``; its options are its constructor's
arguments. Register one with ``@POLICIES.register("name")``, name one in a file as ``file.py:Class``, or
install one under the entry-point group ``batfs.allocation_policies``.
"""

from __future__ import annotations

from typing import cast

from batfs.storage.choice import guard
from batfs.storage.interface import AllocationPolicy
from batfs.storage.policies.base import POLICIES

__all__ = ["POLICIES", "known_policies", "make_policy"]


def make_policy(text: str) -> AllocationPolicy:
    """The policy ``"name:key=value,key=value"`` (or ``"file.py:Class:key=value"``) names.

    Raises InputError for an unknown name or option, listing the known ones.
    """
    return guard(cast(AllocationPolicy, POLICIES.make(text)))


def known_policies() -> list[str]:
    """Names of all policies, sorted."""
    return POLICIES.known()
