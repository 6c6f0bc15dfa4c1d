"""Staging where it meets all else: kills, walltimes, faults and schedulers behind the proxy, tiers behind
tiers, I/O policies, jobs that wait for data sets, Ctrl-C; by hand.

Four nodes; a tier of 1000 B before one target that is read at 10 B/s and written at 100 B/s, the tier itself
at 100 B/s: 400 B come in 40 s.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from fs_tiny import Ran, job, simulate_tiny, watched, write_inputs
from test_dependencies import AnyNodes

from batfs.decision.injector import Injector, WithFileSystems
from batfs.errors import InputError
from batfs.protocol import messages as m

MODELS = ("burst_buffer", "nvme_pool", "cache")
TIER = {"filesystem": "bb", "size": "1000B", "read": "100Bps", "write": "100Bps"}
STORAGES = {"bb0": TIER, "ost0": {**TIER, "filesystem": "lustre", "size": "100kB", "read": "10Bps"}}
KILLING = f"{Path(__file__).with_name('killing.py')}:KillingAt"


def config(model: str, mode: str = "ahead", options: str = "", **more: Any) -> dict[str, Any]:
    tables = {"bb": {"model": f"{model}:backing=lustre,staging={mode}{options}"}}
    return {"filesystems": tables, "default_filesystem": "lustre", **more}


def run(folder: Path, jobs: list[Any], given: dict[str, Any], **more: Any) -> Ran:
    storages = more.pop("storages", STORAGES)
    process = more.pop("process", watched())
    return simulate_tiny(folder, 4, storages, jobs, given, dynamic=True, process=process, **more)


def reads(size: int, writes: int = 0, **options: Any) -> list[dict[str, Any]]:
    options = {"data_set": "x", **options}
    return [{"filesystem": "bb", "reads": size, "writes": writes, "options": options}]


def ends(ran: Ran, name: str) -> tuple[float, str]:
    found = ran.jobs[f"w0!{name}"]
    return round(found.end, 3), found.state


@pytest.mark.parametrize("mode", ["held", "ahead", "two_step"])
@pytest.mark.parametrize("model", MODELS)
def test_a_walltime_counts_from_when_the_data_is_there(tmp_path: Path, model: str, mode: str) -> None:
    """40 s of staging don't end a job with a walltime of 25 s and 20 s of work; one that works for 30 s ends
    25 s after its staging, and what it held is free for the next one."""
    jobs = [job("1", 2, 20e9, io=reads(400), walltime=25.0)]
    assert ends(run(tmp_path, jobs, config(model, mode)), "1") == (60.0, "COMPLETED_SUCCESSFULLY")
    jobs = [
        job("1", 2, 30e9, io=reads(400), walltime=25.0),
        # the cache makes nobody wait for room
        job("2", 2, 5e9, at=1.0, io=reads(500 if model == "cache" else 700, data_set="y"), walltime=100.0),
    ]
    ran = run(tmp_path, jobs, config(model, mode))
    assert ends(ran, "1")[1] == "COMPLETED_WALLTIME_REACHED"
    assert ends(ran, "2")[1] == "COMPLETED_SUCCESSFULLY"


@pytest.mark.parametrize("model", MODELS)
def test_a_kill_while_it_computes_leaves_no_stage_out(tmp_path: Path, model: str) -> None:
    """Killed at 50 s, 10 s after its staging: nothing is staged out, and its bytes are free then: a job that
    needs all of the buffer begins to stage."""
    jobs = [
        job("1", 4, 100e9, io=reads(400, 200)),
        job("2", 4, 5e9, at=1.0, io=reads(900, data_set="y")),
    ]
    ran = run(tmp_path, jobs, config(model, queue=f"{KILLING}:at=50,victim=w0!1"))
    assert ends(ran, "1") == (50.0, "COMPLETED_KILLED")
    assert not any("w0.1." in kind and kind.endswith("stage_out") for kind in ran.kinds())
    staged = {k.split(".")[1]: t for k, t in ran.kinds().items() if k.endswith("stage_ahead")}
    if model != "cache":  # which nothing ever waits for
        assert staged["2"] == (pytest.approx(50.0), pytest.approx(140.0))
    assert ends(ran, "2")[1] == "COMPLETED_SUCCESSFULLY"


class Cancelling:
    """fcfs, but at 20 s the job ``1`` is cancelled, which is staged then."""

    name = "cancelling"

    def __init__(self) -> None:
        from batfs.scheduling.queues import make_queue_policy

        self._inner = make_queue_policy("fcfs")
        self._done = False

    def schedule(self, view: Any) -> Any:
        from batfs.records import replace

        decided = self._inner.schedule(view)
        if self._done:
            return decided
        if view.now < 20.0:
            return replace(decided, wake_at=20.0)
        self._done = True
        return replace(decided, kills=["w0!1"])


@pytest.mark.parametrize("model", MODELS)
def test_cancelled_in_the_middle_of_its_staging(tmp_path: Path, model: str) -> None:
    """200 of its 400 B have come. It is rejected; a second reader of the same set, which comes at 10 s, waits
    for its own bytes on a buffer and a pool, of which the first's leave it half of the target until 20 s. Of
    a cache it counted on the first's and brings all 400 B from 20 s on, until 60 s."""
    jobs = [job("0", 4, 30e9), job("1", 4, 5e9, io=reads(400)), job("2", 4, 5e9, at=10.0, io=reads(400))]
    queue = f"{Path(__file__)}:Cancelling"
    ran = run(tmp_path, jobs, config(model, queue=queue))
    assert ran.jobs["w0!1"].rejected
    staged = {k: t for k, t in ran.kinds().items() if k.endswith("stage_ahead")}
    assert staged["w0.1.0.stage_ahead"][1] == pytest.approx(20.0, abs=0.2)
    [mine] = [t for k, t in staged.items() if k.startswith("w0.2.")]
    # 10 s at 5 B/s, then 350 B at 10 B/s
    begun, over = (20.0, 60.0) if model == "cache" else (10.0, 55.0)
    assert mine == (pytest.approx(begun, abs=0.2), pytest.approx(over, abs=0.2))
    assert ran.times("2")[0] == pytest.approx(over, abs=0.2)


