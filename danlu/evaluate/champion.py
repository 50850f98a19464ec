"""The champion stage: the version that is live answers the same test rows as the model that may replace it.

It is a stage of its own, behind evaluate, because its inputs are others. Evidence is about a model and fixed by recipe
and data; who is live changes with every promotion, and must then change the fingerprint of the comparison alone: no
model is scored anew because another one was promoted. (The release stage cannot do it: it runs no models.)

What goes live may be the model itself: the second run of a recipe meets its own release as the champion. Then it is
compared with the version it replaced, as it was the first time, so that the same inputs keep the same verdict.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet

from danlu.core.artifact import Artifact, list_files, write_json
from danlu.core.context import Context
from danlu.core.descent import earlier_trainings
from danlu.core.store import Workspace
from danlu.engines.base import read_form
from danlu.evaluate.ask import answers_of, without_number
from danlu.evaluate.config import ChampionStage
from danlu.evaluate.rows import Part, read_part, test_part
from danlu.metrics import leaks
from danlu.metrics.paired import compare_classifiers
from danlu.metrics.scores import classification

#: With fewer rows that the champion has not learned from, nothing is compared.
_FEWEST_ROWS = 30

_SCORES = ("accuracy", "macro_f1")

_FORM = "form/"


class _NotComparable(Exception):
    """Why there is no fair comparison, in a sentence for people."""


@dataclass(frozen=True, kw_only=True)
class _Rival:
    number: int
    release: Artifact

    @property
    def called(self) -> str:
        return f"version {self.number}"


def run(ctx: Context, config: ChampionStage) -> None:
    """Write `champion.json`: `{"version", "comparison", "scores", "seen_rows", "missing"}`.

    `version` is `{"number", "release"}`, None while nothing is live (but the model itself). `comparison` is that of
    `danlu.metrics.paired.compare_classifiers` (model - champion) with `rows`, over the test rows that the champion has
    not learned from; `seen_rows` are those left out. `missing` says why there is no comparison where there should be.
    """
    found: dict[str, Any] = {"version": None, "comparison": None, "scores": None, "seen_rows": None, "missing": None}
    try:
        rival = _rival(ctx)
        if rival is None:
            ctx.say("no other version is live yet: there is nothing to be compared with")
        else:
            found["version"] = {"number": rival.number, "release": rival.release.fingerprint}
            found |= _compared(ctx, config, rival)
    except _NotComparable as reason:
        found["missing"] = str(reason)
        ctx.warn(f"The champion was not compared with: {reason}")
    write_json(ctx.out / "champion.json", found)


def _rival(ctx: Context) -> _Rival | None:
    """The newest version of the line of champions that is another model than this one."""
    assert ctx.origin is not None, "the runner says where the workspace is"
    workspace = Workspace(ctx.origin.workspace)
    export = ctx.inputs["compress"]
    ours = _files(export, f"forms/{export.json('export.json')['ship']}/")
    for version in _line(ctx.resources["champion"]):
        release = workspace.find("release", version["release"])
        if release is None:
            raise _NotComparable(
                f"the files of version {version['number']} are gone or changed. Restore them from a backup, promote "
                "another version, or run its recipe again"
            )
        if _files(release, _FORM) != ours:
            return _Rival(number=version["number"], release=release)
    return None


def _line(path: Path) -> list[dict[str, Any]]:
    versions: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["versions"]
    return versions


def _files(artifact: Artifact, below: str) -> dict[str, str]:
    """Names below a folder and hashes, as they were recorded."""
    files = artifact.record.files
    return {entry.path.removeprefix(below): entry.sha256 for entry in files if entry.path.startswith(below)}


def _compared(ctx: Context, config: ChampionStage, rival: _Rival) -> dict[str, Any]:
    _check_form(ctx, rival, config)
    test = test_part(ctx.inputs["data"], config.evaluate.max_rows)
    seen = _seen(ctx, rival, test)
    fresh = test.where(~seen)
    if len(fresh) < _FEWEST_ROWS:
        raise _NotComparable(
            f"{rival.called} has learned from {int(seen.sum()):,} of the {len(test):,} test rows, so that it would "
            f"only remember their answers, and the {len(fresh):,} others are too few ({_FEWEST_ROWS} are needed). Set "
            "data.extends to the corpus that it was trained on: then both have the same test rows"
        )
    if seen.any():
        ctx.warn(f"{rival.called} has learned from {int(seen.sum()):,} test rows; they are left out of the comparison.")
    ours, own_labels = _own_answers(ctx, test)
    theirs, their_labels = _answers(ctx, rival, fresh)
    labels = sorted({*own_labels, *their_labels, *test.labels})
    mine, other = _spread(ours[~seen], own_labels, labels), _spread(theirs, their_labels, labels)
    truth = np.array([labels.index(label) for label in fresh.labels], dtype=np.int64)
    resamples, seed = config.evaluate.resamples, config.evaluate.seed
    comparison = compare_classifiers(mine, other, truth, resamples, seed) | {"rows": len(fresh)}
    gain = comparison["difference"]["value"]
    sure = "clearly different" if comparison["significant"] else "may be chance"
    ctx.say(f"{rival.called}, which is live: model less champion {gain:+.4f} in {comparison['metric']}, {sure}")
    scores = {
        who: classification(answers, truth, labels, resamples, seed)["scores"]
        for who, answers in (("model", mine), ("champion", other))
    }
    return {
        "comparison": comparison,
        "seen_rows": int(seen.sum()),
        "scores": {who: {name: every[name] for name in _SCORES} for who, every in scores.items()},
    }


def _check_form(ctx: Context, rival: _Rival, config: ChampionStage) -> None:
    task = rival.release.json("release.json")["task"]
    if task != config.task:
        raise _NotComparable(f"{rival.called} is for the task {task}, this model for {config.task}")
    export = ctx.inputs["compress"]
    ours = read_form(export / "forms" / str(export.json("export.json")["ship"])).takes
    theirs = read_form(rival.release / "form").takes
    if ours != theirs:
        raise _NotComparable(f"{rival.called} is asked {theirs.words()}, this model {ours.words()}")
    there = {entry.path: entry.sha256 for entry in list_files(rival.release / "form")}
    if there != _files(rival.release, _FORM):
        raise _NotComparable(f"the files of {rival.called} are not those that were released; restore them")


def _seen(ctx: Context, rival: _Rival, test: Part) -> np.ndarray:
    """Which test rows [N] the champion has learned from, or was chosen by: those of its training and validation parts.

    Those of the models that it was made from count too. Told by the contents, as evaluate counts leaks; nothing that a
    corpus says about its rows is believed.
    """
    none = np.zeros(len(test), dtype=bool)
    corpus = ctx.inputs["data"]
    theirs = [one for one in _corpora(ctx, rival) if one.content != corpus.content]
    if not theirs:
        return none
    parts = [read_part(one, part) for one in theirs for part in ("train", "validation")]
    known = [text for part in parts for text in (*part.texts, *part.pairs)]
    # Of a pair one text that it knows is enough.
    told = [*test.texts, *test.pairs]
    threshold = (corpus.json("card.json").get("duplicates") or {}).get("threshold")
    if threshold is None:
        texts = set(known)
        none[[place % len(test) for place, text in enumerate(told) if text in texts]] = True
        return none
    with ctx.progress("looking for what the champion knows", total=len(known), unit="texts") as bar:
        pairs = leaks.leaked_rows(known, told, threshold, advance=bar.advance)
    none[[place % len(test) for _, place in pairs]] = True
    return none


def _corpora(ctx: Context, rival: _Rival) -> list[Artifact]:
    """The corpus that the champion was trained on, and those of the trainings that it stands on, each once.

    Raises `_NotComparable` where one is gone, or the checkpoint that tells of them.
    """
    assert ctx.origin is not None
    workspace = Workspace(ctx.origin.workspace)
    inputs = rival.release.record.inputs
    prints = [inputs["data"][0]]
    if "train" in inputs:
        checkpoint = workspace.find("train", inputs["train"][0])
        if checkpoint is None:
            raise _NotComparable(
                f"the checkpoint of {rival.called} is gone, so nobody can tell what it was made from. Run it again"
            )
        told = earlier_trainings(checkpoint.json("danlu.json"))
        prints += [one["inputs"]["data"][0] for one in told if "data" in one["inputs"]]
    found = [workspace.find("data", print_) for print_ in dict.fromkeys(prints)]
    if None in found:
        raise _NotComparable(
            f"the corpus that {rival.called} was trained on is gone, or one of a model it was made from, so nobody "
            "can tell whether it knows these test rows. Run its recipe again"
        )
    return [one for one in found if one is not None]


def _own_answers(ctx: Context, test: Part) -> tuple[np.ndarray, list[str]]:
    """What the model answered, as evaluate wrote it down; it need not be asked again."""
    table = parquet.read_table(ctx.inputs["evaluate"] / "predictions.parquet")
    assert table["id"].to_pylist() == test.ids, "evaluate answers the rows of the same part"
    labels = table.schema.metadata[b"labels"].decode("utf-8").split("\n")
    return np.array(table["probabilities"].to_pylist(), dtype=np.float64), labels


def _answers(ctx: Context, rival: _Rival, rows: Part) -> tuple[np.ndarray, list[str]]:
    """What the released form of the champion answers, through the engine that serves it."""
    answers, form = answers_of(ctx, rival.release / "form", rows.asked, f"asking {rival.called}")
    wrong = without_number(answers)
    if wrong:
        raise _NotComparable(
            f"{rival.called} answers {wrong} of {len(rows)} test texts with something that is no number"
        )
    return answers, list(form.labels or ())


def _spread(answers: np.ndarray, labels: list[str], over: list[str]) -> np.ndarray:
    """`answers` [N, K] to `labels` as columns of the labels `over`; 0 for those that a model does not know."""
    wide = np.zeros((len(answers), len(over)))
    wide[:, [over.index(label) for label in labels]] = answers
    return wide
