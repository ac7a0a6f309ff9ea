"""Hit rate, by hand and against torchmetrics."""

import numpy as np
import pytest
import torch
from torchmetrics.functional.retrieval import retrieval_hit_rate

from ltsi.metrics import per_user


def test_hits_up_to_and_including_the_cutoff() -> None:
    assert per_user("hr@10", [1, 9, 10, 11, 12_102]).tolist() == [1, 1, 1, 0, 0]
    assert per_user("hr@1", [1, 2]).tolist() == [1, 0]


@pytest.mark.parametrize("k", [1, 3, 7])
def test_agrees_with_torchmetrics(k: int) -> None:
    scores = torch.tensor([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3])
    expected = [float(retrieval_hit_rate(scores, torch.arange(7) == place, top_k=k)) for place in range(7)]
    assert per_user(f"hr@{k}", np.arange(1, 8)).tolist() == expected
