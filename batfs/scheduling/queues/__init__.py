"""Queue policies, one file each, registered by name.

A policy is a class with ``name`` and ``schedule(view) -> Pass`` (see ``batfs.scheduling.interface``); the
arguments of its constructor are its options on the command line (``--queue easy:depth=100``).
"""

from __future__ import annotations

from typing import cast

from batfs.plugins import Registry
from batfs.scheduling.interface import QueuePolicy

QUEUE_POLICIES: Registry[type[QueuePolicy]] = Registry(
    "queue policy",
    "batfs.queue_policies",
    {
        "batfs.scheduling.queues.fcfs": ("fcfs",),
        "batfs.scheduling.queues.filler": ("filler",),
        "batfs.scheduling.queues.easy": ("easy",),
        "batfs.scheduling.queues.easy_storage": ("easy_storage", "sjf_storage"),
        "batfs.scheduling.queues.fit_io": ("fit_io",),
        "batfs.scheduling.queues.conservative": ("conservative",),
        "batfs.scheduling.queues.plan": ("plan",),
        "batfs.scheduling.queues.plan_io": ("plan_io",),
    },
)


def make_queue_policy(text: str) -> QueuePolicy:
    """The policy that ``"name:key=value,..."`` or ``"file.py:Name:key=value"`` says; InputError if none."""
    return cast(QueuePolicy, QUEUE_POLICIES.make_with(text, "schedule", "schedule(view)"))


def known_queue_policies() -> list[str]:
    """Names, sorted."""
    return QUEUE_POLICIES.known()
