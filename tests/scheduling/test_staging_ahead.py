"""Data that is brought to jobs before they have nodes: each state and rule by hand.

The machine: four nodes; one buffer of 1000 B before one target. The target is read at 10 B/s and written at
100 B/s, the buffer read and written at 100 B/s: R bytes are staged in in R/10 s, read by the job in R/100 s.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from fs_tiny import Ran, free_port, job, over_sockets, simulate_tiny, watched, write_inputs

from batfs.errors import InputError
from batfs.filesystems.staging_modes import seconds_staging
from batfs.protocol import messages as m

MODES = ("held", "ahead", "two_step")
TIERS = ("burst_buffer", "nvme_pool")  # a cache brings data sets only: test_staging_cache
STORAGES = {
    "bb0": {"filesystem": "bb", "size": "1000B", "read": "100Bps", "write": "100Bps"},
    "ost0": {"filesystem": "lustre", "size": "100kB", "read": "10Bps", "write": "100Bps"},
}


def run(folder: Path, jobs: list[Any], mode: str = "ahead", queue: str = "fcfs", **more: Any) -> Ran:
    options, model = more.pop("options", ""), more.pop("model", "burst_buffer")
    storages = more.pop("storages", STORAGES)
    config = {
        "filesystems": {"bb": {"model": f"{model}:backing=lustre,staging={mode}{options}"}},
        "queue": queue,
        "default_filesystem": "lustre",
        **more.pop("config", {}),
    }
    return simulate_tiny(
        folder, 4, storages, jobs, config, dynamic=more.pop("dynamic", True), process=watched(), **more
    )


def reads(size: int, **options: Any) -> list[dict[str, Any]]:
    return [{"filesystem": "bb", "reads": size, "writes": 0, "options": options}]


def writes(size: int, **options: Any) -> list[dict[str, Any]]:
    return [{"filesystem": "bb", "reads": 0, "writes": size, "options": options}]


def waits(ran: Ran, name: str) -> dict[str, float]:
    [record] = [r for r in ran.records if r.job.id == f"w0!{name}"]
    return {cause: pytest.approx(seconds, abs=1e-3) for (cause, _), seconds in record.waits.items()}


@pytest.mark.parametrize(
    ("mode", "start", "end"),
    [
        # nodes from 50 s on; 400 B come in 40 s, are read in 4 s while the job computes for 20 s
        ("held", 50.0, 110.0),
        # staged from 0 to 40 s while the other job runs
        ("ahead", 50.0, 70.0),
        ("two_step", 50.0, 70.0),
    ],
)
@pytest.mark.parametrize("model", TIERS)
def test_data_comes_while_others_run(tmp_path: Path, model: str, mode: str, start: float, end: float) -> None:
    ran = run(tmp_path, [job("1", 4, 50e9), job("2", 4, 20e9, io=reads(400))], mode, model=model)
    kinds = ran.kinds()
    began = min([ran.times("2")[0], *(t[0] for k, t in kinds.items() if k.endswith("stage_in"))])
    assert (began, ran.times("2")[1]) == (pytest.approx(start), pytest.approx(end))
    ahead = [times for kind, times in kinds.items() if kind.endswith("stage_ahead")]
    assert ahead == ([] if mode == "held" else [(pytest.approx(0.0, abs=1e-6), pytest.approx(40.0))])


def test_from_storage_to_storage_without_nodes(tmp_path: Path) -> None:
    """The move is a dynamic job on exactly its two storages (ids 4 and 5 behind four nodes)."""
    ran = run(tmp_path, [job("1", 4, 50e9), job("2", 4, 20e9, io=reads(400))])
    [sent] = [d for d in ran.sent if isinstance(d, m.ExecuteJob) and d.job_id.endswith("stage_ahead")]
    storages = set(sent.alloc)
    assert len(storages) == 2
    assert min(storages) >= 4


def test_no_nodes_are_held_for_data(tmp_path: Path) -> None:
    """Held: the second job has the idle nodes 2 and 3 from 0 s, for 40 s of staging and 20 s of work; the
    third, which comes at 1 s, waits for them until 60 s. Ahead: it runs there from 1 to 31 s; the second
    starts when its data is there, at 40 s."""
    jobs = [job("1", 2, 100e9), job("2", 2, 20e9, io=reads(400)), job("3", 2, 30e9, at=1.0)]
    held = run(tmp_path, jobs, "held", "filler")
    assert held.times("3") == (pytest.approx(60.0), pytest.approx(90.0))
    ahead = run(tmp_path, jobs, "ahead", "filler")
    assert ahead.times("3") == (pytest.approx(1.0), pytest.approx(31.0))
    assert ahead.times("2") == (pytest.approx(40.0), pytest.approx(60.0))


def test_a_job_staged_ahead_keeps_its_place_and_one_in_two_steps_joins_the_end(tmp_path: Path) -> None:
    """The second job's data is there at 40 s; nodes are free at 50 s. Ahead it comes before the third (of
    1 s), in two steps behind it (which has 10 s of work)."""
    jobs = [job("1", 4, 50e9), job("2", 4, 20e9, io=reads(400)), job("3", 4, 10e9, at=1.0)]
    ahead = run(tmp_path, jobs, "ahead")
    assert ahead.times("2") == (pytest.approx(50.0), pytest.approx(70.0))
    assert ahead.times("3") == (pytest.approx(70.0), pytest.approx(80.0))
    two = run(tmp_path, jobs, "two_step")
    assert two.times("3") == (pytest.approx(50.0), pytest.approx(60.0))
    assert two.times("2") == (pytest.approx(60.0), pytest.approx(80.0))


def test_its_seconds_of_waiting_have_their_causes(tmp_path: Path) -> None:
    """40 s for its data, 10 s more for nodes: fcfs is asked again when the data is there."""
    ran = run(tmp_path, [job("1", 4, 50e9), job("2", 4, 20e9, io=reads(400))])
    assert waits(ran, "2") == {"stage_in": 40.0, "nodes": 10.0}
    two = run(tmp_path, [job("1", 4, 50e9), job("2", 4, 20e9, io=reads(400))], "two_step")
    assert waits(two, "2") == {"stage_in": 40.0, "nodes": 10.0}


def test_jobs_are_staged_in_order_and_only_so_many_at_once(tmp_path: Path) -> None:
    """Two of 400 B: together both take 80 s, one after the other 40 and 80 s."""
    jobs = [job("1", 4, 100e9), *(job(n, 2, 20e9, io=reads(400)) for n in "23")]
    together = run(tmp_path, jobs)
    assert list(together.kinds().values()) == [(pytest.approx(0.0, abs=1e-6), pytest.approx(80.0))] * 2
    single = run(tmp_path, jobs, options=",max_staging=1")
    assert list(single.kinds().values()) == [
        (pytest.approx(0.0, abs=1e-6), pytest.approx(40.0)),
        (pytest.approx(40.0), pytest.approx(80.0)),
    ]


@pytest.mark.parametrize("model", TIERS)
def test_who_lacks_space_is_staged_when_it_is_given_back(tmp_path: Path, model: str) -> None:
    """700 and 600 B don't fit into 1000 together: the third waits until the second job is over at 120 s (100
    for nodes, 20 of work), and has its data at 180 s. It waits for space until then: fcfs tries it as the
    head of the queue."""
    jobs = [job("1", 4, 100e9), *(job(n, 4, 20e9, io=reads(s)) for n, s in (("2", 700), ("3", 600)))]
    ran = run(tmp_path, jobs, model=model)
    assert ran.times("2") == (pytest.approx(100.0), pytest.approx(120.0))
    assert ran.times("3") == (pytest.approx(180.0), pytest.approx(200.0))
    third = waits(ran, "3")
    assert third == {"storage": 120.0, "stage_in": 60.0}


def test_staging_out_holds_no_nodes_under_any_of_them(tmp_path: Path) -> None:
    """1000 B written go out at 100 B/s: 10 s after the job, whose nodes the next job has meanwhile."""
    writing = [{"filesystem": "bb", "reads": 0, "writes": 1000}]
    for mode in MODES:
        ran = run(tmp_path, [job("1", 4, 20e9, io=writing), job("2", 4, 5e9)], mode)
        [out] = [t for kind, t in ran.kinds().items() if kind.endswith("stage_out")]
        assert out == (pytest.approx(20.0), pytest.approx(30.0))
        assert ran.times("2") == (pytest.approx(20.0), pytest.approx(25.0))


@pytest.mark.parametrize("model", TIERS)
def test_bytes_are_held_from_the_beginning_of_staging_to_the_end_of_stage_out(
    tmp_path: Path, model: str
) -> None:
    """400 B in and 200 B out are 600 B on the buffer from 0 s, though the job has nodes from 50 s on; the
    next one, of 500 B, begins to stage at 72 s: 20 s of work and 2 s of stage-out later."""
    both = [{"filesystem": "bb", "reads": 400, "writes": 200}]
    ran = run(
        tmp_path,
        [job("1", 4, 50e9), job("2", 4, 20e9, io=both), job("3", 4, 1e9, io=reads(500))],
        model=model,
    )
    began = {kind.split(".")[1]: t for kind, t in ran.kinds().items() if kind.endswith("stage_ahead")}
    assert began["2"] == (pytest.approx(0.0, abs=1e-6), pytest.approx(40.0))
    assert began["3"] == (pytest.approx(72.0), pytest.approx(122.0))


def test_namespaces_of_each_node_are_filled_before_there_are_nodes(tmp_path: Path) -> None:
    """Blocks of 100 B, ``per=node`` on four nodes: 100 B for each, two on either drive (the least used). They
    come in 20 s (400 B at 10 B/s from each of two targets), and each node reads its own from 50 s on."""
    storages = {**STORAGES, "bb1": STORAGES["bb0"], "ost1": STORAGES["ost0"]}
    options = ",per=node,block_size=100B"
    ran = run(
        *(tmp_path, [job("1", 4, 50e9), job("2", 4, 20e9, io=reads(400))]),
        model="nvme_pool",
        options=options,
        storages=storages,
        config={"policy": "worst_fit"},
    )
    staged = [t for kind, t in ran.kinds().items() if kind.endswith("stage_ahead")]
    assert staged == [(pytest.approx(0.0, abs=1e-6), pytest.approx(20.0))] * 2
    assert ran.times("2") == (pytest.approx(50.0), pytest.approx(70.0))


def test_a_pool_without_anything_behind_it_stages_nothing_and_says_so(tmp_path: Path) -> None:
    """Beside a buffer that stages, it is scratch space; alone it is refused."""
    storages = {**STORAGES, "nv0": {"filesystem": "nv", "size": "1kB", "model": "nvme_pool"}}
    jobs = [job("1", 4, 5e9, io=[{"filesystem": "nv", "reads": 10, "writes": 0}])]
    ran = run(tmp_path, jobs, storages=storages, config={"staging": "ahead"})
    assert any("'nv'" in sentence and "nothing is staged" in sentence for sentence in ran.said)
    assert ran.times("1")[0] == pytest.approx(0.0, abs=1e-6)
    with pytest.raises(InputError, match="stages anything"):
        config = {"staging": "ahead", "filesystems": {"bb": {"model": "nvme_pool"}}}
        run(tmp_path, jobs, storages=storages, config=config)


PFS_800 = [{"filesystem": "lustre", "reads": 0, "writes": 800}]
TIGHT = {**STORAGES, "ost0": {**STORAGES["ost0"], "size": "1000B"}}


def test_space_follows_the_order_of_the_queue(tmp_path: Path) -> None:
    """The target holds 1000 B. The first job holds 300 of them until 50 s. The second, for 800, is the head
    of the queue; the third has staged 400 B ahead (which count on the target too) before it came... it came
    first: it is staged from 0 to 40 s, and gives its bytes back at 50 s, when nothing else keeps the head."""
    jobs = [
        job("1", 4, 50e9, io=[{"filesystem": "lustre", "reads": 0, "writes": 300}]),
        job("2", 4, 10e9, at=1.0, io=PFS_800),
        job("3", 4, 20e9, io=reads(400)),
    ]
    ran = run(tmp_path, jobs, storages=TIGHT, queue="fcfs")
    # the third was submitted first, so it is the head: nobody has to give way
    assert ran.times("3")[0] == pytest.approx(50.0)
    two = run(tmp_path, jobs, "two_step", storages=TIGHT)
    # in two steps it is behind the second: its bytes give way at 50 s and it is staged again at 60 s
    assert two.times("2") == (pytest.approx(50.0), pytest.approx(60.0))
    again = [t for kind, t in two.kinds().items() if kind.startswith("w0.3.") and "ahead" in kind]
    assert again == [
        (pytest.approx(0.0, abs=1e-6), pytest.approx(40.0)),
        (pytest.approx(60.0), pytest.approx(100.0)),
    ]
    assert two.times("3") == (pytest.approx(100.0), pytest.approx(120.0))


def test_nothing_begins_to_stage_while_the_head_waits_for_space(tmp_path: Path) -> None:
    """The first job holds 600 B of the target until 20 s and one node until then; the second, of 800, is the
    head; the third would fit, but is staged from 30 s on only, when the second is over."""
    jobs = [
        job("1", 1, 20e9, io=[{"filesystem": "lustre", "reads": 0, "writes": 600}]),
        job("2", 1, 10e9, at=1.0, io=PFS_800),
        job("3", 1, 5e9, at=2.0, io=reads(300)),
    ]
    ran = run(tmp_path, jobs, storages=TIGHT)
    [staged] = [t for kind, t in ran.kinds().items() if kind.endswith("stage_ahead")]
    assert staged[0] == pytest.approx(30.0)


def test_nobody_with_data_is_passed_for_ever(tmp_path: Path) -> None:
    """Filler, one node each for 10 s, two coming every 5 s: all four nodes are never free together. The job
    of four nodes has its data at 10 s; with a patience of 30 s nodes are kept for it from 40 s on, so it
    starts at 50 s at the latest. Once it has started they are everybody's again, and all the others run."""
    small = [job(f"s{k}", 1, 10e9, at=2.5 * k, walltime=11.0) for k in range(60)]
    wide = job("wide", 4, 1e9, io=reads(100), walltime=30.0)
    late = run(tmp_path, [wide, *small], queue="filler", config={"staged_patience": 1e6})
    assert late.times("wide")[0] > 100.0
    soon = run(tmp_path, [wide, *small], queue="filler", config={"staged_patience": 30.0})
    assert 40.0 <= soon.times("wide")[0] <= 51.0
    assert all(soon.times(f"s{k}")[0] >= 0.0 for k in range(60))


