"""Recorded conversations of the real Batsim 4.2.1 (on SimGrid 3.34), and their replay.

``batsim4.tar.xz`` holds ``cases/NAME`` and ``errors/NAME``: inputs and flags (``case.json``), every request
and reply (``transcript.jsonl``), Batsim's CSV files and the ends of jobs with 17 digits (``exact_ends.csv``;
the later recordings have none). A case is replayed in-process, through the same JSON as on a socket: the
simulator is given the recorded replies, and must ask what Batsim asked.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from batfs.cli import sim
from batfs.errors import BatfsError, InputError
from batfs.protocol import messages as m
from batfs.protocol.codec import decode_reply, encode_request
from batfs.records import field, record
from batfs.simulator import JobResult
from batfs.simulator.command import prepare
from batfs.simulator.simulation import simulate

ARCHIVE: Final = Path(__file__).with_name("batsim4.tar.xz")
WALL_CLOCK: Final = ("batsim_version", "scheduling_time", "simulation_time")
RESOLUTION: Final = 1.5e-6  # of what is printed with 6 decimals; beside it a millionth of the number
NO_TIME: Final = (
    1e-5  # what Batsim makes of the runtime of a job that took no time, after its end was recorded
)


class MismatchError(BatfsError):
    """Something is not as it was recorded."""


@record(frozen=False)
class Outcome:
    """A replayed case: requests made, ends of jobs compared with 17 digits, and how far the worst was off."""

    requests: int = 0
    ends: int = 0
    worst: float = 0.0  # relative
    jobs: dict[str, float] = field(default_factory=dict)


def unpack(folder: Path) -> None:
    """All cases, into ``folder``."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")


def names(kind: str) -> list[str]:
    """The names of all ``cases`` or ``errors``."""
    with tarfile.open(ARCHIVE) as archive:
        found = {
            name.split("/")[1]
            for name in archive.getnames()
            if name.startswith(kind + "/") and name.count("/") > 1
        }
    return sorted(found)


# ---- comparing ----


def close(a: float, b: float) -> bool:
    """Whether two numbers are equal as far as the recording says."""
    return abs(a - b) <= max(RESOLUTION, 1e-6 * max(abs(a), abs(b)))


def differences(got: Any, expected: Any, where: str = "") -> str | None:
    """The first place where two JSON values differ; None for none."""
    if isinstance(got, bool) or isinstance(expected, bool) or not isinstance(got, (int, float, dict, list)):
        return None if got == expected else f"{where}: {got!r}, recorded {expected!r}"
    if isinstance(got, (int, float)):
        same = isinstance(expected, (int, float)) and close(got, expected)
        return None if same else f"{where}: {got!r}, recorded {expected!r}"
    if type(got) is not type(expected):
        return f"{where}: {got!r}, recorded {expected!r}"
    if isinstance(got, dict) and isinstance(expected, dict):
        if got.keys() != expected.keys():
            return f"{where}: members {sorted(got.keys() ^ expected.keys())} on one side only"
        items: Any = ((f"{where}.{key}", got[key], expected[key]) for key in got)
    else:
        if len(got) != len(expected):
            return f"{where}: {len(got)} entries, recorded {len(expected)}"
        items = ((f"{where}[{i}]", a, b) for i, (a, b) in enumerate(zip(got, expected, strict=True)))
    for place, a, b in items:
        found = differences(a, b, place)
        if found:
            return found
    return None


def normal(request: dict[str, Any]) -> dict[str, Any]:
    """A request without the folder in which its workload was."""
    for event in request["events"]:
        if event["type"] == "SIMULATION_BEGINS":
            workloads = event["data"]["workloads"]
            event["data"]["workloads"] = {name: os.path.basename(path) for name, path in workloads.items()}
    return request


