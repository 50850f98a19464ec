"""A recipe small enough to walk the whole road in seconds; the contract and crash tests run on it.

The texts are made by rule from a handful of words, so that a tiny model can learn them and nothing has to be
fetched. They are no measure of anything.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from danlu.core.stage import Example

_THINGS = ("kettle", "lamp", "chair", "phone", "coat", "book", "pan", "bike", "clock", "bag", "desk", "cup", "shirt")
_GOOD = ("great", "lovely", "solid", "bright", "superb", "handy", "neat", "perfect")
_BAD = ("awful", "broken", "flimsy", "dull", "useless", "noisy", "ugly", "faulty")
_FRAMES = (
    "the {thing} is {word} and arrived {when}",
    "a {word} {thing}, bought {when}",
    "{when} we got this {thing}: {word}",
    "my {thing} turned out {word} {when}",
)
_WHEN = ("on monday", "last week", "in time", "too late", "yesterday", "in may", "at noon", "twice")


def tiny_rows(count: int, seed: int = 1) -> list[dict[str, str]]:
    """`count` distinct texts with the label "good" or "bad", which one word of the text decides."""
    draw = random.Random(seed)
    rows: dict[str, str] = {}
    while len(rows) < count:
        label = draw.choice(("good", "bad"))
        word = draw.choice(_GOOD if label == "good" else _BAD)
        frame = draw.choice(_FRAMES)
        number = draw.randrange(1000)
        rows[f"{frame.format(thing=draw.choice(_THINGS), word=word, when=draw.choice(_WHEN))} no {number}"] = label
    return [{"text": text, "label": label} for text, label in rows.items()]


def _tags(text: str) -> list[str]:
    """Which of three things a text of `tiny_rows` says; some say none."""
    marks = {"early": ("monday", "in time", "noon"), "praise": _GOOD, "seat": ("chair", "desk", "bike")}
    return [name for name, words in marks.items() if any(word in text for word in words)]


def _stars(text: str) -> float:
    """A number that the words of a text decide: 4 for praise, 2 for blame, half a one more where it came in time."""
    return (4.0 if any(word in text for word in _GOOD) else 2.0) + 0.5 * ("early" in _tags(text))


def tiny_tagged(count: int) -> list[dict[str, Any]]:
    """The texts of `tiny_rows`, each with what it says: some say several things, some none."""
    return [{"text": row["text"], "label": _tags(row["text"])} for row in tiny_rows(count)]


def tiny_rated(count: int) -> list[dict[str, Any]]:
    """The texts of `tiny_rows`, each with a number that its words decide."""
    return [{"text": row["text"], "label": _stars(row["text"])} for row in tiny_rows(count)]


def tiny_targets(count: int) -> list[dict[str, Any]]:
    """The texts of `tiny_rows`, each with a mood, what it says and a number; every third row lacks one of them."""
    rows: list[dict[str, Any]] = []
    for place, row in enumerate(tiny_rows(count)):
        text = row["text"]
        targets = {"mood": row["label"], "says": _tags(text), "stars": _stars(text)}
        if place % 3 == 0:
            del targets[("mood", "says", "stars")[place // 3 % 3]]
        rows.append({"text": text, **targets})
    return rows


_COLOURS = ("red", "blue", "green", "grey", "black", "white", "brown", "pink")
_ASKED = ("where is the {thing} that is {colour}, number {number}", "{colour} {thing} {number}: where do I find it")


def tiny_pairs(count: int, seed: int = 1) -> list[dict[str, str]]:
    """`count` questions about a thing, each with the one text that tells where it is."""
    draw = random.Random(seed)
    rows: dict[str, str] = {}
    while len(rows) < count:
        thing, colour, number = draw.choice(_THINGS), draw.choice(_COLOURS), draw.randrange(10_000)
        asked = draw.choice(_ASKED).format(thing=thing, colour=colour, number=number)
        rows[asked] = f"aisle {draw.randrange(90)}: {thing}, {colour}, item {number}"
    return [{"text": text, "pair": pair} for text, pair in rows.items()]


#: The rows of a tiny recipe, by its task.
_ROWS: dict[str, Callable[[int], Sequence[dict[str, Any]]]] = {
    "classify": tiny_rows,
    "tag": tiny_tagged,
    "regress": tiny_rated,
    "multitask": tiny_targets,
    "generate": tiny_rows,
    "embed": tiny_pairs,
    "fill": tiny_rows,
}


#: What a tiny recipe's data section says beside its source, where it is not that the column is called label.
_DATA: dict[str, dict[str, Any]] = {
    "tag": {"label": "label", "unlabelled": "keep"},
    "multitask": {
        "targets": {
            "mood": {"task": "classify"},
            "says": {"task": "tag", "empty": "none"},
            "stars": {"task": "regress"},
        }
    },
    "generate": {"label": None},
}


def tiny_recipe(folder: Path, task: str = "classify", rows: int = 240) -> dict[str, Any]:
    """Write the data below `folder` and return the sections of a recipe for it, as plain values."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in _ROWS[task](rows)), encoding="utf-8")
    return {
        "name": f"tiny-{task}",
        "task": task,
        "data": {"sources": [{"path": "rows.jsonl", "licence": "CC0-1.0"}], **_DATA.get(task, {"label": "label"})},
        "model": {"scratch": {"layers": 1, "width": 64, "heads": 2, "vocabulary": 400}, "max_length": 48},
        # So small a model may find nothing for a while and then everything: it is not stopped early.
        "train": {
            "epochs": 5.0,
            "batch_size": 8,
            "learning_rate": 0.003,
            "precision": "float32",
            "early_stopping": 0,
        },
        "compress": {"forms": ["torch"], "ship": "torch", "parity_rows": 20},
        "evaluate": {"resamples": 200},
        "speed": {"requests": 20, "warmup": 2},
        "release": {"gates": ["leaked_rows == 0", "parity <= 0.01"]},
        "budget": {"threads": 1},
    }


EXAMPLE = Example(prepare=tiny_recipe)


def tuned_recipe(folder: Path) -> dict[str, Any]:
    """`tiny_recipe` with what a recipe may leave out: a search, folds, the fewest there can be, and a champion."""
    space = {"learning_rate": {"low": 1e-3, "high": 1e-2, "log": True}}
    sections = tiny_recipe(folder)
    sections["data"]["split"] = {"folds": 2}
    return sections | {"tune": {"space": space, "trials": 1}, "folds": {}, "champion": {}}


TUNED = Example(prepare=tuned_recipe)


def asked_recipe(folder: Path) -> dict[str, Any]:
    """`tiny_recipe` of a language model with two questions of its own."""
    sections = tiny_recipe(folder, "generate")
    asked = [
        {"question": "the small", "reference": "the small cat", "category": "animals"},
        {"question": "the large", "must_say": "dog", "must_not_say": "refund|guarantee"},
    ]
    lines = "".join(json.dumps(row) + "\n" for row in asked)
    (folder / "questions.jsonl").write_text(lines, encoding="utf-8")
    return sections | {"questions": {"path": "questions.jsonl", "max_new_tokens": 4, "resamples": 100}}


ASKED = Example(prepare=asked_recipe)
