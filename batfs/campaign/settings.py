"""The scheduler's configuration of one run of a campaign."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from batfs.campaign.plan import split_key
from batfs.errors import InputError


def configured(base: Mapping[str, Any], treatment: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """The scheduler's configuration of one run: the base, the treatment's keys (dots go into tables), the
    seed.
    """
    from batfs.scheduling.config import Layer, Settings, parse_filesystem_flags

    result: dict[str, Any] = copied(base)
    for key, value in treatment.items():
        if key == "filesystem":
            merge(result, parse_filesystem_flags([str(value)]))
            continue
        *tables, last = split_key(key)
        inner = result
        for table in tables:
            inner = inner.setdefault(table, {})
            if not isinstance(inner, dict):
                raise InputError(f"--vary {key}: {table!r} is not a table")
        inner[last] = value
    result["seed"] = seed
    Settings(
        flags=Layer("the comparison's settings", result)
    )  # whatever is wrong is said before anything runs
    return result


def copied(value: Any) -> Any:
    """A table and the tables in it, so that these can be changed."""
    return {key: copied(item) for key, item in value.items()} if isinstance(value, Mapping) else value


def merge(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Put ``more`` into a table, table by table."""
    for key, value in more.items():
        if isinstance(value, Mapping):
            merge(into.setdefault(key, {}), value)
        else:
            into[key] = value
