"""Evidence for decisions about a classifier: when to ask a person, and which texts it is worse at.

Shapes: N test rows, K labels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from danlu.core.context import Context
from danlu.core.errors import UserError
from danlu.engines.table import load
from danlu.evaluate.config import CostsConfig, EvaluateConfig
from danlu.evaluate.query import COLUMNS, parse
from danlu.evaluate.rows import Part, read_part
from danlu.learning.corpus import read_rows
from danlu.metrics.abstention import abstention
from danlu.metrics.costs import best_threshold, matrix, what_it_costs
from danlu.metrics.slices import scored, worst

_ROWS_AT_ONCE = 64

#: More validation rows than this would move a threshold little.
_MOST_VALIDATION_ROWS = 5_000

#: What the search divides rows by: what is known of a new text before it is answered, and is no text itself.
_SEARCHED = ("length", "digits", "source", "licence", "consent")

#: What is counted of a text rather than read from the corpus.
_COUNTED: dict[str, Callable[[str], int]] = {"length": len, "digits": lambda text: sum(map(str.isdigit, text))}


def decisions(
    ctx: Context,
    config: EvaluateConfig,
    test: Part,
    labels: Sequence[str],
    probabilities: np.ndarray,
    truth: np.ndarray,
) -> dict[str, Any]:
    """`{"abstention", "costs", "slices"}` of the answers [N, K] to all test rows; see `danlu.metrics` for each."""
    wrong = probabilities.argmax(axis=1) != truth
    known = _columns(ctx, test)
    return {
        "abstention": abstention(probabilities, truth),
        "costs": None if config.costs is None else _costs(ctx, config, config.costs, labels, probabilities, truth),
        "slices": {"fewest_rows": config.slice_rows, "asked": _asked(ctx, config, known, wrong)}
        | _found(config, known, wrong),
    }


def _costs(
    ctx: Context,
    config: EvaluateConfig,
    asked: CostsConfig,
    labels: Sequence[str],
    probabilities: np.ndarray,
    truth: np.ndarray,
) -> dict[str, Any]:
    """When to ask a person; the served form answers validation rows, on which the line is drawn."""
    try:
        costs = matrix(labels, asked.mistake, asked.mistakes)
    except ValueError as error:
        raise UserError(f"evaluate.costs.mistakes: {error}.") from None
    validation = read_part(ctx.inputs["data"], "validation").first(_MOST_VALIDATION_ROWS)
    known = validation.where(np.array([label in labels for label in validation.labels], dtype=bool))
    export = ctx.inputs["compress"]
    engine = load(export / "forms" / str(export.json("export.json")["ship"]), ctx.threads)
    answers = np.zeros((len(known), len(labels)))
    columns = [labels.index(label) for label in engine.form.labels or ()]
    questions = known.asked
    with ctx.progress("answering validation rows", total=len(known), unit="texts") as bar:
        for begin in range(0, len(known), _ROWS_AT_ONCE):
            some = questions[begin : begin + _ROWS_AT_ONCE]
            answers[begin : begin + len(some), columns] = engine.predict(some)
            bar.advance(len(some))
    engine.close()
    places = np.array([labels.index(label) for label in known.labels], dtype=np.int64)
    losses = costs[places, answers.argmax(axis=1)]
    threshold = best_threshold(answers.max(axis=1), losses, asked.person)
    return what_it_costs(probabilities, truth, costs, asked.person, threshold, config.resamples, config.seed) | {
        "validation_rows": len(known)
    }


def _asked(ctx: Context, config: EvaluateConfig, known: dict[str, list[Any]], wrong: np.ndarray) -> list[Any]:
    """The slices that the recipe names, in its order."""
    masks = {}
    for text in config.slices:
        query = parse(text)
        lacking = sorted(query.columns - known.keys())
        if lacking:
            ctx.warn(f"The slice {text!r} asks for {lacking[0]!r}, which the rows of this corpus do not have.")
        masks[query.text] = np.zeros(len(wrong), dtype=bool) if lacking else np.array(query.mask(known), dtype=bool)
    return scored(masks, wrong, config.slice_rows)


def _found(config: EvaluateConfig, known: dict[str, list[Any]], wrong: np.ndarray) -> dict[str, Any]:
    if not config.worst_slices:
        return {"searched": 0, "found": []}
    columns = {name: known[name] for name in _SEARCHED if name in known}
    return worst(columns, wrong, config.slice_rows, config.worst_slices)


def _columns(ctx: Context, test: Part) -> dict[str, list[Any]]:
    """What the test rows can be asked for; a column in which no row has a value is left out."""
    read = [name for name in COLUMNS if name not in ("text", "label", *_COUNTED)]
    rows = read_rows(ctx.inputs["data"].folder, "test", read)
    known = {name: values[: len(test)] for name, values in rows.items() if any(v is not None for v in values)}
    counted = {name: [count(text) for text in test.texts] for name, count in _COUNTED.items()}
    return {"text": test.texts, "label": test.labels, **counted, **known}
