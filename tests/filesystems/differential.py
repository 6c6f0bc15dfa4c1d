"""One workload through batfs's scheduler and through a scheduler that knows nothing of storage, both taking
the same decisions (``differential_sides``), in all the ways of ``differential_ways``: the same bytes,
reservations, data sets and times.

Run it for seeds beyond the suite's: ``python differential.py FIRST COUNT [--sockets] [--only WAY]``.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import differential_forks as forks
from differential_draws import Case, draw
from differential_ways import Outcome, Runner

#: What the proxy says of what it can't give a scheduler that isn't batfs's own.
REFUSAL = "stages before jobs have nodes, and a scheduler that isn't batfs's own can't be told"
#: What is over, or killed, just when its walltime is: which comes first is a matter of digits in a message.
TIE = "COMPLETED_WALLTIME_REACHED"
BEHIND = ("proxy", "bytes", "hosted", "third", "third5")
FIVE = ("five", "sched5", "third5")
HERE = ("pybatsim", "proxy", "bytes")


#: How many workloads ended in which error.
seen: Counter[str] = Counter()


def in_turns(case: Case, sockets: bool) -> list[str]:
    """Of ways that are much alike one for each seed, to run more of these."""
    odd = case.seed % 2
    if not sockets:
        mine = ["bytes", ("pybatsim", "proxy")[odd], *(["five"] if case.seed % 3 == 0 else [])]
    else:
        mine = ["sched", ("hosted", "third")[odd], ("sched5", "third5")[case.seed // 2 % 2]]
    return [way for way in ways(case, sockets) if way in mine]


def ways(case: Case, sockets: bool) -> list[str]:
    """The ways in which this workload can be run, beside the scheduler in this process."""
    five = not case.events.strip()  # Batsim 5 has no events of machines
    found = [*HERE, *(["five"] if five else [])]
    if sockets:
        found += ["sched", "hosted", "third"]
        if five and case.dynamic:  # there they always are
            found += ["sched5", "third5"]
    return [way for way in found if not (case.patient and way in BEHIND)]


def differing(seed: int, folder: Path, *, sockets: bool = False, only: Sequence[str] = ()) -> str:
    """What differs between the ways to run the workload of this seed; empty if nothing does."""
    case = draw(seed)
    runner = Runner(case, folder)
    first = runner.scheduler()
    seen[_sentence(first.error)[:70]] += 1
    runner.take(runner.chosen)
    theirs, held = first, case.held
    if held is not None and not case.patient:
        other = Runner(held, folder.with_name(f"{folder.name}-held"))
        theirs = other.scheduler()
        runner.take(other.chosen)
    for way in (way for way in ways(case, sockets) if not only or way in only):
        found: Outcome = getattr(runner, way)()
        behind = way in BEHIND
        if behind and case.early and REFUSAL in found.error:
            continue  # it says so at the start; where it doesn't, nothing is staged before
        said = apart(
            theirs if behind else first,
            found,
            five=way in FIVE,
            exact=exactness(case, way),
            loose=behind and case.timed,
        )
        if said:
            return f"seed {seed}: {way}: {said}"
    return ""


def exactness(case: Case, way: str) -> float:
    """Seconds by which times may differ: over sockets by some last decimals, under Batsim 5 by the
    milliseconds to which it rounds calls, one for each piece of what moves at a pace."""
    if way not in FIVE:
        return 2e-4
    return 5e-2 if case.paced else 5e-3


def apart(
    one: Outcome, other: Outcome, *, five: bool = False, exact: float = 2e-4, loose: bool = False
) -> str:
    """How they differ: times by more than ``exact`` (s). ``five``: dynamic jobs stand elsewhere; ``loose``:
    what is reserved when isn't looked at."""
    if one.error or other.error:
        first, second = (_sentence(outcome.error) for outcome in (one, other))
        same = first == second or (first and first in other.error)
        return "" if same else f"{first!r} but {second!r}"
    for name in sorted({**one.jobs, **other.jobs}):
        here, there = one.jobs.get(name), other.jobs.get(name)
        if five and name.startswith("batfs!"):
            continue
        if here is None or there is None:
            return f"job {name}: {here} but {there}"
        states = {here[0], there[0]}
        if (len(states) == 2 and not (five and TIE in states)) or not close(here[1:], there[1:], exact):
            return f"job {name}: {here} but {there}"
    if one.rows != other.rows:
        mine, theirs = Counter(one.rows), Counter(other.rows)
        return f"rows: only here {[*(mine - theirs)][:3]}, only there {[*(theirs - mine)][:3]}"
    if not loose:
        for name in sorted({**one.reserved, **other.reserved}):
            steps = [steps_of(outcome.reserved.get(name, ()), exact) for outcome in (one, other)]
            said = _steps_apart(*steps, exact)
            if said:
                return f"reserved on {name}: {said}"
        for mine, theirs in zip(one.sets, other.sets, strict=False):
            if mine[0] != theirs[0] or not close(mine[1:], theirs[1:], 10 * exact):
                return f"data sets: {mine} but {theirs}"
        if len(one.sets) != len(other.sets):
            return f"data sets: {one.sets} but {other.sets}"
    return ""


def _sentence(error: str) -> str:
    return error.splitlines()[0] if error else ""


def close(one: Sequence[float], other: Sequence[float], exact: float) -> bool:
    return all(abs(a - b) <= exact for a, b in zip(one, other, strict=True))


def steps_of(changes: Sequence[tuple[float, int]], exact: float) -> list[tuple[float, int]]:
    """What happens at one instant may come in two messages."""
    steps: list[tuple[float, int]] = []
    for at, size in changes:
        if steps and steps[-1][1] == size:  # what else has changed of the storage is no step
            continue
        if steps and abs(steps[-1][0] - at) < exact:
            steps.pop()
        if (steps[-1][1] if steps else 0) != size:
            steps.append((at, size))
    return steps


def _steps_apart(one: Sequence[tuple[float, int]], other: Sequence[tuple[float, int]], exact: float) -> str:
    for here, there in zip(one, other, strict=False):
        if here[1] != there[1] or abs(here[0] - there[0]) > 2 * exact:
            return f"{here} but {there}"
    return "" if len(one) == len(other) else f"{one[-4:]} but {other[-4:]}"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("first", type=int)
    parser.add_argument("count", type=int)
    parser.add_argument("--sockets", action="store_true")
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--turns", action="store_true", help=in_turns.__doc__)
    args = parser.parse_args()
    forks.prepare()
    bad, began = 0, time.time()
    refused: Counter[str] = Counter()
    counted: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as scratch:
        for seed in range(args.first, args.first + args.count):
            case = draw(seed)
            only = in_turns(case, args.sockets) if args.turns else args.only
            counted.update(only)
            if (seed - args.first) % 100 == 99:
                print(f"{seed - args.first + 1} of {args.count}, {time.time() - began:.0f} s", flush=True)
            refused["staged before nodes"] += case.early
            try:
                said = differing(seed, Path(scratch) / str(seed % 7), sockets=args.sockets, only=only)
            except Exception as error:
                said = f"seed {seed}: {type(error).__name__}: {error}"
            if said:
                bad += 1
                print(said, flush=True)
    print(f"{args.count} workloads, {bad} differ ({dict(refused)}, {time.time() - began:.0f} s)")
    print(dict(seen), dict(counted))


if __name__ == "__main__":
    main()
