"""What a platform file may not be: one clear message each, with the line."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from tempfile import NamedTemporaryFile

import pytest

from batfs.errors import InputError
from batfs.platform import NoRouteError, load_platform, number_resources

HEAD = '<!DOCTYPE platform SYSTEM "https://simgrid.org/simgrid.dtd">\n<platform version="4.1">\n'
HOSTS = '<zone id="z" routing="Full">\n<host id="a" speed="1Gf"/>\n<host id="b" speed="1Gf"/>\n'
LINK = '<link id="l" bandwidth="1GBps" latency="0"/>\n'

CASES = [
    # (text after the head, what the message says)
    ("<zone", r"line 3, column \d+: not well-formed XML"),
    (HOSTS, r"line \d+, column \d+: not well-formed XML: no element found"),
    ("</platform>", "holds no zone"),
    (HOSTS + "<hots/>", r"line 6: unknown element <hots>.*<host>"),
    (HOSTS + '<host id="c" sped="1Gf"/>', r"line 6: .*no attribute 'sped'.*did you mean 'speed'"),
    (HOSTS + '<host id="c"/>', r"line 6: <host id='c'> needs the attribute 'speed'"),
    (HOSTS + '<host id="a" speed="1Gf"/>', r"line 6: the name 'a' is already taken"),
    (HOSTS + '<host id="c" speed="1 Gf"/>', r"line 6: unknown unit ' Gf'"),
    (HOSTS + '<host id="c" speed="-1Gf"/>', r"line 6: .*not negative"),
    (HOSTS + '<host id="c" speed="1Gf" core="0"/>', r"line 6: core must be 1 or more"),
    (HOSTS + '<host id="c" speed="1Gf" pstate="1"/>', r"line 6: .*pstate 1, but has 1 speed"),
    (HOSTS + '<host id="c" speed="1Gf" speed_file="t"/>', r"line 6: .*availability traces"),
    (HOSTS + '<link id="l" bandwidth="nan" latency="0"/>', r"line 6: 'nan' is not a bandwidth"),
    (
        HOSTS + '<link id="l" bandwidth="1GBps" latency="0" sharing_policy="FAT"/>',
        r"line 6: .*expected one of",
    ),
    (
        HOSTS + '<link id="l" bandwidth="1GBps" latency="0" sharing_policy="WIFI"/>',
        r"line 6: .*not supported",
    ),
    (HOSTS + LINK + LINK, r"line 7: the link 'l' was already declared on line 6"),
    (HOSTS + LINK + '<route src="a" dst="x"><link_ctn id="l"/></route>', r"line 7: dst='x' names no host"),
    (HOSTS + LINK + '<route src="a" dst="b"/>', r"line 7: the route from 'a' to 'b' is empty"),
    (
        HOSTS + LINK + '<route src="a" dst="b"><link_ctn id="l" direction="UP"/></route>',
        r"line 7: .*not SPLITDUPLEX",
    ),
    (
        HOSTS
        + '<link id="l" bandwidth="1" latency="0" sharing_policy="SPLITDUPLEX"/>\n'
        + '<route src="a" dst="b"><link_ctn id="l"/></route>',
        r"line 7: .*needs direction='UP' or 'DOWN'",
    ),
    (HOSTS + "text</zone></platform>", r"line 6: unexpected text 'text'"),
    (HOSTS + '<prop id="a" value="b"/>', r"line 6: <prop> has to come before"),
    (
        HOSTS + '<backbone id="b1" bandwidth="1" latency="0"/></zone>',
        r"belongs in one with routing 'Cluster'",
    ),
    (HOSTS + "</zone>" + HOSTS.replace('"z"', '"y"'), r"second outermost zone"),
    (HOSTS + '</zone><config id="x"/>', r"<config> has to come before"),
    (
        '<config><prop id="network/TCP-gama" value="1"/></config>',
        r"unknown SimGrid option.*network/TCP-gamma",
    ),
    ('<config><prop id="network/TCP-gamma" value="x"/></config>', r"must be a number, found 'x'"),
    ('<zone id="z" routing="Wifi"/>', r"'Wifi' is not supported"),
    ('<zone id="z" routing="Flyod"/>', r"unknown routing 'Flyod'.*did you mean 'Floyd'"),
    ('<zone id="z" routing="Full"><storage id="s"/></zone>', r"removed <storage>"),
    (
        '<cluster id="c" prefix="n" suffix="" radical="0-3" speed="1Gf" bw="1" lat="0" '
        'topology="TORUS" topo_parameters="3,2"/>',
        r"line 3: .*needs 6 hosts, its radical names 4",
    ),
    (
        '<cluster id="c" prefix="n" suffix="" radical="0-7" speed="1Gf" bw="1" lat="0" '
        'topology="DRAGONFLY" topo_parameters="4,1;1,1;2,1;1"/>',
        r"at least as many blades",
    ),
    (
        '<cluster id="c" prefix="n" suffix="" radical="0-999999999" speed="1Gf" bw="1" lat="0"/>',
        r"names more than \d+ hosts",
    ),
    ('<cluster id="c" prefix="n" suffix="" radical="0-b" speed="1Gf" bw="1" lat="0"/>', r"must look like"),
]


@pytest.mark.parametrize(("text", "message"), CASES)
def test_refused(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "p.xml"
    file.write_text(HEAD + text)
    with pytest.raises(InputError) as caught:
        load_platform(file)
    told = str(caught.value)
    assert told.startswith(str(file))
    assert "\n" not in told
    assert re.search(message, told), told


@pytest.mark.parametrize(
    ("doctype", "message"),
    [
        ("", "DOCTYPE line is missing"),
        ("<!DOCTYPE plat SYSTEM 'x'>", "names 'plat'"),
        ('<!DOCTYPE platform [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]>', "entity 'a' is declared"),
        ('<!DOCTYPE platform [<!ENTITY % a SYSTEM "file:///etc/passwd">]>', "entity 'a' is declared"),
        ("<!DOCTYPE platform [<!ELEMENT platform ANY>]>", "declares 'platform'"),
        ("<?php x?><!DOCTYPE platform SYSTEM 'x'>", "processing instruction"),
    ],
)
def test_doctype(doctype: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "p.xml"
    file.write_text(doctype + '<platform version="4.1"><zone id="z" routing="Full"/></platform>')
    with pytest.raises(InputError, match=message):
        load_platform(file)


@pytest.mark.parametrize("version", ["3", "5", "x"])
def test_version(version: str, tmp_path: Path) -> None:
    file = tmp_path / "p.xml"
    file.write_text(HEAD.replace("4.1", version) + '<zone id="z" routing="Full"/></platform>')
    with pytest.raises(InputError, match="line 2: the platform's version"):
        load_platform(file)


def test_missing_file_and_directory(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read the platform: No such file"):
        load_platform(tmp_path / "absent.xml")
    with pytest.raises(InputError, match="not a file"):
        load_platform(tmp_path)


# which of the recorded errors are the platform's (or the command line's about it), and how batfs says it
RECORDED = {
    "platform-not-xml": "DOCTYPE",
    "platform-unknown-link": "unknown link 'eth_none'",
    "platform-star-keyword": "unknown routing 'Star'",
    "platform-bad-unit": "line 11: unknown unit 'GBs'",
    "platform-duplicate-route": "route from 'sw' to 'n1' already exists",
    "platform-link-without-latency": r"line 16: .*needs the attribute 'latency'",
    "platform-route-before-host": "line 23: <host> comes after a route",
    "platform-host-and-subzone": "line 6: <zone> can't be in a zone with hosts",
    "no-master": "no host has the role 'master'",
    "two-masters": "two master hosts: 'master_host' and 'n1'",
    "master-role-twice": "role 'master,master'",
    "unknown-role": "unknown role 'gpu'",
    "mmax-too-large": "only 3 compute nodes",
}


def test_recorded_errors(shared: Path) -> None:
    seen = set()
    for folder in sorted((shared / "golden" / "errors").iterdir()):
        slug = folder.name[4:]
        args = json.loads((folder / "case.json").read_text())["args"]

        def flag(name: str, args: list[str] = args) -> str | None:
            return args[args.index(name) + 1] if name in args else None

        def load(
            folder: Path = folder,
            master: str | None = flag("-m"),
            role: str | None = flag("-r"),
            limit: str | None = flag("--mmax"),
        ) -> None:
            number_resources(
                load_platform(folder / "platform.xml"),
                master=master or "master_host",
                roles=[role] if role else [],
                limit=int(limit) if limit else None,
            )

        if slug in RECORDED:
            seen.add(slug)
            with pytest.raises(InputError, match=RECORDED[slug]):
                load()
        else:
            load()
    assert seen == set(RECORDED)


def test_recorded_missing_routes(shared: Path) -> None:
    (missing,) = (shared / "golden" / "errors").glob("*-missing-route")
    platform = load_platform(missing / "platform.xml")
    with pytest.raises(NoRouteError, match=r"no route from 'n1' to 'n2'.*no chain of declared routes"):
        platform.route(platform.host_index["n1"], platform.host_index["n2"])
    (mismatch,) = (shared / "golden" / "errors").glob("*-dijkstra-gateway-mismatch")
    platform = load_platform(mismatch / "platform.xml")
    with pytest.raises(NoRouteError, match="enters the zone 'z1' at 'ga1' and leaves it at 'gb1'"):
        platform.route(platform.host_index["h0"], platform.host_index["h2"])
    (fine,) = (shared / "golden" / "errors").glob("*-floyd-gateway-mismatch-ok")
    platform = load_platform(fine / "platform.xml")
    assert platform.route(platform.host_index["h0"], platform.host_index["h2"]).links


WORDS = [
    *(
        "0",
        "-1",
        "1e400",
        "nan",
        "Full",
        "Floyd",
        "Cluster",
        "Vivaldi",
        "None",
        "UP",
        "NO",
        "TORUS",
        "0,0",
        "",
    ),
    *('"', "<", ">", "/>", "</zone>", '<zone id="q" routing="Full">', '<link_ctn id="nfs_read"/>', "&amp;"),
]


def test_damaged_files_are_refused_or_read() -> None:
    """Whatever one change does to a file: an InputError of one line, or a platform that routes or says no."""
    rng = random.Random(2026)
    text = (Path(__file__).resolve().parents[2] / "platforms" / "io_example.xml").read_text()
    values = [found.span() for found in re.finditer(r'"[^"]*"', text)]
    lines = text.splitlines()
    read = 0
    told: list[str] = []
    for _ in range(300):
        kind = rng.randrange(4)
        if kind == 0:
            begin, end = rng.choice(values)
            damaged = f'{text[:begin]}"{rng.choice(WORDS[:14])}"{text[end:]}'
        elif kind == 1:
            (begin, end), (first, last) = rng.choice(values), rng.choice(values)
            damaged = text[:begin] + text[first:last] + text[end:]
        elif kind == 2:
            gone = rng.randrange(len(lines))
            damaged = "\n".join(line for number, line in enumerate(lines) if number != gone)
        else:
            place = rng.randrange(len(text))
            damaged = text[:place] + rng.choice(WORDS) + text[place + rng.randrange(4) :]
        with NamedTemporaryFile("w", suffix=".xml") as file:
            file.write(damaged)
            file.flush()
            try:
                platform = load_platform(file.name)
            except InputError as error:
                told.append(str(error))
                continue
            read += 1
            for src in range(0, len(platform.hosts), 3):
                for dst in range(0, len(platform.hosts), 4):
                    try:
                        route = platform.route(src, dst)
                    except NoRouteError:
                        continue
                    assert route.latency >= 0
    assert 20 < read < 280
    assert not any("\n" in message for message in told)
