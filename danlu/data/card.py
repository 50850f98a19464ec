"""The data card: what came in, what was dropped and why, what is in each part."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


class Funnel:
    """How many rows each step let through, and why it dropped the others.

    `steps` are those of an earlier stage, to go on from.
    """

    def __init__(self, rows: int = 0, steps: Sequence[dict[str, Any]] = ()) -> None:
        self.steps: list[dict[str, Any]] = list(steps)
        self.rows_read = self.steps[0]["rows_in"] if self.steps else rows
        self.rows = self.steps[-1]["rows_out"] if self.steps else rows

    def step(self, name: str, dropped: Counter[str]) -> None:
        """Record a step that dropped so many rows for each reason."""
        gone = {reason: count for reason, count in sorted(dropped.items()) if count}
        left = self.rows - sum(gone.values())
        self.steps.append({"step": name, "rows_in": self.rows, "rows_out": left, "dropped": gone})
        self.rows = left

    def lost(self) -> Counter[str]:
        """Rows dropped so far, by reason."""
        total: Counter[str] = Counter()
        for step in self.steps:
            total.update(step["dropped"])
        return total


@dataclass(kw_only=True)
class CleanCard:
    """`clean.json` in the making: what the clean stage did, which `card.json` tells again."""

    language: str = ""
    funnel: Funnel = field(default_factory=Funnel)
    masked: dict[str, int] = field(default_factory=dict)
    near_misses: dict[str, int] = field(default_factory=dict)
    sources: list[dict[str, Any]] = field(default_factory=list)
    identity_key: dict[str, Any] | None = None
    teacher: dict[str, Any] = field(default_factory=dict)
    columns: dict[str, list[str]] | None = None
    warnings: list[str] = field(default_factory=list)

    def values(self) -> dict[str, Any]:
        """The card as plain values."""
        return _plain(self)


@dataclass(kw_only=True)
class Card:
    """`card.json` in the making."""

    task: str
    language: str = ""
    labels: list[str] = field(default_factory=list)
    heads: list[dict[str, Any]] | None = None
    funnel: Funnel = field(default_factory=Funnel)
    splits: dict[str, dict[str, Any]] = field(default_factory=dict)
    masked: dict[str, int] = field(default_factory=dict)
    near_misses: dict[str, int] = field(default_factory=dict)
    relabelled: dict[str, int] = field(default_factory=dict)
    duplicates: dict[str, Any] = field(default_factory=dict)
    split: dict[str, Any] = field(default_factory=dict)
    added: dict[str, Any] = field(default_factory=dict)
    mix: dict[str, Any] = field(default_factory=dict)
    contamination: list[dict[str, Any]] = field(default_factory=list)
    leaked_rows: int = 0
    lengths: dict[str, int] = field(default_factory=dict)
    length_bins: list[dict[str, int]] = field(default_factory=list)
    sources: list[dict[str, Any]] = field(default_factory=list)
    identity_key: dict[str, Any] | None = None
    teacher: dict[str, Any] = field(default_factory=dict)
    columns: dict[str, list[str]] | None = None
    cells: dict[str, Any] = field(default_factory=dict)
    naive: dict[str, Any] | None = None
    warnings: list[str] = field(default_factory=list)

    def values(self) -> dict[str, Any]:
        """The card as plain values."""
        return _plain(self)


def _plain(card: Card | CleanCard) -> dict[str, Any]:
    values = {name: value for name, value in vars(card).items() if name != "heads" or value is not None}
    return values | {"funnel": card.funnel.steps}


def sentence(card: Mapping[str, Any]) -> str:
    """The corpus in one sentence, whose numbers add up: rows read are those kept and those dropped."""
    read = card["funnel"][0]["rows_in"] if card["funnel"] else 0
    kept = sum(part["rows"] for part in card["splits"].values())
    sizes = ", ".join(f"{card['splits'][part]['rows']:,} {part}" for part in ("train", "validation", "test"))
    added = added_rows(card)
    more = f"; {added:,} rows were added to train, which has {trained_rows(card):,} with them" if added else ""
    return f"{read:,} rows read, {kept:,} kept ({sizes}); {dropped_told(card)}{more}"


def dropped(card: Mapping[str, Any]) -> dict[str, int]:
    """How many rows were dropped, by reason, the most frequent first."""
    total: Counter[str] = Counter()
    for step in card["funnel"]:
        total.update(step["dropped"])
    return {reason: rows for reason, rows in sorted(total.items(), key=lambda pair: (-pair[1], pair[0])) if rows}


def dropped_told(card: Mapping[str, Any]) -> str:
    """How many rows were dropped and why, in words: `21 dropped (12 exact duplicate, 9 bridges split)`."""
    reasons = dropped(card)
    why = ", ".join(f"{rows:,} {reason.replace('_', ' ')}" for reason, rows in reasons.items())
    return f"{sum(reasons.values()):,} dropped" + (f" ({why})" if why else "")


def added_rows(card: Mapping[str, Any]) -> int:
    """Rows that train has beyond those kept: augmented ones and repeats."""
    return int((card.get("added") or {}).get("rows", 0))


def trained_rows(card: Mapping[str, Any]) -> int:
    """Rows of train, with those that were added."""
    return int(card["splits"]["train"]["rows"]) + added_rows(card)


def mix_told(card: Mapping[str, Any]) -> str:
    """The share of training that each source has by the mix, and how often its rows are used; empty without a mix."""
    mix = card.get("mix") or {}
    told = []
    for source in mix.get("sources", []):
        asked = "" if abs(source["reached"] - source["wanted"]) < 0.0005 else f" of {source['wanted']:.1%} asked for"
        told.append(f"{source['name']} {source['reached']:.1%}{asked}, its rows {source['times']:g} times")
    return f"Mix, by {mix['unit']}: " + "; ".join(told) if told else ""


def mix_warnings(names: Sequence[str], before: Sequence[int], used: Sequence[float]) -> list[str]:
    """A warning for each source that brought training rows of which the mix uses none."""
    return [
        f"The mix leaves out {name} altogether: none of its {rows:,} training rows is used. Give it a larger weight, "
        "or take it out of data.sources if that is meant."
        for name, rows, left in zip(names, before, used, strict=True)
        if rows and not left
    ]


_STEP_WORDS = {
    "read": "Read",
    "sample": "Sampled at random",
    "normalise": "Encoding, controls, white space",
    "length": "Length",
    "filters": "Filters",
    "mask": "Personal data masked",
    "labels": "Equal texts with different labels",
    "exact_duplicates": "Equal texts",
    "near_duplicates": "Near duplicates",
    "split": "Rows that join two sides of the split",
    "outliers": "Texts far from all others",
    "balance": "Rows of large classes left out",
    "mix": "Rows of sources with a smaller share left out",
    "near_test": "Training rows like a held-out one",
    "teacher": "Rows that got no answer of the teacher",
    "overruled": "The teacher's answers to texts that people answered",
    "taught": "Held-out rows that the teacher answered",
}

_TASKS = {
    "classify": "text-classification",
    "tag": "text-classification",
    "regress": "text-classification",  # the hub's name for a number a text too
    "multitask": "text-classification",
    "generate": "text-generation",
    "embed": "sentence-similarity",
    "fill": "fill-mask",
}

_SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
)


def readme(card: dict[str, Any]) -> str:
    """The data card in the form that the Hugging Face hub shows."""
    sections = [_front_matter(card), "# Data card\n\n" + sentence(card) + ".", _sources(card), _funnel(card)]
    sections += [_parts(card)]
    if (card["teacher"] or {}).get("rows"):
        sections.append(_teacher(card["teacher"]))
    if mix_told(card):
        sections.append(f"## Mix of sources in training\n\n{_cell(mix_told(card))}.")
    if card.get("cells"):
        sections.append(_beside(card["cells"]))
    sections += [_privacy(card), _duplicates(card)]
    if card["naive"]:
        sections.append(_naive(card["naive"]))
    if card["warnings"]:
        sections.append("## Worth a look\n\n" + "\n".join(f"- {warning}" for warning in card["warnings"]))
    return "\n\n".join(sections) + "\n"


def _front_matter(card: dict[str, Any]) -> str:
    licences = sorted({source["licence"] for source in card["sources"]})
    rows = sum(part["rows"] for part in card["splits"].values())
    size = next((name for limit, name in _SIZES if rows < limit), "n>10M")
    lines = ["---", f"language: {card['language']}", f"license: {_licence(licences)}"]
    lines += ["task_categories:", f"- {_TASKS[card['task']]}", "size_categories:", f"- {size}"]
    lines += ["configs:", "- config_name: default", "  data_files:"]
    for part in card["splits"]:
        lines += [f"  - split: {part}", f"    path: {part}/*.parquet"]
    return "\n".join([*lines, "---"])


def _licence(licences: list[str]) -> str:
    return licences[0].lower() if len(licences) == 1 else "other"


def _table(head: list[str], rows: list[list[str]]) -> str:
    # The first column is words, the others are numbers unless a cell says otherwise.
    lines = [head, ["---", *["---:" for _ in head[1:]]], *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _sources(card: dict[str, Any]) -> str:
    rows = [
        [
            file["name"],
            file["format"],
            file["encoding"] or "",
            f"{file['rows']:,}",
            f"{file['bad_rows']:,}",
            source["licence"],
            source["consent"].replace("_", " "),
            file["sha256"][:12],
        ]
        for source in card["sources"]
        for file in source["files"]
    ]
    text = "## Sources\n\n" + _table(
        ["file", "format", "encoding", "rows", "unreadable", "licence", "consent", "SHA-256"], rows
    )
    for source in card["sources"]:
        if source["origin"] is not None:
            text += f"\n\n{_cell(source['name'])} comes from: {_cell(source['origin'])}"
        if source["consent_note"] is not None:
            text += f"\n\n{_cell(source['name'])}, basis of use: {_cell(source['consent_note'])}"
        if source["fetched"] is not None:
            text += f"\n\n{source['name']} was taken from {source['fetched']['place']} on {source['fetched']['taken']}."
    return text


def _funnel(card: dict[str, Any]) -> str:
    rows = []
    for step in card["funnel"]:
        why = ", ".join(f"{reason.replace('_', ' ')}: {count:,}" for reason, count in step["dropped"].items())
        gone = step["rows_in"] - step["rows_out"]
        rows.append([_STEP_WORDS.get(step["step"], step["step"]), f"{step['rows_in']:,}", f"{gone:,}", why])
    text = _table(["step", "rows in", "dropped", "why"], rows)
    return f"## What was dropped\n\n{text}\n\nEach dropped row is in `rejected/` with its origin and reason."


def _teacher(told: Mapping[str, Any]) -> str:
    """Who answered which rows, at what price, and whether its answers may train another model."""
    given = ", ".join(f"{_cell(label)}: {count:,}" for label, count in told["answers"].items())
    cost = "" if told["usd"] is None else f", ${told['usd']:,.4f} by the recipe's price, equal texts once"
    return (
        f"## Answers of a teacher\n\n{told['answered']:,} of {told['rows']:,} rows that had no answer got one of "
        f"`{_cell(told['model'])}`{f' ({given})' if given else ''}. It read {told['prompt_tokens']:,} tokens and wrote "
        f"{told['completion_tokens']:,}{cost}. Terms of its answers: {_cell(told['licence'] or 'not stated')}."
    )


def _parts(card: dict[str, Any]) -> str:
    parts = card["splits"]
    rows = [["rows", *[f"{part['rows']:,}" for part in parts.values()]]]
    rows.append(["characters", *[f"{part['characters']:,}" for part in parts.values()]])
    for name in ("mean", "std", "least", "median", "most"):
        told = [f"{part['values'].get(name, math.nan):g}" for part in parts.values() if "values" in part]
        rows += [[f"value, {name}", *told]] if told else []
    for head in card.get("heads") or []:
        told = [f"{part['targets'].get(head['name'], {}).get('rows', 0):,}" for part in parts.values()]
        rows.append([f"rows with the target `{head['name']}`", *told])
    shown = card["labels"][:50]
    rows += [[f"label `{label}`", *[f"{p['labels'].get(label, 0):,}" for p in parts.values()]] for label in shown]
    if added_rows(card):
        rows.append(["rows with those added", f"{trained_rows(card):,}", *["" for _ in list(parts)[1:]]])
    more = len(card["labels"]) - len(shown)
    rest = f"\n\nAnd {more:,} more labels; see card.json." if more else ""
    lengths = card["lengths"]
    return (
        "## Parts\n\n" + _table(["", *parts], rows) + rest + f"\n\nLength in characters: median {lengths['p50']:,}, "
        f"95 % up to {lengths['p95']:,}, 99 % up to {lengths['p99']:,}, longest {lengths['max']:,}. The split "
        f"{'is stratified by label and ' if card['labels'] else ''}keeps near duplicates together. Rows of validation "
        f"and test that are also in train, equal or nearly so, counted anew from the written texts: "
        f"{card['leaked_rows']:,}."
    )


def _beside(found: Mapping[str, Mapping[str, Any]]) -> str:
    """What stands in the columns beside the texts (`danlu.data.columns.summary`)."""
    lines = []
    for name, column in found.items():
        numbers = column.get("numbers")
        if numbers is None:
            most = ", ".join(f"{value} {rows:,}" for value, rows in column["most"].items())
            held = f"{column['values']:,} values" + (f": {most}" if most else "")
        else:
            held = ", ".join(f"{what} {value:g}" for what, value in numbers.items()) or "nothing"
        lines.append([_cell(name), f"{column['missing']:,}", _cell(held)])
    return (
        "## Beside the texts\n\n"
        + _table(["column", "missing", "in the training rows"], lines)
        + "\n\nThese cells are "
        "as the files have them: they are not masked."
    )


def _privacy(card: dict[str, Any]) -> str:
    if not card["masked"]:
        return "## Personal data\n\nNothing was masked: the recipe asks for none."
    counts = ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in card["masked"].items())
    return f"## Personal data\n\nValues replaced: {counts}. A kind that is not listed was not looked for."


def _duplicates(card: dict[str, Any]) -> str:
    found = card["duplicates"]
    text = f"## Duplicates\n\nEqual texts dropped: {found['exact_dropped']:,}."
    if found["threshold"] is not None:
        text += (
            f" Near duplicates (Jaccard similarity of shingles from {found['threshold']:g}): "
            f"{found['near_rows']:,} different texts in {found['near_clusters']:,} clusters."
        )
    if found["truncated_buckets"]:
        text += (
            f" {found['truncated_buckets']:,} shingles are in so many similar texts that not all of those were "
            "compared; a cluster may be in two pieces."
        )
    return text


def _naive(naive: dict[str, Any]) -> str:
    def shown(score: dict[str, float | None]) -> str:
        if score["value"] is None:
            return "not measurable"
        if score["low"] is None or score["high"] is None:
            return f"{score['value']:.1%}"
        return f"{score['value']:.1%} (95 % interval {score['low']:.1%} to {score['high']:.1%})"

    straddling, rows, available = naive["straddling_share"], naive["rows"], naive["rows_available"]
    drawn = f"{rows:,}" if rows == available else f"{rows:,} of {available:,}"
    share = "" if straddling is None else f" There, {straddling:.1%} of the test rows had a duplicate in training."
    return (
        f"## What a naive split would have claimed\n\nOn {drawn} rows with their duplicates, "
        f"{naive['model']} reaches an accuracy of {shown(naive['naive'])} when rows are split at random, and "
        f"{shown(naive['clean'])} on distinct texts split by cluster.{share}"
    )
