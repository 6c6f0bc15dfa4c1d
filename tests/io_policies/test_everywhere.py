"""I/O policies in every way in which batfs runs, and the default that costs nothing."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest
from applications import GB, MB, PFS, once, periodic, run, spans
from fs_tiny import free_port, over_sockets, simulate_tiny, write_inputs
from test_proxy import behind_proxy

from batfs.cli.main import main
from batfs.scheduling import loads, tenancy
from batfs.scheduling.io_policies import fair, known_io_policies, make_io_policy

ROOT = Path(__file__).parents[2]


def jobs() -> list[dict[str, Any]]:
    return [periodic("a", 3, 2, 300 * MB), once("b", 1, reads=200 * MB, writes=GB), periodic("c", 2, 3, GB)]


@pytest.mark.parametrize("policy", known_io_policies())
def test_fair_by_default_makes_nothing_and_asks_nobody(
    policy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the setting there is no gate, no policy is asked and no transfer measured: the decisions are
    the same, one by one, with the gate in between (``--measure-io``). Any other policy is asked."""
    if policy in ("cap", "tbf"):
        pytest.skip("needs options")
    asked: list[str] = []
    measure = loads.Loads.of
    monkeypatch.setattr(loads.Loads, "of", lambda self, profile: asked.append("of") or measure(self, profile))
    gates: list[object] = []
    make = tenancy.make_gate
    monkeypatch.setattr(
        tenancy, "make_gate", lambda *given, **more: gates.append(make(*given, **more)) or gates[-1]
    )
    monkeypatch.setattr(fair.Fair, "schedule", lambda self, view: pytest.fail("fair was asked"))
    plain = simulate_tiny(tmp_path, 3, {"pfs": PFS}, jobs(), dynamic=True)
    assert (gates, asked) == ([None], [])
    ran = run(tmp_path, policy, jobs())
    assert asked
    told = [re.sub(r"0x[0-9a-f]+", "", repr(one.sent)) for one in (ran, plain)]  # of arrays, where they lie
    assert (told[0] == told[1]) is (policy == "fair")


def test_over_sockets_as_in_one_process(tmp_path: Path) -> None:
    here = run(tmp_path, "exclusive:chunk=400MB", jobs(), nodes=3)
    files = write_inputs(tmp_path, 3, {"pfs": PFS}, jobs())
    where = f"tcp://127.0.0.1:{free_port()}"
    command = ["batfs.decision.command", "-s", where, "--io-policy", "exclusive:chunk=400MB"]
    (tmp_path / "batfs.toml").write_text(f'platform = "{files[0]}"\nvalidate = true\n')
    command += ["--config", str(tmp_path / "batfs.toml"), "-e", str(tmp_path / "sched")]
    got = over_sockets(tmp_path, files, where, command, "--enable-dynamic-jobs")
    assert got.keys() == here.jobs.keys()
    for name, result in here.jobs.items():
        if not result.rejected:
            assert float(got[name]["starting_time"]) == pytest.approx(result.start, abs=1e-5)
            assert float(got[name]["finish_time"]) == pytest.approx(result.end, abs=1e-5)


def test_behind_the_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scheduler that knows nothing of storage: a's and b's writes one after the other."""
    monkeypatch.chdir(tmp_path)
    two = [once("1", 1, writes=GB), once("2", 1.5, writes=GB)]
    config = {"io_policy": "exclusive"}
    ran = simulate_tiny(
        *(tmp_path, 2, {"pfs": PFS}, two, config),
        dynamic=True,
        control="1ms",
        process=behind_proxy("schedFcfs"),
    )
    found = spans(ran)
    assert found["1.write"] == pytest.approx((1, 11), abs=0.1)
    assert found["2.write"] == pytest.approx((11, 21), abs=0.1)


def test_with_batsim_5(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``batfs run --protocol 5`` starts and ends every piece when Batsim 4's does."""
    monkeypatch.chdir(tmp_path)
    platform, workload = write_inputs(tmp_path, 3, {"pfs": PFS}, jobs())
    command = ["run", "-q", "-p", str(platform), "-w", str(workload), "--enable-dynamic-jobs"]
    command += ["--io-policy", "set10", "--validate"]
    assert main([*command, "-e", "out/four"]) == 0
    assert main([*command, "-e", "out/five", "--protocol", "5"]) == 0
    four, five = (
        json.loads(Path(f"out/{n}_provenance.json").read_text())["results"] for n in ("four", "five")
    )
    assert four["makespan"] == pytest.approx(five["makespan"], abs=1e-3)
    assert four["io"]["stretch"] == pytest.approx(five["io"]["stretch"], abs=1e-3)
    assert four["io"]["stretch"]["max"] > 1.3