@pytest.mark.parametrize("policy", ["exclusive", "fcfs"])
@pytest.mark.parametrize("model", MODELS)
def test_an_io_policy_orders_what_is_staged(tmp_path: Path, model: str, policy: str) -> None:
    """Two sets of 400 and 200 B asked for at once: one after the other they are there at 40 and 60 s; all at
    once (fair) at 40 s (200 B at 5 B/s) and 60 s."""
    jobs = [
        job("1", 2, 5e9, io=reads(400)),
        job("2", 2, 5e9, at=0.1, io=reads(200, data_set="y")),
    ]
    ran = run(tmp_path, jobs, config(model, io_policy=policy, queue="filler"))
    assert [ran.times(n)[0] for n in "12"] == [pytest.approx(40.0, abs=0.2), pytest.approx(60.0, abs=0.2)]
    fair = run(tmp_path, jobs, config(model, queue="filler"))
    assert [fair.times(n)[0] for n in "12"] == [pytest.approx(60.0, abs=0.2), pytest.approx(40.1, abs=0.2)]


@pytest.mark.parametrize("model", MODELS)
def test_a_job_that_waits_for_a_set_is_staged_when_it_exists(tmp_path: Path, model: str) -> None:
    """The writer is done at 10 s: it writes 400 B straight to the target while it works. The reader is staged
    from then on, while another job has all nodes until 100 s."""
    writes = [{"filesystem": "lustre", "reads": 0, "writes": 400, "options": {"data_set": "x"}}]
    jobs = [
        job("0", 2, 100e9),
        job("1", 2, 10e9, io=writes),
        job("2", 4, 5e9, io=reads(400, missing="wait")),
    ]
    ran = run(tmp_path, jobs, config(model))
    [staged] = [t for k, t in ran.kinds().items() if k.endswith("stage_ahead")]
    assert staged == (pytest.approx(10.0, abs=1e-3), pytest.approx(50.0, abs=1e-3))
    assert ran.times("2")[0] == pytest.approx(100.0, abs=1e-3)
    [record] = [r for r in ran.records if r.job.id == "w0!2"]
    waits = {cause: round(seconds) for (cause, _), seconds in record.waits.items()}
    assert waits == {"dependency": 10, "stage_in": 40, "nodes": 50}


