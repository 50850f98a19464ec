"""The model card: a README in Hugging Face form, every number of it from the run's artifacts.

The front matter follows the hub's model card specification
(https://github.com/huggingface/hub-docs/blob/main/modelcard.md), so that the folder can be pushed as it is.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ruamel.yaml import YAML

from danlu.core.asked import read_takes
from danlu.core.bases import base_of
from danlu.core.descent import earlier_trainings, held_out_seen

Json = Mapping[str, Any]

_PIPELINES = {
    "classify": "text-classification",
    "tag": "text-classification",
    "regress": "text-classification",  # the hub's name for a number a text too
    "multitask": "text-classification",
    "generate": "text-generation",
    "embed": "sentence-similarity",
    "fill": "fill-mask",
}
_LIBRARIES = {"torch": "transformers", "onnx": "onnx", "onnx-int8": "onnx", "classic": "danlu"}
_LANGUAGES = {"zh": "Chinese", "en": "English"}
_PURPOSES = {
    "classify": "Give it a text; it answers with one of {labels} and a probability for each.",
    "tag": "Give it a text; it answers with any number of {labels} and a probability for each.",
    "regress": "Give it a text; it answers with a number, in the unit of its training data.",
    "multitask": "Give it a text; it answers with each of its targets, those of {labels}.",
    "generate": "Give it the beginning of a text; it continues it.",
    "embed": "Give it a text; it answers with a vector of length 1. The product of two vectors is their cosine: the "
    "larger, the more the texts belong together. Search with it by comparing a query with all texts.",
    "fill": "Give it a text with words hidden by its mask token; it says what may stand there. Mostly it is a start "
    "for a classifier or an embedding model of the same language and field: model.base takes it.",
}

#: What no score says about a model of each task.
_TASK_LIMITS = {
    "classify": "It always answers with one of its labels, also for a text that fits none of them.",
    "tag": "Its thresholds were chosen for the largest F1 on validation rows; where a label missed costs more than one "
    "too many, or less, go by the probabilities.",
    "regress": "It answers any text with a number, also one that is unlike those it was tested on.",
    "multitask": "It answers every target of any text, also where one of them makes no sense for it.",
    "generate": "It writes what is likely, not what is true. Nothing filters what it writes.",
    "embed": "It finds the nearest text, also where none belongs to the query. A larger collection than the test pool "
    "has more texts to mistake for the right one, so expect lower scores there.",
    "fill": "It puts in what is frequent in texts like those it was trained on, not what is true.",
}

#: Metrics of a card, best first: name here -> (type on the hub, name for people).
_METRICS = {
    "quality": ("quality", "Quality, mean over the targets"),
    "accuracy": ("accuracy", "Accuracy"),
    "macro_f1": ("f1", "Macro F1"),
    "weighted_f1": ("f1", "Weighted F1"),
    "macro_precision": ("precision", "Macro precision"),
    "macro_recall": ("recall", "Macro recall"),
    "micro_f1": ("f1", "Micro F1"),
    "micro_precision": ("precision", "Micro precision"),
    "micro_recall": ("recall", "Micro recall"),
    "subset_accuracy": ("subset_accuracy", "Subset accuracy"),
    "average_precision": ("average_precision", "Average precision, mean over labels"),
    "hamming_loss": ("hamming_loss", "Hamming loss"),
    "mae": ("mae", "Mean absolute error"),
    "rmse": ("rmse", "Root mean squared error"),
    "r2": ("r_squared", "R squared"),
    "spearman": ("spearmanr", "Spearman rank correlation"),
    "roc_auc": ("roc_auc", "ROC AUC"),
    "log_loss": ("log_loss", "Log loss"),
    "ece": ("ece", "Calibration error"),
    "masked_accuracy": ("accuracy", "Hidden tokens found"),
    "masked_perplexity": ("perplexity", "Perplexity of a hidden token"),
    "recall_at_1": ("recall_at_1", "Recall at 1"),
    "recall_at_5": ("recall_at_5", "Recall at 5"),
    "recall_at_10": ("recall_at_10", "Recall at 10"),
    "mrr_at_10": ("mrr_at_10", "MRR at 10"),
    "ndcg_at_10": ("ndcg_at_10", "nDCG at 10"),
    "perplexity": ("perplexity", "Perplexity per token"),
    "bits_per_character": ("bits_per_character", "Bits per character"),
}

#: Licences that the hub knows by the small letters of their SPDX identifier; others are "other" with a name.
_HUB_LICENCES = frozenset(
    (
        "mit",
        "apache-2.0",
        "bsd-2-clause",
        "bsd-3-clause",
        "cc0-1.0",
        "cc-by-4.0",
        "cc-by-sa-4.0",
        "cc-by-nc-4.0",
        "gpl-3.0",
        "lgpl-3.0",
        "agpl-3.0",
        "mpl-2.0",
        "gemma",
        "llama3",
        "unlicense",
        "isc",
    )
)
_PARTS = ("train", "validation", "test")
_FEW_ROWS = 200


def model_card(
    *, release: Json, summary: str, card: Json, checkpoint: Json, export: Json, evidence: Json, speed: Json
) -> str:
    """The text of `README.md`. Equal arguments give equal text; there is no date and no path in it."""
    front = _front_matter(release, card, checkpoint)
    sections = [
        f"---\n{front}---",
        f"# {release['name']}",
        _verdict(release),
        "## What it is for\n\n" + _purpose(release, summary, card, checkpoint),
        "## Scores\n\n" + _scores(release, evidence),
        "## Baseline\n\n" + _baseline(evidence),
        "## Gates\n\n" + _gates(release),
        "## Data\n\n" + _data(card, checkpoint, evidence) + _made_rows(checkpoint),
        "## Form and speed\n\n" + _form(release, export, speed, checkpoint),
        "## Limits\n\n" + _bullets(_limits(release, card, checkpoint, export, evidence)),
        "## Lineage\n\n" + _lineage(release),
    ]
    return "\n\n".join(sections) + "\n"


def _front_matter(release: Json, card: Json, checkpoint: Json) -> str:
    task, form = release["task"], release["form"]
    tags = ["danlu", *(["onnx"] if form.startswith("onnx") else [])]
    front: dict[str, Any] = {}
    licence = checkpoint.get("licence")
    if licence:
        known = licence.lower() in _HUB_LICENCES
        front |= {"license": licence.lower()} if known else {"license": "other", "license_name": licence}
    else:
        front["license"] = "unknown"
    if card.get("language") in _LANGUAGES:
        front["language"] = [card["language"]]
    base = base_model(checkpoint.get("base"))
    if base:
        front["base_model"] = base
    else:
        tags.append("trained-from-scratch")
    front |= {"library_name": _LIBRARIES.get(form, form), "pipeline_tag": _PIPELINES[task], "tags": tags}
    metrics = _metrics_of(release["scores"])
    scores = {name: release["scores"][name] for name in metrics if _value(release["scores"].get(name)) is not None}
    front["metrics"] = list(dict.fromkeys(metrics[name][0] for name in scores))
    front["model-index"] = [
        {
            "name": release["name"],
            "results": [
                {
                    "task": {"type": _PIPELINES[task]},
                    "dataset": {"name": f"{release['name']} (held-out test part)", "type": "private", "split": "test"},
                    "metrics": [
                        {"type": metrics[name][0], "name": metrics[name][1], "value": round(score["value"], 6)}
                        for name, score in scores.items()
                    ],
                }
            ],
        }
    ]
    writer = YAML()
    writer.default_flow_style = False
    writer.allow_unicode = True
    writer.width = 4096
    text = io.StringIO()
    writer.dump(front, text)
    return text.getvalue()


def base_model(base: str | None) -> str | None:
    """The hub's name of a base model: OWNER/NAME of a hub, else the package or the folder; None from scratch.

    Only the last part of a local path is told: the rest is about the machine it was trained on.
    """
    if not base:
        return None
    scheme, separator, rest = base.partition("://")
    known = base_of(base) if separator else None
    if known is not None:
        return known.address("modelscope" if scheme == "modelscope" else "hf")
    if separator and scheme in {"hf", "modelscope"}:
        return rest.partition("@")[0].strip("/")
    name = rest.split("/")[0] if separator else base.rstrip("/\\").replace("\\", "/").rsplit("/", 1)[-1]
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or None


def _metrics_of(scores: Json) -> dict[str, tuple[str, str]]:
    """The metrics of a card as `_METRICS` has them, with those of each target under its name."""
    found = dict(_METRICS)
    for name in scores:
        target, dot, metric = name.rpartition(".")
        if dot and metric in _METRICS:
            kind, title = _METRICS[metric]
            found[name] = (kind, f"{target}: {title}")
    return found


def _verdict(release: Json) -> str:
    failed = [gate["expression"] for gate in release["gates"] if not gate["passed"]]
    if release["verdict"] == "undecided":
        further = max(gate["further"] for gate in release["gates"] if gate["further"] is not None)
        return (
            f"**Not enough data.** The test rows do not decide {_code(failed)}; about {further:,} more would. Do not "
            "use it yet."
        )
    if failed:
        return f"**Refused.** {len(failed)} of {len(release['gates'])} gates failed: {_code(failed)}. Do not use it."
    return f"**Released.** All {len(release['gates'])} gates passed on the form that is served."


def _purpose(release: Json, summary: str, card: Json, checkpoint: Json) -> str:
    purpose = _PURPOSES[release["task"]].format(labels=_code(release.get("labels") or []))
    language = _LANGUAGES.get(card.get("language", ""), "")
    about = f" It was trained and tested on {language} texts." if language else ""
    takes = read_takes(checkpoint.get("takes"))
    asked = "" if takes.text_alone else f" It is asked {takes.words()}."
    return "\n\n".join(part for part in (summary.strip(), purpose + asked + about) if part)


def _scores(release: Json, evidence: Json) -> str:
    metrics = _metrics_of(release["scores"])
    rows = [[_cell(title), *_interval(release["scores"].get(name))] for name, (_, title) in metrics.items()]
    lines = [
        f"On {evidence['rows']:,} test rows that training never saw, through the engine that serves."
        + _searched(evidence),
        _table(["score", "value", "95 % interval"], [row for row in rows if row[1] != "–"]),
    ]
    per_class = evidence.get("per_class") or {}
    if per_class:
        heads = ["label", "precision", "recall", "F1", "rows"]
        rows = [
            [
                _cell(label),
                *(_interval(values.get(name))[0] for name in ("precision", "recall", "f1")),
                f"{values['support']:,}",
            ]
            for label, values in per_class.items()
        ]
        lines.append(_table(heads, rows))
    return "\n\n".join(lines)


def _searched(evidence: Json) -> str:
    if not evidence.get("pool"):
        return ""
    return (
        f" Each of {evidence['queries']:,} queries was compared with all {evidence['pool']:,} texts of the test part."
    )


def _baseline(evidence: Json) -> str:
    baseline = evidence.get("baseline")
    if not baseline:
        return "No baseline was scored (`evaluate.baseline` is off)."
    compared = baseline.get("comparison") or {}
    by_target = compared.get("targets") or {"": compared}
    return "\n\n".join(part for target, one in by_target.items() for part in _against(evidence, baseline, one, target))


def _against(evidence: Json, baseline: Json, compared: Json, target: str) -> list[str]:
    """The table of one comparison, and what it comes to; `target` is empty where there is only one."""
    metric = ".".join(filter(None, (target, compared.get("metric") or evidence["primary"])))
    rows = [
        ["this model", "", *_interval(evidence["scores"].get(metric))],
        [
            _cell(compared.get("name") or baseline["name"]),
            _count(compared.get("trained_rows") or baseline.get("rows")),
            *_interval(baseline["scores"].get(metric)),
        ],
    ]
    everything = baseline.get("all_rows")
    if everything:
        of_all = ((everything.get("comparison") or {}).get("targets") or {}).get(target) or {}
        rows.append(
            [
                f"{_cell(compared.get('name') or baseline['name'])}, all training rows",
                _count(of_all.get("trained_rows") or everything.get("rows")),
                *_interval(everything["scores"].get(metric)),
            ]
        )
    title = _metrics_of(evidence["scores"]).get(metric, (metric, metric))[1]
    lines = [_table(["model", "trained on rows", title, "95 % interval"], rows)]
    if compared:
        value, interval = _interval(compared.get("difference"))
        sure = "significant" if compared.get("significant") else "not significant"
        chance = compared.get("p_value")
        p_value = "" if chance is None else f", p = {chance:.3g}"
        lines.append(
            f"Paired difference (model - baseline): {value} ({interval}), {compared['test']}{p_value}: {sure}."
        )
    return lines


def _gates(release: Json) -> str:
    rows = [
        [_code([gate["expression"]]), "passed" if gate["passed"] else "**failed**", _cell(gate["reason"])]
        for gate in release["gates"]
    ]
    return _table(["gate", "result", "why"], rows)


def _made_rows(checkpoint: Json) -> str:
    """What a training made beside the rows of the corpus: new rows between those of small classes."""
    made = checkpoint.get("made_rows")
    if not made:
        return ""
    told = ", ".join(f"{_cell(label)} {of['new']:,} beside {of['rows']:,}" for label, of in made.items())
    return (
        f"\n\nFor training alone, SMOTE made vectors between training rows of small classes: {told}. Validation and "
        "test have none."
    )


def _data(card: Json, checkpoint: Json, evidence: Json) -> str:
    parts = [
        [name, f"{part['rows']:,}", ", ".join(f"{_cell(k)} {v:,}" for k, v in (part.get("labels") or {}).items())]
        for name, part in sorted(card["splits"].items(), key=lambda item: _PARTS.index(item[0]))
    ]
    sources = [
        [_cell(source["name"]), _cell(source["format"]), _cell(source["licence"]), _count(source.get("rows"))]
        for source in card["sources"]
    ]
    lines = [
        _table(["source", "format", "licence", "rows"], sources),
        _table(["part", "rows", "labels"], parts),
    ]
    masked = {kind: count for kind, count in (card.get("masked") or {}).items() if count}
    if masked:
        lines.append("Masked before training: " + ", ".join(f"{k} {v:,}" for k, v in sorted(masked.items())) + ".")
    lines.append(
        f"Rows of validation or test that are also in training: {evidence['leaked_rows']} (counted on the written "
        "parts; near duplicates never straddle them)."
    )
    seen = held_out_seen(checkpoint)
    if seen:
        lines.append(
            f"Texts of validation or test that a model it was made from was trained on: {_count(seen)}. The scores say "
            "too much."
        )
    naive = evidence.get("naive")
    if naive:
        lines.append(
            f"On a naive random split with duplicates left in, {naive['model']} would have shown "
            f"{naive['metric']} {_interval(naive['naive'])[0]}; on this split it shows {_interval(naive['clean'])[0]}."
        )
    return "\n\n".join(lines)


#: What a model of several models is.
_ENSEMBLE = "the {count} models of the folds, whose answers are averaged"


def _form(release: Json, export: Json, speed: Json, checkpoint: Json) -> str:
    form = export["forms"][release["form"]]
    rows = [
        ["form", f"{release['form']} ({form['precision']})"],
        *([["ensemble", _ENSEMBLE.format(count=checkpoint["members"])]] if checkpoint.get("members") else []),
        ["size", f"{form['bytes'] / 1e6:,.1f} MB"],
        ["parameters", _count(checkpoint.get("parameters"))],
        *([["numbers of a vector", _count(checkpoint["dimensions"])]] if checkpoint.get("dimensions") else []),
        ["longest text", _longest(checkpoint.get("max_length"))],
        ["latency p50 / p95", f"{_number(speed.get('p50_ms'))} / {_number(speed.get('p95_ms'))} ms, one text"],
        ["throughput", f"{_number(speed.get('throughput_per_second'))} texts per second"],
        ["differs from the checkpoint on", _share(form.get("parity"))],
        ["answers one text at a time", "no" if form["batch_invariant"] else "yes: its answers depend on the batch"],
    ]
    machine = speed.get("machine") or {}
    measured = f"\n\nSpeed was measured on {machine['cpu']}, {machine['cores']} cores." if machine.get("cpu") else ""
    return _table(["", ""], rows) + measured


def _longest(tokens: int | None) -> str:
    return "any; texts are read whole" if tokens is None else f"{_count(tokens)} tokens; longer ones are cut"


def _limits(release: Json, card: Json, checkpoint: Json, export: Json, evidence: Json) -> list[str]:
    limits = []
    language = _LANGUAGES.get(card.get("language", ""))
    if language:
        limits.append(f"Other languages than {language} were not tested.")
    lengths = card.get("lengths") or {}
    if lengths:
        limits.append(
            f"99 % of its texts have at most {_count(lengths.get('p99'))} characters; longer ones were hardly tested."
        )
    limits.append(_TASK_LIMITS[release["task"]])
    if evidence["rows"] < _FEW_ROWS:
        limits.append(f"Only {evidence['rows']} test rows: the intervals are wide.")
    small = [label for label, values in (evidence.get("per_class") or {}).items() if values["support"] < 30]
    if small:
        limits.append(f"Fewer than 30 test rows of {_code(small)}: its scores say little.")
    if not export["forms"][release["form"]]["batch_invariant"]:
        limits.append("Its form answers a text differently beside other texts, so it is served one text at a time.")
    limits.append("Fairness between groups, attacks, and drift after release were not measured.")
    limits += [_cell(warning) for warning in card.get("warnings") or []]
    if not checkpoint.get("licence"):
        limits.append("No licence was named for it (`model.licence`).")
    if held_out_seen(checkpoint) is None:
        limits.append(
            "The corpus of a model that it was made from is gone: nobody can tell whether that one has read test rows."
        )
    limits += _restricted(checkpoint)
    return limits


def _restricted(checkpoint: Json) -> list[str]:
    """What the licences of all bases restrict: its own, and those of the trainings that it stands on."""
    named = {one.get("base") or "" for one in (checkpoint, *earlier_trainings(checkpoint))}
    known = [base_of(base) for base in sorted(named) if "://" in base]
    return [
        f"It was made from {base.hugging_face}. {base.restricted} They are at {base.terms}."
        for base in known
        if base is not None and base.restricted
    ]


def _lineage(release: Json) -> str:
    rows = [[stage, f"`{prints[0][:16]}`", f"`{prints[1][:16]}`"] for stage, prints in release["lineage"].items()]
    return (
        _table(["stage", "fingerprint", "content"], rows) + "\n\n"
        "Whole fingerprints are in `release.json`; each names a folder of artifacts whose record says what made it."
    )


def _value(score: Any) -> float | None:
    value = score.get("value") if isinstance(score, Mapping) else score
    return value if isinstance(value, int | float) else None


def _interval(score: Any) -> tuple[str, str]:
    value = _value(score)
    if value is None:
        return "–", "–"
    low, high = (score.get("low"), score.get("high")) if isinstance(score, Mapping) else (None, None)
    interval = "–" if low is None or high is None else f"{low:.4f} to {high:.4f}"
    return f"{value:.4f}", interval


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.1f}"


def _count(value: float | None) -> str:
    return "–" if value is None else f"{value:,}"


def _share(parity: Json | None) -> str:
    if not parity or parity.get("disagreement") is None:
        return "not compared"
    return f"{parity['disagreement']:.2%} of {parity['rows']:,} held-out texts"


def _code(names: Iterable[str]) -> str:
    return ", ".join("`" + " ".join(str(name).replace("`", "'").split()).replace("|", "\\|") + "`" for name in names)


def _cell(text: str) -> str:
    """Text from outside as one table cell: no line breaks, no cell borders, no HTML."""
    return " ".join(str(text).split()).replace("|", "\\|").replace("<", "&lt;")


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])
