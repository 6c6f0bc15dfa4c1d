"""``batfs check`` and SimGrid agree on platforms with planted faults: which load, and which routes exist."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from batfs.errors import InputError
from batfs.platform import NoRouteError, Platform, load_platform
from batfs.platform.check import check_platform

VERDICT = Path(__file__).with_name("simgrid_verdict.py")
DOCTYPE = '<!DOCTYPE platform SYSTEM "https://simgrid.org/simgrid.dtd">'
HEAD = f'<?xml version="1.0"?>\n{DOCTYPE}\n'
Rng = random.Random


def swap(old: str, new: str) -> Callable[[str, Rng], bytes]:
    """Replace one occurrence of a pattern, a random one."""

    def change(text: str, rng: Rng) -> bytes:
        found = list(re.finditer(old, text, re.DOTALL))
        if not found:
            return text.encode()
        one = rng.choice(found)
        return (text[: one.start()] + one.expand(new) + text[one.end() :]).encode()

    return change


def head(new: str) -> Callable[[str, Rng], bytes]:
    return lambda text, rng: text.replace(HEAD, new, 1).encode()


def option(name: str, value: str) -> Callable[[str, Rng], bytes]:
    config = f'<config id="General"><prop id="{name}" value="{value}"/></config>'
    return swap(r"(<platform [^>]*>)", rf"\1\n{config}")


ROUTE = r"<(route|zoneRoute) [^>]*>.*?</\1>\n"
# what is planted: the fault's name -> how
FAULTS: dict[str, Callable[[str, Rng], bytes]] = {
    "nothing": lambda text, rng: text.encode(),
    "blank lines first": lambda text, rng: b"\n  \n" + text.encode(),
    "a comment first": lambda text, rng: b"<!-- made by hand -->\n" + text.encode(),
    "text first": lambda text, rng: b"made by hand\n" + text.encode(),
    "Latin-1 in a comment": lambda text, rng: b"<!-- b\xe2timent -->\n" + text.encode(),
    "dashes in a comment": swap(r"(<zone )", r"<!-- a -- b ---- c -->\n\1"),
    "three dashes end a comment": swap(r"(<zone )", r"<!-- a --->\n\1"),
    "a byte-order mark": lambda text, rng: text.encode("utf-8-sig"),
    "UTF-16": lambda text, rng: text.encode("utf-16"),
    "no DOCTYPE": head('<?xml version="1.0"?>\n'),
    "no declaration": head(f"{DOCTYPE}\n"),
    "single quotes": head(HEAD.replace('"', "'")),
    "another DOCTYPE": head(HEAD.replace("https://simgrid.org/simgrid.dtd", "simgrid.dtd")),
    "the DOCTYPE of old": head(HEAD.replace("https://simgrid.org", "http://simgrid.gforge.inria.fr/simgrid")),
    "DOCTYPE over lines": head(HEAD.replace(" SYSTEM ", "\n  SYSTEM\n  ")),
    "standalone": head(HEAD.replace('"1.0"?>', '"1.0" standalone="no"?>')),
    "an encoding nobody knows": head(HEAD.replace('"1.0"?>', '"1.0" encoding="klingon"?>')),
    "a blank ends the declaration": head(HEAD.replace("?>", " ?>")),
    "a CDATA section": swap(r"(<zone )", r"<![CDATA[ ]]>\1"),
    "something behind": lambda text, rng: text.encode() + b"<!-- the end --> really",
    "a comment behind": lambda text, rng: text.encode() + b"<!-- the end -->\n",
    "an entity": swap(r' id="(\w)', r' id="&what;\1'),
    "a bare ampersand": swap(r' id="(\w)', r' id="&\1'),
    "cut off": lambda text, rng: text.encode()[: rng.randrange(len(text) // 2, len(text) - 20)],
    "version 3": swap(r'version="4.1"', 'version="3"'),
    "version 4": swap(r'version="4.1"', 'version="4"'),
    "version 5": swap(r'version="4.1"', 'version="5"'),
    "an unknown link": swap(r'<link_ctn id="', '<link_ctn id="x'),
    "an unknown end": swap(r'src="', 'src="x'),
    "an unknown gateway": swap(r'gw_src="', 'gw_src="x'),
    "an unknown attribute": swap(r"<host id=", '<host color="red" id='),
    "an unknown element": swap(r"<host id=", "<printer/><host id="),
    "no latency": swap(r' latency="[^"]*"', ""),
    "no speed": swap(r' speed="[^"]*"', ""),
    "a unit that isn't one": swap(r'bandwidth="[^"]*"', 'bandwidth="1GB"'),
    "a blank before a unit": swap(r'latency="[^"]*"', 'latency="1 us"'),
    "an id twice": swap(r'(<host id="([^"]*)"[^>]*>\n)', r"\1\1"),
    "a link twice": swap(r'(<link id="[^"]*"[^>]*>\n)', r"\1\1"),
    "a route twice": swap(rf"({ROUTE})".replace(r"\1", r"\2"), r"\1\1"),
    "a route gone": swap(ROUTE, ""),
    "two routes gone": lambda text, rng: swap(ROUTE, "")(swap(ROUTE, "")(text, rng).decode(), rng),
    "a route one way": swap(r"<(route|zoneRoute) (?![^>]*symmetrical)", r'<\1 symmetrical="NO" '),
    "an empty route": swap(r"(<(?:route|zoneRoute) [^>]*>).*?(</)", r"\1\2"),
    "a host behind a route": swap(rf"({ROUTE})".replace(r"\1", r"\2"), r'\1<host id="late" speed="1Gf"/>'),
    "a zone without routes": swap(r'routing="(?:Full|Floyd|Dijkstra)"', 'routing="None"'),
    "an unknown routing": swap(r'routing="\w+"', 'routing="Fool"'),
    "a lower-case routing": swap(r'routing="Full"', 'routing="full"'),
    "an old option": option("contexts/stack_size", "8"),
    "an option nobody knows": option("network/speed", "8"),
    "an option without a number": option("network/TCP-gamma", "fast"),
    "an option with a number": option("network/TCP-gamma", "1e6"),
    "another part's option": option("tracing/precision", "9"),
    "another part's old option": option("smpi/running_power", "1"),
    "a switch that isn't one": option("network/crosstraffic", "Yes"),
    "a model nobody knows": option("cpu/optim", "Eager"),
    "an old router as gateway": swap(
        r'<cluster id="(\w+)"([^>]*topology="(?:TORUS|DRAGONFLY|FAT_TREE)".*?gw_src=")\1-\d+"',
        r'<cluster id="\1"\2\1-\1_router"',
    ),
    "more hosts than the topology": swap(r'radical="(\d+)-(\d+)"([^>]*topology=)', r'radical="\1-9\2"\3'),
    "fewer hosts than the topology": swap(r'radical="(\d+)-(\d+)"([^>]*topology=)', r'radical="\1-\1"\3'),
}  # fmt: skip


def routed(platform: Platform, a: str, b: str) -> bool:
    try:
        platform.route(platform.host_index[a], platform.host_index[b])
    except NoRouteError:
        return False
    return True


def compare(cases: list[tuple[str, Path]], seed: int, python: str) -> tuple[list[str], Counter[str]]:
    """What they differ in, and counts of verdicts."""
    rng = random.Random(seed)
    questions, mine = [], []
    for _, file in cases:
        faults = [finding for finding in check_platform(file).faults if finding.check == "load"]
        pairs: list[tuple[str, str]] = []
        routes: list[bool] = []
        try:
            platform = load_platform(file)
        except InputError:
            assert faults
        else:
            names = [host.name for host in platform.hosts]
            pairs = [(rng.choice(names), rng.choice(names)) for _ in range(8)]
            routes = [routed(platform, a, b) for a, b in pairs]
        mine.append((not faults, routes))
        questions.append((str(file), pairs))
    done = subprocess.run(
        [python, str(VERDICT)],
        input=json.dumps(questions),
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )
    answers = json.loads(done.stdout[done.stdout.index("[[") :])
    found: list[str] = []
    counts: Counter[str] = Counter()
    for (fault, file), (loads, routes), (theirs, ways), (_, pairs) in zip(
        cases, mine, answers, questions, strict=True
    ):
        counts["loads" if theirs else "refused"] += 1
        if loads != theirs:
            found.append(f"{fault} ({file.name}): SimGrid {'loads' if theirs else 'refuses'} it")
        elif theirs:
            counts["routes"] += sum(ways)
            counts["no routes"] += len(ways) - sum(ways)
            found += [
                f"{fault} ({file.name}): SimGrid has {'a' if way else 'no'} route {pair}"
                for pair, route, way in zip(pairs, routes, ways, strict=True)
                if route != way
            ]
    return found, counts


def planted(count: int, random_platform: Callable[[int], str], folder: Path) -> list[tuple[str, Path]]:
    cases = []
    names = list(FAULTS)
    for seed in range(count):
        rng = random.Random(seed)
        text = random_platform(seed)
        text = HEAD + text[text.index("<platform") :]
        fault = names[seed % len(names)]
        file = folder / f"{seed}.xml"
        file.write_bytes(FAULTS[fault](text, rng))
        cases.append((fault, file))
    return cases


@pytest.mark.slow
def test_planted_faults(random_platform: Callable[[int], str], simgrid_python: str, tmp_path: Path) -> None:
    """BATFS_PLANTED says how many; every fault comes at least twice."""
    count = int(os.environ.get("BATFS_PLANTED", 2 * len(FAULTS) + 1))
    found, counts = compare(planted(count, random_platform, tmp_path), 1, simgrid_python)
    assert found == []
    assert counts["loads"] > count // 4
    assert counts["refused"] > count // 4
    assert counts["routes"] > count
    assert counts["no routes"] > 0
