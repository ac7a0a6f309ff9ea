"""Metrics of labels and probabilities: by hand, and against scikit-learn."""

from __future__ import annotations

import re
import warnings
from math import isnan, log

import numpy as np
import pytest
from sklearn import metrics as sklearn
from sklearn.exceptions import UndefinedMetricWarning

from ltsi.errors import ConfigError
from ltsi.metrics import auc, label_summary, parse, parse_all, terms
from ltsi.metrics.auc import aucs

NAMES = ["accuracy", "precision", "recall", "f1", "auc", "gauc", "log_loss"]

# Two users. Predicted positive from 0.5 on: the first, the second, the fourth.
LABEL = np.array([True, False, False, True, True])
PROBABILITY = np.array([0.9, 0.5, 0.2, 0.6, 0.1])
USER = np.array([0, 0, 0, 1, 1])


def test_numbers_by_hand() -> None:
    found = label_summary(LABEL, PROBABILITY, USER, NAMES)
    assert found == pytest.approx(
        {
            "accuracy": 3 / 5,
            "precision": 2 / 3,
            "recall": 2 / 3,
            "f1": 2 * 2 / (2 * 2 + 1 + 1),
            # The positives 0.9, 0.6 and 0.1 beat 2, 2 and 0 of the 2 negatives.
            "auc": (2 + 2 + 0) / 6,
            # The second user has no negative.
            "gauc": 1.0,
            "log_loss": -(log(0.9) + log(0.5) + log(0.8) + log(0.6) + log(0.1)) / 5,
        }
    )


def test_gauc_weighs_users_by_their_examples() -> None:
    label, score = np.array([1, 0, 0, 0, 1, 0]) > 0, np.array([0.9, 0.8, 0.7, 0.6, 0.3, 0.4])
    user = np.array([7, 7, 7, 7, 2, 2])
    assert label_summary(label, score, user, ["gauc"])["gauc"] == pytest.approx((4 * 1 + 2 * 0) / 6)
    # Across users the second positive loses to nearly everybody.
    assert auc(label, score) == pytest.approx((4 + 0) / 8)


def test_knowing_who_acts_often_earns_auc_and_no_gauc() -> None:
    label, user = np.array([1, 1, 1, 0, 0, 0, 0, 1]) > 0, np.repeat([0, 1], 4)
    by_user = np.where(user == 0, 0.75, 0.25)
    found = label_summary(label, by_user, user, ["auc", "gauc"])
    # Three positives above three negatives, three level with one, one level with three, one below one.
    assert found == pytest.approx({"auc": (3 * 3 + 3 / 2 + 3 / 2 + 0) / 16, "gauc": 0.5})


def test_ties_count_half() -> None:
    assert auc(np.array([True, False]), np.array([0.3, 0.3])) == 0.5
    assert auc(np.array([True, True, False, False]), np.array([0.9, 0.3, 0.3, 0.3])) == pytest.approx((2 + 1) / 4)


def test_what_is_not_defined_is_not_a_number() -> None:
    label, low, user = np.array([True, False]), np.array([0.1, 0.2]), np.array([0, 1])
    found = label_summary(label, low, user, NAMES)
    assert isnan(found["precision"])
    assert isnan(found["gauc"])
    assert (found["recall"], found["f1"]) == (0, 0)
    only = label_summary(np.array([False, False]), low, user, NAMES)
    assert all(isnan(only[name]) for name in ("precision", "recall", "f1", "auc", "gauc"))
    assert only["accuracy"] == 1


def test_a_certain_mistake_is_dear_and_not_infinite() -> None:
    loss = label_summary(np.array([True]), np.array([0.0]), np.array([0]), ["log_loss"])["log_loss"]
    assert loss == pytest.approx(36.04, abs=0.01)


def test_half_is_predicted_positive() -> None:
    assert label_summary(np.array([True]), np.array([0.5]), np.array([0]), ["recall"]) == {"recall": 1.0}


