"""``batfs reproduce io500``."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from batfs.errors import InputError
from batfs.parsing import add_word
from batfs.scratch import scratch_folder

HELP = """public IO500 submissions: machines with the figures measured, and hard figures from easy ones

  batfs reproduce io500 summary.csv
  batfs reproduce io500 summary.csv --submission Helios --json

The summary is a table (CSV) with a submission a row: its name (SITE/SYSTEM/STORAGE/YEAR/...), nodes, tasks
and the figures ior-easy-write, ior-hard-write, ior-easy-read, ior-hard-read in GiB/s. For each submission a
machine is calibrated on its four figures (what batfs platform new --from-io500 writes) and IOR's four phases
are simulated on it. Then hard figures are predicted from easy ones and the file system's kind, each site by
the others, beside what one would guess without. docs/guides/calibrate.md explains both.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("summary", type=Path, metavar="CSV", help="the summary, a submission a row")
    parser.add_argument("--submission", metavar="NAME", help="only those that have NAME in their name")
    add_word(parser, "--json", "(every submission)", action="store_true")


def run(args: argparse.Namespace) -> int:
    import orjson

    from batfs import json_text
    from batfs.campaign.calibration import io500
    from batfs.campaign.progress import Progress

    every = io500.read_summary(args.summary)
    rows = io500.complete(every)
    if args.submission:
        rows = [s for s in rows if args.submission.lower() in s.name.lower()]
    if not rows:
        raise InputError("no submission with all four ior figures", file=args.summary)
    found: list[tuple[io500.Submission, dict[str, float]]] = []
    with scratch_folder("io500") as scratch, Progress(len(rows), 0) as bar:
        for submission in rows:
            found.append((submission, io500.rehearse(submission, Path(scratch))))
            bar.update(len(found), 0, 0)
    predicted = {d: io500.predict(every, d) for d in ("write", "read")} if len(every) >= 30 else {}
    if args.json:
        print(json_text.dumps(_json(found, predicted), option=orjson.OPT_INDENT_2).decode())
    else:
        print("\n".join([*_calibrated(found, len(every)), *_predicted(predicted, every)]))
    return 0


def _json(found: Sequence[tuple[Any, dict[str, float]]], predicted: dict[str, Any]) -> dict[str, Any]:
    from batfs.campaign.calibration import io500

    return {
        "assumed": io500.ASSUMED,
        "calibrated": [
            {
                "submission": s.name,
                "kind": s.kind,
                "nodes": s.nodes or io500.NODES,
                "measured": dict(s.figures),
                "simulated": simulated,
                "server": io500.calibrate(s).text(),
            }
            for s, simulated in found
        ],
        "predicted": {
            direction: {
                "errors": asdict(errors),
                "systems": [
                    {"submission": p.submission.name, "kind": p.submission.kind}
                    | {key: getattr(p, key) for key in ("measured", "predicted", "low", "high")}
                    for p in predictions
                ],
            }
            for direction, (predictions, errors) in predicted.items()
        },
    }


def _calibrated(found: Sequence[tuple[Any, dict[str, float]]], total: int) -> list[str]:
    from batfs.campaign.calibration import io500

    errors = sorted(io500.largest_error(s.figures, simulated) for s, simulated in found)
    within = sum(error <= 0.05 for error in errors)
    lines = [
        f"{total} submissions, {len(found)} of them with all four ior figures",
        f"all four simulated within 5 %: {within} of {len(found)} ({within / len(found):.1%});"
        f" largest error: median {errors[len(errors) // 2]:.2g}, worst {errors[-1]:.2g}",
        f"assumed: {io500.ASSUMED}",
        "",
    ]
    if len(found) <= 5:
        lines.append(f"{'':<18}{'measured':>12}{'simulated':>12}  GiB/s")
        for submission, simulated in found:
            lines.append(submission.name)
            lines += [
                f"  {figure:<16}{submission.figures[figure]:>12.3f}{simulated[figure]:>12.3f}"
                for figure in io500.FIGURES
            ]
        lines.append("")
    return lines


def _predicted(predicted: dict[str, Any], every: Sequence[Any]) -> list[str]:
    if not predicted:
        return ["hard figures are predicted from 30 submissions on"]
    lines = [
        "hard figures from easy ones (median error as a factor less 1: 1.0 is half or twice)",
        f"{'':<8}{'systems':>8}{'predicted':>11}{'by the median ratio':>21}{'hard = easy':>13}"
        f"{'in the 90 % interval':>22}",
    ]
    for direction, (_, errors) in predicted.items():
        lines.append(
            f"{direction:<8}{errors.count:>8}{errors.predicted:>11.2f}{errors.ratio:>21.2f}{errors.easy:>13.2f}"
            f"{errors.covered:>21.1%}"
        )
    kinds = Counter(s.kind for s in every)
    lines += ["", "kinds by name: " + ", ".join(f"{kind} {count}" for kind, count in kinds.most_common())]
    return lines
