"""A platform's text: what SimGrid's lexer takes loads; what it refuses is a fault of the check."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from batfs.cli.main import main
from batfs.errors import InputError
from batfs.platform import load_platform
from batfs.platform.check import check_platform
from batfs.platform.settings import OPTIONS, renamed

DOCTYPE = '<!DOCTYPE platform SYSTEM "https://simgrid.org/simgrid.dtd">'
BODY = """<platform version="4.1">
  <zone id="z" routing="Full">
    <host id="master_host" speed="1Gf"/>
    <host id="n0" speed="1Gf"/>
    <link id="l" bandwidth="1GBps" latency="10us"/>
    <route src="master_host" dst="n0"><link_ctn id="l"/></route>
  </zone>
</platform>
"""
GOOD = f'<?xml version="1.0"?>\n{DOCTYPE}\n{BODY}'

TAKEN = {
    "blank lines first": ("\n \t\n" + GOOD).encode(),
    "a comment first": ("<!-- of the lab -->\n" + GOOD).encode(),
    "no declaration": f"{DOCTYPE}\n{BODY}".encode(),
    "Latin-1 in a comment": GOOD.replace("<zone", "<!-- \xe2 -->\n<zone", 1).encode("latin-1"),
    "Latin-1 in a comment before all": b"<!-- \xe2 -->" + GOOD.encode(),
    "dashes in a comment": GOOD.replace("<zone", "<!-- a -- b ----><zone", 1).encode(),
    "an encoding nobody knows": GOOD.replace('"1.0"?>', '"1.0" encoding="klingon"?>').encode(),
    "UTF-16 in name only": GOOD.replace('"1.0"?>', '"1.0" encoding="UTF-16"?>').encode(),
    "XML 1.1": GOOD.replace('"1.0"?>', '"1.1"?>').encode(),
    "Windows' line ends": GOOD.replace("\n", "\r\n").encode(),
    "a name in UTF-8": GOOD.replace('"n0"', '"n\xe9"').encode(),
    "SimGrid's earlier address": GOOD.replace(
        "https://simgrid.org/", "http://simgrid.gforge.inria.fr/simgrid/"
    ).encode(),
}
# read by batfs, not by SimGrid: (text, line, what is said)
REFUSED = {
    "UTF-8 with a mark": (GOOD.encode("utf-8-sig"), 1, "byte-order mark (UTF-8)"),
    "UTF-16": (GOOD.encode("utf-16"), 1, "byte-order mark (UTF-16)"),
    "standalone": (GOOD.replace('"1.0"?>', '"1.0" standalone="yes"?>').encode(), 1, "version and encoding"),
    "a blank in the declaration": (("\n" + GOOD.replace("?>", " ?>", 1)).encode(), 2, "no blank before"),
    "another DTD": (GOOD.replace("https://simgrid.org/", "").encode(), 2, "DOCTYPE"),
    "a name in Latin-1": (GOOD.replace('"n0"', '"n\xe9"').encode("latin-1"), 6, "0xe9"),
    "gzip": (gzip.compress(GOOD.encode()), 1, "compressed"),
    "bzip2": (bz2.compress(GOOD.encode()), 1, "compressed"),
    "xz": (lzma.compress(GOOD.encode()), 1, "compressed"),
}


@pytest.mark.parametrize("name", TAKEN)
def test_taken(name: str, tmp_path: Path) -> None:
    file = tmp_path / "p.xml"
    file.write_bytes(TAKEN[name])
    platform = load_platform(file)
    assert len(platform.hosts) == 2
    assert platform.warnings == []
    assert check_platform(file).faults == []


@pytest.mark.parametrize("name", REFUSED)
def test_read_but_refused_by_simgrid(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, line, said = REFUSED[name]
    file, new = tmp_path / "p.xml", tmp_path / "new.xml"
    file.write_bytes(data)
    assert len(load_platform(file).hosts) == 2
    assert main(["check", str(file)]) == 1
    told = capsys.readouterr().out
    assert f"line {line}: SimGrid refuses it: " in told
    assert said in told
    # and it is said where it is used, and can be converted
    work = tmp_path / "w.json"
    work.write_text(
        '{"nb_res": 1, "jobs": [{"id": "1", "subtime": 0, "res": 1, "profile": "d"}],'
        ' "profiles": {"d": {"type": "delay", "delay": 1}}}'
    )
    assert main(["run", "-p", str(file), "-w", str(work), "-e", str(tmp_path / "out")]) == 0
    assert said in capsys.readouterr().err
    assert main(["platform", "convert", str(file), "-o", str(new)]) == 0
    assert main(["check", str(new)]) == 0


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"n0"', '"n&what;"', "line 6: '&what;' is no character"),
        ('"n0"', '"n&0"', "line 6: '&0' is no character"),
        ("<zone", "<![CDATA[ ]]><zone", "line 4: a CDATA section"),
        ("<zone", "<!-- a ---><zone", "not well-formed"),
        (DOCTYPE, "", "DOCTYPE line is missing"),
    ],
)
def test_refused(old: str, new: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "p.xml"
    file.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(InputError, match=said.replace("(", r"\(")):
        load_platform(file)


def test_old_options_are_named_and_converted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = '<config id="General"><prop id="{}" value="8"/></config>'
    file, new = tmp_path / "p.xml", tmp_path / "new.xml"
    for old, now in {
        "contexts/stack_size": "contexts/stack-size",
        "network/TCP_gamma": "network/TCP-gamma",
        "surf/nthreads": "",
    }.items():
        assert renamed(old) == now
        file.write_text(GOOD.replace("<zone", config.format(old) + "\n<zone", 1))
        assert main(["check", str(file)]) == 2
        told = capsys.readouterr().out
        assert f"line 4: '{old}' is an option of an earlier SimGrid" in told
        assert (repr(now) if now else "gone") in told
        assert main(["platform", "convert", str(file), "-o", str(new)]) == 0
        assert load_platform(new).config == ({now: "8"} if now else {})
    assert renamed("network/speed") is None
    assert all(renamed(name) is None for name in OPTIONS)


def test_converting_leaves_the_rest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, new = tmp_path / "p.xml", tmp_path / "new.xml"
    file.write_text(GOOD)
    assert main(["platform", "convert", str(file), "-o", str(new)]) == 0
    assert new.read_text() == GOOD
    assert "nothing had to be changed" in capsys.readouterr().out
    # a DOCTYPE in a comment is none, and comments stay
    file.write_text(
        f'<!-- {DOCTYPE} -->\n<?xml version="1.0" standalone="yes"?>\n'
        + BODY.replace(' latency="10us"', "").replace("<zone", "<!-- <link id='no'/> -->\n<zone", 1)
    )
    assert main(["platform", "convert", str(file), "-o", str(new)]) == 0
    assert new.read_text().count("<!-- ") == 2
    assert load_platform(new).links[1].latency == 0
    file.write_text(GOOD.replace('"1Gf"', '"1GF"'))
    assert main(["platform", "convert", str(file), "-o", str(new)]) == 1
    assert "left to do: " in capsys.readouterr().out


def test_all_faults_at_once_without_a_master(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "p.xml"
    storage = (
        '<host id="s{}" speed="0"><prop id="role" value="storage"/><prop id="filesytem" value="pfs"/></host>'
    )
    file.write_text(
        GOOD.replace("master_host", "head").replace(
            "<link ",
            '<host id="x" speed="1Gf"><prop id="role" value="storge"/></host>\n'
            f'<host id="y" speed="0"/>\n{storage.format(0)}\n<link ',
            1,
        )
    )
    assert main(["check", str(file)]) == 1
    told = capsys.readouterr().out
    for said in (
        "no host has the role 'master'",
        "unknown role 'storge'",
        "'y' has speed 0",
        "did you mean 'filesystem'",
        "[free-route]",
    ):
        assert said in told
    # with a master of its own the others stay
    assert main(["check", str(file), "-m", "head"]) == 1
    assert "no host has the role 'master'" not in capsys.readouterr().out


def test_the_master_needs_a_route_to_itself_and_storages_none(tmp_path: Path) -> None:
    text = f"""{DOCTYPE}<platform version="4.1"><zone id="top" routing="Full">
