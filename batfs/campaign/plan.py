"""What a campaign compares: the full product of settings, and the seeds each is run with.

An *axis* is a setting and its values. Policies, queue policies, file-system models and ``--vary`` are
*treatments*: what is compared. Platforms and workloads are the *context* in which treatments are compared.
"""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from batfs import texts
from batfs.campaign.single import MACHINE
from batfs.errors import InputError, nearest, unknown

# replicas of the baseline that check the method: their policy seeds lie this far from the others'
NULL_OFFSET: Final = 1_000_000
NULL_SUFFIX: Final = " (again)"


@dataclass(frozen=True, slots=True)
class Axis:
    """``key`` is a key of the scheduler's configuration (dots go into tables); ``values`` as written."""

    key: str
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """One run of the product: a treatment in a context with a seed.

    ``seed`` numbers the pair: runs of different treatments with one seed share their workload, and a policy's
    random draws begin with ``policy_seed``.
    """

    platform: str
    workload: str
    treatment: Mapping[str, Any]
    label: str
    context: str
    seed: int
    policy_seed: int


@dataclass(frozen=True, slots=True)
class Plan:
    """A campaign: contexts x treatments x seeds, and what holds for all of them.

    ``base`` is the scheduler's configuration below the treatments; ``resample`` says how a seed makes a
    workload of its own (``none``: every seed runs the same jobs); ``null`` runs the baseline once more with
    other policy seeds, as a check that no difference is found where there is none. ``primary``: the one
    figure that is tested; the others then only describe. ``calibration``: the file that each seed draws the
    parameters of its file systems from, the same for all treatments.
    ``machine`` holds what of Batsim's ``master_host``,
    ``add_role_to_hosts``, ``mmax`` and ``events`` isn't as usual.
    """

    platforms: tuple[str, ...]
    workloads: tuple[str, ...]
    treatments: tuple[Axis, ...]
    seeds: tuple[int, ...] = tuple(range(1, 31))
    baseline: str | None = None
    base: Mapping[str, Any] = field(default_factory=dict)
    resample: str = "none"
    null: bool = False
    dynamic_jobs: bool | None = None
    threshold: float = 10.0
    primary: str | None = None
    machine: Mapping[str, Any] = field(default_factory=dict)
    calibration: str | None = None

    def __post_init__(self) -> None:
        if not self.platforms or not self.workloads:
            raise InputError("a comparison needs a platform and a workload", hint="-p PLATFORM -w WORKLOAD")
        if not self.seeds:
            raise InputError("a comparison needs at least one seed")
        for name, given in (("platform", self.platforms), ("workload", self.workloads), ("seed", self.seeds)):
            _no_repeats(name, [str(value) for value in given])
        for axis in self.treatments:
            _no_repeats(f"value of {axis.key!r}", [str(value) for value in axis.values])
        if self.baseline is not None and self.baseline not in self.labels():
            raise unknown("baseline", self.baseline, self.labels())

    def labels(self) -> list[str]:
        """The names of the treatments, in order; the values of the axes that have more than one."""
        return [_label(values, self.treatments) for values in self.products()]

    def baseline_label(self) -> str:
        return self.labels()[0] if self.baseline is None else self.baseline

    def contexts(self) -> list[tuple[str, str, str]]:
        """(platform, workload, name): the name is empty where there is one context only."""
        platforms, workloads = _short_names(self.platforms), _short_names(self.workloads)
        found = []
        for (platform, short), (workload, work) in itertools.product(platforms.items(), workloads.items()):
            parts = [work] * (len(workloads) > 1) + [short] * (len(platforms) > 1)
            found.append((platform, workload, " on ".join(parts)))
        return found

    def cells(self) -> Iterator[Cell]:
        """Every run, in the order in which tables list them: by context, treatment, seed."""
        labels = self.labels()
        again = self.baseline_label() if self.null else None
        for platform, workload, context in self.contexts():
            for values, label in zip(self.products(), labels, strict=True):
                offsets = [(label, 0)] + ([(label + NULL_SUFFIX, NULL_OFFSET)] if label == again else [])
                for name, offset in offsets:
                    for seed in self.seeds:
                        yield Cell(platform, workload, values, name, context, seed, seed + offset)

    def products(self) -> list[dict[str, Any]]:
        """The settings of each treatment, in order."""
        keys = [axis.key for axis in self.treatments]
        return [
            dict(zip(keys, values, strict=True))
            for values in itertools.product(*(axis.values for axis in self.treatments))
        ]

    def describe(self) -> dict[str, Any]:
        """The plan as plain values, for provenance."""
        return {
            "platforms": list(self.platforms),
            "workloads": list(self.workloads),
            "treatments": {axis.key: list(axis.values) for axis in self.treatments},
            "seeds": list(self.seeds),
            "baseline": self.baseline_label(),
            "configuration": dict(self.base),
            "resample": self.resample,
            "null": self.null,
            "dynamic_jobs": self.dynamic_jobs,
            "threshold": self.threshold,
            **({} if self.primary is None else {"primary": self.primary}),
            **({} if self.calibration is None else {"calibration": self.calibration}),
            **({"machine": dict(self.machine)} if self.machine else {}),
        }


