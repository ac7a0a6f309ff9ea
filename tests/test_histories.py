from collections.abc import Callable

import torch

from ltsi.histories import Histories

MakeHistories = Callable[..., Histories]


def test_real_positions_and_the_last_of_them(make_histories: MakeHistories) -> None:
    shown = make_histories([1, 2, 3], [4], n_items=9, padding=1)
    assert len(shown) == 2
    assert shown.real_BL().tolist() == [[True, True, True, False], [True, False, False, False]]
    assert shown.last(shown.item_BL).tolist() == [3, 4]
    assert shown.last(torch.arange(16).view(2, 4, 2)).tolist() == [[4, 5], [8, 9]]


def test_recent_events_come_most_recent_first(make_histories: MakeHistories) -> None:
    shown = make_histories([1, 2, 3], [4], n_items=9, step=10)
    item_Bn, time_Bn, real_Bn = shown.recent(2)
    assert item_Bn.tolist() == [[3, 2], [4, 4]]
    assert real_Bn.tolist() == [[True, True], [True, False]]
    assert (time_Bn[0, 0] - time_Bn[0, 1]).item() == 10
    item_Bn, _, real_Bn = shown.recent(5)
    assert item_Bn[0].tolist() == [3, 2, 1, 1, 1]
    assert real_Bn.sum(1).tolist() == [3, 1]
