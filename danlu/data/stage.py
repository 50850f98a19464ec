"""The data stage: sources in, a clean, masked, deduplicated, split corpus out.

1. `reader` brings every file into one Parquet form, in flat memory.
2. `steps` clean and mask row by row, on Daft.
3. `keys` and `near` look at all rows at once, as a few numbers each: conflicts, duplicates, clusters.
4. `split` gives each cluster a part; `tables` writes the parts, sorted by id.
5. `leaks` looks at the texts anew: training rows like a held-out one go, and what is left is counted.
6. `card` says what happened.
"""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from danlu.core.artifact import write_json
from danlu.core.context import Context
from danlu.data.card import Card, Funnel, readme, sentence
from danlu.data.checks import check_labels, check_rows, spelling_warnings
from danlu.data.config import DataConfig, DataStage
from danlu.data.keys import (
    EXACT_DUPLICATE,
    LABEL_CONFLICT,
    NEAR_DUPLICATE,
    NEAR_TEST,
    Clusters,
    Flags,
    Keys,
    find_clusters,
    first_rows,
    read_keys,
    without_conflicts,
)
from danlu.data.leaks import count_leaks, leaking_rows
from danlu.data.naive import naive_score
from danlu.data.reader import BROKEN, Input, read_sources
from danlu.data.split import PARTS, SplitRows, assign
from danlu.data.steps import SAMPLE, STEPS, Cleaning, clean, draw, masked_column
from danlu.data.tables import CLEAN, CORPUS, REJECTED, SHARD_BYTES, Rejects, SortedPart, Writer, batches
from danlu.data.text import han_and_words, language_of

Reasons = npt.NDArray[np.int8]

#: Enough of a text to tell its language.
_LANGUAGE_CHARACTERS = 500

#: Why a row is dropped after all rows have been seen, and the step that does it.
_STEP_OF = {
    LABEL_CONFLICT: "labels",
    EXACT_DUPLICATE: "exact_duplicates",
    NEAR_DUPLICATE: "near_duplicates",
    NEAR_TEST: "near_test",
}
_REASONS = ("", *_STEP_OF)


@dataclass(frozen=True, kw_only=True)
class Rows:
    """What was decided on each cleaned row: its reason to go, its part (-1 when it goes) and its cluster."""

    reason: Reasons
    part: Reasons
    cluster: npt.NDArray[np.int64]
    contents: npt.NDArray[np.uint64]

    def cluster_names(self, rows: slice) -> list[str]:
        """A cluster is named after the hash of its first text."""
        return [f"{content:016x}" for content in self.contents[self.cluster[rows]].tolist()]


def run(ctx: Context, config: DataStage) -> None:
    """Make the Corpus artifact in `ctx.out`."""
    scratch = ctx.state / "data"
    shutil.rmtree(scratch, ignore_errors=True)
    classify = config.task == "classify"
    rejects = Rejects(ctx.out / "rejected", scratch / "rejected")
    card = Card(task=config.task)
    _read(ctx, config, scratch / "raw", rejects, card)
    _clean(ctx, config.data, scratch, rejects, card)
    shutil.rmtree(scratch / "raw")
    keys = read_keys(scratch / "clean")
    check_rows(len(keys.place), card.funnel)
    with ctx.progress("comparing texts", len(keys.place), "rows") as bar:
        clusters = find_clusters(scratch / "clean", keys, config.data, bar.advance)
    reasons = _decide(config.data, keys, clusters, card, classify)
    check_rows(int((reasons == 0).sum()), card.funnel)
    if classify:
        card.warnings += check_labels(keys, reasons == 0, config.data)
    parts = _split(config.data, keys, clusters, reasons == 0)
    if config.data.duplicates.near:
        _drop_leaks(ctx, config.data, scratch / "clean", reasons, parts, card)
    rows = Rows(
        reason=reasons,
        part=parts,
        cluster=clusters.of_text[keys.text],
        contents=keys.contents,
    )
    _count(keys, rows, card, classify)
    _write(ctx, config, scratch, rows, rejects, card)
    rejects.close()
    with ctx.progress("counting leaks", None, "texts") as bar:
        card.leaked_rows = count_leaks(ctx.out, config.data.duplicates.threshold, bar.advance)
    if classify:
        ctx.say("Measuring what a naive split would have claimed")
        card.naive = naive_score(scratch / "clean", keys, clusters, config.data.seed)
    _publish(ctx, card)
    shutil.rmtree(scratch, ignore_errors=True)


def _publish(ctx: Context, card: Card) -> None:
    for warning in card.warnings:
        ctx.warn(warning)
    values = card.values()
    write_json(ctx.out / "card.json", values)
    (ctx.out / "README.md").write_text(readme(values), encoding="utf-8")
    ctx.say(sentence(values))


