from collections.abc import Callable, Sequence

import pytest

from ltsi.errors import DataError
from ltsi.sequences.column import Column
from ltsi.store import Store

MakeLog = Callable[..., Store]
TRAIN, VALID, TEST = range(3)


def log(make_log: MakeLog, *parts: Sequence[int]) -> Store:
    users = [[(i, i, "view") for i in range(len(part))] for part in parts]
    return make_log(*users, part=[one for part in parts for one in part])


def test_the_column_says_what_each_event_is_for(make_log: MakeLog) -> None:
    store = log(make_log, [TRAIN, TRAIN, VALID, TEST, TEST], [TRAIN, TEST], [TRAIN, VALID], [TRAIN], [VALID, TEST])
    split = Column(target="all")(store)
    assert split.train_end.tolist() == [2, 6, 8, 10, 10]
    assert split.valid.event.tolist() == [2, 8]
    assert split.test.event.tolist() == [3, 4, 6, 11]
    assert split.test.history_end.tolist() == [3, 3, 6, 11]
    # The last user has nothing before the validation.
    assert (split.report["cold_users_valid"], split.report["cold_users_test"]) == (1, 0)


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ([[TRAIN, TEST, VALID]], r"user 'u0' of store 'log' has a 'valid' event after a 'test' one"),
        ([[TRAIN, VALID, TEST], [VALID, TRAIN]], r"user 'u1' .* has a 'train' event after a 'valid' one"),
        (
            [[TEST], [], [TRAIN, VALID, TEST], [], [TRAIN, TEST, TRAIN]],
            r"user 'u4' .* 'train' event after a 'test' one",
        ),
    ],
)
def test_events_of_a_user_out_of_order_are_refused(
    make_log: MakeLog, parts: Sequence[Sequence[int]], sentence: str
) -> None:
    with pytest.raises(DataError, match=f"split=column: {sentence}; a user's train events must come first"):
        Column()(log(make_log, *parts))


def test_one_user_may_be_tested_while_the_next_is_trained_on(make_log: MakeLog) -> None:
    store = log(make_log, [TRAIN, VALID, TEST], [], [TRAIN, TRAIN], [TRAIN, VALID, TEST])
    assert Column()(store).test.event.tolist() == [2, 7]


def test_a_part_nobody_is_in_is_missed(make_log: MakeLog) -> None:
    with pytest.raises(
        DataError, match="split=column: no user of store 'log' has events before and after their first 'valid'"
    ):
        Column()(log(make_log, [TRAIN, TRAIN, TEST]))


def test_a_log_without_the_column_is_refused(make_log: MakeLog) -> None:
    with pytest.raises(DataError, match=r"store 'log' has none; prepare it with source\.columns\.part=COLUMN"):
        Column()(make_log([(0, 0, "view"), (1, 1, "view")]))
