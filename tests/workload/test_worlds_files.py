"""Files as the world has them: packed, of other generations, with traces, hostile ids, endless sizes."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import pandas as pd
import pytest
import yaml

import batfs
from batfs.cli.main import main
from batfs.errors import InputError
from batfs.report.run import read_run
from batfs.workload import parse_profile, read_workload
from batfs.workload.storalloc import read_system
from batfs.workload.traps import meant

HOST = '<host id="{}" speed="1Gf"/>\n'


def platform(master: str = "master_host", storages: str = "", nodes: int = 2) -> str:
    """A star of nodes, a master and storages, each over 100 MB/s."""
    names = [master, *(f"n{i}" for i in range(nodes))]
    hosts = "".join(HOST.format(name) for name in names) + storages
    ends = names + [part.partition('"')[0] for part in storages.split('<host id="')[1:]]
    links = "".join(f'<link id="l-{name}" bandwidth="100MBps" latency="0"/>\n' for name in ends)
    ways = "".join(f'<host_link id="{name}" up="l-{name}" down="l-{name}"/>\n' for name in ends)
    return (
        '<!DOCTYPE platform SYSTEM "https://simgrid.org/simgrid.dtd"><platform version="4.1">\n'
        f'<zone id="z" routing="Cluster">\n{hosts}{links}{ways}</zone></platform>\n'
    )


def storage(name: str, size: str | None = "1TB", system: str = "pfs") -> str:
    held = "" if size is None else f'<prop id="size" value="{size}"/>'
    return (
        f'<host id="{name}" speed="0"><prop id="role" value="storage"/>'
        f"<prop id='filesystem' value={quoteattr(system)}/>{held}</host>\n"
    )


def work(*jobs: dict[str, Any], **profiles: dict[str, Any]) -> str:
    rows = [{"id": str(i), "subtime": 0, "res": 1, "profile": "p", **job} for i, job in enumerate(jobs)]
    return json.dumps({"nb_res": 2, "jobs": rows, "profiles": profiles})


SLEEP = {"type": "delay", "delay": 10}
COMPUTE = {"type": "parallel_homogeneous", "cpu": 1e9, "com": 0}


@pytest.fixture
def files(tmp_path: Path) -> Any:
    def write(**texts: str | bytes) -> list[str]:
        paths = []
        for name, text in texts.items():
            path = tmp_path / name.replace("_", ".", 1)
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
            paths.append(str(path))
        return paths

    return write


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, lambda data: data])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_packed_and_marked_workloads(pack: Any, encoding: str, files: Any) -> None:
    (path,) = files(w_json=pack(work({"id": "ü"}, p=SLEEP).encode(encoding)))
    assert [job.name for job in read_workload(path).jobs] == ["ü"]


def test_old_generations_are_named_and_converted(files: Any, tmp_path: Path, capsys: Any) -> None:
    """Batsim 1's homogeneous task of 1e9 flops is Batsim 4's: 1 s on a node of 1 Gf."""
    p, old = files(
        p_xml=platform(storages=storage("pfs0")),
        old_json=work(
            {"profile": "a"},
            {"profile": "all"},
            {"profile": "to"},
            a={"type": "msg_par_hg", "cpu": 1e9, "com": 0},
            b={"type": "msg_par", "cpu": [1e9], "com": [0]},
            t={"type": "msg_par_hg_tot", "cpu": 1e9, "com": 0},
            all={"type": "composed", "nb": 3, "seq": ["a", "b", "t"]},
            to={"type": "msg_par_hg_pfs_tiers", "size": 1e8, "direction": "from_storage", "host": "LCST"},
        ),
    )
    new = tmp_path / "new.json"
    assert main(["run", "-p", p, "-w", old]) == 2
    told = capsys.readouterr().err
    assert "'msg_par_hg' is what Batsim 1 and 2 call 'parallel_homogeneous'" in told
    assert "batfs workload convert" in told
    assert main(["workload", "convert", old, "-o", str(new)]) == 0
    assert "renamed:       1  nb of a composed profile is repeat" in capsys.readouterr().out
    raw = json.loads(new.read_text())["profiles"]
    assert raw["all"] == {"type": "composed", "seq": ["a", "b", "t"], "repeat": 3}
    assert raw["to"]["bytes_to_read"] == 1e8
    assert "size" not in raw["to"]
    run = batfs.simulate(p, new)
    assert run.jobs.set_index("job_id")["execution_time"]["0"] == pytest.approx(1.0)
    assert run.jobs.set_index("job_id")["execution_time"]["1"] == pytest.approx(9.0)
    # what is Batsim 4's stays
    assert main(["workload", "convert", str(new), "-o", str(tmp_path / "same.json")]) == 0
    assert (tmp_path / "same.json").read_bytes() == new.read_bytes()


def test_batsim_5s_names() -> None:
    with pytest.raises(InputError, match="a profile of Batsim 5; call it 'composed'"):
        parse_profile({"type": "SequentialCompositionProfile", "seq": []})


def test_traps(files: Any, tmp_path: Path, capsys: Any) -> None:
    p, w = files(
        p_xml=platform(storages=storage("s0")),
        w_json=work(
            {"io_reads": 5, "profile": "fine"},
            {"dependencies": ["0"], "profile": "fine"},
            {"dependencies": [], "color": "red", "profile": "fine"},
            {"profile": "p"},
            p={**COMPUTE, "io_read": 10**10},
            q={**COMPUTE, "written_bytes": 5},
            fine={**COMPUTE, "io_reads": 5, "io_model": "x", "user": 3, "reads": 0},
        ),
    )
    assert main(["workload", "check", w, "-p", p]) == 1
    told = capsys.readouterr().out
    assert "warning profiles.p.io_read: not a member batfs knows; did you mean io_reads?" in told
    assert "warning job 0: io_reads in the job" in told
    assert "warning job 1: dependencies is not kept to" in told
    assert told.count("warning") == 3  # q is dropped, since no job uses it
    assert main(["run", "-p", p, "-w", w, "-e", str(tmp_path / "o")]) == 0
    assert "profiles.p.io_read: not a member batfs knows" in capsys.readouterr().err


def test_what_is_meant() -> None:
    """One letter off, other words for the same; nothing that is something else."""
    for word in ("io_read", "io_reds", "io_raeds", "ioReads", "read_bytes", "bytes_to_read", "IO_READS"):
        assert meant(word) == "io_reads"
    for word in ("io_write", "io_wrties", "write_bytes", "written_bytes", "bytes_written"):
        assert meant(word) == "io_writes"
    for word in ("io_reads", "io", "io_model", "user", "account", "files", "ratio", "stage", "write_ahead"):
        assert meant(word) is None


TRACED = {"p": {"type": "usage_trace", "trace": "t/list.txt"}}


@pytest.fixture
def traced(files: Any, tmp_path: Path) -> list[str]:
    """Two ranks that compute 1e9 and 2e9 flops: 2 s and the way of the last rank's message."""
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "list.txt").write_text("a.txt\nb.txt\n")
    (tmp_path / "t" / "a.txt").write_text("0 m_usage 1.0 1e9\n")
    (tmp_path / "t" / "b.txt").write_text("1 m_usage 1.0 2e9\n")
    return list(files(p_xml=platform(), w_json=work({"res": 2}, **TRACED)))