# settings that name a policy or a model, and have a flag of their own
PLAIN: Final = ("policy", "queue", "io_policy", "filesystem")


def _no_repeats(name: str, values: Sequence[str]) -> None:
    for i, value in enumerate(values):
        if value in values[:i]:
            hint = "--null runs the baseline twice" if "policy" in name else None
            raise InputError(f"the {name} {value!r} is given twice", hint=hint)


def _label(values: Mapping[str, Any], axes: Sequence[Axis]) -> str:
    several = [axis.key for axis in axes if len(axis.values) > 1]
    keys = several or [key for key in ("policy",) if key in values] or list(values)[:1]
    plain = PLAIN
    return ", ".join(str(values[k]) if k in plain else f"{k}={values[k]}" for k in keys) or "default"


def _short_names(paths: Sequence[str]) -> dict[str, str]:
    stems = [Path(path).stem for path in paths]
    return {path: stem if stems.count(stem) == 1 else path for path, stem in zip(paths, stems, strict=True)}


MOST_SEEDS = 1_000_000


def parse_seeds(text: str | int | Sequence[int]) -> tuple[int, ...]:
    """``30`` is the seeds 1 to 30; ``5-9`` and ``1,4,7`` are those seeds. InputError otherwise."""
    if isinstance(text, Sequence) and not isinstance(text, str):
        if all(type(seed) is int for seed in text):
            return tuple(text)
        raise InputError(f"{list(text)!r} are no seeds; whole numbers were expected")
    words = str(text).split(",")
    try:
        if len(words) == 1 and "-" not in words[0]:
            count = int(words[0])
            if count > MOST_SEEDS:
                raise InputError(
                    f"{count} seeds are more than any comparison needs", hint=f"{MOST_SEEDS} at most"
                )
            if count >= 1:
                return tuple(range(1, count + 1))
        found: list[int] = []
        for word in words if len(words) > 1 or "-" in words[0] else []:
            first, _, last = word.partition("-")
            if int(last or first) - int(first) > MOST_SEEDS:
                raise InputError(f"{word!r} are more than {MOST_SEEDS} seeds")
            found.extend(range(int(first), int(last or first) + 1))
        if found:
            return tuple(found)
    except ValueError:
        pass
    raise InputError(f"{text!r} are no seeds; expected a count such as 30, a range 1-30 or a list 1,5,9")


def parse_vary(words: Sequence[str]) -> list[Axis]:
    """``--vary key=a,b,c`` as axes. Values that hold commas are separated by semicolons; repeated keys add
    up.
    """
    found: dict[str, list[Any]] = {}
    for word in words:
        key, equals, values = word.partition("=")
        if not key or not equals or not values:
            raise InputError(f"--vary {word!r}: expected key=a,b,c")
        name = plain_key(key)
        parts = values.split(";") if ";" in values else values.split(",")
        found.setdefault(name, []).extend(plain_value(part.strip()) for part in parts)
    return [Axis(key, tuple(values)) for key, values in found.items()]


def plain_key(text: str) -> str:
    """A key of the configuration as it is kept: hyphens count as underscores, but for names of file systems
    and storages (``filesystems.my-fs.stripe-count`` is ``filesystems.my-fs.stripe_count``)."""
    words = split_key(text.strip())
    return ".".join(
        word if len(words) == 3 and k == 1 else word.replace("-", "_") for k, word in enumerate(words)
    )


def split_key(key: str) -> list[str]:
    """The tables that a key goes into, and its own name: names of file systems and storages may have dots."""
    first, _, rest = key.partition(".")
    if first not in ("filesystems", "storages") or "." not in rest:
        return key.split(".")
    name, _, last = rest.rpartition(".")
    return [first, name, last]


def plain_value(text: str) -> Any:
    """A word from a command line as TOML would have it: a number, true or false, else a string."""
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


_PLAN_KEYS: Final = (
    "platform",
    "workload",
    "policy",
    "queue",
    "io_policy",
    "filesystem",
    "vary",
    "seeds",
    "baseline",
    "configuration",
    "resample",
    "null",
    "dynamic_jobs",
    "threshold",
    "primary",
    "calibration",
    *MACHINE,
)


