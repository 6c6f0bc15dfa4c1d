"""Lines of output files: the compiled core's digits against Python's own formatting, and against itself
interpreted."""

from __future__ import annotations

import csv
import io
import math
import struct
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batfs._core import interpreted, sheets
from batfs.resource_sets import format_resources, parse_resources
from batfs.workload.model import Job

PLAIN: Any = interpreted("sheets")
BOTH = pytest.mark.parametrize("core", [sheets, PLAIN], ids=["as built", "interpreted"])

#: Any bits at all, and what lies in the middle between two sixth decimals or next to it.
NUMBERS = st.one_of(
    st.floats(allow_nan=False),
    st.floats(0, 1e9),
    st.integers(0, 2**40).map(lambda n: n / 2**7),
    st.integers(0, 10**15).map(lambda n: (n + 0.5) / 1e6),
    st.integers(0, 2**64 - 1).map(lambda bits: struct.unpack("d", struct.pack("Q", bits))[0]),
)
WHOLE = st.integers(-(2**63), 2**63 - 1)
IDS = st.sets(st.one_of(st.integers(0, 40), st.integers(0, 3000)), max_size=200)


@BOTH
@given(NUMBERS, WHOLE)
@example(0.0, 0)
@example(-0.0, 10**17)
@example(2.5e-6, 10**17 - 1)
@example(0.9999995, -1)
@example(99_999_999.999_999_5, 2**63 - 1)
@example(1e8, -(2**63))
@example(math.inf, 9)
@example(math.nan, 10)
def test_numbers_stand_as_python_writes_them(core: Any, number: float, whole: int) -> None:
    sheet = core.Sheet()
    sheet.storages(number, ["", ",7,ost,pfs,10,"], [(1, whole, 0, whole), (1, 0, 0, 0)])
    line = f"{number:.6f},7,ost,pfs,10,"
    assert sheet.take() == f"{line}{whole},0,{whole}\n{line}0,0,0\n"
    assert core.ids_text([whole, 0]) == f"{whole} 0"
    assert core.sizes_text({1: 0, 9: whole}) == f"1:0 9:{whole}"
    assert (core.ids_text([]), core.sizes_text({})) == ("", "")


@BOTH
def test_every_kind_of_line_by_hand(core: Any) -> None:
    sheet = core.Sheet()
    sheet.add_job(Job("w0!1", 1.5, 4, "p"), "COMPLETED_SUCCESSFULLY", 2.0, 4.0, "0-3", "said")
    sheet.add_job(Job("w0!2", 0.0, 1, "p", 10.0), "COMPLETED_FAILED", 0.0, 8.0, "0-3", "said")
    sheet.states(123456.7, 3, 1)
    sheet.trace(0.25, (0, 9, 10), "j1")
    assert sheet.take() == (
        "1,w0,p,1.500000,4,-1.000000,1,COMPLETED_SUCCESSFULLY,2.000000,4.000000,6.000000,0.500000,4.500000,"
        '1.125000,0-3,-1.000000,"said"\n'
        "2,w0,p,0.000000,1,10.000000,0,COMPLETED_FAILED,0.000000,8.000000,8.000000,0.000000,8.000000,"
        '1.000000,0-3,-1.000000,"said"\n'
        "123457,0,0,0,3,1\n"
        "7 0.250000 machine_state m0 j1\n7 0.250000 machine_state m9 j1\n7 0.250000 machine_state m10 j1\n"
    )
    assert sheet.take() == ""


@BOTH
@given(st.lists(st.text(), max_size=30))
def test_words_stand_as_they_are_however_many(core: Any, words: list[str]) -> None:
    sheet = core.Sheet()
    for word in words:
        sheet.add(word * 300)
    assert sheet.take() == "".join(words_of(word * 300) for word in words)


@BOTH
def test_half_a_character_is_escaped(core: Any) -> None:
    sheet = core.Sheet()
    sheet.add("caf\u00e9 \udc80")
    assert words_of(sheet.take()) == "caf\u00e9 \\udc80"


def words_of(text: str) -> str:
    """Text as it is in a file of ours."""
    return text.encode("utf-8", "backslashreplace").decode()


