"""Full ranking against the definition, spelled out item by item."""

import math
from random import Random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ltsi.errors import RunError
from ltsi.evaluation import ranking
from ltsi.evaluation.ranking import MISSED, target_ranks
from ltsi.metrics import summary

INF = math.inf
SCORES = st.sampled_from([-INF, -1.5, -0.0, 0.0, 0.25, 3.0, INF])


def naive_rank(scores: list[float], target: int, hidden: set[int]) -> int:
    if target in hidden:
        return MISSED
    others = [score for item, score in enumerate(scores) if item != target and item not in hidden]
    greater = sum(score > scores[target] for score in others)
    equal = sum(score == scores[target] for score in others)
    return 1 + greater + equal // 2


@st.composite
def batches(draw: st.DrawFn) -> tuple[list[list[float]], list[int], list[tuple[int, int]]]:
    n_rows, n_items = draw(st.integers(1, 7)), draw(st.integers(1, 9))
    scores = draw(st.lists(st.lists(SCORES, min_size=n_items, max_size=n_items), min_size=n_rows, max_size=n_rows))
    items = st.integers(0, n_items - 1)
    targets = draw(st.lists(items, min_size=n_rows, max_size=n_rows))
    hidden = draw(st.lists(st.tuples(st.integers(0, n_rows - 1), items), max_size=30))
    return scores, targets, hidden


def ranks(
    scores: list[list[float]], targets: list[int], hidden: list[tuple[int, int]], dtype: torch.dtype = torch.float32
) -> list[int]:
    pairs = torch.tensor(hidden, dtype=torch.int64).reshape(-1, 2)
    found: Tensor = target_ranks(torch.tensor(scores, dtype=dtype), torch.tensor(targets), pairs[:, 0], pairs[:, 1])
    assert found.dtype == torch.int64
    return found.tolist()


@given(batches())
def test_follows_the_definition(batch: tuple[list[list[float]], list[int], list[tuple[int, int]]]) -> None:
    scores, targets, hidden = batch
    expected = [
        naive_rank(row, target, {item for of, item in hidden if of == index})
        for index, (row, target) in enumerate(zip(scores, targets, strict=True))
    ]
    for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
        assert ranks(scores, targets, hidden, dtype) == expected


@pytest.mark.parametrize(
    ("scores", "target", "hidden", "rank"),
    [
        ([3.0, 2.0, 1.0], 0, [], 1),
        ([3.0, 2.0, 1.0], 2, [], 3),
        ([3.0, 2.0, 1.0], 2, [0], 2),
        ([3.0, 2.0, 1.0], 2, [0, 0, 0], 2),  # an item seen three times is hidden once
        ([1.0, 1.0, 1.0, 1.0, 1.0], 3, [], 3),  # four others tie: two of them count
        ([1.0, 1.0, 1.0, 1.0], 3, [], 2),  # three others tie: one and a half, rounded down
        ([-INF, 0.0, -INF, -INF], 0, [], 3),  # zero probabilities tie like any other score
        ([-INF, 0.0, -INF, -INF], 0, [1, 2], 1),
        ([3.0, 2.0, 1.0], 0, [0], MISSED),  # what may not be recommended is a miss
        ([5.0], 0, [], 1),
    ],
)
def test_examples(scores: list[float], target: int, hidden: list[int], rank: int) -> None:
    assert ranks([scores], [target], [(0, item) for item in hidden]) == [rank]


@given(batches(), st.sampled_from([1, 3, 20]))
def test_does_not_depend_on_the_block(
    batch: tuple[list[list[float]], list[int], list[tuple[int, int]]], block: int
) -> None:
    expected = ranks(*batch)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking, "_BLOCK_ELEMENTS_PER_CORE", block)
        assert ranks(*batch) == expected


def test_counts_exactly_in_a_large_catalogue() -> None:
    n_items = 300_001  # more than float16 or a sloppy sum of float32 could count
    scores = torch.zeros(2, n_items, dtype=torch.float16)
    scores[1, 1:] = 1
    assert target_ranks(scores, torch.tensor([0, 0])).tolist() == [1 + 150_000, n_items]


def test_what_may_not_be_recommended_is_a_miss_at_every_cut_off() -> None:
    rank = torch.tensor(ranks([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0]], [0, 2], [(0, 0)])).numpy()
    assert summary(rank, ["hr@3", "hr@4", "hr@1000", "ndcg@1000"]) == {
        "hr@3": 0.5,
        "hr@4": 0.5,
        "hr@1000": 0.5,
        "ndcg@1000": 0.25,  # the other one is the third: 1 / log2(1 + 3)
    }
    assert summary(rank, ["mrr"])["mrr"] == pytest.approx(1 / 2 * 1 / 3)


def test_nothing_to_hide_can_be_left_out() -> None:
    assert target_ranks(torch.tensor([[0.0, 1.0]]), torch.tensor([0])).tolist() == [2]
    assert target_ranks(torch.zeros(0, 5), torch.zeros(0, dtype=torch.int64)).tolist() == []


@settings(max_examples=20)
@given(batches(), st.randoms())
def test_nan_is_refused(batch: tuple[list[list[float]], list[int], list[tuple[int, int]]], random: Random) -> None:
    scores, targets, hidden = batch
    row = random.randrange(len(scores))
    scores[row][random.randrange(len(scores[row]))] = math.nan
    with pytest.raises(RunError, match=rf"scores that are NaN \(row {row} of a batch of {len(scores)}"):
        ranks(scores, targets, hidden)


def test_scores_are_left_as_they_are() -> None:
    scores = torch.tensor([[1.0, 2.0, 3.0]])
    target_ranks(scores, torch.tensor([0]), torch.tensor([0]), torch.tensor([2]))
    assert scores.tolist() == [[1.0, 2.0, 3.0]]
