"""Files of other programs that get given by mistake: what each is, and the command that reads it, if any."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

# the text of a file -> what it is; the first that fits counts. Each looks at the first lines only.
_TEXTS: Final = (
    (
        r"# darshan log version: ",
        "it is what darshan-parser prints; give the log itself (*.darshan) to 'batfs workload from-darshan'",
    ),
    (
        r"(?s).{0,2000}^IOR-\d[\w.+-]*:",
        "it is IOR's output: a benchmark's result, which no command of batfs reads",
    ),
    (r"IO500 version |(?s:.{0,2000}^\[RESULT\] )", "it is IO500's output, which no command of batfs reads"),
    (r"(?s).{0,2000}^mdtest-\d[\w.+-]*", "it is mdtest's output, which no command of batfs reads"),
    (
        r"(?is)(?=.{0,4000}^\s*(?:DefaultPool|AltPool|GetSysState|Granularity|StageInTimeout|StageOutTimeout"
        r"|AllowUsers|CreateBuffer|StartStageIn)\s*=)(?:\s*(?:#[^\n]*|\w+\s*=[^\n]*)?\n)*\s*\w+\s*=",
        "it is Slurm's burst_buffer.conf, which no command of batfs reads",
    ),
    (
        r"(?i)(?s:.{0,4000}^\s*(?:ClusterName|SlurmctldHost)\s*=)",
        "it is slurm.conf, which no command of batfs reads",
    ),
    (r"<\?xml|<!DOCTYPE platform|<platform", "it is a SimGrid platform; 'batfs check' reads it"),
    (
        r"#!(?s:.{0,4000}^#(?:SBATCH|PBS|BSUB|COBALT)\b)",
        "it is a batch script; 'batfs workload from-log --scripts' takes a folder of them beside a log",
    ),
    (
        r"Job Id: \S+\s*\n\s+Job_Name = ",
        "it is what 'qstat -f' prints; 'batfs workload from-log' reads PBS's accounting log",
    ),
    (r"Job <\d+>, ", "it is what bjobs or bhist prints; 'batfs workload from-log' reads LSF's lsb.acct"),
)

_LOG_MEMBERS: Final = frozenset(
    ("job_id", "jobid", "jobidraw", "id_job", "cobalt_jobid", "submit_time", "time_submit", "submit")
)


def foreign_text(text: str) -> str | None:
    """What ``text`` is when another program's output is known by its first lines; None otherwise."""
    head = text[:20000].lstrip("\ufeff \t\r\n")
    return next((what for pattern, what in _TEXTS if re.compile(pattern, re.MULTILINE).match(head)), None)


def foreign_json(document: Any) -> str | None:
    """What a JSON (or YAML) document is that isn't a Batsim workload; None where it isn't known."""
    if isinstance(document, list):
        first = next((item for item in document if isinstance(item, Mapping)), None)
        return None if first is None else _job_list([first])
    if not isinstance(document, Mapping):
        return None
    if isinstance(document.get("workflow"), Mapping) and ("schemaVersion" in document or "name" in document):
        return "looks like a WfCommons workflow instance; 'batfs workload from-wfcommons' reads it"
    if {"nb_res", "jobs", "profiles"} <= document.keys():
        return "it is a Batsim workload already"
    if {"resources", "tasks"} <= document.keys() and ("attributes" in document or "version" in document):
        return "looks like a Flux jobspec: what one job asks for, which no command of batfs reads"
    if isinstance(document.get("traceEvents"), list):
        return "looks like a trace of events (Chrome's format), which no command of batfs reads"
    jobs = document.get("jobs")
    if isinstance(jobs, list):
        return _job_list([job for job in jobs if isinstance(job, Mapping)][:1])
    if isinstance(document.get("hosts"), list):
        return "looks like StorAlloc's description of a storage system; 'batfs alloc' reads it"
    return None


def _job_list(jobs: list[Mapping[str, Any]]) -> str | None:
    if not jobs:
        return None
    job = jobs[0]
    if {"num_nodes", "application_model"} & job.keys() and "submit_time" in job:
        return (
            "looks like ElastiSim's jobs (submit_time, num_nodes, application_model), which no command reads"
        )
    if "readBytes" in job or "writtenBytes" in job:
        return "looks like a trace of StorAlloc or Fives; 'batfs workload from-storalloc' reads it"
    if isinstance(job.get("time"), Mapping) or "job_state" in job:
        return "looks like what Slurm's --json prints; 'batfs workload from-log' reads it"
    if _LOG_MEMBERS & {str(key).lower() for key in job} and "profile" not in job:
        return "looks like a job table; 'batfs workload from-log' reads it"
    return None


def foreign_workload(data: bytes, path: str | Path | None = None) -> str | None:
    """What a file is that was given as a Batsim workload and isn't JSON; None where it isn't known."""
    from batfs.errors import InputError
    from batfs.texts import decode
    from batfs.workload.joblog.accounting import LSF_LINE, PBS_LINE, SLURM_LINE
    from batfs.workload.joblog.tables import is_swf

    if is_darshan(data):
        return "it is a Darshan log; 'batfs workload from-darshan' reads it"
    if data.startswith(b"PAR1"):
        return "it is a Parquet file; 'batfs workload from-log' reads job tables in it"
    try:
        text = decode(data, path).text.lstrip("\ufeff \t\r\n")
    except InputError:
        return None
    found = foreign_text(text)
    if found is not None:
        return found
    if is_swf(text):
        return "it is a log in the standard workload format; 'batfs workload from-swf' reads it"
    if any(line.match(text) for line in (PBS_LINE, LSF_LINE, SLURM_LINE)):
        return "it is a scheduler's log; 'batfs workload from-log' reads it"
    first = text.partition("\n")[0].lower()
    if re.search(
        r"(?<![a-z])(job_?id(raw)?|cobalt_jobid|id_job|job_name)(?![a-z])", first
    ) and not first.startswith("{"):
        return "it is a job table; 'batfs workload from-log' reads it"
    if re.match(r"jobs:\s*\n|(?s:.{0,400}^jobs:)", text, re.MULTILINE) and "Bytes" in text[:4000]:
        return "it is a trace of StorAlloc or Fives; 'batfs workload from-storalloc' reads it"
    return None


# the number that tells the byte order of every Darshan 3 log, behind the eight bytes of its version
_DARSHAN_MAGIC: Final = (6567223).to_bytes(8, "little"), (6567223).to_bytes(8, "big")


def is_darshan(data: bytes) -> bool:
    """Whether ``data`` begins as a Darshan 3 log does: its version, and the number of its byte order."""
    return re.match(rb"3\.\d\d\0", data) is not None and data[8:16] in _DARSHAN_MAGIC


def darshan2_version(data: bytes) -> str | None:
    """The version of a Darshan 1 or 2 log, whose whole text is packed (gzip, bzip2); None for other files."""
    found = re.match(rb"([12]\.\d\d)\0", data)
    return found[1].decode() if found else None
