"""What can be wrong with a plan is said before its first run: names, files, what no run could do."""

from __future__ import annotations

from pathlib import Path

from batfs.campaign.engine import configured
from batfs.campaign.plan import Plan
from batfs.decision.experiment import Experiment, Loaded, check_settings, load, machine_fields
from batfs.decision.options import PYBATSIM, split_pybatsim
from batfs.scheduling.config import Layer, Settings


def check_plan(plan: Plan) -> list[str]:
    """Read every platform and workload once, and make every policy, queue and model on each. InputError.

    Returns what the models have to say, such as what is off and which flag turns it on; each sentence once.
    """
    hosted: set[str] = set()
    said: dict[str, None] = {}
    for platform, workload, _ in plan.contexts():
        loaded: Loaded | None = None
        for treatment in plan.products():
            values = configured(plan.base, treatment, plan.seeds[0])
            config = Settings(flags=Layer("the comparison's settings", values)).configuration()
            if loaded is None:
                experiment = Experiment(
                    Path(platform),
                    [Path(workload)],
                    dynamic_jobs=bool(plan.dynamic_jobs),
                    **machine_fields(plan.machine),
                )
                loaded = load(experiment, config)
                files = loaded.files
            else:
                files = check_settings(loaded, config)
            said |= dict.fromkeys(files.announcements() if files is not None else ())
            if config.queue.startswith(PYBATSIM) and config.queue not in hosted:
                from batfs.decision.pybatsim_process import load_pybatsim

                hosted.add(config.queue)
                load_pybatsim(*split_pybatsim(config.queue))
    return list(said)