def _inputs(ctx: Context, config: DataConfig) -> list[Input]:
    return [
        Input(
            position=position,
            path=ctx.resources[f"data.sources[{position}].path"],
            digest=ctx.digests[f"data.sources[{position}].path"],
            config=source,
        )
        for position, source in enumerate(config.sources)
    ]


def _read(ctx: Context, config: DataStage, out: Path, rejects: Rejects, card: Card) -> None:
    data = config.data
    with ctx.progress("reading", None, "rows") as bar:
        tallies, labels = read_sources(
            _inputs(ctx, data),
            text=data.text,
            label=data.label if config.task == "classify" else None,
            max_bad_rows=data.max_bad_rows,
            out=out,
            rejects=rejects,
            advance=lambda rows: bar.advance(rows),
        )
    dropped: Counter[str] = Counter()
    for tally in tallies:
        dropped.update(tally.dropped)
        card.warnings += tally.warnings
        card.sources.append(tally.card())
    if dropped[BROKEN]:
        card.warnings.append(f"{dropped['broken']:,} rows cannot be read; rejected/ says where and why.")
    card.warnings += spelling_warnings(labels.raw)
    card.funnel = Funnel(sum(tally.rows for tally in tallies))
    card.funnel.step("read", dropped)


def _clean(ctx: Context, config: DataConfig, scratch: Path, rejects: Rejects, card: Card) -> None:
    """Run the row-wise steps; rows that stay go to `scratch`/clean."""
    cleaning = Cleaning(config=config, highest_draw=draw(scratch / "raw", config))
    dropped: dict[str, Counter[str]] = {name: Counter() for name in (SAMPLE, *(step.name for step in STEPS))}
    masked: Counter[str] = Counter(dict.fromkeys(config.mask, 0))
    han = words = 0
    with (
        ctx.progress("cleaning and masking", card.funnel.rows, "rows") as bar,
        Writer(scratch / "clean" / "part.parquet", CLEAN) as writer,
    ):
        for table in clean(scratch / "raw", cleaning):
            stays = pc.equal(table["reason"], "")
            kept, gone = table.filter(stays).select(CLEAN.names), table.filter(pc.invert(stays))
            writer.write(kept)
            for step, reason in zip(gone["step"].to_pylist(), gone["reason"].to_pylist(), strict=True):
                dropped[step][reason] += 1
            rejects.add_table(_as_rejected(gone, config.keep_rejected_text))
            for kind in config.mask:
                masked[kind] += pc.sum(table[masked_column(kind)]).as_py() or 0
            for text in kept["text"].to_pylist():
                counts = han_and_words(text[:_LANGUAGE_CHARACTERS])
                han, words = han + counts[0], words + counts[1]
            bar.advance(table.num_rows)
    for name, reasons in dropped.items():
        if name != SAMPLE or config.max_rows is not None:
            card.funnel.step(name, reasons)
    card.masked = dict(masked)
    card.language = language_of(han, words) if config.language == "auto" else config.language


def _as_rejected(rows: pa.Table, keep_text: bool) -> pa.Table:
    """Rows with `step` and `reason` as rows of rejected/."""
    if not keep_text:
        position = rows.schema.get_field_index("text")
        rows = rows.set_column(position, "text", pa.nulls(rows.num_rows, pa.string()))
    return rows.select(REJECTED.names).cast(REJECTED)


def _decide(config: DataConfig, keys: Keys, clusters: Clusters, card: Card, classify: bool) -> Reasons:
    """For each row the number of its reason in `_REASONS`; 0 for a row that stays."""
    reasons = np.zeros(len(keys.place), dtype=np.int8)
    cluster = clusters.of_text[keys.text]
    if classify:
        _drop(reasons, without_conflicts(keys, config.label_conflicts), LABEL_CONFLICT, card)
    same = keys.text * max(1, len(keys.labels)) + keys.label
    _drop(reasons, first_rows(keys, reasons == 0, same), EXACT_DUPLICATE, card)
    exact = int((reasons == _REASONS.index(EXACT_DUPLICATE)).sum())
    texts = np.unique(keys.text[reasons == 0])
    members = np.bincount(clusters.of_text[texts])
    if config.duplicates.drop_near:
        _drop(reasons, first_rows(keys, reasons == 0, cluster), NEAR_DUPLICATE, card)
    card.duplicates = {
        "exact_dropped": exact,
        "near_clusters": int((members > 1).sum()),
        "near_rows": int(members[members > 1].sum()),
        "threshold": config.duplicates.threshold if config.duplicates.near else None,
        "truncated_buckets": clusters.truncated,
    }
    return reasons


