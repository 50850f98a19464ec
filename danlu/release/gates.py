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
from danlu.release.reading import Facts, Found, measured_on, observe, show, wanted
from danlu.release.rivals import RIVALS, beats, not_worse, on_each


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
    "leaked_rows": Fact(
        meaning="validation and test rows that are also in the training part, or in that of a model it was made from"
    ),
    "taught_rows": Fact(meaning="test rows whose answer is that of data.teacher, not of people"),
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
        observed, why_not = observe(facts, self.fact, self.end)
        if observed is None:
            return GateResult(expression=self.expression, passed=False, observed=None, reason=why_not)
        passed = _COMPARE[self.sign](observed, self.number)
        name = self.fact if self.end == "value" else f"{self.fact}.{self.end}"
        says = "as asked" if passed else "but must be"
        reason = f"{name} is {show(observed)}{measured_on(facts[self.fact])}, {says} {self.sign} {show(self.number)}"
        further = None if passed else self._further(facts)
        return GateResult(
            expression=self.expression,
            passed=passed,
            observed=observed,
            reason=reason + wanted(further),
            further=further,
        )

    def _further(self, facts: Facts) -> int | None:
        """How many more test rows a bound lacks whose estimate would pass; only of what the test rows measure."""
        value, rows = facts[self.fact], facts.get(of_target(self.fact)[0] + "rows", facts.get("rows"))
        if self.end != _BOUNDS.get(self.sign) or "rows" in value or not isinstance(rows, int):
            return None
        estimate, _ = observe(facts, self.fact, "value")
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
            reason=reason + wanted(further),
            further=further,
        )


Gate = Comparison | Call


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


FUNCTIONS: dict[str, Function] = {
    "beats": Function(example="beats(baseline)", arguments=(RIVALS,), evaluate=on_each(beats)),
    "not_worse": Function(
        example="not_worse(champion, 0.005)", arguments=(RIVALS, "number"), evaluate=on_each(not_worse), optional=1
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
