"""``batfs check``: check platform files, against a baseline if there is one."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from xml.sax.saxutils import escape, quoteattr

from batfs.cli.annotations import Annotation, github, sarif
from batfs.cli.machine_flags import add_machine_flags
from batfs.errors import InputError
from batfs.files import write_text
from batfs.parsing import add_word
from batfs.texts import aligned, utf8_text
from batfs.units import format_bandwidth, format_time

if TYPE_CHECKING:
    from batfs.platform.changes import Change
    from batfs.platform.check import Report


HELP = """Check platform files: do they load, does every node reach every storage and back, are read and write
links where they belong, are sizes and roles given, and Batsim's traps.

  batfs check platforms/*.xml
  batfs check platform.xml --bandwidths                       what each storage gives, alone and at once
  batfs check platform.xml --baseline platform.json --update  remember how it is now
  batfs check platform.xml --baseline platform.json           name every change since
  batfs check platforms/*.xml --junit check.xml --json        for a pipeline
  batfs check platforms/*.xml --format github                 beside the lines of a pull request

Exit code 0: nothing found; 1: a fault, or a change since the baseline; 2: a file that can't be read.
"""


Moved: TypeAlias = "dict[str, list[Change | str]]"
_RULES = {
    "load": "SimGrid reads the file.",
    "numbering": "Batsim can number its resources: one master, roles it knows, nodes with speed.",
    "baseline": "The platform is as the baseline remembers it.",
}
CLEAR = "\r\033[K"


def _progress(file: Path) -> Callable[[str], None] | None:
    """Shows on a terminal what a long check is at; nothing in the first second."""
    if not sys.stderr.isatty():
        return None
    begun = time.monotonic()

    def say(text: str) -> None:
        if time.monotonic() - begun > 1:
            sys.stderr.write(f"{CLEAR}{file}: {text}")
            sys.stderr.flush()

    return say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "platforms", nargs="*", type=Path, metavar="PLATFORM", help="platform files, SimGrid XML"
    )
    add_word(parser, "--baseline", ": what this file remembers", type=Path, metavar="FILE")
    parser.add_argument("--update", action="store_true", help="write the baseline instead")
    add_machine_flags(parser)
    parser.add_argument("--bandwidths", action="store_true", help="print bandwidth and latency of storages")
    add_word(parser, "--verbose", ": notes as well", action="store_true")
    parser.add_argument(
        "--format",
        choices=("text", "json", "github", "sarif"),
        default="text",
        help="how the result is printed: for people, as JSON, as GitHub's annotations, as SARIF [text]",
    )
    add_word(parser, "--json", dest="format", action="store_const", const="json")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write the result as JUnit XML")
    add_word(parser, "--list", ": the checks", action="store_true")


def run(args: argparse.Namespace) -> int:
    from batfs.platform.check import CHECKS, check_platform

    if args.list:
        for name, check in CHECKS.items():
            print(f"{name:<16} {(check.__doc__ or '').splitlines()[0]}")
        return 0
    if not args.platforms:
        raise InputError("no platform given", hint="batfs check platforms/*.xml")
    if args.update and args.baseline is None:
        raise InputError("--update needs --baseline FILE")
    remembered = {} if args.baseline is None or args.update else _read_baseline(args.baseline)
    reports: list[Report] = []
    moved: Moved = {}
    for file in args.platforms:
        report = check_platform(
            file,
            master=args.master_host,
            roles=args.add_role_to_hosts,
            limit=args.mmax or None,
            say=_progress(file),
        )
        reports.append(report)
        if args.baseline is not None and not args.update:
            moved[str(file)] = _moved(remembered, file, report)
    if sys.stderr.isatty():
        sys.stderr.write(CLEAR)
    code = max(
        2 if not report.loaded else 1 if report.faults or moved.get(report.file) else 0 for report in reports
    )
    if args.update:
        _write_baseline(args.baseline, reports)
    unseen = sorted(set(remembered) - {file.name for file in args.platforms})
    if args.junit is not None:
        write_text(args.junit, junit(reports, moved))
    if args.format == "json":
        json.dump(as_json(reports, moved), sys.stdout, indent=1)
        print()
    elif args.format == "github":
        sys.stdout.write(github(_annotations(reports, moved)))
    elif args.format == "sarif":
        rules = {name: (check.__doc__ or "").splitlines()[0] for name, check in CHECKS.items()}
        sys.stdout.write(sarif(_annotations(reports, moved), {**_RULES, **rules}))
    else:
        _print(reports, moved, unseen, args)
    return code


# -- baselines ------------------------------------------------------------------------------------------


def _read_baseline(path: Path) -> dict[str, Any]:
    from batfs.platform.measures import FORMAT

    try:
        text = utf8_text(path)
    except InputError as error:
        hint = error.hint if path.exists() else "--update writes one"
        raise InputError(error.problem, file=path, place=error.place, hint=hint) from None
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"not a baseline: {error}", file=path) from error
    if not isinstance(document, dict) or not isinstance(document.get("platforms"), dict):
        raise InputError("not a baseline: no 'platforms' in it", file=path)
    if document.get("format") != FORMAT:
        raise InputError(
            f"a baseline of format {document.get('format')!r}; this batfs writes {FORMAT}",
            file=path,
            hint="make it anew with --update",
        )
    return dict(document["platforms"])


def _moved(remembered: dict[str, Any], file: Path, report: Report) -> list[Change | str]:
    # by file name, so that a baseline holds wherever the files are called from
    from batfs.platform.changes import all_changes

    old = remembered.get(file.name)
    if old is None:
        return [f"{file.name} is not in the baseline"]
    if report.summary is None:
        return []  # its faults say why
    try:
        found = list(all_changes(old, report.summary))
        for change in found:  # numbers that are none show when they are written with their units
            change.told()
        return [*found]
    except (KeyError, TypeError, AttributeError, ValueError) as error:  # somebody has been editing
        raise InputError(
            f"the baseline of {file.name} is not as batfs writes it: {type(error).__name__} {error}",
            hint="make it anew with --update",
        ) from error


def _write_baseline(path: Path, reports: list[Report]) -> None:
    from batfs.platform.measures import FORMAT

    faulty = [report.file for report in reports if report.summary is None]
    if faulty:
        raise InputError(f"no baseline of {', '.join(faulty)}: it has faults", hint="run without --update")
    names = [Path(report.file).name for report in reports]
    if len(set(names)) < len(names):
        raise InputError("two platforms have the same file name; a baseline keeps them by name")
    # the others in it stay: hooks only see the files that changed
    kept = _read_baseline(path) if path.exists() else {}
    platforms = {**kept, **{Path(report.file).name: report.summary for report in reports}}
    write_text(path, json.dumps({"format": FORMAT, "platforms": platforms}, indent=1) + "\n")


# -- output ---------------------------------------------------------------------------------------------


def _annotations(reports: list[Report], moved: Moved) -> Iterator[Annotation]:
    from batfs.platform.changes import told

    for report in reports:
        for finding in report.findings:
            if finding.note and not finding.told:
                continue
            level = "note" if finding.note else "error" if finding.check in _RULES else "warning"
            text = finding.message if finding.place.startswith(("line ", "file")) else str(finding)
            yield Annotation(report.file, level, finding.check, text, report.line(finding))
        for line in told(moved.get(report.file, [])):
            yield Annotation(report.file, "warning", "baseline", line)


def _print(reports: list[Report], moved: Moved, unseen: list[str], args: argparse.Namespace) -> None:
    from batfs.platform.changes import told

    for report in reports:
        for finding in report.findings:
            if not finding.note or finding.told or args.verbose:
                print(f"{report.file}: {'note: ' if finding.note else ''}{finding}")
        for change in told(moved.get(report.file, [])):
            print(f"{report.file}: {change} [baseline]")
        if args.bandwidths and report.measures:
            print("\n".join(_bandwidths(report)))
    if unseen:
        print(f"note: in the baseline, but not checked: {', '.join(unseen)}")
    faults = sum(len(report.faults) for report in reports)
    many = sum(len(lines) for lines in moved.values())
    text = f"{len(reports)} platform{'s' if len(reports) != 1 else ''} checked: "
    text += f"{faults or 'no'} fault{'s' if faults != 1 else ''}"
    if moved:
        text += f", {many or 'no'} change{'s' if many != 1 else ''} since the baseline"
    print(f"{text}; baseline written to {args.baseline}" if args.update else text)


def _bandwidths(report: Report) -> list[str]:

    titles = ("storage", "read alone", "by all nodes", "write alone", "by all nodes", "latency", "back")
    rows = [
        (
            name,
            *(
                format_bandwidth(value)
                for value in (entry.read_alone, entry.read_all, entry.write_alone, entry.write_all)
            ),
            format_time(entry.read_latency),
            format_time(entry.write_latency),
        )
        for name, entry in report.measures.items()
    ]
    return aligned([titles, *rows], range(1, 7))


def as_json(reports: list[Report], moved: Moved) -> dict[str, Any]:
    return {
        "platforms": [
            {
                "file": report.file,
                "loaded": report.loaded,
                "faults": [_finding(finding) for finding in report.faults],
                "notes": [_finding(finding) for finding in report.findings if finding.note],
                "changes": [str(change) for change in moved.get(report.file, [])],
                "summary": report.summary,
            }
            for report in reports
        ]
    }


def _finding(finding: Any) -> dict[str, str]:
    return {"check": finding.check, "place": finding.place, "message": finding.message}


def junit(reports: list[Report], moved: Moved) -> str:
    """One suite per platform, one case per check; a case fails with all its findings."""

    from batfs.platform.changes import told

    lines = ['<?xml version="1.0" encoding="UTF-8"?>', "<testsuites>"]
    for report in reports:
        cases: dict[str, list[str]] = {name: [] for name in report.checks}
        for finding in report.faults:
            cases[finding.check].append(f"{finding.place}: {finding.message}")
        if report.file in moved:
            cases["baseline"] = told(moved[report.file])
        failures = sum(1 for messages in cases.values() if messages)
        name = quoteattr(report.file)
        lines.append(f'  <testsuite name={name} tests="{len(cases)}" failures="{failures}">')
        for check, messages in cases.items():
            case = f"    <testcase classname={name} name={quoteattr(check)}"
            if messages:
                first = quoteattr(messages[0])
                body = escape("\n".join(messages))
                lines.append(f"{case}><failure message={first}>{body}</failure></testcase>")
            else:
                lines.append(f"{case}/>")
        lines.append("  </testsuite>")
    return "\n".join([*lines, "</testsuites>", ""])
