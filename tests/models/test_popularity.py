from collections.abc import Callable

import torch

from ltsi.histories import Histories
from ltsi.models.popularity import Popularity, count_items
from ltsi.sequences.leave_one_out import LeaveOneOut
from ltsi.store import Store

# Training events: 0 1 1, then 1 2, then one user who is only trained on: 3.
USERS = [[0, 1, 1, 0, 0], [1, 2, 0, 0], [3]]


def test_probabilities_are_shares_of_the_training_events(
    make_store: Callable[..., Store], make_histories: Callable[..., Histories]
) -> None:
    split = LeaveOneOut()(make_store(*([(item, i) for i, item in enumerate(user)] for user in USERS), n_items=5))
    assert count_items(split).tolist() == [1, 3, 1, 1, 0]
    model = Popularity(5)
    model.fit_statistics(split)
    p_BI = model(make_histories([4], [0, 1, 2], n_items=5)).softmax(dim=1)
    torch.testing.assert_close(p_BI, torch.tensor([[1, 3, 1, 1, 0]] * 2) / 6)
