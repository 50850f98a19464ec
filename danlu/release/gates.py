"""What must be true before a model may go live, as short expressions over the evidence.

macro_f1 >= 0.70            a fact against a number
macro_f1.low >= 0.65        the low (or high) end of its 95 % interval instead of the point estimate
beats(baseline)             better than the baseline, and significantly so in the paired test
not_worse(baseline)         not significantly worse than the baseline
mood.macro_f1 >= 0.70       of several targets the fact of one, by its name; beats(baseline) then asks it of each
beats(champion)             the same against the version that is live; passes while none is
not_worse(champion, 0.005)  worse by less than 0.005 beyond doubt: the whole interval of the difference lies above that

A gate is matched against two patterns and looked up in two tables; nothing is executed. A fact that is missing,
null or NaN fails its gate: what was not measured is not taken for good.

To add a fact, add a row to `FACTS` and fill it in `facts.py`. To add a function, add a row to `FUNCTIONS`.
"""

from __future__ import annotations

import difflib
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from danlu.metrics.power import further_rows


@dataclass(frozen=True, kw_only=True)
class Fact:
    """A number that a gate may ask for: what it is, whether it has an interval, whether it lies in 0 to 1."""

    meaning: str
    interval: bool = False
    share: bool = False


def _score(meaning: str) -> Fact:
    return Fact(meaning=meaning, interval=True, share=True)


FACTS: dict[str, Fact] = {
    "accuracy": _score("share of test rows with the right label"),
    "macro_f1": _score("F1, mean over the labels"),
    "weighted_f1": _score("F1, mean over the labels weighted by their rows"),
    "macro_precision": _score("precision, mean over the labels"),
    "macro_recall": _score("recall, mean over the labels"),
    "roc_auc": _score("area under the ROC curve, one label against the rest, mean"),
    "ece": _score("expected calibration error"),
    "log_loss": Fact(meaning="mean negative log-probability of the right label, in nats", interval=True),
    "micro_f1": _score("F1 over the decisions on all labels together (tag)"),
    "micro_precision": _score("precision over the decisions on all labels together (tag)"),
    "micro_recall": _score("recall over the decisions on all labels together (tag)"),
    "subset_accuracy": _score("share of test rows whose labels are all right (tag)"),
    "hamming_loss": _score("share of wrong decisions among all rows and labels (tag)"),
    "average_precision": _score("average precision of the ranking by probability, mean over the labels (tag)"),
    "mae": Fact(meaning="mean absolute error, in the unit of the data (regress)", interval=True),
    "rmse": Fact(meaning="root of the mean squared error, in the unit of the data (regress)", interval=True),
    "r2": Fact(meaning="share of the variance that is explained; may be below 0 (regress)", interval=True),
    "spearman": Fact(meaning="rank correlation, from -1 to 1 (regress)", interval=True),
    "quality": Fact(
        meaning="of several targets the mean of macro F1 (classify), average precision (tag) and 1 less the mean "
        "absolute error in standard deviations of the training rows (regress)",
        interval=True,
    ),
    "worst_class_f1": _score("lowest F1 of any label"),
    "worst_class_recall": _score("lowest recall of any label"),
    "perplexity": Fact(meaning="perplexity per token on the test rows", interval=True),
    "bits_per_character": Fact(meaning="bits per character on the test rows", interval=True),
    "masked_accuracy": _score("share of the hidden tokens that are foreseen (fill)"),
    "masked_perplexity": Fact(meaning="perplexity of a hidden token on the test rows (fill)", interval=True),
    "recall_at_1": _score("share of the texts that belong to a query which are found first"),
    "recall_at_5": _score("share of them among the first 5 found"),
    "recall_at_10": _score("share of them among the first 10 found"),
    "mrr_at_10": _score("1 / rank of the first right text, 0 beyond 10, mean over the queries"),
    "ndcg_at_10": _score("normalised discounted cumulative gain of the first 10 found"),
    "questions_rules": _score("share of your own questions whose answers keep all rules"),
    "questions_exact": _score("share of your own questions that are answered with the reference's words"),
    "questions_f1": _score("F1 of the words that answers share with the references, mean"),
    "questions_rouge_l": _score("F1 of the longest sequence of words in common, mean"),
    "questions_fuzzy": _score("share of characters that answers and references have in common, mean"),
    "questions_chrf": _score("chrF of all answers against the references, from 0 to 1"),
    "questions_bleu": _score("BLEU of all answers against the references, from 0 to 1"),
    "seen_questions": Fact(meaning="your own questions that are in the training part word for word"),
    "rows": Fact(meaning="test rows scored"),
    "train_rows": Fact(meaning="training rows in the corpus"),
    "leaked_rows": Fact(meaning="validation and test rows that are also in the training part"),
    "parity": _score("share of held-out texts on which the shipped form and the checkpoint differ"),
    "parity_max": Fact(
        meaning="largest difference between them: in probability, for regress in standard deviations of the numbers, "
        "for embed the cosine distance"
    ),
    "bytes": Fact(meaning="size of the shipped form, in bytes"),
    "p50_ms": Fact(meaning="median latency of one request, in milliseconds"),
    "p95_ms": Fact(meaning="95th percentile of the latency of one request, in milliseconds"),
    "throughput_per_second": Fact(meaning="texts answered per second"),
    "tokens_per_second": Fact(meaning="tokens generated per second"),
    "first_token_ms": Fact(meaning="time to the first generated token, in milliseconds"),
}

