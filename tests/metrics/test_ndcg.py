"""NDCG, by hand and against torchmetrics."""

from math import log2

import numpy as np
import pytest
import torch
from torchmetrics.functional.retrieval import retrieval_normalized_dcg

from ltsi.metrics import per_user


def test_discounts_by_the_logarithm_of_the_place() -> None:
    expected = [1 / log2(2), 1 / log2(3), 1 / log2(4), 1 / log2(11), 0]
    assert per_user("ndcg@10", [1, 2, 3, 10, 11]).tolist() == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize("k", [1, 3, 7])
def test_agrees_with_torchmetrics(k: int) -> None:
    scores = torch.tensor([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3])
    expected = [float(retrieval_normalized_dcg(scores, torch.arange(7) == place, top_k=k)) for place in range(7)]
    assert per_user(f"ndcg@{k}", np.arange(1, 8)).tolist() == pytest.approx(expected, abs=1e-6)
