"""Every transfer at a limited rate."""

from __future__ import annotations

from typing import Literal

from batfs.errors import InputError
from batfs.plugins import Bandwidth
from batfs.scheduling.io_policies import IO_POLICIES
from batfs.scheduling.io_policies.interface import IoPass, IoView, Start


@IO_POLICIES.register("cap")
class Cap:
    """No transfer goes faster than ``rate`` (bytes/s); with ``per=node`` than that times its job's nodes.

    What administrators do with cgroups' io.max, or Lustre with a fixed rate per job. A transfer of 1 GB
    limited to 10 MB/s takes 100 s on a link of 100 MB/s, and one of 1 GB beside it 1 GB / 90 MB/s = 11.1 s.
    Each limited transfer takes a throttle of the platform (``batfs platform add-throttles``); when none is
    free it waits for one, first come, first served.
    """

    name = "cap"
    limits_rates = True

    def __init__(self, rate: Bandwidth, per: Literal["job", "node"] = "job") -> None:
        if not rate > 0:
            raise InputError(f"the option 'rate' of the I/O policy 'cap' is {rate:g} bytes/s, expected more")
        self._rate = rate
        self._by_nodes = per == "node"

    def schedule(self, view: IoView) -> IoPass:
        starts: list[Start] = []
        throttles = view.throttles
        for transfer in view.waiting:
            rate = self._rate * (transfer.application.nodes if self._by_nodes else 1)
            if transfer.size and rate < transfer.bandwidth:
                if not throttles:
                    continue
                throttles -= 1
            starts.append(Start(transfer, rate=rate))
        return IoPass(starts)