@pytest.mark.parametrize("resample", ["none", "shake"])
def test_traces_travel_through_compare(resample: str, traced: list[str], tmp_path: Path) -> None:
    found = batfs.compare(*traced, seeds=2, resample=resample, output=tmp_path / "c", jobs=1, progress=False)
    assert not found.failures
    assert found.runs["makespan"].tolist() == pytest.approx([2.0, 2.0], abs=1e-3)


def test_traces_are_cut_and_scaled(traced: list[str], tmp_path: Path, capsys: Any) -> None:
    p, w = traced
    (tmp_path / "else").mkdir()
    for verb, makespan in (("cut --first 1", 2.0), ("scale --runtime 3", 6.0), ("scale --io 2", 2.0)):
        for place in ("else/x.json", "x.json"):
            out = str(tmp_path / place)
            words = verb.split()
            assert main(["workload", words[0], w, *words[1:], "-o", out]) == 0
            run = batfs.simulate(p, out)
            assert run.jobs["finish_time"].max() == pytest.approx(makespan, abs=1e-3), (verb, place)
    assert (tmp_path / "t" / "a.txt").read_text() == "0 m_usage 1.0 1e9\n"
    assert main(["workload", "scale", w, "--runtime", "2"]) == 2
    assert "-o" in capsys.readouterr().err