def test_a_machine_without_dynamic_jobs_says_which_flag(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="staging=ahead") as caught:
        run(tmp_path, [job("1", 1, 1e9)], dynamic=False)
    assert "--dynamic-jobs" in str(caught.value)


def test_a_jobs_own_word_counts(tmp_path: Path) -> None:
    own = job("2", 4, 20e9, io=reads(400, staging="held"))
    ran = run(tmp_path, [job("1", 4, 50e9), own])
    assert ran.times("2")[1] == pytest.approx(110.0)
    own = job("2", 4, 20e9, io=reads(400, staging="ahead"))
    assert run(tmp_path, [job("1", 4, 50e9), own], "held").times("2")[1] == pytest.approx(70.0)
    with pytest.raises(InputError, match="two_step"):
        run(tmp_path, [job("2", 4, 20e9, io=reads(400, staging="two_steps"))])


def test_buffers_in_the_nodes_are_staged_with_them(tmp_path: Path) -> None:
    local = {
        f"bb{k}": {"filesystem": "bb", "size": "1000B", "write": "100Bps", "node": f"n{k}"} for k in range(4)
    }
    storages = {**local, "ost0": STORAGES["ost0"]}
    ran = run(tmp_path, [job("1", 4, 50e9), job("2", 4, 20e9, io=reads(400))], storages=storages)
    assert ran.times("2")[1] == pytest.approx(110.0)
    assert any("staged while it has its nodes" in sentence for sentence in ran.said)


