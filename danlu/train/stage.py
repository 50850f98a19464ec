"""The train stage: a Corpus in, a Checkpoint out that transformers loads as it is."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer

from danlu.core.artifact import Artifact
from danlu.core.asked import TEXT_ALONE, Takes
from danlu.core.columns import Codes
from danlu.core.context import Context
from danlu.core.errors import DataError, ModelError
from danlu.core.heads import Head, heads_of, outputs_of
from danlu.core.lazy import load_attribute
from danlu.core.store import write_atomically, write_json_atomically
from danlu.core.tasks import TASKS
from danlu.learning import scratch
from danlu.learning.adapters.base import Adapted
from danlu.learning.adapters.table import adapt, check_method
from danlu.learning.asking import CATEGORIES, NUMBERS, cells_of, knows_two_segments
from danlu.learning.assembly import ready_to_train
from danlu.learning.batching import choose_packing, padding_share
from danlu.learning.chat import Chat, plain_chat, read_chat
from danlu.learning.corpus import Part
from danlu.learning.fast import NarrowVocabulary, fast_attention, keep_freed_memory
from danlu.learning.fusion import with_columns
from danlu.learning.models import (
    check_base,
    head_settings,
    positions_of,
    quiet_transformers,
    read_config,
    start_from_base,
)
from danlu.learning.objectives.base import Facts, Objective
from danlu.learning.objectives.classes import balanced_weights
from danlu.learning.objectives.config import aim_of
from danlu.learning.objectives.multitask import weights_of_heads
from danlu.learning.objectives.table import KINDS, Kind, make_objective
from danlu.learning.processes import first_alone, joined
from danlu.learning.regularizers.weights import Regularizer
from danlu.learning.step import choose_precision, make_accelerator, precision_of
from danlu.learning.text import TOKENIZER_FILE, auto_length, load_tokenizer, pad_id
from danlu.sources.targets import TARGETS
from danlu.train import guard
from danlu.train.config import ScratchConfig, TrainConfig, TrainStage
from danlu.train.lineage import lineage
from danlu.train.loop import Training, make_order, seed_noise, train
from danlu.train.prepared import in_memory, on_disk
from danlu.train.state import TrainingState
from danlu.train.written import write_facts, write_tokenizer, write_weights

#: Noise of the initial weights has a number of its own, apart from every step's.
_BEFORE_THE_FIRST_STEP = 2**62

#: Where the model folders that an objective names are among the stage's resources.
_OBJECTIVE = "train.objective."

#: A tokenizer is learned from about so many characters: of a larger corpus from every second text, every third, and so
#: on. Learning from Chinese news takes 280 bytes of memory a character (measured on 1.8 million), so 1.1 GB at most.
_TOKENIZER_CHARACTERS = 4_000_000


def run(ctx: Context, config: TrainStage) -> None:
    """Train, and write the best weights in the layout of transformers, with the last ones beside them.

    What `model.classic` asks for has no steps and is fitted by `danlu.train.classic`; where the models of folds are
    released together, `danlu.train.ensemble` takes those.
    """
    if "folds" in ctx.inputs:
        load_attribute("danlu.train.ensemble:run")(ctx, config)
        return
    if config.model.classic is not None:
        load_attribute("danlu.train.classic:run")(ctx, config)
        return
    processes = config.train.processes
    if processes == 1:
        work(ctx, config)
        return
    ctx.launch(f"{__name__}:work", processes, config)


def work(ctx: Context, config: TrainStage) -> None:
    """One process of a training; the first alone writes."""
    torch.set_num_threads(ctx.threads)
    with joined(ctx.rank):
        _work(ctx, config)


def _work(ctx: Context, config: TrainStage) -> None:
    keep_freed_memory()
    quiet_transformers()
    corpus = ctx.inputs["data"]
    aim = aim_of(config.task, config.train.objective)
    kind = KINDS[aim.kind]
    target = TASKS[config.task].target
    heads = heads_of(corpus.json("card.json").get("heads"))
    labels: list[str] = corpus.json("card.json").get("labels") or [] if TASKS[config.task].named else []
    labels = outputs_of(heads) or labels
    parts = {name: _part(corpus.folder, name, kind, labels, config) for name in ("train", "validation")}
    base = ctx.resources.get("model.base")
    if base is not None:
        check_base(base)
    folders = {name.removeprefix(_OBJECTIVE): path for name, path in ctx.resources.items() if _OBJECTIVE in name}
    source = base or folders.get(kind.tokenizer or "")
    tokenizer = _tokenizer(ctx, config, kind, source, parts["train"])
    chat = _chat(source, tokenizer, parts)
    facts = Facts(
        tokenizer=tokenizer,
        labels=labels,
        targets=parts["train"].column(target) if target is not None else (),
        two_segments=base is None or knows_two_segments(read_config(base)),
        codes=_codes(corpus, parts["train"]),
        class_weights=_class_weights(config.train, parts["train"], labels, heads),
        chat=chat,
        heads=heads,
        folders=folders,
        warn=_warner(ctx),
    )
    objective = make_objective(aim, facts)
    _refuse(ctx, config, kind, objective, has_base=base is not None)
    max_length = _max_length(config, base, objective, parts["train"])
    model, adapted = _model(config, kind, base, facts, max_length)
    if chat is not None:
        _end_with(model, chat.closing(tokenizer))
    earlier = lineage(ctx)
    training, vocabulary = _assemble(ctx, config, kind, objective, model, tokenizer, parts, max_length)
    _tell(ctx, training, adapted, max_length)
    state = TrainingState(ctx.state, writes=ctx.rank.first)
    with fast_attention(model):
        progress = train(ctx, training, state)
    if not ctx.rank.first:
        return
    merged = write_weights(ctx, config, training, vocabulary, adapted, state, progress)
    write_tokenizer(ctx, kind, source, tokenizer, max_length)
    if chat is not None:
        chat.save(ctx.out)
    takes = _takes(config, parts["train"], facts.codes)
    write_facts(ctx, config, training, adapted, merged, progress, labels, max_length, earlier, takes)


def _refuse(ctx: Context, config: TrainStage, kind: Kind, objective: Objective, *, has_base: bool) -> None:
    """Raise `UserError` or `ModelError` now for settings that are refused later, when time was spent on the data."""
    settings = config.train
    guard.check(settings, objective)
    check_method(settings.method, has_base=has_base)
    choose_packing(settings.batching.packing, packable=kind.packable)
    choose_precision(settings.precision, ctx.machine)


def _part(folder: Path, name: str, kind: Kind, labels: list[str], config: TrainStage) -> Part:
    """What the objective reads of a part; of the validation part a sample where it is large."""
    part = Part.of(folder, name, kind.columns)
    told = part.column(TASKS[config.task].target or "") if labels else []
    if TASKS[config.task].several:
        named = {name for one in told for name in TARGETS[config.task].names(one)}
    else:
        named = {label for one in told for label in ([one] if isinstance(one, str) else one)}
    unknown = sorted(map(str, named - set(labels)))
    if unknown:
        raise DataError(f"The {name} part has the label {unknown[0]!r}, which the corpus's card does not list.")
    total, limit = len(part), config.train.validation_rows
    if name != "validation" or limit is None or total <= limit:
        return part
    generator = np.random.default_rng([config.train.seed, total])
    return replace(part, chosen=np.sort(generator.permutation(total)[:limit]))


def _tokenizer(ctx: Context, config: TrainStage, kind: Kind, source: Path | None, part: Part) -> Tokenizer:
    """The tokenizer of the model folder `source`, or one learned from the training texts (kept for a resume)."""
    if source is not None:
        return load_tokenizer(source)
    kept = ctx.state / TOKENIZER_FILE
    with first_alone(ctx.rank):
        _learn_tokenizer(ctx, config, kind, part, kept)
    return load_tokenizer(ctx.state)


def _learn_tokenizer(ctx: Context, config: TrainStage, kind: Kind, part: Part, kept: Path) -> None:
    if not kept.exists():
        every = max(1, math.ceil(part.characters(kind.texts) / _TOKENIZER_CHARACTERS))
        ctx.say(f"Learning a tokenizer from {math.ceil(len(part) / every):,} of {len(part):,} texts.")
        size = _scratch(config).vocabulary
        learned = scratch.train_tokenizer(part.texts(kind.texts, every=every), scratch.VOCABULARIES[kind.head], size)
        write_atomically(kept, learned.to_str())


def _chat(source: Path | None, tokenizer: Tokenizer, parts: dict[str, Part]) -> Chat | None:
    """How the conversations among the rows are written; None where there are none."""
    if not any(part.has("turns") for part in parts.values()):
        return None
    return (None if source is None else read_chat(source)) or plain_chat(tokenizer)


def _warner(ctx: Context) -> Callable[[str], None]:
    """Warns of each thing once, and what an earlier attempt found again: its texts may not be looked at anew."""
    kept = ctx.state / "warnings.json"
    said: list[str] = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else []
    for text in said:
        ctx.warn(text)

    def warn(text: str) -> None:
        if text not in said:
            said.append(text)
            if ctx.rank.first:
                write_json_atomically(kept, said)
            ctx.warn(text)

    return warn


def _end_with(model: Any, token: int) -> None:
    """Let generation end at `token` too: an answer may end with another token than a document."""
    ends = model.generation_config.eos_token_id
    known = ends if isinstance(ends, list) else [] if ends is None else [ends]
    if token not in known:
        model.generation_config.eos_token_id = sorted([*known, token])


def _scratch(config: TrainStage) -> ScratchConfig:
    if config.model.scratch is None:
        raise ModelError("The recipe's model section has neither base nor scratch.")
    return config.model.scratch


def _max_length(config: TrainStage, base: Path | None, objective: Objective, part: Part) -> int:
    """`model.max_length` as a number that the model can take."""
    wanted = config.model.max_length
    positions = scratch.POSITIONS if base is None else positions_of(read_config(base))
    if wanted == "auto":
        portions = [part.rows()] if objective.token_rows is None else part.blocks()
        return auto_length(np.concatenate([objective.lengths(rows) for rows in portions]), positions)
    if base is not None and wanted > positions:
        raise ModelError(
            f"model.max_length is {wanted}, but the base model takes at most {positions} tokens. Give at most that, "
            "or auto."
        )
    return wanted


def _model(config: TrainStage, kind: Kind, base: Path | None, facts: Facts, max_length: int) -> tuple[Any, Adapted]:
    """The model, prepared for `train.method`. What is drawn at random (heads, adapters) depends on the seed alone."""
    settings = check_method(config.train.method, has_base=base is not None)
    seed_noise(config.train.seed, _BEFORE_THE_FIRST_STEP)
    head = kind.head if facts.codes is None else "encoder"
    if base is not None:
        model = start_from_base(base, head, facts.labels, **settings)
    else:
        size = _scratch(config)
        shape = scratch.Shape(
            layers=size.layers, width=size.width, heads=size.heads, positions=max(scratch.POSITIONS, max_length)
        )
        model = scratch.MAKERS[head](shape, facts.tokenizer, facts.labels)
    if facts.codes is not None:
        model = with_columns(model, facts.codes, head_settings(kind.head, facts.labels))
    return model, adapt(model, config.train.method)


def _assemble(
    ctx: Context,
    config: TrainStage,
    kind: Kind,
    objective: Objective,
    model: Any,
    tokenizer: Tokenizer,
    parts: dict[str, Part],
    max_length: int,
) -> tuple[Training, NarrowVocabulary]:
    settings = config.train
    accelerator = make_accelerator(choose_precision(settings.precision, ctx.machine))
    assert accelerator.num_processes == ctx.rank.count, "accelerate was set up before the processes met"
    model.to(accelerator.device)
    largest = max(tokenizer.get_vocab().values())
    examples, validation = (
        on_disk(ctx, objective, name, parts[name], max_length, largest=largest)
        if objective.token_rows is not None
        else in_memory(ctx, accelerator, objective, model, name, parts[name], max_length)
        for name in ("train", "validation")
    )
    packed = choose_packing(settings.batching.packing, packable=kind.packable)
    order = make_order(examples, settings, packed=packed)

    def used() -> np.ndarray:
        every = np.ones(len(validation), dtype=bool)
        return np.union1d(examples.used(order.seen(order.steps)), validation.used(every))

    optimizer, vocabulary = ready_to_train(
        model,
        used=used,
        pad_id=pad_id(tokenizer),
        regularize=settings.regularize,
        optimizer=settings.optimizer,
        checkpointing=settings.checkpointing,
        compiled=settings.compile,
    )
    training = Training(
        settings=settings,
        objective=objective,
        accelerator=accelerator,
        model=model,
        optimizer=optimizer,
        examples=vocabulary.renumbered(examples),
        validation=vocabulary.renumbered(validation),
        pad_id=pad_id(tokenizer),
        order=order,
        packed=packed,
        regularizer=Regularizer.of(settings.regularize),
    )
    return training, vocabulary


def _class_weights(settings: TrainConfig, part: Part, labels: list[str], heads: Sequence[Head]) -> torch.Tensor | None:
    if settings.class_weights == "none" or not labels:
        return None
    if heads:
        return weights_of_heads(heads, part.column("targets"))
    numbers = {label: index for index, label in enumerate(labels)}
    return balanced_weights(np.array([numbers[label] for label in part.column("label")]), len(labels))


def _tell(ctx: Context, training: Training, adapted: Adapted, max_length: int) -> None:
    order = training.order
    steps = min(order.steps, order.steps_per_epoch)
    padding = 0.0 if training.packed else padding_share(order, training.examples.lengths, steps)
    part = "" if adapted.trainable >= adapted.total else f", {adapted.trainable / 1e6:.2f}M of them trained"
    ctx.say(
        f"Training {type(training.model).__name__} ({adapted.total / 1e6:.1f}M parameters{part}) on "
        f"{training.accelerator.device} in {precision_of(training.accelerator)}: "
        f"{order.samples:,} samples in {order.steps:,} steps, at most {max_length} tokens each, "
        f"{padding:.1%} padding."
    )


def _codes(corpus: Artifact, part: Part) -> Codes | None:
    """How the cells beside the texts are coded, by the training rows alone; None where there are none."""
    named = corpus.json("card.json").get("columns")
    if not named or not {NUMBERS, CATEGORIES} & set(part.columns):
        return None
    rows = {name: part.column(name) for name in (NUMBERS, CATEGORIES)}
    return Codes.of(cells_of(rows), named["numeric"], named["categorical"])


def _takes(config: TrainStage, part: Part, codes: Codes | None) -> Takes:
    """What the model is asked beside a text, by the rows that it learned from."""
    if TASKS[config.task].target is None:
        return TEXT_ALONE
    if codes is None:
        return Takes(pair=part.has("pair"))
    return Takes(
        pair=part.has("pair"),
        numeric=tuple(column.name for column in codes.numeric),
        categorical=tuple(column.name for column in codes.categorical),
    )