def test_hostile_ids_are_read_back(files: Any, tmp_path: Path) -> None:
    ids = ["200_[1,3]", 'say "hi"', "two\nlines", "back\\slash", "a;b", "ü", " blank ", "cr\rhere"]
    p, w = files(
        p_xml=platform(storages=storage("s,0", system='the "big" one')),
        w_json=work(
            *({"id": name, "profile": 'p,"x"'} for name in ids),
            **{'p,"x"': {**COMPUTE, "io_reads": 10**6}},
        ),
    )
    out = tmp_path / "o"
    assert main(["run", "-q", "-p", p, "-w", w, "-e", str(out)]) == 0
    for table in ("jobs", "io_jobs"):
        found = pd.read_csv(f"{out}_{table}.csv", dtype=str, keep_default_na=False, lineterminator="\n")
        assert sorted(found["job_id"]) == sorted(ids)
    assert set(pd.read_csv(f"{out}_jobs.csv")["profile"]) == {'p,"x"'}
    assert set(pd.read_csv(f"{out}_io_jobs.csv")["file_system"]) == {'the "big" one'}
    assert set(pd.read_csv(f"{out}_storage_states.csv")["name"]) == {"s,0"}
    assert sorted(read_run(f"{out}_").jobs["job_id"]) == sorted(ids)
    assert main(["report", str(out), "--formats", "none"]) == 0
    found = batfs.compare(p, w, seeds=1, output=tmp_path / "c", jobs=1, progress=False)
    assert sorted(found.jobs["job"]) == sorted(f"w0!{name}" for name in ids)
    # every definition of the trace is one line of as many words as Paje wants
    lines = [
        line for line in Path(f"{out}_schedule.trace").read_text().splitlines() if line.startswith("4 j")
    ]
    assert len(lines) == len(ids)
    assert all(line.count('"') == 4 for line in lines)


def test_endless_sizes(files: Any, tmp_path: Path, capsys: Any) -> None:
    """Sums beyond 64 bits are floats; a size beyond them is one message."""
    p, w, big = files(
        p_xml=platform(storages="".join(storage(f"s{i}", "9EB") for i in range(8))),
        w_json=work({}, p={**COMPUTE, "io_reads": 10**6}),
        big_json=work({}, p={**COMPUTE, "io_reads": 1e19}),
    )
    assert main(["run", "-p", p, "-w", w, "-e", str(tmp_path / "o"), "--json"]) == 0
    (system,) = json.loads(capsys.readouterr().out)["file_systems"].values()
    assert system["capacity"] == pytest.approx(72e18)
    assert main(["report", str(tmp_path / "o"), "--json"]) == 0
    capsys.readouterr()
    assert main(["run", "-p", p, "-w", big]) == 2
    assert "profiles.p.io_reads: found 1e+19 bytes, expected at most 9.2 EB" in capsys.readouterr().err
    assert main(["workload", "scale", w, "--io", "1e30", "-o", str(tmp_path / "x.json")]) == 2
    assert "9.2 EB" in capsys.readouterr().err
    assert not (tmp_path / "x.json").exists()
    (wide,) = files(q_xml=platform(storages=storage("s0", "10EB")))
    for words in (["run", "-w", w], ["explain", "-w", w], ["check"]):
        place = ["-p", wide] if words != ["check"] else [wide]
        assert main([words[0], *place, *words[1:]]) == (1 if words == ["check"] else 2)
        both = capsys.readouterr()
        assert "9.2 EB" in both.out + both.err