@pytest.mark.parametrize(
    ("mode", "model"),
    [
        ("ahead", "burst_buffer"),
        ("two_step", "burst_buffer"),
        ("ahead", "nvme_pool"),
        ("ahead", "cache"),
    ],
)
def test_the_same_times_over_a_socket(tmp_path: Path, mode: str, model: str) -> None:
    """``batfs-sched`` and ``batfs sim`` as processes of their own, and embedded."""
    named = {"data_set": "x"} if model == "cache" else {}
    jobs = [
        job("1", 4, 50e9),
        job("2", 4, 20e9, io=reads(400, **named)),
        job("3", 2, 10e9, at=1.0, io=reads(500, **named)),
    ]
    share = "staging_share=0.5" if mode == "ahead" and model != "burst_buffer" else "staging_share=0"
    here = run(tmp_path, jobs, mode, model=model, options=f",{share}", control="1ms")
    files = write_inputs(tmp_path, 4, STORAGES, jobs, control="1ms")
    (tmp_path / "batfs.toml").write_text(
        f'default_filesystem = "lustre"\nstaging = "{mode}"\nvalidate = true\nplatform = "{files[0]}"\n'
        f"[filesystems.bb]\nmodel = '{model}'\nbacking = 'lustre'\n{share}\n"
    )
    where = f"tcp://127.0.0.1:{free_port()}"
    command = ["batfs.decision.command", "-s", where, "--config", str(tmp_path / "batfs.toml")]
    got = over_sockets(tmp_path, files, where, [*command, "-e", "sched"], "--enable-dynamic-jobs")
    assert got.keys() == here.jobs.keys()
    for name, result in here.jobs.items():
        assert float(got[name]["starting_time"]) == pytest.approx(result.start, abs=1e-5)
        assert float(got[name]["finish_time"]) == pytest.approx(result.end, abs=1e-5)


