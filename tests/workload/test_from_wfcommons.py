"""From WfCommons's workflow instances to jobs that wait for each other's files."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from batfs.cli.main import main
from batfs.workload import read_workload, requested_io

SAMPLE = Path(__file__).parents[2] / "workloads" / "sample_wfcommons.json"
G = 10**9


def converted(source: Path, folder: Path, *more: str) -> dict[str, list[tuple[int, int, dict[str, Any]]]]:
    out = folder / "w.json"
    assert main(["workload", "from-wfcommons", str(source), "--io-on", "lustre", "-o", str(out), *more]) == 0
    found = read_workload(out)
    return {
        job.name: [
            (io.reads, io.writes, dict(io.options)) for io in requested_io(found.profiles[job.profile])
        ]
        for job in found.jobs
    }


def test_the_sample(tmp_path: Path) -> None:
    """What nobody writes was there; what another writes is waited for; measured bytes count before sizes (6
    GB of a tile of 4); ``notify`` reads no file of its parent, so 1 byte tells it."""
    jobs = converted(SAMPLE, tmp_path)
    assert jobs["split"] == [
        (8 * G, 0, {"data_set": "image", "missing": "fill", "size": 8 * G}),
        (0, 4 * G, {"data_set": "tile1", "size": 4 * G}),
        (0, 4 * G, {"data_set": "tile2", "size": 4 * G}),
    ]
    assert jobs["work1"] == [
        (6 * G, 0, {"data_set": "tile1", "missing": "wait"}),
        (0, 2 * G, {"data_set": "done1", "size": 2 * G}),
    ]
    assert jobs["join"][-1] == (0, 1, {"data_set": "end of join"})
    assert jobs["notify"] == [(1, 0, {"data_set": "end of join", "missing": "wait"})]
    read = read_workload(tmp_path / "w.json")
    assert {job.name: job.requested_nodes for job in read.jobs}["work1"] == 2
    assert {job.submission_time for job in read.jobs} == {0}
    converted(SAMPLE, tmp_path, "--processors-per-node", "8")
    sizes = {job.name: job.requested_nodes for job in read_workload(tmp_path / "w.json").jobs}
    assert sizes == {"split": 1, "work1": 4, "work2": 4, "join": 1, "notify": 1}


def flat(new: dict[str, Any]) -> dict[str, Any]:
    """The same instance as versions before 1.5 write it."""
    specification, execution = new["workflow"]["specification"], new["workflow"]["execution"]
    sizes = {file["id"]: file["sizeInBytes"] for file in specification["files"]}
    measured = {task["id"]: task for task in execution["tasks"]}
    tasks = []
    for task in specification["tasks"]:
        files = [
            {"link": link, "name": name, "sizeInBytes": sizes[name]}
            for link, key in (("input", "inputFiles"), ("output", "outputFiles"))
            for name in task[key]
        ]
        own = {key: value for key, value in task.items() if key not in ("inputFiles", "outputFiles")}
        tasks.append({**own, "files": files, **measured[task["id"]]})
    return {"name": new["name"], "schemaVersion": "1.4", "workflow": {"tasks": tasks}}


def test_older_versions_say_the_same(tmp_path: Path) -> None:
    old = tmp_path / "old.json"
    old.write_text(json.dumps(flat(json.loads(SAMPLE.read_text()))))
    assert converted(old, tmp_path) == converted(SAMPLE, tmp_path)


def test_names_of_files_go_with_the_others(tmp_path: Path) -> None:
    converted(SAMPLE, tmp_path, "--anonymise")
    text = (tmp_path / "w.json").read_text()
    assert "tile1" not in text
    assert "mosaic" not in text
    assert "split" not in text


@pytest.mark.parametrize("queue", ["fcfs", "easy"])
def test_it_runs_in_the_order_of_its_files(tmp_path: Path, queue: str) -> None:
    """On a parallel file system each task starts when the last of its parents has ended, for there are nodes
    enough."""
    converted(SAMPLE, tmp_path)
    platform = Path(__file__).parents[2] / "platforms" / "pfs_cluster.xml"
    words = ["run", "-p", str(platform), "-w", str(tmp_path / "w.json"), "--queue", queue, "-q"]
    assert main([*words, "-e", str(tmp_path / "o")]) == 0
    header, *rows = [line.split(",") for line in (tmp_path / "o_jobs.csv").read_text().splitlines()]
    at = {name: header.index(name) for name in ("starting_time", "finish_time", "final_state")}
    jobs = {row[0]: row for row in rows}
    assert {row[at["final_state"]] for row in rows} == {"COMPLETED_SUCCESSFULLY"}
    for parents, child in (
        (["split"], "work1"),
        (["split"], "work2"),
        (["work1", "work2"], "join"),
        (["join"], "notify"),
    ):
        last = max(float(jobs[parent][at["finish_time"]]) for parent in parents)
        assert float(jobs[child][at["starting_time"]]) == pytest.approx(last, abs=1e-2)


def spec(document: dict[str, Any]) -> Any:
    return document["workflow"]["specification"]


def execution(document: dict[str, Any]) -> Any:
    return document["workflow"]["execution"]


BROKEN: list[tuple[Callable[[dict[str, Any]], Any], str]] = [
    (lambda d: d.pop("workflow"), "workflow"),
    (lambda d: d["workflow"].pop("specification"), "workflow: the member 'specification' is missing"),
    (lambda d: d["workflow"].pop("execution"), "workflow: it has no 'execution'"),
    (
        lambda d: execution(d)["tasks"].pop(1),
        "workflow.specification.tasks[1]: the task 'work1' has no runtime",
    ),
    (lambda d: execution(d)["tasks"][0].update(runtimeInSeconds=-1), "execution.tasks[0].runtimeInSeconds"),
    (lambda d: execution(d)["tasks"][0].pop("runtimeInSeconds"), "'runtimeInSeconds' is missing"),
    (lambda d: execution(d)["tasks"][0].update(id="splat"), "unknown task 'splat'"),
    (lambda d: execution(d)["tasks"][0].update(readBytes="8 GB"), "execution.tasks[0].readBytes"),
    (lambda d: execution(d)["tasks"][0].update(coreCount=0), "execution.tasks[0].coreCount"),
    (lambda d: spec(d)["files"][0].update(sizeInBytes=-5), "specification.files[0].sizeInBytes"),
    (lambda d: spec(d)["files"][0].update(id="tile1"), "the file 'tile1' is there twice"),
    (lambda d: spec(d)["tasks"][1].update(id="split"), "the task 'split' is there twice"),
    (
        lambda d: spec(d)["tasks"][1].update(inputFiles=["tile9"]),
        "tasks[1].inputFiles[0]: unknown file 'tile9'",
    ),
    (lambda d: spec(d)["tasks"][1].update(parents=["spilt"]), "tasks[1].parents[0]: unknown task 'spilt'"),
    (lambda d: spec(d)["tasks"][0].update(parents=["join"]), "is among its own ancestors"),
    (lambda d: spec(d).update(tasks=[]), "specification.tasks"),
    (lambda d: spec(d).update(tasks={}), "specification.tasks"),
    (lambda d: spec(d)["tasks"].append(7), "specification.tasks[5]"),
]


@pytest.mark.parametrize(("damage", "says"), BROKEN, ids=[says for _, says in BROKEN])
def test_bad_input_is_one_sentence_with_its_place(
    damage: Callable[[dict[str, Any]], Any],
    says: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    document = copy.deepcopy(json.loads(SAMPLE.read_text()))
    damage(document)
    path, out = tmp_path / "bad.json", tmp_path / "w.json"
    path.write_text(json.dumps(document))
    assert main(["workload", "from-wfcommons", str(path), "-o", str(out)]) == 2
    shown = capsys.readouterr().err
    assert says in shown
    assert "bad.json" in shown
    assert not out.exists()


def test_files_of_no_bytes_and_files_written_in_place(tmp_path: Path) -> None:
    """A file of 0 bytes counts as 1, so that it can be waited for; what only the task itself writes it reads
    as it was; two writers of a file write over it."""
    document = json.loads(SAMPLE.read_text())
    spec(document)["files"][1]["sizeInBytes"] = 0
    spec(document)["tasks"][3]["outputFiles"] = ["mosaic", "done1"]
    spec(document)["tasks"][4].update(inputFiles=["log"], outputFiles=["log"])
    spec(document)["files"].append({"id": "log", "sizeInBytes": 5})
    path = tmp_path / "in.json"
    path.write_text(json.dumps(document))
    jobs = converted(path, tmp_path)
    assert (0, 1, {"data_set": "tile1", "size": 1}) in [
        (reads, min(writes, 1), options) for reads, writes, options in jobs["split"]
    ]
    assert jobs["notify"][0] == (5, 0, {"data_set": "log", "missing": "fill", "size": 5})
    assert jobs["notify"][-1] == (0, 5, {"data_set": "log", "size": 5, "write": "overwrite"})
    assert (0, 2 * G, {"data_set": "done1", "size": 2 * G, "write": "overwrite"}) in jobs["join"]
