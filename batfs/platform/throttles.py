"""Links that nobody uses but who is to be slowed: what limits the rate of a transfer.

A transfer that also sends bytes over a link of its own can't be faster than that link lets it. Such a
*throttle* is a link between two hosts of role ``storage`` that hold nothing and have the property ``service``
``throttle``: an end of its own, which says the link's ``throttle_bandwidth``, and one that all share. They
stand in a zone of their own beside the old outermost one and are last among the storages, so that no resource
id changes.
"""

from __future__ import annotations

from xml.parsers import expat

from batfs.errors import InputError
from batfs.platform.machine import Platform
from batfs.platform.numbering import STORAGE, THROTTLE, Machine
from batfs.platform.writer import Writer

BANDWIDTH = "10GBps"
MOST = 100_000


def with_throttles(text: str, machine: Machine, count: int) -> str:
    """The platform file ``text``, which ``machine`` was made from, with ``count`` throttles.

    InputError if it has some, or names that none of ours can follow.
    """
    if not 1 <= count <= MOST:
        raise InputError(f"{count} throttles: expected 1 to {MOST}")
    platform = machine.platform
    if any(host.properties.get("service") == THROTTLE for host in platform.hosts):
        raise InputError("has throttles already", file=platform.file)
    prefix = _prefix(platform, machine)
    zone = _free("throttled", {zone.name for zone in platform.zones})
    raw = text.encode()
    begin, end = _root(raw)
    before, root, after = raw[:begin].decode(), raw[begin:end].decode(), raw[end:].decode()
    opening = f'<zone id="{zone}" routing="Full">'
    return f"{before}{opening}\n  {root.rstrip()}\n{_throttles(prefix, count)}  </zone>\n{after}"


def _throttles(prefix: str, count: int) -> str:
    out = Writer()
    width = len(str(count - 1))
    names = [f"{prefix}-{k:0{width}}" for k in range(count)]
    out.comment("throttles: links that limit rates, and hosts at their ends that hold nothing")
    with out.inside("zone", id=f"{prefix}s", routing="Full"):
        ends = {"role": STORAGE, "service": THROTTLE}
        out.element("host", ends, id=f"{prefix}-end", speed="0f")
        for name in names:
            out.element("host", {**ends, "throttle_bandwidth": BANDWIDTH}, id=name, speed="0f")
        for name in names:
            out.link(f"{name}_link", BANDWIDTH, "0s")
        for name in names:
            out.route(name, f"{prefix}-end", f"{name}_link")
    lines = out.text().splitlines()
    first = next(k for k, line in enumerate(lines) if line.startswith("<platform")) + 1
    return "".join(f"  {line}\n" if line else "\n" for line in lines[first:-1])


def _prefix(platform: Platform, machine: Machine) -> str:
    """What their names begin with: behind every storage in the order of names."""
    last = max((storage.name.encode() for storage in machine.storages), default=b"")
    taken = {zone.name for zone in platform.zones} | platform.link_index.keys() | platform.host_index.keys()
    for prefix in ("throttle", "~throttle", "~~throttle"):
        if prefix.encode() > last and not any(name.startswith(prefix) for name in taken):
            return prefix
    raise InputError("its storages have names that no throttle's can follow", file=platform.file)


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    return name


def _root(raw: bytes) -> tuple[int, int]:
    """Where the outermost zone begins, and where ``</platform>`` does, in bytes."""
    parser = expat.ParserCreate()
    depth, found = 0, [0, 0]

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth == 2 and tag != "config" and not found[0]:
            found[0] = parser.CurrentByteIndex

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        if depth == 0:
            found[1] = parser.CurrentByteIndex

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.Parse(raw, True)
    return found[0], found[1]