@pytest.mark.parametrize(("mode", "hours"), [("held", 4 * 40 / 3600), ("ahead", 0.0), ("two_step", 0.0)])
def test_nodes_that_idle_while_data_is_staged_in_are_counted(tmp_path: Path, mode: str, hours: float) -> None:
    """400 B come in 40 s, onto a job of four nodes: 160 node-seconds if they are held meanwhile, else none.
    The report reads the same from the files."""
    pytest.importorskip("pandas", reason="the extra 'report' is not installed")
    from batfs.decision.experiment import Experiment
    from batfs.decision.run import run as run_whole
    from batfs.report.run import read_run
    from batfs.report.statistics import summarize
    from batfs.scheduling.config import Layer, Settings

    def figures(name: str, jobs: list[Any]) -> tuple[Any, float]:
        platform, workload = write_inputs(tmp_path, 4, STORAGES, jobs)
        config = {
            "filesystems": {"bb": {"model": f"burst_buffer:backing=lustre,staging={mode}"}},
            "default_filesystem": "lustre",
        }
        experiment = Experiment(platform=platform, workloads=[workload], dynamic_jobs=True)
        prefix = tmp_path / name
        found = run_whole(experiment, Settings(flags=Layer("test", config)), prefix).summary
        return found.get("staging_node_hours"), summarize(read_run(f"{prefix}_"))["staging_node_hours"]

    jobs = [job("1", 4, 50e9), job("2", 4, 20e9, io=reads(400))]
    assert figures("staged", jobs) == (pytest.approx(hours, abs=1e-7), pytest.approx(hours, abs=1e-7))
    nothing = figures("plain", jobs[:1])
    assert nothing[0] is None
    assert nothing[1] != nothing[1]


