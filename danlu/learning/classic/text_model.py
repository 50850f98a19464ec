"""A classifier of texts without a neural network: n-grams, and what is learned over them.

Shapes: N texts, K labels.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from danlu.core.errors import DataError, ModelError
from danlu.learning.classic.config import ClassicConfig
from danlu.learning.classic.features import Ngrams
from danlu.learning.classic.files import FILES, MODEL
from danlu.learning.classic.models import KINDS, Learned, Rows


class TextModel:
    """Answers texts with probabilities over `labels`."""

    def __init__(self, kind: str, labels: Sequence[str], ngrams: Ngrams, learned: Learned) -> None:
        self.kind = kind
        self.labels = tuple(labels)
        self._ngrams = ngrams
        self._learned = learned

    @classmethod
    def fit(
        cls,
        train: tuple[Sequence[str], Sequence[str]],
        validation: tuple[Sequence[str], Sequence[str]],
        *,
        labels: Sequence[str],
        ngrams: Sequence[Mapping[str, Any]],
        config: ClassicConfig,
        balanced: bool,
        seed: int,
        threads: int,
    ) -> Self:
        """Learn from texts and their labels, every one of them among `labels`.

        `ngrams` are sets of options of scikit-learn's `TfidfVectorizer`. `balanced` weighs each class by the inverse of
        its share of the training rows. The same rows, settings and seed give the same model. Raises `DataError` where
        the training rows have one label alone, or no n-gram.
        """
        if len(set(train[1])) < 2:
            raise DataError(
                f"All {len(train[1])} training rows have the label {train[1][0]!r}: there is nothing to learn. Give "
                "rows of at least two labels."
            )
        limit = {} if config.features is None else {"max_features": config.features}
        try:
            found = Ngrams.fit(train[0], [{**options, **limit} for options in ngrams])
        except ValueError as error:
            raise DataError(f"The training texts have no n-gram to learn from ({error}). Look at the texts.") from error
        places = {label: place for place, label in enumerate(labels)}

        def rows(part: tuple[Sequence[str], Sequence[str]]) -> Rows:
            known = np.array([places[label] for label in part[1]], dtype=np.int64)
            return Rows(features=found.of(part[0]), labels=known, weights=class_weights[known] if balanced else None)

        counts = np.bincount([places[label] for label in train[1]], minlength=len(labels))
        class_weights = len(train[1]) / (len(labels) * np.maximum(counts, 1))
        learned = KINDS[config.kind].fit(rows(train), rows(validation), len(labels), config, seed, threads)
        return cls(config.kind, labels, found, learned)

    @property
    def name(self) -> str:
        """What it is, for people."""
        return KINDS[self.kind].name

    @property
    def features(self) -> int:
        """How many n-grams it knows."""
        return self._ngrams.count

    @property
    def parameters(self) -> int:
        """How many numbers it has learned over them."""
        return self._learned.parameters

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """Float32 [N, K], columns as in `labels`; each text is answered by itself."""
        if not texts:
            return np.zeros((0, len(self.labels)), dtype=np.float32)
        return self._learned.probabilities(self._ngrams.of(texts)).astype(np.float32)

    def save(self, folder: Path) -> None:
        """Write it into `folder`, as JSON, numbers and text; the same model gives the same bytes."""
        self._ngrams.save(folder)
        self._learned.save(folder)
        written = {name: _hash(folder / name) for name in FILES[1:] if (folder / name).is_file()}
        about = {"kind": self.kind, "labels": list(self.labels), "sha256": written}
        (folder / MODEL).write_text(json.dumps(about, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, threads: int = 0) -> Self:
        """What `save` wrote; raises `ModelError` where that cannot be read."""
        try:
            about = json.loads((folder / MODEL).read_text(encoding="utf-8"))
            # LightGBM ends the process over a file that was cut off, so nothing is given to it unseen.
            damaged = [name for name, known in about["sha256"].items() if _hash(folder / name) != known]
            if damaged:
                raise ValueError(f"{damaged[0]} is not what was written")
            learned = KINDS[about["kind"]].model.load(folder, threads)
            return cls(about["kind"], about["labels"], Ngrams.load(folder), learned)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(
                f"There is no readable model in {folder} ({error!r}). Make it again with `danlu run`."
            ) from error


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
