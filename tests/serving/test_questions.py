from collections.abc import Callable

import numpy as np
import pytest
import torch

from ltsi.histories import Histories
from ltsi.sequences import batches
from ltsi.sequences.batches import RankingBatches
from ltsi.sequences.leave_one_out import LeaveOneOut
from ltsi.serving.questions import Question, Questions
from ltsi.store import Store

MakeStore = Callable[..., Store]


def store_of(make_store: MakeStore, *, clock: bool = True) -> Store:
    users = [[(0, 10), (1, 20), (2, 20), (0, 30)], [(3, 25), (3, 40), (1, 50)], [(2, 5), (1, 6), (0, 7)]]
    if not clock:
        users = [[(item, at) for at, (item, _) in enumerate(user)] for user in users]
    return make_store(*users, clock=clock)


def ask(store: Store, at: int | None = None, *, hide: bool = False, max_length: int = 10) -> Question:
    (question,) = Questions(LeaveOneOut()(store), max_length, hide, at).of(np.arange(store.n_users))
    back = np.argsort(question.user_B)
    histories = question.histories
    columns = (histories.item_BL, histories.time_BL, histories.length_B, histories.now_BL, histories.user_B)
    ordered = Histories(*(column[back] for column in columns if column is not None))
    row = torch.from_numpy(np.argsort(back))[question.hidden_row]
    return Question(question.user_B[back], question.length_B[back], ordered, row, question.hidden_item)


def test_short_histories_come_first(make_store: MakeStore) -> None:
    (question,) = Questions(LeaveOneOut()(store_of(make_store)), 10, False).of(np.arange(3))
    assert question.user_B.tolist() == [1, 2, 0]
    assert question.histories.length_B.tolist() == [3, 3, 4]


def test_at_the_end_of_the_log_everything_is_history(make_store: MakeStore) -> None:
    question = ask(store_of(make_store))
    assert question.histories.item_BL.tolist() == [[0, 1, 2, 0], [3, 3, 1, 4], [2, 1, 0, 4]]
    assert question.histories.now_B.tolist() == [51, 51, 51]
    assert question.length_B.tolist() == [4, 3, 3]


def test_without_a_clock_now_comes_after_the_last_event_of_a_view_too(make_store: MakeStore) -> None:
    store = make_store([(0, 0), (1, 3), (2, 4)], [(1, 0), (0, 1), (2, 2)], clock=False)
    assert ask(store).histories.now_B.tolist() == [5, 3]


def test_what_happens_at_the_time_itself_is_not_history(make_store: MakeStore) -> None:
    question = ask(store_of(make_store), 20)
    assert question.length_B.tolist() == [1, 0, 3]
    assert question.histories.length_B.tolist() == [1, 0, 3]
    assert question.histories.user_B is not None
    assert question.histories.user_B.tolist() == [0, 1, 2]
    # An empty history is padding alone, whose time is the now.
    assert question.histories.item_BL[1].tolist() == [4, 4, 4]
    assert question.histories.time_BL[1].tolist() == [20, 20, 20]


def test_before_the_log_nobody_has_a_history(make_store: MakeStore) -> None:
    question = ask(store_of(make_store), 1, hide=True)
    assert question.histories.length_B.tolist() == [0, 0, 0]
    assert question.histories.item_BL.tolist() == [[4], [4], [4]]
    assert len(question.hidden_item) == 0


def test_without_a_clock_now_is_the_position_after_the_last_event(make_store: MakeStore) -> None:
    assert ask(store_of(make_store, clock=False)).histories.now_B.tolist() == [4, 3, 3]


def test_seen_items_are_those_of_the_whole_history(make_store: MakeStore) -> None:
    question = ask(store_of(make_store), hide=True, max_length=1)
    assert question.histories.item_BL.tolist() == [[0], [1], [0]]
    pairs = set(zip(question.hidden_row.tolist(), question.hidden_item.tolist(), strict=True))
    assert pairs == {(0, 0), (0, 1), (0, 2), (1, 3), (1, 1), (2, 2), (2, 1), (2, 0)}


@pytest.mark.parametrize("user", [1, 2])
def test_it_is_the_question_that_evaluation_asks(make_store: MakeStore, user: int) -> None:
    store = store_of(make_store)
    split = LeaveOneOut()(store)
    at = int(split.test.now[user])
    (question,) = Questions(split, 10, True, at).of(np.array([user]))
    (batch,) = [
        batch for batch in RankingBatches(store, split.test, 10, True, limit=None) if user in batch.index_B.tolist()
    ]
    row = batch.index_B.tolist().index(user)
    shown = int(batch.histories.length_B[row])
    assert torch.equal(batch.histories.item_BL[row, :shown], question.histories.item_BL[0, :shown])
    assert torch.equal(batch.histories.now_BL[row, :shown], question.histories.now_BL[0, :shown])
    assert sorted(batch.hidden_item[batch.hidden_row == row].tolist()) == sorted(question.hidden_item.tolist())


def test_what_is_held_at_a_time_is_bounded_as_in_evaluation(
    make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths = [*[4] * 12, *[10] * 8, 40]
    split = LeaveOneOut()(make_store(*[[(place % 5, place) for place in range(length)] for length in lengths]))

    def shapes(max_length: int = 50) -> list[tuple[int, ...]]:
        asked = list(Questions(split, max_length, False).of(np.arange(len(lengths))))
        assert sorted(user for one in asked for user in one.user_B.tolist()) == list(range(len(lengths)))
        return [tuple(one.histories.item_BL.shape) for one in asked]

    assert shapes(max_length=4) == [(21, 4)]
    monkeypatch.setattr(batches, "POSITION_BUDGET", 30)
    assert shapes() == [(7, 4), (5, 4), (3, 10), (3, 10), (2, 10), (1, 40)]
    monkeypatch.setattr(batches, "SCORE_BUDGET", 1)
    monkeypatch.setattr(batches, "FEWEST_RANKED", 6)
    assert shapes(max_length=4) == [(6, 4)] * 3 + [(3, 4)]
