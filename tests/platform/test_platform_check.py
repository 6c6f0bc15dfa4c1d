"""``batfs check`` finds planted faults, is silent on good platforms, and names changes since a baseline."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from batfs.cli.main import main
from batfs.platform.check import check_platform

ROOT = Path(__file__).resolve().parents[2]
PLATFORMS = ROOT / "platforms"
HEAD = '<!DOCTYPE platform SYSTEM "https://simgrid.org/simgrid.dtd">\n<platform version="4.1">\n'

FULL = (
    HEAD
    + '<zone id="z" routing="Full">\n'
    + "".join(f'<host id="n{i}" speed="1Gf"/>\n' for i in range(3))
    + '<host id="disk" speed="0f"><prop id="role" value="storage"/></host>\n'
    + '<host id="master_host" speed="1Gf"/>\n'
    + '<link id="net" bandwidth="1GBps" latency="10us"/>\n'
    + '<link id="disk_read" bandwidth="1GBps" latency="10us"/>\n'
    + '<link id="disk_write" bandwidth="1GBps" latency="10us"/>\n'
    + "".join(
        f'<route src="n{i}" dst="{other}"><link_ctn id="net"/></route>\n'
        for i in range(3)
        for other in [*(f"n{j}" for j in range(i)), "master_host"]
    )
    + "".join(
        f'<route src="n{i}" dst="disk" symmetrical="NO">'
        '<link_ctn id="net"/><link_ctn id="disk_write"/></route>\n'
        f'<route src="disk" dst="n{i}" symmetrical="NO">'
        '<link_ctn id="disk_read"/><link_ctn id="net"/></route>\n'
        for i in range(3)
    )
    + '<route src="disk" dst="master_host"><link_ctn id="net"/></route>\n'
    + "</zone>\n</platform>\n"
)
CLUSTER = (
    HEAD
    + '<zone id="top" routing="Full">\n<cluster id="c" prefix="n" suffix="" radical="0-7" speed="1Gf" '
    + 'bw="1GBps" lat="10us" bb_bw="10GBps" bb_lat="1us"/>\n'
    + '<zone id="front" routing="Full"><host id="master_host" speed="1Gf"/></zone>\n'
    + '<link id="l" bandwidth="1GBps" latency="0"/>\n'
    + '<zoneRoute src="c" dst="front" gw_src="nc_router" gw_dst="master_host">'
    + '<link_ctn id="l"/></zoneRoute>\n'
    + "</zone>\n</platform>\n"
)

# (what is wrong, platform, what is replaced, by what, the check that finds it, what the message says)
FAULTS = [
    ("no DOCTYPE", "pfs_cluster", r"<!DOCTYPE[^>]*>", "", "load", "DOCTYPE"),
    ("a unit that isn't one", "pfs_cluster", 'latency="0.5ms"', 'latency="0.5msec"', "load", "unknown unit"),
    (
        "an unknown link",
        "taurus_storage",
        r'(<link_ctn id="taurus-3_)cable',
        r"\1cabel",
        "load",
        "taurus-3_cable",
    ),
    (
        "a gateway elsewhere",
        "pfs_cluster",
        'gw_src="oss-1_nic"',
        'gw_src="oss-2_nic"',
        "load",
        "is in 'oss-2'",
    ),
    (
        "the master's role twice",
        "pfs_cluster",
        '<host id="master_host" speed="1Gf"/>',
        '<host id="master_host" speed="1Gf"><prop id="role" value="master"/></host>',
        "numbering",
        "role twice",
    ),
    ("no master", "pfs_cluster", "master_host", "head", "numbering", "no host has the role 'master'"),
    (
        "a misspelt role",
        "pfs_cluster",
        'value="storage"',
        'value="storge"',
        "numbering",
        "unknown role 'storge'",
    ),
    ("no role", "taurus_storage", r'<prop id="role" value="storage"/>', "", "numbering", "has speed 0"),
    (
        "no role, but speed",
        "taurus_storage",
        r'id="ost-3" speed="0f">\s*<prop id="role" value="storage"/>',
        'id="ost-3" speed="1Gf">',
        "role",
        "role 'storage' is missing",
    ),
    ("no size", "taurus_storage", r'<prop id="size" value="4TB"/>', "", "size", "'size' is missing"),
    ("no unit of size", "taurus_storage", 'value="4TB"', 'value="4Tb"', "size", "unknown unit 'Tb'"),
    ("a size of 0", "taurus_storage", 'value="4TB"', 'value="0"', "size", "its size is 0"),
    (
        "no file system",
        "taurus_storage",
        '<prop id="filesystem" value="lustre"/>',
        "",
        "size",
        "'filesystem'",
    ),
    ("another file system", "taurus_storage", 'value="lustre"', 'value="lustr"', "odd-one-out", "'lustr'"),
    (
        "a misspelt property",
        "taurus_storage",
        "read_bandwidth",
        "read_bandwith",
        "property",
        "'read_bandwidth'",
    ),
    (
        "links swapped",
        "pfs_cluster",
        'up="ost-3_read" down="ost-3_write"',
        'up="ost-3_write" down="ost-3_read"',
        "direction",
        "goes over 'ost-3_write'",
    ),
    (
        "reading both ways",
        "taurus_storage",
        r'(src="taurus-5" dst="taurus-5_disk" .*?)taurus-5_disk_write',
        r"\1taurus-5_disk_read",
        "direction",
        "goes over 'taurus-5_disk_read'",
    ),
    (
        "bandwidths swapped",
        "taurus_storage",
        r'(id="taurus-5_disk_(read|write)" bandwidth=)"\d+(MBps)" (latency)',
        lambda found: f'{found[1]}"{80 if found[2] == "read" else 150}MBps" latency',
        "bandwidth",
        "are swapped",
    ),
    (
        "another bandwidth",
        "pfs_cluster",
        'bandwidth" value="800MBps"',
        'bandwidth" value="8GBps"',
        "bandwidth",
        "8 GB",
    ),
    (
        "an unknown node",
        "taurus_storage",
        'id="node" value="taurus-4"',
        'id="node" value="taurus-44"',
        "node",
        "no comp",
    ),
    (
        "another node",
        "taurus_storage",
        'id="node" value="taurus-4"',
        'id="node" value="taurus-7"',
        "node",
        "nearer",
    ),
    (
        "another server",
        "pfs_cluster",
        'id="server" value="oss-2"',
        'id="server" value="oss-3"',
        "server",
        "oss-3",
    ),
    (
        "no way back",
        "taurus_storage",
        r'<route src="taurus-2" dst="taurus-2_disk".*?</route>',
        "",
        "route",
        "no route from",
    ),
    (
        "a server left out",
        "pfs_cluster",
        r'<zoneRoute src="oss-2".*?</zoneRoute>',
        "",
        "route",
        "no route from",
    ),
    (
        "a way there only",
        "pfs_cluster",
        '(src="oss-2".*?gw_dst="[^"]*")',
        r'\1 symmetrical="NO"',
        "route",
        "no route",
    ),
    (
        "an undeclared route",
        FULL,
        r'<route src="n1" dst="disk".*?</route>',
        "",
        "free-route",
        "from 'n1' to 'disk'",
    ),
    (
        "an undeclared route of nodes",
        FULL,
        r'<route src="n1" dst="n0".*?</route>',
        "",
        "free-route",
        "'n0' to 'n1'",
    ),
    ("a backbone of bandwidth 0", CLUSTER, 'bb_bw="10GBps" ', "", "zero-bandwidth", "c_backbone"),
    (
        "milliseconds",
        "taurus_storage",
        r'(taurus-9_cable".*?)20us',
        r"\g<1>20ms",
        "odd-one-out",
        "latency is 0.02",
    ),
    (
        "bits",
        "taurus_storage",
        r'(taurus-9_cable".*?)1.25GBps',
        r"\g<1>1.25Gbps",
        "odd-one-out",
        "bandwidth is",
    ),
    ("terabytes", "taurus_storage", r'value="500GB"', 'value="500TB"', "odd-one-out", "its size is"),
    (
        "a slow node",
        "dfs_cluster",
        'id="node-12" speed="1Gf"',
        'id="node-12" speed="1Mf"',
        "odd-one-out",
        "its speed",
    ),
    (
        "up for down",
        "taurus_storage",
        '"taurus-6_cable" direction="UP"',
        '"taurus-6_cable" direction="DOWN"',
        "odd-way",
        "taurus-#_cable_DOWN",
    ),
    (
        "another's cable",
        "taurus_storage",
        '"taurus-6_cable" direction="UP"',
        '"taurus-7_cable" direction="UP"',
        "odd-way",
        "the link of 'taurus-7'",
    ),
    ("a size of a few bytes", "taurus_storage", 'value="4TB"', 'value="3"', "plausible", "its size is 3 B"),
    (
        "a latency of seconds",
        "pfs_cluster",
        'latency="0.5ms"',
        'latency="2"',
        "plausible",
        "its latency is 2 s",
    ),
    (
        "more hosts than the topology",
        CLUSTER.replace('bb_bw="10GBps" bb_lat="1us"', 'topology="TORUS" topo_parameters="4,2"').replace(
            "nc_router", "n0"
        ),
        'radical="0-7"',
        'radical="0-9"',
        "dropped-hosts",
        "n8 to n9 do not exist",
    ),
    (
        "a disk for a storage",
        CLUSTER,
        '<host id="master_host" speed="1Gf"/>',
        '<host id="master_host" speed="1Gf"><disk id="d" read_bw="1GBps" write_bw="1GBps"/></host>',
        "disk",
        "ignored by Batsim",
    ),
]


@pytest.mark.parametrize(
    ("fault", "base", "old", "new", "check", "message"), FAULTS, ids=[f[0] for f in FAULTS]
)
def test_planted_fault(
    fault: str, base: str, old: str, new: str, check: str, message: str, tmp_path: Path
) -> None:
    text = base if base.startswith("<") else (PLATFORMS / f"{base}.xml").read_text()
    every = fault in ("no master", "bandwidths swapped")
    broken, count = re.subn(old, new, text, count=0 if every else 1)
    assert count
    good, bad = tmp_path / "good.xml", tmp_path / "bad.xml"
    good.write_text(text)
    bad.write_text(broken)
    assert check_platform(good).faults == []
    found = {finding.check: str(finding) for finding in reversed(check_platform(bad).faults)}
    assert check in found
    assert any(message in str(finding) for finding in check_platform(bad).faults if finding.check == check), (
        found
    )


def test_there_are_more_than_twenty() -> None:
    assert len(FAULTS) >= 30
    # every check that counts is shown to find something
    from batfs.platform.check import CHECKS

    assert {fault[4] for fault in FAULTS} == {"load", "numbering", *CHECKS} - {"byte-order", "unused-link"}


# platforms with routes left out on purpose: what is said of them is right
FREE = {
    "v1-one-link-weights",
    "v2-stale-increment",
    "v3-fatpipe-overshoot",
    "v4-fatpipe-third-link",
    "v5-fatpipe-homogeneous",
    "v9-random-bottlenecks",
    "full-undeclared-routes",
    "xml-variants",
}


def test_silent_on_recorded_platforms(golden: list[Path]) -> None:
    for file in golden:
        args = json.loads((file.parent / "case.json").read_text())["args"]
        master = args[args.index("-m") + 1] if "-m" in args else "master_host"
        roles = [args[i + 1] for i, word in enumerate(args) if word == "-r"]
        faults = check_platform(file, master=master, roles=roles).faults
        expected = {"free-route"} if file.parent.name[4:] in FREE else set()
        assert {finding.check for finding in faults} == expected, file


def test_the_projects_platforms(capsys: pytest.CaptureFixture[str]) -> None:
    files = sorted(str(file) for file in PLATFORMS.glob("*.xml"))
    assert main(["check", *files]) == 0
    assert capsys.readouterr().out == f"{len(files)} platforms checked: no faults\n"


def test_bandwidths_by_hand(capsys: pytest.CaptureFixture[str]) -> None:
    """pfs_cluster: a target reads at 1.2 GB/s and writes at 800 MB/s; a node's cable carries 1.25 GB/s, a
    server's 3 GB/s. Four servers of four targets: reads are held by the cables (4 x 3 GB/s), writes too
    (16 x 0.8 = 12.8 > 12 GB/s)."""
    assert main(["check", str(PLATFORMS / "pfs_cluster.xml"), "--json"]) == 0
    (platform,) = json.loads(capsys.readouterr().out)["platforms"]
    one = platform["summary"]["storages"]["ost-1"]
    assert [one[key] for key in ("read_alone", "read_all", "write_alone", "write_all")] == pytest.approx(
        [1.2e9, 1.2e9, 0.8e9, 0.8e9]
    )
    # 0.5 ms of the target, 20 us of each cable
    assert one["read_latency"] == pytest.approx(0.54e-3)
    system = platform["summary"]["file_systems"]["lustre"]
    assert [system["read_all"], system["write_all"]] == pytest.approx([12e9, 12e9])


def test_latency_bounds_bandwidth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """SimGrid's TCP window of 4 MiB: over 10 ms at most 4194304 / (2 * 0.01) bytes/s."""
    file = tmp_path / "p.xml"
    text = FULL.replace(
        '"disk_read" bandwidth="1GBps" latency="10us"', '"disk_read" bandwidth="1GBps" latency="9.99ms"'
    )
    file.write_text(text)
    assert main(["check", str(file), "--json"]) == 0
    (platform,) = json.loads(capsys.readouterr().out)["platforms"]
    assert platform["summary"]["storages"]["disk"]["read_alone"] == pytest.approx(4194304 / 0.02)