def test_stage_ins_at_once_count_once_and_so_do_the_pauses_between() -> None:
    """0-10 and 5-12 are 12 s; a pause until 20 in which nothing began counts, one after a step at 13 not."""
    assert seconds_staging([(0.0, 10.0), (5.0, 12.0)], []) == 12.0
    assert seconds_staging([(20.0, 22.0), (0.0, 10.0), (5.0, 12.0)], [22.0]) == 22.0
    assert seconds_staging([(20.0, 22.0), (0.0, 12.0)], [13.0]) == 14.0
    assert seconds_staging([], [1.0]) == 0.0


@pytest.mark.parametrize(
    ("mode", "model"),
    [
        *((mode, "burst_buffer") for mode in MODES),
        ("two_step", "nvme_pool"),
        ("ahead", "nvme_pool:staging_share=0.3"),
        ("ahead", "cache"),
    ],
)
def test_under_batsim_5_as_under_batsim_4(tmp_path: Path, mode: str, model: str) -> None:
    """Thirty jobs of which two in three read through the buffer: the same steps on the same resources, at
    the same times but for what messages take, and the whole milliseconds at which Batsim 5 calls: of limited
    staging each piece may begin one later."""
    from batfs.decision.experiment import Experiment
    from batfs.decision.run import run as run_whole
    from batfs.scheduling.config import Layer, Settings

    jobs = []
    for k in range(30):
        named = {"data_set": f"x{k % 4}", "life": "deleted"} if model == "cache" else {}
        io = reads(40 * (1 + k % 5), **named) if k % 3 else []
        jobs.append(job(str(k), 1 + k % 4, (5 + k % 7) * 1e9, float(3 * k), io=io))
    platform, workload = write_inputs(tmp_path, 4, STORAGES, jobs)
    word, colon, more = model.partition(":")
    spec = f"{word}:backing=lustre,staging={mode}{colon and ','}{more}"
    config = {
        "filesystems": {"bb": {"model": spec}},
        "default_filesystem": "lustre",
        "queue": "easy",
    }
    tables = []
    for generation in (4, 5):
        experiment = Experiment(
            platform=platform, workloads=[workload], dynamic_jobs=True, generation=generation
        )
        prefix = tmp_path / str(generation)
        run_whole(experiment, Settings(flags=Layer("test", config)), prefix)
        with Path(f"{prefix}_jobs.csv").open(newline="", encoding="utf-8") as stream:
            tables.append({row["job_id"]: row for row in csv.DictReader(stream)})
    four, five = tables
    assert four.keys() == five.keys()
    kinds = {name.rpartition(".")[2] for name in four if "." in name}
    assert ("stage_in" if mode == "held" else "stage_ahead") in kinds
    limit = 1e-3 * (len(four) if "share" in model else 1)
    for name, row in four.items():
        other = five[name]
        for column in ("final_state", "allocated_resources"):
            assert row[column] == other[column], name
        for column in ("starting_time", "finish_time"):
            assert float(row[column]) == pytest.approx(float(other[column]), abs=limit), name


