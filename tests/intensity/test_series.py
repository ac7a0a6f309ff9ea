"""Series are weighted counts, whatever the order in which they are counted."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from ltsi.entities import Entities
from ltsi.errors import ConfigError, DataError
from ltsi.intensity import series as series_module
from ltsi.intensity.series import DAY, intensity_series
from ltsi.store import Store, user_blocks

WEEK = 7 * DAY
Log = Callable[..., Store]


def test_series_equal_a_naive_count(random_log: Callable[[int], Store], monkeypatch: pytest.MonkeyPatch) -> None:
    store, weights = random_log(3), {"view": 1.0, "buy": 2.5}
    now = int(store.time.max()) + 1
    wanted: dict[tuple[int, int, int], float] = defaultdict(float)
    for user in range(store.n_users):
        for row in range(store.offsets[user], store.offsets[user + 1]):
            days_before = (now - 1 - int(store.time[row])) // DAY
            wanted[user, int(store.item[row]), -days_before] += weights.get(store.behaviors[store.behavior[row]], 0.0)
    # The log has no table of items.
    items = Entities("item", np.arange(8, dtype=np.int32), list("abcdefgh"))
    monkeypatch.setattr(Entities, "of", lambda *_: items)
    for max_events in (1, 10_000):
        monkeypatch.setattr(series_module, "user_blocks", partial(user_blocks, max_events=max_events))
        found = intensity_series(store, "item", unit="day", weights=weights)
        x_ST = found.dense(0, len(found))
        got = {
            (int(found.user_S[s]), int(found.entity_S[s]), int(t) - found.bins.count + 1): x_ST[s, t]
            for s, t in zip(*np.nonzero(x_ST), strict=True)
        }
        assert got == pytest.approx({key: value for key, value in wanted.items() if value})
        assert sorted(zip(found.user_S, found.entity_S, strict=True)) == list(
            zip(found.user_S, found.entity_S, strict=True)
        )
        weight = np.array([weights.get(name, 0.0) for name in store.behaviors])[store.behavior]
        ofs = [weight[store.item == item] for item in range(8)]
        assert found.weight_E == pytest.approx([(of**2).sum() / of.sum() for of in ofs])


def test_the_last_bin_is_whole_and_ends_now(make_log: Log) -> None:
    found = intensity_series(make_log([(0, 0.0), (0, 6.9), (0, 7.1), (0, 20.0)]), "item", now=21 * DAY)
    assert found.bins.count == 3
    assert found.dense(0, 1).tolist() == [[2, 1, 1]]
    # Without a now the log ends with its last event.
    assert intensity_series(make_log([(0, 0.0), (0, 20.0)], name="b"), "item").bins.now == 20 * DAY + 1


def test_bins_can_be_laid_at_a_moment(make_log: Log) -> None:
    found = intensity_series(make_log([(0, 0.0), (0, 10.0), (0, 29.0)]), "all", now=30 * DAY, anchor=10 * DAY)
    # Two weeks are whole after the anchor; what comes then is left out.
    assert found.bins.now == 24 * DAY
    assert found.bins.of(np.array([10 * DAY - 1, 10 * DAY])).tolist() == [1, 2]
    assert found.dense(0, 1).tolist() == [[1, 0, 1, 0]]


def test_entities_are_items_columns_or_everything(make_log: Log) -> None:
    store = make_log([(0, 0.0), (1, 1.0), (2, 2.0)], category=["a", "b", "a"])
    for entity, labels in (("auto", ["a", "b"]), ("category", ["a", "b"]), ("item", ["0", "1", "2"]), ("all", None)):
        found = intensity_series(store, entity)
        assert found.entities.labels == (labels or ["any event"])
        assert found.total_T.tolist() == [3]
    with pytest.raises(DataError, match="have no column 'colour'"):
        intensity_series(store, "colour")


@pytest.mark.parametrize(
    ("weights", "sentence"),
    [
        ({"bye": 1}, "weights names 'bye', .* has the behaviours: view, cart, buy"),
        ({"buy": -1}, "weights.buy=-1 must be a number from 0"),
        ({"buy": float("nan")}, "weights.buy=nan must be a number from 0"),
        ({"buy": 0}, "with these nothing counts"),
    ],
)
def test_weights_that_mean_nothing_are_refused(
    random_log: Callable[[int], Store], weights: dict[str, float], sentence: str
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        series_module.behavior_weights(random_log(1), weights)


def test_moments_that_mean_nothing_are_refused(make_log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    store = make_log([(0, 100.0), (0, 200.0)])
    with pytest.raises(DataError, match=r"now=1970-01-02 .* is before the first event"):
        intensity_series(store, "item", now=DAY)
    with pytest.raises(ConfigError, match="bin=month must be one of: day, week"):
        intensity_series(store, "item", unit="month")
    with pytest.raises(ConfigError, match=r"spans 30,\d+ bins of bin=day"):
        intensity_series(make_log([(0, 0.0), (0, 30_000.0)], name="long"), "item", unit="day", now=30_001 * DAY)
    monkeypatch.setattr(time, "time", lambda: 150.0 * DAY)
    with pytest.raises(DataError, match="has events in the future, up to 1970-07-20"):
        intensity_series(store, "item")
    assert len(intensity_series(store, "item", now=150 * DAY)) == 1
