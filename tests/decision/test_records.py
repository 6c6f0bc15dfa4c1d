"""Records behave as dataclasses with slots do, for those who make, compare, copy and send them."""

from __future__ import annotations

import copy
import dataclasses
import pickle

import pytest

from batfs.records import field, field_names, record, replace


@record
class Point:
    x: float
    y: float = 0.0
    tags: list[str] = field(default_factory=list)

    @property
    def both(self) -> tuple[float, float]:
        return self.x, self.y


@record
class Named(Point):
    name: str = "origin"


@record(frozen=False)
class Counter:
    count: int

    def __post_init__(self) -> None:
        self.count = max(self.count, 0)


@record(eq=False)
class Thing:
    size: int = 1


def test_made_with_defaults() -> None:
    point, other = Point(1.0), Point(x=1.0, y=0.0)
    assert (point.both, point.tags) == ((1.0, 0.0), [])
    point.tags.append("mine")
    assert other.tags == []
    assert Named(1.0, 2.0, [], "a").name == "a"
    assert Counter(-3).count == 0
    assert not hasattr(point, "__dict__")


def test_made_wrongly() -> None:
    for _ in range(2):  # the constructor is another one from the second call on
        with pytest.raises(
            TypeError, match=r"Point\.__init__\(\) missing 1 required positional argument: 'x'"
        ):
            Point()  # type: ignore[call-arg]
        with pytest.raises(TypeError, match="unexpected keyword argument 'z'"):
            Point(1.0, z=2.0)  # type: ignore[call-arg]


def test_compared_by_value_or_not() -> None:
    assert Point(1.0) == Point(1.0) != Point(2.0)
    assert Point(1.0) != Named(1.0)
    assert hash(Point(1.0, 2.0, ())) == hash(Point(1.0, 2.0, ()))  # type: ignore[arg-type]
    assert Thing() != Thing()
    assert len({Thing(), Thing()}) == 2
    with pytest.raises(TypeError, match="unhashable"):
        hash(Counter(1))


def test_shown_matched_and_copied() -> None:
    named = Named(1.0, name="a")
    assert repr(named) == "Named(x=1.0, y=0.0, tags=[], name='a')"
    match named:
        case Named(x, y, _, name):
            assert (x, y, name) == (1.0, 0.0, "a")
    for copied in (pickle.loads(pickle.dumps(named)), copy.copy(named), copy.deepcopy(named)):  # noqa: S301
        assert copied == named
    assert replace(named, y=5.0) == Named(1.0, 5.0, name="a")
    with pytest.raises(TypeError, match="nosuch"):
        replace(named, nosuch=1)


def test_the_library_takes_them_for_dataclasses() -> None:
    named = Named(1.0, name="a")
    assert dataclasses.is_dataclass(named)
    assert (
        tuple(f.name for f in dataclasses.fields(Named)) == field_names(named) == ("x", "y", "tags", "name")
    )  # type: ignore[arg-type]
    assert dataclasses.replace(named, x=2.0) == Named(2.0, name="a")  # type: ignore[type-var]
    assert dataclasses.asdict(named) == {"x": 1.0, "y": 0.0, "tags": [], "name": "a"}  # type: ignore[call-overload]


def test_what_dataclasses_ask_of_a_record_is_made_once() -> None:
    """``dataclasses.replace`` asks for each job of a workload; making it takes a millisecond."""

    @record
    class Kept:
        name: str
        sizes: list[int] = field(default_factory=list)

    @record
    class More(Kept):
        again: int = 1

    first = Kept.__dataclass_fields__  # type: ignore[attr-defined]
    assert Kept.__dataclass_fields__ is first  # type: ignore[attr-defined]
    assert list(first) == ["name", "sizes"]
    assert [entry.name for entry in dataclasses.fields(More)] == ["name", "sizes", "again"]  # type: ignore[arg-type]
    assert dataclasses.replace(More("a", [1]), again=2) == More("a", [1], 2)  # type: ignore[type-var]
