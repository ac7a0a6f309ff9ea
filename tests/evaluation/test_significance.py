"""Intervals and tests on data whose truth is known."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ltsi.evaluation import significance
from ltsi.evaluation.significance import bootstrap_means, holm, paired_p_values, percentile_interval


def test_interval_covers_the_true_mean_as_often_as_it_says() -> None:
    # Each column is an experiment of its own: 300 users who hit with probability 0.2.
    rng = np.random.default_rng(1)
    experiments = (rng.random((300, 1000)) < 0.2).astype(float)
    low, high = percentile_interval(bootstrap_means(experiments, replicates=400), level=0.9)
    coverage = np.mean((low <= 0.2) & (high >= 0.2))
    # Standard error of the coverage itself is 0.0095; discreteness of a share of 300 adds about a point.
    assert 0.87 < coverage < 0.93


def test_bootstrap_spread_is_the_standard_error() -> None:
    values = np.random.default_rng(2).gamma(2.0, size=(500, 1))
    means = bootstrap_means(values, replicates=4000)
    assert means.mean() == pytest.approx(values.mean(), abs=3 * values.std() / np.sqrt(500 * 4000) * 2)
    assert means.std() == pytest.approx(values.std() / np.sqrt(500), rel=0.05)


def test_users_who_are_all_alike_have_one_mean_in_every_resample() -> None:
    assert bootstrap_means(np.full((3, 1), 5.0), replicates=4).tolist() == [[5.0]] * 4


def test_columns_share_their_resamples() -> None:
    values = np.random.default_rng(3).random((50, 1))
    means = bootstrap_means(np.hstack([values, values, 2 * values]), replicates=100)
    assert np.array_equal(means[:, 0], means[:, 1])
    assert np.allclose(means[:, 2], 2 * means[:, 0])


def test_same_seed_gives_the_same_numbers_whatever_the_columns() -> None:
    values = np.random.default_rng(4).random((40, 3))
    assert np.allclose(bootstrap_means(values, 50, seed=7)[:, 1:2], bootstrap_means(values[:, 1:2], 50, seed=7))
    assert not np.allclose(bootstrap_means(values, 50, seed=7), bootstrap_means(values, 50, seed=8))


def test_results_do_not_depend_on_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(5).normal(size=(64, 2))
    means = bootstrap_means(values, 30)
    monkeypatch.setattr(significance, "_BLOCK_ELEMENTS", 64 * 7)
    assert np.allclose(bootstrap_means(values, 30), means)


def test_p_value_of_few_users_is_that_of_all_sign_flips() -> None:
    differences = np.array([0.3, -0.1, 0.5, 0.2, 0.0, 0.4, 0.1, -0.2])
    totals = np.array([np.dot(signs, differences) for signs in product([1, -1], repeat=8)])
    exact = np.mean(np.abs(totals) >= abs(differences.sum()) - 1e-12)
    found = paired_p_values(differences[:, None], flips=200_000)[0]
    assert found == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 200_000))


def test_p_value_agrees_with_the_t_test_where_users_are_many() -> None:
    differences = np.random.default_rng(6).normal(0.04, 1.0, size=(3000, 4))
    expected = stats.ttest_1samp(differences, 0.0).pvalue
    assert paired_p_values(differences) == pytest.approx(expected, abs=0.02)


def test_false_positives_come_as_often_as_the_level_says() -> None:
    # Differences of a discounted metric: mostly zero, a few large, symmetric because the models are exchangeable.
    rng = np.random.default_rng(7)
    ranks = rng.integers(1, 40, size=(2, 200, 1000))
    gains = np.where(ranks <= 10, 1 / np.log2(1 + ranks), 0)
    p_values = paired_p_values(gains[0] - gains[1], flips=500)
    for level in (0.05, 0.2):
        assert np.mean(p_values <= level) == pytest.approx(level, abs=4 * np.sqrt(level * (1 - level) / 1000))


def test_a_real_difference_is_found() -> None:
    rng = np.random.default_rng(8)
    better = (rng.random((2000, 200)) < 0.25).astype(float)
    worse = (rng.random((2000, 200)) < 0.20).astype(float)
    # A difference of 0.05 with standard error 0.0132: the normal approximation promises a power of 0.966.
    assert np.mean(paired_p_values(better - worse, flips=500) <= 0.05) > 0.93


def test_p_values_at_the_ends() -> None:
    nothing, everything = np.zeros(30), np.full(30, 0.1)
    p_values = paired_p_values(np.stack([nothing, everything], axis=1), flips=999)
    assert p_values[0] == 1
    assert p_values[1] == 1 / 1000
    opposite = paired_p_values(-np.stack([nothing, everything], axis=1), flips=999)
    assert opposite.tolist() == p_values.tolist()
    assert paired_p_values(np.zeros((3, 2))).tolist() == [1, 1]


def test_users_without_a_difference_change_nothing() -> None:
    differences = np.random.default_rng(9).normal(0.1, 1.0, size=(80, 2))
    padded = np.zeros((200, 2))
    padded[::2][:80] = differences
    assert paired_p_values(padded).tolist() == paired_p_values(differences).tolist()


def test_nobody_is_refused() -> None:
    with pytest.raises(ValueError, match="no user"):
        bootstrap_means(np.zeros((0, 2)))
    with pytest.raises(ValueError, match="no user"):
        paired_p_values(np.zeros((0, 2)))


def test_holm_by_hand() -> None:
    # Sorted 0.01, 0.02, 0.04: 3 · 0.01, 2 · 0.02, then 1 · 0.04, which may not fall below 0.04.
    assert holm(np.array([0.04, 0.01, 0.02])) == pytest.approx([0.04, 0.03, 0.04])
    assert holm(np.array([0.5, 0.6])) == pytest.approx([1.0, 1.0])
    assert holm(np.array([0.03])) == pytest.approx([0.03])
    assert holm(np.array([])).tolist() == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_between_no_correction_and_bonferroni_and_keeps_the_order(values: list[float]) -> None:
    p_values = np.array(values)
    corrected = holm(p_values)
    assert (corrected >= p_values).all()
    assert (corrected <= np.minimum(1, len(values) * p_values)).all()
    order = np.argsort(p_values, kind="stable")
    assert (np.diff(corrected[order]) >= 0).all()
