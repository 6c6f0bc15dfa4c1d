"""Elements and attributes of a SimGrid platform file: names, which are required, defaults, choices.

From SimGrid 3.34's DTD (version 4.1 of the format), as data. An attribute's default is its text; None
marks a required attribute.
"""

from __future__ import annotations

from typing import Final

Attributes = dict[str, str | None]

_ZONE: Attributes = {"id": None, "routing": None}
_ROUTE: Attributes = {"src": None, "dst": None, "symmetrical": "YES"}
_BYPASS: Attributes = {"src": None, "dst": None}
_GATEWAYS: Attributes = {"gw_src": None, "gw_dst": None}
_ACTOR: Attributes = {
    "host": None,
    "function": None,
    "start_time": "-1.0",
    "kill_time": "-1.0",
    "on_failure": "DIE",
}
_PROP: Attributes = {"id": None, "value": None}

ATTRIBUTES: Final[dict[str, Attributes]] = {
    "platform": {"version": "0.0"},
    "config": {"id": ""},
    "prop": _PROP,
    "model_prop": _PROP,
    "zone": _ZONE,
    "AS": _ZONE,
    "host": {
        "id": None,
        "speed": None,
        "core": "1",
        "pstate": "0",
        "coordinates": "",
        "speed_file": "",
        "availability_file": "",
        "state_file": "",
    },
    "disk": {"id": "/", "read_bw": None, "write_bw": None},
    "router": {"id": None, "coordinates": ""},
    "host_link": {"id": None, "up": None, "down": None},
    "backbone": {"id": None, "bandwidth": None, "latency": None},
    "cabinet": {
        "id": None,
        "prefix": None,
        "suffix": None,
        "radical": None,
        "speed": None,
        "bw": None,
        "lat": None,
    },
    "cluster": {
        "id": None,
        "prefix": None,
        "suffix": None,
        "radical": None,
        "speed": None,
        "core": "1",
        "bw": None,
        "lat": None,
        "sharing_policy": "SPLITDUPLEX",
        "topology": "FLAT",
        "topo_parameters": "",
        "bb_bw": "",
        "bb_lat": "0s",
        "bb_sharing_policy": "SHARED",
        "router_id": "",
        "limiter_link": "",
        "loopback_bw": "",
        "loopback_lat": "",
    },
    "peer": {
        "id": None,
        "speed": None,
        "bw_in": None,
        "bw_out": None,
        "lat": "",
        "coordinates": "",
        "speed_file": "",
        "availability_file": "",
        "state_file": "",
    },
    # the DTD gives latency a default, but SimGrid's generated parser doesn't apply it
    "link": {
        "id": None,
        "bandwidth": None,
        "latency": None,
        "sharing_policy": "SHARED",
        "bandwidth_file": "",
        "latency_file": "",
        "state_file": "",
    },
    "route": _ROUTE,
    "zoneRoute": {**_ROUTE, **_GATEWAYS},
    "ASroute": {**_ROUTE, **_GATEWAYS},
    "bypassRoute": _BYPASS,
    "bypassZoneRoute": {**_BYPASS, **_GATEWAYS},
    "bypassASroute": {**_BYPASS, **_GATEWAYS},
    "link_ctn": {"id": None, "direction": "NONE"},
    "trace": {"id": None, "file": "", "periodicity": None},
    "trace_connect": {"kind": "HOST_AVAIL", "trace": None, "element": None},
    "actor": _ACTOR,
    "process": _ACTOR,
    "argument": {"value": None},
    "include": {"file": None},
    "random": {},
    "storage": {},
    "storage_type": {},
    "mount": {},
}

# what SimGrid's grammar knows and batfs (or SimGrid itself) doesn't take, and why
REFUSED: Final[dict[str, str]] = {
    "include": "SimGrid removed <include> in 3.18",
    "storage": "SimGrid removed <storage> in 3.27",
    "storage_type": "SimGrid removed <storage_type> in 3.27",
    "mount": "SimGrid removed <mount> in 3.27",
    "random": "SimGrid ignores <random>",
    "model_prop": "SimGrid removed <model_prop> with <storage_type>",
    "trace": "availability traces are not simulated by batfs",
    "trace_connect": "availability traces are not simulated by batfs",
    "actor": "Batsim brings its own actors; a platform must not name any",
    "process": "Batsim brings its own actors; a platform must not name any",
    "argument": "Batsim brings its own actors; a platform must not name any",
}

