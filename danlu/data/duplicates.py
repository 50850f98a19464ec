"""The duplicates stage: which of the clean texts are nearly equal, as links between pairs of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from danlu.core.artifact import write_json
from danlu.core.context import Context
from danlu.data.config import DuplicatesStage
from danlu.data.keys import Links, find_links, read_keys
from danlu.data.pairs import GROUPS, find_groups, is_paired, write_groups
from danlu.data.spill import SPILLED


def run(ctx: Context, config: DuplicatesStage) -> None:
    """Write `links.parquet`, pairs of distinct texts by number (see `Keys.text`), and `duplicates.json`.

    Where rows are pairs of texts, also `pair_texts.parquet`: see `danlu.data.pairs.find_groups`.
    """
    for left in ctx.state.glob(f"{SPILLED}*"):
        # A kill leaves what was spilled, once for each try.
        shutil.rmtree(left, ignore_errors=True)
    texts = ctx.inputs["clean"] / "texts"
    keys = read_keys(texts, texts_only=True)
    # The cap is on the whole process; half of it is for what grows with the rows.
    budget = None if ctx.limits.memory_bytes is None else ctx.limits.memory_bytes // 2
    with ctx.progress("comparing texts", len(keys.place), "rows") as bar:
        links = find_links(texts, keys, config.data.duplicates, bar.advance, budget_bytes=budget, scratch=ctx.state)
    table = pa.table({"first": links.pairs[:, 0], "second": links.pairs[:, 1], "equal": links.equal})
    pq.write_table(table, ctx.out / "links.parquet", compression="zstd")
    if is_paired(texts):
        with ctx.progress("comparing the texts of pairs", 2 * len(keys.place), "texts") as bar:
            groups = find_groups(texts, config.data.duplicates, bar.advance, budget_bytes=budget, scratch=ctx.state)
        write_groups(ctx.out / GROUPS, groups)
    write_json(
        ctx.out / "duplicates.json",
        {"texts": keys.texts, "links": len(links.pairs), "compared": links.compared, "truncated": links.truncated},
    )


def read_links(path: Path) -> Links:
    """What `links.parquet` holds."""
    table = pq.read_table(path)
    pairs = np.stack([table["first"].to_numpy(), table["second"].to_numpy()], axis=1).astype(np.int64)
    return Links(pairs=pairs, equal=table["equal"].to_numpy())
