"""Two small real models, made in a test and served through the engines' table; and releases that hold them.

`WordEngine` classifies by summed word weights, or writes what follows a word in its text. `python -m
tests.unit.serve.toy WORKSPACE NAME CONFIG` serves a release in a process of its own.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer, models, pre_tokenizers

from danlu.core.artifact import RECORD, Artifact, write_json
from danlu.core.asked import TEXT_ALONE, Asked, Question, Takes, as_asked
from danlu.core.errors import UserError
from danlu.core.store import Workspace
from danlu.engines.base import Ending, Form, TextScore
from danlu.engines.table import ENGINES
from danlu.engines.texts import check_asked
from danlu.release.registry import Registry, Version
from tests.support import as_artifact

LABELS = ("bad", "good")


class WordEngine:
    """Reads `words.json`: the weight of each word for "good" (classify), or a text to imitate (generate)."""

    def __init__(self, folder: Path, form: Form, threads: int = 0) -> None:
        self.form = form
        self.threads = threads
        self.calls: list[int] = []
        self.closed = False
        self.stopped = 0
        self._words = json.loads((folder / "words.json").read_text(encoding="utf-8"))
        self._seconds = float(self._words.get("seconds", 0.0))

    def predict(self, asked: Sequence[Question]) -> np.ndarray:
        """By the words of all texts of a question, and by the numbers beside them."""
        if self.closed:
            raise RuntimeError("a closed engine was asked")
        check_asked(asked, self.form.takes)
        self.calls.append(len(asked))
        time.sleep(self._seconds)
        logits = np.array([self._logit(as_asked(question)) for question in asked])
        good = 1.0 / (1.0 + np.exp(-logits))
        return np.stack([1.0 - good, good], axis=1).astype(np.float32)

    def _logit(self, asked: Asked) -> float:
        weights = self._words["weights"]
        cells = [cell for cell in (asked.columns or {}).values() if isinstance(cell, float)]
        return sum(cells) + sum(weights.get(word, 0.0) for text in asked.texts for word in text.lower().split())

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """The weights of a text's words for each dimension, brought to length 1."""
        self.calls.append(len(texts))
        time.sleep(self._seconds)
        nothing = [1.0] + [0.0] * (int(self.form.dimensions or 1) - 1)
        rows = np.array(
            [np.sum([self._words["vectors"].get(word, nothing) for word in text.split()], axis=0) for text in texts]
        )
        with np.errstate(invalid="ignore"):
            return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    def score(self, texts: Sequence[str]) -> list[TextScore]:
        raise UserError("This engine does not score.")

    def next_token(self, texts: Sequence[str]) -> np.ndarray:
        raise UserError("This engine does not score.")

    def generate(
        self,
        prompt: str,
        *,
        max_new_tokens: int = 128,
        temperature: float = 1.0,
        top_p: float = 1.0,
        seed: int = 0,
        stop: Sequence[str] = (),
        written: bool = False,
    ) -> Generator[str, None, Ending]:
        if self.form.task != "generate":
            raise UserError("This model is for classify.")
        return self._write(prompt, max_new_tokens, temperature, seed, stop)

    def _write(
        self, prompt: str, count: int, temperature: float, seed: int, stop: Sequence[str]
    ) -> Generator[str, None, Ending]:
        text = self._words["text"].split()
        random = np.random.default_rng(seed)
        word = (prompt.split() or text)[-1]
        try:
            for made in range(count):
                time.sleep(self._seconds)
                after = [follower for here, follower in itertools.pairwise(text) if here == word]
                if word == "fault":
                    raise RuntimeError("secret detail of a fault")
                if not after:
                    return Ending(reason="stop", tokens=made)
                word = after[0] if temperature == 0 else str(random.choice(after))
                if word in stop:
                    return Ending(reason="stop", tokens=made)
                yield f" {word}"
            return Ending(reason="length", tokens=count)
        finally:
            self.stopped += 1

    def close(self) -> None:
        self.closed = True


def install() -> None:
    """Add the engine to the table, as an extension would."""
    ENGINES["words"] = "tests.unit.serve.toy:WordEngine"


def write_form(
    folder: Path,
    words: dict[str, Any],
    *,
    task: str = "classify",
    batch_invariant: bool = True,
    takes: Takes = TEXT_ALONE,
) -> None:
    """A form for `WordEngine`."""
    folder.mkdir(parents=True)
    write_json(folder / "words.json", words)
    form = {
        "form": "words",
        "engine": "words",
        "task": task,
        "labels": list(LABELS) if task == "classify" else None,
        "max_length": 64,
        "batch_invariant": batch_invariant,
        "precision": "float32",
        "bytes": (folder / "words.json").stat().st_size,
        "pooling": "mean" if task == "embed" else None,
        "dimensions": len(next(iter(words["vectors"].values()))) if task == "embed" else None,
    }
    write_json(folder / "form.json", form | {"takes": takes.as_json()})
    vocabulary = sorted({"[UNK]", *str(words.get("text", "")).split()})
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(vocabulary)}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))


def release(workspace: Workspace, name: str, words: dict[str, Any], number: int = 1, **form: Any) -> Artifact:
    """A whole release artifact in the workspace; `number` only makes releases differ."""
    folder = workspace.root / "artifacts" / "release" / f"{name}-{number}"
    write_form(folder / "form", words, **form)
    write_json(folder / "release.json", {"name": name, "verdict": "ship", "gates": [], "number": number})
    return seal(folder)


def seal(folder: Path) -> Artifact:
    """Write the record of a release over the files as they are now."""
    artifact = as_artifact(folder, "release")
    (folder / RECORD).write_text(artifact.record.model_dump_json(), encoding="utf-8")
    return artifact


def go_live(workspace: Workspace, name: str, artifact: Artifact) -> Version:
    """Register a release and promote it."""
    registry = Registry(workspace, name)
    return registry.promote(registry.register(artifact).number)


def publish(workspace: Workspace, name: str, words: dict[str, Any], number: int = 1, **form: Any) -> Version:
    """`release`, registered and promoted."""
    return go_live(workspace, name, release(workspace, name, words, number, **form))


if __name__ == "__main__":
    from danlu.serve.config import ServeConfig
    from danlu.serve.server import serve

    install()
    serve(
        sys.argv[2],
        Workspace(Path(sys.argv[1])),
        ServeConfig.model_validate_json(sys.argv[3]),
        say=lambda text: print(text, flush=True),
    )
