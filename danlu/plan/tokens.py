"""From a sample of texts to tokens, the longest input, and the batches that training will see."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from danlu.core.errors import DataError
from danlu.learning.batching import BatchSize, Order, by_length, choose_packing
from danlu.learning.models import positions_of, read_config
from danlu.learning.objectives.config import aim_of
from danlu.learning.objectives.table import KINDS
from danlu.learning.scratch import POSITIONS, VOCABULARIES, train_tokenizer
from danlu.learning.text import auto_length, encode_whole, end_id, load_tokenizer
from danlu.plan.config import PlanStage
from danlu.plan.work import Batches


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """The sample in tokens. `lengths` [M]: of each example as training makes it, cut to `max_length`; a long
    document yields several examples when the model generates, `examples_per_row` on average. `vocabulary`: tokens
    of the tokenizer. `share_cut`: texts longer than `max_length`.
    """

    lengths: np.ndarray
    max_length: int
    vocabulary: int
    examples_per_row: float
    per_row: float
    share_cut: float


def count(config: PlanStage, texts: list[str], base: Path | None) -> Tokens:
    """Tokenise the sample with the base's tokenizer, or with one learned from the sample where training learns one.

    A tokenizer learned from few texts knows their words better and other words worse than one learned from all:
    lengths of the learned kind are taken from texts it has not seen, and are an upper estimate.
    """
    if base is None:
        tokenizer, measured = _learned(config, texts)
        positions = POSITIONS
    else:
        tokenizer, measured = load_tokenizer(base), texts
        positions = positions_of(read_config(base))
    whole = np.array([len(row) for row in encode_whole(tokenizer, measured)], dtype=np.int64)
    if len(whole) == 0:
        raise DataError(f"Only {len(texts)} usable rows were found; a run needs at least 20. Check data.sources.")
    wanted = config.model.max_length
    max_length = auto_length(whole, positions) if wanted == "auto" else wanted
    lengths = _pieces(whole + (end_id(tokenizer) is not None), max_length) if config.task == "generate" else whole
    lengths = np.minimum(lengths, max_length)
    return Tokens(
        lengths=lengths,
        max_length=max_length,
        vocabulary=tokenizer.get_vocab_size() if base is not None else _vocabulary(config),
        examples_per_row=len(lengths) / len(whole),
        per_row=float(lengths.sum() / len(whole)),
        share_cut=float(np.mean(whole > max_length)),
    )


def _head(config: PlanStage) -> str:
    return KINDS[aim_of(config.task, config.train.objective).kind].head


def _vocabulary(config: PlanStage) -> int:
    return config.model.scratch.vocabulary if config.model.scratch is not None else 0


def _learned(config: PlanStage, texts: list[str]) -> tuple[Tokenizer, list[str]]:
    """A tokenizer learned from most of the sample, and the rest of it."""
    apart = max(1, len(texts) // 4)
    tokenizer = train_tokenizer(texts[apart:] or texts, VOCABULARIES[_head(config)], _vocabulary(config))
    return tokenizer, texts[:apart]


def _pieces(whole: np.ndarray, max_length: int) -> np.ndarray:
    """Lengths of the examples that documents of these lengths are cut into; each goes on from the last token."""
    step = max_length - 1
    pieces = [
        min(max_length, length - start) for length in whole.tolist() for start in range(0, max(1, length - 1), step)
    ]
    return np.array(pieces, dtype=np.int64)


def training_batches(config: PlanStage, tokens: Tokens, rows: int) -> tuple[int, int, Batches]:
    """`(samples, steps, batches)` of the whole training on `rows` training rows.

    The batches are those that training's own `Order` makes of as many examples, their lengths drawn from the sample.
    """
    settings = config.train
    examples = max(1, round(rows * tokens.examples_per_row))
    lengths = _drawn(tokens, examples, settings.seed)
    samples = max(1, round(settings.epochs * examples))
    if settings.max_samples is not None:
        samples = min(samples, settings.max_samples)
    kind = KINDS[aim_of(config.task, settings.objective).kind]
    packed = choose_packing(settings.batching.packing, packable=kind.packable)
    size = BatchSize(samples=settings.batch_size, tokens=settings.batching.tokens, padded=not packed)
    order = Order(lengths, size=size, samples=min(samples, len(lengths)), seed=settings.seed)
    chosen = [lengths[order.batch(step)] for step in range(order.steps)]
    if packed:
        once = Batches.of([1] * len(chosen), [int(batch.sum()) for batch in chosen])
    else:
        once = Batches.of([kind.group * len(batch) for batch in chosen], [int(batch.max()) for batch in chosen])
    steps = round(order.steps * samples / order.samples)
    if settings.batching.tokens is None:
        passes, rest = divmod(samples, examples)
        steps = passes * math.ceil(examples / settings.batch_size) + math.ceil(rest / settings.batch_size)
    return samples, steps, once.times(steps / order.steps)


def scoring_batches(tokens: Tokens, rows: int, batch_size: int, seed: int) -> Batches:
    """Batches of one pass over `rows` rows, sorted by length."""
    return _sorted_batches(tokens, rows, BatchSize(samples=batch_size), seed)


def validation_batches(config: PlanStage, tokens: Tokens, rows: int) -> Batches:
    """Batches of one validation on `rows` rows: twice as large as those of training."""
    settings = config.train
    size = BatchSize(samples=settings.batch_size, tokens=settings.batching.tokens)
    return _sorted_batches(tokens, rows, size.times(2), settings.seed)


def _sorted_batches(tokens: Tokens, rows: int, size: BatchSize, seed: int) -> Batches:
    examples = max(1, round(rows * tokens.examples_per_row))
    lengths = _drawn(tokens, examples, seed)
    chosen = [lengths[batch] for batch in by_length(lengths, size)]
    drawn = Batches.of([len(batch) for batch in chosen], [int(batch.max()) for batch in chosen])
    return drawn.times(examples / len(lengths))


#: Enough examples to know how batches come out; more rows are counted by proportion.
_MOST_DRAWN = 200_000


def _drawn(tokens: Tokens, examples: int, seed: int) -> np.ndarray:
    generator = np.random.default_rng([seed, examples])
    return generator.choice(tokens.lengths, size=min(examples, _MOST_DRAWN), replace=True)
