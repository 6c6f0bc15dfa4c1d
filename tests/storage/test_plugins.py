import importlib
import pkgutil
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import pytest

from batfs import filesystems
from batfs.errors import InputError
from batfs.filesystems.base import MODELS
from batfs.plugins import Registry, Size, parse_spec
from batfs.scheduling import queues
from batfs.scheduling.queues import QUEUE_POLICIES
from batfs.storage import policies
from batfs.storage.policies import POLICIES


class Thing:
    def __init__(self, k: int = 2, ratio: float = 0.5, block: Size = 1, on: bool = False) -> None:
        self.values = (k, ratio, block, on)


def registry() -> Registry[type[Thing]]:
    things: Registry[type[Thing]] = Registry("thing", "batfs.test_things")
    things.register("thing")(Thing)
    return things


def test_options_are_converted_to_the_types_of_the_signature() -> None:
    assert registry().make("thing:k=4,ratio=0.25,block=64MiB,on=yes").values == (4, 0.25, 64 << 20, True)
    assert registry().make("thing").values == (2, 0.5, 1, False)


@pytest.mark.parametrize(
    "text, says",
    [
        ("think", "did you mean 'thing'"),
        ("thing:k", "is not key=value"),
        ("thing:k=1,k=2", "given twice"),
        ("thing:kk=1", "has no option 'kk'; it has: k, ratio, block, on"),
        ("thing:k=two", "'two' is not a whole number"),
        ("thing:ratio=nan", "not a finite number"),
        ("thing:on=maybe", "not true or false"),
        ("thing:block=3XB", "unknown unit"),
        ("", "names no thing"),
    ],
)
def test_wrong_specs_say_what_is_wrong(text: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        registry().make(text)


def test_required_and_literal_and_open_options() -> None:
    things: Registry[object] = Registry("thing", "batfs.test_things")

    @things.register("f")
    def f(mode: Literal["a", "b"], **weights: float) -> tuple[str, dict[str, float]]:
        return mode, weights

    assert things.make("f:mode=a,x=2,y=1e3") == ("a", {"x": 2.0, "y": 1000.0})
    with pytest.raises(InputError, match="needs mode"):
        things.make("f:x=1")
    with pytest.raises(InputError, match="not one of a, b"):
        things.make("f:mode=c")


def test_a_file_is_a_plugin(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("class Mine:\n    def __init__(self, k: int = 1):\n        self.k = k\n")
    assert registry().make(f"{file}:Mine:k=7").k == 7
    assert registry().get(f"{file}:Mine") is registry().get(f"{file}:Mine")
    with pytest.raises(InputError, match="Mine"):
        registry().get(f"{file}:Nine")
    with pytest.raises(InputError, match="doesn't say which thing"):
        registry().get(str(file))
    with pytest.raises(InputError, match="no such file"):
        registry().get(f"{tmp_path}/none.py:Mine")
    broken = tmp_path / "broken.py"
    broken.write_text("x = 1\ny = x.nothing\n")
    with pytest.raises(InputError, match=r"line 2.*AttributeError"):
        registry().get(f"{broken}:Mine")


def test_a_broken_entry_point_warns_and_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [
        EntryPoint("bad", "batfs.nowhere:Thing", "batfs.test_things"),
        EntryPoint("good", "batfs.errors:InputError", "batfs.test_things"),
    ]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: points)
    things = registry()
    with pytest.warns(UserWarning, match=r"batfs\.nowhere:Thing"):
        assert things.known() == ["good", "thing"]
    assert things.get("good") is InputError


def test_a_name_is_registered_once() -> None:
    things = registry()
    with pytest.raises(ValueError, match="twice"):
        things.register("thing")(Thing)


def test_spec_prints_as_written() -> None:
    assert str(parse_spec("lustre:threshold=0.17,priority=0.9")) == "lustre:threshold=0.17,priority=0.9"
    assert str(parse_spec("a/b.py:P:k=1")) == "a/b.py:P:k=1"


@pytest.mark.parametrize(
    "registry, package", [(POLICIES, policies), (QUEUE_POLICIES, queues), (MODELS, filesystems)]
)
def test_a_built_in_thing_is_imported_when_asked_for(registry: Any, package: ModuleType) -> None:
    """The table of what is where lists every thing that registers itself, in its module."""
    for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        importlib.import_module(found.name)
    at_home = {name for name, thing in registry._things.items() if thing.__module__.startswith("batfs.")}
    assert at_home == set(registry._built_in)
    for name, module in registry._built_in.items():
        assert registry.get(name).__module__ == module


def test_the_name_of_a_built_in_thing_is_taken() -> None:
    things: Registry[object] = Registry("thing", "batfs.test_things", {"json": ("loads",)})
    with pytest.raises(ValueError, match="registered twice"):
        things.register("loads")(Thing)
    assert things.known() == ["loads"]
