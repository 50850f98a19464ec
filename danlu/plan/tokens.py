"""From a sample of rows to the examples, tokens and batches that training will see.

Examples are made by the objective itself, conversations written by the chat template, batches put together by
training's own order: the plan counts what they give. Shapes: M examples made of the sample.
"""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from danlu.core.errors import DataError, ModelError
from danlu.core.tasks import TASKS
from danlu.learning.batching import BatchSize, Examples, Order, by_length, choose_packing
from danlu.learning.chat import Chat, plain_chat, read_chat
from danlu.learning.models import positions_of, read_config
from danlu.learning.objectives.base import Facts, Objective, Rows
from danlu.learning.objectives.config import Cost, aim_of
from danlu.learning.objectives.table import KINDS, Kind, make_objective
from danlu.learning.scratch import POSITIONS, VOCABULARIES, train_tokenizer
from danlu.learning.text import auto_length, load_tokenizer
from danlu.plan.config import PlanStage
from danlu.plan.corpus import Corpus
from danlu.plan.reading import Found, Look
from danlu.plan.work import Batches
from danlu.sources.targets import heads_in

#: Enough examples to know how batches come out; more are counted by proportion.
_MOST_DRAWN = 200_000
#: Steps are made one by one for so many samples at most; beyond that one pass stands for all.
_MOST_ORDERED = 400_000
#: Pieces with at least this share of the tokens of the widest one are as wide.
_AS_WIDE = 0.98
#: More tokens than any model takes: nothing is cut.
_UNCUT = 1 << 30


@dataclass(frozen=True, kw_only=True)
class Made:
    """The sample's examples themselves, and what the objective that made them was told: for a trace of the real step.

    The examples have what the objective finds before the first step, as zeros. `used`: how many token numbers all
    training texts are expected to have.
    """

    examples: Examples
    tokenizer: Tokenizer
    labels: Sequence[str]
    targets: Sequence[Any]
    used: int


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """The sample as training would make it. `lengths` [M]: tokens of each example's longest row, cut to `max_length`;
    `sizes` [M]: of all its rows, of which it has `group`. `weights` [M]: how many training examples each stands for;
    `held_out` [M]: how many of one held-out row. `vocabulary`: tokens of the tokenizer. `share_cut`: rows longer than
    `max_length`. `conversations`: whether any row is one. `told`: what the objective warned of, for the sample.
    """

    lengths: np.ndarray
    sizes: np.ndarray
    weights: np.ndarray
    held_out: np.ndarray
    max_length: int
    vocabulary: int
    share_cut: float
    group: int = 1
    conversations: bool = False
    told: list[str] = field(default_factory=list)
    made: Made | None = None

    @property
    def examples(self) -> int:
        """Examples that all training rows make."""
        return max(1, round(float(self.weights.sum())))

    @property
    def per_example(self) -> float:
        """Mean tokens of a training example, those of all its rows."""
        return float(np.average(self.sizes, weights=self.weights))

    @property
    def per_text(self) -> float:
        """Mean tokens of the longest row of a held-out example."""
        return float(np.average(self.lengths, weights=self.held_out))

    def held_out_examples(self, rows: int) -> int:
        """Examples that so many held-out rows make."""
        return max(1, round(rows * float(self.held_out.sum())))


def count(
    config: PlanStage, seen: Look, corpus: Corpus, *, base: Path | None, folders: Mapping[str, Path] | None = None
) -> Tokens:
    """Make examples of the sample as training makes them, with the base's tokenizer and chat template.

    `folders` are the model folders that the objective's section names, by field. Where training learns a tokenizer,
    one is learned here: from as many rows as it will have, where the sample is all there is, and used on these very
    rows, as training does. From a part of the rows it knows their words better and others worse than the one learned
    from all, so lengths are taken from rows that it has not seen, and are an upper estimate.

    Raises `DataError` where nothing is left to learn from, `ModelError` for a length that the base cannot take.
    """
    aim = aim_of(config.task, config.train.objective)
    kind = KINDS[aim.kind]
    source = base or (folders or {}).get(kind.tokenizer or "")
    tokenizer, measured = _learned(config, kind, seen) if source is None else (load_tokenizer(source), seen.sample)
    if not measured:
        raise DataError(f"Only {len(seen.sample)} usable rows were found; a run needs at least 20. Check data.sources.")
    rows = columns_of(measured, kind)
    told: list[str] = []
    labels, targets = _names(measured) or [""], rows.get(TASKS[config.task].target or "", ())
    objective = make_objective(
        aim,
        Facts(
            tokenizer=tokenizer,
            labels=labels,
            targets=targets,
            heads=heads_in(rows.get("targets", ())),
            chat=_chat(source, tokenizer, rows),
            folders=folders or {},
            warn=told.append,
        ),
    )
    stands_for = _weights(measured, corpus, corpus.used) * corpus.train
    held_out = _weights(measured, corpus, corpus.held_out)
    whole, origin = _whole(objective, rows)
    told.clear()
    max_length = _max_length(config, base, whole, stands_for[origin])
    examples = objective.examples(rows, max_length)
    return Tokens(
        lengths=examples.lengths.astype(np.int64),
        sizes=np.diff(examples.starts).reshape(-1, examples.group).sum(axis=1),
        weights=stands_for[examples.rows],
        held_out=held_out[examples.rows],
        max_length=max_length,
        vocabulary=tokenizer.get_vocab_size() if source is not None else _vocabulary(config),
        share_cut=float(np.average(whole > max_length, weights=stands_for[origin])),
        group=examples.group,
        conversations=_has_turns(rows),
        told=told,
        made=Made(
            examples=_prepared(objective, rows, examples) if not folders else examples,
            tokenizer=tokenizer,
            labels=labels,
            targets=targets,
            used=_used(examples, float(stands_for.sum()) / max(1, len(measured)), tokenizer.get_vocab_size()),
        ),
    )


