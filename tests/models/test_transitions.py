from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from ltsi.histories import Histories
from ltsi.models.transitions import Transitions
from ltsi.sequences.leave_one_out import LeaveOneOut
from ltsi.store import Store

MakeHistories = Callable[..., Histories]


def fitted(make_store: Callable[..., Store], users: Sequence[Sequence[int]], **settings: float) -> Transitions:
    """Fits a model; the last two events of each user are held out, so they are added here."""
    store = make_store(*([(item, i) for i, item in enumerate([*user, 0, 0])] for user in users), n_items=6)
    model = Transitions(6, **settings)  # type: ignore[arg-type]
    model.fit_statistics(LeaveOneOut()(store))
    return model


def test_probabilities_are_faded_counts_of_what_followed(
    make_store: Callable[..., Store], make_histories: MakeHistories
) -> None:
    # Followed 1: 2 twice, 3 once. Followed 2: 3 once, 4 twice.
    model = fitted(make_store, [[1, 2, 4], [1, 2, 4], [1, 3], [2, 3]], steps=2, fade=0.25)
    votes_BI = model.votes(make_histories([1], [5, 1], [2, 1], [1, 2, 1], n_items=6))
    one, two = torch.tensor([0.0, 0, 2, 1, 0, 0]), torch.tensor([0.0, 0, 0, 1, 2, 0])
    torch.testing.assert_close(votes_BI, torch.stack([one, one, one + 0.25 * two, one + 0.25 * two]))
    torch.testing.assert_close(model(make_histories([1], n_items=6)).softmax(1)[0], one / 3)


def test_counts_are_those_of_a_naive_loop(make_store: Callable[..., Store], make_histories: MakeHistories) -> None:
    random = np.random.default_rng(0)
    users = [random.integers(0, 6, length).tolist() for length in (1, 2, 9, 15, 4)]
    model, asked = fitted(make_store, users, steps=3, fade=0.5), users[3]
    expected = np.zeros(6)
    for step in range(3):
        for user in users:
            for one, following in pairwise(user):
                expected[following] += 0.5**step * (one == asked[-1 - step])
    torch.testing.assert_close(model.votes(make_histories(asked, n_items=6))[0].double(), torch.from_numpy(expected))


def test_users_do_not_run_into_each_other(make_store: Callable[..., Store], make_histories: MakeHistories) -> None:
    model = fitted(make_store, [[1, 2], [3, 4]])
    assert model.votes(make_histories([2], n_items=6)).sum() == 0


def test_users_without_a_training_event_change_nothing(make_store: Callable[..., Store]) -> None:
    split = LeaveOneOut()(make_store(*[[(1, 0), (2, 1), (0, 2), (0, 3)]] * 3, n_items=6))
    cold = replace(split, train_end=np.array([split.store.offsets[0], split.train_end[1], split.store.offsets[2]]))
    model = Transitions(6)
    model.fit_statistics(cold)
    assert (model.next_E.tolist(), model.count_E.tolist()) == ([2], [1.0])


def test_an_item_that_nothing_followed_says_nothing(
    make_store: Callable[..., Store], make_histories: MakeHistories
) -> None:
    model = fitted(make_store, [[1, 2]])
    score_BI = model(make_histories([5], [1], n_items=6))
    torch.testing.assert_close(score_BI[0].softmax(0), torch.full((6,), 1 / 6))
    silent, sure = model.evidence(score_BI, score_BI.logsumexp(1)).tolist()
    assert silent == 0 < sure == pytest.approx(np.log(2))


def test_more_counts_are_more_evidence(make_store: Callable[..., Store], make_histories: MakeHistories) -> None:
    model = fitted(make_store, [[1, 2]] * 3 + [[3, 4]])
    score_BI = model(make_histories([1], [3], n_items=6))
    many, few = model.evidence(score_BI, score_BI.logsumexp(1)).tolist()
    assert many > few > 0


def test_an_empty_history_is_popularity_without_evidence(
    make_store: Callable[..., Store], make_histories: MakeHistories
) -> None:
    model = fitted(make_store, [[1, 2, 2], [2, 3]])
    score_BI = model(make_histories([], [2], n_items=6))
    torch.testing.assert_close(score_BI[0].softmax(0), torch.tensor([0, 0.2, 0.6, 0.2, 0, 0]))
    assert model.evidence(score_BI, score_BI.logsumexp(1))[0].item() == pytest.approx(0, abs=1e-6)
