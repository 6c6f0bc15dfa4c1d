"""``batfs run --what-if`` says what a run on the larger machine says."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest

from batfs.cli.main import main
from batfs.decision.experiment import Experiment, load
from batfs.platform import load_platform
from batfs.scheduling.config import Configuration

ROOT = Path(__file__).parents[2]
PLATFORM = ROOT / "platforms" / "taurus_storage.xml"
GB = 10**9


@pytest.fixture(scope="module")
def workload(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve jobs of one node that each fill most of a burst buffer: two at a time, though nodes are idle."""
    file = tmp_path_factory.mktemp("w") / "w.json"
    io = [{"filesystem": "bb", "reads": 10 * GB, "writes": 140 * GB}]
    profile = {"type": "parallel_homogeneous", "cpu": 10**10, "com": 0, "io": io}
    jobs = [{"id": str(k), "subtime": k, "res": 1, "profile": "p"} for k in range(12)]
    file.write_text(json.dumps({"nb_res": 16, "jobs": jobs, "profiles": {"p": profile}}))
    return file


def run(capsys: Any, workload: Path, folder: Path, *more: str, platform: Path = PLATFORM) -> dict[str, Any]:
    capsys.readouterr()
    words = ["run", "-p", str(platform), "-w", str(workload), "-e", str(folder / "x"), "--json"]
    assert main([*words, "--policy", "worst_fit", *more]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def agrees(outcome: dict[str, Any], before: dict[str, Any], real: dict[str, Any]) -> None:
    for name in ("waiting_time", "turnaround_time", "bounded_slowdown"):
        assert outcome[f"mean_{name}"]["with"] == pytest.approx(real[name]["mean"], rel=1e-12)
        difference = real[name]["mean"] - before[name]["mean"]
        assert outcome[f"mean_{name}"]["difference"] == pytest.approx(difference, abs=1e-9)
    assert outcome["makespan"]["with"] == pytest.approx(real["makespan"], rel=1e-12)


@pytest.mark.parametrize(
    "what, size", [("bb=x3", "600GB"), ("bb=1.2TB", "600GB"), ("storage=unlimited", "900TB")]
)
def test_larger_storage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], workload: Path, what: str, size: str
) -> None:
    """Against a real run on a platform file with larger burst buffers (200 GB each in the file)."""
    text = PLATFORM.read_text()
    assert text.count('value="200GB"') == 2
    larger = tmp_path / "larger.xml"
    larger.write_text(text.replace('value="200GB"', f'value="{size}"'))
    found = run(capsys, workload, tmp_path, "--what-if", what)
    real = run(capsys, workload, tmp_path, platform=larger)
    [outcome] = found["what_if"]
    assert outcome["what_if"] == what
    agrees(outcome, found, real)
    assert outcome["mean_waiting_time"]["difference"] < -10
    if what == "storage=unlimited":
        assert outcome["mean_waiting_time"]["with"] == pytest.approx(0, abs=1e-6)


def test_faster_storage(tmp_path: Path, capsys: pytest.CaptureFixture[str], workload: Path) -> None:
    """Against a real run on a file in which every link named after a storage, its server's cable included,
    and every bandwidth that a storage says, is twice as fast."""
    slow = tmp_path / "nfs.json"
    slow.write_text(workload.read_text().replace('"bb"', '"nfs"'))  # slower than a node's link

    def twice(match: re.Match[str]) -> str:
        return f"{match[1]}{2 * float(match[2]):g}{match[3]}"

    text = PLATFORM.read_text()
    storages = re.findall(r'<host id="([^"]*)" speed="0f"', text)
    servers = {"nfs_server", *(f"oss-{k}" for k in range(1, 5))}
    servers |= {f"{kind}-node-{k}" for kind in ("bb", "nvme") for k in (1, 2)}
    for name in storages:
        text = re.sub(rf'(<link id="{name}_(?:read|write)" bandwidth=")([\d.]+)([a-zA-Z]+")', twice, text)
    for name in servers:
        text = re.sub(rf'(<link id="{name}_cable" bandwidth=")([\d.]+)([a-zA-Z]+")', twice, text)
    text = re.sub(r'(<prop id="(?:read|write)_bandwidth" value=")([\d.]+)([a-zA-Z]+")', twice, text)
    larger = tmp_path / "faster.xml"
    larger.write_text(text)
    before = read_links(PLATFORM)
    assert {new / before[name] for name, new in read_links(larger).items()} == {1.0, 2.0}
    for policy in ("worst_fit", "least_loaded"):
        found = run(capsys, slow, tmp_path, "--what-if", "bandwidth=x2", "--policy", policy)
        real = run(capsys, slow, tmp_path, "--policy", policy, platform=larger)
        agrees(found["what_if"][0], found, real)
        assert found["what_if"][0]["mean_turnaround_time"]["difference"] < 0


