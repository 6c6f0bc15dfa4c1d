"""The queue policy fit_io: jobs whose I/O fits start before others, nobody waits for ever, and what was seen
of a job's I/O counts more than its walltime."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from applications import GB, MB, PFS, once, periodic, run
from fs_tiny import Ran, job

from batfs.errors import InputError
from batfs.scheduling.queues import QUEUE_POLICIES


def spans_of(ran: Ran) -> dict[str, tuple[float, float]]:
    """From when each job's first step starts until its last one ends; whole jobs stand for themselves."""
    found: dict[str, tuple[float, float]] = {}
    for name, result in ran.jobs.items():
        workload, _, rest = name.partition("!")
        if result.start is None or result.start < 0:
            continue  # what its steps are sent for
        job_name = rest.split(".")[1] if workload == "batfs" else rest
        first, last = found.get(job_name, (result.start, result.end))
        found[job_name] = min(first, result.start), max(last, result.end)
    return found


def starts(ran: Ran) -> dict[str, float]:
    return {name: round(span[0], 3) for name, span in spans_of(ran).items()}


def ends(ran: Ran) -> dict[str, float]:
    return {name: round(span[1], 3) for name, span in spans_of(ran).items()}


def in_queue(
    folder: Path, queue: str, jobs: list[dict[str, Any]], walltimes: dict[str, float], **config: Any
) -> Ran:
    """On two nodes."""
    folder.mkdir(exist_ok=True)
    members = {name: {"walltime": seconds} for name, seconds in walltimes.items()}
    return run(folder, "fair", jobs, nodes=2, members=members, queue=queue, **config)


def three() -> list[dict[str, Any]]:
    """``a`` and ``b`` compute 2 s and write 800 MB (8 s alone); ``c`` computes 10 s and writes next to
    nothing."""
    return [once("a", 2, writes=800 * MB), once("b", 2, writes=800 * MB), once("c", 10, writes=1)]


WALLTIMES = {"a": 20.0, "b": 20.0, "c": 20.0}


def test_the_one_that_fits_goes_first(tmp_path: Path) -> None:
    """Half of 20 s is 10 s, 8 of them on the file system: shares of 0.8, two of which don't fit.
    ``easy_storage`` runs ``a`` and ``b`` at once: both write at 50 MB/s until 2 + 16 s, then ``c`` runs until
    28. ``fit_io`` runs ``c`` beside ``a`` until 10, then ``b`` alone until 20: 13.3 s on average instead of
    21.3."""
    easy = in_queue(tmp_path / "easy", "easy_storage", three(), WALLTIMES)
    assert ends(easy) == pytest.approx({"a": 18, "b": 18, "c": 28}, abs=0.01)
    fit = in_queue(tmp_path / "fit", "fit_io", three(), WALLTIMES)
    assert ends(fit) == pytest.approx({"a": 10, "b": 20, "c": 10}, abs=0.01)


def test_shares_up_to_most(tmp_path: Path) -> None:
    """Up to 1.6 in all, both fit; so does everything without patience."""
    for options in ("most=1.7", "patience=0"):
        ran = in_queue(tmp_path / options, f"fit_io:{options}", three(), WALLTIMES)
        assert ends(ran) == pytest.approx({"a": 18, "b": 18, "c": 28}, abs=0.01)


def test_no_node_idles_for_the_sake_of_io(tmp_path: Path) -> None:
    """Without ``c`` nobody else wants the second node: ``b`` starts although it doesn't fit."""
    ran = in_queue(tmp_path, "fit_io", three()[:2], {"a": 20.0, "b": 20.0})
    assert ends(ran) == pytest.approx({"a": 18, "b": 18}, abs=0.01)


@pytest.mark.parametrize(("patience", "start"), [(1.0, 20), (2.0, 40)])
def test_nobody_is_passed_by_for_ever(tmp_path: Path, patience: float, start: float) -> None:
    """``a`` writes nearly all of 200 s; jobs of 10 s, one every 5 s, always want the other node. ``b`` (20 s
    of walltime) is passed by for 20 s times its patience, and has the next node that is free."""
    jobs = [periodic("a", 100, 0.2, 180 * MB), once("b", 2, writes=800 * MB)]
    jobs += [once(f"c{k}", 10, at=5.0 * k, writes=1) for k in range(30)]
    walltimes = {"a": 400.0, "b": 20.0, **{f"c{k}": 20.0 for k in range(30)}}
    ran = in_queue(tmp_path, f"fit_io:patience={patience:g}", jobs, walltimes)
    assert start <= starts(ran)["b"] <= start + 10.1


