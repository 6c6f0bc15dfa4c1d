"""Recorded conversations of the real Batsim 5.0.0-rc2 (on SimGrid 4.1), and their replay.

``batsim5.tar.xz`` holds ``cases/NAME`` and ``errors/NAME``: inputs and flags (``case.json``), every request
and reply (``transcript.jsonl``), and Batsim's ``jobs.csv``; of an error what Batsim died of. A case is
replayed in-process, through the same JSON as on a socket. Numbers agree to 1e-6 of the larger one, or to 1e-6
below one.
"""

from __future__ import annotations

import argparse
import csv
import json
import tarfile
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, Final

from batfs.cli import sim5
from batfs.cli.verification.recordings import MismatchError, inside
from batfs.errors import InputError
from batfs.protocol.v5.hello import framed, unframed
from batfs.simulator import simulate
from batfs.simulator.v5.command import prepare, take_on
from batfs.simulator.v5.links import Conversation

ARCHIVE: Final = Path(__file__).with_name("batsim5.tar.xz")
_NOT_COMPARED: Final = (
    *("batsim_execution_context_json", "batsim_arguments", "batsim_version", "batsim_commit"),
    "external_event_lists",
)
_WORDS: Final = ("job_id", "workload_name", "profile", "final_state", "allocated_resources", "metadata")


def unpack(folder: Path) -> None:
    """All cases, into ``folder``."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")


def names(kind: str) -> list[str]:
    """The names of all ``cases`` or ``errors``."""
    with tarfile.open(ARCHIVE) as archive:
        found = {name.split("/")[1] for name in archive.getnames() if name.startswith(kind + "/")}
    return sorted(found)


class Recording:
    """One folder: its flags and its conversation."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.case = json.loads((folder / "case.json").read_text(encoding="utf-8"))
        path = folder / "transcript.jsonl"
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        lines = [json.loads(line) for line in text.splitlines()]
        self.hello = next((line for line in lines if "hello" in line), None)
        self.requests = [line["request"] for line in lines if "request" in line]
        self.replies = [line["reply"] for line in lines if "reply" in line]

    @property
    def init(self) -> str:
        """The init string."""
        return str(self.case.get("init", ""))

    def arguments(self, prefix: str, *component: str) -> list[str]:
        """Batsim's flags, with ``component`` to say where the decision component is."""
        return [*self.case["args"], "-e", prefix, *component]


def text_of(message: Any) -> bytes:
    """A recorded message; a string is one that is no JSON."""
    return (message if isinstance(message, str) else json.dumps(message)).encode()


class Replayed:
    """A decision component that gives the recorded answers, and keeps what it was asked."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.asked: list[Any] = []

    def init(self, text: str) -> tuple[int, bytes]:
        hello = self.recording.hello
        if text != self.recording.init or hello is None:
            raise MismatchError(f"the init string {text!r}, recorded {self.recording.init!r}")
        return hello["flags"], text_of(hello["hello"])

    def exchange(self, message: bytes) -> bytes:
        if not message.endswith(b"\0"):
            raise MismatchError("a message without a NUL byte at its end")
        if len(self.asked) >= len(self.recording.replies):
            raise MismatchError(f"one request more than recorded: {message[:300]!r}")
        self.asked.append(json.loads(unframed(message)))
        return framed(text_of(self.recording.replies[len(self.asked) - 1]))

    def close(self) -> None:
        pass


def run(recording: Recording, prefix: str) -> Replayed:
    """Simulate with the recorded answers, files under ``prefix`` (absolute); who gave them. InputError where
    the simulator refuses, as it must in an error's recording."""
    parser = argparse.ArgumentParser()
    sim5.add_arguments(parser)
    component = Replayed(recording)
    with inside(recording.folder):
        args = parser.parse_args(recording.arguments(prefix, "-s", "tcp://localhost:1", recording.init))
        platform, machine, workloads, options = prepare(args)
        conversation = Conversation(component)
        take_on(conversation.greet(recording.init), options, workloads)
        simulate(platform, machine, workloads, conversation, options)
    return component


def replay(case: Path, prefix: str) -> int:
    """Simulate a case against its recording; how many requests it has. MismatchError where something is not
    as recorded."""
    recording = Recording(case)
    asked = run(recording, prefix).asked
    found = chain(
        differences(asked, recording.requests, "requests"),
        table_differences(Path(f"{prefix}jobs.csv"), case / "jobs.csv"),
    )
    for difference in found:
        raise MismatchError(difference)
    return len(asked)


def refused(case: Path, prefix: str) -> str:
    """The sentence with which an error's recording ends here; "" when nothing is refused."""
    try:
        run(Recording(case), prefix)
    except InputError as error:
        return str(error)
    return ""


# ---- comparing ----


def _close(a: float, b: float) -> bool:
    return abs(a - b) <= 1e-6 * max(1.0, abs(a), abs(b))


def differences(got: Any, expected: Any, where: str) -> Iterator[str]:
    """Where two JSON values differ. null and a missing member are alike; properties and profiles have no
    order."""
    if isinstance(got, dict) and isinstance(expected, dict):
        for key in sorted(got.keys() | expected.keys()):
            if key in _NOT_COMPARED:
                continue
            a, b = got.get(key), expected.get(key)
            if key in ("properties", "zone_properties", "profiles") and a and b:
                a, b = (sorted(value, key=json.dumps) for value in (a, b))
            if key == "filename" and isinstance(a, str) and isinstance(b, str):
                a, b = Path(a).name, Path(b).name
            yield from differences(a, b, f"{where}.{key}")
    elif isinstance(got, list) and isinstance(expected, list):
        if len(got) != len(expected):
            yield f"{where}: {len(got)} entries, recorded {len(expected)}"
        for i, (a, b) in enumerate(zip(got, expected, strict=False)):
            yield from differences(a, b, f"{where}[{i}]")
    elif isinstance(got, (int, float)) and isinstance(expected, (int, float)):
        if isinstance(got, bool) is not isinstance(expected, bool) or not _close(got, expected):
            yield f"{where}: {got!r}, recorded {expected!r}"
    elif got != expected:
        yield f"{where}: {got!r}, recorded {expected!r}"


def table_differences(got: Path, expected: Path) -> Iterator[str]:
    """Where two files of jobs differ."""
    with got.open(newline="", encoding="utf-8") as a, expected.open(newline="", encoding="utf-8") as b:
        rows, recorded = list(csv.reader(a)), list(csv.reader(b))
    if len(rows) != len(recorded):
        yield f"{len(rows)} rows, recorded {len(recorded)}"
    for i, (row, other) in enumerate(zip(rows, recorded, strict=False)):
        for column, mine, theirs in zip(recorded[0], row, other, strict=True):
            if mine == theirs:
                continue
            number = i > 0 and column not in _WORDS and mine and theirs
            # of a value printed with six decimals the last may differ by one
            if not number or not abs(float(mine) - float(theirs)) <= max(1.01e-6, 1e-6 * abs(float(theirs))):
                yield f"row {i}, {column}: {mine!r}, recorded {theirs!r}"
