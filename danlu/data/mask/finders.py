"""Models that look for values beside Danlu's own rules.

A finder is anything with `find(text) -> spans`. Presidio and token classification models of transformers are run in
process: texts go nowhere.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

from danlu.core.errors import UserError
from danlu.core.lazy import need
from danlu.data.mask.config import PresidioConfig, TransformersConfig
from danlu.data.mask.spans import Span


class Finder(Protocol):
    """Looks for values in one text. May be called from several threads at once."""

    def find(self, text: str) -> Iterable[Span]:
        """The values in `text`; they may overlap one another."""
        ...


def _span(text: str, start: int, end: int, kind: str) -> Span:
    return Span(start, end, kind, " ".join(text[start:end].lower().split()))


class PresidioFinder:
    """Microsoft Presidio's analyzer with an installed spaCy model."""

    def __init__(self, config: PresidioConfig, _path: Path | None = None) -> None:
        analyzer = need("presidio_analyzer", extra="presidio")
        provider = need("presidio_analyzer.nlp_engine", extra="presidio").NlpEngineProvider
        model = need("spacy", extra="presidio").util
        if not model.is_package(config.model):
            # Presidio would try to download it, and end the process where it cannot.
            raise UserError(f"The spaCy model {config.model!r} is not installed; Presidio needs it to read a text.")
        engine = provider(
            nlp_configuration={
                "nlp_engine_name": "spacy",
                "models": [{"lang_code": config.language, "model_name": config.model}],
            }
        ).create_engine()
        self._analyzer = analyzer.AnalyzerEngine(nlp_engine=engine, supported_languages=[config.language])
        supported = set(self._analyzer.get_supported_entities(config.language))
        if unknown := sorted(set(config.labels) - supported):
            have = ", ".join(sorted(supported))
            raise UserError(f"Presidio knows no entity type {unknown[0]!r} for {config.language}; it has {have}")
        self._config = config
        # spaCy's pipelines share state between calls.
        self._lock = threading.Lock()

    def find(self, text: str) -> Iterator[Span]:
        """What Presidio finds of the configured types, with at least the configured score."""
        config = self._config
        with self._lock:
            found = self._analyzer.analyze(
                text=text, language=config.language, entities=list(config.labels), score_threshold=config.threshold
            )
        for result in found:
            yield _span(text, result.start, result.end, config.labels[result.entity_type])


class TransformersFinder:
    """A token classification model; texts longer than it reads are cut into pieces that overlap."""

    def __init__(self, config: TransformersConfig, path: Path | None = None) -> None:
        """`path` is the folder that the recipe's `model` was resolved to; None where it is a folder itself."""
        transformers = need("transformers")
        folder = str(path or config.model)
        self._torch = need("torch")
        try:
            self._tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
            self._model = transformers.AutoModelForTokenClassification.from_pretrained(
                folder, use_safetensors=True
            ).eval()
        except (OSError, ValueError) as error:
            raise UserError(f"{config.model!r} cannot be loaded as a token classification model: {error}") from error
        if not self._tokenizer.is_fast:
            raise UserError(
                f"The tokenizer of {config.model!r} does not say where its tokens lie; it needs a fast one."
            )
        self._labels = {number: str(label) for number, label in self._model.config.id2label.items()}
        known = {_plain(label) for label in self._labels.values()}
        if unknown := sorted(set(config.labels) - known):
            raise UserError(f"{config.model!r} has no label {unknown[0]!r}; it has {', '.join(sorted(known - {'O'}))}")
        self._config = config
        # The tokenizer's settings for cutting are its own state.
        self._lock = threading.Lock()

    def find(self, text: str) -> Iterator[Span]:
        """Runs of tokens with one label, whose mean probability is at least the configured one."""
        torch = self._torch
        with self._lock, torch.inference_mode():
            pieces = self._tokenizer(
                text, truncation=True, max_length=self._config.max_tokens, stride=self._config.max_tokens // 4,
                return_overflowing_tokens=True, return_offsets_mapping=True, padding=True, return_tensors="pt",
            )  # fmt: skip
            offsets = pieces.pop("offset_mapping").tolist()
            pieces.pop("overflow_to_sample_mapping", None)
            highest = torch.softmax(self._model(**pieces).logits.float(), dim=-1).max(dim=-1)
        for places, scores, numbers in zip(offsets, highest.values.tolist(), highest.indices.tolist(), strict=True):
            yield from self._runs(text, places, scores, [self._labels[number] for number in numbers])

    def _runs(self, text: str, places: list[list[int]], scores: list[float], labels: list[str]) -> Iterator[Span]:
        run: list[int] = []
        for token in range(len(labels) + 1):
            ends = token == len(labels) or places[token][0] == places[token][1]
            label = "O" if ends else labels[token]
            if run and (_plain(label) != _plain(labels[run[0]]) or label.startswith("B-")):
                kind = self._config.labels.get(_plain(labels[run[0]]))
                mean = sum(scores[place] for place in run) / len(run)
                if kind and mean >= self._config.threshold:
                    yield _span(text, places[run[0]][0], places[run[-1]][1], kind)
                run = []
            if label != "O":
                run.append(token)


def _plain(label: str) -> str:
    """A label without the mark for the beginning or inside of an entity (BIO, BIOES)."""
    return label[2:] if label[:2] in {"B-", "I-", "E-", "S-"} else label


#: How each kind of finder is made from its section of the recipe and the file or folder that it names.
FINDERS: dict[str, Callable[[Any, Path | None], Finder]] = {
    "presidio": PresidioFinder,
    "transformers": TransformersFinder,
}
