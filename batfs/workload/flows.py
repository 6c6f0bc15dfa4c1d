"""Bytes between places, as the core has them: see ``batfs._core.flows``."""

from __future__ import annotations

from batfs._core.arrays import FloatArray as FloatArray
from batfs._core.arrays import IntArray as IntArray
from batfs._core.flows import Amounts as Amounts
from batfs._core.flows import Even as Even
from batfs._core.flows import Flows as Flows