<cluster id="c" prefix="n" suffix="" radical="0-3" speed="1Gf" bw="1GBps" lat="5us" router_id="r"/>
<zone id="desk" routing="Full"><host id="master_host" speed="1Gf"/></zone>
<zone id="store" routing="Full"><host id="pfs" speed="0"><prop id="role" value="storage"/></host></zone>
<link id="l" bandwidth="1GBps" latency="5us"/>
<zoneRoute src="c" dst="desk" gw_src="r" gw_dst="master_host"><link_ctn id="l"/></zoneRoute>
<zoneRoute src="c" dst="store" gw_src="r" gw_dst="pfs"><link_ctn id="l"/></zoneRoute>
</zone></platform>"""
    file = tmp_path / "p.xml"
    file.write_text(text)
    report = check_platform(file)
    assert report.faults == []
    assert any("no route to the master" in finding.message for finding in report.findings)
    file.write_text(text.replace('id="desk" routing="Full"', 'id="desk" routing="None"'))
    (fault,) = check_platform(file).faults
    assert (fault.check, fault.place) == ("route", "master_host")


def test_clusters_are_compared_with_their_like(tmp_path: Path) -> None:
    """Twelve racks of four nodes: the one a thousand times slower is odd, a rack of one node is not."""

    def racks(*bandwidths: str, last: str = "") -> str:
        made = "".join(
            f'<cluster id="rack-{i}" prefix="n{i}-" suffix="" radical="0-3" speed="1Gf" bw="{bandwidth}" '
            f'lat="5us" router_id="r{i}"/>\n'
            for i, bandwidth in enumerate(bandwidths)
        )
        gates = range(len(bandwidths) + bool(last))
        routes = "".join(
            f'<zoneRoute src="rack-{i}" dst="rack-{j}" gw_src="r{i}" gw_dst="r{j}"><link_ctn id="l"/>'
            "</zoneRoute>\n"
            for i in gates
            for j in range(i)
        )
        front = '<zone id="f" routing="Full"><host id="master_host" speed="1Gf"/></zone>\n'
        front_routes = "".join(
            f'<zoneRoute src="rack-{i}" dst="f" gw_src="r{i}" gw_dst="master_host"><link_ctn id="l"/>'
            "</zoneRoute>\n"
            for i in gates
        )
        link = '<link id="l" bandwidth="10GBps" latency="1us"/>\n'
        return (
            f'{DOCTYPE}<platform version="4.1"><zone id="top" routing="Full">\n{made}{last}{front}{link}'
            f"{routes}{front_routes}</zone></platform>"
        )

    file = tmp_path / "p.xml"
    lone = (
        '<cluster id="rack-5" prefix="s" suffix="" radical="0" speed="1Gf" bw="1MBps" lat="5us" '
        'router_id="r5"/>\n'
    )
    file.write_text(racks(*["1GBps"] * 5, last=lone))
    assert check_platform(file).faults == []
    file.write_text(racks(*["1GBps"] * 5, "1MBps"))
    faults = check_platform(file).faults
    assert {fault.check for fault in faults} == {"odd-one-out"}
    assert {fault.place for fault in faults} == {"rack-5_link_0_UP", "rack-5_link_0_DOWN"}


def test_github_and_sarif(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "p,1.xml"
    file.write_text(
        GOOD.replace('latency="10us"', 'latency="3"').replace(
            "<link ",
            '<host id="s" speed="0"><prop id="role" value="storage"/><prop id="size" value="3"/></host>\n'
            "<link ",
            1,
        )
    )
    assert main(["check", str(file), "--format", "github"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert all(line.startswith(("::error ", "::warning ", "::notice ")) for line in lines)
    (size,) = [line for line in lines if "size is 3 B" in line]
    assert size.startswith(
        f"::warning file={str(file).replace(',', '%2C')},line=7,title=batfs check%3A plausible::"
    )
    assert any(line.startswith("::notice ") and ",line=8," in line for line in lines)
    assert main(["check", str(file), "--format", "sarif"]) == 1
    (run,) = json.loads(capsys.readouterr().out)["runs"]
    rules = {rule["id"] for rule in run["tool"]["driver"]["rules"]}
    assert {result["ruleId"] for result in run["results"]} <= rules
    (result,) = [one for one in run["results"] if "size is 3 B" in one["message"]["text"]]
    assert result["locations"][0]["physicalLocation"]["region"] == {"startLine": 7}


def test_a_diff_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Changes alike are one line, with units; of a link only what is different."""
    cluster = (
        f'{DOCTYPE}<platform version="4.1"><zone id="top" routing="Full">'
        '<cluster id="c" prefix="n" suffix="" radical="0-7" speed="1Gf" bw="1GBps" lat="10us" router_id="r"/>'
        '<zone id="f" routing="Full"><host id="master_host" speed="1Gf"/></zone>'
        '<link id="l" bandwidth="1GBps" latency="0"/>'
        '<zoneRoute src="c" dst="f" gw_src="r" gw_dst="master_host"><link_ctn id="l"/></zoneRoute>'
        "</zone></platform>"
    )
    old, new = tmp_path / "old.xml", tmp_path / "new.xml"
    old.write_text(cluster)
    new.write_text(
        cluster.replace('speed="1Gf" bw', 'speed="2Gf" bw').replace(
            'id="l" bandwidth="1', 'id="l" bandwidth="2'
        )
    )
    assert main(["platform", "diff", str(old), str(new)]) == 1
    told = capsys.readouterr().out
    assert "n0 speed … n7 speed (8 alike): 1Gf -> 2Gf" in told
    assert "l: bandwidth 1 GB/s -> 2 GB/s" in told