@pytest.mark.parametrize("seed", range(12))
def test_scikit_learn_says_the_same(seed: int) -> None:
    random = np.random.default_rng(seed)
    size = int(random.integers(1, 40))
    label, user = random.random(size) < random.choice([0.0, 0.2, 0.5]), random.integers(0, 4, size)
    score = random.choice([0.0, 0.1, 0.3, 0.5, 0.7, 1.0], size)
    found, hard = label_summary(label, score, user, NAMES), score >= 0.5
    assert found["accuracy"] == pytest.approx(sklearn.accuracy_score(label, hard))
    for name, function in (
        ("precision", sklearn.precision_score),
        ("recall", sklearn.recall_score),
        ("f1", sklearn.f1_score),
    ):
        assert found[name] == pytest.approx(function(label, hard, zero_division=np.nan), nan_ok=True), name
    assert found["log_loss"] == pytest.approx(sklearn.log_loss(label, score, labels=[False, True]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        assert found["auc"] == pytest.approx(sklearn.roc_auc_score(label, score), nan_ok=True)
        inside = [(user == u) for u in np.unique(user) if len(np.unique(label[user == u])) == 2]
        parts = [(rows.sum(), sklearn.roc_auc_score(label[rows], score[rows])) for rows in inside]
    expected = sum(n * value for n, value in parts) / sum(n for n, _ in parts) if parts else float("nan")
    assert found["gauc"] == pytest.approx(expected, nan_ok=True)


def test_groups_are_ranked_for_themselves() -> None:
    label, score = np.array([1, 0, 0, 1, 1]) > 0, np.array([0.1, 0.2, 0.9, 0.9, 0.3])
    found = aucs(label, score, np.array([0, 0, 2, 2, 2]), 4)
    np.testing.assert_allclose(found, [0, np.nan, (0.5 + 0) / 2, np.nan])


def test_a_score_that_two_groups_share_ties_them_not() -> None:
    """The highest score of the first group is the lowest of the second."""
    label, score = np.array([0, 1, 0, 1]) > 0, np.array([0.1, 0.5, 0.5, 0.9])
    assert aucs(label, score, np.array([0, 0, 1, 1]), 2).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("name", [name for name in NAMES if name != "auc"])
def test_terms_add_up_over_users(name: str) -> None:
    whole = terms(name, LABEL, PROBABILITY, USER)
    assert whole is not None
    parts = [terms(name, LABEL[u == USER], PROBABILITY[u == USER], USER[u == USER]) for u in (0, 1)]
    for side in ("numerator_N", "denominator_N"):
        assert getattr(whole, side).sum() == pytest.approx(sum(getattr(part, side).sum() for part in parts))


def test_probabilities_that_are_none_are_refused() -> None:
    for wrong in (1.5, -0.1, float("nan")):
        with pytest.raises(ValueError, match="between 0 and 1"):
            label_summary(np.array([True]), np.array([wrong]), np.array([0]), ["recall"])


def test_a_metric_of_the_other_sort_is_refused() -> None:
    said = "Metric 'ndcg@10' does not fit: objective=click has labels and probabilities; there are: accuracy, auc, "
    with pytest.raises(ConfigError, match=said):
        parse_all(["auc", "ndcg@10"], "labels", "objective=click")
    said = "Metric 'auc' does not fit: objective=next_item has the ranks of targets; there are: hr@K, mrr, ndcg@K."
    with pytest.raises(ConfigError, match=re.escape(said)):
        parse_all(["auc"], "ranks", "objective=next_item")
    assert parse_all(["mrr", "hr@1", "mrr"], "ranks", "x") == ("mrr", "hr@1")


def test_names_are_read() -> None:
    assert [str(parse(name)) for name in NAMES] == NAMES
    assert [name for name in NAMES if parse(name).lower_is_better] == ["log_loss"]
    with pytest.raises(ConfigError, match="Metric 'auc@10' takes no cut-off: write 'auc'"):
        parse("auc@10")
    with pytest.raises(ConfigError, match="There is no metric 'logloss'; did you mean 'log_loss'"):
        parse("logloss")
