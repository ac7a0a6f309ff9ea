from collections.abc import Callable

import pytest

from ltsi.errors import ConfigError, DataError
from ltsi.sequences.ratio import Ratio
from ltsi.store import Store


@pytest.fixture
def store(make_store: Callable[..., Store]) -> Store:
    # Rows 0-9, 10-12, 13, 14-113.
    return make_store(*([(0, i) for i in range(n)] for n in (10, 3, 1, 100)))


def test_every_user_is_cut_at_shares_of_their_own_events(store: Store) -> None:
    split = Ratio(0.8, 0.9)(store)
    # 0.8 and 0.9 of 3 are 2.4 and 2.7: two events are trained on, the third is the test. A lone event is trained on.
    assert split.train_end.tolist() == [8, 12, 14, 94]
    assert split.valid.event.tolist() == [8, 94]
    assert split.test.event.tolist() == [9, 12, 104]


def test_all_events_of_a_share_may_be_asked_for(store: Store) -> None:
    split = Ratio(0.8, 0.9, target="all")(store)
    assert split.valid.event.tolist() == [8, *range(94, 104)]
    assert split.test.event.tolist() == [9, 12, *range(104, 114)]
    assert set(split.test.history_end[2:].tolist()) == {104}


def test_shares_are_not_lost_to_binary_fractions(store: Store) -> None:
    # 0.29 * 100 is 28.999999999999996.
    assert Ratio(0.29, 0.58)(store).train_end[3] == 14 + 29


def test_a_users_first_event_is_trained_on(store: Store) -> None:
    split = Ratio(0.01, 0.5)(store)
    assert split.train_end.tolist() == [1, 11, 14, 15]
    assert split.report["cold_users_valid"] == 0


@pytest.mark.parametrize(
    ("valid", "test", "sentence"),
    [
        (0.9, 0.8, r"split\.valid=0\.9 must be less than split\.test=0\.8"),
        (0.9, 0.9, "must be less than"),
        (0, 0.8, r"split\.valid=0 must be a share between 0 and 1"),
        (0.8, 1.0, r"split\.test=1\.0 must be a share between 0 and 1"),
        (0.8, "2011-09-01", r"split\.test=2011-09-01 must be a share"),
    ],
)
def test_shares_that_cannot_be_meant_are_refused(store: Store, valid: float, test: float, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        Ratio(valid, test)(store)


def test_an_empty_part_is_refused(make_store: Callable[..., Store]) -> None:
    with pytest.raises(
        DataError, match=r"split=ratio: no user of store 'log' has events before and after split\.valid"
    ):
        Ratio()(make_store([(0, 1), (1, 2)]))
