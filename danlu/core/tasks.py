"""What a model is for. A task touches data, learning, metrics, engines and serve; it is defined here once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

TaskName = Literal["classify", "tag", "regress", "multitask", "generate", "embed", "fill"]


@dataclass(frozen=True, kw_only=True)
class Task:
    """One kind of job, as plain values.

    `columns` are the corpus columns beside the common ones that a row of this task must have.
    `target` is the one among them that holds what a text is to be answered with, None where that is the text itself.
    `named` says whether answers are names from a list, the corpus's labels. `several` says whether a row has several
    answers, each a target of its own (`danlu.core.heads`).
    `quality` is the score that picks the best checkpoint, from the validation part.
    `higher_is_better` says which way `quality` goes.
    `endpoint` is where the released model answers.
    """

    name: TaskName
    columns: tuple[str, ...]
    quality: str
    higher_is_better: bool
    endpoint: str
    baseline: str
    target: str | None = None
    named: bool = False
    several: bool = False


CLASSIFY = Task(
    name="classify",
    columns=("text", "label"),
    quality="macro_f1",
    higher_is_better=True,
    endpoint="/v1/predict",
    baseline="TF-IDF + logistic regression",
    target="label",
    named=True,
)

TAG = Task(
    name="tag",
    columns=("text", "labels"),
    quality="average_precision",
    higher_is_better=True,
    endpoint="/v1/predict",
    baseline="TF-IDF + one logistic regression a label",
    target="labels",
    named=True,
)

REGRESS = Task(
    name="regress",
    columns=("text", "value"),
    quality="mae",
    higher_is_better=False,
    endpoint="/v1/predict",
    baseline="TF-IDF + ridge regression",
    target="value",
)

MULTITASK = Task(
    name="multitask",
    columns=("text", "targets"),
    quality="quality",
    higher_is_better=True,
    endpoint="/v1/predict",
    baseline="TF-IDF + a linear model for each target",
    target="targets",
    named=True,
    several=True,
)

GENERATE = Task(
    name="generate",
    columns=("text",),
    quality="perplexity",
    higher_is_better=False,
    endpoint="/v1/completions",
    baseline="n-gram language model",
)

EMBED = Task(
    name="embed",
    columns=("text", "pair"),
    quality="mrr_at_10",
    higher_is_better=True,
    endpoint="/v1/embeddings",
    baseline="TF-IDF retrieval",
)

FILL = Task(
    name="fill",
    columns=("text",),
    quality="masked_perplexity",
    higher_is_better=False,
    endpoint="/v1/predict",
    baseline="how frequent each token is",
)

TASKS: dict[str, Task] = {task.name: task for task in (CLASSIFY, TAG, REGRESS, MULTITASK, GENERATE, EMBED, FILL)}
