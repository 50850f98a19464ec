"""Evidence for decisions about a classifier: when to ask a person, and which texts it is worse at.

Shapes: N test rows, K labels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from danlu.core.context import Context
from danlu.evaluate.config import EvaluateConfig
from danlu.evaluate.query import COLUMNS, parse
from danlu.evaluate.rows import Part
from danlu.learning.corpus import read_rows
from danlu.metrics.abstention import abstention
from danlu.metrics.slices import scored, worst

#: What the search divides rows by: what is known of a new text before it is answered, and is no text itself.
_SEARCHED = ("length", "digits", "source", "licence", "consent")

#: What is counted of a text rather than read from the corpus.
_COUNTED: dict[str, Callable[[str], int]] = {"length": len, "digits": lambda text: sum(map(str.isdigit, text))}


def decisions(
    ctx: Context, config: EvaluateConfig, test: Part, probabilities: np.ndarray, truth: np.ndarray
) -> dict[str, Any]:
    """`{"abstention", "slices"}` of the answers [N, K] to all test rows; see `danlu.metrics` for both."""
    wrong = probabilities.argmax(axis=1) != truth
    known = _columns(ctx, test)
    return {
        "abstention": abstention(probabilities, truth),
        "slices": {"fewest_rows": config.slice_rows, "asked": _asked(ctx, config, known, wrong)}
        | _found(config, known, wrong),
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
