"""Metrics by name."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltsi.errors import ConfigError, DataError
from ltsi.metrics import parse, per_user, summary

NAMES = ["hr@1", "hr@10", "ndcg@5", "ndcg@10", "mrr", "mrr@10"]


@pytest.mark.parametrize("name", NAMES)
def test_name_is_read_and_written_back(name: str) -> None:
    assert str(parse(name)) == name


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ndgc@10", "did you mean 'ndcg@10'"),
        ("NDCG@10", "did you mean 'ndcg@10'"),
        ("gini", "hr@K, mrr, ndcg@K, accuracy, auc"),
        ("", "hr@K, mrr, ndcg@K"),
        ("ndcg", "write 'ndcg@10'"),
        ("hr@0", "whole number from 1"),
        ("hr@-3", "whole number from 1"),
        ("hr@", "whole number from 1"),
        ("mrr@ten", "whole number from 1"),
        ("hr@10@5", "whole number from 1"),
    ],
)
def test_unknown_name_is_refused_with_a_hint(name: str, said: str) -> None:
    with pytest.raises(ConfigError, match=f"'{name}'.*{said}"):
        parse(name)


def test_summary_is_the_mean_over_targets() -> None:
    assert summary(np.array([1, 3, 20]), ["hr@10", "ndcg@10", "mrr"]) == pytest.approx(
        {"hr@10": 2 / 3, "ndcg@10": (1 + 1 / 2) / 3, "mrr": (1 + 1 / 3 + 1 / 20) / 3}
    )


def test_summary_of_nobody_is_refused() -> None:
    with pytest.raises(DataError, match="no target to evaluate"):
        summary(np.array([], dtype=np.int64), ["mrr"])


@pytest.mark.parametrize("ranks", [[0, 1], [1.0, 2.0], [-1], []])
def test_what_is_not_a_rank_is_refused(ranks: list[float]) -> None:
    with pytest.raises(ValueError, match="whole numbers from 1"):
        per_user("mrr", ranks)


@given(st.lists(st.integers(1, 10**9), min_size=1), st.sampled_from(NAMES))
def test_metrics_lie_between_0_and_1_and_never_rise_with_the_rank(ranks: list[int], name: str) -> None:
    values = per_user(name, sorted(ranks))
    assert ((values >= 0) & (values <= 1)).all()
    assert (np.diff(values) <= 0).all()
