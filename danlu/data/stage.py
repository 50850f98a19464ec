"""The data stage: clean rows and links in, a deduplicated, split corpus out.

1. `keys` looks at all rows at once, as a few numbers each: conflicts, duplicates, clusters.
2. `split` gives each cluster a part; `dropped` says which rows go, and `written` writes the parts, sorted by id.
3. `leaks` looks at the texts anew: training rows like a held-out one go, and what is left is counted.
4. `card` says what happened, from the first file on.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from danlu.core.artifact import Artifact, write_json
from danlu.core.context import Context
from danlu.core.tasks import REGRESS, TASKS
from danlu.data.additions import add_rows
from danlu.data.card import Card, Funnel, readme, sentence
from danlu.data.checks import check_answers, check_rows
from danlu.data.columns.summary import summarise, warnings
from danlu.data.config import CorpusConfig, DataStage
from danlu.data.dropped import drop_bridges, drop_copies, drop_leaks, drop_outliers, drop_taught, leave_out, mix
from danlu.data.duplicates import read_links
from danlu.data.earlier import SIDES, Earlier, compared, read_earlier, write_sides
from danlu.data.heads.settled import settled
from danlu.data.keys import Keys, Links, read_keys
from danlu.data.labels.config import merged
from danlu.data.labels.decisions import apply_decisions, read_decisions
from danlu.data.leaks import count_leaks
from danlu.data.measured import averaged
from danlu.data.naive import naive_score
from danlu.data.near import components
from danlu.data.page.page import page
from danlu.data.pairs import GROUPS, PairTexts, read_groups, single_texts
from danlu.data.references import check_reference, cleaning_of
from danlu.data.split import Assignment, SplitRows, assign
from danlu.data.steps import below
from danlu.data.targets import Stratum, strata
from danlu.data.teacher.answers import ANSWERED, answered_rows
from danlu.data.written import Rows, count_rows, write_corpus
from danlu.sources.targets import TARGETS


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
    if config.task == REGRESS.name and data.label_conflicts != "keep":
        keys, told = averaged(keys)
        card.warnings += told
    if task.several:
        keys, disputes = settled(keys, data.label_conflicts)
        card.warnings += disputes
    links = read_links(found / "links.parquet")
    clusters = components(links.pairs, keys.texts)
    taught = answered_rows(clean / ANSWERED)
    reasons = drop_copies(data, keys, clusters, card, answered=task.target is not None, taught=taught)
    card.duplicates["truncated_buckets"] = found.json("duplicates.json")["truncated"]
    check_rows(int((reasons == 0).sum()), card.funnel)
    stratum = strata(config.task, keys.labels)
    card.warnings += check_answers(config.task, keys, reasons == 0, data)
    mark = None if card.identity_key is None else card.identity_key["mark"]
    earlier = read_earlier(ctx.resources["data.extends"], mark) if data.extends is not None else None
    pairs = read_groups(found / GROUPS)
    said = single_texts(texts) if pairs is None else pairs
    linked = None if pairs is None and earlier is None else said
    sides = _split(data, keys, stratum, links, linked, card, earlier)
    write_sides(ctx.out / SIDES, keys, sides, earlier, mark, said)
    parts = drop_bridges(sides, reasons, card)
    drop_taught(taught, keys, reasons, parts, card)
    if data.duplicates.near:
        drop_leaks(ctx, data, texts, reasons, parts, card)
    if data.outliers is not None:
        drop_outliers(data.outliers, texts, data.seed, keys, reasons, parts, card)
    if data.balance is not None and data.balance.method == "undersample":
        leave_out(data.balance, data.seed, keys, reasons, parts, card)
    repeats = mix(data, keys, reasons, parts, card)
    rows = Rows(task=config.task, reason=reasons, part=parts, fold=sides.fold, group=sides.group, keys=keys)
    count_rows(keys, rows, card, stratum)
    write_corpus(ctx, config, scratch, rows, card)
    if card.columns is not None:
        card.cells = summarise(ctx.out / "train", card.columns)
        card.warnings += warnings(card.cells)
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


def _split(
    config: CorpusConfig,
    keys: Keys,
    stratum: Stratum,
    links: Links,
    texts: PairTexts | None,
    card: Card,
    earlier: Earlier | None,
) -> Assignment:
    """The side of each cleaned row, those that are dropped among them: a row does not move when another one goes.

    `texts`: those that must not be on two sides besides what `links` says; there where there is an `earlier` corpus.
    """
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
        sides=None if texts is None else texts.groups,
        time=keys.time,
    )
    pinned = None
    if earlier is not None and texts is not None:
        pinned = earlier.pinned(keys, texts, folds=config.split.folds is not None)
        card.warnings += earlier.warnings
    sides = assign(rows, config.split, config.seed, pinned)
    card.warnings += sides.warnings
    card.split = {"by": config.split.by, "cuts": None if sides.cuts is None else list(sides.cuts)}
    if earlier is not None and texts is not None:
        card.split["extends"] = compared(keys, sides, earlier)
    return sides


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
