import numpy as np
import pytest
import torch

from ltsi.errors import RunError
from ltsi.evaluation.ranking import target_ranks
from ltsi.serving.ranking import best


def test_best_first_with_their_parts() -> None:
    first, second = torch.tensor([[0.0, 2.0, 1.0, -1.0]]), torch.tensor([[0.5, -3.0, 1.0, 0.0]])
    found = best(first + second, {"a": first, "b": second}, 2)
    assert found.item_P.tolist() == [2, 0]
    assert found.place_P.tolist() == [1, 2]
    assert found.score_P.tolist() == [2.0, 0.5]
    assert (found.part_P["a"] + found.part_P["b"]).tolist() == found.score_P.tolist()


def test_ties_stand_in_the_order_of_the_catalogue_and_the_impossible_is_left_out() -> None:
    score_BI = torch.tensor([[1.0, 2.0, 1.0, 1.0, 2.0], [-torch.inf, 0.0, -torch.inf, -torch.inf, -torch.inf]])
    found = best(score_BI, {}, 3)
    assert list(zip(found.row_P.tolist(), found.item_P.tolist(), found.place_P.tolist(), strict=True)) == [
        (0, 1, 1),
        (0, 4, 2),
        (0, 0, 3),
        (1, 1, 1),
    ]


def test_places_are_the_ranks_of_evaluation() -> None:
    score_BI = torch.from_numpy(np.random.default_rng(0).permutation(4000).astype(np.float32).reshape(40, 100))
    found = best(score_BI, {}, 100)
    rows, targets = torch.from_numpy(found.row_P), torch.from_numpy(found.item_P)
    assert target_ranks(score_BI[rows], targets).tolist() == found.place_P.tolist()


def test_more_than_there_are() -> None:
    assert len(best(torch.zeros(2, 3), {}, 10).item_P) == 6


def test_a_diverged_model_is_refused() -> None:
    with pytest.raises(RunError, match="training diverged"):
        best(torch.tensor([[0.0, torch.nan]]), {}, 1)