@pytest.mark.parametrize("queue", ["easy_storage", "conservative"])
def test_when_staged_bytes_are_given_back_is_known_once_the_job_has_started(
    tmp_path: Path, queue: str
) -> None:
    """1 stages 800 of 1000 B in 80 s and runs until its walltime's end, 180; 2 wants 400 B of space at 90: it
    is promised 180, when 1's bytes are given back, not never: nobody passes it. 3 (300 B) would have its
    own until 390 and waits; 4, without bytes, doesn't."""
    kept = {"stage_in": False, "stage_out": False}
    jobs = [
        job("1", cpu=100e9, walltime=100, io=reads(800, stage_out=False)),
        job("2", 1, cpu=10e9, at=90, walltime=12, io=writes(400, **kept)),
        job("3", 1, cpu=300e9, at=91, walltime=300, io=writes(700, **kept)),
        job("4", 1, cpu=1e9, at=92, walltime=2),
    ]
    ran = run(tmp_path, jobs, "ahead", queue)
    assert ran.times("1") == pytest.approx((80, 180), abs=1e-2)
    assert ran.times("2")[0] == pytest.approx(180, abs=1e-2)
    assert ran.times("3")[0] == pytest.approx(190, abs=1e-2)
    assert ran.times("4")[0] == pytest.approx(92, abs=1e-2)
