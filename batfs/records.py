"""Records: classes of named fields, as dataclasses are, but cheap to define and to make.

``@dataclass`` writes and compiles half a dozen methods of every class each time the program starts: for the
hundred records here that took longer than many a whole run. A record is a class with slots; its constructor
is compiled when some have been made, and the other methods are the same for all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Any, Self, TypeVar, cast, dataclass_transform, overload

T = TypeVar("T")

_MISSING: Any = object()
_FEW = 20


class _Factory:
    __slots__ = ("make",)

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make


def field(*, default_factory: Callable[[], T]) -> T:
    """The default of a field whose every record needs one of its own."""
    return cast(T, _Factory(default_factory))


@overload
def record(cls: type[T], /) -> type[T]: ...


@overload
def record(*, frozen: bool = True, eq: bool = True) -> Callable[[type[T]], type[T]]: ...


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def record(cls: type[Any] | None = None, /, *, frozen: bool = True, eq: bool = True) -> Any:
    """Decorator: the annotated names of the class are the fields of a record, with their defaults.

    Fields of a base that is a record come first. ``frozen`` records are not to be changed: the type checker
    sees to that (at run time nothing does, which makes them quick to make), and they can be hashed where they
    are compared by value. Without ``eq`` a record is equal to itself only. A default is shared by all
    records; :func:`field` makes one for each. ``__post_init__`` is called when all fields are set.
    """
    if cls is None:
        return lambda found: _define(found, frozen, eq)
    return _define(cls, frozen, eq)


class Row:
    """A base of records that others may unpack, count, index and ``_replace`` as they do named tuples."""

    __slots__ = ()

    def __iter__(self) -> Iterator[Any]:
        return iter([getattr(self, name) for name in field_names(self)])

    def __len__(self) -> int:
        return len(field_names(self))

    @overload
    def __getitem__(self, place: int) -> Any: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[Any, ...]: ...
    def __getitem__(self, place: int | slice) -> Any:
        return tuple(self)[place]

    def _replace(self, **changes: Any) -> Self:
        return replace(self, **changes)


def field_names(of: Any) -> tuple[str, ...]:
    """The names of the fields of a record or of a class of records, in order."""
    return tuple(of.__record_fields__)


def replace(obj: T, /, **changes: Any) -> T:
    """A record like ``obj`` but for ``changes``. TypeError for a name that is no field."""
    kind: Any = obj.__class__
    for name in kind.__record_fields__:
        if name not in changes:
            changes[name] = getattr(obj, name)
    return cast(T, kind(**changes))


def _define(cls: type[Any], frozen: bool, eq: bool) -> type[Any]:
    fields: dict[str, Any] = {}
    for base in reversed(cls.__mro__[1:]):
        fields.update(vars(base).get("__record_fields__", {}))
    annotations = vars(cls).get("__annotations__", {})
    own = [name for name, kind in annotations.items() if not str(kind).startswith("ClassVar")]
    space = dict(vars(cls))
    slots = tuple(name for name in own if name not in fields)
    for name in own:
        fields[name] = space.pop(name, _MISSING)
    for name in ("__dict__", "__weakref__"):
        space.pop(name, None)
    names = tuple(fields)
    space.update(
        __slots__=slots,
        __qualname__=cls.__qualname__,
        __record_fields__=fields,
        __record_values__=attrgetter(*names) if names else lambda _: (),
        __match_args__=names,
        __dataclass_fields__=_DataclassFields(),
    )
    space.setdefault("__repr__", _repr)
    if eq and "__eq__" not in space:
        space["__eq__"] = _equal
        space.setdefault("__hash__", _hash if frozen else None)
    compiled = "__init__" not in space
    if compiled:
        space["__init__"] = _first(lambda: made)
    metaclass: Any = type(cls)
    made: Any = metaclass(cls.__name__, cls.__bases__, space)
    return cast(type[Any], made)


def _first(made: Callable[[], Any]) -> Callable[..., None]:
    """What stands for a constructor while few records are made: to compile one takes as long as hundreds."""
    left = _FEW

    def __init__(self: Any, *given: Any, **named: Any) -> None:
        nonlocal left
        cls = made()
        if left and _is_set(self, cls, given, named):
            left -= 1
            return
        cls.__init__ = _constructor(cls)
        cls.__init__(self, *given, **named)

    return __init__


def _is_set(record: Any, cls: Any, given: tuple[Any, ...], named: dict[str, Any]) -> bool:
    """Set the fields from the arguments; False if these are wrong in any way, which the constructor says."""
    fields = cls.__record_fields__
    values = dict(zip(fields, given, strict=False))
    if len(given) > len(fields) or not fields.keys() >= named.keys() or values.keys() & named.keys():
        return False
    values.update(named)
    for name, default in fields.items():
        if name not in values:
            if default is _MISSING:
                return False
            values[name] = default.make() if isinstance(default, _Factory) else default
    for name in fields:
        setattr(record, name, values[name])
    if hasattr(cls, "__post_init__"):
        record.__post_init__()
    return True


def _constructor(cls: Any) -> Callable[..., None]:
    space: dict[str, Any] = {"MISSING": _MISSING}
    arguments, body = ["self"], []
    for name, default in cls.__record_fields__.items():
        value = name
        if default is _MISSING:
            arguments.append(name)
        elif isinstance(default, _Factory):
            space[f"make_{name}"] = default.make
            arguments.append(f"{name}=MISSING")
            value = f"make_{name}() if {name} is MISSING else {name}"
        else:
            space[f"default_{name}"] = default
            arguments.append(f"{name}=default_{name}")
        body.append(f" self.{name} = {value}")
    if hasattr(cls, "__post_init__"):
        body.append(" self.__post_init__()")
    text = f"def __init__({', '.join(arguments)}):\n" + "\n".join(body or [" pass"])
    exec(text, space)  # noqa: S102 (our own text: names of fields)
    made: Callable[..., None] = space["__init__"]
    made.__qualname__ = f"{cls.__qualname__}.__init__"
    return made


def _repr(self: Any) -> str:
    shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__record_fields__)
    return f"{self.__class__.__qualname__}({shown})"


def _equal(self: Any, other: Any) -> Any:
    if other.__class__ is not self.__class__:
        return NotImplemented
    values = self.__record_values__
    return values(self) == values(other)


def _hash(self: Any) -> int:
    return hash(self.__record_values__(self))


class _DataclassFields:
    """What makes ``dataclasses.replace``, ``fields`` and ``asdict`` take records, made when first asked."""

    def __get__(self, instance: object, owner: Any) -> Any:
        import dataclasses

        hints: dict[str, Any] = {}
        for base in owner.__mro__:
            hints.update(vars(base).get("__annotations__", {}))
        members: list[Any] = []
        for name, default in owner.__record_fields__.items():
            if isinstance(default, _Factory):
                members.append((name, hints[name], dataclasses.field(default_factory=default.make)))
            elif default is _MISSING:
                members.append((name, hints[name]))
            else:
                constant: Any = (lambda value: lambda: value)(default)
                members.append((name, hints[name], dataclasses.field(default_factory=constant)))
        made: Any = dataclasses.make_dataclass(owner.__name__, members)
        owner.__dataclass_fields__ = made.__dataclass_fields__  # each time takes a millisecond
        return made.__dataclass_fields__
