from __future__ import annotations

import math
import random
from collections import defaultdict

import pytest

from danlu.metrics import ngram
from danlu.metrics.ngram import OTHERS, CharacterModel

_WORDS = ("今天", "天气", "很好", "房间", "干净", "不错", "早餐", "一般", "下次", "还来", "good", "room")


def texts(count: int, seed: int = 0) -> list[str]:
    draw = random.Random(seed)
    return ["".join(draw.choice(_WORDS) for _ in range(draw.randrange(1, 9))) + "。" for _ in range(count)]


def bits_per_character(model: CharacterModel, test: list[str]) -> float:
    return -sum(model.log_likelihood(test)) / math.log(2) / sum(map(len, test))


@pytest.mark.parametrize("order", [1, 2, 3, 5])
@pytest.mark.parametrize("history", ["", "今", "今天天气", "从未见过 never", "房间干净。", "。。。。。。"])
def test_probabilities_sum_to_1(order: int, history: str) -> None:
    answer = CharacterModel(order).fit(texts(80)).next_character(history)
    assert sum(answer.values()) == pytest.approx(1.0, abs=1e-12)
    assert min(answer.values()) > 0.0


def test_longer_histories_foresee_better() -> None:
    train, test = texts(400), texts(100, seed=1)
    unigram, bigram, trigram = (bits_per_character(CharacterModel(order).fit(train), test) for order in (1, 2, 3))
    assert unigram > bigram + 0.5
    assert bigram > trigram


def reference(train: list[str], order: int, text: str) -> float:
    """Log-likelihood by the formula as written, with dictionaries and recursion."""
    end, pad, unknown = "\x01", "\x00", "\x02"
    streams = [[pad] * (order - 1) + list(one) + [end] for one in train]
    seen: list[dict[tuple[str, ...], set[object] | int]] = []
    for n in range(1, order + 1):
        count: dict[tuple[str, ...], set[object] | int] = {}
        for number, stream in enumerate(streams):
            for stop in range(order, len(stream) + 1):
                gram = tuple(stream[stop - n : stop])
                if n == order:
                    count[gram] = int(count.get(gram, 0)) + 1  # type: ignore[arg-type]
                else:
                    before = count.setdefault(gram, set())
                    assert isinstance(before, set)
                    before.add(stream[stop - n - 1])
                    assert number >= 0
        seen.append({gram: value if isinstance(value, int) else len(value) for gram, value in count.items()})
    discounts = []
    for count in seen:
        n1, n2, n3, n4 = (sum(value == k for value in count.values()) for k in (1, 2, 3, 4))
        fallback = (0.0, 0.5, 0.75, 1.0)
        if min(n1, n2, n3, n4) == 0:
            discounts.append(fallback)
            continue
        y = n1 / (n1 + 2 * n2)
        found = (0.0, 1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
        discounts.append(found if min(found[1:]) > 0 else fallback)
    followers: list[dict[tuple[str, ...], list[tuple[str, int]]]] = []
    for count in seen:
        by_history = defaultdict(list)
        for gram, value in count.items():
            by_history[gram[:-1]].append((gram[-1], value))
        followers.append(by_history)
    alphabet = set("".join(train))

    def probability(history: tuple[str, ...], symbol: str) -> float:
        shorter = probability(history[1:], symbol) if history else 1.0 / (len(alphabet) + 2)
        found = dict(followers[len(history)].get(history, []))
        if not found:
            return shorter
        discount = discounts[len(history)]
        total = sum(found.values())
        taken = sum(discount[min(value, 3)] for value in found.values())
        value = found.get(symbol, 0)
        return (value - discount[min(value, 3)]) / total + taken / total * shorter

    stream = [pad] * (order - 1) + [one if one in alphabet else unknown for one in text] + [end]
    result = 0.0
    for place in range(order - 1, len(stream)):
        result += math.log(probability(tuple(stream[place - order + 1 : place]), stream[place]))
        result -= math.log(OTHERS) * (stream[place] == unknown)
    return result


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_equals_the_formula_as_written(order: int) -> None:
    train, test = texts(60), [*texts(5, seed=2), "", "x", "今天 weather 很好", "😀"]
    found = CharacterModel(order).fit(train).log_likelihood(test)
    assert found == pytest.approx([reference(train, order, text) for text in test])


def test_the_end_counts_when_asked_for() -> None:
    model = CharacterModel(3).fit(texts(100))
    text = "今天天气"
    with_end, without = model.log_likelihood([text])[0], model.log_likelihood([text], end=False)[0]
    assert with_end - without == pytest.approx(math.log(model.next_character(text)["<end>"]))


def test_only_the_last_characters_count_when_asked_for() -> None:
    model = CharacterModel(3).fit(texts(100))
    pair = ["今天天气", "很好"]
    parts = model.log_likelihood(pair, characters=[2, 2], end=False)
    whole, head = model.log_likelihood(pair, end=False), model.log_likelihood(["今天"], end=False)
    assert parts == pytest.approx([whole[0] - head[0], whole[1]])


def test_texts_in_portions_score_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    model, test = CharacterModel(4).fit(texts(100)), texts(30, seed=3)
    whole = model.log_likelihood(test)
    monkeypatch.setattr(ngram, "_AT_ONCE", 40)
    assert model.log_likelihood(test) == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize("train", [["a"], [""], ["ab", "ab", "ab"], ["\x00\x01\x02"]])
def test_tiny_corpora_still_give_a_distribution(train: list[str]) -> None:
    model = CharacterModel().fit(train)
    assert sum(model.next_character("a").values()) == pytest.approx(1.0)
    assert all(math.isfinite(value) for value in model.log_likelihood(["a", "", "\U0010ffff", "\ud800"]))


def test_nothing_to_learn_from_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one text"):
        CharacterModel().fit([])
    with pytest.raises(ValueError, match="order is 0"):
        CharacterModel(0)
