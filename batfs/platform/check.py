"""What can be wrong with a platform that loads: the run of all checks of ``batfs check``.

The checks are in :mod:`~batfs.platform.faults` and :mod:`~batfs.platform.oddities`, one function each: it
takes a :class:`~batfs.platform.subject.Subject` and yields findings. Faults count; notes are told only on
request.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

from batfs.errors import InputError

# importing them registers the checks, in this order
from batfs.platform import faults as faults, oddities as oddities  # isort: skip
from batfs.platform.machine import load_platform
from batfs.platform.measures import measure, measured, near_node, summary
from batfs.platform.numbering import survey
from batfs.platform.subject import CHECKS, Finding, Report, Subject


def check_platform(
    path: str | os.PathLike[str],
    *,
    master: str = "master_host",
    roles: Sequence[str] = (),
    limit: int | None = None,
    config: Mapping[str, str] | None = None,
    say: Callable[[str], None] | None = None,
) -> Report:
    """Load, number and check one platform. What is wrong with the file is in the report, never raised.

    ``say`` is told now and then what is being done.
    """
    tell = say or (lambda text: None)
    tell("loading")
    report = Report(str(path), checks=["load"])
    try:
        platform = load_platform(path, config=config)
    except InputError as error:
        report.findings.append(Finding("load", error.place or "file", _told(error)))
        return report
    report.loaded, report.platform = True, platform
    refused = [text for _, text in platform.refused]
    report.findings += [
        Finding("load", f"line {line}", f"SimGrid refuses it: {text}") for line, text in platform.refused
    ]
    report.findings += [
        Finding("load", "file", note, note=True) for note in platform.notes if note not in refused
    ]
    report.checks.append("numbering")
    try:
        machine, faults = survey(platform, master=master, roles=roles, limit=limit)
    except InputError as error:
        machine, faults = survey(platform, master=master)[0], [error]
    report.findings += [Finding("numbering", fault.place or "file", _told(fault)) for fault in faults]
    report.machine = machine
    subject = Subject(machine)
    report.checks += CHECKS
    for name, check in CHECKS.items():
        tell(f"checking {name}")
        report.findings += check(subject)
    if any(finding.check in ("route", "numbering") for finding in report.faults) or not machine.compute:
        return report
    nodes = [resource.host for resource in machine.compute]
    chosen = measured(machine)
    if len(chosen) < len(machine.storages):
        told = f"bandwidths of {len(chosen)} of {len(machine.storages)} storages measured"
        report.findings.append(Finding("load", "file", told, note=True))
    for place, storage in enumerate(chosen):
        if place % 16 == 0:
            tell(f"measuring storage {place + 1} of {len(chosen)}")
        near = near_node(machine, storage)
        report.measures[storage.name] = measure(platform, nodes, storage.host, near)
    report.summary = summary(machine, report.measures)
    return report


def _told(error: InputError) -> str:
    return f"{error.problem} ({error.hint})" if error.hint else error.problem


__all__ = ["CHECKS", "Finding", "Report", "check_platform"]
