"""Run by SimGrid's own Python: prints what SimGrid makes of a platform, as JSON.

usage: simgrid_probe.py PLATFORM < pairs.json   where pairs is [[source, destination], ...] or null for all
"""

import json
import sys

from simgrid import Engine, Host


def main() -> None:
    # host/model first: it decides which loopback exists
    engine = Engine(["probe", "--cfg=host/model:ptask_L07", "--log=root.thres:error", *sys.argv[2:]])
    engine.load_platform(sys.argv[1])
    engine.netzone_root.seal()  # else loopbacks are missing and shortest paths not searched
    pairs = json.load(sys.stdin)
    names = [host.name for host in engine.all_hosts]
    if pairs is None:
        pairs = [[a, b] for a in names for b in names]
    routes = []
    for a, b in pairs:
        try:
            links, latency = Host.by_name(a).route_to(Host.by_name(b))
        except ValueError:  # no route
            routes.append([a, b, None, None])
        else:
            routes.append([a, b, [link.name for link in links], latency])
    hosts = [
        [host.name, [host.pstate_speed(i) for i in range(host.pstate_count)], host.core_count, host.pstate]
        for host in engine.all_hosts
    ]
    links = {link.name: [link.bandwidth, link.latency] for link in engine.all_links}
    json.dump({"hosts": hosts, "links": links, "routes": routes}, sys.stdout)


if __name__ == "__main__":
    main()
