"""The data stage: clean rows and links in, a deduplicated, split corpus out.

1. `keys` looks at all rows at once, as a few numbers each: conflicts, duplicates, clusters.
2. `split` gives each cluster a part; `tables` writes the parts, sorted by id.
3. `leaks` looks at the texts anew: training rows like a held-out one go, and what is left is counted.
4. `card` says what happened, from the first file on.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from danlu.core.artifact import Artifact, write_json
from danlu.core.context import Context
from danlu.core.lazy import load_attribute
from danlu.core.tasks import TASKS
from danlu.data.additions import add_rows
from danlu.data.balance.config import BalanceConfig
from danlu.data.balance.rows import undersample
from danlu.data.card import Card, Funnel, mix_warnings, readme, sentence
from danlu.data.checks import CHECKS, check_rows, spread
from danlu.data.config import CorpusConfig, DataStage
from danlu.data.duplicates import read_links
from danlu.data.earlier import SIDES, Earlier, compared, read_earlier, write_sides
from danlu.data.filters.config import OutlierFilter
from danlu.data.keys import (
    EXACT_DUPLICATE,
    LABEL_CONFLICT,
    NEAR_DUPLICATE,
    NEAR_TEST,
    Flags,
    Integers,
    Keys,
    Links,
    chosen_rows,
    read_keys,
    without_conflicts,
)
from danlu.data.labels.config import merged
from danlu.data.labels.decisions import apply_decisions, read_decisions
from danlu.data.leaks import count_leaks, leaking_rows, texts_in
from danlu.data.mix.shares import plan_mix, uses
from danlu.data.naive import naive_score
from danlu.data.near import components
from danlu.data.page.page import page
from danlu.data.pairs import GROUPS, columns_of, read_groups
from danlu.data.references import check_reference, cleaning_of
from danlu.data.sides import scramble
from danlu.data.split import PARTS, REASONS, TRAIN, Assignment, SplitRows, assign
from danlu.data.steps import below
from danlu.data.tables import CORPUS, SHARD_BYTES, Rejects, SortedPart, as_rejected, batches
from danlu.data.targets import COLUMNS, Stratum, columns, strata
from danlu.data.times import NO_TIME
from danlu.sources.targets import TARGETS

Reasons = npt.NDArray[np.int8]

OUTLIER = "outlier"
UNDERSAMPLED = "undersampled"
MIXED_OUT = "mixed_out"

#: The streams of draws for the mix and for the rows that others are compared with; `sides` has those of the split.
MIX_STREAM = 7
OUTLIER_STREAM = 9

#: Why a row is dropped after all rows have been seen, and the step that does it.
_STEP_OF = {
    LABEL_CONFLICT: "labels",
    EXACT_DUPLICATE: "exact_duplicates",
    NEAR_DUPLICATE: "near_duplicates",
    **dict.fromkeys(REASONS[1:], "split"),
    NEAR_TEST: "near_test",
    OUTLIER: "outliers",
    UNDERSAMPLED: "balance",
    MIXED_OUT: "mix",
}
_REASONS = ("", *_STEP_OF)

#: Columns that a task's corpus may have beside those that it must have.
_MAY_HAVE = {"generate": {"turns", "rejected"}}

#: Columns that a task's corpus does without.
_ONLY_FOR_OTHERS = {
    task: {*COLUMNS, "pair", "turns", "rejected"} - {*about.columns, *_MAY_HAVE.get(task, set())}
    for task, about in TASKS.items()
}


@dataclass(frozen=True, kw_only=True)
class Rows:
    """What was decided on each cleaned row: its reason to go, its part (-1 when it goes), its fold and its group."""

    task: str
    reason: Reasons
    part: Reasons
    fold: Reasons
    group: Integers
    keys: Keys

    def columns(self, rows: slice) -> dict[str, pa.Array]:
        """The corpus's columns that are not among the cleaned ones. A group is named after its first row's text."""
        first = self.keys.contents[self.keys.text[np.maximum(self.group[rows], 0)]]
        names = [f"{content:016x}" for content in first.tolist()]
        fold = self.fold[rows]
        times = np.zeros(len(fold), dtype=np.int64) if self.keys.time is None else self.keys.time[rows]
        no_time = np.ones(len(fold), dtype=bool) if self.keys.time is None else times == NO_TIME
        kept = [self.keys.labels[number] for number in self.keys.label[rows].tolist()]
        return {
            **columns(self.task, kept),
            "cluster": pa.array(names, pa.string()),
            "fold": pa.array(fold, pa.int8(), mask=fold < 0),
            "time": pa.array(times, pa.int64(), mask=no_time),
        }


def run(ctx: Context, config: DataStage) -> None:
    """Make the Corpus artifact in `ctx.out`."""
    scratch = ctx.state / "data"
    shutil.rmtree(scratch, ignore_errors=True)
    task, data = TASKS[config.task], config.data
    clean, found = ctx.inputs["clean"], ctx.inputs["duplicates"]
    texts = clean / "texts"
    card = _card(config.task, clean)
    mended = _Mended(ctx, config)
    keys = read_keys(texts, data.time or "time", mended if task.named and mended.needed else None)
    card.relabelled = mended.counts
    card.warnings += keys.warnings
    links = read_links(found / "links.parquet")
    clusters = components(links.pairs, keys.texts)
    reasons = _decide(data, keys, clusters, card, answered=task.target is not None)
    card.duplicates["truncated_buckets"] = found.json("duplicates.json")["truncated"]
    check_rows(int((reasons == 0).sum()), card.funnel)
    stratum = strata(config.task, keys.labels)
    card.warnings += CHECKS[config.task](keys, stratum, reasons == 0, data)
    mark = None if card.identity_key is None else card.identity_key["mark"]
    earlier = read_earlier(ctx.resources["data.extends"], mark) if data.extends is not None else None
    sides = _split(data, keys, stratum, links, read_groups(found / GROUPS), card, earlier)
    write_sides(ctx.out / SIDES, keys, sides, earlier, mark)
    parts = _drop_bridges(sides, reasons, card)
    if data.duplicates.near:
        _drop_leaks(ctx, data, texts, reasons, parts, card)
    if data.outliers is not None:
        _drop_outliers(data.outliers, texts, data.seed, keys, reasons, parts, card)
    if data.balance is not None and data.balance.method == "undersample":
        _leave_out(data.balance, data.seed, keys, reasons, parts, card)
    repeats = _mix(data, keys, reasons, parts, card)
    rows = Rows(task=config.task, reason=reasons, part=parts, fold=sides.fold, group=sides.group, keys=keys)
    _count(keys, rows, card, stratum)
    _write(ctx, config, scratch, rows, card)
    _add(ctx, config, scratch, card, repeats)
    _look_for_references(ctx, data, card)
    with ctx.progress("counting leaks", None, "texts") as bar:
        card.leaked_rows = count_leaks(ctx.out, data.duplicates.threshold, bar.advance)
    if config.task == "classify":
        ctx.say("Measuring what a naive split would have claimed")
        card.naive = naive_score(texts, keys, clusters, data.seed)
    _publish(ctx, card)
    shutil.rmtree(scratch, ignore_errors=True)


class _Mended:
    """Gives rows the labels that the recipe and people say they have, and counts what that changed."""

    def __init__(self, ctx: Context, config: DataStage) -> None:
        self._config = config.data.labels
        self._target = TARGETS.get(config.task)
        path = ctx.resources.get("data.labels.decisions")
        self._decisions = read_decisions(path) if path is not None else {}
        self.needed = bool(self._config.merge) or bool(self._decisions)
        self.counts = {"merged": 0, "changed": 0, "confirmed": 0} if self.needed else {}

    def __call__(self, contents: list[str], labels: list[str]) -> list[str]:
        assert self._target is not None
        classes = [self._target.renamed(label, lambda name: merged(name, self._config)) for label in labels]
        applied = apply_decisions(contents, classes, self._decisions)
        self.counts["merged"] += sum(new != old for new, old in zip(classes, labels, strict=True))
        self.counts["changed"] += applied.changed
        self.counts["confirmed"] += applied.confirmed
        return applied.labels


def _card(task: str, clean: Artifact) -> Card:
    """A card that begins with what the clean stage did."""
    before = clean.json("clean.json")
    funnel = Funnel(steps=before.pop("funnel"))
    return Card(task=task, funnel=funnel, **before)


def _publish(ctx: Context, card: Card) -> None:
    told = ctx.inputs["clean"].json("clean.json")["warnings"]
    for warning in card.warnings[len(told) :]:
        ctx.warn(warning)
    values = card.values()
    write_json(ctx.out / "card.json", values)
    (ctx.out / "README.md").write_text(readme(values), encoding="utf-8")
    (ctx.out / "card.html").write_text(page(values), encoding="utf-8")
    ctx.say(sentence(values))


def _decide(config: CorpusConfig, keys: Keys, clusters: Integers, card: Card, *, answered: bool) -> Reasons:
    """For each row the number of its reason in `_REASONS`; 0 for a row that stays."""
    reasons = np.zeros(len(keys.place), dtype=np.int8)
    cluster = clusters[keys.text]
    if answered:
        _drop(reasons, without_conflicts(keys, config.label_conflicts), LABEL_CONFLICT, card)
    same = keys.text * max(1, len(keys.labels)) + keys.label
    _drop(reasons, chosen_rows(keys, reasons == 0, same, config.duplicates.keep), EXACT_DUPLICATE, card)
    exact = int((reasons == _REASONS.index(EXACT_DUPLICATE)).sum())
    texts = np.unique(keys.text[reasons == 0])
    members = np.bincount(clusters[texts])
    if config.duplicates.drop_near:
        _drop(reasons, chosen_rows(keys, reasons == 0, cluster, config.duplicates.keep), NEAR_DUPLICATE, card)
    card.duplicates = {
        "exact_dropped": exact,
        "near_clusters": int((members > 1).sum()),
        "near_rows": int(members[members > 1].sum()),
        "threshold": config.duplicates.threshold if config.duplicates.near else None,
    }
    return reasons


def _drop(reasons: Reasons, stays: Flags, reason: str, card: Card) -> None:
    gone = (reasons == 0) & ~stays
    reasons[gone] = _REASONS.index(reason)
    card.funnel.step(_STEP_OF[reason], Counter({reason: int(gone.sum())}))


def _split(
    config: CorpusConfig,
    keys: Keys,
    stratum: Stratum,
    links: Links,
    groups: Integers | None,
    card: Card,
    earlier: Earlier | None,
) -> Assignment:
    """The side of each cleaned row, those that are dropped among them: a row does not move when another one goes."""
    rows = SplitRows(
        place=keys.place,
        content=keys.contents[keys.text],
        text=keys.text,
        label=keys.label,
        members=stratum.members,
        links=links.pairs,
        equal=links.equal,
        subject=keys.subject,
        conversation=keys.conversation,
        prompt=keys.prompt,
        sides=groups,
        time=keys.time,
    )
    pinned = None if earlier is None else earlier.pinned(keys, folds=config.split.folds is not None)
    sides = assign(rows, config.split, config.seed, pinned)
    card.warnings += sides.warnings
    card.split = {"by": config.split.by, "cuts": None if sides.cuts is None else list(sides.cuts)}
    if earlier is not None:
        card.split["extends"] = compared(keys, sides, earlier)
    return sides


def _drop_bridges(sides: Assignment, reasons: Reasons, card: Card) -> Reasons:
    """Drop the rows that the split has no side for; returns the part of each row, -1 for one that goes."""
    for number, reason in enumerate(REASONS[1:], 1):
        if (sides.reason == number).any():
            _drop(reasons, sides.reason != number, reason, card)
    check_rows(int((reasons == 0).sum()), card.funnel)
    return np.where(reasons == 0, sides.part, -1).astype(np.int8)


def _drop_leaks(ctx: Context, config: CorpusConfig, clean: Path, reasons: Reasons, parts: Reasons, card: Card) -> None:
    """Drop the training rows that are nearly equal to a held-out one although no cluster joins them.

    Banding misses some pairs, and clusters know nothing of characters of full width.
    """
    with ctx.progress("looking for leaks", None, "texts") as bar:
        leaking = leaking_rows(clean, parts, config.duplicates.threshold, bar.advance)
    if leaking.any():
        _drop(reasons, ~leaking, NEAR_TEST, card)
        parts[leaking] = -1
        check_rows(int((reasons == 0).sum()), card.funnel)


def _drop_outliers(
    config: OutlierFilter, folder: Path, seed: int, keys: Keys, reasons: Reasons, parts: Reasons, card: Card
) -> None:
    """Drop the training rows farthest from all others. Held-out ones stay: life is not filtered either."""
    rows = np.flatnonzero(parts == TRAIN)

    def texts() -> Iterator[tuple[Integers, list[str]]]:
        for found, some in texts_in([folder], parts == TRAIN):
            yield np.searchsorted(rows, found), some

    draws = scramble(keys.contents[keys.text[rows]], seed, OUTLIER_STREAM)
    far = np.zeros(len(parts), dtype=bool)
    text_outliers = load_attribute("danlu.data.filters.outliers:text_outliers")
    far[rows] = text_outliers(texts, keys.characters[rows], draws, config, seed)
    _drop(reasons, ~far, OUTLIER, card)
    parts[far] = -1


def _leave_out(config: BalanceConfig, seed: int, keys: Keys, reasons: Reasons, parts: Reasons, card: Card) -> None:
    """Drop training rows of large classes; which ones is drawn by a hash of their content."""
    rows = np.flatnonzero(parts == TRAIN)
    contents = keys.contents[keys.text[rows]]
    gone = np.zeros(len(parts), dtype=bool)
    gone[rows] = True
    gone[rows[undersample(keys.label[rows], config.target, seed, keys=contents)]] = False
    _drop(reasons, ~gone, UNDERSAMPLED, card)
    parts[gone] = -1


def _mix(config: CorpusConfig, keys: Keys, reasons: Reasons, parts: Reasons, card: Card) -> dict[str, int]:
    """Leave training rows out and say how often others come, by the shares of the sources; by content hash."""
    if config.mix is None:
        return {}
    assert keys.source is not None
    rows = np.flatnonzero(parts == TRAIN)
    units = keys.characters[rows] if config.mix.unit == "characters" else np.ones(len(rows), dtype=np.int64)
    source = keys.source[rows]
    sizes = np.bincount(source, weights=units, minlength=len(card.sources)).astype(np.int64)
    plan = plan_mix(config.mix, sizes)
    contents = keys.contents[keys.text[rows]]
    times = uses(plan, source, units, scramble(contents, config.seed, MIX_STREAM))
    names = [found["name"] for found in card.sources]
    brought, used = (np.bincount(source, weights=each, minlength=len(names)) for each in (times >= 0, times))
    card.warnings += mix_warnings(names, brought.astype(np.int64).tolist(), used.tolist())
    gone = np.zeros(len(parts), dtype=bool)
    gone[rows[times == 0]] = True
    _drop(reasons, ~gone, MIXED_OUT, card)
    parts[gone] = -1
    card.mix = {
        "unit": config.mix.unit,
        "sources": plan.told(names, sizes),
    }
    return {f"{content:016x}": int(count) for content, count in zip(contents.tolist(), times, strict=True) if count > 1}


def _add(ctx: Context, config: DataStage, scratch: Path, card: Card, repeats: Mapping[str, int]) -> None:
    """Augment and repeat training rows."""
    data = config.data
    balancing = data.balance if config.task == "classify" else None
    if data.augment is None and balancing is None and not repeats:
        return
    with ctx.progress("adding training rows", card.splits["train"]["rows"], "rows") as bar:
        added = add_rows(
            ctx.out,
            scratch / "additions",
            augmenting=data.augment,
            balancing=balancing,
            repeats=repeats,
            seed=data.seed,
            threshold=data.duplicates.threshold,
            synonyms=ctx.resources.get("data.augment.synonyms"),
            answers=_answers(ctx),
            advance=bar.advance,
        )
    card.added = added.card()
    ctx.say(f"{card.added['rows']:,} training rows were added")


def _answers(ctx: Context) -> Path:
    """Where paid answers of an endpoint are kept, for later runs too."""
    return (ctx.state if ctx.origin is None else ctx.origin.workspace / "cache") / "answers"


def _look_for_references(ctx: Context, config: CorpusConfig, card: Card) -> None:
    """How much of each benchmark that the recipe names is in the training rows."""
    if not config.contamination:
        return
    cleaned = cleaning_of(config, below("data.mask", ctx.resources))
    for position, reference in enumerate(config.contamination):
        path = ctx.resources[f"data.contamination[{position}].path"]
        found = check_reference(ctx.out / "train", path, reference, config.duplicates.threshold, cleaned)
        card.contamination.append(found)
        if found["rows"]:
            card.warnings.append(
                f"{found['rows']:,} of {found['reference_rows']:,} rows of {found['name']} ({found['share']:.1%}) are "
                "in the training rows, whole or in part: a score on it would be too high. card.json has examples."
            )


def _write(ctx: Context, config: DataStage, scratch: Path, rows: Rows, card: Card) -> None:
    """Write train/, validation/ and test/, and every row dropped since reading to rejected/."""
    clean = ctx.inputs["clean"]
    size = sum(path.stat().st_size for path in (clean / "texts").glob("*.parquet"))
    schema = pa.schema([field for field in CORPUS if field.name not in _ONLY_FOR_OTHERS[config.task]])
    parts = [SortedPart(ctx.out / name, scratch / name, schema, 1 + size // SHARD_BYTES) for name in PARTS]
    rejects = Rejects(ctx.out / "rejected", scratch / "rejected")
    for batch in batches(clean / "rejected"):
        rejects.add_table(pa.table(batch))
    start = 0
    with ctx.progress("writing the corpus", len(rows.part), "rows") as bar:
        for batch in batches(clean / "texts"):
            here = slice(start, start + batch.num_rows)
            start += batch.num_rows
            table = _as_corpus(pa.table(batch), rows.columns(here), card)
            for number, part in enumerate(parts):
                part.write(table.filter(pa.array(rows.part[here] == number)).select(schema.names))
            reason = rows.reason[here]
            gone = pa.table(batch).filter(pa.array(reason > 0))
            named = [_REASONS[number] for number in reason[reason > 0]]
            gone = gone.append_column("reason", pa.array(named, pa.string()))
            gone = gone.append_column("step", pa.array([_STEP_OF[name] for name in named], pa.string()))
            rejects.add_table(as_rejected(gone, config.data.keep_rejected_text))
            bar.advance(batch.num_rows)
    for part in parts:
        part.close()
    rejects.close()


def _as_corpus(table: pa.Table, decided: dict[str, pa.Array], card: Card) -> pa.Table:
    """Cleaned rows with the corpus's columns."""
    sources = [card.sources[number] for number in table["source"].to_pylist()]
    made = {
        "source": pa.array([source["name"] for source in sources], pa.string()),
        "licence": pa.array([source["licence"] for source in sources], pa.string()),
        "consent": pa.array([source["consent"] for source in sources], pa.string()),
        "turns": _turns(table),
        **columns_of(table),
        "parent": pa.nulls(table.num_rows, pa.string()),
        "operation": pa.nulls(table.num_rows, pa.string()),
        **decided,
    }
    columns = {name: made[name] if name in made else table[name] for name in CORPUS.names}
    return pa.table(columns).cast(CORPUS)


