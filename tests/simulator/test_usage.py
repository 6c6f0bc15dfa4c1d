"""``usage_trace``: ranks, where they are, the messages they end with, and walltimes.

On the machine of ``small``: a rank ends with 4 bytes to the job's first node. Between two nodes that takes
the wire's 100 us, then 4 bytes at 1 GB/s or, if that is slower, 2 * 100 us * 4 bytes / gamma (4194304):
MESSAGE. From a node to itself it is the default loopback's 4e-10 s.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from batfs.errors import InputError
from batfs.protocol import messages as m

sys.path.insert(0, str(Path(__file__).parent))
from small import Outcome, run

MESSAGE = 100e-6 + max(4 / 1e9, 2 * 100e-6 * 4 / 4194304)
LOOPBACK = 4e-10


def trace(folder: Path, *texts: str, name: str = "t") -> dict[str, Any]:
    """A profile of ranks with these traces; ``#`` stands for the rank's number."""
    files = []
    for rank, text in enumerate(texts):
        file = f"{name}{rank}.txt"
        (folder / file).write_text(text.replace("#", str(rank)))
        files.append(file + "\n")
    (folder / f"{name}.trace").write_text("".join(files))
    return {"type": "usage_trace", "trace": f"{name}.trace"}


def simulate(folder: Path, job: dict[str, Any], **profiles: dict[str, Any]) -> Outcome:
    return run(folder, [{"id": "a", **job}], profiles)


def test_usage_is_a_number_of_cores(tmp_path: Path) -> None:
    """0.5 of 2 cores is one, 0.75 rounds to two, 0 is one all the same; each computes all the flops."""
    text = "# m_usage 0.5 1e9\n# m_usage 0.75 2e9\n# m_usage 0 1e9\n"
    found = simulate(tmp_path, {"res": 1, "profile": "u"}, u=trace(tmp_path, text))
    assert found.jobs["a"].runtime == pytest.approx(4.0 + LOOPBACK, abs=1e-12)


def test_ranks_take_turns_on_the_nodes(tmp_path: Path) -> None:
    """Four ranks on two nodes of two cores: 0 and 2 on n0, 1 and 3 on n1, each alone on a core.

    Ranks 1 and 3 end last, together: their two messages arrive one after the other.
    """
    texts = ["# m_usage 0.5 1e9\n", "# m_usage 0.5 2e9\n"] * 2
    found = simulate(tmp_path, {"res": 2, "profile": "u"}, u=trace(tmp_path, *texts))
    assert found.jobs["a"].runtime == pytest.approx(2.0 + 2 * MESSAGE, abs=1e-12)


def test_ranks_are_mapped(tmp_path: Path) -> None:
    """Three ranks of two cores each, all on the second node: 3 * 2 s of work on its two cores."""
    texts = ["# m_usage 1 2e9\n"] * 3
    job = {"res": 2, "profile": "u", "smpi_ranks_to_hosts_mapping": [1, 1, 1]}
    found = simulate(tmp_path, job, u=trace(tmp_path, *texts))
    assert found.jobs["a"].runtime == pytest.approx(6.0 + 3 * MESSAGE, abs=1e-12)


def test_what_a_trace_may_hold(tmp_path: Path) -> None:
    """Comments, blank lines, other ranks' lines and a last line without its end count for nothing."""
    text = "\n# a comment\n0 m_usage 1 1e9 and more\n1 m_usage 1 5e9\n\t0\tm_usage 1 1e9\r\n0 m_usage 1 7e9"
    (tmp_path / "r.txt").write_text(text)
    (tmp_path / "r.trace").write_text("r.txt  \n")
    found = simulate(tmp_path, {"res": 1, "profile": "u"}, u={"type": "usage_trace", "trace": "r.trace"})
    assert found.jobs["a"].runtime == pytest.approx(2.0 + LOOPBACK, abs=1e-12)


def test_no_ranks_and_no_flops(tmp_path: Path) -> None:
    (tmp_path / "none.trace").write_text("")
    profiles = {
        "none": {"type": "usage_trace", "trace": "none.trace"},
        "zero": trace(tmp_path, "# m_usage 1 0\n"),
    }
    jobs = [{"id": name, "res": 1, "profile": name} for name in profiles]
    found = run(tmp_path, jobs, profiles)
    assert found.jobs["none"].runtime == 1e-5  # Batsim's runtime of a job that took no time
    assert found.jobs["zero"].runtime == pytest.approx(LOOPBACK, abs=1e-15)


WALLTIMES = [
    (1.5, 1.5, "COMPLETED_WALLTIME_REACHED"),  # while both compute
    (2.0, 2.0, "COMPLETED_WALLTIME_REACHED"),  # when the last has computed
    (2.0 + MESSAGE / 2, 2.0 + MESSAGE / 2, "COMPLETED_WALLTIME_REACHED"),  # while its message is on its way
    (2.0 + 2 * MESSAGE, 2.0 + MESSAGE, "COMPLETED_SUCCESSFULLY"),
    (100, 2.0 + MESSAGE, "COMPLETED_SUCCESSFULLY"),
]


