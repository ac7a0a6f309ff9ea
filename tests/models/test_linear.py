"""What the linear models share: who is left out, and the one number that makes scores a distribution."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from ltsi.errors import DataError
from ltsi.histories import Histories
from ltsi.models.ease import Ease
from ltsi.models.item_knn import ItemKnn
from ltsi.models.linear import count_interactions, fit_sharpness, leave_out, without_users
from ltsi.models.mf import MatrixFactorisation
from ltsi.sequences.leave_one_out import LeaveOneOut
from ltsi.sequences.split import Split
from ltsi.store import Store

MakeStore = Callable[..., Store]


def split_of(make_store: MakeStore, *users: list[int], n_items: int = 6) -> Split:
    """The last two events of each user are held out, so they are added here."""
    return LeaveOneOut()(
        make_store(*([(item, 10 * i) for i, item in enumerate([*user, 0, 0])] for user in users), n_items=n_items)
    )


def test_interactions_are_counted_in_training_alone(make_store: MakeStore) -> None:
    counts = count_interactions(split_of(make_store, [1, 1, 2], [5]))
    assert counts.toarray().tolist() == [[0, 2, 1, 0, 0, 0], [0, 0, 0, 0, 0, 1]]
    assert without_users(counts, np.array([0])).toarray().tolist() == [[0] * 6, [0, 0, 0, 0, 0, 1]]


def test_left_out_users_are_asked_for_their_last_training_event(make_store: MakeStore) -> None:
    left_out = leave_out(split_of(make_store, [1], [1, 2, 3], [4, 5], [2, 3]))
    # One of the three users with two events: at most half of them.
    assert left_out.targets.user.tolist() == [1]
    (batch,) = left_out.batches()
    assert batch.histories.item_BL.tolist() == [[1, 2]]
    assert batch.histories.now_B.tolist() == [20]
    assert batch.target_B.tolist() == [3]


def test_the_sharpness_is_the_one_that_targets_were_drawn_with(make_store: MakeStore) -> None:
    """Items are drawn from softmax(2.5 s), with the same s for everybody."""
    random, score_I = np.random.default_rng(0), np.linspace(-1, 1, 6)
    p_I = np.exp(2.5 * score_I) / np.exp(2.5 * score_I).sum()
    left_out = leave_out(split_of(make_store, *random.choice(6, (1_500, 2), p=p_I).tolist()))

    def scores(histories: Histories) -> Tensor:
        return torch.from_numpy(score_I).float().repeat(len(histories), 1)

    assert fit_sharpness(scores, left_out.batches()) == pytest.approx(2.5, rel=0.1)


def test_scores_that_say_nothing_need_no_sharpness(make_store: MakeStore) -> None:
    left_out = leave_out(split_of(make_store, [1, 2], [1, 2]))
    assert fit_sharpness(lambda histories: torch.zeros(len(histories), 6), left_out.batches()) == 1


@pytest.mark.parametrize("model", [Ease, ItemKnn, MatrixFactorisation])
def test_noise_is_not_trusted(model: type, make_store: MakeStore, make_histories: Callable[..., Histories]) -> None:
    """Weights that have seen an event are sure of it; where there is nothing to know they must not be."""
    random = np.random.default_rng(0)
    split = split_of(make_store, *random.integers(0, 40, (60, 6)).tolist(), n_items=40)
    torch.manual_seed(0)
    fitted = model(40)
    fitted.fit_statistics(split)
    score_BI = fitted(make_histories(*random.integers(0, 40, (20, 5)).tolist(), n_items=40))
    assert float(score_BI.softmax(1).amax()) < 0.2


@pytest.mark.parametrize("model", [Ease, ItemKnn, MatrixFactorisation])
def test_a_half_life_needs_a_clock(model: type, make_store: MakeStore) -> None:
    store = make_store(*[[(item, place) for place, item in enumerate([1, 2, 3, 0])]] * 4, clock=False)
    with pytest.raises(DataError, match=r"model\.half_life needs times"):
        model(4, half_life=3.0).fit_statistics(LeaveOneOut()(store))