#: Gates of a recipe that names none, by task. They hold for any data: no score is asked for by value.
DEFAULTS: dict[str, tuple[str, ...]] = {
    "classify": ("beats(baseline)", "parity <= 0.01", "leaked_rows == 0"),
    "tag": ("beats(baseline)", "parity <= 0.01", "leaked_rows == 0"),
    "regress": ("beats(baseline)", "parity <= 0.01", "leaked_rows == 0"),
    "multitask": ("beats(baseline)", "parity <= 0.01", "leaked_rows == 0"),
    "generate": ("beats(baseline)", "parity <= 0.01", "leaked_rows == 0"),
    "embed": ("beats(baseline)", "parity <= 0.01", "leaked_rows == 0"),
    "fill": ("beats(baseline)", "parity <= 0.01", "leaked_rows == 0"),
}


def defaults(task: str, form: str, base: str | None = None) -> tuple[str, ...]:
    """What is asked where a recipe asks nothing. `base` is the pretrained model that it stands on, if any.

    A model without a neural network need not beat the baseline, for it is as cheap, and may be the baseline itself; but
    it must not be worse. One over a frozen encoder has to earn the encoder.
    """
    cheap = form == "classic" and base is None
    return tuple(gate.replace("beats", "not_worse") if cheap else gate for gate in DEFAULTS[task])


#: Scores of which less is better; of all others more is.
LOWER_IS_BETTER = frozenset(
    {"masked_perplexity", "perplexity", "bits_per_character", "log_loss", "ece", "hamming_loss", "mae", "rmse"}
)

#: Facts of one model as `facts.gather` returns them: numbers, scores `{"value", "low", "high"}` (with "rows" where
#: they were not measured on the test rows), and under
#: "comparisons" the paired comparisons by what the model was compared with.
Facts = Mapping[str, Any]

_COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}

#: The end of an interval that a sign asks for on the safe side.
_BOUNDS = {">=": "low", ">": "low", "<=": "high", "<": "high"}

_ENDS = ("value", "low", "high")

_LONGEST = 200
_COMPARISON = re.compile(r"(?P<name>[A-Za-z_]\w*(?:\.\w+){0,2})\s*(?P<sign>[<>=!]=|[<>])\s*(?P<number>\S+)", re.A)
_CALL = re.compile(r"(?P<name>[A-Za-z_]\w*)\s*\((?P<arguments>[^()]*)\)", re.A)
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.A)
_EXAMPLES = "write for instance 'macro_f1 >= 0.70', 'macro_f1.low >= 0.65', 'parity <= 0.01' or 'beats(baseline)'"


@dataclass(frozen=True, kw_only=True)
class GateResult:
    """Whether a gate passed, the number it looked at (None where there is none), and why, in one sentence.

    `further`: of a gate that the estimate passes and its interval does not, how many more test rows would mostly decide
    it (`danlu.metrics.power`); None for any other: more rows are not what it lacks.
    """

    expression: str
    passed: bool
    observed: float | None
    reason: str
    further: int | None = None

    def as_dict(self) -> dict[str, Any]:
        return {
            "expression": self.expression,
            "passed": self.passed,
            "observed": self.observed,
            "reason": self.reason,
            "further": self.further,
        }


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """`fact.end sign number`; `end` is "value" for the point estimate, else "low" or "high"."""

    expression: str
    fact: str
    end: str
    sign: str
    number: float

    def evaluate(self, facts: Facts) -> GateResult:
        observed, why_not = _observe(facts, self.fact, self.end)
        if observed is None:
            return GateResult(expression=self.expression, passed=False, observed=None, reason=why_not)
        passed = _COMPARE[self.sign](observed, self.number)
        name = self.fact if self.end == "value" else f"{self.fact}.{self.end}"
        says = "as asked" if passed else "but must be"
        reason = f"{name} is {_show(observed)}{_measured_on(facts[self.fact])}, {says} {self.sign} {_show(self.number)}"
        further = None if passed else self._further(facts)
        return GateResult(
            expression=self.expression,
            passed=passed,
            observed=observed,
            reason=reason + _wanted(further),
            further=further,
        )

    def _further(self, facts: Facts) -> int | None:
        """How many more test rows a bound lacks whose estimate would pass; only of what the test rows measure."""
        value, rows = facts[self.fact], facts.get(of_target(self.fact)[0] + "rows", facts.get("rows"))
        if self.end != _BOUNDS.get(self.sign) or "rows" in value or not isinstance(rows, int):
            return None
        estimate, _ = _observe(facts, self.fact, "value")
        if estimate is None:
            return None
        gap = self.number - estimate if self.end == "high" else estimate - self.number
        return further_rows(gap, abs(value[self.end] - estimate), rows)


