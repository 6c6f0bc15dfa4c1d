"""Trace files that a workload names: they travel with it, and are scaled with it.

A profile's ``trace`` is a list of files, one a rank, beside the workload; the files are beside the list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from batfs import files
from batfs.errors import InputError
from batfs.records import replace
from batfs.texts import read_bytes
from batfs.workload.fields import member_place
from batfs.workload.model import Profile, Smpi, UsageTrace, Workload
from batfs.workload.numbers import plain

# called with a file's bytes and its plain name: the name it gets
Naming = Callable[[bytes, str], str]


def traced(profiles: Mapping[str, Profile]) -> Iterator[tuple[str, UsageTrace | Smpi]]:
    """The profiles that replay traces, by name."""
    for name, profile in profiles.items():
        if isinstance(profile, UsageTrace | Smpi):
            yield name, profile


def gather(workload: Workload, naming: Naming, prefix: str = "") -> tuple[Workload, dict[str, bytes]]:
    """``workload`` with its traces under new names behind ``prefix``, and the files by those names.

    Flops are times ``workload.trace_flops``. InputError for a file that can't be read.
    """
    made: dict[str, bytes] = {}
    lists: dict[str, str] = {}
    profiles = dict(workload.profiles)
    home = Path(workload.path).parent
    for name, profile in traced(workload.profiles):
        if profile.trace not in lists:
            place = f"{member_place('profiles', name)}.trace"
            lines = _read(home / profile.trace, place).decode(errors="surrogateescape").rstrip().split("\n")
            ranks = []
            for line in lines:
                rank = (home / profile.trace).parent / line.rstrip()
                data = _scaled(_read(rank, place), workload.trace_flops, profile, place)
                ranks.append(naming(data, rank.name))
                made[ranks[-1]] = data
            text = "".join(f"{rank}\n" for rank in ranks).encode(errors="surrogateescape")
            lists[profile.trace] = naming(text, Path(profile.trace).name)
            made[lists[profile.trace]] = text
        profiles[name] = replace(profile, trace=prefix + lists[profile.trace])
    return replace(workload, profiles=profiles, trace_flops=1.0), made


def _read(path: Path, place: str) -> bytes:
    try:
        return read_bytes(path, "the trace")
    except InputError as error:
        raise error.at(place=place) from error


def _scaled(data: bytes, factor: float, profile: Profile, place: str) -> bytes:
    if factor == 1.0:
        return data
    if isinstance(profile, Smpi):
        raise InputError("traces of MPI calls can't be scaled in time", place=place)
    lines = data.split(b"\n")
    for number, line in enumerate(lines):
        words = line.split()
        if len(words) >= 4 and words[1] == b"m_usage":
            try:
                words[3] = repr(plain(float(words[3]) * factor)).encode()
            except ValueError:
                continue  # whoever replays it says what is wrong with it
            lines[number] = b" ".join(words)
    return b"\n".join(lines)


def settled(workload: Workload, output: Path) -> Workload:
    """``workload`` for the file ``output``: its traces are found from there, copied where they must be.

    Copies go into the folder ``<output>_traces`` beside it, each under a name of its own.
    """
    old, new = Path(workload.path).parent, output.parent
    names = {profile.trace for _, profile in traced(workload.profiles)}
    if not names or (workload.trace_flops == 1.0 and all(_same(old / n, new / n) for n in names)):
        return workload
    taken: dict[str, bytes] = {}

    def naming(data: bytes, name: str) -> str:
        stem, suffix, number = Path(name).stem, Path(name).suffix, 1
        while taken.setdefault(name, data) != data:
            number += 1
            name = f"{stem}-{number}{suffix}"
        return name

    folder = new / f"{output.stem}_traces"
    moved, made = gather(workload, naming, f"{folder.name}/")
    files.check_writable(folder)
    for name, data in made.items():
        files.write_bytes(folder / name, data)
    return moved


def _same(a: Path, b: Path) -> bool:
    try:
        return a.samefile(b)
    except OSError:
        return False