def _prepared(objective: Objective, rows: Rows, examples: Examples) -> Examples:
    """`examples` with the columns that the objective finds before the first step, no batch of which is read."""
    if objective.prepare is None:
        return examples
    return examples.with_columns(**objective.prepare(None, rows, examples, lambda _batches, _what: ()))


def _used(examples: Examples, times: float, vocabulary: int) -> int:
    """How many of the tokens occur in `times` as many texts.

    By the law of Heaps (Information Retrieval, 1978, section 7.5): V = K n^b of n tokens, with b from half of the
    sample and all of it.
    """
    tokens = examples.tokens[:]
    if not len(tokens):
        return 1
    whole, half = len(np.unique(tokens)), len(np.unique(tokens[::2]))
    power = min(1.0, math.log2(whole / half))
    return min(vocabulary, round(whole * float(max(1.0, times) ** power)))


def _names(rows: Sequence[Found]) -> list[str]:
    """The labels of the sample, sorted."""
    return sorted({name for row in rows for name in row.names})


def columns_of(rows: Sequence[Found], kind: Kind) -> Rows:
    """The sample as the columns of a corpus part that an objective of this kind reads."""
    columns: dict[str, list[Any]] = {
        "text": [row.text for row in rows],
        # As in a corpus: there only where rows are pairs.
        "pair": [row.pair for row in rows if row.pair is not None],
        "label": [row.label for row in rows],
        # Where the column is not there the data stage says so.
        "labels": [row.target or [] for row in rows],
        "value": [row.target or 0.0 for row in rows],
        "targets": [row.target or "" for row in rows],
        "turns": [row.turns for row in rows],
        "rejected": [row.rejected for row in rows],
    }
    return {name: values for name, values in columns.items() if name in kind.columns}


def _has_turns(rows: Rows) -> bool:
    """Whether any row is a conversation."""
    return any(turns is not None for turns in rows.get("turns") or ())


def _chat(source: Path | None, tokenizer: Tokenizer, rows: Rows) -> Chat | None:
    """How conversations among the rows are written: by the model's template, else by a plain one, as in training."""
    if not _has_turns(rows):
        return None
    return (None if source is None else read_chat(source)) or plain_chat(tokenizer)


def _vocabulary(config: PlanStage) -> int:
    return config.model.scratch.vocabulary if config.model.scratch is not None else 0


