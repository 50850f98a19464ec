"""Scores of written answers against what was expected, each with a 95 % bootstrap interval over the questions.

Shapes: N questions, R resamples.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rapidfuzz import fuzz
from rapidfuzz.distance import LCSseq
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from danlu.metrics.beside import UNIT
from danlu.metrics.bootstrap import Floats, Score, resampled_sums, score
from danlu.metrics.proportions import with_ends

_HAN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")

#: A blank beside a Han character: some write "12 个月" and some "12个月".
_BLANK = re.compile(rf"(?<={_HAN.pattern}) | (?={_HAN.pattern})")

#: Words and Han characters, and the signs without which another thing is said: -5, 50%, C++.
_UNIT = re.compile(rf"(?<![a-z0-9%)])[-+](?=[0-9])|(?<=[0-9])[%‰]|(?<=[a-z])(?:\+\+|#)|{UNIT.pattern}")

#: What Unicode's own folding leaves apart: the minus of mathematics.
_MINUS = str.maketrans("\u2212", "-")

#: A number goes on behind a point, and behind a comma with three digits.
_GOES_ON = r"(?!\.[0-9]|,[0-9]{3}(?![0-9]))"

#: What the scores say, all of higher is better and from 0 to 1.
ANSWER_SCORES = ("exact", "f1", "rouge_l", "fuzzy", "chrf", "bleu", "rules")


@dataclass(frozen=True, kw_only=True)
class Rules:
    """Phrases that an answer lacks, and phrases that it must not have and has."""

    missing: tuple[str, ...]
    forbidden: tuple[str, ...]

    @property
    def kept(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.missing or self.forbidden)


def folded(text: str) -> str:
    """`text` in one form of width and case (NFKC, case folded), white space as single blanks, none beside Han."""
    plain = unicodedata.normalize("NFKC", text).translate(_MINUS).casefold()
    return _BLANK.sub("", " ".join(plain.split()))


def units(text: str) -> list[str]:
    """Words and Han characters of `text`, without punctuation; the signs of -5, 50% and C++ are units too."""
    return _UNIT.findall(folded(text))


def rules_of(answer: str, must_say: Sequence[str], must_not_say: Sequence[str]) -> Rules:
    """Which phrases are missing or forbidden; case, width and runs of white space do not count.

    A phrase of letters or digits must stand by itself: "no" is not in "know", "15" neither in "150" nor in "15.5" and
    "15,000". Between Han characters there are no such borders, and no white space counts.
    """
    text = folded(answer)
    return Rules(
        missing=tuple(phrase for phrase in must_say if not _holds(text, phrase)),
        forbidden=tuple(phrase for phrase in must_not_say if _holds(text, phrase)),
    )


def _holds(text: str, phrase: str) -> bool:
    wanted = folded(phrase)
    before = r"(?<![a-z0-9])" if re.match(r"[a-z0-9]", wanted) else ""
    after = r"(?![a-z0-9])" if re.search(r"[a-z0-9]$", wanted) else ""
    if re.match(r"[0-9]", wanted):
        before += r"(?<![0-9]\.)"
        before += r"(?<![0-9],)" if re.match(r"[0-9]{3}(?![0-9])", wanted) else ""
    if re.search(r"[0-9]$", wanted):
        after += _GOES_ON
    return re.search(before + re.escape(wanted) + after, text) is not None


def exact(answer: str, reference: str) -> float:
    """1 where both have the same words in the same order; a text without words (a smiley) is compared as it is."""
    ours, theirs = units(answer), units(reference)
    return _as_they_are(answer, reference) if not (ours and theirs) else float(ours == theirs)


def unit_f1(answer: str, reference: str) -> float:
    """F1 of the words in common, each as often as in both (as SQuAD's, Rajpurkar et al. 2016, arXiv:1606.05250)."""
    ours, theirs = Counter(units(answer)), Counter(units(reference))
    if not (ours and theirs):
        return _as_they_are(answer, reference)
    return _f1(sum((ours & theirs).values()), sum(ours.values()), sum(theirs.values()))


def rouge_l(answer: str, reference: str) -> float:
    """F1 of the longest common subsequence of words (ROUGE-L, Lin 2004, aclanthology.org/W04-1013)."""
    ours, theirs = units(answer), units(reference)
    if not (ours and theirs):
        return _as_they_are(answer, reference)
    return _f1(LCSseq.similarity(ours, theirs), len(ours), len(theirs))


def fuzzy(answer: str, reference: str) -> float:
    """1 less the share of characters that must be put in or taken out, over both texts (rapidfuzz's ratio)."""
    return float(fuzz.ratio(folded(answer), folded(reference)) / 100.0)


def _f1(common: int, ours: int, theirs: int) -> float:
    return 2.0 * common / (ours + theirs)


def _as_they_are(answer: str, reference: str) -> float:
    return float(folded(answer) == folded(reference))


_BY_ROW: dict[str, Callable[[str, str], float]] = {
    "exact": exact,
    "f1": unit_f1,
    "rouge_l": rouge_l,
    "fuzzy": fuzzy,
}


def row_scores(answers: Sequence[str], references: Sequence[str]) -> dict[str, Floats]:
    """The scores [N] of single answers; NaN where a question has no reference."""
    return {
        name: np.array([of(*pair) if pair[1] else np.nan for pair in zip(answers, references, strict=True)])
        for name, of in _BY_ROW.items()
    }


def answer_scores(
    answers: Sequence[str],
    references: Sequence[str],
    kept: Sequence[bool | None],
    resamples: int = 1_000,
    seed: int = 1,
) -> dict[str, Score]:
    """`ANSWER_SCORES` of N answers. A reference that is empty, and a `kept` that is None, do not count.

    chrf and bleu are those of sacrebleu over all answers together (Popović 2015, aclanthology.org/W15-3049; Post 2018,
    arXiv:1804.08771), divided by 100; BLEU cuts Chinese into characters (its tokenizer zh) where at least half of the
    references' units are Han. `rules` is the share of answers that keep all rules.
    """
    found: dict[str, Score] = {}
    places = [place for place, reference in enumerate(references) if reference]
    ours, theirs = [answers[place] for place in places], [references[place] for place in places]
    for name, of in _BY_ROW.items():
        values = np.array([of(*pair) for pair in zip(ours, theirs, strict=True)])
        found[name] = _mean(values, resamples, seed)
    found["exact"] = with_ends(found["exact"], len(ours))
    metrics = {"chrf": CHRF(), "bleu": BLEU(tokenize="zh" if _is_chinese(theirs) else "13a", effective_order=True)}
    for name, metric in metrics.items():
        found[name] = _of_corpus(metric, ours, theirs, resamples, seed)
    judged = np.array([float(one) for one in kept if one is not None])
    found["rules"] = with_ends(_mean(judged, resamples, seed), len(judged))
    return found


def _mean(values: Floats, resamples: int, seed: int) -> Score:
    rows = len(values)
    if not rows:
        return score(np.nan, None, 0)
    drawn = resampled_sums(values[:, None], resamples, seed)[:, 0] / rows if rows > 1 else None
    return score(values.mean(), drawn, rows)


def _of_corpus(metric: Any, answers: Sequence[str], references: Sequence[str], resamples: int, seed: int) -> Score:
    """A score of sacrebleu, which is a function of sums over the answers, with resampled sums beside it."""
    rows = len(answers)
    if not rows:
        return score(np.nan, None, 0)
    # The sums that sacrebleu itself resamples for its significance tests.
    counts = np.array(metric._extract_corpus_statistics(list(answers), [list(references)]), dtype=np.float64)

    def of(sums: Floats) -> float:
        return float(metric._compute_score_from_stats(sums.round().astype(int).tolist()).score) / 100.0

    drawn = np.array([of(sums) for sums in resampled_sums(counts, resamples, seed)]) if rows > 1 else None
    return score(of(counts.sum(axis=0)), drawn, rows)


def _is_chinese(texts: Sequence[str]) -> bool:
    every = [unit for text in texts for unit in units(text)]
    return bool(every) and sum(map(bool, map(_HAN.match, every))) * 2 >= len(every)
