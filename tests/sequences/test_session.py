from collections.abc import Callable

import pytest

from ltsi.errors import ConfigError, DataError
from ltsi.sequences.session import Session
from ltsi.store import Store

HALF_HOUR = 1800


@pytest.fixture
def store(make_store: Callable[..., Store]) -> Store:
    return make_store(
        # Rows 0-6: three sessions; a pause of exactly half an hour belongs to the first.
        [(0, 0), (1, HALF_HOUR), (2, 2 * HALF_HOUR), (3, 9000), (4, 9000), (5, 20_000), (6, 20_060)],
        # Rows 7-8: one session.
        [(0, 30_000), (1, 30_001)],
        # Rows 9-12: four sessions.
        [(0, 0), (1, 10_000), (2, 20_000), (3, 30_000)],
    )


def test_the_last_session_is_the_test_and_the_one_before_it_the_validation(store: Store) -> None:
    split = Session(30, target="all")(store)
    assert split.train_end.tolist() == [3, 9, 11]
    assert split.valid.event.tolist() == [3, 4, 11]
    assert split.test.event.tolist() == [5, 6, 12]
    assert split.test.history_end.tolist() == [5, 5, 12]
    assert split.test.now.tolist() == [20_000, 20_000, 30_000]
    assert split.report["users_too_short"] == 1


def test_the_first_event_of_a_session_is_asked_for(store: Store) -> None:
    assert Session(30)(store).test.event.tolist() == [5, 12]


def test_a_longer_gap_makes_fewer_sessions(store: Store) -> None:
    # With 150 minutes (9000 s) user 0 has two sessions; user 2 still has four.
    assert Session(150)(store).test.event.tolist() == [12]


def test_a_log_of_few_sessions_is_refused(store: Store) -> None:
    with pytest.raises(DataError, match=r"users with at least 3 sessions.*more than split\.gap_minutes=600 apart"):
        Session(600)(store)


@pytest.mark.parametrize("gap", [0, -1, "long"])
def test_a_gap_is_a_number_above_zero(store: Store, gap: float) -> None:
    with pytest.raises(ConfigError, match=rf"split\.gap_minutes={gap} must be a number above 0"):
        Session(gap)(store)


def test_a_log_without_a_clock_is_refused(make_store: Callable[..., Store]) -> None:
    with pytest.raises(DataError, match="split=session needs times"):
        Session()(make_store([(0, 0), (1, 1)], clock=False))