def test_a_storage_needs_a_size_only_where_bytes_are_put(files: Any, tmp_path: Path, capsys: Any) -> None:
    p, plain, asks = files(
        p_xml=platform(storages=storage("s0", None, "vault") + storage("t0", "1TB", "scratch")),
        plain_json=work({}, p={**COMPUTE, "io": [{"filesystem": "scratch", "reads": 5}]}),
        asks_json=work({}, p={**COMPUTE, "io": [{"filesystem": "vault", "reads": 5}]}),
    )
    assert main(["run", "-q", "-p", p, "-w", plain, "-e", str(tmp_path / "o")]) == 0
    assert main(["report", str(tmp_path / "o"), "--formats", "none"]) == 0
    assert main(["explain", "-p", p, "-w", plain]) == 0
    capsys.readouterr()
    assert main(["run", "-p", p, "-w", asks]) == 2
    assert "'s0' has no size" in capsys.readouterr().err
    assert main(["explain", "-p", p, "-w", asks]) == 2
    assert "'s0' has no size" in capsys.readouterr().err


def test_machine_flags_everywhere(files: Any, tmp_path: Path, capsys: Any) -> None:
    """Another master, roles by flag, and fewer nodes, for every command that reads platforms."""
    text = platform("head", storage("s0"), nodes=4).replace('<prop id="role" value="storage"/>', "")
    p, w, events = files(
        p_xml=text.replace('id="s0" speed="0"', 'id="s0" speed="1Gf"'),
        w_json=work({"res": 2}, p={**COMPUTE, "io_reads": 10**6}),
        e_txt="",
    )
    flags = ["-m", "head", "-r", "s0:storage", "--mmax", "2"]
    out = ["-o", str(tmp_path / "c"), "--formats", "none", "-j", "1"]
    seeds = ["--policy", "random", "--seeds", "1"]
    commands = [
        ["run", "-p", p, "-w", w, "-e", str(tmp_path / "o"), "--events", events],
        ["compare", "-p", p, "-w", w, "--events", events, *seeds, *out],
        ["explain", "-p", p, "-w", w],
        ["gallery", "-p", p, "-w", w, "--model", "pfs=pfs", "-o", str(tmp_path / "g"), "--events", events],
        ["check", p],
        ["platform", "show", p],
        ["platform", "diff", p, p],
        ["workload", "check", w, "-p", p],
    ]
    for command in commands:
        assert main(command) != 0, command
        assert main([*command, *flags]) == 0, command
    values = {"master_host": "head", "add_role_to_hosts": "s0:storage", "mmax": 2, "events": events}
    assert len(batfs.simulate(p, w, **values).jobs) == 1
    plan = tmp_path / "plan.toml"
    plan.write_text(
        'platform = "p.xml"\nworkload = "w.json"\npolicy = "random"\nseeds = 1\nmaster_host = "head"\n'
        'add_role_to_hosts = "s0:storage"\nmmax = 2\nevents = ["e.txt"]\n'
    )
    capsys.readouterr()
    assert main(["compare", "--config", str(plan), *out]) == 0
    assert "1 runs are there already" not in capsys.readouterr().err
    # what no run could do is said before the first
    plan.write_text(plan.read_text().replace('"head"', '"nobody"'))
    assert main(["compare", "--config", str(plan), *out]) == 2
    assert "there is no host 'nobody'" in capsys.readouterr().err


@pytest.mark.parametrize(("text", "value"), [("1.5e9", 1.5e9), ("2E3", 2e3), ("1.5e+9", 1.5e9), ("7", 7)])
def test_numbers_in_yaml(text: str, value: float, tmp_path: Path) -> None:
    """StorAlloc's bandwidths are in GB/s; 1.5e9 is a text to YAML 1.1, and a number to everyone else."""
    assert isinstance(yaml.safe_load("1.5e9"), str)
    file = tmp_path / "s.yml"
    disk = f"{{capacity: {text}, read_bandwidth: 1, write_bandwidth: 1}}"
    file.write_text(f"\ufeffhosts:\n- {{hostname: h, network_bw: 1, disks: [{disk}]}}\n", encoding="utf-8")
    (host,) = read_system(file)
    assert host.disks[0].capacity == int(value * 10**9)
