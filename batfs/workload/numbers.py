"""Numbers as a workload file has them."""

from __future__ import annotations

from typing import Final

_LARGEST: Final = 2.0**63  # from here on an integer has no place in 64 bits


def plain(value: float) -> float:
    """A whole number as an int, which Batsim prints without decimals; beyond 64 bits it stays a float."""
    return int(value) if abs(value) < _LARGEST and value == int(value) else float(value)