def test_a_baseline_keeps_the_platforms_that_were_not_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b, baseline = tmp_path / "a.xml", tmp_path / "b.xml", tmp_path / "baseline.json"
    for file in (a, b):
        file.write_text(GOOD)
    update = ["--baseline", str(baseline), "--update"]
    assert main(["check", str(a), str(b), *update]) == 0
    a.write_text(GOOD.replace("1GBps", "2GBps"))
    assert main(["check", str(a), *update]) == 0
    capsys.readouterr()
    assert main(["check", str(a), "--baseline", str(baseline)]) == 0
    assert "in the baseline, but not checked: b.xml" in capsys.readouterr().out
    assert main(["check", str(a), str(b), "--baseline", str(baseline)]) == 0


GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guides" / "checking-platforms.md"


def test_the_guides_pipelines_run(tmp_path: Path) -> None:
    """The commands of the documented workflow, pipeline and hook do what the guide says of them."""
    found = re.findall(r"```yaml\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    blocks = [yaml.safe_load(block) for block in found]
    hook, workflow, pipeline = blocks
    commands = [step.get("run", "pip") for step in workflow["jobs"]["platforms"]["steps"]]
    commands += pipeline["platforms"]["script"]
    commands += [one["entry"] + " platforms/p.xml" for one in hook["repos"][0]["hooks"]]
    commands = [command for command in commands if not command.startswith("pip")]
    assert len(commands) == 4
    (tmp_path / "platforms").mkdir()
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"

    def shell(command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            shell=True,
            cwd=tmp_path,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
        )

    file = tmp_path / "platforms" / "p.xml"
    file.write_text(GOOD)
    update = "batfs check platforms/*.xml --baseline platforms/baseline.json --update"
    assert shell(update).returncode == 0
    for command in commands:
        assert shell(command).returncode == 0, command
    file.write_text(GOOD.replace("1GBps", "2GBps"))
    told = [shell(command) for command in commands]
    assert [done.returncode for done in told] == [1, 0, 1, 1]
    said = "::warning file=platforms/p.xml,title=batfs check%3A baseline::link l: bandwidth 1 GB/s -> 2 GB/s"
    assert said in told[0].stdout
    assert json.loads((tmp_path / "batfs.sarif").read_text())["version"] == "2.1.0"
