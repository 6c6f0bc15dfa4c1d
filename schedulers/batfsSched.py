"""batfs's scheduler for pybatsim's own launcher.

pybatsim schedulers/batfsSched.py -o '{"policy": "random"}'
"""

from batfs.decision.pybatsim_scheduler import BatfsScheduler


class BatfsSched(BatfsScheduler):
    """pybatsim finds a scheduler by its file's name: batfsSched.py holds BatfsSched."""
