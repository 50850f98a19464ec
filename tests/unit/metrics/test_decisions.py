"""Power, temperature, abstention and slices, against references and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from danlu.engines.sampling import at_temperature
from danlu.metrics.abstention import abstention
from danlu.metrics.costs import best_threshold, matrix, what_it_costs
from danlu.metrics.multiple import holm
from danlu.metrics.paired import compare_classifiers
from danlu.metrics.power import further_rows, rows_needed
from danlu.metrics.scores import classification
from danlu.metrics.slices import p_values, parts, scored, worst
from danlu.metrics.temperature import fit_temperature


def test_the_rows_a_proportion_needs_are_those_of_the_textbook() -> None:
    """That is (z(0.975) + z(0.8))² p (1 - p) / gap²."""
    share, gap, rows = 0.8, 0.02, 500
    half = stats.norm.ppf(0.975) * np.sqrt(share * (1 - share) / rows)
    expected = (stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) ** 2 * share * (1 - share) / gap**2
    assert rows_needed(gap, half, rows) == np.ceil(expected)
    further = further_rows(gap, half, rows)
    assert further is not None
    assert expected - rows <= further <= 1.1 * (expected - rows)
    assert str(further).strip("0") == str(further)[:2].strip("0")


@pytest.mark.parametrize(("gap", "half"), [(0.0, 0.1), (-0.1, 0.1), (0.1, 0.0), (1e-300, 0.1), (1e-5, 0.1)])
def test_where_no_rows_would_do_none_are_asked_for(gap: float, half: float) -> None:
    assert further_rows(gap, half, 100) is None


def planted(random: np.random.Generator, rows: int, gain: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two models of which ours is right `gain` more often; what is hard is hard for both."""
    truth = random.integers(0, 2, rows)
    hard = random.random(rows) < 0.25
    both = random.random(rows) < np.where(hard, 0.45, 0.92)
    turned = random.random(rows)
    ours = np.where(turned < 0.05 + gain, True, np.where(turned > 0.95, False, both))
    theirs = np.where(turned < 0.05, False, np.where(turned > 0.95, True, both))
    theirs = np.where((turned >= 0.05) & (turned < 0.05 + gain), False, theirs)
    ours, theirs = (np.eye(2)[np.where(hits, truth, 1 - truth)] for hits in (ours, theirs))
    return ours, theirs, truth


def share_found(worlds: int, rows: int, gain: float, resamples: int) -> float:
    random = np.random.default_rng(11)
    found = 0
    for world in range(worlds):
        result = compare_classifiers(*planted(random, rows, gain), resamples=resamples, seed=world)
        found += result["significant"] and result["difference"]["value"] > 0
    return found / worlds


def rows_for(gain: float) -> int:
    """As a user would: from a test of 2,000 rows whose difference happens to be about the true one."""
    random = np.random.default_rng(5)
    widths = []
    for world in range(8):
        difference = compare_classifiers(*planted(random, 2_000, gain), resamples=1_000, seed=world)["difference"]
        widths.append((difference["high"] - difference["low"]) / 2)
    needed = rows_needed(gain, float(np.mean(widths)), 2_000)
    assert needed is not None
    return needed


def test_a_planted_gain_of_2_points_is_mostly_found_with_the_rows_asked_for() -> None:
    assert 0.6 <= share_found(worlds=40, rows=rows_for(0.02), gain=0.02, resamples=200) <= 0.95


@pytest.mark.slow
def test_a_planted_gain_of_2_points_is_found_at_the_stated_power() -> None:
    assert share_found(worlds=2_000, rows=rows_for(0.02), gain=0.02, resamples=300) == pytest.approx(0.8, abs=0.03)


@pytest.mark.slow
def test_beats_raises_at_most_5_false_alarms_in_100() -> None:
    """The gate asks for significance and for the right side: on A/A pairs that is half of 5 %."""
    random = np.random.default_rng(13)
    alarms = 0
    for world in range(2_000):
        result = compare_classifiers(*planted(random, 400, 0.0), resamples=500, seed=world)
        alarms += result["significant"] and result["difference"]["value"] > 0
    assert alarms / 2_000 <= 0.05


def covered(worlds: int, rows: int, resamples: int) -> float:
    random = np.random.default_rng(17)
    inside = 0
    for world in range(worlds):
        truth = random.integers(0, 2, rows)
        answers = np.eye(2)[np.where(random.random(rows) < 0.8, truth, 1 - truth)]
        found = classification(answers, truth, ["a", "b"], resamples, seed=world)["scores"]["accuracy"]
        inside += found["low"] <= 0.8 <= found["high"]
    return inside / worlds


