"""How many node-hours are idle while data is staged in: nodes held for it, data brought ahead, two steps.

A user of Flux with Rabbits has nodes idle for an hour during the copy-in of a job, and asks what it would be
if the data came first. Here a month of synthetic jobs (Lublin and Feitelson, of hours each) runs on the
preset ``elcapitan``: 72 chassis of 16 nodes and a Rabbit, a Lustre behind. The data of each is copied to a
Lustre on some Rabbits wherever there is room (servers to choose, flux-coral2 #161): only such a one has its
place before the job has nodes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

from batfs.campaign.single import run_once
from batfs.files import write_text
from batfs.filesystems.staging_modes import STAGING
from batfs.platform import Platform, load_platform
from batfs.platform.generate import generate
from batfs.platform.spec import make_spec, preset
from batfs.workload import write_workload
from batfs.workload.synth import FileSystemShare, SynthOptions, synthesize

#: Nodes of a chassis of the preset.
_CHASSIS: Final = 16
DAY: Final = 86400.0
SHORTEST: Final = 4 * 3600.0


class Setting(NamedTuple):
    """``chassis`` of 16 nodes; ``jobs``, in about a month at this ``load``; Rabbits of each job's Lustre;
    the ``queue`` policy."""

    chassis: int = 72
    jobs: int = 500
    load: float = 0.33
    servers: int = 2
    queue: str = "easy"
    seed: int = 1

    @property
    def nodes(self) -> int:
        return self.chassis * _CHASSIS


class Outcome(NamedTuple):
    """One way of staging: node-hours idle while staging, of all that jobs held; mean wait (s); part of the
    machine in use; end of the last job (s); jobs that ran."""

    staging: str
    idle: float
    waiting: float
    utilisation: float
    last_end: float
    jobs: int


def write_inputs(setting: Setting, folder: Path) -> tuple[Path, Path]:
    """The machine and its month of jobs, as files in ``folder``."""
    platform, workload = folder / "elcapitan.xml", folder / "month.json"
    document = preset("elcapitan")
    document["nodes"]["count"] = setting.nodes
    write_text(platform, generate(make_spec(document)))
    # no Rabbit's share of a job is more than a quarter of it
    most = 30.72e12 / 4 * setting.servers
    options = SynthOptions(
        jobs=setting.jobs,
        nodes=setting.nodes,
        seed=setting.seed,
        load=setting.load,
        shortest=SHORTEST,
        longest=DAY,
        com=0.0,
        filesystems=(FileSystemShare("rabbit", most=int(most)),),
    )
    write_workload(workload, synthesize(options))
    return platform, workload


def answer(setting: Setting, folder: Path) -> list[Outcome]:
    """Every way of staging on the same machine and month; ``folder`` is for scratch."""
    platform, workload = write_inputs(setting, folder)
    read = load_platform(platform)
    return [_simulate(mode, setting, read, workload, folder) for mode in STAGING]


def _simulate(mode: str, setting: Setting, platform: Platform, workload: Path, folder: Path) -> Outcome:
    model = f"rabbit:backing=lustre,type=lustre,servers={setting.servers},staging={mode}"
    configuration = {
        "filesystems": {"rabbit": {"model": model}},
        "queue": setting.queue,
        "seed": setting.seed,
        "default_filesystem": "lustre",
    }
    files = str(platform.file), str(workload)
    found = run_once(*files, folder / mode, configuration, dynamic_jobs=True, read=platform)
    return Outcome(
        mode,
        found.get("staging_node_hours", 0.0),
        found["waiting_time"]["mean"] or 0.0,
        found["utilisation"] or 0.0,
        found["last_end"],
        sum(count for state, count in found["states"].items() if state != "REJECTED"),
    )
