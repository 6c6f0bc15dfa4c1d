"""What a comparison can and can't conclude, said before its first run."""

from __future__ import annotations

from collections.abc import Sequence

from batfs.campaign.plan import NULL_SUFFIX, Plan
from batfs.report.headline import HEADLINE
from batfs.report.power import detectable, pairs_needed


def ahead(plan: Plan, shown: Sequence[str] = HEADLINE) -> list[str]:
    """Sentences: how many tests, how many pairs they need at least, what these see, what no number of pairs
    would tell. ``shown``: the figures that the runs may have (of :func:`batfs.campaign.check.check_plan`);
    those that turn out not to vary leave the tests afterwards."""
    labels = plan.labels()
    others = len(labels) - 1 + plan.null
    contexts, pairs = len(plan.contexts()), len(plan.seeds)
    if not others:
        return ["one setting: nothing is compared; intervals say how its figures vary over the seeds"]
    # each context, and where there are several all of them together
    couples = others * (contexts + (contexts > 1))
    figures = len(shown)
    tests = couples * (figures if plan.primary is None else 1)
    needed = pairs_needed(tests)
    what = f"{figures} figures" if plan.primary is None else plan.primary
    where = f" on {contexts} contexts" if contexts > 1 else ""
    found = [
        f"{_count(others, 'setting')} against {plan.baseline_label()} in {what}{where}: up to "
        f"{_count(tests, 'test')}, {_count(pairs, 'pair')} of runs each"
    ]
    if pairs < needed:
        alone = pairs_needed(couples)
        hint = f"--seeds {needed}" + (f", or --primary FIGURE with --seeds {alone}" if alone < needed else "")
        found.append(
            f"{_count(pairs, 'pair')} can't establish any difference among so many tests, however large: at "
            f"least {needed} are needed ({hint})"
        )
    else:
        found.append(
            f"{pairs} pairs find a difference of {detectable(pairs, tests):.2g} standard deviations of the "
            f"paired differences four times in five; fewer than {needed} would find none"
        )
    if plan.resample == "none":
        found.append(
            "every seed runs the same jobs: settings that draw nothing at random give one run, and so one "
            "pair, per workload, from which nothing follows for other workloads (--resample)"
        )
    if plan.null:
        found.append(
            f"{plan.baseline_label()}{NULL_SUFFIX} is the baseline under other seeds: a difference found "
            "there is a false alarm, of which the method allows at most 5 %"
        )
    return found


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