@pytest.mark.parametrize(("walltime", "runtime", "state"), WALLTIMES)
def test_walltime(walltime: float, runtime: float, state: str, tmp_path: Path) -> None:
    texts = ["# m_usage 1 1e9\n", "# m_usage 1 2e9\n"]
    profile = trace(tmp_path, *texts)
    jobs = [
        {"id": "a", "res": 2, "profile": "u", "walltime": walltime},
        {"id": "b", "res": 2, "subtime": 1, "profile": "u"},
    ]
    found = run(tmp_path, jobs, {"u": profile})
    assert (found.jobs["a"].state, found.jobs["a"].runtime) == (state, pytest.approx(runtime, abs=1e-9))
    # nothing of the first one is left on the nodes
    assert found.jobs["b"].runtime == pytest.approx(2.0 + MESSAGE, abs=1e-9)


def test_within_composed_profiles(tmp_path: Path) -> None:
    """The walltime is one budget: 1 s of delay, 2 s of trace, 1 s of delay, and again until 6.5 s."""
    profiles = {
        "u": trace(tmp_path, "# m_usage 1 2e9\n", "# m_usage 1 2e9\n"),
        "d": {"type": "delay", "delay": 1},
        "c": {"type": "composed", "repeat": 2, "seq": ["d", "u", "d"]},
    }
    jobs = [{"id": "a", "res": 2, "profile": "c"}, {"id": "b", "res": 2, "profile": "c", "walltime": 6.5}]
    found = run(tmp_path, jobs, profiles)
    assert found.jobs["a"].runtime == pytest.approx(8.0 + 2 * (MESSAGE + LOOPBACK), abs=1e-12)
    assert (found.jobs["b"].state, found.jobs["b"].runtime) == (
        "COMPLETED_WALLTIME_REACHED",
        pytest.approx(6.5, abs=1e-12),
    )


def test_killed(tmp_path: Path) -> None:
    """A killed trace leaves its nodes at once; how far it was isn't known, only where."""
    profiles = {
        "u": trace(tmp_path, "# m_usage 1 9e9\n", "# m_usage 1 9e9\n"),
        "d": {"type": "delay", "delay": 1},
        "c": {"type": "composed", "seq": ["d", "u"]},
    }

    def act(request: m.Request) -> list[m.Decision]:
        submitted = [e.job.id for e in request.events if isinstance(e, m.JobSubmitted)]
        return [m.KillJob(request.now, ["w0!a"])] if submitted == ["w0!b"] else []

    jobs = [{"id": "a", "res": 2, "profile": "c"}, {"id": "b", "res": 2, "subtime": 3, "profile": "u"}]
    found = run(tmp_path, jobs, profiles, act=act)
    assert found.jobs["a"].state == "COMPLETED_KILLED"
    assert found.jobs["a"].runtime == pytest.approx(3.0, abs=1e-5)
    assert found.jobs["b"].runtime == pytest.approx(9.0 + MESSAGE, abs=1e-5)
    progress = next(e.progress for e in found.told if isinstance(e, m.JobKilled))
    task = {"profile_name": "u"}
    assert progress == {"w0!a": {"profile_name": "c", "current_task_index": 1, "current_task": task}}


REFUSED = [
    ("0 m_usage 1.5 1\n", "t0.txt: line 1: found '0 m_usage 1.5 1'"),
    ("\n0 m_usage 1 -2\n", "line 2"),
    ("0 m_usage 1\n", "expected 'RANK m_usage USAGE FLOPS'"),
    ("0 compute 1 3\n", "expected 'RANK m_usage USAGE FLOPS'"),
    ("0 m_usage nan 3\n", "a usage from 0 to 1"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_lines_that_are_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        simulate(tmp_path, {"res": 1, "profile": "u"}, u=trace(tmp_path, text))
    assert message in str(caught.value)


def test_mappings_that_are_refused(tmp_path: Path) -> None:
    rank = "# m_usage 1 1\n"
    one, two = trace(tmp_path, rank), trace(tmp_path, rank, rank, name="z")
    for ranks, message in (
        ([0, 2], r"jobs\[0\].smpi_ranks_to_hosts_mapping\[1\]: found 2, expected a place among the job's 2"),
        ([0, "1"], r"mapping\[1\]"),
        ("0", "expected an array"),
        ([0], "of 2 ranks, but its mapping of ranks to hosts is for 1"),
    ):
        job = {"res": 2, "profile": "u", "smpi_ranks_to_hosts_mapping": ranks}
        with pytest.raises(InputError, match=message):
            simulate(tmp_path, job, u=two)
    # a job keeps the places it gave to the ranks of its first trace
    with pytest.raises(InputError, match="of 2 ranks, but its mapping of ranks to hosts is for 1"):
        both = {"type": "composed", "seq": ["one", "two"]}
        simulate(tmp_path, {"res": 2, "profile": "both"}, both=both, one=one, two=two)


def test_an_empty_name_among_the_traces(tmp_path: Path) -> None:
    (tmp_path / "r.trace").write_text("\nr.txt\n\n")
    with pytest.raises(InputError, match=r"r.trace: line 1: found an empty line"):
        simulate(tmp_path, {"res": 1, "profile": "u"}, u={"type": "usage_trace", "trace": "r.trace"})