def rows(path: Path) -> list[list[str]]:
    """A CSV file."""
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def compare_files(got: Path, recorded: Path) -> None:
    """MismatchError unless a CSV file says what was recorded, wall-clock times left out."""
    ours, theirs = rows(got), rows(recorded)
    if ours[0] != theirs[0] or len(ours) != len(theirs):
        raise MismatchError(f"{recorded.name}: {len(ours)} rows of {ours[0]}, recorded {len(theirs)}")
    for a, b in zip(ours[1:], theirs[1:], strict=True):
        for name, x, y in zip(theirs[0], a, b, strict=True):
            if x != y and name not in WALL_CLOCK and not (_is_number(x) and close(float(x), float(y))):
                raise MismatchError(f"{recorded.name}: {name}: {x!r}, recorded {y!r} in {b}")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


# ---- replaying ----


class Recording:
    """A decision process that answers with what was recorded, and compares what it is asked."""

    def __init__(self, case: Path, profiles: bool) -> None:
        text = (case / "transcript.jsonl").read_text(encoding="utf-8")
        lines = [json.loads(line) for line in text.splitlines()]
        self.requests = [line["request"] for line in lines if "request" in line]
        self.replies = [line.get("reply", line.get("reply_raw")) for line in lines if "request" not in line]
        self.profiles = profiles
        self.asked = 0

    def decide(self, request: m.Request) -> m.Reply:
        text = encode_request(request, profiles=self.profiles)
        if self.asked >= len(self.requests):
            raise MismatchError(f"one request more than recorded: {text[:300]!r}")
        recorded = normal(self.requests[self.asked])
        found = differences(normal(json.loads(text)), recorded, f"request {self.asked}")
        if found is not None:
            raise MismatchError(found)
        reply = self.replies[self.asked]
        self.asked += 1
        return decode_reply(reply if isinstance(reply, str) else json.dumps(reply))


@contextmanager
def inside(folder: Path) -> Iterator[None]:
    """With ``folder`` as the working directory."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def flags_of(case: Path) -> list[str]:
    """Batsim's flags of a case, which is run inside its folder."""
    found: list[str] = json.loads((case / "case.json").read_text(encoding="utf-8"))["args"]
    return found


def replay(case: Path, prefix: Path, *, interpreted: bool = False) -> Outcome:
    """Simulate a case against its recording, its files under ``prefix`` (an absolute path).

    MismatchError where something is not as recorded; InputError where the simulator refuses, as it must in
    an error's recording.
    """
    parser = argparse.ArgumentParser()
    sim.add_arguments(parser)
    outcome = Outcome()
    with inside(case):
        args = parser.parse_args([*flags_of(case), "-e", str(prefix)])
        platform, machine, workloads, options = prepare(args)
        recording = Recording(case, options.forward_profiles)

        def note(job: JobResult) -> None:
            if not job.rejected:
                outcome.jobs[job.job_id] = job.end

        options.on_job = note
        options.interpreted = interpreted
        simulate(platform, machine, workloads, recording, options)
    outcome.requests = recording.asked
    if recording.asked != len(recording.requests):
        raise MismatchError(f"{recording.asked} requests, recorded {len(recording.requests)}")
    for kind in ("jobs", "schedule", "machine_states"):
        if (case / f"{kind}.csv").exists():
            compare_files(prefix.with_name(f"{prefix.name}_{kind}.csv"), case / f"{kind}.csv")
    exact_ends = case / "exact_ends.csv"
    for job, text in rows(exact_ends)[1:] if exact_ends.exists() else ():
        exact, end = float(text), outcome.jobs[job]
        off = min(abs(end - exact), abs(end - NO_TIME - exact)) / max(exact, 1.0)
        outcome.ends += 1
        outcome.worst = max(outcome.worst, off)
    return outcome


def refused(case: Path, prefix: Path) -> str:
    """The sentence with which an error's recording ends here; "" when nothing is refused."""
    try:
        replay(case, prefix)
    except InputError as error:
        return str(error)
    return ""


def status(case: Path) -> int | str:
    """The exit status with which Batsim ended an error's case (``timeout``: it never did)."""
    found: int | str = json.loads((case / "case.json").read_text(encoding="utf-8"))["result"]["status"]
    return found
