"""Reciprocal rank, by hand and against torchmetrics."""

import numpy as np
import pytest
import torch
from torchmetrics.functional.retrieval import retrieval_reciprocal_rank

from ltsi.metrics import per_user


def test_is_one_over_the_rank_with_and_without_a_cutoff() -> None:
    ranks = [1, 2, 10, 11]
    assert per_user("mrr", ranks).tolist() == pytest.approx([1, 1 / 2, 1 / 10, 1 / 11])
    assert per_user("mrr@10", ranks).tolist() == pytest.approx([1, 1 / 2, 1 / 10, 0])


@pytest.mark.parametrize("k", [None, 3])
def test_agrees_with_torchmetrics(k: int | None) -> None:
    scores = torch.tensor([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3])
    expected = [float(retrieval_reciprocal_rank(scores, torch.arange(7) == place, top_k=k)) for place in range(7)]
    name = "mrr" if k is None else f"mrr@{k}"
    assert per_user(name, np.arange(1, 8)).tolist() == pytest.approx(expected, abs=1e-6)
