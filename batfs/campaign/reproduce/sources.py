"""Where the experiment's files are, and the workloads that can be had from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import batfs
from batfs.campaign.reproduce import kth
from batfs.errors import InputError, unknown
from batfs.workload import read_workload
from batfs.workload.model import Workload

LOG = "KTH-SP2-1996-2.1-cln.swf"
FILES = {
    "k1000": "KTH-SP2-1996-2.1-cln-io-aware-1000.json",
    "full": "KTH-SP2-1996-2.1-cln-io-aware.json",
    **{f"part-{k}": f"part-{k}.json" for k in range(kth.PARTS)},
}
NAMES = ("k1000", *(f"part-{k}" for k in range(kth.PARTS)), "full")
DATA = Path("shared") / "data"


@dataclass(frozen=True, slots=True)
class Source:
    """A workload and where it came from."""

    label: str
    workload: Workload
    origin: str


class Files:
    """The experiment's directory. ``directory`` None: the working one, or one kept beside the project."""

    def __init__(self, directory: Path | None = None) -> None:
        if directory is None:
            beside = (Path.cwd().parent / DATA, Path(batfs.__file__).parents[2] / DATA)
            directory = next((place for place in beside if place.is_dir()), Path.cwd())
        elif not directory.is_dir():
            raise InputError("no such directory", file=directory)
        self.directory = directory

    def find(self, name: str) -> Path | None:
        """The file in the directory or below it, in kth, parts or kth/parts; packed or not."""
        beside = self.directory / "kth"
        for folder in (self.directory, beside, self.directory / "parts", beside / "parts"):
            for place in (folder / name, folder / f"{name}.gz"):
                if place.is_file():
                    return place
        return None

    def need(self, name: str) -> Path:
        found = self.find(name)
        if found is None:
            raise InputError(
                f"{name} is not in this directory",
                file=self.directory,
                hint="the log is the Parallel Workloads Archive's, the rest is the artifact's; "
                "name the directory that has them with --data",
            )
        return found

    def references(self) -> Path | None:
        """The artifact's runs, beside the data."""
        place = self.directory.parent / "reference" / "kopanski"
        return place if place.is_dir() else None

    @cached_property
    def log(self) -> list[kth.LogRow]:
        return kth.read_log(self.need(LOG))

    def workload(self, name: str, seed: int) -> Source:
        """A workload by its name (k1000, part-0 ... part-15, full) or of a JSON file of the same form.

        A named one that has no file is made from the log, its sizes drawn with ``seed``.
        """
        if name.endswith((".json", ".json.gz")):
            return Source(Path(name).name.partition(".json")[0], read_workload(name), name)
        if name not in FILES:
            raise unknown("workload", name, [*NAMES, "parts"])
        file = self.find(FILES[name])
        if file is not None:
            return Source(name, read_workload(file), file.name)
        if name == "full":
            rows, own_seed = self.log, seed
        elif name == "k1000":
            rows, own_seed = self.log[:1000], seed
        else:
            part = int(name.removeprefix("part-"))
            rows, own_seed = kth.parts(self.log)[part], seed + part
        return Source(name, kth.make_workload(rows, own_seed), f"made from {LOG}, seed {own_seed}")


def expand(names: Sequence[str]) -> list[str]:
    """The names with ``parts`` replaced by the sixteen parts."""
    out: list[str] = []
    for name in names:
        out += [f"part-{k}" for k in range(kth.PARTS)] if name == "parts" else [name]
    return list(dict.fromkeys(out))