def _turns(table: pa.Table) -> pa.Array:
    """The turns of each row as structs; nothing for a plain text."""
    names = ("role", "text", "learn")
    rows = zip(*(table[name].to_pylist() for name in ("roles", "parts", "learn")), strict=True)
    turns = [
        None if row[0] is None else [dict(zip(names, turn, strict=True)) for turn in zip(*row, strict=True)]
        for row in rows
    ]
    return pa.array(turns, CORPUS.field("turns").type)


def _length_bins(lengths: Integers) -> list[dict[str, int]]:
    """How many texts have up to 10, 20, 50, 100, ... characters, and more than the number before."""
    most = int(lengths.max())
    ends = [step * 10**power for power in range(1, 20) for step in (1, 2, 5)]
    ends = ends[: int(np.searchsorted(ends, most)) + 1]
    counts = np.bincount(np.searchsorted(ends, lengths), minlength=len(ends))
    return [{"up_to": end, "rows": int(count)} for end, count in zip(ends, counts, strict=True)]


def _count(keys: Keys, rows: Rows, card: Card, stratum: Stratum) -> None:
    """Sizes and lengths of what was kept."""
    for number, name in enumerate(PARTS):
        inside = rows.part == number
        card.splits[name] = {
            "rows": int(inside.sum()),
            "characters": int(keys.characters[inside].sum()),
            "labels": stratum.counts(np.bincount(keys.label[inside], minlength=len(keys.labels))),
        }
        if TASKS[rows.task].target == "value":
            card.splits[name]["values"] = spread([float(keys.labels[one]) for one in keys.label[inside].tolist()])
    lengths = keys.characters[rows.part >= 0]
    card.lengths = {f"p{share}": int(np.percentile(lengths, share, method="higher")) for share in (50, 95, 99)}
    card.lengths["max"] = int(lengths.max())
    card.length_bins = _length_bins(lengths)
    card.labels = list(stratum.counts(np.bincount(keys.label[rows.part >= 0], minlength=len(keys.labels))))
