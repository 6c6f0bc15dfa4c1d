"""Random platforms of every kind of zone, for comparing with SimGrid."""

from __future__ import annotations

import random

HEAD = "<?xml version='1.0'?>\n<!DOCTYPE platform SYSTEM \"https://simgrid.org/simgrid.dtd\">\n"


class Maker:
    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.count = 0

    def name(self, stem: str) -> str:
        self.count += 1
        return f"{stem}{self.count}"

    def bandwidth(self) -> str:
        return self.rng.choice(["1GBps", "125MBps", "10Gbps", "1.5GiBps", "300kBps"])

    def latency(self) -> str:
        return self.rng.choice(["0", "10us", "0.3ms", "7us", "1.1e-4s", "13ns"])

    def link(self, policies: tuple[str, ...] = ("SHARED", "FATPIPE", "SPLITDUPLEX")) -> tuple[str, list[str]]:
        """(declaration, ways to name it in a route)"""
        name, policy = self.name("l"), self.rng.choice(policies)
        text = (
            f'<link id="{name}" bandwidth="{self.bandwidth()}" latency="{self.latency()}" '
            f'sharing_policy="{policy}"/>\n'
        )
        if policy != "SPLITDUPLEX":
            return text, [f'<link_ctn id="{name}"/>']
        return text, [
            f'<link_ctn id="{name}" direction="UP"/>',
            f'<link_ctn id="{name}" direction="DOWN"/>',
            f'<link_ctn id="{name}_UP"/>',
        ]

    def links(self, count: int) -> tuple[str, list[str]]:
        made = [self.link() for _ in range(count)]
        return "".join(text for text, _ in made), [way for _, ways in made for way in ways]

    def hops(self, ways: list[str], most: int = 3) -> str:
        return "".join(self.rng.choice(ways) for _ in range(self.rng.randint(1, most)))

    def hosts(self, count: int, coordinates: bool = False) -> tuple[str, list[str]]:
        text, names = "", []
        for _ in range(count):
            name = self.name("h")
            where = ""
            if coordinates:
                where = ' coordinates="{:.1f} {:.1f} {:.1f}"'.format(
                    *(self.rng.uniform(-9, 9) for _ in "xyz")
                )
            text += f'<host id="{name}" speed="{self.rng.choice(["1Gf", "2Gf,1Gf", "0f"])}"{where}/>\n'
            names.append(name)
        return text, names

    # -- leaf zones: (text, names that can be gateways) ---------------------------------------------------

    def graph(self, routing: str, joined: bool) -> tuple[str, list[str]]:
        """Full, Floyd or Dijkstra over hosts and routers; every pair has a way when ``joined``."""
        rng = self.rng
        hosts, names = self.hosts(rng.randint(2, 6))
        routers = [self.name("r") for _ in range(rng.randint(0, 3))]
        points = names + routers
        rng.shuffle(points)
        declared, ways = self.links(rng.randint(2, 8))
        routes: dict[tuple[str, str], str] = {}

        def add(a: str, b: str, both: bool) -> None:
            if (a, b) in routes or (both and (b, a) in routes) or a == b:
                return
            routes[a, b] = (
                f'<route src="{a}" dst="{b}" symmetrical="{"YES" if both else "NO"}">'
                f"{self.hops(ways)}</route>\n"
            )
            if both:
                routes[b, a] = ""

        if routing == "Full":
            for i, a in enumerate(points):
                for b in points[i + 1 :]:
                    if joined or rng.random() < 0.7:
                        if rng.random() < 0.7:
                            add(a, b, True)
                        else:
                            add(a, b, False)
                            add(b, a, False)
        else:
            for i, a in enumerate(points[1:], start=1):
                # unreached nodes make SimGrid's Dijkstra run in circles
                add(a, rng.choice(points[:i]), joined or routing != "Floyd" or rng.random() < 0.9)
            for _ in range(rng.randint(0, 6)):
                add(*rng.sample(points, 2), both=joined or rng.random() < 0.7)
        text = "".join(routes.values())
        if rng.random() < 0.3:
            loop = rng.choice(names)
            text += f'<route src="{loop}" dst="{loop}" symmetrical="NO">{self.hops(ways, 4)}</route>\n'
        if rng.random() < 0.4 and len(names) > 1:
            a, b = rng.sample(names, 2)
            text += f'<bypassRoute src="{a}" dst="{b}">{self.hops(ways)}</bypassRoute>\n'
        everything = hosts + "".join(f'<router id="{r}"/>\n' for r in routers) + declared + text
        return f'<zone id="{self.name("z")}" routing="{routing}">\n{everything}</zone>\n', points

    def star(self) -> tuple[str, list[str]]:
        rng = self.rng
        hosts, names = self.hosts(rng.randint(2, 5))
        text, ends = hosts, list(names)
        for host in names[: rng.randint(1, len(names))]:
            up, down = self.name("u"), self.name("d")
            for link in (up, down):
                text += f'<link id="{link}" bandwidth="{self.bandwidth()}" latency="{self.latency()}"/>\n'
            text += f'<host_link id="{host}" up="{up}" down="{rng.choice([up, down])}"/>\n'
        if rng.random() < 0.5:
            stem = self.name("cab")
            text += (
                f'<cabinet id="{stem}" prefix="{stem}-" suffix="" radical="0-2" speed="1Gf" '
                f'bw="{self.bandwidth()}" lat="{self.latency()}"/>\n'
            )
            ends.append(f"{stem}-1")
        if rng.random() < 0.5:
            text += f'<backbone id="{self.name("bb")}" bandwidth="{self.bandwidth()}" '
            text += f'latency="{self.latency()}"/>\n'
        router = self.name("r")
        text += f'<router id="{router}"/>\n'
        return f'<zone id="{self.name("z")}" routing="Cluster">\n{text}</zone>\n', [*ends, router]

    def vivaldi(self) -> tuple[str, list[str]]:
        text, names = "", []
        for _ in range(self.rng.randint(2, 4)):
            name = self.name("p")
            where = "{:.1f} {:.1f} {:.1f}".format(*(self.rng.uniform(-50, 50) for _ in "xyz"))
            text += f'<peer id="{name}" speed="1Gf" bw_in="20MBps" bw_out="10MBps" coordinates="{where}"/>\n'
            names.append(name)
        return f'<zone id="{self.name("z")}" routing="Vivaldi">\n{text}</zone>\n', names

    def cluster(self) -> tuple[str, list[str]]:
        rng = self.rng
        name = self.name("c")
        topology = rng.choice(["FLAT", "FLAT", "TORUS", "FAT_TREE", "DRAGONFLY"])
        more = ""
        if topology == "TORUS":
            dimensions = rng.choice([(4,), (5, 2), (3, 2, 2), (3, 4), (6, 1), (2, 2, 3)])
            size = 1
            for dimension in dimensions:
                size *= dimension
            more = ",".join(map(str, dimensions))
        elif topology == "FAT_TREE":
            levels = rng.randint(1, 3)
            vectors = [[rng.randint(1, most) for _ in range(levels)] for most in (3, 2, 2)]
            size = 1
            for below in vectors[0]:
                size *= below
            more = ";".join([str(levels), *(",".join(map(str, vector)) for vector in vectors)])
        elif topology == "DRAGONFLY":
            groups, chassis, blades, nodes = (
                rng.randint(1, 3),
                rng.randint(1, 3),
                rng.randint(3, 4),
                rng.randint(1, 2),
            )
            size = groups * chassis * blades * nodes
            counts = ";".join(f"{count},{rng.randint(1, 2)}" for count in (groups, chassis, blades))
            more = f"{counts};{nodes}"
        else:
            size = rng.randint(2, 6)
        first = rng.randint(0, 3)
        text = (
            f'<cluster id="{name}" prefix="{name}-" suffix="" radical="{first}-{first + size - 1}" '
            f'speed="1Gf" '
            f'bw="{self.bandwidth()}" lat="{self.latency()}" '
            f'sharing_policy="{rng.choice(["SHARED", "SPLITDUPLEX", "FATPIPE"])}"'
        )
        if more:
            text += f' topology="{topology}" topo_parameters="{more}"'
        elif rng.random() < 0.5:
            text += f' bb_bw="5GBps" bb_lat="3us" bb_sharing_policy="{rng.choice(["SHARED", "FATPIPE"])}"'
        if rng.random() < 0.3:
            text += ' loopback_bw="3GBps" loopback_lat="1us"'
        # with more switches than leaves SimGrid gives two limiters one name, and stops
        if rng.random() < 0.3 and topology != "FAT_TREE":
            text += ' limiter_link="700MBps"'
        ends = [f"{name}-{first + i}" for i in range(min(size, 3))]
        return text + "/>\n", ends if more else [*ends, f"{name}-{name}_router"]

    def leaf(self, joined: bool = True) -> tuple[str, list[str]]:
        kind = self.rng.randrange(9)
        if kind < 4:
            return self.graph(["Full", "Floyd", "Dijkstra", "DijkstraCache"][kind], joined)
        if kind < 6:
            return self.star()
        if kind == 6 and joined:
            return self.vivaldi()
        return self.cluster()

    # -- zones of zones ---------------------------------------------------------------------------------

    def _children(self, depth: int) -> list[tuple[str, str, list[str]]]:
        """(name, text, gateways) of two to four zones."""
        children = []
        for _ in range(self.rng.randint(2, 4)):
            text, ends = self.inner(depth - 1) if depth > 1 and self.rng.random() < 0.4 else self.leaf()
            children.append((text.split('id="', 1)[1].split('"', 1)[0], text, ends))
        return children

    def inner(self, depth: int) -> tuple[str, list[str]]:
        rng = self.rng
        routing = rng.choice(["Full", "Floyd", "Dijkstra"])
        children = self._children(depth)
        declared, ways = self.links(rng.randint(2, 5))
        # Dijkstra can't cross a zone between two of its gateways
        gates = {name: rng.choice(ends) for name, _, ends in children}

        def gate(child: tuple[str, str, list[str]]) -> str:
            return gates[child[0]] if routing == "Dijkstra" else rng.choice(child[2])

        routes = ""
        for i, a in enumerate(children):
            for j, b in enumerate(children[:i]):
                if routing == "Full" or j == i - 1 or rng.random() < 0.3:
                    routes += (
                        f'<zoneRoute src="{a[0]}" dst="{b[0]}" gw_src="{gate(a)}" gw_dst="{gate(b)}">'
                        f"{self.hops(ways, 2)}</zoneRoute>\n"
                    )
        if rng.random() < 0.4:
            a, b = rng.sample(children, 2)
            routes += (
                f'<bypassZoneRoute src="{a[0]}" dst="{b[0]}" gw_src="{rng.choice(a[2])}" '
                f'gw_dst="{rng.choice(b[2])}">{self.hops(ways, 2)}</bypassZoneRoute>\n'
            )
        text = "".join(child[1] for child in children)
        ends = [end for child in children for end in child[2]]
        return f'<zone id="{self.name("z")}" routing="{routing}">\n{text}{declared}{routes}</zone>\n', ends


def random_platform(seed: int) -> str:
    """The text of a platform; even seeds give nested zones, odd ones a single zone."""
    maker = Maker(random.Random(seed))
    if seed % 2:
        text, _ = maker.leaf(joined=False)
        if text.startswith("<cluster"):
            text = f'<zone id="top" routing="Full">{text}</zone>'
    else:
        text, _ = maker.inner(2)
    return f'{HEAD}<platform version="4.1">\n{text}</platform>\n'