@dataclass(frozen=True, kw_only=True)
class Call:
    """`function(argument, ...)`, the arguments as `FUNCTIONS` asks for them."""

    expression: str
    function: str
    arguments: tuple[str | float, ...]

    def evaluate(self, facts: Facts) -> GateResult:
        passed, observed, reason, further = FUNCTIONS[self.function].evaluate(facts, *self.arguments)
        return GateResult(
            expression=self.expression,
            passed=passed,
            observed=observed,
            reason=reason + _wanted(further),
            further=further,
        )


Gate = Comparison | Call

#: Passed, observed, reason, further: see `GateResult`.
Found = tuple[bool, float | None, str, int | None]


@dataclass(frozen=True, kw_only=True)
class Function:
    """A gate that is more than one comparison.

    `arguments`: what each argument is: the names allowed, or the word "number"; the last `optional` of them may be left
    out. `evaluate(facts, *arguments)` returns whether the gate passed, the number it looked at, the reason, and how
    many further test rows would decide it, as `GateResult` has them.
    """

    example: str
    arguments: tuple[frozenset[str] | str, ...]
    evaluate: Callable[..., Found]
    optional: int = 0


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
    difference, why_not = _observe({"difference": comparison.get("difference")}, "difference", "value")
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
        by=f"{_show(abs(difference))} in {metric}"
        + (f" (p = {_show(chance)})" if isinstance(chance, int | float) else ""),
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
        return True, found.difference, f"{side}; worse by less than {_show(margin)} beyond doubt", None
    may_be = f"{side}, and may be worse by {_show(-found.least)}, more than {_show(margin)}"
    return False, found.difference, may_be, found.further


def _without(found: _Paired, other: str) -> Found:
    """There is nothing to compare with. While nothing is live, there is nothing that a release could make worse."""
    if found.absent:
        return True, None, f"there is no {other} yet, so nothing to be compared with", None
    return False, None, found.missing, None


_RIVALS = frozenset(_WHERE)


def _on_each(evaluate: Callable[..., Found]) -> Callable[..., Found]:
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
        observed, _ = _observe({"difference": comparison.get("difference")}, "difference", "value")
        further = [result[3] for result in failed.values()]
        wanted = [rows for rows in further if rows is not None]
        return not failed, observed, reason, max(wanted) if wanted and len(wanted) == len(further) else None

    return found


FUNCTIONS: dict[str, Function] = {
    "beats": Function(example="beats(baseline)", arguments=(_RIVALS,), evaluate=_on_each(beats)),
    "not_worse": Function(
        example="not_worse(champion, 0.005)", arguments=(_RIVALS, "number"), evaluate=_on_each(not_worse), optional=1
    ),
}


def fact_of(text: str) -> tuple[str, str] | None:
    """The target, empty for none, and the fact that a gate asks for; None for one that is more than a comparison."""
    gate = parse(text)
    if not isinstance(gate, Comparison):
        return None
    target, fact = of_target(gate.fact)
    return target.removesuffix("."), fact


def asks_for(text: str, name: str) -> bool:
    """Whether a gate has `name` among its arguments; one that cannot be read does not."""
    call = _CALL.fullmatch(" ".join(text.split()))
    return call is not None and name in [part.strip() for part in call["arguments"].split(",")]


def verdict_of(results: Sequence[GateResult]) -> str:
    """ "ship", "refused", or "undecided" where nothing but more test rows is lacking."""
    failed = [result for result in results if not result.passed]
    if not failed:
        return "ship"
    return "undecided" if all(result.further is not None for result in failed) else "refused"


