"""A machine whose targets alone decide how quickly bytes move."""

from __future__ import annotations

from batfs.platform.spec import Group, Nodes, Spec


def machine_with(
    file_system: str,
    nodes: int,
    targets: int,
    bandwidths: tuple[float, float],
    *,
    model: str,
    size: str,
    comment: str,
) -> Spec:
    """So many nodes, and so many targets that share ``bandwidths`` (read, write; bytes/s), each behind a
    server; cables are no bottleneck."""
    most = max(bandwidths)
    read, write = (f"{bandwidth / targets:.9g}Bps" for bandwidth in bandwidths)
    # a flow's rate is bounded by 4 MiB over twice its latency (SimGrid's TCP gamma): short cables, no bound
    group = Group(
        *(file_system, targets, 1, size, read, write, "0.01us", "oss-", "ost-"),
        server_bandwidth=f"{2 * most:.9g}Bps",
        server_latency="0.01us",
        model=model,
    )
    fabric = Nodes(count=nodes, first=1000, bandwidth=f"{4 * most / nodes:.9g}Bps", latency="0.01us")
    return Spec(nodes=fabric, pfs=group, comment=comment)
