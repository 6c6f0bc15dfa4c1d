"""Reading StorAlloc's systems and traces, and the times in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from batfs.errors import InputError
from batfs.workload.storalloc import read_system, read_trace
from batfs.workload.zones import to_timestamp

SHARED = Path(__file__).parents[3] / "shared" / "data"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason=f"needs the real inputs in {SHARED}")

ROW = """- id: {id}
  submissionTime: '2020-10-01 00:00:00'
  startTime: '{start}'
  endTime: '{end}'
  readBytes: {read}
  writtenBytes: {written}
"""


def trace(tmp_path: Path, *rows: tuple[int, str, str, int, int]) -> Path:
    file = tmp_path / "trace.yml"
    keys = ("id", "start", "end", "read", "written")
    file.write_text("jobs:\n" + "".join(ROW.format(**dict(zip(keys, row, strict=True))) for row in rows))
    return file


def test_records_of_one_job_merge_unless_told_otherwise(tmp_path: Path) -> None:
    file = trace(
        tmp_path,
        (7, "2020-10-02 00:00:00", "2020-10-03 00:00:00", 5, 1),
        (3, "2020-10-01 00:00:00", "2020-10-01 01:00:00", 1, 1),
        (7, "2020-10-02 00:00:00", "2020-10-03 00:00:00", 0, 6),
    )
    jobs = read_trace(file)
    assert [(j.id, j.read_bytes, j.written_bytes, j.records) for j in jobs] == [
        ("3", 1, 1, 1),
        ("7", 5, 7, 2),
    ]
    jobs = read_trace(file, merge=False)
    assert [(j.id, j.read_bytes, j.written_bytes) for j in jobs] == [("3", 1, 1), ("7", 5, 1), ("7#1", 0, 6)]


def test_durations_of_days_are_whole(tmp_path: Path) -> None:
    (job,) = read_trace(trace(tmp_path, (1, "2020-10-01 10:00:00", "2020-10-04 10:00:01", 1, 0)))
    assert job.duration == 3 * 86400 + 1


@pytest.mark.parametrize(
    "zone, start, end, seconds",
    [
        # the night of 2020-11-01 had 25 hours in Chicago, that of 2020-03-08 had 23; neither in UTC
        ("America/Chicago", "2020-11-01 00:00:00", "2020-11-02 00:00:00", 25 * 3600),
        ("America/Chicago", "2020-03-08 00:00:00", "2020-03-09 00:00:00", 23 * 3600),
        ("UTC", "2020-11-01 00:00:00", "2020-11-02 00:00:00", 24 * 3600),
        # from the first 01:50 to the second 01:10
        ("America/Chicago", "2020-11-01 01:50:00", "2020-11-01 01:10:00", 20 * 60),
        # an offset in the text outranks the zone
        ("America/Chicago", "2020-11-01T00:00:00+01:00", "2020-11-01T00:00:00Z", 3600),
    ],
)
def test_daylight_saving(tmp_path: Path, zone: str, start: str, end: str, seconds: int) -> None:
    (job,) = read_trace(trace(tmp_path, (1, start, end, 1, 0)), zone=zone)
    assert job.duration == seconds


def test_a_time_that_never_was(tmp_path: Path) -> None:
    file = trace(tmp_path, (1, "2020-03-08 02:30:00", "2020-03-08 04:00:00", 1, 0))
    assert read_trace(file)[0].duration == 5400
    with pytest.raises(InputError, match=r"jobs\[0\]\.startTime: the clocks of America/Chicago never showed"):
        read_trace(file, zone="America/Chicago")
    with pytest.raises(InputError, match="unknown time zone 'Mars'"):
        read_trace(file, zone="Mars")


def test_timestamps() -> None:
    assert to_timestamp("1970-01-02 00:00:00") == 86400.0
    assert to_timestamp(12.5) == 12.5
    assert to_timestamp("1970-01-01 00:00:00", "Asia/Kolkata") == -19800.0
    for wrong in ("yesterday", True, None, float("nan"), []):
        with pytest.raises(InputError):
            to_timestamp(wrong)


def row(start: object = "2020-01-01", end: object = "2020-01-02", read: object = 1) -> str:
    return "jobs:\n" + ROW.format(id=1, start=start, end=end, read=read, written=1)


@pytest.mark.parametrize(
    "text, says",
    [
        ("jobs: [", r"line \d: is not YAML"),
        ("hosts: []", "with a list 'jobs' was expected; found: hosts"),
        ("[]", "list"),
        ("jobs: [3]", r"jobs\[0\]: a mapping was expected"),
        (row(start="x"), r"jobs\[0\]\.startTime: 'x' is not"),
        (row(end="2019-01-01"), r"jobs\[0\]\.endTime: .* is not after the start"),
        (row(read=-1), r"jobs\[0\]\.readBytes: a finite number, not negative, was expected, not -1"),
        (row(read=".inf"), r"jobs\[0\]\.readBytes: a finite number"),
        (row(read="1.0e+300"), r"jobs\[0\]\.readBytes: at most 9e\+18"),
        (row().replace("writtenBytes", "writenBytes"), "'writtenBytes' is missing.*'writenBytes'"),
    ],
)
def test_wrong_traces_are_named_and_placed(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "t.yml"
    file.write_text(text)
    with pytest.raises(InputError, match=says) as caught:
        read_trace(file)
    assert caught.value.file == str(file)


def test_a_system_in_yaml_and_toml(tmp_path: Path) -> None:
    yml = tmp_path / "s.yml"
    yml.write_text(
        "hosts:\n- hostname: a\n  ipv4: 10.0.0.1\n  network_bw: 12.5\n  disks:\n"
        "  - {capacity: 1000, read_bandwidth: 3.5, write_bandwidth: 3, block_device: /dev/nvme0n1}\n"
        "  - {capacity: 0.5, read_bandwidth: 3, write_bandwidth: 2, block_device: /dev/nvme0n1}\n"
    )
    toml = tmp_path / "s.toml"
    toml.write_text(
        '[[hosts]]\nhostname = "a"\nipv4 = "10.0.0.1"\nnetwork_bw = 12.5\n'
        "[[hosts.disks]]\ncapacity = 1000\nread_bandwidth = 3.5\nwrite_bandwidth = 3\n"
        'block_device = "/dev/nvme0n1"\n'
        "[[hosts.disks]]\ncapacity = 0.5\nread_bandwidth = 3\nwrite_bandwidth = 2\n"
        'block_device = "/dev/nvme0n1"\n'
    )
    (host,) = read_system(yml)
    assert (host.name, host.address, host.network_bandwidth) == ("a", "10.0.0.1", 12.5e9)
    first, second = host.disks
    assert (first.name, first.capacity, first.read_bandwidth, first.device) == (
        "nvme0n1", 10**12, 3.5e9, "/dev/nvme0n1",
    )  # fmt: skip
    assert (second.name, second.capacity) == ("nvme0n1-1", 5 * 10**8)
    assert read_system(toml) == (host,)


@pytest.mark.parametrize(
    "text, says",
    [
        ("hosts:\n- hostname: a\n  disks: []\n", r"hosts\[0\]: 'network_bw' is missing"),
        ("hosts:\n- hostname: a\n  network_bw: 1\n  disks: 3\n", r"hosts\[0\]\.disks: a list was expected"),
        (
            "hosts:\n- hostname: a\n  network_bw: 1\n  disks: [{capacity: 8 TB}]\n",
            r"hosts\[0\]\.disks\[0\]\.capacity: a number was expected, not '8 TB'",
        ),
        (
            "hosts:\n" + 2 * "- {hostname: a, network_bw: 1, disks: []}\n",
            r"hosts\[1\]\.hostname: the host 'a' is there twice",
        ),
    ],
)
def test_wrong_systems(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "s.yml"
    file.write_text(text)
    with pytest.raises(InputError, match=says):
        read_system(file)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read: No such file"):
        read_system(tmp_path / "none.yml")


@needs_shared
def test_the_real_files() -> None:
    jobs = read_trace(SHARED / "theta/IOJobsOct.yml")
    assert len(jobs) == 105
    assert sum(job.records for job in jobs) == 205
    assert [job.start for job in jobs] == sorted(job.start for job in jobs)
    (host,) = read_system(SHARED / "storalloc/ault14.yml")
    assert sum(disk.capacity for disk in host.disks) == 64 * 10**12
    hosts = read_system(SHARED / "storalloc/infra8TB-multi_node_multi_disk.yml")
    assert [len(h.disks) for h in hosts] == [2, 2, 2, 2]
    assert sum(disk.capacity for h in hosts for disk in h.disks) == 8 * 10**12


@needs_shared
def test_the_week_of_theta_is_in_utc() -> None:
    # its Darshan runs carry epoch seconds: each lies within the job's window read as UTC, give or take
    for job in read_trace(SHARED / "theta/theta2022_week4.yaml"):
        for run in job.extra["runs"]:
            assert job.start - 60 <= run["dStartTime"] <= run["dEndTime"] <= job.end + 60