def test_baseline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, baseline = tmp_path / "taurus.xml", tmp_path / "baseline.json"
    text = (PLATFORMS / "taurus_storage.xml").read_text()
    file.write_text(text)
    assert main(["check", str(file), "--baseline", str(baseline)]) == 2
    assert "--update writes one" in capsys.readouterr().err
    assert main(["check", str(file), "--baseline", str(baseline), "--update"]) == 0
    assert main(["check", str(file), "--baseline", str(baseline)]) == 0
    assert "no changes since the baseline" in capsys.readouterr().out
    # a slower disk, one storage more, another size: each is named
    text = text.replace('id="ost-2_read" bandwidth="600MBps"', 'id="ost-2_read" bandwidth="500MBps"')
    text = text.replace('id="nfs" speed', 'id="nfs2" speed').replace('id="nfs" up', 'id="nfs2" up')
    file.write_text(text.replace('"10TB"', '"20TB"'))
    assert main(["check", str(file), "--baseline", str(baseline), "--json"]) == 1
    (platform,) = json.loads(capsys.readouterr().out)["platforms"]
    changes = platform["changes"]
    assert "link ost-2_read: 6e+08, 0.0003, SHARED -> 5e+08, 0.0003, SHARED" in changes
    assert "storage ost-2 read_alone: 6e+08 -> 5e+08" in changes
    assert "host nfs: gone" in changes
    assert "host nfs2: new" in changes
    other = tmp_path / "other.xml"
    other.write_text(text)
    assert main(["check", str(other), "--baseline", str(baseline)]) == 1
    assert "other.xml is not in the baseline" in capsys.readouterr().out
    before = baseline.read_bytes()
    file.write_text("<nothing")
    assert main(["check", str(file), "--baseline", str(baseline), "--update"]) == 2
    assert baseline.read_bytes() == before


