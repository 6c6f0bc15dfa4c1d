"""What can be named when a policy or a model is made: found without ``inspect`` as ``inspect`` finds it."""

from __future__ import annotations

import functools
import inspect
from abc import ABC
from collections.abc import Callable
from typing import Any, Protocol

import pytest

from batfs.filesystems.base import MODELS
from batfs.plugins import REQUIRED, parameters
from batfs.scheduling.queues import QUEUE_POLICIES
from batfs.storage.policies import POLICIES


class Plain:
    def __init__(self, a: int, b: float = 2.0, *rest: int, c: str, d: bool = True, **more: str) -> None: ...


class Inherits(Plain, ABC): ...


class Bare: ...


class Positional:
    def __init__(self, a: int, /, b: int = 3) -> None: ...


class ByNew:
    def __new__(cls, a: int, b: int = 1) -> Any:
        return object.__new__(cls)


class Shape(Protocol):
    def __init__(self, a: int = 4) -> None: ...


class Called:
    def __call__(self, a: int, *, b: int = 5) -> None: ...


def function(a: int, b: int = 1, *, c: int, **options: str) -> None: ...


@functools.wraps(function)
def wrapped(*args: Any, **named: Any) -> None: ...


THINGS: list[Callable[..., Any]] = [
    *(Plain, Inherits, Bare, Positional, ByNew, Shape, Called(), function, wrapped, lambda a, b=2: None),
    *(functools.partial(function, 1), functools.partial(function, c=3), Plain(1, c="").__init__, len),
]


def by_inspect(thing: Callable[..., Any]) -> tuple[dict[str, Any], str | None]:
    every = inspect.signature(thing).parameters
    named = {
        n: REQUIRED if p.default is p.empty else p.default
        for n, p in every.items()
        if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    }
    return named, next((n for n, p in every.items() if p.kind is p.VAR_KEYWORD), None)


@pytest.mark.parametrize("thing", THINGS, ids=range(len(THINGS)))
def test_as_inspect_finds_them(thing: Callable[..., Any]) -> None:
    found, rest = parameters(thing)
    assert (found, rest) == by_inspect(thing)
    assert list(found) == list(by_inspect(thing)[0])


@pytest.mark.parametrize("registry", [MODELS, QUEUE_POLICIES, POLICIES], ids=["models", "queues", "policies"])
def test_of_all_that_is_built_in(registry: Any) -> None:
    names = registry.known()
    assert names
    for name in names:
        thing = registry.get(name)
        assert parameters(thing) == by_inspect(thing), name