def test_what_was_seen_counts(tmp_path: Path) -> None:
    """``a`` asks for 1,000 s and needs 20 x (1 + 4) s. By its walltime it would write for 80 of 500 s, and
    ``b`` (0.8) would fit beside it; but at 7 s it has been seen to write for 4 of 6 s and for 0.67 of its
    time. Where nobody watches, ``b`` starts at once and ``c`` when a node is free again."""
    jobs = [
        periodic("a", 20, 1, 400 * MB),
        once("b", 2, writes=800 * MB, at=7),
        once("c", 10, writes=1, at=7),
    ]
    walltimes = {"a": 1000.0, "b": 20.0, "c": 20.0}
    seen = starts(in_queue(tmp_path / "seen", "fit_io", jobs, walltimes))
    assert (seen["b"], seen["c"]) == pytest.approx((17, 7), abs=0.01)
    blind = starts(in_queue(tmp_path / "blind", "fit_io", jobs, walltimes, measure_io=False))
    assert blind["b"] == pytest.approx(7, abs=0.01)
    assert blind["c"] > 15


@pytest.mark.parametrize("seed", range(6))
def test_every_job_runs(tmp_path: Path, seed: int) -> None:
    """Random applications, some without walltime, some larger than what fits: all of them end, and none
    starts before it came."""
    draw = random.Random(seed)
    jobs, walltimes = [], {}
    for k in range(12):
        at, size = draw.uniform(0, 30), draw.choice((0, 50 * MB, GB))
        nodes = draw.randint(1, 2)
        if draw.random() < 0.5:
            one = periodic(f"j{k}", draw.randint(1, 4), draw.uniform(0.1, 5), size, nodes=nodes, at=at)
        else:
            one = once(f"j{k}", draw.uniform(0.1, 9), nodes=nodes, at=at, reads=size, writes=size)
        jobs.append(one)
        if draw.random() < 0.8:
            walltimes[f"j{k}"] = 500.0
    jobs.sort(key=lambda one: one["job"]["subtime"])
    queue = draw.choice(("fit_io", "fit_io:most=0.3,depth=2", "fit_io:patience=5"))
    ran = in_queue(tmp_path, queue, jobs, walltimes)
    begun = starts(ran)
    assert set(begun) == {one["job"]["id"] for one in jobs}
    for one in jobs:
        assert begun[one["job"]["id"]] >= one["job"]["subtime"] - 1e-3


@pytest.mark.parametrize("options", ["most=0", "patience=-1", "depth=-1"])
def test_options_that_make_no_sense(options: str) -> None:
    with pytest.raises(InputError, match="expected more than 0, and 0 or more"):
        QUEUE_POLICIES.make(f"fit_io:{options}")


def test_bytes_that_only_checkpoints_move(tmp_path: Path) -> None:
    """Jobs that ask for next to nothing and write checkpoints move more than they ask for; nothing divides by
    what they ask for, and a second one that comes while the first is at it runs."""
    one = {"filesystem": "pfs", "writes": 0, "options": {"checkpoints": 3, "checkpoint_bytes": 50 * MB}}
    two = {**one, "writes": 1}
    bb = {"filesystem": "bb", "size": "1TB", "read": "1GBps", "write": "1GBps"}
    options = {"filesystems": {"bb": {"model": "burst_buffer:backing=pfs"}}}
    jobs = [
        job(f"j{k}", 1, 8e9, 3.0 * k, io=[{**entry, "filesystem": "bb"}])
        for k, entry in enumerate((one, two, one, two))
    ]
    ran = run(
        tmp_path, "fair", jobs, nodes=2, storages={"bb0": bb, "pfs": PFS}, queue="fit_io",
        members={f"j{k}": {"walltime": 100.0} for k in range(4)}, **options,
    )  # fmt: skip
    assert set(starts(ran)) == {"j0", "j1", "j2", "j3"}
    assert any(name.endswith(".checkpoint") for name in ran.kinds())


def test_behind_a_promise_those_whose_io_fits_go_first(tmp_path: Path) -> None:
    """Four nodes. ``a`` (two of them, 20 s of walltime, 0.8 of the link) runs; ``p`` wants three and is
    promised 20. Behind it ``b`` (0.8 again), ``c`` and ``d`` (nothing) want a node until then: these two
    have them, although ``b`` came first."""
    jobs = [
        once("a", 2, nodes=2, writes=800 * MB),
        once("p", 1, nodes=3, at=1, writes=1),
        once("b", 2, at=2, writes=800 * MB),
        once("c", 10, at=2, writes=1),
        once("d", 10, at=2, writes=1),
    ]
    members = {"a": {"walltime": 20}, "p": {"walltime": 20}}
    members |= {name: {"walltime": 17} for name in "bcd"}
    ran = run(tmp_path, "fair", jobs, nodes=4, members=members, queue="fit_io")
    begun = starts(ran)
    assert (begun["c"], begun["d"]) == pytest.approx((2, 2), abs=0.01)
    assert begun["b"] > 9
