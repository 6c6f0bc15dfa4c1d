"""The way between two hosts anywhere in the tree of zones (SimGrid's global routing)."""

from __future__ import annotations

from batfs.platform.model import NoRouteError
from batfs.platform.zones import NetPoint, Path, Zone, follow


def _lineage(point: NetPoint) -> list[Zone]:
    """Enclosing zones, innermost first."""
    found = []
    zone = point.zone
    while zone is not None:
        found.append(zone)
        zone = zone.parent
    return found


def _meeting(src: NetPoint, dst: NetPoint) -> tuple[Zone, list[Zone], list[Zone]]:
    """The lowest common zone, and the zones below it on either side, innermost first.

    When both ends are in one zone, or one end's zone encloses the other, both lists end with that zone.
    """
    up, down = _lineage(src), _lineage(dst)
    common: Zone | None = None
    while len(up) > 1 and len(down) > 1 and up[-1] is down[-1]:
        common = up.pop()
        down.pop()
    if up[-1] is down[-1]:
        return up[-1], up, down
    if common is None:
        raise NoRouteError(f"no route from {src.name!r} to {dst.name!r}: they are in no common zone")
    return common, up, down


def extend(src: NetPoint, dst: NetPoint, path: Path) -> None:
    """Append the way from ``src`` to ``dst``; bypass routes first, then the common zone's own."""
    if src.zone is dst.zone and src.zone is not None and not src.zone.bypass:
        src.zone.local_route(src, dst, path)
        return
    common, up, down = _meeting(src, dst)
    if common.bypass and _bypass(common, src, dst, up, down, path):
        return
    if up[-1] is down[-1]:
        common.local_route(src, dst, path)
        return
    between = Path(path.latency)
    common.local_route(up[-1].netpoint, down[-1].netpoint, between)
    path.latency = between.latency
    if between.gw_src is None or between.gw_dst is None:
        raise NoRouteError(
            f"no route from {src.name!r} to {dst.name!r}: no zoneRoute joins {up[-1].name!r} "
            f"and {down[-1].name!r} in {common.name!r}"
        )
    # the order of these three gives the order of links; the latencies above are already in
    if src is not between.gw_src:
        extend(src, between.gw_src, path)
    path.links.extend(between.links)
    if dst is not between.gw_dst:
        extend(between.gw_dst, dst, path)


def _bypass(common: Zone, src: NetPoint, dst: NetPoint, up: list[Zone], down: list[Zone], path: Path) -> bool:
    if src.zone is common and dst.zone is common:
        found = common.bypass.get((src, dst))
        if found is None:
            return False
        follow(common.network, found.links, path)
        return True
    # innermost pairs first, alternating sides, as SimGrid tries them
    for depth in range(max(len(up), len(down))):
        order = [pair for i in range(depth) for pair in ((i, depth), (depth, i))]
        order.append((depth, depth))
        for i, j in order:
            if i >= len(up) or j >= len(down):
                continue
            found = common.bypass.get((up[i].netpoint, down[j].netpoint))
            if found is not None:
                assert found.gw_src is not None
                assert found.gw_dst is not None
                extend(src, found.gw_src, path)
                follow(common.network, found.links, path)
                extend(found.gw_dst, dst, path)
                return True
    return False
