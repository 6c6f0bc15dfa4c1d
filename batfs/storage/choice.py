"""What a policy answers is checked before anybody believes it.

The built-in policies are checked by the tests; one from outside is checked here at each answer
(see :func:`guard`): shares on storages that exist and were candidates, whole positive sizes, and the
request's size in all. What is wrong names the policy's file and line, the simulated time and the request.
"""

from __future__ import annotations

import operator
import random
from typing import Any

from batfs.errors import InputError
from batfs.plugins import PluginError, place_in
from batfs.storage.interface import AllocationPolicy, Choice, Share, SpaceRequest, StorageView


def checked_choice(choice: Any, request: SpaceRequest, count: int) -> Choice:
    """``choice`` as shares on ``count`` storages that answer ``request``. Raises InputError."""
    total, shares = 0, []
    try:
        for share in choice:
            # numpy's whole numbers are as good as Python's; 3.0 and True are not
            index, size = operator.index(share.index), operator.index(share.size)
            if isinstance(share.index, bool) or isinstance(share.size, bool):
                raise TypeError
            shares.append(Share(index, size))
    except (TypeError, AttributeError):
        raise InputError(
            f"answered {str(choice)[:80]}", hint="a tuple of Share(index, size), whole numbers, or None"
        ) from None
    for share in shares:
        if not 0 <= share.index < count:
            raise InputError(f"chose the storage {share.index}; there are 0 to {count - 1}")
        if share.size <= 0:
            raise InputError(f"chose {share.size} bytes on the storage {share.index}")
        total += share.size
    if total != request.size:
        raise InputError(f"chose {total} bytes in all for a request of {request.size}")
    if request.candidates is not None:
        allowed = {int(index) for index in request.candidates}
        for share in shares:
            if share.index not in allowed:
                raise InputError(f"chose the storage {share.index}, which is no candidate")
    return tuple(shares)


class Guarded:
    """A policy from outside, with every answer checked; otherwise it is the policy itself."""

    def __init__(self, policy: AllocationPolicy) -> None:
        self._policy = policy
        self.name = str(getattr(policy, "name", type(policy).__name__))

    def __getattr__(self, name: str) -> Any:
        if name == "_policy":  # while it is copied or unpickled
            raise AttributeError(name)
        return getattr(self._policy, name)

    def choose(self, view: StorageView, request: SpaceRequest, rng: random.Random) -> Choice | None:
        try:
            choice = self._policy.choose(view, request, rng)
        except (Exception, SystemExit) as error:
            raise PluginError.of(error, self._story(view, request)) from error
        if choice is None:
            return None
        try:
            return checked_choice(choice, request, len(view.capacities))
        except InputError as error:
            file, line = place_in(self._policy.choose)
            raise PluginError(
                f"{self._story(view, request)} {error.problem}", file=file, place=line, hint=error.hint
            ) from None

    def _story(self, view: StorageView, request: SpaceRequest) -> str:
        whose = f", for {request.key!r}" if request.key else ""
        return f"at {view.now:g} s{whose}, the allocation policy {self.name!r}"


def guard(policy: AllocationPolicy) -> AllocationPolicy:
    """``policy`` itself if it is one of batfs's own, else with its answers checked."""
    if type(policy).__module__.startswith("batfs."):
        return policy
    if not callable(getattr(policy, "choose", None)):
        file, line = place_in(type(policy).__init__)
        raise InputError(
            f"{type(policy).__name__!r} is no allocation policy",
            file=file,
            place=line,
            hint="it needs choose(view, request, rng)",
        )
    return Guarded(policy)
