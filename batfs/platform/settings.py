"""SimGrid's configuration options as far as a platform file or ``--sg-cfg`` may set them.

The names are those SimGrid 3.34 registers; it refuses any other, so each is known here by name. Names of
earlier versions are told with the one in use.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from batfs.errors import InputError, unknown

_TEXT, _NUMBER, _WHOLE, _SWITCH = "a text", "a number", "a whole number", "yes or no"


def _options(kind: str, family: str, names: str) -> dict[str, str]:
    prefix = f"{family}/" if family else ""
    return {prefix + name: kind for name in names.split()}


# an option's name -> what its value is
OPTIONS: Final[Mapping[str, str]] = {
    **_options(_WHOLE, "bmf", "max-iterations"),
    **_options(_WHOLE, "cmonkey", "host link"),
    **_options(_SWITCH, "cmonkey", "tell"),
    **_options(_NUMBER, "cmonkey", "time"),
    **_options(_TEXT, "contexts", "factory synchro"),
    **_options(_WHOLE, "contexts", "guard-size nthreads stack-size"),
    **_options(_SWITCH, "cpu", "maxmin-selective-update"),
    **_options(_TEXT, "cpu", "model optim solver"),
    **_options(_NUMBER, "debug", "breakpoint"),
    **_options(_SWITCH, "debug", "clean-atexit verbose-exit"),
    **_options(_TEXT, "disk", "model solver"),
    **_options(_SWITCH, "exception", "cutpath"),
    **_options(_SWITCH, "", "help-nostop tracing"),
    **_options(_TEXT, "host", "model solver"),
    **_options(_WHOLE, "maxmin", "concurrency-limit"),
    **_options(_TEXT, "model-check", "replay"),
    **_options(_SWITCH, "model-check", "timeout"),
    **_options(
        _NUMBER, "network", "TCP-gamma bandwidth-factor latency-factor loopback-bw loopback-lat weight-S"
    ),
    **_options(_SWITCH, "network", "crosstraffic maxmin-selective-update"),
    **_options(_TEXT, "network", "model optim solver"),
    **_options(_TEXT, "ns3", "TcpModel seed"),
    **_options(_TEXT, "", "path plugin"),
    **_options(_TEXT, "plugin/dvfs", "governor"),
    **_options(_WHOLE, "plugin/dvfs", "max-pstate min-pstate"),
    **_options(_NUMBER, "plugin/dvfs", "sampling-rate"),
    **_options(_NUMBER, "precision", "bmf timing work-amount"),
    **_options(
        _SWITCH,
        "smpi",
        "display-allocs errors-are-fatal grow-injected-times keep-temps pedantic simulate-computation"
        " trace-call-location trace-call-use-absolute-path",
    ),
    **_options(
        _NUMBER, "smpi", "auto-shared-malloc-thresh cpu-threshold init iprobe iprobe-cpu-usage test wtime"
    ),
    **_options(_WHOLE, "smpi", "async-small-thresh list-leaks map np send-is-detached-thresh"),
    **_options(
        _TEXT,
        "smpi",
        "IB-penalty-factors bw-factor coll-selector comp-adjustment-file display-timing host-speed hostfile"
        " lat-factor privatization privatize-libs or os ois replay shared-malloc shared-malloc-blocksize"
        " shared-malloc-hugepage allgather allgatherv allreduce alltoall alltoallv barrier bcast gather"
        " reduce reduce_scatter scatter",
    ),
    **_options(
        _SWITCH,
        "tracing",
        "actor basic categorized disable-destroy disable_link disable_power platform platform/topology smpi"
        " smpi/computing smpi/display-sizes smpi/format/ti-one-file smpi/group smpi/internals smpi/sleeping"
        " uncategorized vm",
    ),
    **_options(_TEXT, "tracing", "comment comment-file filename smpi/format"),
    **_options(_WHOLE, "tracing", "precision"),
}
KNOWN: Final = tuple(sorted(OPTIONS))
# what some options may say; SimGrid ends with "is invalid" at anything else
CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "cpu/model": ("Cas01",),
    "cpu/optim": ("Lazy", "TI", "Full"),
    "cpu/solver": ("maxmin", "fairbottleneck", "bmf"),
    "disk/solver": ("maxmin", "fairbottleneck", "bmf"),
    "host/model": ("default", "compound", "ptask_L07"),
    "host/solver": ("maxmin", "fairbottleneck", "bmf"),
    "network/model": ("LV08", "Constant", "SMPI", "IB", "CM02", "ns-3", "Raw"),
    "network/optim": ("Lazy", "TI", "Full"),
    "network/solver": ("maxmin", "fairbottleneck", "bmf"),
    "plugin": (
        "link_load",
        "link_energy_wifi",
        "link_energy",
        "host_load",
        "host_energy",
        "host_dvfs",
        "cmonkey",
        "photovoltaic",
        "chiller",
        "battery",
        "solar_panel",
    ),
}
# a spelling that SimGrid still takes -> the one in use
ALIASES: Final = {
    "bmf/precision": "precision/bmf",
    "maxmin/precision": "precision/work-amount",
    "surf/precision": "precision/timing",
}
# a name that SimGrid no longer takes -> the one in use; besides, many had an underscore for a hyphen
OLD: Final = {
    "clean_atexit": "debug/clean-atexit",
    "clean-atexit": "debug/clean-atexit",
    "cpu_model": "cpu/model",
    "host_model": "host/model",
    "maxmin_selective_update": "network/maxmin-selective-update",
    "maxmin-selective-update": "network/maxmin-selective-update",
    "msg/verbose-exit": "debug/verbose-exit",
    "network_model": "network/model",
    "smpi/cpu_threshold": "smpi/cpu-threshold",
    "smpi/display_timing": "smpi/display-timing",
    "smpi/privatize_global_variables": "smpi/privatization",
    "smpi/privatize-global-variables": "smpi/privatization",
    "smpi/running_power": "smpi/host-speed",
    "smpi/running-power": "smpi/host-speed",
    "smpi/async_small_thres": "smpi/async-small-thresh",
    "smpi/use_shared_malloc": "smpi/shared-malloc",
    "smpi/use-shared-malloc": "smpi/shared-malloc",
    "storage/model": "disk/model",
    "tracing/msg/process": "tracing/actor",
    "tracing/msg/vm": "tracing/vm",
    "tracing/onelink_only": "tracing/platform",
    "verbose-exit": "debug/verbose-exit",
    "workstation/model": "host/model",
    "workstation_model": "host/model",
}
GONE: Final = (
    "contexts/parallel_mode",
    "contexts/parallel_threshold",
    "contexts/parallel-threshold",
    "gtnets/jitter",
    "gtnets/jitter_seed",
    "gtnets_jitter",
    "gtnets_jitter_seed",
    "model-check",
    "model-check/checkpoint",
    "model-check/communications-determinism",
    "model-check/hash",
    "model-check/max-depth",
    "model-check/property",
    "model-check/record",
    "model-check/reduction",
    "model-check/snapshot-fds",
    "model-check/sparse-checkpoint",
    "model-check/termination",
    "model-check/visited",
    "network/coordinates",
    "network/sender_gap",
    "network/sender-gap",
    "simix/breakpoint",
    "storage/max_file_descriptors",
    "storage/max-file-descriptors",
    "surf/nthreads",
    "tracing/buffer",
    "triva/categorized",
    "triva/uncategorized",
    "verbosity",
    "viva/categorized",
    "viva/uncategorized",
)
NUMBERS: Final = (
    "network/TCP-gamma",
    "network/loopback-bw",
    "network/loopback-lat",
    "precision/timing",
    "precision/work-amount",
)
_SWITCHES: Final = ("yes", "on", "true", "1", "no", "off", "false", "0")


def canonical(key: str) -> str:
    """The spelling of an option in use today."""
    return ALIASES.get(key, key)


def renamed(key: str) -> str | None:
    """The present name of an option of an earlier SimGrid, empty when it is gone; None if it is none."""
    if key in OLD:
        return OLD[key]
    if key in GONE:
        return ""
    hyphens = key.replace("_", "-")
    return hyphens if hyphens in OPTIONS and hyphens != key else None


def check(key: str, value: str) -> None:
    """InputError for an unknown option or a value that it can't have."""
    key = canonical(key)
    kind = OPTIONS.get(key)
    if kind is None:
        now = renamed(key)
        if now is None:
            raise unknown("SimGrid option", key, KNOWN)
        became = f"its name is {now!r} now" if now else "it is gone without a successor"
        raise InputError(
            f"{key!r} is an option of an earlier SimGrid, which 3.34 refuses: {became}",
            hint="batfs platform convert rewrites the file",
        )
    if key in NUMBERS:
        number({key: value}, key, 0.0)
    if not _fits(value, kind):
        raise InputError(f"the SimGrid option {key} must be {kind}, found {value!r}")
    choices = CHOICES.get(key)
    if choices is not None and value not in choices:
        raise InputError(f"the SimGrid option {key} must be one of {', '.join(choices)}; found {value!r}")


def _fits(value: str, kind: str) -> bool:
    if kind == _SWITCH:
        return value in _SWITCHES
    if kind not in (_NUMBER, _WHOLE):
        return True
    try:
        (float if kind == _NUMBER else int)(value)
    except ValueError:
        return False
    return value == value.strip() and "_" not in value


def checked(config: Mapping[str, str]) -> dict[str, str]:
    """All options under their present names, each checked."""
    for key, value in config.items():
        check(key, value)
    return {canonical(key): value for key, value in config.items()}


def number(config: Mapping[str, str], key: str, default: float) -> float:
    """The option as a number; InputError when it is negative, not finite or no number."""
    text = config.get(key)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        raise InputError(f"the SimGrid option {key} must be a number, found {text!r}") from None
    if not math.isfinite(value) or value < 0:
        raise InputError(f"the SimGrid option {key} must be finite and not negative, found {text!r}")
    return value