def test_intervals_mostly_hold_the_truth() -> None:
    assert covered(worlds=60, rows=300, resamples=200) >= 0.85


@pytest.mark.slow
def test_95_of_100_intervals_hold_the_truth() -> None:
    assert covered(worlds=2_000, rows=1_000, resamples=400) == pytest.approx(0.95, abs=0.015)


def test_the_interval_is_that_of_scipy() -> None:
    random = np.random.default_rng(19)
    truth = random.integers(0, 2, 600)
    answers = np.eye(2)[np.where(random.random(600) < 0.8, truth, 1 - truth)]
    ours = classification(answers, truth, ["a", "b"], resamples=4_000)["scores"]["accuracy"]
    hits = (answers.argmax(axis=1) == truth).astype(float)
    theirs = stats.bootstrap((hits,), np.mean, n_resamples=4_000, method="percentile", rng=3).confidence_interval
    assert (ours["low"], ours["high"]) == pytest.approx((theirs.low, theirs.high), abs=0.004)


def test_temperature_finds_what_was_planted_and_changes_no_label() -> None:
    random = np.random.default_rng(23)
    logits = random.normal(0, 2.0, (6_000, 4))
    honest = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = (honest.cumsum(axis=1) < random.random((6_000, 1))).sum(axis=1)
    too_sure = at_temperature(honest, 1 / 2.5)
    found = fit_temperature(too_sure[:3_000], truth[:3_000])
    assert found == pytest.approx(2.5, rel=0.06)
    mended = at_temperature(too_sure[3_000:], found)
    assert (mended.argmax(axis=1) == too_sure[3_000:].argmax(axis=1)).all()
    assert np.allclose(mended.sum(axis=1), 1.0)
    before, after = (
        classification(answers, truth[3_000:], list("abcd"), resamples=0)["scores"]
        for answers in (too_sure[3_000:], mended)
    )
    assert after["ece"]["value"] < before["ece"]["value"] / 4
    assert after["log_loss"]["value"] < before["log_loss"]["value"]


def test_temperature_of_few_rows_or_certain_answers_makes_sense() -> None:
    assert fit_temperature(np.eye(2)[[0, 1]], [0, 1]) == 1.0
    assert fit_temperature(np.array([[0.6, 0.4]] * 200), [0] * 200) == 1.0
    assert np.array_equal(at_temperature(np.eye(2), 0.05), np.eye(2))
    same = np.array([[0.3, 0.7]], dtype=np.float32)
    assert at_temperature(same, 1.0) is same


def test_abstention_ranks_by_confidence_and_keeps_equals_together() -> None:
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.8, 0.2], [0.6, 0.4]])
    found = abstention(probabilities, [0, 0, 1, 1], coverages=(0.25, 0.5, 0.75, 1.0))
    assert [(row["rows"], row["threshold"]) for row in found] == [(1, 0.9), (3, 0.8), (4, 0.6)]
    assert [row["accuracy"]["value"] for row in found] == pytest.approx([1.0, 2 / 3, 0.5])
    assert found[0]["accuracy"]["low"] == pytest.approx(stats.binomtest(1, 1).proportion_ci(method="wilson").low)
    assert abstention(np.zeros((0, 2)), []) == []


def test_chances_of_slices_are_fishers() -> None:
    random = np.random.default_rng(29)
    masks, wrong = random.random((5, 200)) < 0.3, random.random(200) < 0.2
    masks[0] |= wrong
    found = p_values(masks, wrong)
    for mask, chance in zip(masks, found, strict=True):
        table = [[(mask & wrong).sum(), (mask & ~wrong).sum()], [(~mask & wrong).sum(), (~mask & ~wrong).sum()]]
        assert chance == pytest.approx(stats.fisher_exact(table, alternative="greater").pvalue)
    assert p_values(masks, np.stack([wrong, ~wrong]))[0] == pytest.approx(found)


def columns(random: np.random.Generator, rows: int) -> dict[str, list[object]]:
    return {
        "length": random.geometric(0.02, rows).tolist(),
        "source": random.choice(["app", "mail", "shop", "form"], rows).tolist(),
        "licence": random.choice(["MIT", "own"], rows).tolist(),
    }


