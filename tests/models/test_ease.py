from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from ltsi.errors import ConfigError
from ltsi.histories import Histories
from ltsi.models.ease import Ease
from ltsi.models.linear import leave_out
from ltsi.sequences.leave_one_out import LeaveOneOut
from ltsi.sequences.split import Split
from ltsi.store import Store

MakeHistories = Callable[..., Histories]
N_ITEMS = 8


@pytest.fixture
def users() -> list[list[int]]:
    random = np.random.default_rng(0)
    return [random.integers(0, N_ITEMS, length).tolist() for length in random.integers(1, 7, 40)]


@pytest.fixture
def split(users: list[list[int]], make_store: Callable[..., Store]) -> Split:
    events = ([(item, i) for i, item in enumerate([*user, 0, 0])] for user in users)
    return LeaveOneOut()(make_store(*events, n_items=N_ITEMS))


def naive(users: list[list[int]], l2: float) -> NDArray[np.float64]:
    """Solves for each column of B alone: ridge regression of an item on the others."""
    X = np.zeros((len(users), N_ITEMS))
    for row, items in enumerate(users):
        X[row, items] = 1
    B = np.zeros((N_ITEMS, N_ITEMS))
    for item in range(N_ITEMS):
        others = np.delete(np.arange(N_ITEMS), item)
        A = X[:, others]
        B[others, item] = np.linalg.solve(A.T @ A + l2 * np.eye(N_ITEMS - 1), A.T @ X[:, item])
    return B


def weights(model: Ease) -> Tensor:
    """Unfolds the kept weights, `(I, I)`."""
    B = torch.zeros(N_ITEMS, N_ITEMS)
    row_E = torch.repeat_interleave(torch.arange(N_ITEMS), model.offset_I.diff())
    B[row_E, model.next_E.long()] = model.weight_E
    return B


def fitted(split: Split, **settings: float) -> Ease:
    model = Ease(N_ITEMS, **settings)  # type: ignore[arg-type]
    model.fit_statistics(split)
    return model


@pytest.mark.parametrize("block", [3, 1024])
def test_weights_are_those_of_a_regression_of_each_item_on_the_others(
    split: Split, users: list[list[int]], block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ltsi.models.ease.BLOCK", block)
    B = weights(fitted(split, l2=2.5))
    torch.testing.assert_close(B.double().numpy(), naive(users, 2.5), rtol=1e-4, atol=1e-5)
    assert B.diagonal().count_nonzero() == 0


def test_the_sharpness_comes_from_weights_without_the_left_out_users(
    split: Split, users: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Tensor] = []
    monkeypatch.setattr(Ease, "fit_sharpness", lambda model, _: seen.append(weights(model)))
    fitted(split, l2=2.5)
    left_out = set(leave_out(split).targets.user.tolist())
    assert len(left_out) > 10
    rest = [user for i, user in enumerate(users) if i not in left_out]
    torch.testing.assert_close(seen[0].double().numpy(), naive(rest, 2.5), rtol=1e-4, atol=1e-5)


def test_scores_are_faded_sums_of_weights(split: Split, make_histories: MakeHistories) -> None:
    model = fitted(split, fade=0.5)
    B, score_BI = weights(model), model.linear_scores(make_histories([3, 1, 3], [2], n_items=N_ITEMS))
    torch.testing.assert_close(score_BI[0], 0.25 * B[3] + 0.5 * B[1] + B[3])
    torch.testing.assert_close(score_BI[1], B[2])
    torch.testing.assert_close(model(make_histories([2], n_items=N_ITEMS))[0], B[2] * model.sharpness)


def test_an_item_keeps_its_strongest_weights(split: Split) -> None:
    whole, pruned = weights(fitted(split)), weights(fitted(split, neighbours=2))
    for row in range(N_ITEMS):
        strongest = set(whole[row].abs().topk(2).indices.tolist())
        assert set(pruned[row].nonzero().flatten().tolist()) == strongest
    torch.testing.assert_close(pruned[pruned != 0], whole[pruned != 0])


def test_only_the_most_taken_items_of_a_large_catalogue_take_part(split: Split, users: list[list[int]]) -> None:
    B = weights(fitted(split, max_items=3, l2=2.5))
    taken = np.bincount([item for user in users for item in set(user)], minlength=N_ITEMS)
    kept = np.sort(np.argsort(-taken, kind="stable")[:3])
    left = np.setdiff1d(np.arange(N_ITEMS), kept)
    assert B[left].count_nonzero() == B[:, left].count_nonzero() == 0
    few = [[item for item in user if item in kept] for user in users]
    torch.testing.assert_close(B.double().numpy(), naive(few, 2.5), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("settings", [{"l2": 0.0}, {"neighbours": 0}, {"max_items": 0}])
def test_settings_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=rf"model\.{next(iter(settings))}="):
        Ease(N_ITEMS, **settings)  # type: ignore[arg-type]
