"""Whatever is recorded, what a conversion writes is a workload that loads, with the ids it had."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batfs.errors import InputError
from batfs.workload import parse_workload, profile_to_json, requested_io
from batfs.workload.batsim import workload_lines
from batfs.workload.io import RequestedIo
from batfs.workload.recorded import ConvertOptions, RecordedJob, Report, convert

names = st.text(st.characters(codec="utf-8", exclude_characters="!"), min_size=1, max_size=6).filter(
    lambda name: "w0" not in name
)
volumes = st.integers(0, 10**15)
parts = st.builds(
    RequestedIo,
    st.sampled_from([None, "lustre", "nfs"]),
    volumes,
    volumes,
    st.integers(1, 5),
    st.sampled_from(["shared", "per_node"]),
)
recorded = st.builds(
    RecordedJob,
    names,
    st.floats(0, 2e9),
    st.integers(1, 5000),
    st.floats(1e-3, 1e7),
    st.none() | st.floats(1, 1e7),
    st.none() | st.lists(parts, max_size=3).map(tuple),
)


@given(
    st.lists(recorded, min_size=1, max_size=8, unique_by=lambda job: job.id),
    st.sampled_from(["none", "rate", "lognormal:probability=0.5"]),
    st.sampled_from(["keep", "extend", "none"]),
    st.booleans(),
)
def test_what_is_written_loads(jobs: list[RecordedJob], io: str, walltime: str, keep_times: bool) -> None:
    options = ConvertOptions(io=io, walltime=walltime, keep_times=keep_times)  # type: ignore[arg-type]
    made = convert(jobs, options, Report("test"))
    read = parse_workload("".join(workload_lines(made)).encode())
    assert [job.id for job in read.jobs] == [job.id for job in made.jobs]
    assert {job.name for job in read.jobs} == {job.id for job in jobs}
    assert read.jobs == made.jobs
    by_id = {job.id: job for job in jobs}
    for job in read.jobs:
        profile = read.profiles[job.profile]
        assert profile_to_json(profile) == profile_to_json(made.profiles[job.profile])
        was = by_id[job.name]
        found = requested_io(profile)
        if was.io is not None:
            assert sum(part.reads for part in found) == sum(part.reads for part in was.io)
            assert sum(part.writes for part in found) == sum(part.writes for part in was.io)
        elif io == "none":
            assert "io_reads" not in profile.extra
        assert job.requested_nodes == was.nodes


def test_known_to_do_no_io_is_said() -> None:
    jobs = [RecordedJob("a", 0, 1, 1, io=()), RecordedJob("b", 0, 1, 1)]
    workload = convert(jobs, ConvertOptions(), Report("test"))
    assert [dict(p.extra) for p in workload.profiles.values()] == [{"io_reads": 0, "io_writes": 0}, {}]


def test_ids_batsim_cannot_have_are_refused() -> None:
    for jobs, says in (
        ([RecordedJob("a!b", 0, 1, 1)], "'!'"),
        ([RecordedJob("a", 0, 1, 1), RecordedJob("a", 1, 1, 1)], "twice"),
        ([], "no job is left"),
    ):
        with pytest.raises(InputError, match=says):
            convert(jobs, ConvertOptions(), Report("test"))
