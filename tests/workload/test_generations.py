"""Workloads of Batsim 4 as ones of Batsim 5 and back: the same simulation to the last digit.

Simulated without a policy: every job starts when it is submitted, on the first nodes (shared), its storage
the platform's one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batfs.cli import workload as command
from batfs.cli.main import main
from batfs.errors import InputError
from batfs.platform import load_platform, number_resources
from batfs.protocol import messages as m
from batfs.simulator import JobResult, SimulationOptions, simulate
from batfs.workload import parse_workload, read_workload, requested_io, write_workload
from batfs.workload.batsim import workload_lines
from batfs.workload.generations import convert
from batfs.workload.model import Workload

NODES = 4
PLATFORM = """<?xml version='1.0'?>
<!DOCTYPE platform SYSTEM "https://simgrid.org/simgrid.dtd">
<platform version="4.1"><zone id="z" routing="Full">
  <host id="master_host" speed="1Gf"/>
  <host id="n0" speed="1Gf"/><host id="n1" speed="3Gf"/>
  <host id="n2" speed="1.7Gf"/><host id="n3" speed="1Gf"/>
  <host id="pfs" speed="0f"><prop id="role" value="storage"/></host>
  <link id="l" bandwidth="1.1GBps" latency="3us"/>
  ROUTES
