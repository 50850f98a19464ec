"""A model that answers texts without training of a neural network: features, and what is learned over them.

Shapes: N texts, F features, K columns of an answer: one for each label; one for regress.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from danlu.core.artifact import write_json
from danlu.core.asked import Cell
from danlu.core.columns import Codes
from danlu.core.errors import DataError, ModelError
from danlu.core.tasks import TaskName
from danlu.learning.asking import load_codes
from danlu.learning.classic.base import Aim, Fitting, Learned, Matrix, Rows
from danlu.learning.classic.beside import Cells, width
from danlu.learning.classic.config import Classic, WordsFeatures
from danlu.learning.classic.features import Embed, Features, Ngrams, Vectors
from danlu.learning.classic.files import COLUMNS, FILES, MODEL
from danlu.learning.classic.models import KINDS


class TextModel:
    """Answers texts with probabilities over `labels`, or with a standardised number where there are none.

    `codes` are those of the columns that it is told beside a text, if any.
    """

    def __init__(
        self,
        kind: str,
        aim: Aim,
        labels: Sequence[str],
        features: Features,
        learned: Learned,
        codes: Codes | None = None,
    ) -> None:
        self.kind = kind
        self.aim = aim
        self.labels = tuple(labels)
        self._features = features
        self._learned = learned
        self._codes = codes

    @classmethod
    def fit(
        cls,
        rows: Rows,
        validation: Rows,
        *,
        task: TaskName,
        labels: Sequence[str],
        features: Features,
        config: Classic,
        how: Fitting,
        codes: Codes | None = None,
    ) -> Self:
        """Learn from rows whose `features` were made already, those of their cells by `codes` behind them.

        The same rows, settings and seed give the same model. Raises `DataError` where the training rows have one answer
        alone, and what `how.check` raises.
        """
        _refuse_one_answer(rows.targets, task, labels)
        aim = Aim(task=task, columns=len(labels) if labels else 1)
        how.check()
        learned = KINDS[config.kind].fit(rows, validation, aim, config, how)
        return cls(config.kind, aim, labels, features, learned, codes)

    @property
    def name(self) -> str:
        """What it is, for people."""
        beside = " and columns" if self._codes is not None else ""
        return named(f"{self._features.name}{beside}", self.kind, self.aim.task)

    @property
    def features(self) -> str:
        """How many features of which kind it reads, for people."""
        beside = f", {width(self._codes):,} of columns" if self._codes is not None else ""
        return f"{self._features.count:,} {self._features.unit}{beside}"

    @property
    def parameters(self) -> int:
        """How many numbers it has learned over them."""
        return self._learned.parameters

    def answers(self, texts: Sequence[str], cells: Sequence[Mapping[str, Cell]] = ()) -> np.ndarray:
        """Float32 [N, K], columns as in `labels`; each text is answered by itself.

        `cells` are what stands beside each text, for a model that is told columns. Probabilities, which sum to 1 for
        classify, or the standardised number of regress.
        """
        if not texts:
            return np.zeros((0, self.aim.columns), dtype=np.float32)
        features = self._features.of(texts)
        return self.answers_to(features if self._codes is None else Cells.of(self._codes, cells).behind(features))

    def answers_to(self, features: Matrix) -> np.ndarray:
        """`answers` where all features [N, F] are known, those of the cells among them."""
        return self._learned.answers(features).astype(np.float32)

    def save(self, folder: Path) -> None:
        """Write it into `folder`, as JSON, numbers and text; the same model gives the same bytes."""
        self._features.save(folder)
        self._learned.save(folder)
        if self._codes is not None:
            write_json(folder / COLUMNS, self._codes.as_json())
        written = {name: _hash(folder / name) for name in FILES[1:] if (folder / name).is_file()}
        about = {"kind": self.kind, "task": self.aim.task, "labels": list(self.labels), "sha256": written}
        (folder / MODEL).write_text(json.dumps(about, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, threads: int = 0, *, embed: Embed | None = None, dimensions: int = 0) -> Self:
        """What `save` wrote; `embed` makes vectors of `dimensions` numbers, for a model over embeddings.

        Raises `ModelError` where it cannot be read.
        """
        try:
            about = json.loads((folder / MODEL).read_text(encoding="utf-8"))
            # LightGBM ends the process over a file that was cut off, so nothing is given to it unseen.
            damaged = [name for name, known in about["sha256"].items() if _hash(folder / name) != known]
            if damaged:
                raise ValueError(f"{damaged[0]} is not what was written")
            # Models of classify were all there was before the task was written down.
            aim = Aim(task=about.get("task", "classify"), columns=len(about["labels"]) or 1)
            learned = KINDS[about["kind"]].model.load(folder, aim, threads)
            features = Ngrams.load(folder) if embed is None else Vectors(embed, dimensions)
            codes = load_codes(folder) if COLUMNS in about["sha256"] else None
            return cls(about["kind"], aim, about["labels"], features, learned, codes)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(
                f"There is no readable model in {folder} ({error!r}). Make it again with `danlu run`."
            ) from error


def named(features: str, kind: str, task: TaskName) -> str:
    """What a model is called: "TF-IDF + logistic regression", for tag "TF-IDF + one logistic regression a label"."""
    about = KINDS[kind]
    learned = (about.by_label if task == "tag" else None) or about.name
    return f"{features[0].upper()}{features[1:]} + {learned}"


def fit_ngrams(texts: Sequence[str], options: Sequence[Mapping[str, Any]], config: WordsFeatures, kind: str) -> Ngrams:
    """The n-grams of training texts; `options` are sets of those of scikit-learn's `TfidfVectorizer`.

    Raises `DataError` where the texts have no n-gram.
    """
    most = KINDS[kind].most if config.most == "auto" else config.most
    limit = {} if most is None else {"max_features": most}
    try:
        return Ngrams.fit(texts, [{**each, **limit} for each in options])
    except ValueError as error:
        raise DataError(f"The training texts have no n-gram to learn from ({error}). Look at the texts.") from error


def class_weights(targets: np.ndarray, labels: int) -> np.ndarray:
    """By how much each class [K] counts so that all count the same: the inverse of its share of the rows [N]."""
    counts = np.bincount(targets, minlength=labels)
    found: np.ndarray = len(targets) / (labels * np.maximum(counts, 1))
    return found


def _refuse_one_answer(targets: np.ndarray, task: TaskName, labels: Sequence[str]) -> None:
    if len(targets) and (targets != targets[0]).any():
        return
    answer = "number" if task == "regress" else "labels" if task == "tag" else f"label {labels[targets[0]]!r}"
    raise DataError(
        f"All {len(targets)} training rows have the same {answer}: there is nothing to learn. Give rows with at least "
        "two answers."
    )


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