def read_plan(path: str | Path) -> dict[str, Any]:
    """The members of a campaign's TOML file, checked by name; paths made relative to where the file lies."""
    try:
        values = tomllib.loads(texts.utf8_text(path))
    except ValueError as error:  # no TOML, or a number with thousands of digits
        raise InputError(f"malformed TOML: {error}", file=path) from None
    found: dict[str, Any] = {}
    for raw, value in values.items():
        key = raw.replace("-", "_")
        if key not in _PLAN_KEYS:
            close = nearest(key, _PLAN_KEYS)
            hint = f"did you mean {close!r}?" if close else None
            raise InputError(f"unknown key {raw!r}; known: {', '.join(_PLAN_KEYS)}", file=path, hint=hint)
        found[key] = value
    home = Path(path).parent
    for key in ("platform", "workload", *PLAIN, "add_role_to_hosts", "events"):
        if key in found:
            found[key] = [_text(item, key, path) for item in _listed(found[key])]
    for key in ("platform", "workload", "events"):
        if key in found:
            found[key] = [str(home / item) for item in found[key]]
    if not isinstance(found.get("vary", {}), Mapping):
        raise InputError("expected a table of lists", file=path, place="vary")
    if not isinstance(found.get("configuration", {}), Mapping):
        raise InputError("expected a table", file=path, place="configuration")
    return found


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list) else [value]


def _text(value: Any, key: str, path: str | Path) -> str:
    if not isinstance(value, str):
        raise InputError(f"{value!r} is not a string", file=path, place=key)
    return value


def _machine(values: Mapping[str, Any]) -> dict[str, Any]:
    """What the values say of the machine, where it isn't as usual."""
    mmax = values.get("mmax", 0)
    if isinstance(mmax, bool) or not isinstance(mmax, int) or mmax < 0:
        raise InputError(f"mmax: expected a number of nodes of at least 0, found {mmax!r}")
    found: dict[str, Any] = {"mmax": mmax}
    found["master_host"] = _text(values.get("master_host", "master_host"), "master_host", "the plan")
    for key in ("add_role_to_hosts", "events"):
        found[key] = [_text(str(v), key, "the plan") for v in _listed(values.get(key) or [])]
    usual = {"mmax": 0, "master_host": "master_host", "add_role_to_hosts": [], "events": []}
    return {key: value for key, value in found.items() if value != usual[key]}


def make_plan(values: Mapping[str, Any]) -> Plan:
    """A plan from members named as in a campaign's TOML file; InputError says which one is wrong."""
    axes = [Axis(key, tuple(_listed(values[key]))) for key in PLAIN if values.get(key)]
    for axis in axes:
        _one_by_one(axis)
    vary = values.get("vary") or {}
    more = (
        vary if isinstance(vary, list) else [Axis(plain_key(k), tuple(_listed(v))) for k, v in vary.items()]
    )
    for axis in more:
        if axis.key in ("seed", "platform"):
            raise InputError(
                f"--vary can't vary {axis.key!r}", hint=f"--{axis.key}s" if axis.key == "seed" else "-p"
            )
        if any(other.key == axis.key for other in axes):
            raise InputError(f"{axis.key!r} is varied twice")
        axes.append(axis)
    threshold = values.get("threshold", 10.0)
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not threshold > 0:
        raise InputError(f"threshold: expected a positive number of seconds, found {threshold!r}")
    base, dynamic = dict(values.get("configuration") or {}), values.get("dynamic_jobs")
    if any(axis.key == "io_policy" for axis in axes):
        # or fair had nothing to be compared with, and the others nothing to decide
        base.setdefault("measure_io", True)
        dynamic = True if dynamic is None else dynamic
    if any(axis.key == "staging" for axis in axes):
        dynamic = True if dynamic is None else dynamic
    return Plan(
        platforms=tuple(values.get("platform") or ()),
        workloads=tuple(values.get("workload") or ()),
        treatments=tuple(axes),
        seeds=parse_seeds(values.get("seeds", 30)),
        baseline=values.get("baseline"),
        base=base,
        resample=str(values.get("resample") or "none"),
        null=bool(values.get("null", False)),
        dynamic_jobs=dynamic,
        threshold=float(threshold),
        primary=_figure(values.get("primary")),
        calibration=None if values.get("calibration") is None else str(values["calibration"]),
        machine=_machine(values),
    )


def _one_by_one(axis: Axis) -> None:
    """InputError for ``--policy a,b``: several are several flags."""
    for value in map(str, axis.values):
        name = value.partition(":")[0]
        if "," in name and "=" not in name:
            several = " ".join(f"--{axis.key} {part.strip()}" for part in value.split(",") if part.strip())
            raise InputError(f"--{axis.key} {value!r}: one at a time", hint=several)


def _figure(name: Any) -> str | None:
    """The figure that ``name`` names; InputError listing the known ones."""
    if name is None:
        return None
    from batfs.report.tables import metric_named

    return metric_named(str(name)).name
