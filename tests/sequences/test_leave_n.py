from collections.abc import Callable

import pytest

from ltsi.errors import ConfigError, DataError
from ltsi.sequences.leave_n import LeaveN
from ltsi.store import Store


@pytest.fixture
def store(make_store: Callable[..., Store]) -> Store:
    # Rows 0-5, 6-9, 10-14: the user in the middle has one event too few for two parts of two.
    return make_store(
        [(i, 100 + i) for i in range(6)],
        [(i, 200 + i) for i in range(4)],
        [(i, 300 + i) for i in range(5)],
    )


def test_the_last_n_events_are_the_test_and_the_n_before_them_the_validation(store: Store) -> None:
    split = LeaveN(2)(store)
    assert split.train_end.tolist() == [2, 10, 11]
    assert split.valid.event.tolist() == [2, 3, 11, 12]
    assert split.test.event.tolist() == [4, 5, 13, 14]
    assert split.test.user.tolist() == [0, 0, 2, 2]
    assert split.report["users_too_short"] == 1


def test_all_targets_of_a_user_have_one_history_and_one_now(store: Store) -> None:
    split = LeaveN(2)(store)
    assert split.test.history_end.tolist() == [4, 4, 13, 13]
    assert split.test.now.tolist() == [104, 104, 303, 303]


def test_the_next_event_alone_may_be_asked_for(store: Store) -> None:
    split = LeaveN(2, target="next")(store)
    assert split.test.event.tolist() == [4, 13]
    assert split.test.now.tolist() == [104, 303]


def test_short_users_are_only_trained_on(store: Store) -> None:
    assert LeaveN(2, min_events=6)(store).train_end.tolist() == [2, 10, 15]
    with pytest.raises(DataError, match="split=leave_n needs users with at least 7 events; store 'log' has none"):
        LeaveN(3)(store)


@pytest.mark.parametrize("n", [0, 1.5, "many"])
def test_n_is_a_whole_number(store: Store, n: int) -> None:
    with pytest.raises(ConfigError, match=rf"split\.n={n} must be a whole number from 1"):
        LeaveN(n)(store)


@pytest.mark.parametrize("least", [-1, 4.5, "five", None])
def test_the_fewest_events_are_a_whole_number(store: Store, least: int) -> None:
    with pytest.raises(ConfigError, match=rf"split\.min_events={least} must be a whole number from 0"):
        LeaveN(2, min_events=least)(store)


@pytest.mark.parametrize("target", ["last", ["next"], None])
def test_a_target_is_next_or_all(store: Store, target: str) -> None:
    with pytest.raises(ConfigError, match=r"split\.target=.* must be one of: next, all"):
        LeaveN(2, target=target)(store)
