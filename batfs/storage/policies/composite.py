"""Policies made of other policies: stripes and weighted sums."""

from __future__ import annotations

import random

from batfs._core.arrays import np
from batfs.errors import InputError
from batfs.storage.choice import guard
from batfs.storage.interface import AllocationPolicy, Choice, FloatArray, IntArray, SpaceRequest, StorageView
from batfs.storage.policies.base import POLICIES, ScoringPolicy


@POLICIES.register("striped")
class Striped:
    """Equal shares over ``k`` distinct storages, those another policy (``by``, worst_fit) likes best.

    The first shares get the bytes left over. Where the request may use fewer than ``k`` storages, and with
    ``k=0``, it is striped over all of them; a request that says how many it wants (``options["count"]``) is
    taken at its word.
    """

    name = "striped"

    def __init__(self, k: int = 4, by: str = "worst_fit") -> None:
        if k < 0:
            raise InputError(f"option 'k' of the allocation policy 'striped' must not be negative, not {k}")
        self.k = k
        inner: AllocationPolicy = POLICIES.make(by)
        if isinstance(inner, Striped):
            raise InputError("option 'by' of the allocation policy 'striped' can't be 'striped' itself")
        self._inner = guard(inner)

    def choose(self, view: StorageView, request: SpaceRequest, rng: random.Random) -> Choice | None:
        if "count" not in request.options:
            usable = len(view.storages if request.candidates is None else request.candidates)
            count = min(self.k, usable) if self.k else usable
            # spelt out: dataclasses.replace takes three times as long, and this is done for every request
            request = SpaceRequest(
                request.size,
                request.start,
                request.end,
                request.key,
                request.near,
                request.candidates,
                {**request.options, "count": count},
            )
        return self._inner.choose(view, request, rng)


@POLICIES.register("weighted")
class Weighted(ScoringPolicy):
    """A weighted sum of other policies' scores: ``weighted:worst_fit=2,locality=1``.

    Each score is scaled to 0..1 over the storages that fit, (s - min) / (max - min), 0 where all are alike;
    score: sum of weight x scaled score. Only policies that score can take part. A negative weight turns a
    policy round.
    """

    name = "weighted"

    def __init__(self, **weights: float) -> None:
        if not weights:
            raise InputError(
                "the allocation policy 'weighted' needs at least one policy and its weight",
                hint="such as weighted:worst_fit=2,locality=1",
            )
        self._parts: list[tuple[float, ScoringPolicy]] = []
        for name, weight in weights.items():
            policy = POLICIES.make(name)
            if not isinstance(policy, ScoringPolicy) or isinstance(policy, Weighted):
                raise InputError(
                    f"the allocation policy {name!r} gives no score; weighted takes: {', '.join(scoring())}"
                )
            self._parts.append((weight, policy))

    def score(self, view: StorageView, request: SpaceRequest, among: IntArray) -> FloatArray:
        total: FloatArray = np.zeros(len(among))
        for weight, policy in self._parts:
            scores = np.asarray(policy.score(view, request, among), dtype=np.float64)
            low, high = scores.min(), scores.max()
            if high > low:
                total += weight * ((scores - low) / (high - low))
        return total


def scoring() -> list[str]:
    """Names of the policies that score, sorted."""
    named = ((name, POLICIES.get(name)) for name in POLICIES.known())
    return [n for n, p in named if isinstance(p, type) and issubclass(p, ScoringPolicy) and p is not Weighted]
