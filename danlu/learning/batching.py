"""Which examples make up which step: a pure function of lengths, seed and step, so that a resume needs no state.

Examples of similar length share a batch (length buckets), so that little is spent on padding.
Shapes: B examples in a batch, T tokens of the longest one, N examples in all.
"""

from __future__ import annotations

import base64
import bisect
import dataclasses
import functools
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from danlu.core.errors import UserError

#: Examples are sorted by length inside pools of this many batches. Larger pools pad less; smaller ones mix lengths
#: better from step to step.
BATCHES_IN_POOL = 64


#: The number that cross-entropy leaves out.
NO_TARGET = -100


class Slices(Protocol):
    """A row of numbers that is read by slices: an array, or one that lies on disk (`danlu.learning.shards`)."""

    def __getitem__(self, part: slice, /) -> np.ndarray: ...

    def __len__(self) -> int: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenRow:
    """One row of token numbers. `origin`: the row of the corpus part that it was made from; `learned`: as `Examples`
    has it, None where every token is.
    """

    ids: Sequence[int]
    origin: int
    learned: Sequence[bool] | None = None


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Token rows end to end: row i is `tokens[starts[i]:starts[i + 1]]`.

    An example is `group` rows that belong together and share a batch: one text, or the two answers of a preference.
    `columns` hold further values of each example, [N, ...]: the class, what a teacher said. `learned` is True for the
    tokens that a language model is to learn, False for those that are given (a question); None learns all.
    `rows` [N] is the row of the corpus part that an example was made from: a long document yields several.
    """

    tokens: Slices
    starts: np.ndarray
    rows: np.ndarray
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)
    learned: Slices | None = None
    group: int = 1

    @classmethod
    def from_rows(
        cls,
        rows: Sequence[Sequence[int]],
        *,
        columns: Mapping[str, np.ndarray] | None = None,
        learned: Sequence[Sequence[bool]] | None = None,
        origin: np.ndarray | None = None,
        group: int = 1,
    ) -> Examples:
        """Examples from lists of token numbers; `origin` [N] are the rows they come from, by default their own."""
        starts = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum([len(row) for row in rows], out=starts[1:])
        total = int(starts[-1])
        return cls(
            tokens=np.fromiter(itertools.chain.from_iterable(rows), dtype=np.int32, count=total),
            starts=starts,
            rows=np.arange(len(rows) // group) if origin is None else origin,
            columns=columns or {},
            learned=None
            if learned is None
            else np.fromiter(itertools.chain.from_iterable(learned), dtype=bool, count=total),
            group=group,
        )

    @classmethod
    def gathered(cls, rows: Iterable[TokenRow]) -> Examples:
        """Examples of one row each, in memory; `danlu.learning.shards` has them on disk."""
        found = list(rows)
        marked = any(row.learned is not None for row in found)
        return cls.from_rows(
            [row.ids for row in found],
            learned=[row.learned or [True] * len(row.ids) for row in found] if marked else None,
            origin=np.array([row.origin for row in found], dtype=np.int64),
        )

    def __len__(self) -> int:
        return len(self.rows)

    @functools.cached_property
    def lengths(self) -> np.ndarray:
        """Tokens of the longest row of each example, [N]."""
        longest: np.ndarray = np.diff(self.starts).reshape(-1, self.group).max(axis=1, initial=0)
        return longest

    def used(self, chosen: np.ndarray) -> np.ndarray:
        """The token numbers that occur in the examples `chosen` [N] of bool, sorted."""
        return np.unique(self.tokens[:][np.repeat(np.repeat(chosen, self.group), np.diff(self.starts))])

    def renumbered(self, numbers: np.ndarray) -> Examples:
        """The same examples with token t as `numbers[t]`."""
        return dataclasses.replace(self, tokens=numbers[self.tokens[:]])

    def with_columns(self, **columns: np.ndarray) -> Examples:
        """The same examples with further values, [N, ...] each."""
        return dataclasses.replace(self, columns={**self.columns, **columns})

    def batch(self, indices: np.ndarray, pad_id: int) -> Batch:
        """The examples `indices` [B] as one padded rectangle: first row of each, then second row of each, and so on."""
        rows = self._rows(indices)
        lengths = self.starts[rows + 1] - self.starts[rows]
        inside = np.arange(int(lengths.max()))[None, :] < lengths[:, None]
        ids = np.full(inside.shape, pad_id, dtype=np.int64)
        ids[inside] = self._joined(self.tokens, rows)
        learned = inside
        if self.learned is not None:
            learned = np.zeros(inside.shape, dtype=bool)
            learned[inside] = self._joined(self.learned, rows)
        return Batch(
            ids=ids,
            mask=inside.astype(np.int64),
            columns=self._columns(indices),
            targets=_shifted(ids, learned),
            size=len(indices),
        )

    def packed(self, indices: np.ndarray) -> Batch:
        """The examples `indices` [B] end to end in one row without padding, each with positions that start at 0.

        For causal models alone; the first token of an example is never a target.
        """
        rows = self._rows(indices)
        lengths = self.starts[rows + 1] - self.starts[rows]
        ids = self._joined(self.tokens, rows).astype(np.int64)[None, :]
        learned = np.ones(ids.shape[1], dtype=bool) if self.learned is None else self._joined(self.learned, rows)
        begins = np.cumsum(lengths) - lengths
        learned = learned.copy()
        learned[begins[lengths > 0]] = False
        return Batch(
            ids=ids,
            mask=np.ones_like(ids),
            columns=self._columns(indices),
            targets=_shifted(ids, learned[None, :]),
            positions=(np.arange(ids.shape[1]) - np.repeat(begins, lengths))[None, :],
            size=len(indices),
        )

    def _rows(self, indices: np.ndarray) -> np.ndarray:
        rows: np.ndarray = (np.arange(self.group)[:, None] + self.group * np.asarray(indices)[None, :]).ravel()
        return rows

    def _joined(self, values: Slices, rows: np.ndarray) -> np.ndarray:
        return np.concatenate([values[self.starts[row] : self.starts[row + 1]] for row in rows])

    def _columns(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        return {name: values[indices] for name, values in self.columns.items()}


def _shifted(ids: np.ndarray, learned: np.ndarray) -> np.ndarray:
    """The token that follows each one, where it is to be learned; `NO_TARGET` elsewhere and at the end of a row."""
    targets = np.full_like(ids, NO_TARGET)
    targets[:, :-1] = np.where(learned[:, 1:], ids[:, 1:], NO_TARGET)
    return targets


@dataclass(frozen=True, kw_only=True)
class Batch:
    """`ids` and `mask` [R, T] int64, mask 1 on real tokens; R is B examples times the rows of each.

    `targets` [R, T]: the next token where it is to be learned, else `NO_TARGET`. `columns`: further values, [B, ...].
    `positions` [1, T] only where the examples are packed into one row. `size`: B.
    """

    ids: np.ndarray
    mask: np.ndarray
    targets: np.ndarray
    size: int
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)
    positions: np.ndarray | None = None

    def __len__(self) -> int:
        return self.size


@dataclass(frozen=True, kw_only=True)
class BatchSize:
    """How many examples make a batch: `samples`, or where `tokens` is given as many as have no more tokens than that.

    `padded`: padding counts as tokens; False where examples are packed end to end. A batch has at least one example.
    """

    samples: int
    tokens: int | None = None
    padded: bool = True

    def times(self, factor: int) -> BatchSize:
        """A size `factor` times as large."""
        return dataclasses.replace(
            self, samples=factor * self.samples, tokens=None if self.tokens is None else factor * self.tokens
        )

    def around(self, lengths: np.ndarray) -> int:
        """About how many examples of these lengths a batch holds."""
        if self.tokens is None:
            return self.samples
        return max(1, round(self.tokens / max(1.0, float(lengths.mean()))))

    def cut(self, lengths: np.ndarray) -> list[int]:
        """Where batches of examples with `lengths` [N], which only rise, begin; N at the end."""
        if self.tokens is None:
            return [*range(0, len(lengths), self.samples), len(lengths)]
        edges, sums = [0], np.cumsum(lengths)
        while (start := edges[-1]) < len(lengths):
            most = start + max(1, self.tokens // max(1, int(lengths[start])))
            if self.padded:
                tokens = lengths[start:most] * np.arange(1, len(lengths[start:most]) + 1)
            else:
                tokens = sums[start:most] - (sums[start - 1] if start else 0)
            edges.append(start + max(1, int(np.searchsorted(tokens, self.tokens, side="right"))))
        return edges


class Order:
    """The order of training: what step k sees, for every k, from nothing but lengths, size of a batch and seed.

    `samples` is how many examples all steps see together; a full pass over the examples is an epoch. An epoch
    that is not full sees a random subset. Early and late in an epoch the lengths are mixed alike. Where a batch is
    so many tokens, one epoch may have a few steps more than another.
    """

    def __init__(self, lengths: np.ndarray, *, size: BatchSize, samples: int, seed: int) -> None:
        self._lengths = lengths
        self._size = size
        self._seed = seed
        self.samples = samples
        self._epoch = functools.lru_cache(maxsize=2)(self._make_epoch)
        self._ends = list(itertools.accumulate(self._steps_by_epoch()))
        self.steps = self._ends[-1]
        self.steps_per_epoch = self._ends[0] if samples >= len(lengths) else max(1, round(self._whole_epoch()))

    def batch(self, step: int) -> np.ndarray:
        """Indices of the examples of step `step`, counted from 0."""
        epoch = bisect.bisect_right(self._ends, step)
        return self._epoch(epoch)[step - (self._ends[epoch - 1] if epoch else 0)]

    def seen(self, steps: int) -> np.ndarray:
        """Which examples the first `steps` steps have seen, [N] of bool."""
        if steps >= self.steps_per_epoch and self.samples >= len(self._lengths):
            return np.ones(len(self._lengths), dtype=bool)
        mask = np.zeros(len(self._lengths), dtype=bool)
        for step in range(steps):
            mask[self.batch(step)] = True
        return mask

    def _steps_by_epoch(self) -> list[int]:
        """Steps of each epoch. With batches of so many examples they need no epoch to be made."""
        total = len(self._lengths)
        taken = [min(total, self.samples - done) for done in range(0, self.samples, total)]
        if self._size.tokens is None:
            return [math.ceil(examples / self._size.samples) for examples in taken]
        return [len(self._epoch(epoch)) for epoch in range(len(taken))]

    def _whole_epoch(self) -> float:
        """Steps that a whole epoch would have, where `samples` is only a part of one."""
        if self._size.tokens is None:
            return math.ceil(len(self._lengths) / self._size.samples)
        return self.steps * len(self._lengths) / self.samples

    def _make_epoch(self, epoch: int) -> list[np.ndarray]:
        total = len(self._lengths)
        generator = np.random.default_rng([self._seed, epoch])
        chosen = generator.permutation(total)[: min(total, self.samples - epoch * total)]
        return bucketed(chosen, self._lengths, self._size, generator)


def bucketed(
    chosen: np.ndarray, lengths: np.ndarray, size: BatchSize, generator: np.random.Generator
) -> list[np.ndarray]:
    """`chosen`, already in random order, cut into batches of similar length; the batches come in random order."""
    batches = []
    around = size.around(lengths[chosen])
    pools = max(1, round(len(chosen) / (BATCHES_IN_POOL * around)))
    edges = np.linspace(0, math.ceil(len(chosen) / around), pools + 1).round().astype(int) * around
    edges[-1] = len(chosen)
    for low, high in itertools.pairwise(edges):
        pool = chosen[low:high]
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        batches += [pool[start:end] for start, end in itertools.pairwise(size.cut(lengths[pool]))]
    return [batches[index] for index in generator.permutation(len(batches))]


def by_length(lengths: np.ndarray, size: BatchSize) -> Iterator[np.ndarray]:
    """All examples in batches of similar length, longest first, for scoring: memory fails early or not at all."""
    order = np.argsort(lengths, kind="stable")
    for start, end in reversed(list(itertools.pairwise(size.cut(lengths[order])))):
        yield order[start:end]


def choose_packing(asked: bool | str, *, packable: bool) -> bool:
    """`train.batching.packing` as yes or no; auto is no.

    Measured on a CPU (forward and backward, Llamas of 2 x 64 and 4 x 256, batches of 2 to 16 texts of 10 to 500
    tokens, one thread): a packed step ran 0.3 to 1.05 times as fast as a padded one. Buckets leave little padding to
    save, and the kernel computes the attention of the whole row before it masks other texts out. On a GPU it was not
    measured. Raises `UserError` where packing is asked for but what is learned does not allow it.
    """
    if asked is True and not packable:
        raise UserError(
            "train.batching.packing is true, but only a language model (train.objective.kind: causal) can be trained "
            "on packed texts. Leave it out."
        )
    return asked is True


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