@BOTH
def test_totals_by_hand(core: Any) -> None:
    """Two jobs of 4 s and 8 s, submitted at 1 s and 2 s, started at 3 s and 2 s: they wait 2 and 0 s, stay 6
    and 8 s, 1.5 and 1 times as long as they run, and the last ends at 10 s."""
    totals = core.Totals()
    totals.add("COMPLETED_SUCCESSFULLY", 1.0, 3.0, 4.0)
    totals.add("COMPLETED_KILLED", 2.0, 2.0, 8.0)
    totals.rejected += 1
    assert (totals.success, totals.failed, totals.rejected, totals.makespan) == (1, 1, 1, 10.0)
    assert (totals.waiting, totals.turnaround, totals.slowdown) == (2.0, 14.0, 2.5)
    assert (totals.max_waiting, totals.max_turnaround, totals.max_slowdown) == (2.0, 8.0, 1.5)


NAME = st.text('ab1 ,"\n\ré_', min_size=1)


@BOTH
@given(NAME, NAME, NAME, st.one_of(st.none(), st.floats(0, 1e9)), st.booleans())
def test_a_job_stands_in_its_file_as_the_csv_module_writes_it(
    core: Any, workload: str, name: str, profile: str, walltime: float | None, rejected: bool
) -> None:
    job = SimpleNamespace(
        id=f"{workload}!{name}", submission_time=1.5, requested_nodes=4, profile=profile, walltime=walltime
    )
    sheet, out = core.Sheet(), io.StringIO()
    state = "REJECTED" if rejected else "COMPLETED_FAILED"
    sheet.add_job(job, state, 2.0, 4.0, "0-3 5", "said")
    csv.writer(out).writerow([name, workload, profile])
    limit = f"{-1.0 if walltime is None else walltime:.6f}"
    moments = "2.000000,4.000000,6.000000,0.500000,4.500000,1.125000,0-3 5,-1.000000"
    assert sheet.take() == (
        f'{out.getvalue()[:-2]},1.500000,4,{limit},0,{state},{",,,,,,," if rejected else moments},"said"\n'
    )


@BOTH
def test_a_job_begins_in_the_trace(core: Any) -> None:
    sheet = core.Sheet()
    sheet.started(0.25, (0, 9, 10), "j1", "w0!1", "0.1 0.2 0.3")
    sheet.trace(2.0, (), "w")
    assert sheet.take() == (
        '4 j1 machine_state "w0!1" "0.1 0.2 0.3"\n'
        "7 0.250000 machine_state m0 j1\n7 0.250000 machine_state m9 j1\n7 0.250000 machine_state m10 j1\n"
    )


@BOTH
@given(IDS)
def test_text_is_read_back_and_has_no_run_in_two(core: Any, ids: set[int]) -> None:
    text = core.text_of(sorted(ids))
    assert text == format_resources(ids)
    assert (set(parse_resources(text)) if ids else set()) == ids
    ends = [int(token.rpartition("-")[2]) for token in text.split()]
    begins = [int(token.partition("-")[0]) for token in text.split()]
    assert all(begin > end + 1 for end, begin in zip(ends, begins[1:], strict=False))


@BOTH
@pytest.mark.parametrize(
    ("ids", "text"),
    [((), ""), ((7,), "7"), ((0, 1), "0-1"), ((0, 2, 3, 4, 9), "0 2-4 9"), (tuple(range(5000)), "0-4999")],
)
def test_texts_by_hand(core: Any, ids: tuple[int, ...], text: str) -> None:
    assert core.text_of(ids) == core.text_of(list(ids)) == text


def plan(system: str, on: tuple[int, ...] = (7,), **more: Any) -> Any:
    placements = [SimpleNamespace(storage=storage) for storage in on]
    found = {"internal": (), "needs_dynamic_jobs": False, **more}
    return SimpleNamespace(file_system=system, placements=placements, **found)


class Asked(SimpleNamespace):
    """A volume."""


def over(core: Any, name: str, volumes: Any, ids: Any, waits: Any, **more: Any) -> Any:
    """A job that is over and has moved its bytes, unless ``more`` says otherwise."""
    plans = () if more.pop("rejected", False) else tuple(plan(volume.filesystem) for volume in volumes)
    plans = more.pop("plans", plans)
    found = {"moved": True, "waits_known": True, "reason": "", "io_ids": (), "hold": None, **more}
    return core.Ended(SimpleNamespace(id=name), volumes, plans, ids, waits=waits, **found)


