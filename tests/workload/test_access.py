"""Access patterns in profiles: read, written again, refused where they are wrong, filled in by Darshan."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batfs.errors import InputError
from batfs.workload.access import KINDS, PLAIN, Access, Way
from batfs.workload.account import Report
from batfs.workload.darshan import DarshanOptions, to_jobs
from batfs.workload.io import requested_io
from batfs.workload.model import ParallelHomogeneous
from batfs.workload.recorded import io_entry

ways = st.builds(
    Way,
    st.sampled_from(("sequential", "strided", "random")),
    st.integers(0, 1 << 40),
    st.booleans(),
)


def read(entry: dict[str, Any]) -> Any:
    [part] = requested_io(ParallelHomogeneous(1.0, 0, {"io": [{"filesystem": "f", "reads": 1, **entry}]}))
    return part


@given(st.builds(Access, ways, ways, st.integers(1, 1 << 20)))
def test_what_is_written_is_read_again(access: Access) -> None:
    part = read({})
    part = type(part)("f", 1, 0, access=access)
    assert read(io_entry(part)).access == access


def test_an_entry_without_a_word_is_plain() -> None:
    assert read({}).access is PLAIN
    assert io_entry(read({})) == {"filesystem": "f", "reads": 1}


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_stands_for_its_members_and_yields_to_the_entry(kind: str) -> None:
    files = {"files": 7} if kind.startswith("mdtest") else {}
    part = read({"kind": kind, **files})
    said = dict(KINDS[kind])
    assert part.access == read({**said, **files}).access
    assert part.pattern == said["pattern"]
    assert read({"kind": kind, **files, "request_size": 12345}).access.reads.size == 12345


def test_mdtest_counts_its_files() -> None:
    """7 files made, looked at and removed; hard ones of 3,901 bytes, written and read: 27,307."""
    easy = read({"kind": "mdtest_easy", "files": 7})
    assert easy.operations == {"create": 7, "stat": 7, "unlink": 7}
    [hard] = requested_io(ParallelHomogeneous(1.0, 0, {"io": [{"kind": "mdtest_hard", "files": 7}]}))
    assert (hard.reads, hard.writes) == (27307, 27307)
    assert read({"kind": "mdtest_easy", "files": 7, "operations": {"open": 1}}).operations == {"open": 1}


@pytest.mark.parametrize(
    "entry, message",
    [
        ({"access": "randon"}, r"io\[0\]\.access: found 'randon'.*did you mean 'random'"),
        ({"access": {"read": "random"}}, r"io\[0\]\.access: unknown member 'read'.*known: reads, writes"),
        ({"access": 3}, r"io\[0\]\.access"),
        ({"request_size": 0}, r"io\[0\]\.request_size"),
        ({"request_size": 1 << 70}, r"io\[0\]\.request_size"),
        ({"request_size": {"writes": "big"}}, r"io\[0\]\.request_size\.writes"),
        ({"collective": "yes"}, r"io\[0\]\.collective: found 'yes', expected true or false"),
        ({"processes_per_node": 0}, r"io\[0\]\.processes_per_node"),
        ({"kind": "ior_heard"}, r"io\[0\]\.kind: found 'ior_heard'.*did you mean 'ior_hard'"),
        ({"kind": "mdtest_easy"}, r"io\[0\]: the kind 'mdtest_easy' needs 'files'"),
        ({"pattern": "per_proces"}, r"io\[0\]\.pattern: .*per_process"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(entry: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(entry)


def log(requests: dict[str, int], *, shared: int = 0, files: int = 1, processes: int = 8) -> dict[str, Any]:
    use = {"type": "lustre", "reads": 4000, "writes": 8000, "files": files, "shared_bytes": shared}
    use |= {"metadata_operations": 0, "intervals": [], "operations": {}, "requests": requests}
    use |= dict.fromkeys(("read_seconds", "write_seconds", "metadata_seconds"), 0.0)
    head = {"job": "1", "start": 1e9, "end": 1e9 + 10, "seconds": 10.0, "processes": processes}
    return {**head, "executable": "a", "mounts": {"/lus": use}}


@pytest.mark.parametrize(
    "requests, reads, writes",
    [
        # 100 reads of 40 bytes of which 60 begin where the last ended; 8 writes scattered forwards
        (
            {"read.count": 100, "read.consec": 60, "read.seq": 70, "write.count": 8, "write.seq": 7},
            Way("sequential", 40),
            Way("strided", 1000),
        ),
        # few of them behind each other: random; one request follows nothing
        ({"read.count": 100, "read.seq": 10, "write.count": 1}, Way("random", 40), Way("sequential", 8000)),
        # 80 collective calls of 100 bytes that reached the file in 2 requests
        (
            {"write.count": 2, "write.consec": 1, "write.seq": 1, "write.collective": 80},
            Way(),
            Way("sequential", 100, True),
        ),
        ({}, Way(), Way()),
    ],
)
def test_darshan_counts_say_how(requests: dict[str, int], reads: Way, writes: Way) -> None:
    [job] = to_jobs([log(requests)], None, DarshanOptions(processes_per_node=4), Report("logs"))
    [part] = job.io or ()
    assert (part.access.reads, part.access.writes) == (reads, writes)
    assert part.access.processes == (4 if requests else 1)


@pytest.mark.parametrize(
    "shared, files, pattern", [(6000, 1, "shared"), (0, 8, "per_process"), (0, 7, "per_node")]
)
def test_darshan_files_say_whose(shared: int, files: int, pattern: str) -> None:
    [job] = to_jobs([log({}, shared=shared, files=files)], None, DarshanOptions(), Report("logs"))
    [part] = job.io or ()
    assert part.pattern == pattern
