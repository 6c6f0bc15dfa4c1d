"""What policies are made of: the registry, a fair draw, and the shape most of them share."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod

import numpy as np

from batfs.plugins import Registry
from batfs.storage.interface import (
    AllocationPolicy,
    Choice,
    FloatArray,
    IntArray,
    Share,
    SpaceRequest,
    StorageView,
)
from batfs.storage.view import fitting

POLICIES: Registry[type[AllocationPolicy]] = Registry("allocation policy", "batfs.allocation_policies")


def draw(rng: random.Random, n: int) -> int:
    """A whole number from 0 to n-1. Only ``random()`` is promised to be the same on every Python version."""
    return int(rng.random() * n)


class ScoringPolicy(ABC):
    """Among the storages where the request fits: the highest score; ties go to the lowest index."""

    name: str

    @abstractmethod
    def score(self, view: StorageView, request: SpaceRequest, among: IntArray) -> IntArray | FloatArray:
        """One number for each index of ``among``; higher is better."""

    def choose(self, view: StorageView, request: SpaceRequest, rng: random.Random) -> Choice | None:
        among = fitting(view, request)
        if not len(among):
            return None
        best = among[np.argmax(self.score(view, request, among))]
        return (Share(int(best), request.size),)
