"""The machine: hosts, links, zones and routes."""
