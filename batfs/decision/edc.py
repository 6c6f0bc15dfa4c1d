"""``batfs-sched`` for Batsim 5: an external decision component in JSON over ZeroMQ.

The scheduler is the one that serves Batsim 4; :class:`~batfs.decision.replacing.Replacing` stands between.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple, Protocol

import orjson

from batfs import __version__
from batfs.decision.jobs_file import JobsFile, jobs_path
from batfs.decision.replacing import Replacing, Translation, Watcher
from batfs.errors import BatfsError, InputError
from batfs.files import writing
from batfs.protocol import messages as m
from batfs.protocol.decision_side import ProtocolError
from batfs.protocol.v5 import hello
from batfs.protocol.v5.decision_side import decode_request, encode_reply
from batfs.scheduling.config import Layer, Settings, read_sched_config
from batfs.scheduling.core import Scheduler
from batfs.scheduling.observer import Observer
from batfs.texts import read_bytes
from batfs.workload.model import Profile

_SOURCE = "Batsim's init string"


class Link(Protocol):
    """What is used of a connection: texts in turn."""

    def recv_text(self) -> bytes: ...
    def send_text(self, text: bytes) -> None: ...


class Init(NamedTuple):
    """What the init string says: the scheduler's settings, and what is Batsim 5's own.

    ``workloads``: files to read profiles from, instead of those that Batsim names. ``dynamic_jobs``: whether
    batfs may register jobs of its own: staging, phases, drains.
    """

    settings: Layer | None
    workloads: Sequence[str]
    dynamic_jobs: bool


def read_init(text: str) -> Init:
    """The init string (``batsim -s ENDPOINT STRING``) or the init file's content: settings as in Batsim 4's
    ``--sched-cfg``, with ``workload`` (a path or several) and ``dynamic_jobs`` (true unless said) beside
    them. Raises InputError."""
    if not text.strip():
        return Init(None, (), True)
    layer = read_sched_config(text, _SOURCE)
    values = {str(key).replace("-", "_"): value for key, value in layer.values.items()}
    named, dynamic = values.pop("workload", ()), values.pop("dynamic_jobs", True)
    paths = [named] if isinstance(named, str) else named
    if not isinstance(paths, list | tuple) or not all(isinstance(path, str) for path in paths):
        raise InputError(f"{named!r} is neither a path nor a list of them", file=_SOURCE, place="workload")
    if not isinstance(dynamic, bool):
        raise InputError(f"{dynamic!r} is not true or false", file=_SOURCE, place="dynamic_jobs")
    return Init(Layer(layer.source, values), list(paths), dynamic)


def converse(link: Link, first: bytes, process: Callable[[str], Replacing]) -> None:
    """One simulation: ``first`` is Batsim's first message; ``process`` makes who decides of its init string.
    Returns when the simulation has ended and the last message is answered."""
    try:
        text = hello.init_text(first)
    except ValueError as error:
        raise ProtocolError(f"the simulator's first message is not Batsim 5's: {error}") from None
    decider = process(text)
    link.send_text(hello.hello(__version__))
    over = False
    while not over:
        request = decode_request(hello.unframed(link.recv_text()))
        over = any(isinstance(event, m.SimulationEnds) for event in request.events)
        link.send_text(hello.framed(encode_reply(decider.decide(request))))


class WorkloadProfiles:
    """The profiles of the workload files, which Batsim 5 tells of only in part: those inside sequences and
    the return codes are known from here. Files are named by Batsim, or (``instead``) by the user."""

    def __init__(self, say: Callable[[str], None], instead: Sequence[str] = ()) -> None:
        self._say = say
        self._instead = instead

    def __call__(self, workloads: Mapping[str, str]) -> Mapping[str, Mapping[str, Profile]]:
        """By workload and name. One that can't be read is named, and has none."""
        named = dict(workloads)
        for k, path in enumerate(self._instead):
            named[f"w{k}"] = path
        found: dict[str, Mapping[str, Profile]] = {}
        for workload, path in named.items():
            try:
                found[workload] = _profiles(Path(path), workload)
            except (BatfsError, OSError) as error:
                why = error.strerror if isinstance(error, OSError) else str(error)
                self._say(
                    f"the workload {path} can't be read ({why}): I/O of profiles inside sequences isn't "
                    'moved, and return codes aren\'t known; name it in the init string: {"workload": "PATH"}'
                )
        return found


def _profiles(path: Path, workload: str) -> Mapping[str, Profile]:
    data = read_bytes(path)
    if b'"SequentialCompositionProfile"' not in data and b'"ret"' not in data:
        return {}  # all that matters is forwarded
    from batfs.workload.batsim5 import parse_profile

    try:
        profiles = orjson.loads(data)["profiles"]
        return {name: parse_profile(raw, f"profiles.{name}", workload) for name, raw in profiles.items()}
    except orjson.JSONDecodeError as error:
        raise InputError(f"malformed JSON: {error.msg}") from None
    except (KeyError, TypeError, AttributeError):
        raise InputError("not a Batsim 5 workload") from None


def jobs_file(prefix: str | None, stack: ExitStack, say: Callable[[str], None]) -> Watcher:
    """Who writes ``PREFIX_jobs.csv``, if there is a prefix, until ``stack`` closes."""
    if prefix is None:
        return Watcher()
    say(f"the file of the jobs is {jobs_path(prefix)}; Batsim's own has two rows for a job with I/O")
    return JobsFile(stack.enter_context(writing(jobs_path(prefix), keep_partial=True)))


def serve(
    link: Link,
    first: bytes,
    settings: Settings,
    *,
    prefix: str | None,
    observer: Observer | None,
    say: Callable[[str], None],
) -> Scheduler:
    """One simulation of Batsim 5's, to its end; returns the scheduler. With a ``prefix``, ``PREFIX_jobs.csv``
    is written."""
    from batfs.decision.files import make_files

    cores: list[Scheduler] = []
    with ExitStack() as stack:
        watch = jobs_file(prefix, stack, say)

        def process(text: str) -> Replacing:
            init = read_init(text)
            layered = settings if init.settings is None else settings.forwarded(init.settings)
            cores.append(Scheduler(layered, make_files, observer=observer, say=say))
            profiles = WorkloadProfiles(say, init.workloads)
            translation = Translation(
                config={}, dynamic_jobs=init.dynamic_jobs, profiles=profiles, watch=watch
            )
            return Replacing(cores[0], translation)

        converse(link, first, process)
    return cores[0]