def _learned(config: PlanStage, kind: Kind, seen: Look) -> tuple[Tokenizer, list[Found]]:
    """A tokenizer learned from a part of the sample, and the rows to measure it on."""
    rows = random.Random(config.data.seed).sample(seen.sample, len(seen.sample))
    split = config.data.split
    if seen.everything:
        known = rows[: max(1, round(len(rows) * (1.0 - split.validation - split.test)))]
        measured = known
    else:
        apart = max(1, len(rows) // 4)
        known, measured = rows[apart:] or rows, rows[:apart]
    columns = columns_of(known, kind)
    texts = list(itertools.chain.from_iterable(columns[name] for name in kind.texts))
    return train_tokenizer(texts, VOCABULARIES[kind.head], _vocabulary(config)), measured


def _weights(rows: Sequence[Found], corpus: Corpus, cells: np.ndarray) -> np.ndarray:
    """How much each row of the sample counts, so that each source and class has what `cells` [S, K] says; sums to 1."""
    names = {label: number for number, label in enumerate(corpus.labels)}
    places = [(row.source, names.get(row.label, 0)) for row in rows]
    counts = Counter(places)
    found = np.array([cells[place] / counts[place] for place in places])
    if not found.sum():
        raise DataError("Nothing of the sample that the plan looked at would be trained on. Check data.mix.weights.")
    weights: np.ndarray = found / found.sum()
    return weights


def _whole(objective: Objective, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Tokens of each row that training uses, uncut, and its number; there may be fewer or more than rows."""
    whole = np.array(objective.lengths(rows), dtype=np.int64)
    if len(whole) == len(rows["text"]):
        return whole, np.arange(len(whole))
    return whole, objective.examples(rows, _UNCUT).rows


def _max_length(config: PlanStage, base: Path | None, whole: np.ndarray, weights: np.ndarray) -> int:
    """`model.max_length` as a number that the model can take."""
    wanted = config.model.max_length
    positions = POSITIONS if base is None else positions_of(read_config(base))
    if wanted == "auto":
        return auto_length(whole[_spread(whole, weights, max(1, round(float(weights.sum()))))], positions)
    if base is not None and wanted > positions:
        raise ModelError(
            f"model.max_length is {wanted}, but the base model takes at most {positions} tokens. Give at most that, "
            "or auto."
        )
    return wanted


def _spread(lengths: np.ndarray, weights: np.ndarray, wanted: int) -> np.ndarray:
    """Indices of `wanted` examples (of the most that are drawn) at even distances by weight, from short to long.

    With as many as there are, of equal weights, each comes once: nothing is left to chance.
    """
    order = np.argsort(lengths, kind="stable")
    until = np.cumsum(weights[order])
    most = min(wanted, _MOST_DRAWN)
    places = np.searchsorted(until, (np.arange(most) + 0.5) / most * until[-1])
    found: np.ndarray = order[np.minimum(places, len(order) - 1)]
    return found


@dataclass(frozen=True, kw_only=True)
class Course:
    """The whole training: what it sees, in how many steps, and when it validates. `pieces`: the batches that are
    computed one at a time; a step has one or several. `held`: those that memory must have room for, which are larger
    where batches may grow. `tokens`: without padding.
    """

    samples: int
    steps: int
    validations: int
    tokens: int
    packed: bool
    pieces: Batches
    held: Batches
    places: Places


@dataclass(frozen=True, kw_only=True)
class Places:
    """Examples of the sample [B] that make one piece of a step each: the `widest`, a `middle` and a `narrow` one.

    `step`: all examples of the step that has the widest piece, the longest last. `several`: a step has more than one
    piece.
    """

    widest: np.ndarray
    middle: np.ndarray
    narrow: np.ndarray
    step: np.ndarray
    several: bool


def training_course(config: PlanStage, tokens: Tokens) -> Course:
    """The course of training, its batches made by training's own `Order` of lengths drawn evenly from the sample."""
    settings = config.train
    examples = tokens.examples
    samples = max(1, round(settings.epochs * examples))
    if settings.max_samples is not None:
        samples = min(samples, settings.max_samples)
    kind = KINDS[aim_of(config.task, settings.objective).kind]
    packed = choose_packing(settings.batching.packing, packable=kind.packable)
    drawn = _spread(tokens.lengths, tokens.weights, examples)
    lengths = tokens.lengths[drawn]
    size = _size(config, tokens, padded=not packed)
    alone = examples > len(lengths) or samples > _MOST_ORDERED
    order = Order(lengths, size=size, samples=min(samples, len(lengths)) if alone else samples, seed=settings.seed)
    steps, per_epoch = order.steps, order.steps_per_epoch
    if alone:
        steps = max(1, round(order.steps * samples / order.samples))
        per_epoch = max(1, round(order.steps_per_epoch * examples / len(lengths)))
        if size.tokens is None:
            passes, rest = divmod(samples, examples)
            steps = passes * math.ceil(examples / size.samples) + math.ceil(rest / size.samples)
    most = config.train.micro_batch
    held, places = _pieces(lengths, order, tokens.group, most, packed=packed, processes=settings.processes)
    halves = config.train.batching.grow and most is None
    pieces = _pieces(lengths, order, tokens.group, None, packed=packed, halves=True)[0] if halves else held
    return Course(
        samples=samples,
        steps=steps,
        validations=_validations(steps, per_epoch, settings.validations_per_epoch),
        tokens=round(samples * tokens.per_example),
        packed=packed,
        pieces=pieces if steps == order.steps else pieces.times(samples / order.samples),
        held=held,
        places=Places(
            widest=drawn[places.widest],
            middle=drawn[places.middle],
            narrow=drawn[places.narrow],
            step=drawn[places.step],
            several=places.several,
        ),
    )


def _size(config: PlanStage, tokens: Tokens, *, padded: bool = True) -> BatchSize:
    """The size of a step; an example of several rows has that many times its tokens."""
    asked = config.train.batching.tokens
    return BatchSize(
        samples=config.train.batch_size, tokens=None if asked is None else asked // tokens.group, padded=padded
    )


def _pieces(
    lengths: np.ndarray,
    order: Order,
    group: int,
    most: int | None,
    *,
    packed: bool,
    halves: bool = False,
    processes: int = 1,
) -> tuple[Batches, Places]:
    """What is computed one at a time, of every step of `order`: whole batches, or pieces of `most` examples.

    `halves`: a batch that may grow is taken in two from the start, since the gradient's noise is measured on one.
    `processes`: so many divide each batch.
    """
    sizes, longest, where = [], [], []
    for step, process in itertools.product(range(order.steps), range(processes)):
        batch = order.batch(step)[process::processes]
        length = most or max(1, math.ceil(len(batch) / 2) if halves else len(batch))
        for at in range(0, len(batch), length):
            piece = lengths[batch[at : at + length]]
            sizes.append(1 if packed else group * len(piece))
            longest.append(int(piece.sum()) if packed else int(piece.max()))
            where.append((step, process, at, length))
    tokens = np.array(sizes) * np.array(longest)
    ranked = np.argsort(tokens, kind="stable")
    # Of those that are as wide as the widest the longest, whose attention is largest.
    wide = ranked[tokens[ranked] >= _AS_WIDE * tokens.max()]
    chosen = [
        int(max(wide, key=lambda place: longest[place])),
        int(ranked[len(ranked) // 2]),
        int(ranked[len(ranked) // 10]),
    ]

    def examples(place: int) -> np.ndarray:
        step, process, at, length = where[place]
        return order.batch(step)[process::processes][at : at + length]

    widest, middle, narrow = map(examples, chosen)
    together = order.batch(where[chosen[0]][0])
    return Batches.of(sizes, longest), Places(
        step=together[np.argsort(lengths[together], kind="stable")],
        widest=widest,
        middle=middle,
        narrow=narrow,
        several=len(where) > order.steps * processes,
    )


def _validations(steps: int, per_epoch: int, wanted: int) -> int:
    """How often training validates: at equal distances, after the last step, and not shortly before that."""
    every = max(1, round(per_epoch / wanted))
    return 1 + sum(2 * (steps - step) >= every for step in range(every, steps, every))


def scoring_batches(tokens: Tokens, rows: int, batch_size: int) -> Batches:
    """Batches of one pass of an engine over `rows` held-out rows, sorted by length; of an example one row is read."""
    examples = tokens.held_out_examples(rows)
    return _by_length(tokens, tokens.held_out, examples, BatchSize(samples=batch_size), group=1)


def validation_batches(config: PlanStage, tokens: Tokens, rows: int) -> Batches:
    """Batches of one validation on `rows` rows: twice as large as those of training, never packed."""
    size = _size(config, tokens).times(2)
    return _by_length(tokens, tokens.held_out, tokens.held_out_examples(rows), size, group=tokens.group)


def widest_validation(config: PlanStage, tokens: Tokens, rows: int) -> np.ndarray:
    """The examples of the sample that make the widest batch of a validation on `rows` rows."""
    drawn = _spread(tokens.lengths, tokens.held_out, tokens.held_out_examples(rows))
    first = next(by_length(tokens.lengths[drawn], _size(config, tokens).times(2)))
    found: np.ndarray = drawn[first]
    return found


def first_batches(tokens: Tokens, cost: Cost, rows: int) -> tuple[Batches, Batches]:
    """Batches of what reads every training example, and those of `rows` held-out rows, before the first step."""
    size = BatchSize(samples=cost.at_once)
    held_out = tokens.held_out_examples(rows)
    return (
        _by_length(tokens, tokens.weights, tokens.examples, size, group=tokens.group),
        _by_length(tokens, tokens.held_out, held_out, size, group=tokens.group),
    )


def _by_length(tokens: Tokens, weights: np.ndarray, examples: int, size: BatchSize, *, group: int) -> Batches:
    lengths = tokens.lengths[_spread(tokens.lengths, weights, examples)]
    chosen = [lengths[batch] for batch in by_length(lengths, size)]
    drawn = Batches.of([group * len(batch) for batch in chosen], [int(batch.max()) for batch in chosen])
    return drawn.times(examples / len(lengths))
