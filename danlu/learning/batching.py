"""Which examples make up which step: a pure function of lengths, seed and step, so that a resume needs no state.

Examples of similar length share a batch (length buckets), so that little is spent on padding.
Shapes: B examples in a batch, T tokens of the longest one, N examples in all.
"""

from __future__ import annotations

import base64
import dataclasses
import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

#: Examples are sorted by length inside pools of this many batches. Larger pools pad less; smaller ones mix lengths
#: better from step to step.
BATCHES_IN_POOL = 64


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Token rows end to end: example i is `tokens[starts[i]:starts[i + 1]]`.

    `labels` [N] are class numbers, or None where the text itself is the target. `rows` [N] is the row of the corpus
    part that an example was made from: a long document yields several.
    """

    tokens: np.ndarray
    starts: np.ndarray
    labels: np.ndarray | None
    rows: np.ndarray

    @classmethod
    def from_rows(
        cls, rows: Sequence[Sequence[int]], *, labels: np.ndarray | None = None, origin: np.ndarray | None = None
    ) -> Examples:
        """Examples from lists of token numbers; `origin` [N] are the rows they come from, by default their own."""
        starts = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum([len(row) for row in rows], out=starts[1:])
        tokens = np.fromiter((token for row in rows for token in row), dtype=np.int32, count=int(starts[-1]))
        return cls(tokens=tokens, starts=starts, labels=labels, rows=np.arange(len(rows)) if origin is None else origin)

    def __len__(self) -> int:
        return len(self.starts) - 1

    @functools.cached_property
    def lengths(self) -> np.ndarray:
        """Tokens of each example, [N]."""
        return np.diff(self.starts)

    def used(self, chosen: np.ndarray) -> np.ndarray:
        """The token numbers that occur in the examples `chosen` [N] of bool, sorted."""
        return np.unique(self.tokens[np.repeat(chosen, self.lengths)])

    def renumbered(self, numbers: np.ndarray) -> Examples:
        """The same examples with token t as `numbers[t]`."""
        return dataclasses.replace(self, tokens=numbers[self.tokens])

    def batch(self, indices: np.ndarray, pad_id: int) -> Batch:
        """The examples `indices` [B] as one padded rectangle."""
        lengths = self.lengths[indices]
        inside = np.arange(int(lengths.max()))[None, :] < lengths[:, None]
        ids = np.full(inside.shape, pad_id, dtype=np.int64)
        ids[inside] = np.concatenate([self.tokens[self.starts[i] : self.starts[i + 1]] for i in indices])
        labels = None if self.labels is None else self.labels[indices]
        return Batch(ids=ids, mask=inside.astype(np.int64), labels=labels)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """`ids` and `mask` [B, T] int64, mask 1 on real tokens; `labels` [B] int64 or None."""

    ids: np.ndarray
    mask: np.ndarray
    labels: np.ndarray | None

    def __len__(self) -> int:
        return len(self.ids)


class Order:
    """The order of training: what step k sees, for every k, from nothing but lengths and seed.

    `samples` is how many examples all steps see together; a full pass over the examples is an epoch. An epoch
    that is not full sees a random subset. Early and late in an epoch the lengths are mixed alike.
    """

    def __init__(self, lengths: np.ndarray, *, batch_size: int, samples: int, seed: int) -> None:
        self._lengths = lengths
        self._batch_size = batch_size
        self._seed = seed
        self.samples = samples
        self.steps_per_epoch = math.ceil(len(lengths) / batch_size)
        full, rest = divmod(samples, len(lengths))
        self.steps = full * self.steps_per_epoch + math.ceil(rest / batch_size)
        self._epoch = functools.lru_cache(maxsize=2)(self._make_epoch)

    def batch(self, step: int) -> np.ndarray:
        """Indices of the examples of step `step`, counted from 0."""
        epoch, inside = divmod(step, self.steps_per_epoch)
        return self._epoch(epoch)[inside]

    def seen(self, steps: int) -> np.ndarray:
        """Which examples the first `steps` steps have seen, [N] of bool."""
        if steps >= self.steps_per_epoch:
            return np.ones(len(self._lengths), dtype=bool)
        mask = np.zeros(len(self._lengths), dtype=bool)
        for step in range(steps):
            mask[self.batch(step)] = True
        return mask

    def _make_epoch(self, epoch: int) -> list[np.ndarray]:
        total = len(self._lengths)
        generator = np.random.default_rng([self._seed, epoch])
        chosen = generator.permutation(total)[: min(total, self.samples - epoch * total)]
        return bucketed(chosen, self._lengths, self._batch_size, generator)


def bucketed(
    chosen: np.ndarray, lengths: np.ndarray, batch_size: int, generator: np.random.Generator
) -> list[np.ndarray]:
    """`chosen`, already in random order, cut into batches of similar length; the batches come in random order."""
    batches = []
    pool_size = BATCHES_IN_POOL * batch_size
    pools = max(1, round(len(chosen) / pool_size))
    edges = np.linspace(0, math.ceil(len(chosen) / batch_size), pools + 1).round().astype(int) * batch_size
    for low, high in itertools.pairwise(edges):
        pool = chosen[low:high]
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        batches += [pool[start : start + batch_size] for start in range(0, len(pool), batch_size)]
    return [batches[index] for index in generator.permutation(len(batches))]


def by_length(lengths: np.ndarray, batch_size: int) -> Iterator[np.ndarray]:
    """All examples in batches of similar length, longest first, for scoring: memory fails early or not at all."""
    order = np.argsort(-lengths, kind="stable")
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]


def padding_share(order: Order, lengths: np.ndarray, steps: int) -> float:
    """Share of the tokens of the first `steps` batches that is padding."""
    real = padded = 0
    for step in range(steps):
        batch = lengths[order.batch(step)]
        real += int(batch.sum())
        padded += int(batch.max()) * len(batch)
    return 1.0 - real / max(padded, 1)


def pack_rows(seen: np.ndarray) -> dict[str, Any]:
    """Which rows of the train part were seen, for `training.json`: counts, and a bitmap unless all were."""
    bitmap = None if seen.all() else base64.b64encode(np.packbits(seen).tobytes()).decode("ascii")
    return {"total": len(seen), "seen": int(seen.sum()), "bitmap": bitmap}


def unpack_rows(packed: dict[str, Any]) -> np.ndarray:
    """The mask over the train part's rows (in the corpus's order, by id) that `pack_rows` packed; bool."""
    if packed["bitmap"] is None:
        return np.ones(packed["total"], dtype=bool)
    bits = np.frombuffer(base64.b64decode(packed["bitmap"]), dtype=np.uint8)
    return np.unpackbits(bits, count=packed["total"]).astype(bool)
