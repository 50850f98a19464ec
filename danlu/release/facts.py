"""Gathers, from the artifacts of a run, the facts that gates ask for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from danlu.core.descent import held_out_seen
from danlu.core.errors import DanluError
from danlu.core.heads import heads_of, outputs_of

_FROM_SPEED = ("p50_ms", "p95_ms", "throughput_per_second", "tokens_per_second", "first_token_ms")


def _taught(card: Mapping[str, Any]) -> int:
    """How many test rows a teacher has answered (`data.teacher`), by the data stage's card."""
    held_out = (card.get("teacher") or {}).get("held_out") or {}
    return int((held_out.get("test") or {}).get("teacher", 0))


def gather(
    *,
    card: Mapping[str, Any],
    checkpoint: Mapping[str, Any],
    export: Mapping[str, Any],
    evidence: Mapping[str, Any],
    speed: Mapping[str, Any],
    champion: Mapping[str, Any] | None = None,
    questions: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The facts about the shipped form, by the names of `gates.FACTS`; what was not measured is None.

    `card`, `checkpoint` (`danlu.json`), `export`, `evidence`, `speed`, `champion` and `questions` are the JSON files of
    the stages data, train, compress, evaluate, speed, champion and questions; the last two are None where the recipe
    does not ask for them. Rows that an earlier training of the model has read count as leaked.
    Raises `DanluError` when evidence, speed or questions are about another form than the one that ships: a gate must
    never pass on the numbers of a model that is not served.
    """
    form = export["ship"]
    found = {"evidence": evidence, "speed": speed} | ({} if questions is None else {"questions": questions})
    for where, about in found.items():
        if about["form"] != form:
            raise DanluError(
                f"The {where} are about the form {about['form']!r}, but {form!r} ships; run again to measure it."
            )
    parity = export["forms"][form].get("parity") or {}
    facts: dict[str, Any] = dict(evidence["scores"])
    facts |= {
        "rows": evidence.get("rows"),
        "train_rows": card.get("splits", {}).get("train", {}).get("rows"),
        "leaked_rows": _leaked(evidence.get("leaked_rows"), checkpoint),
        "taught_rows": _taught(card),
        "parity": _parity(parity),
        "parity_max": parity.get("max_difference"),
        "bytes": export["forms"][form].get("bytes"),
    }
    facts |= {name: speed.get(name) for name in _FROM_SPEED}
    per_class = evidence.get("per_class") or {}
    facts |= {"worst_class_f1": _worst(per_class, "f1"), "worst_class_recall": _worst(per_class, "recall")}
    for head in evidence.get("heads") or ():
        outputs = outputs_of(heads_of([head]))
        own = {name: found for name, found in per_class.items() if name in outputs}
        facts |= {f"{head['name']}.rows": head["rows"]}
        facts |= {f"{head['name']}.worst_class_{metric}": _worst(own, metric) for metric in ("f1", "recall")}
    baseline = evidence.get("baseline") or {}
    comparison = baseline.get("comparison")
    facts["comparisons"] = {"baseline": {**comparison, "name": baseline.get("name")}} if comparison else {}
    if questions is not None:
        facts |= _questions(questions)
    if champion is not None:
        facts["comparisons"]["champion"] = _champion(champion)
    return facts


def _leaked(own: int | None, checkpoint: Mapping[str, Any]) -> int | None:
    """Held-out rows that the model's own training has, and texts of them that those it stands on have read."""
    return None if own is None else own + (held_out_seen(checkpoint) or 0)


def _questions(found: Mapping[str, Any]) -> dict[str, Any]:
    """The scores of the team's own questions, each with how many it was computed from."""
    counted = {name: found["with_rules" if name == "rules" else "with_reference"] for name in found["scores"]}
    scores = {f"questions_{name}": {**score, "rows": counted[name]} for name, score in found["scores"].items()}
    return {**scores, "seen_questions": found["seen_questions"]}


def _champion(found: Mapping[str, Any]) -> Mapping[str, Any]:
    """The comparison with the champion; `absent` while nothing is live, `missing` the reason why there is none."""
    if found["missing"]:
        return {"missing": found["missing"]}
    if found["version"] is None:
        return {"absent": True}
    return {**found["comparison"], "name": f"version {found['version']['number']}"}


def _parity(parity: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The share of texts answered otherwise than by the checkpoint, with its interval and the number of texts."""
    if parity.get("disagreement") is None:
        return None
    return {
        "value": parity["disagreement"],
        "low": parity.get("disagreement_low"),
        "high": parity.get("disagreement_high"),
        "rows": parity.get("rows"),
    }


def _worst(per_class: Mapping[str, Mapping[str, Any]], metric: str) -> Mapping[str, Any] | None:
    """The lowest score of any label; None when a label has none, because it might be the lowest."""
    scores = [values.get(metric) for values in per_class.values()]
    known = [score for score in scores if score is not None and score.get("value") is not None]
    if not known or len(known) < len(scores):
        return None
    worst: Mapping[str, Any] = min(known, key=lambda score: score["value"])
    return worst