def read_links(platform: Path) -> dict[str, float]:
    return {link.name: link.bandwidth for link in load_platform(platform).links}


def crowd(seed: int, nodes: int, systems: tuple[str, ...]) -> dict[str, Any]:
    """More jobs than so many nodes can run at once; some write to these file systems."""
    draw = random.Random(seed)
    jobs, profiles = [], {}
    for k in range(40):
        io = [
            {"filesystem": name, "reads": draw.randint(0, 9) * GB, "writes": draw.randint(0, 9) * GB}
            for name in systems
            if draw.random() < 0.6
        ]
        io = [entry for entry in io if entry["reads"] or entry["writes"]]
        cpu = draw.randint(1, 90) * 10**9
        profile = {"type": "parallel_homogeneous", "cpu": cpu, "com": draw.randint(0, 10**8)}
        profiles[f"p{k}"] = profile | ({"io": io} if io else {})
        job = {"id": str(k), "subtime": draw.randint(0, 60), "res": draw.randint(1, nodes)}
        jobs.append(job | {"profile": f"p{k}", "walltime": 9000})
    return {"nb_res": nodes, "jobs": sorted(jobs, key=lambda j: j["subtime"]), "profiles": profiles}


def full(n: int) -> str:
    """Every two nodes are joined by their own links over a switch, and all reach a storage."""
    hosts = "".join(f'<host id="n{k:02d}" speed="1Gf"/>' for k in range(n))
    links = "".join(f'<link id="l{k:02d}" bandwidth="1GBps" latency="10us"/>' for k in range(n))
    routes = "".join(
        f'<route src="n{a:02d}" dst="n{b:02d}"><link_ctn id="l{a:02d}"/><link_ctn id="sw"/>'
        f'<link_ctn id="l{b:02d}"/></route>'
        for a in range(n)
        for b in range(a + 1, n)
    )
    ways = "".join(
        f'<route src="n{k:02d}" dst="{end}"><link_ctn id="l{k:02d}"/><link_ctn id="{end}"/></route>'
        for k in range(n)
        for end in ("fs", "master_host")
    )
    return (
        '<?xml version="1.0"?><!DOCTYPE platform SYSTEM "https://simgrid.org/simgrid.dtd">'
        f'<platform version="4.1"><zone id="z" routing="Full">{hosts}'
        '<host id="fs" speed="0f"><prop id="role" value="storage"/><prop id="size" value="40GB"/></host>'
        f'<host id="master_host" speed="1Gf"/>{links}<link id="sw" bandwidth="9GBps" latency="1us"/>'
        '<link id="fs" bandwidth="2GBps" latency="1us"/>'
        '<link id="master_host" bandwidth="1GBps" latency="1us"/>'
        f'<route src="fs" dst="master_host"><link_ctn id="fs"/></route>{routes}{ways}</zone></platform>'
    )


