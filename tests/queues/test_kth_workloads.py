"""The rules by which the experiment's workloads come from the log, held against the published files."""

from __future__ import annotations

import gzip
import json
import math
import random
import statistics
from bisect import bisect_right
from collections import Counter
from pathlib import Path

import pytest

from batfs.campaign.reproduce import kth
from batfs.errors import InputError

KTH = Path(__file__).parents[3] / "shared" / "data" / "kth"
PARTS = [f"parts/part-{k}.json.gz" for k in range(kth.PARTS)]
pytestmark = pytest.mark.skipif(not KTH.exists(), reason="needs the files in ../shared")


@pytest.fixture(scope="module")
def log():
    return kth.read_log(KTH / "KTH-SP2-1996-2.1-cln.swf")


def published(name):
    packed = (KTH / name).read_bytes()
    content = json.loads(gzip.decompress(packed) if name.endswith(".gz") else packed)
    return content["jobs"], content["profiles"]


def test_the_whole_log(log):
    assert len(log) == 28467
    assert sum(row.nodes <= 96 for row in log) == 28453
    pieces = kth.parts(log)
    assert sum(map(len, pieces)) == len(log)
    # the numbers of rejected jobs that the description of the experiment gives
    assert [sum(row.nodes > 96 for row in piece) for piece in pieces[:4]] == [0, 4, 6, 2]


@pytest.mark.parametrize("name", ["KTH-SP2-1996-2.1-cln-io-aware-1000.json", "part-0.json"])
def test_what_is_not_random_is_as_published(log, name):
    jobs, profiles = published(name)
    rows = log[:1000] if "1000" in name else kth.parts(log)[0]
    made = kth.make_workload(rows, seed=1)
    assert len(made.jobs) == len(jobs)
    for ours, theirs in zip(made.jobs, jobs, strict=True):
        assert ours.name == str(theirs["id"])
        assert (ours.submission_time, ours.requested_nodes, ours.walltime) == (
            theirs["subtime"],
            theirs["res"],
            theirs["walltime"],
        )
        profile, drawn = made.profiles[ours.profile], profiles[theirs["profile"]]
        assert (profile.com == 0) == (drawn["com"] == 0)
        if theirs["walltime"] <= kth.SHORT_WALLTIME:
            assert (profile.cpu, profile.extra["bb"]) == (drawn["cpu"], drawn["bb"])


@pytest.mark.parametrize("name", ["KTH-SP2-1996-2.1-cln-io-aware-1000.json", *PARTS])
def test_work_follows_from_the_published_sizes(log, name):
    jobs, profiles = published(name)
    run_times = {row.number: row.run_time for row in log}
    sizes = Counter((job["walltime"], profiles[job["profile"]]["bb"]) for job in jobs)
    for job in jobs:
        share, cpu = profiles[job["profile"]]["bb"], profiles[job["profile"]]["cpu"]
        work = run_times[job["id"]] * 10**9
        if job["walltime"] <= kth.SHORT_WALLTIME:
            assert cpu == work
            continue
        least = kth.CAPACITY // -(-job["res"] // kth.BUFFERS)
        # equal sizes were told apart after the work was set
        for drawn in (share, kth.LEAST_SHARE, least):
            larger = {(job["walltime"], size) for size in range(share + 1, min(drawn, share + 99) + 1)}
            if cpu == max(work - 32 * drawn, work // 20) and share <= drawn and larger <= sizes.keys():
                break
        else:
            pytest.fail(f"job {job['id']}")


def test_the_random_sizes_have_the_published_distribution(log):
    _, profiles = published("part-0.json")
    made = kth.make_workload(kth.parts(log)[0], seed=3)
    theirs = sorted(p["bb"] for p in profiles.values() if p["bb"] > kth.SHORT_SHARE)
    ours = sorted(p.extra["bb"] for p in made.profiles.values() if p.extra["bb"] > kth.SHORT_SHARE)
    for q in (0.25, 0.5, 0.75, 0.95):
        assert ours[int(q * len(ours))] == pytest.approx(theirs[int(q * len(theirs))], rel=0.15)
    com = [p.com for p in made.profiles.values() if p.com]
    assert statistics.fmean(com) == pytest.approx(1e8, rel=0.02)
    assert statistics.stdev(com) == pytest.approx(2e7, rel=0.06)


def test_the_published_parts_are_drawn_from_the_law_of_the_sizes():
    """Two samples, Kolmogorov-Smirnov at 1 %: 1.63 * sqrt(1 / n + 1 / m). Only jobs on at most 12 nodes: no
    limit but that of a burst buffer binds them.
    """
    theirs = []
    for name in PARTS:
        jobs, profiles = published(name)
        theirs += [
            profiles[job["profile"]]["bb"]
            for job in jobs
            if job["walltime"] > kth.SHORT_WALLTIME and job["res"] <= kth.BUFFERS
        ]
    rng = random.Random(7)
    ours = [min(max(kth.draw_share(rng), kth.LEAST_SHARE), kth.CAPACITY) for _ in range(100_000)]
    theirs.sort()
    ours.sort()
    # equal sizes were told apart by some bytes: not at the limits themselves
    places = [size for size in theirs[::10] if 1.01 * kth.LEAST_SHARE < size < 0.99 * kth.CAPACITY]
    gap = max(abs(bisect_right(theirs, x) / len(theirs) - bisect_right(ours, x) / len(ours)) for x in places)
    assert len(theirs) == 21938
    assert gap < 1.63 * math.sqrt(1 / len(theirs) + 1 / len(ours))


def test_the_same_seed_gives_the_same_sizes(log):
    rows = log[:50]
    same = [kth.make_workload(rows, seed) for seed in (5, 5, 6)]
    sizes = [[p.extra["bb"] for p in w.profiles.values()] for w in same]
    assert sizes[0] == sizes[1] != sizes[2]


def test_a_broken_line_is_named(tmp_path):
    path = tmp_path / "log.swf"
    path.write_text("; a comment\n1 2 3\n")
    with pytest.raises(InputError, match="line 2: 3 fields"):
        kth.read_log(path)
