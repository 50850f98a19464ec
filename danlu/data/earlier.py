"""What a corpus leaves for one that extends it: on which side each row is, without a word of its text.

`sides.parquet` has a row for each content, subject and conversation that the corpus, or one that it extends itself,
has put on a side, with a hash of each text alone: the content is one of all that is asked, of both texts of a pair and
of the cells beside a text. A later corpus reads it by `data.extends`, and moves none of them, nor their texts where it
has other cells beside them or pairs them otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet

from danlu.core.errors import DataError
from danlu.data.keys import Hashes, Integers, Keys, hashes_of
from danlu.data.pairs import PairTexts
from danlu.data.sides import NONE
from danlu.data.split import Assignment, Pinned

SIDES = "sides.parquet"

_SCHEMA = pa.schema(
    [
        ("content", pa.uint64()),
        ("part", pa.int8()),
        ("fold", pa.int8()),
        ("subject", pa.string()),
        ("conversation", pa.string()),
        ("first", pa.uint64()),
        ("second", pa.uint64()),
    ]
)

#: The hashes of a row's texts, the second for pairs. Corpora of an earlier Danlu have none, or those of pairs alone.
_TEXTS = ("first", "second")

_IDS = ("subject", "conversation")

#: Where the file's metadata has the mark of the key that named its subjects and conversations.
_MARK = b"danlu.identity_key"


@dataclass(frozen=True, kw_only=True)
class Earlier:
    """The rows of an earlier corpus, as a table of `_SCHEMA`; `mark` is that of the key of its ids, if it has any."""

    table: pa.Table
    mark: str | None = None

    @property
    def warnings(self) -> list[str]:
        """What cannot be told of the earlier corpus, for people."""
        lacking = self.table["first"].null_count
        if not lacking:
            return []
        return [
            f"{lacking:,} rows of the corpus that data.extends names have no hash of their text alone: an earlier "
            "Danlu made it. Where only one of the two corpora has data.columns or data.pair, or they have different "
            "ones, texts that were trained on there may be tested on here. Run the recipe of that corpus again first."
        ]

    def pinned(self, keys: Keys, texts: PairTexts, *, folds: bool) -> Pinned:
        """The rows with subjects and conversations numbered as in `keys`, and their texts as in `texts`.

        Those that are not known there come behind.
        """
        return Pinned(
            contents=self.table["content"].to_numpy(),
            parts=self.table["part"].to_numpy(),
            folds=self.table["fold"].to_numpy() if folds else None,
            subjects=_numbered(self.table["subject"], keys.subjects),
            conversations=_numbered(self.table["conversation"], keys.conversations),
            sides=self._sides(texts),
        )

    def _sides(self, texts: PairTexts) -> Integers:
        """The group of either text [C, 2], -1 where there is none."""
        given = np.stack([self.table[name].is_valid().to_numpy() for name in _TEXTS], axis=1)
        hashes = np.stack([self.table[name].fill_null(0).to_numpy() for name in _TEXTS], axis=1)[given]
        here = texts.groups >= 0
        known, place = np.unique(texts.contents[here], return_index=True)
        groups = texts.groups[here][place]
        fresh = np.setdiff1d(hashes, known)
        every = np.concatenate([known, fresh])
        groups = np.concatenate([groups, 1 + groups.max(initial=NONE) + np.arange(len(fresh))])
        order = np.argsort(every)
        sides = np.full(given.shape, NONE, dtype=np.int64)
        sides[given] = groups[order[np.searchsorted(every, hashes, sorter=order)]]
        return sides


def read_earlier(path: Path, mark: str | None) -> Earlier:
    """The file that `write_sides` left, for a corpus whose ids were hashed under the key with this `mark`.

    Raises `DataError` for anything else, and where the ids in both were hashed under two keys.
    """
    try:
        table = parquet.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"data.extends leads to {path.name!r}, which is not the {SIDES} of a corpus ({type(error).__name__}). "
            "Write corpus://NAME for the corpus of the last run of NAME, or the path of a corpus's sides.parquet."
        ) from None
    if table.schema.names == [name for name in _SCHEMA.names if name not in _TEXTS]:
        for name in _TEXTS:
            table = table.append_column(name, pa.nulls(table.num_rows, pa.uint64()))
    if table.schema.names != _SCHEMA.names:
        raise DataError(
            f"data.extends leads to {path.name!r} with the columns {', '.join(table.schema.names[:8])}; expected "
            f"those of a corpus's {SIDES}: {', '.join(_SCHEMA.names)}."
        )
    had = (table.schema.metadata or {}).get(_MARK, b"").decode() or None
    if any(table[name].null_count < len(table) for name in _IDS) and mark is not None and had != mark:
        raise DataError(
            f"data.extends leads to a corpus whose subjects and conversations were named under the key "
            f"{had or 'of an earlier Danlu'}; this one's have the key {mark}. One person would have two names, and be "
            "on two sides. Copy .danlu/keys/identity from the workspace that made it, give both the same "
            "data.identity_key.env, or leave data.extends out."
        )
    return Earlier(table=table.cast(_SCHEMA), mark=had)


def write_sides(
    path: Path,
    keys: Keys,
    sides: Assignment,
    earlier: Earlier | None,
    mark: str | None,
    texts: PairTexts,
) -> None:
    """Write the side of every row that has one, and of those of the earlier corpus that are here no more.

    Sorted, each once: the same rows give the same file. `mark` is that of the key that ids were hashed under; `texts`
    are those of the rows, one or two each.
    """
    placed = sides.part >= 0
    here = pa.table(
        {
            "content": pa.array(keys.contents[keys.text[placed]], pa.uint64()),
            "part": pa.array(sides.part[placed], pa.int8()),
            "fold": pa.array(sides.fold[placed], pa.int8()),
            "subject": _named(keys.subject, keys.subjects, placed),
            "conversation": _named(keys.conversation, keys.conversations, placed),
            **{
                name: pa.array(texts.contents[placed, side], mask=texts.groups[placed, side] < 0)
                for side, name in enumerate(_TEXTS)
            },
        },
        schema=_SCHEMA,
    )
    every = here if earlier is None else pa.concat_tables([here, earlier.table])
    order = [(name, "ascending") for name in _SCHEMA.names]
    every = every.group_by(_SCHEMA.names, use_threads=False).aggregate([]).sort_by(order)
    every = every.select(_SCHEMA.names)
    mark = mark or (earlier.mark if earlier is not None else None)
    if mark is not None:
        every = every.replace_schema_metadata({_MARK: mark})
    parquet.write_table(every, path, compression="zstd")


def compared(keys: Keys, sides: Assignment, earlier: Earlier) -> dict[str, Any]:
    """For the card: rows of the earlier corpus, how many contents of them are here again, and how many rows are new."""
    known = np.isin(keys.contents, earlier.table["content"].to_numpy())
    again = known[keys.text]
    return {
        "earlier_rows": earlier.table.num_rows,
        "again": int(again.sum()),
        "new": int((~again).sum()),
        "rejected": int((~again & (sides.reason > 0)).sum()),
    }


def _numbered(names: pa.ChunkedArray, known: Hashes) -> Integers | None:
    """Numbers by `known`, and behind them for names that are not among these."""
    if names.null_count == len(names):
        return None
    given = names.is_valid().to_numpy()
    hashes = hashes_of(names)[given]
    every = np.concatenate([known, np.setdiff1d(hashes, known)])
    order = np.argsort(every)
    numbers = np.full(len(given), NONE, dtype=np.int64)
    numbers[given] = order[np.searchsorted(every, hashes, sorter=order)]
    return numbers


def _named(numbers: Integers | None, known: Hashes, chosen: np.ndarray) -> pa.Array:
    if numbers is None:
        return pa.nulls(int(chosen.sum()), pa.string())
    wanted = numbers[chosen]
    named = [f"{name:016x}" for name in known[np.maximum(wanted, 0)].tolist()]
    return pa.array(np.array(named, dtype=object), pa.string(), mask=wanted < 0)
