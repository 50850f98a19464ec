"""Rows that are two texts which belong together: each of the two is compared with every text of every pair.

A question that is trained on must not be searched with in the test, nor may an answer that was learned be what is
looked for there; it does not matter on which side of its pair a text was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from danlu.data.config import NearConfig
from danlu.data.keys import Hashes, Integers, links_among, numbered
from danlu.data.near import components
from danlu.data.rows import PAIR_ROLES
from danlu.data.tables import batches

#: What the duplicates stage says of pairs: for each cleaned row the groups of nearly equal texts that its two are in.
GROUPS = "pair_texts.parquet"


def is_paired(folder: Path) -> bool:
    """Whether the rows in `folder`, cleaned ones or those of a corpus part, are pairs."""
    for path in sorted(folder.glob("*.parquet")):
        if "pair" in pq.read_schema(path).names:
            return True
        for batch in batches(folder, ["roles"]) if "roles" in pq.read_schema(path).names else ():
            return bool(batch.num_rows > 0 and batch.column(0)[0].as_py() == list(PAIR_ROLES))
    return False


def columns_of(table: pa.Table) -> dict[str, pa.Array]:
    """What a corpus has of cleaned rows in `text` and `pair`; of rows that are no pairs an empty `pair` alone."""
    parts = [
        parts if roles == list(PAIR_ROLES) else None
        for roles, parts in zip(table["roles"].to_pylist(), table["parts"].to_pylist(), strict=True)
    ]
    found = [pair for pair in parts if pair is not None]
    if len(found) < len(parts):
        return {"pair": pa.nulls(len(parts), pa.string())}
    return {name: pa.array([pair[side] for pair in found], pa.string()) for side, name in enumerate(("text", "pair"))}


def texts_of(folder: Path) -> Iterator[tuple[Integers, list[str]]]:
    """`(rows, texts)` of the rows in `folder`, some thousand at a time; of a pair both texts, with its row's number."""
    paired = is_paired(folder)
    corpus = paired and any("pair" in pq.read_schema(path).names for path in folder.glob("*.parquet"))
    columns = ["text", "pair"] if corpus else ["parts"] if paired else ["text"]
    start = 0
    for batch in batches(folder, columns):
        rows = np.arange(start, start + batch.num_rows)
        start += batch.num_rows
        if corpus:
            sides = zip(*(batch.column(name).to_pylist() for name in columns), strict=True)
            yield np.repeat(rows, 2), [text for pair in sides for text in pair]
        elif paired:
            yield np.repeat(rows, 2), [text for pair in batch.column(0).to_pylist() for text in pair]
        else:
            yield rows, batch.column(0).to_pylist()


@dataclass(frozen=True, kw_only=True)
class PairTexts:
    """The two texts of each row [N, 2]: the `groups` of equal and nearly equal ones they are in, and their hashes.

    A text has the same group and the same hash whichever side it is on. A row that is one text has the group -1 in the
    second place.
    """

    groups: Integers
    contents: Hashes


def find_groups(
    folder: Path,
    config: NearConfig,
    advance: Callable[[int], None],
    *,
    budget_bytes: int | None = None,
    scratch: Path | None = None,
) -> PairTexts:
    """The groups and hashes of the two texts of each cleaned row.

    `advance(n)` is called after every `n` texts; see `danlu.data.keys.links_among` for the rest.
    """
    halves = np.concatenate([np.zeros((0, 2), dtype=np.uint64), *(_digests(texts) for _, texts in texts_of(folder))])
    number, contents = numbered(halves[:, 0], halves[:, 1])
    hashes = halves[:, 0].reshape(-1, 2)
    if not config.near:
        return PairTexts(groups=number.reshape(-1, 2), contents=hashes)
    first = np.zeros(len(contents), dtype=np.int64)
    first[number[::-1]] = np.arange(len(number))[::-1]
    order = np.argsort(first)
    found = links_among(
        lambda: _numbered_texts(folder), first[order], config, advance, budget_bytes=budget_bytes, scratch=scratch
    )
    group = components(order[found.pairs], len(contents))
    return PairTexts(groups=group[number].reshape(-1, 2), contents=hashes)


def single_texts(folder: Path) -> PairTexts:
    """The hashes of the cleaned rows that are one text each, of the text alone: not of the cells beside it.

    Equal texts are a group; which are nearly equal is not looked for.
    """
    hashes = np.concatenate([np.zeros(0, np.uint64), *(_digests(texts)[:, 0] for _, texts in texts_of(folder))])
    _, number = np.unique(hashes, return_inverse=True)
    none = np.full(len(hashes), -1, dtype=np.int64)
    return PairTexts(
        groups=np.stack([number, none], axis=1), contents=np.stack([hashes, np.zeros_like(hashes)], axis=1)
    )


def _digests(texts: list[str]) -> Hashes:
    """A hash of 128 bits of each text, as two numbers [N, 2]."""
    digests = b"".join(hashlib.blake2b(text.encode("utf-8"), digest_size=16).digest() for text in texts)
    return np.frombuffer(digests, dtype=">u8").astype(np.uint64).reshape(-1, 2)


def _numbered_texts(folder: Path) -> Iterator[tuple[int, pa.StringArray]]:
    start = 0
    for _, texts in texts_of(folder):
        yield start, pa.array(texts, pa.string())
        start += len(texts)


def write_groups(path: Path, found: PairTexts) -> None:
    """Write what `find_groups` found."""
    columns: dict[str, pa.Array] = {}
    for side, name in enumerate(PAIR_ROLES):
        columns[name] = pa.array(found.groups[:, side])
        columns[f"{name}_content"] = pa.array(found.contents[:, side])
    pq.write_table(pa.table(columns), path, compression="zstd")


def read_groups(path: Path) -> PairTexts | None:
    """What `write_groups` wrote; None where there is no such file, because the rows are no pairs."""
    if not path.is_file():
        return None
    table = pq.read_table(path)
    groups, contents = (
        np.stack([table[f"{name}{what}"].to_numpy() for name in PAIR_ROLES], axis=1) for what in ("", "_content")
    )
    return PairTexts(groups=groups, contents=contents)
