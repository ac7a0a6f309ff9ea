from collections.abc import Callable

import torch

from ltsi.histories import Histories, RankingBatch

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


def test_pieces_of_a_ranking_batch_keep_their_own_hidden_items(make_histories: MakeHistories) -> None:
    shown = make_histories([1, 2, 3], [4], [5, 6], n_items=9)
    hidden = torch.tensor([2, 0, 0]), torch.tensor([5, 1, 2])
    batch = RankingBatch(shown, torch.tensor([7, 8, 0]), torch.tensor([10, 11, 12]), *hidden)
    one, other = batch.pieces(2)
    assert one.histories.length_B.tolist() == [3, 1]
    assert (one.target_B.tolist(), one.index_B.tolist()) == ([7, 8], [10, 11])
    assert (one.hidden_row.tolist(), one.hidden_item.tolist()) == ([0, 0], [1, 2])
    assert other.histories.item_BL.tolist() == shown.item_BL[2:].tolist()
    assert (other.target_B.tolist(), other.hidden_row.tolist(), other.hidden_item.tolist()) == ([0], [0], [5])
