"""Gates that compare the model with another one: the baseline, or the version that is live."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from danlu.core.scores import LOWER_IS_BETTER
from danlu.metrics.power import further_rows
from danlu.release.reading import Facts, Found, observe, show


@dataclass(frozen=True, kw_only=True)
class _Paired:
    """The comparison with another model: `gain` is above 0 where the model is better, `missing` why there is none."""

    difference: float | None = None
    gain: float = 0.0
    least: float | None = None
    further: int | None = None
    significant: bool = False
    called: str = ""
    by: str = ""
    missing: str = ""
    absent: bool = False


#: The level of a one-sided bound, that of a 95 % interval's end.
_ONE_SIDED = 0.025

#: What a recipe lacks where there is no comparison.
_WHERE = {"baseline": "is evaluate.baseline switched off?", "champion": "has the recipe a champion section?"}


def _paired(facts: Facts, other: str, margin: float = 0.0) -> _Paired:
    """`least` is the low end of the gain's interval; `further` the rows that bring it above -`margin`."""
    comparison = facts.get("comparisons", {}).get(other)
    if not isinstance(comparison, Mapping):
        return _Paired(missing=f"the model was not compared with the {other} ({_WHERE[other]})")
    if comparison.get("absent") or comparison.get("missing"):
        return _Paired(absent=comparison.get("absent") is True, missing=str(comparison.get("missing") or ""))
    metric = str(comparison.get("metric"))
    difference, why_not = observe({"difference": comparison.get("difference")}, "difference", "value")
    if difference is None:
        return _Paired(missing=f"the comparison with the {other} has no result: {why_not}")
    sign = -1.0 if metric in LOWER_IS_BETTER else 1.0
    chance = comparison.get("p_value")
    ends = sorted(
        sign * end for end in (comparison["difference"].get(name) for name in ("low", "high")) if end is not None
    )
    least, half = (ends[0], (ends[1] - ends[0]) / 2.0) if len(ends) == 2 else (None, 0.0)
    rows = comparison.get("rows", facts.get("rows"))
    further = further_rows(sign * difference + margin, half, rows) if isinstance(rows, int) else None
    if least is not None and half == 0.0 and margin > 0.0 and isinstance(rows, int) and rows > 0:
        # Answers that never differed leave a bootstrap nothing to draw: the exact bound of a share of which none of so
        # many rows was seen (Clopper and Pearson 1934) stands for how often they may.
        least -= 1.0 - _ONE_SIDED ** (1.0 / rows)
        further = max(0, math.ceil(math.log(_ONE_SIDED) / math.log(1.0 - min(margin, 0.999))) - rows) or None
    return _Paired(
        difference=difference,
        gain=sign * difference,
        least=least,
        further=further,
        significant=comparison.get("significant") is True,
        called=f"the {other} ({comparison['name']})" if comparison.get("name") else f"the {other}",
        by=f"{show(abs(difference))} in {metric}"
        + (f" (p = {show(chance)})" if isinstance(chance, int | float) else ""),
    )


def beats(facts: Facts, other: str) -> Found:
    """Whether the paired difference (model - other) favours the model and is significant."""
    found = _paired(facts, other)
    if found.difference is None:
        return _without(found, other)
    if found.gain <= 0.0:
        verb = f"is better by {found.by}" if found.gain < 0.0 else f"is as good: {found.by}"
        return False, found.difference, f"{found.called} {verb}", None
    if not found.significant:
        return False, found.difference, f"better than {found.called} by {found.by}, which may be chance", found.further
    return True, found.difference, f"better than {found.called} by {found.by}", None


def not_worse(facts: Facts, other: str, margin: float | None = None) -> Found:
    """Whether the paired difference does not speak against the model.

    Without a margin: it is not significantly worse. With one it must be shown, not only not disproved: the low end of
    the 95 % interval of the gain lies above -`margin` (a non-inferiority test at 2.5 %; Piaggio and others 2012, JAMA
    308, 2594-2604).
    """
    found = _paired(facts, other, margin or 0.0)
    if found.difference is None:
        return _without(found, other)
    if margin is not None:
        return _within(found, margin)
    if found.gain < 0.0 and found.significant:
        return False, found.difference, f"{found.called} is better by {found.by}", None
    if found.gain < 0.0:
        return True, found.difference, f"{found.called} is better by {found.by}, which may be chance", None
    return True, found.difference, f"no worse than {found.called}: better by {found.by}", None


def _within(found: _Paired, margin: float) -> Found:
    if found.least is None:
        return False, found.difference, f"the difference to {found.called} has no interval", None
    side = f"{'better' if found.gain >= 0.0 else 'worse'} than {found.called} by {found.by}"
    if found.least > -margin:
        return True, found.difference, f"{side}; worse by less than {show(margin)} beyond doubt", None
    may_be = f"{side}, and may be worse by {show(-found.least)}, more than {show(margin)}"
    return False, found.difference, may_be, found.further


def _without(found: _Paired, other: str) -> Found:
    """There is nothing to compare with. While nothing is live, there is nothing that a release could make worse."""
    if found.absent:
        return True, None, f"there is no {other} yet, so nothing to be compared with", None
    return False, None, found.missing, None


RIVALS = frozenset(_WHERE)


def on_each(evaluate: Callable[..., Found]) -> Callable[..., Found]:
    """`evaluate`, asked of each target where the model has several: it holds where it holds of every one.

    No correction for their number is due: to pass wrongly, a model that is not better on some target would have to be
    taken for better on that very one (the intersection-union test; Berger 1982, Technometrics 24, 295-300).
    """

    def found(facts: Facts, other: str, *more: float) -> Found:
        comparison = facts.get("comparisons", {}).get(other)
        targets = comparison.get("targets") if isinstance(comparison, Mapping) else None
        if not targets:
            return evaluate(facts, other, *more)
        results = {
            name: evaluate({**facts, "comparisons": {other: {"name": comparison.get("name"), **one}}}, other, *more)
            for name, one in targets.items()
        }
        failed = {name: result for name, result in results.items() if not result[0]}
        reason = "; ".join(f"{name}: {result[2]}" for name, result in (failed or results).items())
        observed, _ = observe({"difference": comparison.get("difference")}, "difference", "value")
        further = [result[3] for result in failed.values()]
        wanted = [rows for rows in further if rows is not None]
        return not failed, observed, reason, max(wanted) if wanted and len(wanted) == len(further) else None

    return found
