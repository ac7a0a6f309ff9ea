from collections.abc import Callable

import pytest

from ltsi.errors import ConfigError, DataError
from ltsi.sequences.global_time import GlobalTime
from ltsi.sequences.split import Split
from ltsi.store import Store

JAN, FEB, MAR, APR = 1_672_531_200, 1_675_209_600, 1_677_628_800, 1_680_307_200  # first days of months of 2023, UTC
DAY = 86_400
FEBRUARY, MARCH = "2023-02-01", "2023-03-01"


@pytest.fixture
def store(make_store: Callable[..., Store]) -> Store:
    return make_store(
        [(0, JAN), (1, JAN + DAY), (2, FEB), (3, FEB + DAY), (4, MAR + DAY)],  # rows 0-4: in all parts
        [(0, JAN), (1, MAR), (5, MAR + DAY)],  # rows 5-7: silent in February
        [(2, FEB + DAY), (2, APR)],  # rows 8-9: cold until February
        [(1, APR)],  # row 10: cold until March
        [(0, JAN), (3, FEB - 1)],  # rows 11-12: never seen again
    )


@pytest.fixture
def split(store: Store) -> Split:
    return GlobalTime(FEBRUARY, MARCH)(store)


def test_training_is_what_came_before_the_first_cut(split: Split) -> None:
    assert split.train_end.tolist() == [2, 6, 8, 10, 13]
    assert split.training_end_time() == FEB - 1


def test_the_target_is_the_first_event_at_or_after_the_cut(split: Split, store: Store) -> None:
    assert split.valid.user.tolist() == [0]
    assert split.valid.event.tolist() == [2]  # exactly on the cut
    assert split.valid.history_end.tolist() == [2]
    assert split.test.user.tolist() == [0, 1, 2]
    assert split.test.event.tolist() == [4, 6, 9]
    assert split.test.history_end.tolist() == [4, 6, 9]
    assert (store.time[split.test.event] >= MAR).all()
    assert (store.time[split.test.history_end - 1] < MAR).all()


def test_cold_users_and_items_are_counted(split: Split) -> None:
    report = split.report
    assert (report["cut_valid"], report["cut_test"]) == (FEB, MAR)
    assert report["cold_users_valid"] == 1  # the third user
    assert report["cold_users_test"] == 1  # the fourth user
    # Trained items are 0, 1 and 3: validation ranks item 2, test the items 4, 1 and 2.
    assert report["cold_items_valid"] == 1
    assert report["cold_items_test"] == 2


def test_shares_of_the_events_cut_at_the_time_of_an_event(make_store: Callable[..., Store]) -> None:
    store = make_store([(0, t) for t in range(100, 110)], [(0, t) for t in range(100, 110)])
    split = GlobalTime(0.8, 0.9)(store)
    # 20 events: the 0.8 quantile lies between positions 15 and 16 of the sorted times, the 0.9 between 17 and 18.
    assert (split.report["cut_valid"], split.report["cut_test"]) == (108, 109)
    assert store.time[split.valid.event].tolist() == [108, 108]
    assert store.time[split.test.event].tolist() == [109, 109]


def test_a_date_with_a_zone_is_converted(store: Store) -> None:
    split = GlobalTime("2023-02-01T02:00:00+02:00", MARCH)(store)
    assert split.report["cut_valid"] == FEB


def test_a_log_without_a_clock_is_refused(make_store: Callable[..., Store]) -> None:
    with pytest.raises(DataError, match="split=global_time needs times"):
        GlobalTime()(make_store([(0, 0), (1, 1)], clock=False))


@pytest.mark.parametrize(
    ("valid", "test", "sentence"),
    [
        (MARCH, FEBRUARY, r"split\.valid .2023-03-01.* must come before split\.test"),
        (MARCH, MARCH, r"must come before"),
        (0.9, 0.8, r"must come before"),
        ("soon", MARCH, r"split\.valid=soon is neither a share like 0\.8 nor a date"),
        (None, MARCH, r"split\.valid=None is neither a share like 0\.8 nor a date"),
        (FEBRUARY, [2023], r"split\.test=\[2023\] is neither a share like 0\.8 nor a date"),
        (FEBRUARY, 1.0, r"split\.test=1\.0 must be a share between 0 and 1"),
        (0, MARCH, r"split\.valid=0 must be a share between 0 and 1"),
    ],
)
def test_cuts_that_cannot_be_meant_are_refused(
    store: Store, valid: float | str, test: float | str, sentence: str
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        GlobalTime(valid, test)(store)


def test_an_empty_part_is_refused(store: Store) -> None:
    with pytest.raises(DataError, match=r"no user of store 'log' has events before and after split\.test \(2024"):
        GlobalTime(FEBRUARY, "2024-01-01")(store)


def test_every_event_of_a_horizon_may_be_asked_for(store: Store) -> None:
    split = GlobalTime(FEBRUARY, MARCH, target="all")(store)
    assert split.valid.user.tolist() == [0, 0]
    assert split.valid.event.tolist() == [2, 3]
    assert split.valid.history_end.tolist() == [2, 2]
    # Asked at the first of them, for both.
    assert split.valid.now.tolist() == [FEB, FEB]
    assert split.test.event.tolist() == [4, 6, 7, 9]
    assert split.test.history_end.tolist() == [4, 6, 6, 9]
    assert split.test.now.tolist() == [MAR + DAY, MAR, MAR, APR]
    assert split.report["targets_test"] == 4
    assert split.report["users_test"] == 3
