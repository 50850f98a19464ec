"""The files of the corpus: train/, validation/, test/ and rejected/, and the sizes that the card tells of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from danlu.core.context import Context
from danlu.core.tasks import TASKS
from danlu.data.card import Card
from danlu.data.checks import spread
from danlu.data.columns import cells
from danlu.data.columns.cells import BESIDE
from danlu.data.config import DataStage
from danlu.data.dropped import REASON_NAMES, STEP_OF, Reasons
from danlu.data.heads.counted import count_targets
from danlu.data.keys import Integers, Keys
from danlu.data.pairs import columns_of, is_paired
from danlu.data.split import PARTS
from danlu.data.tables import CORPUS, SHARD_BYTES, Rejects, SortedPart, as_rejected, batches
from danlu.data.targets import COLUMNS, Stratum, columns
from danlu.data.times import NO_TIME
from danlu.sources.targets import heads_in

#: Columns that a task's corpus may have beside those that it must have.
_MAY_HAVE = {"generate": {"turns", "rejected"}}

#: Columns that a task's corpus does without.
_ONLY_FOR_OTHERS = {
    task: {*COLUMNS, *BESIDE, "pair", "turns", "rejected"} - {*about.columns, *_MAY_HAVE.get(task, set())}
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


def write_corpus(ctx: Context, config: DataStage, scratch: Path, rows: Rows, card: Card) -> None:
    """Write train/, validation/ and test/, and every row dropped since reading to rejected/."""
    clean = ctx.inputs["clean"]
    size = sum(path.stat().st_size for path in (clean / "texts").glob("*.parquet"))
    without = _ONLY_FOR_OTHERS[config.task] - _beside(clean / "texts")
    schema = pa.schema([field for field in CORPUS if field.name not in without])
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
            named = [REASON_NAMES[number] for number in reason[reason > 0]]
            gone = gone.append_column("reason", pa.array(named, pa.string()))
            gone = gone.append_column("step", pa.array([STEP_OF[name] for name in named], pa.string()))
            rejects.add_table(as_rejected(gone, config.data.keep_rejected_text))
            bar.advance(batch.num_rows)
    for part in parts:
        part.close()
    rejects.close()


def _beside(texts: Path) -> set[str]:
    """The columns that hold what stands beside a text, as far as these cleaned rows have it."""
    pair = {"pair"} if is_paired(texts) else set()
    told = any(batch.column(0).null_count < batch.num_rows for batch in batches(texts, ["columns"]))
    return pair | (set(BESIDE) if told else set())


def _as_corpus(table: pa.Table, decided: dict[str, pa.Array], card: Card) -> pa.Table:
    """Cleaned rows with the corpus's columns."""
    sources = [card.sources[number] for number in table["source"].to_pylist()]
    made = {
        "source": pa.array([source["name"] for source in sources], pa.string()),
        "licence": pa.array([source["licence"] for source in sources], pa.string()),
        "consent": pa.array([source["consent"] for source in sources], pa.string()),
        "turns": _turns(table),
        **columns_of(table),
        **cells.columns(table["columns"].to_pylist()),
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


def count_rows(keys: Keys, rows: Rows, card: Card, stratum: Stratum) -> None:
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
        if TASKS[rows.task].several:
            counts = np.bincount(keys.label[inside], minlength=len(keys.labels)).tolist()
            card.splits[name]["targets"] = count_targets(dict(zip(keys.labels, counts, strict=True)), spread)
    if TASKS[rows.task].several:
        there = np.unique(keys.label[rows.part >= 0])
        card.heads = [head.as_json() for head in heads_in([keys.labels[number] for number in there.tolist()])]
    lengths = keys.characters[rows.part >= 0]
    card.lengths = {f"p{share}": int(np.percentile(lengths, share, method="higher")) for share in (50, 95, 99)}
    card.lengths["max"] = int(lengths.max())
    card.length_bins = _length_bins(lengths)
    card.labels = list(stratum.counts(np.bincount(keys.label[rows.part >= 0], minlength=len(keys.labels))))