def test_exit_codes_and_junit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad, broken = (tmp_path / f"{name}.xml" for name in ("good", "bad", "broken"))
    good.write_text(CLUSTER)
    bad.write_text(CLUSTER.replace('bb_bw="10GBps" ', ""))
    broken.write_text(CLUSTER[:-20])
    junit = tmp_path / "junit.xml"
    assert main(["check", str(good)]) == 0
    assert main(["check", str(good), str(bad)]) == 1
    assert main(["check", str(good), str(bad), str(broken), "--junit", str(junit)]) == 2
    suites = ElementTree.parse(junit).getroot()
    failures = {
        (Path(suite.attrib["name"]).stem, case.attrib["name"]): case[0].attrib["message"]
        for suite in suites
        for case in suite
        if len(case)
    }
    assert set(failures) == {("bad", "zero-bandwidth"), ("broken", "load")}
    assert [suite.attrib["failures"] for suite in suites] == ["0", "1", "1"]
    capsys.readouterr()
    assert main(["check", str(bad), "--json"]) == 1
    (platform,) = json.loads(capsys.readouterr().out)["platforms"]
    assert [fault["check"] for fault in platform["faults"]] == ["zero-bandwidth"]
    assert main(["check"]) == 2
    assert main(["check", str(tmp_path / "absent.xml")]) == 2
    assert main(["check", "--list"]) == 0
    assert "free-route" in capsys.readouterr().out


def test_notes_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(PLATFORMS / "taurus_storage.xml"), "-v"]) == 0
    assert "ids of 'taurus-#' don't follow the numbers" in capsys.readouterr().out
