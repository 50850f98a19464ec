"""The questions stage: the released form answers a team's own questions, and the answers are held against rules.

A stage of its own, because its inputs are others than evaluate's: a question that is added scores no test row anew.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet

from danlu.core.artifact import Artifact, write_json
from danlu.core.context import Context
from danlu.engines.base import Ending
from danlu.engines.prompt import Prompts
from danlu.engines.table import load
from danlu.evaluate.questions.config import QuestionsConfig, QuestionsStage
from danlu.evaluate.questions.sheet import AskedQuestion, read_sheet
from danlu.learning.corpus import read_rows
from danlu.metrics.answers import Rules, answer_scores, folded, row_scores, rules_of

#: Most answers that are shown in the report; all are in `answers.parquet`.
_MOST_SHOWN = 50


def run(ctx: Context, config: QuestionsStage) -> None:
    """Write `questions.json` and the `answers.parquet` it was computed from.

    `questions.json`: `{"form", "questions", "with_reference", "with_rules", "seen_questions", "cut", "scores",
    "categories", "broken"}`. `scores` are those of `danlu.metrics.answers` by name, `categories` the same for each.
    `seen_questions` were learned from: their text, but for case and width, is a training row or turn. `cut` answers
    are as long as they may be. `broken` are the first answers that keep not all rules.
    """
    asked = read_sheet(ctx.resources["questions.path"], config.questions)
    export = ctx.inputs["compress"]
    ship = str(export.json("export.json")["ship"])
    answers, cut = _answers(ctx, config.questions, asked, export / "forms" / ship)
    rules = [rules_of(answer, one.must_say, one.must_not_say) for answer, one in zip(answers, asked, strict=True)]
    seen = _seen(ctx.inputs["data"], asked)
    parquet.write_table(_table(asked, answers, rules, seen), ctx.out / "answers.parquet")
    scores = _scores(config.questions, asked, answers, rules)
    categories = sorted({one.category for one in asked if one.category})
    found: dict[str, Any] = {
        "form": ship,
        "questions": len(asked),
        "with_reference": sum(bool(one.reference) for one in asked),
        "with_rules": sum(one.has_rules for one in asked),
        "seen_questions": int(seen.sum()),
        "cut": cut,
        "scores": scores,
        "categories": {name: _of_category(config.questions, asked, answers, rules, name) for name in categories},
        "broken": _broken(asked, answers, rules),
    }
    write_json(ctx.out / "questions.json", found)
    _tell(ctx, found)


def _answers(
    ctx: Context, config: QuestionsConfig, asked: Sequence[AskedQuestion], folder: Any
) -> tuple[list[str], int]:
    """What the form answers, always its most probable words, and how many answers were cut."""
    prompts, answers, cut = Prompts(folder), [], 0
    with (
        contextlib.closing(load(folder, ctx.threads)) as engine,
        ctx.progress("answering the questions", total=len(asked), unit="questions") as bar,
    ):
        for one in asked:
            prompt = prompts.of([{"role": "user", "content": one.question}]) if prompts.written else one.question
            pieces = engine.generate(
                prompt, max_new_tokens=config.max_new_tokens, temperature=0.0, written=prompts.written
            )
            text, ending = _whole(pieces)
            answers.append(text)
            cut += ending.reason == "length"
            bar.advance(1)
    return answers, cut


def _whole(pieces: Any) -> tuple[str, Ending]:
    """The pieces as one text, and how it ended."""
    parts: list[str] = []
    while True:
        try:
            parts.append(next(pieces))
        except StopIteration as stop:
            return "".join(parts).strip(), stop.value


def _seen(corpus: Artifact, asked: Sequence[AskedQuestion]) -> np.ndarray:
    """Which questions [N] are in the training part, word for word: as a row, or as a turn of one."""
    wanted = {folded(one.question): place for place, one in enumerate(asked)}
    seen = np.zeros(len(asked), dtype=bool)
    rows = read_rows(corpus.folder, "train", ["text", "turns"])
    turns = (turn["text"] for every in rows["turns"] for turn in every or ())
    for text in (*rows["text"], *turns):
        place = wanted.get(folded(text or ""))
        if place is not None:
            seen[place] = True
    return seen


def _scores(
    config: QuestionsConfig, asked: Sequence[AskedQuestion], answers: Sequence[str], rules: Sequence[Rules]
) -> dict[str, Any]:
    kept = [broken.kept if one.has_rules else None for one, broken in zip(asked, rules, strict=True)]
    return dict(answer_scores(answers, [one.reference for one in asked], kept, config.resamples, config.seed))


def _of_category(
    config: QuestionsConfig,
    asked: Sequence[AskedQuestion],
    answers: Sequence[str],
    rules: Sequence[Rules],
    category: str,
) -> dict[str, Any]:
    places = [place for place, one in enumerate(asked) if one.category == category]
    some = ([every[place] for place in places] for every in (asked, answers, rules))
    return {"questions": len(places), "scores": _scores(config, *some)}  # type: ignore[arg-type]


def _broken(asked: Sequence[AskedQuestion], answers: Sequence[str], rules: Sequence[Rules]) -> list[dict[str, Any]]:
    return [
        {
            "question": one.question,
            "origin": one.origin,
            "answer": answer,
            "missing": list(broken.missing),
            "forbidden": list(broken.forbidden),
        }
        for one, answer, broken in zip(asked, answers, rules, strict=True)
        if not broken.kept
    ][:_MOST_SHOWN]


def _table(
    asked: Sequence[AskedQuestion], answers: Sequence[str], rules: Sequence[Rules], seen: np.ndarray
) -> pa.Table:
    """`answers.parquet`: each question with its answer, and what the scores were computed from."""
    phrases = pa.list_(pa.string())
    single = row_scores(answers, [one.reference for one in asked])
    return pa.table(
        {
            "question": pa.array([one.question for one in asked], pa.string()),
            "answer": pa.array(answers, pa.string()),
            "reference": pa.array([one.reference for one in asked], pa.string()),
            "category": pa.array([one.category for one in asked], pa.string()),
            "origin": pa.array([one.origin for one in asked], pa.string()),
            "missing": pa.array([list(broken.missing) for broken in rules], phrases),
            "forbidden": pa.array([list(broken.forbidden) for broken in rules], phrases),
            "seen": pa.array(seen.tolist(), pa.bool_()),
            **{name: pa.array(values, pa.float64(), from_pandas=True) for name, values in single.items()},
        }
    )


def _tell(ctx: Context, found: dict[str, Any]) -> None:
    parts = []
    for name, words in (("rules", "keep all rules"), ("f1", "word F1 with the reference")):
        one = found["scores"][name]
        if one["value"] is not None:
            interval = f" ({one['low']:.3g} to {one['high']:.3g})" if one["low"] is not None else ""
            parts.append(f"{words} {one['value']:.3g}{interval}")
    ctx.say(f"{found['questions']:,} questions: {'; '.join(parts)}")
    if found["seen_questions"]:
        ctx.warn(
            f"{found['seen_questions']:,} of the questions are in the training data word for word: that the model "
            "knows their answers says little. Take them out of one of the two."
        )
    if found["cut"]:
        ctx.warn(
            f"{found['cut']:,} answers were cut at questions.max_new_tokens. Raise it, or look whether the model ever "
            "ends."
        )