</zone></platform>
"""
NAMES = ("master_host", "n0", "n1", "n2", "n3", "pfs")


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Any:
    routes = "".join(
        f'<route src="{a}" dst="{b}"><link_ctn id="l"/></route>'
        for i, a in enumerate(NAMES)
        for b in NAMES[i + 1 :]
    )
    path = tmp_path_factory.mktemp("p") / "p.xml"
    path.write_text(PLATFORM.replace("ROUTES", routes))
    return load_platform(path)


class AtOnce:
    """Starts every job on its first nodes."""

    def decide(self, request: m.Request) -> m.Reply:
        decisions = [
            m.ExecuteJob(
                request.now,
                event.job.id,
                tuple(range(event.job.requested_nodes)),
                storage_mapping={"pfs": NODES},
            )
            for event in request.events
            if isinstance(event, m.JobSubmitted)
        ]
        return m.Reply(request.now, decisions)


def ends(platform: Any, workload: Workload) -> list[JobResult]:
    """Every job's start and run time, under the workload's generation."""
    found: list[JobResult] = []
    options = SimulationOptions(
        generation=workload.generation, compute_sharing=True, on_job=found.append, forward_profiles=True
    )
    machine = number_resources(platform, generation=workload.generation)
    simulate(platform, machine, [workload], AtOnce(), options)
    return found


def times(results: list[JobResult]) -> list[tuple[str, float, float, str]]:
    return sorted((one.job_id, one.start, one.runtime, one.state) for one in results)


def text_of(workload: Workload) -> bytes:
    return "".join(workload_lines(workload)).encode()


def again(workload: Workload) -> Workload:
    """Written and read."""
    return parse_workload(text_of(workload))


# whole numbers, and any positive doubles
amounts = st.one_of(
    st.just(0), st.integers(1, 10**11), st.floats(1e-3, 1e11, allow_nan=False, allow_subnormal=False)
)
extras = st.one_of(
    st.just({}),
    st.fixed_dictionaries({"io_reads": st.integers(0, 10**12), "note": st.text(max_size=8)}),
)


@st.composite
def leaves(draw: st.DrawFn, size: int, five: bool) -> dict[str, Any]:
    """A profile for ``size`` nodes, in Batsim 4's or in Batsim 5's form."""
    kind = draw(st.sampled_from(("delay", "task", "each", "total", "storage")))
    cpu, com = draw(amounts), draw(amounts)
    if size == 1 and cpu == 0:
        cpu = 1  # Batsim 5 can't start a homogeneous task without flops on one node
    if kind == "delay":
        return {"type": "DelayProfile" if five else "delay", "delay": max(cpu / 1e9, 1e-3)}
    if kind == "task":
        vector = [draw(amounts) for _ in range(size)]
        # nothing from a node to itself: SimGrid's loopback, a FATPIPE, may keep its solver from ever ending
        matrix = [0 if k % (size + 1) == 0 else draw(amounts) for k in range(size * size)]
        return {"type": "ParallelTaskProfile" if five else "parallel", "cpu": vector, "com": matrix}
    if kind == "storage":
        obj = {"bytes_to_read": int(cpu), "bytes_to_write": int(com)}
        if not five:
            return {"type": "parallel_homogeneous_pfs", **obj}
        strategy = draw(st.sampled_from(({}, {"generation_strategy": "DefinedAmountsSpreadUniformly"})))
        return {"type": "ParallelTaskOnStorageHomogeneousProfile", **obj, **strategy}
    if five:
        strategy = {} if kind == "each" else {"generation_strategy": "DefinedAmountsSpreadUniformly"}
        return {"type": "ParallelTaskHomogeneousProfile", "cpu": cpu, "com": com, **strategy}
    return {"type": f"parallel_homogeneous{'_total' if kind == 'total' else ''}", "cpu": cpu, "com": com}


@st.composite
def workloads(draw: st.DrawFn, five: bool) -> Workload:
    profiles: dict[str, Any] = {}
    jobs = []
    for i in range(draw(st.integers(1, 4))):
        size = draw(st.integers(1, NODES))
        parts = [f"p{i}_{k}" for k in range(draw(st.integers(1, 3)))]
        for part in parts:
            extra = draw(extras)
            profiles[part] = draw(leaves(size, five)) | ({"extra_data": extra} if five and extra else extra)
        profile = parts[0]
        if len(parts) > 1:
            profile = f"s{i}"
            kind = "SequentialCompositionProfile" if five else "composed"
            profiles[profile] = {"type": kind, "seq": parts, "repeat": draw(st.integers(1, 2))}
        job = {"id": str(i), "subtime": draw(st.floats(0, 50)), "res": size, "profile": profile}
        walltime = draw(st.one_of(st.none(), st.floats(1e-3, 100)))
        jobs.append(job if walltime is None else {**job, "walltime": walltime})
        # a second job of the same profile on other nodes, where it isn't for one number of them
        rigid = any("cpu" in profiles[p] and isinstance(profiles[p]["cpu"], list) for p in parts)
        other = draw(st.integers(2, NODES))
        if not rigid and draw(st.booleans()):
            jobs.append({**job, "id": f"{i}b", "res": other})
    return parse_workload(orjson.dumps({"nb_res": NODES, "jobs": jobs, "profiles": profiles}))


@pytest.mark.parametrize("five", [False, True])
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_there_and_back_is_the_same_simulation(data: st.DataObject, five: bool, platform: Any) -> None:
    workload = data.draw(workloads(five))
    there = again(convert(workload, 4 if five else 5)[0])
    back = again(convert(there, 5 if five else 4)[0])
    assert there.generation != workload.generation == back.generation
    assert times(ends(platform, back)) == times(ends(platform, workload))
    # the other generation's messages take other times, some 1e-10 s each
    for (a, *mine), (b, *theirs) in zip(
        times(ends(platform, there)), times(ends(platform, workload)), strict=True
    ):
        assert a == b
        assert mine[2] == theirs[2]
        assert mine[:2] == pytest.approx(theirs[:2], abs=1e-6, rel=1e-6)


def test_io_and_unknown_members_go_through_extra_data() -> None:
    profiles = {"p": {"type": "delay", "delay": 1, "io_reads": 8e8, "tag": [1, "x"], "ret": 3}}
    jobs = [{"id": "1", "subtime": 0, "res": 1, "profile": "p", "walltime": -1, "user": "u"}]
    four = parse_workload(orjson.dumps({"nb_res": 1, "jobs": jobs, "profiles": profiles}))
    five, changes = convert(four, 5)
    written = orjson.loads(text_of(five))
    assert written["profiles"]["p"] == {
        "type": "DelayProfile",
        "delay": 1,
        "ret": 3,
        "extra_data": {"io_reads": 8e8, "tag": [1, "x"]},
    }
    [job] = written["jobs"]
    assert job == {"id": "1", "subtime": 0, "res": 1, "profile": "p", "extra_data": {"user": "u"}}
    assert sum(changes.changed.values()) == 2
    [part] = requested_io(again(five).profiles["p"])
    assert part.reads == 800_000_000
    back = orjson.loads(text_of(convert(again(five), 4)[0]))
    assert back["profiles"] == profiles
    assert back["jobs"][0]["user"] == "u"


def test_totals_become_totals_where_the_doubles_are_the_same() -> None:
    """com/n for each pair is com (n - 1) spread over the n² - n pairs."""
    profiles = {"p": {"type": "parallel_homogeneous_total", "cpu": 4e9, "com": 1e9}}
    jobs = [{"id": str(n), "subtime": 0, "res": n, "profile": "p"} for n in (2, 4)]
    four = parse_workload(orjson.dumps({"nb_res": 4, "jobs": jobs, "profiles": profiles}))
    five, changes = convert(four, 5)
    found = orjson.loads(text_of(five))["profiles"]
    assert {name: one["com"] for name, one in found.items()} == {"p@2": 1e9, "p@4": 3e9}
    assert changes.changed == {"profiles made for each number of nodes": 1}


def test_what_cannot_be_said_is_counted_and_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    profiles = {
        "move": {"type": "data_staging", "nb_bytes": 1, "from": "a", "to": "b"},
        "talk": {"type": "composed", "seq": ["say"]},
        "say": {"type": "send", "msg": {}},
        "sleep": {"type": "delay", "delay": 1},
    }
    jobs = [
        {"id": str(i), "subtime": 0, "res": 1, "profile": name}
        for i, name in enumerate(("move", "move", "talk", "sleep"))
    ]
    four = parse_workload(orjson.dumps({"nb_res": 1, "jobs": jobs, "profiles": profiles}))
    with pytest.raises(InputError, match="2 jobs: a data_staging profile"):
        convert(four, 5)
    path, out = tmp_path / "w.json", tmp_path / "o.json"
    write_workload(path, four)
    assert main(["workload", "convert", "--to", "batsim5", str(path), "-o", str(out)]) == 2
    assert not out.exists()
    assert main(["workload", "convert", "--to", "batsim5", "--leave-out", str(path), "-o", str(out)]) == 0
    assert "left out:       2  jobs: a data_staging profile" in capsys.readouterr().out
    assert [job.profile for job in read_workload(out).jobs] == ["sleep"]


def test_a_workload_of_the_wanted_generation_stays_as_it_is() -> None:
    five = parse_workload(
        orjson.dumps(
            {
                "nb_res": 1,
                "jobs": [{"id": "1", "subtime": -2, "res": 0, "profile": "p", "extra_data": '{"a": 1}'}],
                "profiles": {"p": {"type": "DelayProfile", "delay": 1, "why": "not", "extra_data": "text"}},
            }
        )
    )
    same, changes = convert(five, 5)
    assert same is five
    assert not changes.changed
    written = orjson.loads(text_of(five))
    assert written["jobs"][0]["extra_data"] == '{"a": 1}'
    assert written["profiles"]["p"] == {
        "type": "DelayProfile",
        "delay": 1,
        "why": "not",
        "extra_data": "text",
    }
    with pytest.raises(InputError, match="submitted before 0"):
        convert(five, 4)


def test_the_verb_is_listed() -> None:
    assert "convert" in command.VERBS
