"""The baseline of hidden words counts the words alone, as only they are hidden."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from danlu.engines.filling import hidden_score
from danlu.evaluate.config import EvaluateConfig
from danlu.evaluate.fill import FillEvidence
from danlu.evaluate.rows import Part
from danlu.learning import scratch
from danlu.learning.text import load_tokenizer
from tests.support import make_context
from tests.unit.engines import tiny


def part(texts: list[str]) -> Part:
    return Part(ids=[str(number) for number in range(len(texts))], texts=texts, labels=[None] * len(texts))


def test_the_baseline_is_that_of_the_words_without_the_ends_of_texts(tmp_path: Path) -> None:
    texts = tiny.texts(60)
    scratch.save_tokenizer(scratch.train_tokenizer(texts, scratch.ENCODER, 300), scratch.ENCODER, tmp_path, 64)
    tokenizer = load_tokenizer(tmp_path)
    words = [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
    assert len(tokenizer.encode(texts[0]).ids) == len(words[0]) + 2
    counts = Counter(token for row in words for token in row)
    hidden = [np.array(row[:2]) for row in words]
    size = tokenizer.get_vocab_size()
    found = [hidden_score(ids, np.zeros((len(ids), size), dtype=np.float32)) for ids in hidden]
    evidence = FillEvidence(make_context(tmp_path / "out"), EvaluateConfig(resamples=100), part(texts), [])
    evidence._folder = tmp_path
    baseline = evidence.baseline(found, part(texts), np.ones(len(texts), dtype=bool), "all")
    whole = sum(counts.values()) + size
    every = [token for ids in hidden for token in ids.tolist()]
    expected = math.exp(-sum(math.log((counts[token] + 1) / whole) for token in every) / len(every))
    assert baseline["scores"]["masked_perplexity"]["value"] == pytest.approx(expected)
    best = counts.most_common(1)[0][0]
    assert baseline["scores"]["masked_accuracy"]["value"] == pytest.approx(every.count(best) / len(every))
