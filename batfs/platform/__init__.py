"""The machine: hosts, links, zones and routes, read from SimGrid platform files."""

from batfs.platform.machine import Platform, load_platform
from batfs.platform.model import Consumption, Host, Link, NoRouteError, Route
from batfs.platform.numbering import Machine, MachineResource, number_resources

__all__ = [
    "Consumption",
    "Host",
    "Link",
    "Machine",
    "MachineResource",
    "NoRouteError",
    "Platform",
    "Route",
    "load_platform",
    "number_resources",
]
