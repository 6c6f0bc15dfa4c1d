"""I/O policies: who may move bytes now, and how fast. Registered by name, one idea a file.

A policy is a class with ``name`` and ``schedule(view) -> IoPass`` (see ``interface``); the arguments of its
constructor are its options on the command line (``--io-policy round_robin:chunk=1GB``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from batfs.plugins import Registry

if TYPE_CHECKING:
    from batfs.scheduling.io_policies.interface import IoPolicy

#: The policy that lets everything move at once: the simulator shares, and batfs does nothing at all.
FAIR = "fair"

IO_POLICIES: Registry[type[IoPolicy]] = Registry(
    "I/O policy",
    "batfs.io_policies",
    {
        "batfs.scheduling.io_policies.fair": (FAIR,),
        "batfs.scheduling.io_policies.exclusive": ("exclusive",),
        "batfs.scheduling.io_policies.ordered": (
            *("fcfs", "shortest_first", "min_dilation", "max_efficiency", "round_robin", "priority"),
        ),
        "batfs.scheduling.io_policies.set10": ("set10",),
        "batfs.scheduling.io_policies.periodic": ("periodic",),
        "batfs.scheduling.io_policies.cap": ("cap",),
        "batfs.scheduling.io_policies.tbf": ("tbf",),
    },
)


def make_io_policy(text: str) -> IoPolicy:
    """The policy that ``"name:key=value,..."`` or ``"file.py:Name:key=value"`` says; InputError if none."""
    made: IoPolicy = IO_POLICIES.make_with(text, "schedule", "schedule(view)")
    return made


def known_io_policies() -> list[str]:
    """Names, sorted."""
    return IO_POLICIES.known()
