from collections.abc import Callable

import numpy as np
import pytest

from ltsi.decay.result import FitOptions
from ltsi.decay.return_decay import fit_return_decay, observation_end
from ltsi.errors import DataError
from ltsi.sequences.global_time import GlobalTime
from ltsi.sequences.leave_one_out import LeaveOneOut
from ltsi.sequences.split import Split, Targets
from ltsi.store import Store

DAY = 86_400
MakeStore = Callable[..., Store]
ONE_ENTITY = np.zeros(10, dtype=np.int64)


def whole(store: Store) -> Split:
    nobody = Targets.none()
    return Split(store, np.asarray(store.offsets[1:]), nobody, nobody)


def test_only_the_training_part_is_read(make_store: MakeStore) -> None:
    store = make_store([(0, 0.0), (0, 2.0), (0, 4.0), (0, 6.0)], [(0, 1.0), (0, 9.0)])
    found = fit_return_decay(LeaveOneOut()(store), ONE_ENTITY, ["all"]).entities[0]
    # User 0 keeps the events of days 0 and 2; user 1 is too short to be tested and keeps both.
    assert (found.visits, found.returns) == (4, 2)


def test_a_user_with_later_events_is_watched_until_the_first_of_them(make_store: MakeStore) -> None:
    store = make_store([(0, 0.0), (0, 2.0), (0, 4.0), (0, 6.0)], [(0, 1.0), (0, 9.0)])
    split = LeaveOneOut()(store)
    assert observation_end(split, split.training_end_time()).tolist() == [4 * DAY, 9 * DAY]


def test_leaving_events_out_bends_the_rate_little(make_store: MakeStore) -> None:
    """Windows that end at a visit of their own make short histories fade 17 % too slowly."""
    generator, rate, users = np.random.default_rng(5), 0.03, []
    for _ in range(3000):
        visits: list[tuple[int, float]] = []
        for entity in range(5):
            now = generator.uniform(0, 200)
            while now < 200 and (visits or generator.random() > 0.4):
                visits.append((entity, now))
                used = generator.exponential() * rate / 0.04
                now += 0.5 - np.log1p(-used) / rate if used < 1 else np.inf
        users.append(sorted(visits, key=lambda visit: visit[1]) or [(0, 0.0)])
    store, options = make_store(*users), FitOptions(form="exponential", replicates=0)
    found = [
        fit_return_decay(split, np.arange(10), [str(each) for each in range(10)], options).pooled.rate_per_day
        for split in (whole(store), LeaveOneOut()(store))
    ]
    assert found[0] == pytest.approx(rate, rel=0.05)
    assert found[1] == pytest.approx(found[0], rel=0.12)


def test_with_one_clock_everybody_is_watched_until_the_cut(make_store: MakeStore) -> None:
    store = make_store([(0, 0.0), (0, 2.0), (0, 6.0), (0, 8.0)], [(0, 1.0), (0, 4.0)], [(0, 0.5), (0, 7.0), (0, 9.0)])
    split = GlobalTime(valid="1970-01-06", test="1970-01-08")(store)
    assert observation_end(split, split.training_end_time()).tolist() == [4 * DAY] * 3


def test_every_user_of_a_whole_log_is_watched_until_its_end(make_store: MakeStore) -> None:
    split = whole(make_store([(0, 0.0), (0, 2.0)], [(0, 1.0)]))
    assert observation_end(split, split.training_end_time()).tolist() == [2 * DAY] * 2


def test_a_log_without_a_clock_is_refused(make_store: MakeStore) -> None:
    with pytest.raises(DataError, match="decay-fit needs times"):
        fit_return_decay(whole(make_store([(0, 0.0)], clock=False)), ONE_ENTITY, ["all"])


@pytest.mark.parametrize(
    "users",
    [
        [[(0, 3.0)]],
        [[(0, 3.0), (0, 3.1), (0, 3.2)]],
        [[(0, 3.0)] * 40, [(1, 3.0)] * 40],
        [[(0, float(day))] for day in range(50)],
        [[(0, 3.0), (0, 3.3)]] * 50,
    ],
    ids=["one event", "one session", "one moment", "nobody returns", "one active day"],
)
def test_logs_without_returns_are_flagged_not_fitted(
    make_store: MakeStore, users: list[list[tuple[int, float]]]
) -> None:
    fit = fit_return_decay(whole(make_store(*users)), ONE_ENTITY, ["all"])
    assert fit.entities[0].note.startswith("0 returns, fewer than min_returns=30")
    assert ("every time at risk ends with the log" in fit.entities[0].note) == (fit.entities[0].exposure > 0)
    assert fit.rates_per_day().tolist() == [0.0]


def test_one_faithful_user_is_flagged(make_store: MakeStore) -> None:
    fit = fit_return_decay(whole(make_store([(0, float(day)) for day in range(100)])), ONE_ENTITY, ["all"])
    assert fit.entities[0].note == "only 1 user ever returned, fewer than 10"
    once = fit_return_decay(whole(make_store([(0, 0.0), (0, 2.0)])), ONE_ENTITY, ["all"])
    assert once.entities[0].note == "1 return, fewer than min_returns=30"


def test_a_longer_session_gap_merges_visits(make_store: MakeStore) -> None:
    split = whole(make_store([(0, 0.0), (0, 1.0), (0, 5.0)]))
    visits = [
        fit_return_decay(split, ONE_ENTITY, ["all"], FitOptions(session_gap_days=gap)).entities[0].visits
        for gap in (0.5, 1.0, 4.0)
    ]
    assert visits == [3, 2, 1]


def test_progress_reaches_the_end_of_the_log(make_store: MakeStore) -> None:
    told: list[tuple[str, float]] = []
    split = whole(make_store([(0, 0.0), (0, 2.0)], [(0, 1.0)]))
    fit_return_decay(split, ONE_ENTITY, ["all"], watch=lambda stage, share: told.append((stage, share)))
    assert ("visits and returns", 1.0) in told


def test_events_of_no_entity_are_neither_visits_nor_returns(make_store: MakeStore) -> None:
    users = [[(0, 0.0), (1, 2.0), (0, 4.0), (1, 6.0), (2, 8.0)], [(2, 1.0), (1, 9.0)]]
    fit = fit_return_decay(whole(make_store(*users)), np.array([0, -1, -1]), ["known"])
    (found,) = fit.entities
    assert (found.visits, found.returns) == (2, 1)
    # From day 0 to the return on day 4, and from there to the end of the log, each after half a day.
    assert found.exposure == pytest.approx(3.5 + 4.5)