def test_the_search_finds_what_was_planted_and_names_it() -> None:
    random = np.random.default_rng(31)
    known = columns(random, 2_000)
    bad = (np.array(known["source"]) == "mail") & (np.array(known["licence"]) == "own")
    wrong = random.random(2_000) < np.where(bad, 0.4, 0.1)
    found = worst(known, wrong, fewest_rows=30, most=10)
    assert 'source == "mail" and licence == "own"' in {row["slice"] for row in found["found"]}
    (row,) = (row for row in found["found"] if row["slice"] == 'source == "mail" and licence == "own"')
    assert row["rows"] == bad.sum()
    assert row["accuracy"]["value"] == pytest.approx(1 - wrong[bad].mean())
    assert row["elsewhere"] == pytest.approx(1 - wrong[~bad].mean())
    assert found["searched"] == len(parts(known, 30))


def test_parts_with_few_rows_are_not_scored() -> None:
    wrong = np.arange(100) % 3 == 0
    few, many = np.arange(100) < 5, np.arange(100) < 60
    first, second = scored({"few": few, "many": many}, wrong, fewest_rows=30)
    assert (first["rows"], first["accuracy"], first["significant"]) == (5, None, False)
    assert second["accuracy"]["value"] == pytest.approx(40 / 60)
    assert scored({}, wrong, 30) == []


def test_nothing_is_found_where_mistakes_are_everywhere_alike() -> None:
    """2,000 draws in which rows and mistakes have nothing to do with one another: at most 5 % raise an alarm."""
    random = np.random.default_rng(37)
    masks = np.stack(list(parts(columns(random, 1_000), 30).values()))
    assert len(masks) > 40
    mistakes = np.zeros((2_000, 1_000), dtype=bool)
    mistakes[:, :120] = True
    shuffled = random.permuted(mistakes, axis=1)
    alarms = (holm(p_values(masks, shuffled)) < 0.05).any(axis=1).mean()
    assert alarms <= 0.05


def test_shuffled_labels_raise_no_alarm() -> None:
    """Truth dealt out anew: what the model answers has nothing to do with it, wherever it answers what."""
    random = np.random.default_rng(41)
    known = columns(random, 1_000)
    masks = np.stack(list(parts(known, 30).values()))
    truth, answers = random.integers(0, 2, 1_000), random.integers(0, 2, 1_000)
    shuffled = random.permuted(np.tile(truth, (500, 1)), axis=1) != answers
    assert (holm(p_values(masks, shuffled)) < 0.05).any(axis=1).mean() <= 0.05


def test_the_threshold_is_the_cheapest_of_all() -> None:
    random = np.random.default_rng(43)
    confidence = np.round(random.uniform(0.5, 1.0, 400), 2)
    losses = 8.0 * (random.random(400) > confidence)
    found = best_threshold(confidence, losses, person=1.0)
    assert found is not None

    def cost(line: float) -> float:
        return float(np.where(confidence >= line, losses, 1.0).mean())

    assert cost(found) == pytest.approx(min(cost(line) for line in [*np.unique(confidence), 2.0]))
    assert best_threshold(confidence, np.full(400, 3.0), person=1.0) is None
    assert best_threshold(confidence, np.zeros(400), person=1.0) == confidence.min()
    assert best_threshold(np.zeros(0), np.zeros(0), person=1.0) is None


def test_costs_are_counted_by_true_label_and_answer() -> None:
    costs = matrix(["no", "yes"], 2.0, {"yes": {"no": 10.0}})
    assert costs.tolist() == [[0.0, 2.0], [10.0, 0.0]]
    with pytest.raises(ValueError, match="'maybe' is no label here"):
        matrix(["no", "yes"], 2.0, {"yes": {"maybe": 1.0}})
    answers = np.array([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.45, 0.55]])
    found = what_it_costs(answers, np.array([0, 1, 1, 0]), costs, 1.0, 0.7, resamples=200)
    assert found["coverage"] == 0.5
    assert found["cost"]["value"] == pytest.approx((0 + 10 + 1 + 1) / 4)
    assert found["model"]["value"] == pytest.approx((0 + 10 + 0 + 2) / 4)
    assert found["saved"]["value"] == pytest.approx(1.0 - 3.0)
    never = what_it_costs(answers, np.array([0, 1, 1, 0]), costs, 1.0, None, resamples=200)
    assert (never["cost"]["value"], never["coverage"], never["saved"]["value"]) == (1.0, 0.0, 0.0)
