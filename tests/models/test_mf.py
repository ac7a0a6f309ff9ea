import threading
from collections.abc import Callable

import numpy as np
import pytest
import threadpoolctl
import torch
from implicit.cpu.als import AlternatingLeastSquares

from ltsi.errors import ConfigError
from ltsi.histories import Histories
from ltsi.models.linear import count_interactions
from ltsi.models.mf import MatrixFactorisation
from ltsi.sequences.leave_one_out import LeaveOneOut
from ltsi.sequences.split import Split
from ltsi.store import Store

N_ITEMS = 12
MakeHistories = Callable[..., Histories]


@pytest.fixture
def users() -> list[list[int]]:
    """Users who take items of one of two halves of the catalogue."""
    random = np.random.default_rng(0)
    return [(random.integers(0, 6, 6) + 6 * (user % 2)).tolist() for user in range(60)]


@pytest.fixture
def split(users: list[list[int]], make_store: Callable[..., Store]) -> Split:
    events = ([(item, i) for i, item in enumerate([*user, *user[:2]])] for user in users)
    return LeaveOneOut()(make_store(*events, n_items=N_ITEMS))


def fitted(split: Split, seed: int = 0, **settings: object) -> MatrixFactorisation:
    torch.manual_seed(seed)
    model = MatrixFactorisation(N_ITEMS, **{"factors": 4, **settings})  # type: ignore[arg-type]
    model.fit_statistics(split)
    return model


def test_a_training_user_is_folded_in_as_the_library_does(
    split: Split, users: list[list[int]], make_histories: MakeHistories
) -> None:
    model = fitted(split, fade=1.0, alpha=3.0, regularization=0.1)
    counts = count_interactions(split)
    library = AlternatingLeastSquares(4, 0.1, 3.0, random_state=1)
    with threadpoolctl.threadpool_limits(1, "blas"):
        library.fit(counts, show_progress=False)
    model.item_ID = torch.from_numpy(library.item_factors)
    shown = make_histories(*users, n_items=N_ITEMS, padding=2)
    with torch.no_grad():
        user_BD, score_BI = model._solve(shown, model.fading(shown)), model.linear_scores(shown)
    asked = np.arange(len(users))
    expected = library.recalculate_user(asked, counts)
    torch.testing.assert_close(user_BD.numpy(), expected, rtol=1e-3, atol=1e-4)
    # The vectors of its own last pass were solved for the items of the pass before.
    own = library.user_factors @ library.item_factors.T
    assert np.corrcoef(score_BI.numpy().ravel(), own.ravel())[0, 1] > 0.99


def test_the_equations_of_a_faded_history_are_those_of_the_formula(split: Split, make_histories: MakeHistories) -> None:
    model = fitted(split, fade=0.5, alpha=3.0, regularization=0.1)
    shown = make_histories([2, 7, 2], n_items=N_ITEMS)
    Y = model.item_ID.double()
    A, b = Y.T @ Y + 0.1 * torch.eye(4), torch.zeros(4, dtype=torch.float64)
    # Item 2 weighs 1 + 1/4, item 7 a half: less than an event, whose claim on "not taken" is given up by half.
    for item, weight, given_up in ((2, 1.25, 1.0), (7, 0.5, 0.5)):
        A += (3.0 * weight - given_up) * torch.outer(Y[item], Y[item])
        b += 3.0 * weight * Y[item]
    torch.testing.assert_close(model._solve(shown, model.fading(shown))[0].double(), torch.linalg.solve(A, b))


def test_a_user_of_bpr_is_the_faded_mean_of_the_items(split: Split, make_histories: MakeHistories) -> None:
    model = fitted(split, algorithm="bpr", fade=0.5)
    v, score_BI = model.item_ID, model.linear_scores(make_histories([2, 7], [3], n_items=N_ITEMS))
    mean_D = (0.5 * v[2] + v[7]) / 1.5
    torch.testing.assert_close(score_BI[0], v @ (mean_D * model.stretch) + model.bias_I)
    torch.testing.assert_close(score_BI[1], v @ (v[3] * model.stretch) + model.bias_I)
    assert model.stretch > 0
    assert model.bias_I.count_nonzero() == N_ITEMS


@pytest.mark.parametrize("algorithm", ["als", "bpr"])
def test_a_planted_half_comes_first(algorithm: str, split: Split, make_histories: MakeHistories) -> None:
    model = fitted(split, algorithm=algorithm)
    score_BI = model(make_histories([1, 4, 2], [8, 11], n_items=N_ITEMS))
    assert score_BI[0, :6].min() > score_BI[0, 6:].max()
    assert score_BI[1, 6:].min() > score_BI[1, :6].max()


@pytest.mark.parametrize("algorithm", ["als", "bpr"])
def test_the_seed_of_the_run_is_the_seed(algorithm: str, split: Split) -> None:
    one, same, other = (fitted(split, seed, algorithm=algorithm).item_ID for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_the_threads_of_others_are_left_as_they_were(split: Split) -> None:
    before = [(pool["filepath"], pool["num_threads"]) for pool in threadpoolctl.threadpool_info()]
    threads = threading.active_count()
    fitted(split)
    assert [(pool["filepath"], pool["num_threads"]) for pool in threadpoolctl.threadpool_info()] == before
    assert threading.active_count() == threads


@pytest.mark.parametrize(
    "settings", [{"algorithm": "svd"}, {"factors": 0}, {"regularization": 0.0}, {"iterations": 0}, {"alpha": -1.0}]
)
def test_settings_out_of_range_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=rf"model\.{next(iter(settings))}="):
        MatrixFactorisation(N_ITEMS, **settings)  # type: ignore[arg-type]