TRACE_FILES: Final = ("speed_file", "availability_file", "state_file", "bandwidth_file", "latency_file")

CHOICES: Final[dict[tuple[str, str], tuple[str, ...]]] = {
    ("link", "sharing_policy"): ("SHARED", "SPLITDUPLEX", "FULLDUPLEX", "FATPIPE", "WIFI"),
    ("cluster", "sharing_policy"): ("SHARED", "SPLITDUPLEX", "FULLDUPLEX", "FATPIPE"),
    ("cluster", "topology"): ("FLAT", "TORUS", "FAT_TREE", "DRAGONFLY"),
    ("cluster", "bb_sharing_policy"): ("SHARED", "FATPIPE"),
    ("link_ctn", "direction"): ("UP", "DOWN", "NONE"),
    **{(tag, "symmetrical"): ("YES", "NO", "yes", "no") for tag in ("route", "zoneRoute", "ASroute")},
}

_ZONES = {"AS", "zone", "include", "cluster", "peer"}
_HOSTS = {"host", "router", "host_link", "include", "storage", "storage_type"}
_EITHER = {"link", "backbone", "trace", "trace_connect"}
_ZONE_ROUTES = {"zoneRoute", "ASroute", "bypassASroute", "bypassZoneRoute"}
_ROUTES = {"route", "bypassRoute"}
_LIST = {"link_ctn"}

# the elements an element may hold; zones and the platform have an order as well, see Order
CHILDREN: Final[dict[str, frozenset[str]]] = {
    "platform": frozenset(
        {"config", "random", "cabinet", "actor", "process", *_ZONES, "trace", "trace_connect"}
    ),
    "config": frozenset({"prop"}),
    "host": frozenset({"disk", "prop", "mount"}),
    "disk": frozenset({"prop"}),
    "cluster": frozenset({"prop"}),
    "link": frozenset({"prop"}),
    "storage": frozenset({"prop"}),
    "storage_type": frozenset({"prop", "model_prop"}),
    "actor": frozenset({"argument", "prop"}),
    "process": frozenset({"argument", "prop"}),
    **dict.fromkeys((*_ZONE_ROUTES, *_ROUTES), frozenset(_LIST)),
    **dict.fromkeys(
        ("zone", "AS"),
        frozenset({"prop", "cabinet", *_ZONES, *_HOSTS, *_EITHER, *_ZONE_ROUTES, *_ROUTES}),
    ),
}


class Order:
    """Where we are in an element that prescribes an order; ``step`` says why an element can't come now."""

    __slots__ = ("holds", "stage", "tag")

    def __init__(self, tag: str) -> None:
        self.tag = tag
        self.stage = 0  # zone: 0 props, 1 content, 2 routes; platform: 0 config, 1 zones, 2 actors
        self.holds = ""  # zone: "zones" or "hosts" once that is settled

    def step(self, tag: str) -> str | None:
        if self.tag == "platform":
            stage = 0 if tag in ("config", "random") else 2 if tag in ("actor", "process") else 1
            if stage < self.stage:
                return f"<{tag}> has to come before all zones" if stage == 0 else f"<{tag}> comes too late"
            self.stage = stage
            return None
        if self.tag not in ("zone", "AS"):
            return None
        stage = 0 if tag == "prop" else 2 if tag in _ZONE_ROUTES or tag in _ROUTES else 1
        if stage < self.stage and tag not in ("trace", "trace_connect"):
            return (
                f"<{tag}> has to come before the zone's other elements"
                if tag == "prop"
                else f"<{tag}> comes after a route; in a zone all routes come last"
            )
        self.stage = max(stage, self.stage)
        wants = ""
        if tag in _ZONE_ROUTES or tag in ("AS", "zone", "cluster", "peer"):
            wants = "zones"
        elif tag in _ROUTES or tag in _HOSTS - {"include"} or (tag == "cabinet" and self.tag == "zone"):
            wants = "hosts"
        if wants and self.holds and wants != self.holds:
            mine = "zones, clusters and peers" if self.holds == "zones" else "hosts and routers"
            return f"<{tag}> can't be in a zone with {mine}: a zone holds either zones or hosts"
        self.holds = self.holds or wants
        return None
