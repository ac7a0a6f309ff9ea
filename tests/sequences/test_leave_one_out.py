from collections.abc import Callable

import pytest

from ltsi.errors import DataError
from ltsi.sequences.leave_one_out import LeaveOneOut
from ltsi.store import Store


@pytest.fixture
def store(make_store: Callable[..., Store]) -> Store:
    # Rows 0-4, 5-6, 7-9: the user in the middle is too short.
    return make_store(
        [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)],
        [(0, 1), (1, 2)],
        [(5, 1), (6, 2), (7, 3)],
    )


def test_the_last_event_is_the_test_and_the_one_before_it_the_validation(store: Store) -> None:
    split = LeaveOneOut()(store)
    assert split.train_end.tolist() == [3, 7, 8]
    for part, item in ((split.valid, [3, 6]), (split.test, [4, 7])):
        assert part.user.tolist() == [0, 2]
        assert store.item[part.event].tolist() == item
        assert part.history_end.tolist() == part.event.tolist()


def test_the_test_history_contains_the_validation_event(store: Store) -> None:
    split = LeaveOneOut()(store)
    assert (split.test.history_end == split.valid.event + 1).all()


def test_no_training_event_is_a_target(store: Store) -> None:
    split = LeaveOneOut()(store)
    trained = {row for block in [*zip(store.offsets, split.train_end, strict=False)] for row in range(*block)}
    assert trained.isdisjoint({*split.valid.event, *split.test.event})
    assert len(trained) == store.n_events - 4


def test_short_users_are_trained_on_and_counted(store: Store) -> None:
    assert LeaveOneOut()(store).report["users_too_short"] == 1
    split = LeaveOneOut(min_events=4)(store)
    assert split.test.user.tolist() == [0]
    assert split.train_end.tolist() == [3, 7, 10]
    assert split.report["users_too_short"] == 2


def test_fewer_than_three_events_never_make_a_test(store: Store) -> None:
    assert LeaveOneOut(min_events=1)(store).test.user.tolist() == [0, 2]


def test_the_store_is_not_changed(store: Store) -> None:
    LeaveOneOut()(store)
    assert store.offsets.tolist() == [0, 5, 7, 10]


def test_a_store_of_short_users_is_refused(make_store: Callable[..., Store]) -> None:
    with pytest.raises(DataError, match="split=leave_one_out needs users with at least 3 events; store 'log' has none"):
        LeaveOneOut()(make_store([(0, 1), (1, 2)], [(0, 1)]))
