"""The clean stage: sources in, one table of clean and masked rows out. Nothing after it sees a text as it came.

1. `reader` brings every file into one Parquet form, in flat memory.
2. `steps` clean and mask row by row, on Daft.
"""

from __future__ import annotations

import contextlib
import shutil
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from danlu.core.artifact import write_json
from danlu.core.context import Context
from danlu.core.errors import DataError
from danlu.data.card import CleanCard, Funnel
from danlu.data.checks import check_rows, spelling_warnings
from danlu.data.config import CleanConfig, CleanStage
from danlu.data.identity import IdentityKey, read_key
from danlu.data.reader import Input, read_sources
from danlu.data.rows import BROKEN, Columns, columns_for
from danlu.data.sample import sample
from danlu.data.steps import SAMPLE, STEPS, Cleaner, clean
from danlu.data.tables import CLEAN, NEAR_MISSES, SHARD_BYTES, Rejects, SortedPart, as_rejected
from danlu.data.teacher.answers import ANSWERED, TEACHER, Teacher
from danlu.data.text import han_and_words, language_of

#: Enough of a text to tell its language.
_LANGUAGE_CHARACTERS = 500


def run(ctx: Context, config: CleanStage) -> None:
    """Write `texts/`, `rejected/` and `near_misses/` (all sorted by id) and `clean.json`, which says what happened."""
    scratch = ctx.state / "clean"
    shutil.rmtree(scratch, ignore_errors=True)
    rejects = Rejects(ctx.out / "rejected", scratch / "rejected")
    card = CleanCard()
    columns = _columns(ctx, config)
    if columns.key is not None and config.data.identity_key is not None:
        card.identity_key = {"mark": columns.key.mark, "env": config.data.identity_key.env}
    if columns.beside is not None:
        card.columns = {"numeric": columns.beside.numeric, "categorical": columns.beside.categorical}
    _read(ctx, config.data, columns, scratch / "raw", rejects, card)
    _clean(ctx, config, scratch, rejects, card)
    check_rows(card.funnel.rows, card.funnel)
    rejects.close()
    for warning in card.warnings:
        ctx.warn(warning)
    write_json(ctx.out / "clean.json", card.values())
    shutil.rmtree(scratch, ignore_errors=True)


def _inputs(ctx: Context, config: CleanConfig) -> list[Input]:
    return [
        Input(
            position=position,
            path=ctx.resources[f"data.sources[{position}].{source.place}"],
            digest=ctx.digests[f"data.sources[{position}].{source.place}"],
            config=source,
        )
        for position, source in enumerate(config.sources)
    ]


def _columns(ctx: Context, config: CleanStage) -> Columns:
    mark, named = ctx.resources.get("data.identity_key"), config.data.identity_key
    key = None if mark is None or named is None else _key(mark, named.env)
    return columns_for(config.task, config.data, key)


def _read(ctx: Context, data: CleanConfig, columns: Columns, out: Path, rejects: Rejects, card: CleanCard) -> None:
    with ctx.progress("reading", None, "rows") as bar:
        tallies, labels = read_sources(
            _inputs(ctx, data),
            columns=columns,
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


def _teacher(ctx: Context, config: CleanStage, cleaner: Cleaner) -> Teacher | contextlib.nullcontext[None]:
    """Who answers rows that have no answer; nobody where the recipe asks nobody."""
    if config.data.teacher is None:
        return contextlib.nullcontext()
    kept = (ctx.state if ctx.origin is None else ctx.origin.workspace / "cache") / "answers"
    return Teacher(config.data.teacher, config.task, cleaner, kept, ctx.check)


def _clean(ctx: Context, stage: CleanStage, scratch: Path, rejects: Rejects, card: CleanCard) -> None:
    """Run the row-wise steps; rows that stay go to `texts/`."""
    config = stage.data
    paths = {name.removeprefix("data."): path for name, path in ctx.resources.items()}
    cleaner = Cleaner(config, paths, sample(scratch / "raw", config))
    dropped: dict[str, Counter[str]] = {name: Counter() for name in (SAMPLE, *(step.name for step in STEPS))}
    if config.teacher is not None:
        dropped[TEACHER] = Counter()
    masked: Counter[str] = Counter(dict.fromkeys(config.mask.names, 0))
    near_misses: Counter[str] = Counter()
    han = words = 0
    size = sum(path.stat().st_size for path in (scratch / "raw").glob("*.parquet"))
    texts = SortedPart(ctx.out / "texts", scratch / "texts", CLEAN, 1 + size // SHARD_BYTES)
    doubtful = SortedPart(ctx.out / "near_misses", scratch / "near_misses", NEAR_MISSES, 1)
    with (
        ctx.progress("cleaning and masking", card.funnel.rows, "rows") as bar,
        _teacher(ctx, stage, cleaner) as teacher,
    ):
        for table in clean(scratch / "raw", cleaner):
            stays = pc.equal(table["reason"], "")
            kept, gone = table.filter(stays), table.filter(pc.invert(stays))
            if teacher is not None:
                kept = teacher.complete(kept)
                stays = pc.equal(kept["reason"], "")
                kept, gone = kept.filter(stays), pa.concat_tables([gone, kept.filter(pc.invert(stays))])
            texts.write(kept.select(CLEAN.names))
            for step, reason in zip(gone["step"].to_pylist(), gone["reason"].to_pylist(), strict=True):
                dropped[step][reason] += 1
            rejects.add_table(as_rejected(gone, config.keep_rejected_text))
            masked.update(pc.list_flatten(kept["masked"]).to_pylist())
            misses = _near_misses(kept)
            near_misses.update(misses["kind"].to_pylist())
            doubtful.write(misses)
            for text in kept["text"].to_pylist():
                counts = han_and_words(text[:_LANGUAGE_CHARACTERS])
                han, words = han + counts[0], words + counts[1]
            bar.advance(table.num_rows)
    if teacher is not None:
        card.teacher = teacher.card()
        teacher.write(ctx.out / ANSWERED)
        card.warnings += teacher.warnings()
    texts.close()
    doubtful.close()
    for name, reasons in dropped.items():
        if (name != SAMPLE or config.max_rows is not None) and (name != "filters" or config.filters.active):
            card.funnel.step(name, reasons)
    card.masked = dict(masked)
    card.near_misses = dict(sorted(near_misses.items()))
    card.language = language_of(han, words) if config.language == "auto" else config.language


def _near_misses(rows: pa.Table) -> pa.Table:
    """One row for each value that looks like a number with a checksum and fails it."""
    owner = pc.list_parent_indices(rows["near_misses"])
    kinds = pc.list_flatten(rows["near_misses"])
    taken = rows.select(["id", "origin"]).take(owner)
    return taken.append_column("kind", kinds).cast(NEAR_MISSES)


def _key(mark: Path, env: str | None) -> IdentityKey:
    """The key that lies beside its mark, read anew: a job's description, which is a file, does not hold it.

    Raises `DataError` where it is another than the one that the fingerprint is of.
    """
    key = read_key(mark.parent, env)
    if key.mark != mark.read_text(encoding="ascii").strip():
        raise DataError("The key of subjects and conversations became another while the run began. Run again.")
    return key