def clustered(n: int, *, cabinet: bool = False) -> str:
    """One element makes all nodes; the storage and the master are in a zone beside them."""
    if cabinet:
        nodes = (
            '<zone id="c" routing="Cluster"><backbone id="bb" bandwidth="4GBps" latency="1us"/>'
            f'<cabinet id="cab" prefix="n" suffix="" radical="0-{n - 1}" speed="1Gf" bw="1GBps" lat="1us"/>'
            '<router id="r"/></zone>'
        )
    else:
        nodes = (
            f'<cluster id="c" prefix="n" suffix="" radical="0-{n - 1}" speed="1Gf" bw="1GBps" lat="1us" '
            'bb_bw="4GBps" bb_lat="1us" router_id="r"/>'
        )
    return (
        '<?xml version="1.0"?><!DOCTYPE platform SYSTEM "https://simgrid.org/simgrid.dtd">'
        f'<platform version="4.1"><zone id="z" routing="Full">{nodes}'
        '<zone id="s" routing="Full"><host id="fs" speed="0f"><prop id="role" value="storage"/>'
        '<prop id="size" value="40GB"/></host><host id="master_host" speed="1Gf"/><router id="rs"/>'
        '<link id="l" bandwidth="2GBps" latency="1us"/>'
        '<route src="fs" dst="rs"><link_ctn id="l"/></route>'
        '<route src="master_host" dst="rs"><link_ctn id="l"/></route>'
        '<route src="fs" dst="master_host"><link_ctn id="l"/></route></zone>'
        '<link id="wan" bandwidth="3GBps" latency="1us"/>'
        '<zoneRoute src="c" dst="s" gw_src="r" gw_dst="rs"><link_ctn id="wan"/></zoneRoute></zone></platform>'
    )


def made(n: int, *more: str) -> Any:
    def make(folder: Path) -> Path:
        file = folder / f"{n}.xml"
        words = ["platform", "new", "taurus_storage", "--nodes", str(n), "-o", str(file), *more]
        assert main(words) == 0
        return file

    return make


def written(text: str) -> Any:
    def write(folder: Path) -> Path:
        file = folder / f"{len(list(folder.iterdir()))}.xml"
        file.write_text(text)
        return file

    return write


@pytest.mark.parametrize(
    "small, large, what, nodes, systems",
    [
        (made(10), made(20), "nodes=x2", 20, ("bb", "disk", "lustre")),
        (made(10), made(13), "nodes=13", 13, ("bb", "disk")),
        (made(12, "--racks", "1"), made(30, "--racks", "1"), "nodes=x2.5", 30, ("nfs", "nvme")),
        (written(full(4)), written(full(9)), "nodes=9", 9, ("storage",)),
        (written(clustered(4)), written(clustered(8)), "nodes=x2", 8, ("storage",)),
        (
            written(clustered(4, cabinet=True)),
            written(clustered(12, cabinet=True)),
            "nodes=x3",
            12,
            ("storage",),
        ),
    ],
)
def test_more_nodes(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    small: Any,
    large: Any,
    what: str,
    nodes: int,
    systems: tuple[str, ...],
) -> None:
    """Against a real run on the larger platform, made by its generator or by hand."""
    smaller, larger = small(tmp_path), large(tmp_path)
    workload = tmp_path / "w.json"
    for seed, queue in enumerate(("fcfs", "easy")):
        workload.write_text(json.dumps(crowd(seed, 4, systems)))
        words = ["--queue", queue]
        found = run(capsys, workload, tmp_path, "--what-if", what, *words, platform=smaller)
        real = run(capsys, workload, tmp_path, *words, platform=larger)
        assert found["what_if"][0]["nodes"] == real["compute_nodes"] == nodes
        agrees(found["what_if"][0], found, real)
        assert found["what_if"][0]["mean_waiting_time"]["difference"] < 0