def _drop(reasons: Reasons, stays: Flags, reason: str, card: Card) -> None:
    gone = (reasons == 0) & ~stays
    reasons[gone] = _REASONS.index(reason)
    card.funnel.step(_STEP_OF[reason], Counter({reason: int(gone.sum())}))


def _split(config: DataConfig, keys: Keys, clusters: Clusters, kept: Flags) -> Reasons:
    """The part of each row, and -1 for rows that were dropped."""
    parts = np.full(len(kept), -1, dtype=np.int8)
    # The texts of a cluster are one text to the split: it takes whole clusters only.
    text = keys.text[kept]
    rows = SplitRows(
        place=keys.place[kept], content=keys.contents[text], text=clusters.of_text[text], label=keys.label[kept]
    )
    parts[kept] = assign(rows, config.split, config.seed).part
    return parts


def _drop_leaks(ctx: Context, config: DataConfig, clean: Path, reasons: Reasons, parts: Reasons, card: Card) -> None:
    """Drop the training rows that are nearly equal to a held-out one although no cluster joins them.

    Banding misses some pairs, and clusters know nothing of characters of full width.
    """
    with ctx.progress("looking for leaks", None, "texts") as bar:
        leaking = leaking_rows(clean, parts, config.duplicates.threshold, bar.advance)
    if leaking.any():
        _drop(reasons, ~leaking, NEAR_TEST, card)
        parts[leaking] = -1
        check_rows(int((reasons == 0).sum()), card.funnel)


def _write(ctx: Context, config: DataStage, scratch: Path, rows: Rows, rejects: Rejects, card: Card) -> None:
    """Write train/, validation/ and test/, and the rows dropped since cleaning to rejected/."""
    size = (scratch / "clean" / "part.parquet").stat().st_size
    schema = CORPUS if config.task == "classify" else CORPUS.remove(CORPUS.get_field_index("label"))
    parts = [SortedPart(ctx.out / name, scratch / name, schema, 1 + size // SHARD_BYTES) for name in PARTS]
    start = 0
    with ctx.progress("writing the corpus", len(rows.part), "rows") as bar:
        for batch in batches(scratch / "clean"):
            here = slice(start, start + batch.num_rows)
            start += batch.num_rows
            table = _as_corpus(pa.table(batch), rows.cluster_names(here), config.data, card)
            for number, part in enumerate(parts):
                part.write(table.filter(pa.array(rows.part[here] == number)).select(schema.names))
            reason = rows.reason[here]
            gone = pa.table(batch).filter(pa.array(reason > 0))
            named = [_REASONS[number] for number in reason[reason > 0]]
            gone = gone.append_column("reason", pa.array(named, pa.string()))
            gone = gone.append_column("step", pa.array([_STEP_OF[name] for name in named], pa.string()))
            rejects.add_table(_as_rejected(gone, config.data.keep_rejected_text))
            bar.advance(batch.num_rows)
    for part in parts:
        part.close()


def _as_corpus(table: pa.Table, clusters: list[str], config: DataConfig, card: Card) -> pa.Table:
    """Cleaned rows with the corpus's columns."""
    source = table["source"].to_pylist()
    columns = {name: table[name] for name in ("id", "content", "text", "label", "origin")}
    columns["source"] = pa.array([card.sources[number]["name"] for number in source], pa.string())
    columns["licence"] = pa.array([config.sources[number].licence for number in source], pa.string())
    columns["subject"] = pa.nulls(table.num_rows, pa.string())
    columns["cluster"] = pa.array(clusters, pa.string())
    return pa.table(columns).select(CORPUS.names).cast(CORPUS)


def _count(keys: Keys, rows: Rows, card: Card, classify: bool) -> None:
    """Sizes and lengths of what was kept."""
    for number, name in enumerate(PARTS):
        inside = rows.part == number
        counts = np.bincount(keys.label[inside], minlength=len(keys.labels))
        labels = {label: int(count) for label, count in zip(keys.labels, counts, strict=True)} if classify else {}
        card.splits[name] = {
            "rows": int(inside.sum()),
            "characters": int(keys.characters[inside].sum()),
            "labels": {label: count for label, count in labels.items() if count},
        }
    lengths = keys.characters[rows.part >= 0]
    card.lengths = {f"p{share}": int(np.percentile(lengths, share, method="higher")) for share in (50, 95, 99)}
    card.lengths["max"] = int(lengths.max())
    if classify:
        card.labels = [keys.labels[number] for number in np.unique(keys.label[rows.part >= 0])]
