"""Which rows are used where the recipe asks for some of them only (`data.max_rows`)."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from danlu.data.config import CleanConfig
from danlu.data.tables import batches
from danlu.metrics.shingles import BASE, mixed

Integers = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]

#: What a row says, as far as a draw is concerned.
_SAID = ("text", "label", "rejected")


def sample(folder: Path, config: CleanConfig) -> Integers | None:
    """The places of `max_rows` rows of `folder` (schema `RAW`) chosen at random, sorted; None when all are used.

    A row's draw is a hash of the seed, of what it says and of how many rows said the same before it: a file with one
    row more changes one row of the sample, wherever in it that row stands. Some 40 bytes a row are in memory meanwhile.
    """
    if config.max_rows is None:
        return None
    key = config.seed.to_bytes(16, "little")
    said, places = [np.zeros(0, dtype=np.uint64)], [np.zeros(0, dtype=np.int64)]
    for batch in batches(folder, ["place", *_SAID]):
        said.append(_hashes(batch, key))
        places.append(batch.column("place").to_numpy())
    draws, place = _draws(np.concatenate(said)), np.concatenate(places)
    if len(draws) <= config.max_rows:
        return None
    last = np.partition(draws, config.max_rows - 1)[config.max_rows - 1]
    chosen = np.flatnonzero(draws <= last)
    # Two rows with one draw are one in many billions; the first of them goes in.
    order = np.lexsort((place[chosen], draws[chosen]))
    return np.sort(place[chosen[order[: config.max_rows]]])


def _hashes(batch: pa.RecordBatch, key: bytes) -> Hashes:
    columns = (batch.column(name).to_pylist() for name in _SAID)
    digests = [
        hashlib.blake2b("\0".join(part or "" for part in parts).encode("utf-8"), digest_size=8, key=key).digest()
        for parts in zip(*columns, strict=True)
    ]
    return np.frombuffer(b"".join(digests), dtype=">u8").astype(np.uint64)


def _draws(said: Hashes) -> Hashes:
    """A draw for each row [N]; those that say the same have different ones, by how many came before."""
    order = np.argsort(said, kind="stable")
    new = np.ones(len(said), dtype=bool)
    np.not_equal(said[order[1:]], said[order[:-1]], out=new[1:])
    starts = np.flatnonzero(new)
    before = np.empty(len(said), dtype=np.uint64)
    before[order] = np.arange(len(said)) - np.repeat(starts, np.diff(np.append(starts, len(said))))
    return mixed(said + before * BASE)