def parse(text: str) -> Gate:
    """The gate that `text` writes.

    Raises `ValueError` that says what is wrong and names the nearest thing that is known.
    """
    expression = " ".join(text.split())
    if not expression:
        raise ValueError(f"a gate is empty; {_EXAMPLES}")
    if len(expression) > _LONGEST:
        raise ValueError(f"a gate has {len(expression)} characters, more than {_LONGEST}; {_EXAMPLES}")
    call = _CALL.fullmatch(expression)
    if call:
        return _parse_call(expression, call["name"], call["arguments"])
    comparison = _COMPARISON.fullmatch(expression)
    if comparison:
        return _parse_comparison(expression, comparison)
    if re.search(r"\b(and|or|not)\b|&|\|", expression):
        raise ValueError(f"the gate {expression!r} joins conditions; write each as a line of its own: all must hold")
    raise ValueError(f"cannot read the gate {expression!r}; {_EXAMPLES}")


def evaluate(gate: Gate, facts: Facts) -> GateResult:
    """Hold `gate` against the facts. Never raises over a value that is missing, null or NaN: the gate fails."""
    return gate.evaluate(facts)


def of_target(fact: str) -> tuple[str, str]:
    """A fact as what names its target, up to the dot and empty for none, and the fact itself."""
    target, dot, name = fact.rpartition(".")
    return target + dot, name


def _parse_comparison(expression: str, found: re.Match[str]) -> Comparison:
    whole, end, sign = found["name"], "value", found["sign"]
    first, dot, last = whole.rpartition(".")
    if dot and (last in _ENDS or "." in first or (first in FACTS and last not in FACTS)):
        whole, end = first, last
    target, name = of_target(whole)
    if name not in FACTS:
        raise ValueError(f"the gate {expression!r} asks for {name!r}, which is not known.{_nearest(name, FACTS)}")
    if end not in _ENDS:
        raise ValueError(f"the gate {expression!r} asks for {name}.{end}; there are {name}.low and {name}.high")
    if end != "value" and not FACTS[name].interval:
        raise ValueError(f"the gate {expression!r} asks for {name}.{end}, but {name} has no interval; write {name!r}")
    if not _NUMBER.fullmatch(found["number"]) or not math.isfinite(float(found["number"])):
        raise ValueError(f"the gate {expression!r} compares with {found['number']!r}, which is not a plain number")
    number = float(found["number"])
    if FACTS[name].share and not 0.0 <= number <= 1.0:
        hint = f"; did you mean {number / 100:g}?" if 1.0 < number <= 100.0 else ""
        raise ValueError(f"the gate {expression!r} compares with {number:g}, but {name} lies between 0 and 1{hint}")
    return Comparison(expression=expression, fact=target + name, end=end, sign=sign, number=number)


def _parse_call(expression: str, name: str, arguments: str) -> Call:
    if name not in FUNCTIONS:
        raise ValueError(f"the gate {expression!r} uses {name!r}, which is not known.{_nearest(name, FUNCTIONS)}")
    function = FUNCTIONS[name]
    given = [part.strip() for part in arguments.split(",")] if arguments.strip() else []
    if not len(function.arguments) - function.optional <= len(given) <= len(function.arguments):
        raise ValueError(f"the gate {expression!r} has {len(given)} arguments; write it like {function.example!r}")
    read: list[str | float] = []
    for argument, kind in zip(given, function.arguments, strict=False):
        if isinstance(kind, frozenset):
            if argument not in kind:
                raise ValueError(f"the gate {expression!r} names {argument!r}; known: {', '.join(sorted(kind))}")
            read.append(argument)
        elif _NUMBER.fullmatch(argument) and math.isfinite(float(argument)) and float(argument) >= 0.0:
            read.append(float(argument))
        else:
            raise ValueError(f"the gate {expression!r} gives {argument!r} where a number of at least 0 is expected")
    return Call(expression=expression, function=name, arguments=tuple(read))


def _nearest(name: str, known: Mapping[str, object]) -> str:
    near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
    return f" Did you mean {near[0]!r}?" if near else f" Known: {', '.join(known)}"


def _observe(facts: Facts, name: str, end: str) -> tuple[float | None, str]:
    """The number a gate looks at, or None and the reason why there is none."""
    if name not in facts or facts[name] is None:
        return None, f"{name} was not measured"
    value: object = facts[name]
    if isinstance(value, Mapping):
        value = value.get(end)
    elif end != "value":
        return None, f"{name} was measured without an interval"
    if value is None:
        return None, f"{name} has no {'value' if end == 'value' else end + ' end of its interval'}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None, f"{name} is not a number"
    if not math.isfinite(value):
        return None, f"{name} is not a finite number"
    return value, ""


def _measured_on(value: object) -> str:
    """On how many texts, for a fact that says so because they are not the test rows."""
    rows = value.get("rows") if isinstance(value, Mapping) else None
    return f" on {rows:,} held-out texts" if isinstance(rows, int) else ""


def _wanted(further: int | None) -> str:
    return "" if further is None else f"; about {further:,} more test rows would tell"


def _show(number: float) -> str:
    return f"{number:.4g}" if abs(number) < 10_000 else f"{number:,.0f}"