def test_fewer_and_endless_nodes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Fewer are Batsim's --mmax; endless ones are doubled until none waits for nodes, and more change
    nothing."""
    workload = tmp_path / "w.json"
    workload.write_text(json.dumps(crowd(7, 4, ("lustre",))))
    found = run(capsys, workload, tmp_path, "--what-if", "nodes=4", "--what-if", "nodes=unlimited")
    fewer, endless = found["what_if"]
    agrees(fewer, found, run(capsys, workload, tmp_path, "--mmax", "4"))
    assert endless["nodes"] > 16
    for nodes in (endless["nodes"], 2 * endless["nodes"]):
        larger = made(nodes)(tmp_path)
        real = run(capsys, workload, tmp_path, platform=larger)
        agrees(endless, found, real)
        assert not {w["cause"] for w in real["waited_for"]} & {"nodes", "behind_nodes"}
    assert main(["run", "-p", str(PLATFORM), "-w", str(workload), "--what-if", "nodes=unlimited"]) == 0
    assert f"nodes=unlimited ({endless['nodes']})" in capsys.readouterr().out


def gateway() -> str:
    """The same within a zone that is joined to another by its first node."""
    inside = full(3).partition('<platform version="4.1">')
    outside = (
        '<zone id="q" routing="Full"><router id="q0"/></zone><link id="o" bandwidth="1GBps" latency="1us"/>'
        '<zoneRoute src="z" dst="q" gw_src="n00" gw_dst="q0"><link_ctn id="o"/></zoneRoute></zone></platform>'
    )
    return "".join(inside[:2]) + '<zone id="top" routing="Full">' + inside[2].replace("</platform>", outside)


@pytest.mark.parametrize(
    "text, says",
    [
        (full(1), "which links are its own can't be told"),
        (
            clustered(8).replace("bb_bw", 'topology="TORUS" topo_parameters="2,2,2" bb_bw'),
            "its topology is TORUS",
        ),
        (gateway(), "zones are joined by it"),
    ],
)
def test_nodes_that_cant_be_added(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, says: str
) -> None:
    platform, workload = tmp_path / "p.xml", tmp_path / "w.json"
    platform.write_text(text)
    workload.write_text(json.dumps(crowd(1, 1, ())))
    words = ["run", "-p", str(platform), "-w", str(workload), "-e", str(tmp_path / "o" / "x")]
    assert main([*words, "--what-if", "nodes=x2"]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert "batfs platform new" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "o").exists()


def test_one_storage(tmp_path: Path, capsys: pytest.CaptureFixture[str], workload: Path) -> None:
    """One of two burst buffers that is larger, and a file system's size shared out: 200 and 200 GB in the
    file."""
    names = [s.name for s in load(Experiment(PLATFORM, [workload]), Configuration()).machine.storages]
    first = next(name for name in names if name.startswith("bb"))
    text = PLATFORM.read_text()
    larger = tmp_path / "larger.xml"
    larger.write_text(text.replace('value="200GB"', 'value="700GB"', 1))
    found = run(capsys, workload, tmp_path, "--what-if", f"{first}=700GB")
    agrees(found["what_if"][0], found, run(capsys, workload, tmp_path, platform=larger))
    larger.write_text(text.replace('value="200GB"', 'value="250GB"'))
    config = tmp_path / "c.toml"
    config.write_text('[filesystems.bb]\nsize = "500GB"\n')
    both = [run(capsys, workload, tmp_path, "--config", str(config))]
    both.append(run(capsys, workload, tmp_path, platform=larger))
    assert both[0]["waiting_time"] == both[1]["waiting_time"]
    assert both[0]["file_systems"]["bb"]["capacity"] == 500 * GB


def test_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str], workload: Path) -> None:
    words = [
        "run",
        "-p",
        str(PLATFORM),
        "-w",
        str(workload),
        "-e",
        str(tmp_path / "x"),
        "--what-if",
        "bb=unlimited",
    ]
    assert main([*words, "--what-if", "nfs=x2"]) == 0
    said = capsys.readouterr().out
    [bb] = [line for line in said.splitlines() if line.startswith("bb=unlimited")]
    assert "(-" in bb
    [nfs] = [line for line in said.splitlines() if line.startswith("nfs=x2")]
    assert "(same)" in nfs


@pytest.mark.parametrize(
    "what, says",
    [
        ("bb", "expected WHAT=unlimited"),
        ("bbb=x2", "did you mean 'bb'"),
        ("bb=x0", "no factor above 0"),
        ("bb=much", "--what-if bb=much"),
        ("bandwidth=unlimited", "no factor"),
        ("nodes=0", "no number of nodes"),
        ("nodes=many", "no number of nodes"),
        ("nodes=x1e9", "more than"),
        ("disc=x2", "did you mean 'disk'"),
        ("bb-node-11=x2", "known: storage, nodes, bandwidth, bb"),
    ],
)
def test_wrong_wishes_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], workload: Path, what: str, says: str
) -> None:
    words = ["run", "-p", str(PLATFORM), "-w", str(workload), "-e", str(tmp_path / "x"), "--what-if", what]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())