@pytest.mark.parametrize("model", MODELS[:2])
def test_a_tier_before_a_cache_before_a_target(tmp_path: Path, model: str) -> None:
    """The first job's 400 B come through the cache, which copies them: from behind at 10 B/s, 40 s. The
    second reads the same set at 100 s: it is staged from the cache, at 50 B/s (its own link), in 8 s."""
    cache = {**TIER, "filesystem": "cache", "read": "50Bps"}
    given = config(model)
    given["filesystems"]["bb"] = {"model": f"{model}:backing=cache,staging=ahead"}
    given["filesystems"]["cache"] = {"model": "cache:backing=lustre"}
    jobs = [job("1", 2, 5e9, io=reads(400)), job("2", 2, 5e9, at=100.0, io=reads(400))]
    ran = run(tmp_path, jobs, given, storages={**STORAGES, "c0": cache})
    staged = {k.split(".")[1]: t for k, t in ran.kinds().items() if k.endswith("stage_ahead")}
    assert staged["1"] == (pytest.approx(0.0, abs=1e-6), pytest.approx(40.0))
    assert staged["2"] == (pytest.approx(100.0), pytest.approx(108.0))


FAULT = {"fault": [{"storage": "ost0", "at": 20.0, "lasts": 30.0, "state": "down"}]}


@pytest.mark.parametrize("model", MODELS)
def test_a_fault_behind_the_proxy_stops_a_stage_in_and_it_goes_on(tmp_path: Path, model: str) -> None:
    """Held, under a scheduler that knows nothing of it: 20 s of the 40 pass, the target is away until 50 s,
    and the rest comes until 70 s; the job computes until 90 s. The same as under batfs's own fcfs."""
    jobs = [job("1", 2, 20e9, io=reads(400)), job("2", 4, 5e9, at=1.0)]

    def process(settings: Any, make: Any, ran: Ran) -> m.DecisionProcess:
        return WithFileSystems(AnyNodes(4), Injector(settings, make_files=make, observer=ran))

    given = config(model, "held", faults=FAULT)
    proxied, own = run(tmp_path, jobs, given, process=process), run(tmp_path, jobs, given)
    for ran in (proxied, own):
        steps = sorted(t for k, t in ran.kinds().items() if k.endswith("stage_in"))
        assert steps == [
            (pytest.approx(0.0, abs=0.2), pytest.approx(20.0, abs=0.2)),
            (pytest.approx(50.0, abs=0.2), pytest.approx(70.0, abs=0.4)),
        ]
        last = max(end for kind, (_, end) in ran.kinds().items() if kind.startswith("w0.1."))
        assert max(last, ran.times("1")[1]) == pytest.approx(90.0, abs=0.6)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("mode", ["ahead", "two_step"])
def test_ahead_behind_the_proxy_is_refused(tmp_path: Path, model: str, mode: str) -> None:
    """With the file system, the reason and what is possible; of a job's own word it is said once that it
    isn't followed."""

    def process(settings: Any, make: Any, ran: Ran) -> m.DecisionProcess:
        return WithFileSystems(AnyNodes(4), Injector(settings, make_files=make, say=ran.said.append))

    with pytest.raises(InputError) as caught:
        run(tmp_path, [job("1", 2, 20e9, io=reads(400))], config(model, mode), process=process)
    assert "staging: the file system 'bb' stages before jobs have nodes" in str(caught.value)
    assert "staging=held" in str(caught.value)
    jobs = [job(n, 2, 20e9, io=reads(400, staging=mode)) for n in "12"]
    ran = run(tmp_path, jobs, config(model, "held"), process=process)
    assert sum("asks to be staged before it has nodes" in sentence for sentence in ran.said) == 1
    assert not any(kind.endswith("stage_ahead") for kind in ran.kinds())


def test_ctrl_c_while_data_is_staged(tmp_path: Path) -> None:
    """``batfs run`` ends at once with 130, without a traceback and without files."""
    jobs = [job(str(k), 1, 20e9, io=reads(400, data_set=f"x{k}"), at=float(k)) for k in range(4000)]
    platform, workload = write_inputs(tmp_path, 4, STORAGES, jobs)
    command = [sys.executable, "-m", "batfs", "run", "-p", str(platform), "-w", str(workload)]
    command += [
        "--dynamic-jobs",
        "--filesystem",
        "bb=nvme_pool:backing=lustre,staging=ahead,staging_share=0.1",
    ]
    out = tmp_path / "out"
    out.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(
        [*command, "-e", str(out / "r")], stderr=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as process:
        time.sleep(1.5)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 130, said
    assert b"Traceback" not in said
    assert not [path for path in out.iterdir() if path.suffix == ".csv"]
