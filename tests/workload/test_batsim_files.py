"""Reading Batsim's workload files: what is accepted, what is kept, what is refused and where."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batfs import json_text
from batfs.errors import InputError
from batfs.workload import (
    forwarded_job,
    job_to_json,
    parse_profile,
    parse_workload,
    profile_to_json,
    read_workload,
    requested_io,
    write_workload,
)
from batfs.workload.batsim import workload_lines
from batfs.workload.model import Parallel, UsageTrace

GOLDEN = Path(__file__).parents[2].parent / "shared" / "golden"
DELAY = {"type": "delay", "delay": 2}


def workload(jobs: list[Any], **profiles: Any) -> bytes:
    return json.dumps({"nb_res": 4, "jobs": jobs, "profiles": profiles or {"p": DELAY}}).encode()


def job(**members: Any) -> dict[str, Any]:
    return {"id": "1", "subtime": 0, "res": 1, "profile": "p"} | members


def same(a: Any, b: Any) -> bool:
    """Equal JSON, integers told from doubles."""
    return json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)


@pytest.mark.skipif(not GOLDEN.is_dir(), reason="the recorded cases of Batsim are not beside the project")
def test_every_recorded_workload_is_read_and_comes_back_as_it_was() -> None:
    read = 0
    for path in sorted(GOLDEN.glob("cases/*/workload*.json")):
        raw = json.loads(path.read_text())
        found = read_workload(path)
        by_id = {j.id: j for j in found.jobs}
        assert len(by_id) == len(raw["jobs"])
        for obj in raw["jobs"]:
            name = str(obj["id"])
            record = by_id[name if "w0" in name else f"w0!{name}"]
            assert same(job_to_json(record) | {"id": 0}, obj | {"id": 0})
        for name, profile in found.profiles.items():
            assert same(profile_to_json(profile), raw["profiles"][name]), (path, name)
        assert set(found.profiles) | set(found.removed_profiles) == set(raw["profiles"])
        read += 1
    assert read >= 100


@pytest.mark.skipif(not GOLDEN.is_dir(), reason="the recorded cases of Batsim are not beside the project")
def test_forwarded_objects_are_batsims() -> None:
    case = GOLDEN / "cases" / "066-ids-int-and-full"
    records = {j.id: forwarded_job(j) for j in read_workload(case / "workload.json").jobs}
    lines = [json.loads(line) for line in (case / "transcript.jsonl").read_text().splitlines()]
    sent = [
        event["data"]
        for line in lines
        for event in line.get("request", {}).get("events", ())
        if event["type"] == "JOB_SUBMITTED"
    ]
    assert len(sent) == 3
    for data in sent:
        assert same(records[data["job_id"]], data["job"])


@pytest.mark.skipif(not GOLDEN.is_dir(), reason="the recorded cases of Batsim are not beside the project")
@pytest.mark.parametrize(
    ("case", "place", "says"),
    [
        ("022-unknown-profile", "jobs[0].profile", "'nope'"),
        ("024-walltime-zero", "jobs[0].walltime", "found 0"),
        ("025-delay-zero", "profiles.z.delay", "found 0"),
        ("027-unknown-profile-type", "profiles.q.type", "'magic'"),
        ("028-composed-repeat-zero", "profiles.q.repeat", "found 0"),
        ("030-duplicate-job-id", "jobs[1].id", "'w0!0'"),
    ],
)
def test_recorded_errors_name_their_cause(case: str, place: str, says: str) -> None:
    path = GOLDEN / "errors" / case / "workload.json"
    with pytest.raises(InputError) as caught:
        read_workload(path)
    assert (caught.value.file, caught.value.place) == (str(path), place)
    assert says in caught.value.problem


BAD: list[tuple[str, bytes, str | None, str]] = [
    ("no object", b"[1]", None, "an array of 1"),
    ("no nb_res", b'{"jobs": [], "profiles": {}}', None, "'nb_res'"),
    ("nb_res of 0", b'{"nb_res": 0, "jobs": [], "profiles": {}}', "nb_res", "found 0"),
    ("res as a double", workload([job(res=4.0)]), "jobs[0].res", "found 4.0"),
    ("res true", workload([job(res=True)]), "jobs[0].res", "true"),
    ("res 0", workload([job(res=0)]), "jobs[0].res", "at least 1"),
    ("res missing", workload([{"id": "1", "subtime": 0, "profile": "p"}]), "jobs[0]", "'res'"),
    ("misspelt", workload([{"id": "1", "subtim": 0, "res": 1, "profile": "p"}]), "jobs[0]", "'subtime'"),
    ("no object as job", workload([job(id="0"), 3]), "jobs[1]", "found 3"),
    ("subtime text", workload([job(subtime="0")]), "jobs[0].subtime", "'0'"),
    ("subtime negative", workload([job(subtime=-1.5)]), "jobs[0].subtime", "-1.5"),
    ("walltime -2", workload([job(walltime=-2)]), "jobs[0].walltime", "-2"),
    ("walltime text", workload([job(walltime="1h")]), "jobs[0].walltime", "'1h'"),
    ("id null", workload([job(id=None)]), "jobs[0].id", "null"),
    ("id double", workload([job(id=1.5)]), "jobs[0].id", "1.5"),
    ("id of another workload", workload([job(id="w1!a")]), "jobs[0].id", "'!'"),
    ("id holds the workload's name", workload([job(id="new0w0")]), "jobs[0].id", "'w0!NAME'"),
    ("id with a longer workload", workload([job(id="aw0!b")]), "jobs[0].id", "'aw0'"),
    ("same id twice", workload([job(id=7), job(id="w0!7")]), "jobs[1].id", "jobs[0]"),
    ("profile a number", workload([job(profile=3)]), "jobs[0].profile", "found 3"),
    ("profile unlike", workload([job(profile="comput")], compute=DELAY), "jobs[0].profile", "'comput'"),
    ("type missing", workload([], p={}), "profiles.p", "'type'"),
    ("type a number", workload([], p={"type": 3}), "profiles.p.type", "found 3"),
    ("place of odd names", workload([], **{"a b": {"type": "delay"}}), "profiles['a b']", "'delay'"),
    ("ret below -2", workload([], p=DELAY | {"ret": -3}), "profiles.p.ret", "-3"),
    ("ret double", workload([], p=DELAY | {"ret": 1.0}), "profiles.p.ret", "1.0"),
    (
        "matrix size",
        workload([], p={"type": "parallel", "cpu": [1, 2], "com": [0, 1, 0]}),
        "profiles.p.com",
        "4",
    ),
    (
        "empty cpu",
        workload([], p={"type": "parallel", "cpu": [], "com": []}),
        "profiles.p.cpu",
        "at least one",
    ),
    (
        "negative byte",
        workload([], p={"type": "parallel", "cpu": [1], "com": [-1]}),
        "profiles.p.com[0]",
        "-1",
    ),
    (
        "null flop",
        workload([], p={"type": "parallel", "cpu": [None], "com": [1]}),
        "profiles.p.cpu[0]",
        "null",
    ),
    (
        "parallel for others",
        workload([job(res=3)], p={"type": "parallel", "cpu": [1, 1], "com": [0] * 4}),
        "jobs[0].res",
        "3 nodes",
    ),
    (
        "parallel for others, inside",
        workload(
            [job(res=3)],
            p={"type": "composed", "seq": ["q"]},
            q={"type": "parallel", "cpu": [1, 1], "com": [0] * 4},
        ),
        "jobs[0].res",
        "inside 'p'",
    ),
    (
        "two sizes in one",
        workload(
            [],
            p={"type": "composed", "seq": ["q", "r"]},
            q={"type": "parallel", "cpu": [1, 1], "com": [0] * 4},
            r={"type": "parallel", "cpu": [1], "com": [0]},
        ),
        "profiles.p.seq",
        "'r' for 1, 'q' for 2",
    ),
    (
        "cpu negative",
        workload([], p={"type": "parallel_homogeneous", "cpu": -1, "com": 0}),
        "profiles.p.cpu",
        "-1",
    ),
    (
        "pfs without bytes",
        workload([], p={"type": "parallel_homogeneous_pfs"}),
        "profiles.p",
        "bytes_to_read",
    ),
    (
        "pfs negative",
        workload([], p={"type": "parallel_homogeneous_pfs", "bytes_to_read": -5}),
        "profiles.p.bytes_to_read",
        "-5",
    ),
    ("staging", workload([], p={"type": "data_staging", "nb_bytes": 1, "from": "a"}), "profiles.p", "'to'"),
    ("empty seq", workload([], p={"type": "composed", "seq": []}), "profiles.p.seq", "non-empty"),
    ("unknown child", workload([], p={"type": "composed", "seq": ["q"]}), "profiles.p.seq[0]", "'q'"),
    (
        "a circle",
        workload([], p={"type": "composed", "seq": ["q"]}, q={"type": "composed", "seq": ["p"]}),
        "profiles.q.seq",
        "contains itself",
    ),
    ("send without msg", workload([], p={"type": "send"}), "profiles.p", "'msg'"),
    ("polltime 0", workload([], p={"type": "recv", "polltime": 0}), "profiles.p.polltime", "found 0"),
    ("no trace file", workload([], p={"type": "usage_trace", "trace": "t"}), "profiles.p.trace", "'t'"),
    ("cut short", b'{"nb_res": 4,\n "jobs": [', "line 2, column 11", "malformed JSON"),
    ("NaN", b'{"nb_res": 4, "jobs": [\n{"subtime": NaN}], "profiles": {}}', "line 2, column 13", "malformed"),
    ("infinite", b'{"nb_res": 1e999}', "line 1, column 12", "infinity"),
    ("not UTF-8", b'{"nb_res":\n "\xff"}', "line 2, column 3", "0xff"),
    ("empty", b"", "line 1, column 1", "empty"),
    (
        "profile twice",
        b'{"nb_res": 1, "jobs": [], "profiles": {"p": {"type": "delay", "delay": 1},'
        b' "p": {"type": "delay", "delay": 2}}}',
        "profiles",
        "'p' is given twice",
    ),
    ("jobs twice", b'{"nb_res": 1, "jobs": [], "jobs": [], "profiles": {}}', None, "'jobs' is given twice"),
]


@pytest.mark.parametrize(("text", "place", "says"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_bad_input_is_refused_with_its_place(text: bytes, place: str | None, says: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_workload(text)
    assert caught.value.place in (place, place or "")
    assert says in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere.json: cannot read the workload"):
        read_workload(tmp_path / "nowhere.json")


def test_hints_name_the_nearest_spelling() -> None:
    with pytest.raises(InputError, match="did you mean 'compute'"):
        parse_workload(workload([job(profile="comput")], compute=DELAY))
    with pytest.raises(InputError, match="did you mean 'parallel_homogeneous'"):
        parse_profile({"type": "parallel_homogenous", "cpu": 1, "com": 0})


def test_submission_order_is_by_time_then_full_id() -> None:
    jobs = [
        job(id="b", subtime=1),
        job(id="a10", subtime=0.5),
        job(id="a9", subtime=0.5),
        job(id="é", subtime=0.5),
    ]
    found = parse_workload(workload(jobs))
    assert [j.name for j in found.jobs] == ["a10", "a9", "é", "b"]


def test_unreferenced_profiles_go_but_are_checked_and_named() -> None:
    found = parse_workload(workload([job()], p=DELAY, q=DELAY, s={"type": "composed", "seq": ["c"]}, c=DELAY))
    assert list(found.profiles) == ["p", "c"]
    assert found.removed_profiles == ("q", "s")
    with pytest.raises(InputError, match=r"profiles\.q\.delay"):
        parse_workload(workload([job()], p=DELAY, q={"type": "delay", "delay": -1}))


def test_an_unknown_type_with_a_trace_is_a_usage_trace_as_in_batsim(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("rank0\n")
    path = tmp_path / "w.json"
    path.write_bytes(workload([job()], p={"type": "magic", "trace": "t"}))
    profile = read_workload(path).profiles["p"]
    assert isinstance(profile, UsageTrace)
    assert profile_to_json(profile) == {"type": "magic", "trace": "t"}


def test_a_workload_written_is_the_workload_read(tmp_path: Path) -> None:
    text = workload(
        [job(walltime=-1, user="bob"), job(id=2, subtime=0.1, walltime=3600, res=2, profile="m")],
        p=DELAY | {"note": "kept", "ret": 0},
        m={"type": "parallel", "cpu": [1.5, 2], "com": [0, 1e8, 7, 0]},
    )
    first = parse_workload(text)
    path = tmp_path / "w.json"
    write_workload(path, first)
    second = read_workload(path, "other")
    assert [j.id for j in second.jobs] == ["other!1", "other!2"]
    again = tmp_path / "again.json"
    write_workload(again, second)
    assert path.read_bytes() == again.read_bytes()
    raw = json.loads(path.read_text())
    assert same(raw["profiles"], json.loads(text)["profiles"])
    matrix = second.profiles["m"]
    assert isinstance(matrix, Parallel)
    assert np.array_equal(matrix.com, [[0, 1e8], [7, 0]])


numbers = st.one_of(st.integers(0, 2**53), st.floats(0, 1e300))
positive = st.one_of(st.integers(1, 2**53), st.floats(1e-9, 1e300))
labels = st.text(st.characters(codec="utf-8"), max_size=5)
unknown = st.dictionaries(st.sampled_from(["io_reads", "note", "x"]), st.one_of(numbers, labels), max_size=2)


def _object(kind: str, optional: dict[str, Any] | None = None, **required: Any) -> Any:
    members = st.fixed_dictionaries(
        {"type": st.just(kind), **required}, optional={**(optional or {}), "ret": st.integers(-2, 5)}
    )
    return st.tuples(members, unknown).map(lambda pair: pair[0] | pair[1])


matrices = st.integers(1, 4).flatmap(
    lambda n: _object(
        "parallel",
        cpu=st.lists(numbers, min_size=n, max_size=n),
        com=st.lists(numbers, min_size=n * n, max_size=n * n),
    )
)
pfs_bytes = st.one_of(st.just(0), st.just(0.0), numbers)
profiles = st.one_of(
    _object("delay", delay=positive),
    matrices,
    _object("parallel_homogeneous", cpu=numbers, com=numbers),
    _object("parallel_homogeneous_total", cpu=numbers, com=numbers),
    _object(
        "parallel_homogeneous_pfs",
        {"bytes_to_write": pfs_bytes, "storage": st.sampled_from(["pfs", "nfs"]), "host": labels},
        bytes_to_read=pfs_bytes,
    ),
    _object("data_staging", **{"nb_bytes": numbers, "from": labels, "to": labels}),
    _object("composed", {"repeat": st.integers(1, 3)}, seq=st.lists(labels, min_size=1, max_size=3)),
    _object("send", {"sleeptime": st.sampled_from([1e-7, 1, 0.5])}, msg=unknown),
    _object("recv", {"regex": st.sampled_from([".*", "a"]), "success": labels, "polltime": st.just(0.005)}),
    _object("usage_trace", trace=labels),
    _object("smpi", trace=labels),
)


@given(profiles)
def test_a_profile_comes_back_as_it_was_written(obj: dict[str, Any]) -> None:
    assert same(profile_to_json(parse_profile(obj)), obj)


def _io(**members: Any) -> Any:
    return requested_io(parse_profile(DELAY | members), "profiles.p")


def test_io_totals_and_lists() -> None:
    assert _io() == ()
    assert _io(io_reads=0, io_writes=0) == ()
    (total,) = _io(io_reads=8e8, io_writes=0.5)
    assert (total.filesystem, total.reads, total.writes) == (None, 800_000_000, 1)
    nfs, disk = _io(
        io_reads=8e8, io=[{"filesystem": "nfs", "reads": 8e8}, {"filesystem": "disk", "writes": 2}]
    )
    assert (nfs.filesystem, nfs.reads, disk.filesystem, disk.writes) == ("nfs", 800_000_000, "disk", 2)


@pytest.mark.parametrize(
    ("members", "place"),
    [
        ({"io_reads": -1}, "profiles.p.io_reads"),
        ({"io_writes": "8e8"}, "profiles.p.io_writes"),
        ({"io": {}}, "profiles.p.io"),
        ({"io": [{"reads": -1}]}, "profiles.p.io[0].reads"),
        ({"io": [{"read": 1}]}, "profiles.p.io[0]"),
        ({"io": [{"reads": 1, "files": 0}]}, "profiles.p.io[0].files"),
        ({"io": [{"reads": 1, "pattern": "odd"}]}, "profiles.p.io[0].pattern"),
        ({"io_reads": 2, "io": [{"reads": 1}]}, "profiles.p.io_reads"),
    ],
)
def test_bad_io_is_refused(members: dict[str, Any], place: str) -> None:
    with pytest.raises(InputError) as caught:
        _io(**members)
    assert caught.value.place == place


MANY = list(range(64))


@pytest.mark.parametrize(
    ("job", "profile"),
    [
        ({}, {"type": "parallel", "cpu": MANY[:8], "com": MANY}),
        ({}, {"type": "parallel", "cpu": MANY, "com": MANY * 64, "mine": 1}),
        ({}, {"type": "parallel", "cpu": MANY, "com": MANY}),  # too few
        ({}, {"type": "parallel", "com": MANY}),
        ({}, {"type": "parallel", "cpu": 1, "com": MANY}),
        ({}, {"type": "parallel", "cpu": MANY[:8], "com": MANY, "mine": MANY}),
        ({}, {"type": "parallel", "cpu": MANY[:8], "com": [*MANY, "1"]}),
        ({}, {"type": "parallel_homogeneous", "cpu": 1, "com": MANY}),
        ({}, {"type": "delay", "delay": 1, "com": MANY}),
        ({}, {"type": "paralel", "cpu": MANY, "com": MANY}),
        ({}, {"type": "ParallelTaskProfile", "cpu": MANY, "com": MANY * 64}),
        ({"com": MANY}, {"type": "delay", "delay": 1}),
        ({"res": MANY}, {"type": "delay", "delay": 1}),
    ],
)
def test_arrays_that_are_read_apart_are_as_all_others(
    job: dict[str, Any], profile: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu = profile.get("cpu")
    res = len(cpu) if isinstance(cpu, list) else 1
    jobs = [{"id": "1", "subtime": 0, "res": res, "profile": "p", **job}]
    text = json.dumps({"nb_res": 64, "jobs": jobs, "profiles": {"p": profile}})
    told = []
    for many in (64, 10**6):
        monkeypatch.setattr(json_text, "_MANY", many)
        try:
            told.append("".join(workload_lines(parse_workload(text.encode()))))
        except InputError as error:
            told.append(str(error))
    assert told[0] == told[1]
