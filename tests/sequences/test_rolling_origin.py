from collections.abc import Callable

import pytest

from ltsi.errors import ConfigError, DataError
from ltsi.sequences.rolling_origin import RollingOrigin
from ltsi.store import Store

DAY = 86_400


@pytest.fixture
def store(make_store: Callable[..., Store]) -> Store:
    # Two users with an event a day from 1970-01-01 on, ten days.
    return make_store(*([(i, DAY * i) for i in range(10)] for _ in range(2)))


def folds(store: Store, **settings: object) -> list[list[list[int]]]:
    """Lists the days of each fold that are trained on, validated and tested, of the first user."""
    found = []
    for fold in range(3):
        split = RollingOrigin(folds=3, fold=fold, target="all", **settings)(store)  # type: ignore[arg-type]
        parts = [part.event[part.user == 0].tolist() for part in (split.valid, split.test)]
        found.append([list(range(split.train_end[0])), *parts])
    return found


def test_the_origin_rolls_over_windows_of_equal_length(store: Store) -> None:
    assert folds(store, start="1970-01-03", end="1970-01-11") == [
        [[0, 1], [2, 3], [4, 5]],
        [[0, 1, 2, 3], [4, 5], [6, 7]],
        [[0, 1, 2, 3, 4, 5], [6, 7], [8, 9]],
    ]


def test_the_origin_rolls_over_windows_of_equally_many_events(make_store: Callable[..., Store]) -> None:
    # The same 20 events, but the last of them years later: shares do not care.
    store = make_store(*([(i, DAY * i if i < 6 else 10_000 * DAY * i) for i in range(10)] for _ in range(2)))
    # Quantiles of days 0 0 1 1 ... 9 9 at 0.2, 0.4, 0.6, 0.8 of positions 0 .. 19, rounded up: positions 4, 8, 12, 16.
    assert folds(store, start=0.2) == [
        [[0, 1], [2, 3], [4, 5]],
        [[0, 1, 2, 3], [4, 5], [6, 7]],
        [[0, 1, 2, 3, 4, 5], [6, 7], [8, 9]],
    ]


def test_what_comes_after_a_fold_is_not_used(store: Store) -> None:
    split = RollingOrigin(folds=3, fold=0, start=0.2)(store)
    assert split.test.event.tolist() == [4, 14]
    assert split.report["cut_end"] == 6 * DAY


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"fold": 5}, r"split\.fold=5 must be a whole number from 0 to 4 \(split\.folds=5\)"),
        ({"fold": -1}, r"split\.fold=-1 must be"),
        ({"folds": 0}, r"split\.folds=0 must be a whole number from 1"),
        ({"start": "soon"}, r"split\.start=soon is neither a share"),
        ({"end": 1.5}, r"split\.end=1\.5 must be a share between 0 and 1"),
        ({"start": 0.9, "end": 0.5}, r"split\.start .1970-01-10.* and split\.end .* leave no time for 6 windows"),
        ({"folds": 30}, "leave no time for 31 windows; take fewer folds"),
    ],
)
def test_folds_that_cannot_be_meant_are_refused(store: Store, settings: dict[str, float], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        RollingOrigin(**settings)(store)  # type: ignore[arg-type]


def test_a_log_without_a_clock_is_refused(make_store: Callable[..., Store]) -> None:
    with pytest.raises(DataError, match="split=rolling_origin needs times"):
        RollingOrigin()(make_store([(0, 0), (1, 1)], clock=False))
