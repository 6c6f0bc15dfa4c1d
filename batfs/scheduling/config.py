"""What can be set, and where it may be set: one object for every way into the scheduler.

Settings come in layers, the later ones winning: defaults, a file (``--config``), Batsim's ``--sched-cfg``,
flags (or pybatsim's ``-o``). Each layer is a mapping with the keys of :class:`Configuration`; tables inside
(``filesystems``, ``storages``) are merged key by key. Hyphens in keys count as underscores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from batfs import texts
from batfs.errors import InputError, nearest, unknown
from batfs.filesystems.staging_modes import STAGING
from batfs.records import field, field_names, record
from batfs.units import parse_size

PASSES: Final = ("message", "event")
NODE_ORDERS: Final = ("id", "name")


@record
class Configuration:
    """Every setting of the scheduler; docs/reference/configuration.md explains them one by one."""

    policy: str = "round_robin"
    """The allocation policy of every file system that names none, as ``name:key=value,...``."""
    queue: str = "fcfs"
    """The queue policy, in the same form."""
    io_policy: str = "fair"
    """The I/O policy, in the same form: which transfers may move now, and how fast."""
    measure_io: bool = False
    """Whether slowdowns of I/O are measured under ``fair`` too, which costs time (others measure them)."""
    staging: str | None = None
    """When data is brought to jobs, on file systems that stage and say nothing themselves: ``held``,
    ``ahead`` or ``two_step``."""
    staged_patience: float = 3600.0
    """How long a job whose data is there may be passed by others under a queue policy that promises nothing
    (seconds); then nodes are kept for it."""
    seed: int = 0
    """Of the one random generator."""
    node_selection: str = "lowest"
    """Which free nodes a job gets: ``lowest``, ``contiguous``, ``block``; ``data_locality``,
    ``near_storage`` in the same form as policies."""
    node_order: str = "id"
    """What "lowest" and "contiguous" mean: by Batsim's ``id``, or by ``name`` (node_2 before node_10)."""
    passes: str = "message"
    """When the queue policy is called: once a ``message``, or after every single ``event`` of it."""
    filesystem: str | None = None
    """The model of every file system that names none, as ``name:key=value,...``."""
    default_filesystem: str | None = None
    """Where a job's plain ``io_reads`` and ``io_writes`` go."""
    filesystems: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """File system -> ``model``, ``policy`` and the model's own options."""
    storages: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Storage name -> properties (``size``, ``filesystem``, ...) that override the platform's."""
    platform: str | None = None
    """The platform file, for models and policies that want topology (``batfs run`` gives it itself)."""
    chunk: str = ""
    """Transfers of their own (phases, staging, drains) are sent in pieces of so many bytes (``1GB``)."""
    data_sets: Sequence[Mapping[str, Any]] = ()
    """What lies on the machine when the simulation begins (see ``batfs.scheduling.initial_sets``)."""
    faults: Mapping[str, Any] = field(default_factory=dict)
    """What fails and when: the tables of a file of faults (see ``batfs.scheduling.faults``)."""
    validate: bool = False
    """Check every invariant after every event."""
    io: bool = True
    """Whether jobs' bytes are moved and hold space at all (``--no-io``: they are only counted)."""
    show_storages: bool = False
    """Whether a scheduler that isn't batfs's own (behind the proxy, ``pybatsim:...``) sees the storages."""

    def __post_init__(self) -> None:
        if self.passes not in PASSES:
            raise unknown("value of 'passes'", self.passes, PASSES)
        if self.staging is not None and self.staging not in STAGING:
            raise unknown("staging", self.staging, STAGING)
        if not self.staged_patience >= 0:
            raise InputError(f"staged_patience is {self.staged_patience:g}; expected 0 seconds or more")
        if self.node_order not in NODE_ORDERS:
            raise unknown("node order", self.node_order, NODE_ORDERS)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for provenance."""
        return {name: getattr(self, name) for name in field_names(self)}


_KINDS: Final[Mapping[str, tuple[type | tuple[type, ...], str]]] = {
    "policy": (str, "a string"),
    "queue": (str, "a string"),
    "io_policy": (str, "a string"),
    "measure_io": (bool, "true or false"),
    "staging": (str, "a string"),
    "staged_patience": ((int, float), "a number of seconds"),
    "seed": (int, "a whole number"),
    "node_selection": (str, "a string"),
    "node_order": (str, "a string"),
    "passes": (str, "a string"),
    "filesystem": (str, "a string"),
    "default_filesystem": (str, "a string"),
    "filesystems": (Mapping, "a table of tables"),
    "storages": (Mapping, "a table of tables"),
    "platform": (str, "a string"),
    "chunk": (str, "a size, such as '1GB'"),
    "data_sets": ((list, tuple), "a list of tables"),
    "faults": (Mapping, "a table"),
    "validate": (bool, "true or false"),
    "io": (bool, "true or false"),
    "show_storages": (bool, "true or false"),
}


@record
class Layer:
    """Some settings and where they come from (a file, ``--sched-cfg``, ``the command line``)."""

    source: str
    values: Mapping[str, Any]


class Settings:
    """Layers of settings, lowest first. ``between`` is what the simulator forwards, if it is known already
    (Batsim 5's init string); Batsim 4's ``--sched-cfg`` goes there when it arrives."""

    def __init__(
        self, file: Layer | None = None, flags: Layer | None = None, between: Layer | None = None
    ) -> None:
        self._file = file
        self._flags = flags
        self._between = between
        self.configuration()  # whatever is wrong with these is said before anything starts

    def forwarded(self, layer: Layer) -> Settings:
        """The same settings with that layer between file and flags. Raises InputError."""
        return Settings(self._file, self._flags, layer)

    def over(self, layer: Layer) -> Settings:
        """The same settings with that layer over the flags. Raises InputError."""
        flags: dict[str, Any] = {}
        for one in (self._flags, layer):
            _merge(flags, {} if one is None else dict(one.values))
        return Settings(self._file, Layer(layer.source, flags), self._between)

    def configuration(self, sched_config: str | None = None) -> Configuration:
        """The settings in force; ``sched_config`` is the string that Batsim forwards. Raises InputError."""
        layers = [self._file, self._between]
        if sched_config and sched_config.strip():
            layers.append(read_sched_config(sched_config))
        layers.append(self._flags)
        merged: dict[str, Any] = {}
        for layer in layers:
            if layer is not None:
                _merge(merged, _checked(layer))
        return Configuration(**merged)


def _checked(layer: Layer) -> dict[str, Any]:
    checked: dict[str, Any] = {}
    for raw, value in layer.values.items():
        key = str(raw).replace("-", "_")
        if key == "calibration" and isinstance(
            value, Mapping
        ):  # what isn't known of it: studies draw from it
            continue
        if key not in _KINDS:
            close = nearest(key, _KINDS)
            raise InputError(
                f"unknown key {raw!r}; known: {', '.join(_KINDS)}",
                file=layer.source,
                hint=f"did you mean {close!r}?" if close else None,
            )
        kind, words = _KINDS[key]
        if value is None:
            continue
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise InputError(f"{value!r} is not {words}", file=layer.source, place=key)
        if key == "chunk" and value:
            _check_chunk(str(value), layer.source)
        if key == "data_sets":
            _check_data_sets(value, layer.source)
        if key == "faults":
            _check_faults(value, layer.source)
        elif isinstance(value, Mapping):
            for name, table in value.items():
                if not isinstance(table, Mapping):
                    raise InputError(f"{table!r} is not a table", file=layer.source, place=f"{key}.{name}")
        checked[key] = value
    return checked


def _check_chunk(value: str, source: str) -> None:
    try:
        if parse_size(value) < 1:
            raise InputError(f"{value!r} is no chunk: it must be at least a byte")
    except InputError as error:
        raise error.at(file=source, place="chunk") from None


def _check_data_sets(values: Any, source: str) -> None:
    from batfs.scheduling.initial_sets import parse_initial_sets

    try:
        parse_initial_sets(values)
    except InputError as error:
        raise error.at(file=source) from None


def _check_faults(values: Any, source: str) -> None:
    from batfs.scheduling.faults.plan import parse_faults

    try:
        if values:
            parse_faults(values)
    except InputError as error:
        raise error.at(place="faults").at(file=source) from None


def _merge(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, Mapping):
            table = into.get(key)
            inner = dict(table) if isinstance(table, Mapping) else {}
            _merge(inner, value)
            into[key] = inner
        else:
            into[key] = value


def read_config(path: str | Path) -> Layer:
    """The settings in a file: TOML, or JSON when its name ends in ``.json``. Raises InputError."""
    text = texts.utf8_text(path)
    return Layer(str(path), _parse(text, json=str(path).endswith(".json"), source=str(path)))


def read_sched_config(text: str, source: str = "--sched-cfg") -> Layer:
    """Batsim's ``--sched-cfg``: a JSON object (it starts with ``{``), else the path of a file that exists,
    else TOML. ``--sched-cfg-file`` arrives as that file's content."""
    stripped = text.strip()
    if stripped.startswith("{"):
        return Layer(source, _parse(stripped, json=True, source=source))
    if "\n" not in stripped and "=" not in stripped:
        return read_config(stripped)
    return Layer(source, _parse(text, json=False, source=source))


def _parse(text: str, *, json: bool, source: str) -> Mapping[str, Any]:
    if json:
        import orjson

        try:
            values = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            place = f"line {error.lineno}, column {error.colno}"
            raise InputError(f"malformed JSON: {error.msg}", file=source, place=place) from None
        if not isinstance(values, Mapping):
            raise InputError(f"found {type(values).__name__}, expected an object", file=source)
        return values
    import tomllib

    try:
        return tomllib.loads(text)
    except ValueError as error:  # TOML's own error, or a number with thousands of digits
        raise InputError(f"malformed TOML: {error}", file=source) from None


def flags_layer(values: Mapping[str, Any], source: str = "the command line") -> Layer | None:
    """A layer of the values that were given (not None)."""
    given = {key: value for key, value in values.items() if value is not None}
    return Layer(source, given) if given else None


def parse_filesystem_flags(words: Sequence[str]) -> dict[str, Any]:
    """``--filesystem`` on a command line, repeatable: ``MODEL[:key=value,...]`` for every file system that
    names none, or ``NAME=MODEL[:key=value,...]`` for one. Settings as in a file."""
    general: str | None = None
    named: dict[str, dict[str, Any]] = {}
    for word in words:
        name, equals, spec = word.partition("=")
        if equals and ":" not in name and "/" not in name:
            if not name or not spec:
                raise InputError(f"--filesystem {word!r}: expected NAME=MODEL or MODEL")
            named[name] = {"model": spec}
        elif general is not None:
            raise InputError(f"--filesystem {word!r}: {general!r} was already given for all file systems")
        else:
            general = word
    out: dict[str, Any] = {}
    if general is not None:
        out["filesystem"] = general
    if named:
        out["filesystems"] = named
    return out
