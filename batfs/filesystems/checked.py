"""What a file-system model from outside answers is checked before anybody believes it.

batfs's own models are checked by the tests. Of one from outside every answer is looked at here: plans whose
traffic has matching shapes, whole bytes, ids that are there, and as many bytes as the job asked for. What is
wrong, and what it raises, names the model's file and line, the simulated time and the job.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping
from functools import partial, wraps
from typing import Any, Final

from batfs._core.arrays import np
from batfs.errors import BatfsError, InputError
from batfs.filesystems.interface import (
    OVERLAP,
    PHASES,
    FileSystemModel,
    Hold,
    IoPlan,
    IoRequest,
    Move,
    Setup,
    Traffic,
    phase_of,
)
from batfs.plugins import PluginError, place_in


def guard(model: FileSystemModel, setup: Setup) -> FileSystemModel:
    """``model`` itself; if it is not one of batfs's own, with its answers checked."""
    if type(model).__module__.startswith("batfs."):
        return model
    missing = [name for name in _NEEDED if not callable(getattr(model, name, None))]
    if missing:
        file, line = place_in(type(model).__init__)
        raise PluginError(
            f"{type(model).__name__!r} is no file-system model: it has no {', '.join(missing)}",
            file=file,
            place=line,
            hint="derive it from batfs.ext.Model",
        )
    check = _Check(model, setup)
    for name in ("plan", "started", "tried", "has_read", "ended", "upkeep", "moved", "released"):
        method = getattr(model, name, None)
        if method is not None:
            setattr(model, name, check.guarded(name, method))
    return model


_NEEDED: Final = tuple(
    name for name, value in vars(FileSystemModel).items() if callable(value) and name[0] != "_"
)


class _Check:
    """The checks of one model's answers. ``now`` is the time at which it was told of last."""

    def __init__(self, model: FileSystemModel, setup: Setup) -> None:
        self.name = setup.name
        self.storages = frozenset(setup.position_of)
        self.ids = self.storages | {node.id for node in setup.nodes}
        self.kind = type(model).__name__
        self.now = 0.0

    def guarded(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        checks: dict[str, Callable[..., Any]] = {
            "plan": self._plan, "upkeep": self._moves, "released": self._keys
        }  # fmt: skip
        answered = checks.get(name)

        @wraps(method)
        def call(*args: Any) -> Any:
            story = partial(self._story, name, args)
            try:
                answer = method(*args)
            except BatfsError:
                raise
            except (Exception, SystemExit) as error:
                raise PluginError.of(error, story()) from error
            if answered is None:
                return answer
            try:
                return answered(answer, *args)
            except InputError as error:
                problem = error.problem
            except (TypeError, ValueError, AttributeError, IndexError, OverflowError, KeyError) as error:
                problem = f"answered what is none: {error}"
            file, line = place_in(method)
            raise PluginError(f"{story()} {problem}", file=file, place=line)

        return call

    def _story(self, name: str, args: tuple[Any, ...]) -> str:
        whose = ""
        for value in args:
            if hasattr(value, "capacities"):  # a view of the storages
                self.now = float(value.now)
            elif isinstance(value, IoRequest):
                whose = f", for {value.job_id!r}"
            elif isinstance(value, str):
                whose = f", for {value!r}"
        return f"at {self.now:g} s{whose}, the model {self.kind!r} of the file system {self.name!r} ({name})"

    # ---- answers ------------------------------------------------------------------------------------------

    def _plan(self, plan: Any, request: IoRequest, *_: Any) -> Any:
        if isinstance(plan, Hold):
            return plan
        if not isinstance(plan, IoPlan):
            raise InputError(f"answered {str(plan)[:80]}, expected an IoPlan or a Hold")
        if plan.file_system != self.name:
            raise InputError(f"answered a plan of the file system {plan.file_system!r}")
        if plan.timing not in (OVERLAP, PHASES):
            raise InputError(f"planned the timing {plan.timing!r}, expected {OVERLAP!r} or {PHASES!r}")
        self._placements(plan.placements)
        volume = request.volume
        staged = bool(plan.stage_in or plan.stage_out or plan.checkpoints is not None or plan.behind)
        for what, traffic, asked in (
            ("reads", plan.reads, volume.reads),
            ("writes", plan.writes, volume.writes),
        ):
            moved = self._traffic(traffic, what)
            if moved != asked and not staged and phase_of(volume)[1] == 1:
                raise InputError(f"planned {what} of {moved} bytes; {asked} were asked for")
        self._traffic(plan.internal, "internal")
        self._work(plan.flops)
        self._moves([*plan.stage_in, *plan.stage_out, *plan.background])
        if plan.checkpoints is not None:
            if operator.index(plan.checkpoints.times) < 0:
                raise InputError(f"planned {plan.checkpoints.times} checkpoints")
            self._moves([*plan.checkpoints.writes, *plan.checkpoints.drains])
        return plan

    def _moves(self, moves: Any, *_: Any) -> Any:
        for move in moves:
            if not isinstance(move, Move):
                raise InputError(f"answered {str(move)[:80]}, expected a Move")
            self._traffic([move.traffic], f"a move ({move.kind})")
            self._placements(move.placements)
            self._work(move.flops)
        return moves

    def _keys(self, keys: Any, *_: Any) -> Any:
        found = list(keys)
        for key in found:
            if not isinstance(key, str):
                raise InputError(f"released {str(key)[:80]}, expected the keys of placements")
        return found

    def _placements(self, placements: Iterable[Any]) -> None:
        for placement in placements:
            if isinstance(placement.size, bool) or operator.index(placement.size) < 0:
                raise InputError(f"placed {placement.size} bytes on the storage {placement.storage}")
            if placement.storage not in self.storages:
                raise InputError(f"placed bytes on {placement.storage!r}, which is no storage's id")
            if not isinstance(placement.key, str):
                raise InputError(f"placed bytes under the key {placement.key!r}, expected a text")

    def _work(self, flops: Mapping[int, float]) -> None:
        for resource, amount in flops.items():
            if resource not in self.ids or resource in self.storages:
                raise InputError(f"planned work on {resource!r}, which is no node's id")
            if not 0 <= amount < math.inf:
                raise InputError(f"planned {amount} flops on {resource}")

    def _traffic(self, traffic: Iterable[Any], what: str) -> int:
        """Its bytes in all."""
        total = 0
        for part in traffic:
            total += self._part(part, what)
        return total

    def _part(self, part: Any, what: str) -> int:
        if not isinstance(part, Traffic):
            raise InputError(f"planned {what} as {type(part).__name__}, expected Traffic")
        sources, destinations, sizes = map(np.asarray, part.columns)
        if not sources.shape == destinations.shape == sizes.shape or sizes.ndim != 1:
            shapes = f"{sources.shape}, {destinations.shape} and {sizes.shape}"
            raise InputError(f"planned {what} in columns of the shapes {shapes}")
        unknown = {*sources.tolist(), *destinations.tolist()} - self.ids
        if unknown:
            raise InputError(f"planned {what} from or to {min(unknown, key=str)!r}, an id that isn't there")
        if not sizes.size:
            return 0
        if sizes.dtype.kind not in "iu":
            raise InputError(f"planned {what} in {sizes.dtype}, expected whole bytes (int64)")
        if (sizes < 0).any():
            raise InputError(f"planned {what} of {int(sizes.min())} bytes")
        return sum(sizes.tolist())
