"""Batsim 5 (5.0.0-rc2): its server, its periodic calls, its links to decision components, its outputs.

Machines, tasks and time are those of Batsim 4 (``batfs.simulator``); what is here is what differs.
"""
