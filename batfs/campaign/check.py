"""What can be wrong with a plan is said before its first run: names, files, what no run could do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from batfs.campaign.plan import Plan
from batfs.campaign.settings import configured
from batfs.decision.experiment import Experiment, Loaded, check_settings, load, machine_fields
from batfs.decision.options import PYBATSIM, split_pybatsim
from batfs.filesystems.site import FileSystems
from batfs.report.headline import STAGED, WATCHED, possible
from batfs.scheduling.config import Configuration, Layer, Settings
from batfs.scheduling.making import asks_for_watch


@dataclass(frozen=True, slots=True)
class Checked:
    """What a sound plan's models say, such as what is off and which flag turns it on (each sentence once);
    and the figures that comparisons of its runs may show."""

    said: tuple[str, ...]
    figures: tuple[str, ...]


def check_plan(plan: Plan) -> Checked:
    """Read every platform and workload once, and make every policy, queue and model on each. InputError."""
    hosted: set[str] = set()
    said: dict[str, None] = {}
    let: set[str] = set()
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
            if files is not None:
                said |= dict.fromkeys(files.announcements())
                let |= _let(files, config)
            if config.queue.startswith(PYBATSIM) and config.queue not in hosted:
                from batfs.decision.pybatsim_process import load_pybatsim

                hosted.add(config.queue)
                load_pybatsim(*split_pybatsim(config.queue))
    return Checked(tuple(said), possible(let))


def _let(files: FileSystems, config: Configuration) -> set[str]:
    """What such settings let a run do that some figures need."""
    found = {STAGED} if files.stages_in else set()
    if files.dynamic_jobs and asks_for_watch(config, paced=bool(files.staging_limits)):
        found.add(WATCHED)
    return found