@BOTH
def test_lines_of_bytes_on_one_storage(core: Any) -> None:
    sheet, end = core.Sheet(), (("nodes", "storage", "staging"), ("storage", "staging"))

    def add(name: str, reads: int, writes: int, alone: float | None, *rest: Any, **more: Any) -> None:
        volumes = (Asked(filesystem="pfs", reads=reads, writes=writes),)
        assert sheet.io_job(over(core, name, volumes, *rest, io=even(7), **more), alone, *end, Asked)

    add("w!1", 5, 0, 1.5, (0, 1), {}, io_ids=[0, 1, 7])
    waits = {("nodes", ""): 2.0, ("storage", "pfs"): 0.25, ("staging", "a"): 0.5, ("nodes", "x"): 1.0}
    add('w,x!a"b', 0, 3, None, (0,), waits, io_ids=(7,), reason="no, room")
    for ids in ((), (0,)):  # a reason that isn't the lack of space is told only of who was rejected
        kept = {("nodes", ""): 1.0}
        add("w!2", 1, 1, None, ids, kept, io_ids=(7,), reason="never", waits_known=False)
    assert sheet.take() == (
        "1,w,pfs,7,5,0,7:5,,0,0,0-1 7,0.000000,,0-1,1.500000,0.000000,0.000000,0.000000\n"
        '"a""b","w,x",pfs,7,0,3,,7:3,0,0,7,0.750000,"no, room",0,,3.000000,0.250000,0.500000\n'
        "2,w,pfs,7,1,1,7:1,7:1,0,0,7,0.000000,never,,,,,\n"
        "2,w,pfs,7,1,1,7:1,7:1,0,0,7,0.000000,,0,,,,\n"
    )


def even(*storages: int) -> Any:
    """A profile of bytes between nodes and these storages, evenly."""
    return SimpleNamespace(even=SimpleNamespace(storages=storages))


@BOTH
@pytest.mark.parametrize(
    "more",
    [
        {"io": None},  # in steps of its own
        {"io": SimpleNamespace(even=None)},
        {"io": even(7, 8)},
        {"io": even(8)},
        {"moved": False},
        {"plans": (plan("pfs"), plan("pfs"))},
        {"plans": (plan("pfs", (7, 8)),)},
        {"plans": (plan("pfs", ()),)},
        {"plans": (plan("pfs", internal=("a",)),)},
        {"plans": (plan("pfs", needs_dynamic_jobs=True),)},
        {"volumes": (SimpleNamespace(filesystem="pfs", reads=1, writes=1),)},
    ],
)
def test_other_jobs_have_other_lines(core: Any, more: dict[str, Any]) -> None:
    sheet = core.Sheet()
    found = {"volumes": (Asked(filesystem="pfs", reads=1, writes=1),), "io": even(7), **more}
    job = over(core, "w!1", found.pop("volumes"), (0,), {}, **found)
    assert not sheet.io_job(job, None, (), (), Asked)
    assert (sheet.take(), sheet.lines) == ("", 0)


@BOTH
def test_sums_by_hand(core: Any) -> None:
    """A job that waited for space on one of its two file systems; one that was killed in its second phase of
    three; one whose bytes weren't moved; one that was rejected; and one without volumes that waited."""
    sums = core.StorageSums(("storage", "staging"), Asked, lambda volume: ("phase", volume.times))
    sums.filesystems.update(a=core.FileSystemSums(), b=core.FileSystemSums())
    a, b = (Asked(filesystem=name, reads=2**62, writes=1) for name in "ab")
    waits = {("storage", "a"): 1.0, ("staging", "a"): 2.0, ("nodes", ""): 4.0}
    sums.job_over(over(core, "1", (a, b, a), (0,), waits))
    phase = SimpleNamespace(filesystem="b", reads=10, writes=5, times=3)
    sums.job_over(over(core, "2", (phase, phase), (1,), {}, state="COMPLETED_KILLED", io_times="theirs"))
    sums.job_over(over(core, "3", (b,), (1,), {("nodes", ""): 8.0}, moved=False))
    sums.job_over(over(core, "4", (b,), (), waits, rejected=True, reason="never"))
    sums.waiter_over(over(core, "5", (), (2,), {("nodes", ""): 16.0}))
    found = {
        name: (f.read_bytes, f.written_bytes, f.jobs, f.jobs_that_waited, f.waiting_time)
        for name, f in sums.filesystems.items()
    }
    assert found == {"a": (2**63, 2, 1, 1, 3.0), "b": (2**62 + 60, 31, 3, 0, 0.0)}
    assert (sums.cut_jobs, sums.cut_bytes, sums.io_times) == (1, 90, ["theirs"])
    assert sums.rejections == [("4", "never")]
    assert {key: (wait.jobs, wait.seconds) for key, wait in sums.waits.items()} == {
        ("storage", "a"): (1, 1.0),
        ("staging", "a"): (1, 2.0),
        ("nodes", ""): (3, 28.0),
    }