def test_results_say_what_io_costs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two applications of 1 s of work and 10 s of writing: the second waits 10 s, so it takes 21 s instead of
    11; 2 of 32 node-seconds are work. No byte that could move lies idle."""
    monkeypatch.chdir(tmp_path)
    two = [once("a", 1, writes=GB), once("b", 1, writes=GB)]
    platform, workload = write_inputs(tmp_path, 2, {"pfs": PFS}, two)
    command = ["run", "-q", "-p", str(platform), "-w", str(workload), "--enable-dynamic-jobs"]
    assert main([*command, "--io-policy", "exclusive", "-e", "x"]) == 0
    found = json.loads(Path("x_provenance.json").read_text())["results"]
    assert found["io_policy"] == "exclusive"
    io = found["io"]
    assert io["stretch"]["max"] == pytest.approx(21 / 11, abs=1e-3)
    assert io["stretch"]["mean"] == pytest.approx((1 + 21 / 11) / 2, abs=1e-3)
    assert io["io_slowdown"]["max"] == pytest.approx(2, abs=1e-3)
    assert io["system_efficiency"] == pytest.approx(2 / 32, abs=1e-3)
    assert io["held"]["max"] == pytest.approx(10, abs=1e-3)
    assert io["idle_bytes"] == pytest.approx(0, abs=1e3)
    with Path("x_io_times.csv").open(newline="") as stream:
        rows = {row["job_id"]: row for row in csv.DictReader(stream)}
    assert float(rows["b"]["stretch"]) == pytest.approx(21 / 11, abs=1e-3)
    assert float(rows["b"]["held"]) == pytest.approx(10, abs=1e-3)


def test_idle_bandwidth_is_counted(tmp_path: Path) -> None:
    """tbf holds 800 of 1000 MB while nothing moves: four times 18 s at 100 MB/s."""
    ran = run(tmp_path, "tbf:rate=10MBps,burst=200MB", [once("a", 1, writes=GB)])
    assert ran.idle.unused == pytest.approx(4 * 18 * 100 * MB, rel=1e-4)
    assert ran.idle.offered == pytest.approx(4 * 18 * 100 * MB, rel=1e-4)


def test_without_dynamic_jobs_it_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    platform, workload = write_inputs(tmp_path, 2, {"pfs": PFS}, [once("a", 1)])
    command = ["run", "-q", "-p", str(platform), "-w", str(workload), "-e", str(tmp_path / "x")]
    assert main([*command, "--io-policy", "set10"]) == 2
    assert "--enable-dynamic-jobs" in capsys.readouterr().err
    assert not list(tmp_path.glob("x*"))


def test_rates_need_throttles(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    platform, workload = write_inputs(tmp_path, 2, {"pfs": PFS}, [once("a", 1)])
    command = ["run", "-q", "-p", str(platform), "-w", str(workload), "-e", str(tmp_path / "x")]
    assert main([*command, "--enable-dynamic-jobs", "--io-policy", "cap:rate=1MBps"]) == 2
    assert "batfs platform add-throttles" in capsys.readouterr().err


@pytest.mark.parametrize(
    "word, told",
    [
        ("exclusiv", "did you mean 'exclusive'"),
        ("cap", "needs rate"),
        ("cap:rate=0", "expected more"),
        ("tbf:rate=1MBps,burst=1MB,by=group", "job, user"),
        ("priority:of=node", "io_priority, nodes, started"),
        ("set10:most=0", "at least 1"),
        ("mine.py:Nobody", "no such file"),
    ],
)
def test_wrong_names_and_options(
    word: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    platform, workload = write_inputs(tmp_path, 2, {"pfs": PFS}, [once("a", 1)])
    command = [
        "run",
        "-p",
        str(platform),
        "-w",
        str(workload),
        "-e",
        str(tmp_path / "x"),
        "--io-policy",
        word,
    ]
    assert main([*command, "--enable-dynamic-jobs"]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert "Traceback" not in error


PLUGINS = '''
from batfs.scheduling.io_policies.interface import IoPass, Start

class Last:
    """The one that came last."""
    name = "last"
    def schedule(self, view):
        return IoPass([Start(view.waiting[-1])] if not view.moving else [])

class Holds:
    name = "holds"
    def schedule(self, view):
        return IoPass()

class Twice:
    name = "twice"
    def schedule(self, view):
        return IoPass([Start(view.waiting[0]), Start(view.waiting[0])])

class Light:
    name = "light"
    def schedule(self, view):
        return IoPass([Start(t, weight=0) for t in view.waiting])

class Slow:
    name = "slow"
    def schedule(self, view):
        return IoPass([Start(t, rate=-1.0) for t in view.waiting])

class Raises:
    name = "raises"
    def schedule(self, view):
        return 1 / 0

class Nothing:
    name = "nothing"
    def schedule(self, view):
        return None

class Without:
    name = "without"
'''


def test_a_policy_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(PLUGINS)
    three = [once(name, 1 + k / 10, writes=GB) for k, name in enumerate("abc")]
    ran = run(tmp_path, f"{tmp_path}/mine.py:Last", three)
    assert spans(ran) == {"a.write": (1, 11), "c.write": (11, 21), "b.write": (21, 31)}


@pytest.mark.parametrize(
    "name, told",
    [
        ("Holds", "holds 1 transfers while nothing moves"),
        ("Twice", "starts what doesn't wait"),
        ("Light", "at least 1"),
        ("Slow", "-1.0 bytes/s"),
        ("Raises", "ZeroDivisionError"),
        ("Nothing", "answered None"),
        ("Without", "no method schedule"),
    ],
)
def test_a_policy_that_does_what_it_may_not(
    name: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.py").write_text(PLUGINS)
    platform, workload = write_inputs(tmp_path, 2, {"pfs": PFS}, [once("a", 1, writes=GB)])
    command = ["run", "-p", str(platform), "-w", str(workload), "-e", str(tmp_path / "x"), "-q"]
    assert main([*command, "--enable-dynamic-jobs", "--io-policy", f"{tmp_path}/mine.py:{name}"]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert "Traceback" not in error


def test_known_policies_say_their_names() -> None:
    options = {"cap": "cap:rate=1MBps", "tbf": "tbf:rate=1MBps,burst=1MB"}
    for name in known_io_policies():
        policy = make_io_policy(options.get(name, name))
        assert policy.name == name
        assert type(policy).__doc__
