"""Everything moves at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batfs.scheduling.io_policies import FAIR, IO_POLICIES

if TYPE_CHECKING:
    from batfs.scheduling.io_policies.interface import IoPass, IoView


@IO_POLICIES.register(FAIR)
class Fair:
    """Every transfer starts when it is asked for, and all that meet on a link share it.

    What a machine without an I/O scheduler does, and batfs without this option: k transfers on a link of
    bandwidth B get B/k each, or less where another link limits them. It is the default, and then it isn't
    even asked.
    """

    name = FAIR

    def schedule(self, view: IoView) -> IoPass:
        from batfs.scheduling.io_policies.interface import IoPass, Start

        return IoPass([Start(transfer) for transfer in view.waiting])
