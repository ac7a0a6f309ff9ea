from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltsi.decay.result import FitOptions
from ltsi.decay.return_decay import fit_return_decay
from ltsi.decay.statistics import ReturnStatistics, collect
from ltsi.decay.trials import ACTIVE_DAYS, EVENTS
from ltsi.sequences.split import Split, Targets, TrainingBlock
from ltsi.store import Store

DAY = 86_400
EDGES = np.array([0.5, 2.0, 5.0, 30.0])


def counted(users: list[list[tuple[int, float]]], exposure: str, days: float = 30.0) -> ReturnStatistics:
    events = [event for user in users for event in sorted(user, key=lambda one: one[1])]
    block = TrainingBlock(
        first_user=0,
        offsets=np.cumsum([0, *map(len, users)]).astype(np.int64),
        item=np.array([item for item, _ in events], dtype=np.int32),
        time=np.array([round(day * DAY) for _, day in events], dtype=np.int64),
        behavior=np.zeros(len(events), dtype=np.uint8),
    )
    end = np.full(len(users), round(days * DAY), dtype=np.int64)
    return collect([block], np.array([0, 1, 1]), 2, end, EDGES, exposure)


def test_hand_worked_active_days() -> None:
    # Entity 0 on days 0 and 4, entity 1 on days 1 (twice), 3 and 10: the user is active on days 0, 1, 3, 4, 10.
    user = [(0, 0.5), (1, 1.5), (2, 1.6), (1, 3.5), (0, 4.5), (1, 10.5)]
    returns, trials = (total[0] for total in counted([user], ACTIVE_DAYS).totals())
    # Entity 0: after day 0 the days 1, 3 and the return on day 4; after day 4 the day 10.
    assert returns[0].tolist() == [0, 1, 0]
    assert trials[0].tolist() == [1, 2, 0 + 1]
    # Entity 1: after day 1 the return on day 3; after day 3 day 4 and the return on day 10.
    assert returns[1].tolist() == [1, 0, 1]
    assert trials[1].tolist() == [1 + 1, 0, 1]


def test_hand_worked_events() -> None:
    user = [(0, 0.5), (1, 1.5), (2, 1.6), (1, 3.5), (0, 4.5), (1, 10.5)]
    returns, trials = (total[0] for total in counted([user], EVENTS).totals())
    # As by days, but the two events of day 1 are two trials of entity 0.
    assert returns[0].tolist() == [0, 1, 0]
    assert trials[0].tolist() == [2, 2, 1]


@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 2), st.integers(0, 30 * 24)), min_size=1, max_size=14),
        min_size=1,
        max_size=3,
    ),
    st.sampled_from([ACTIVE_DAYS, EVENTS]),
)
def test_trials_agree_with_a_plain_loop(users: list[list[tuple[int, int]]], exposure: str) -> None:
    trials = np.zeros((2, 3))
    for events in users:
        hours = sorted(hour for _, hour in events)
        moments = hours if exposure == EVENTS else sorted({hour // 24: hour for hour in reversed(hours)}.values())
        for entity in range(2):
            own = sorted(hour for item, hour in events if min(item, 1) == entity)
            for now, later in zip(own, [*own[1:], None]):
                if later is not None and later - now <= 12:
                    continue
                if later is None:
                    limit = 30 * 24 + 1
                else:
                    limit = later // 24 * 24 if exposure == ACTIVE_DAYS else later
                    trials[entity] += np.histogram([(later - now) / 24 - 1e-9], EDGES)[0]
                ages = [(hour - now) / 24 - 1e-9 for hour in moments if now < hour < limit]
                trials[entity] += np.histogram([age for age in ages if age > 0.49999], EDGES)[0]
    found = counted([[(item, hour / 24) for item, hour in user] for user in users], exposure)
    assert found.totals()[1][0] == pytest.approx(trials)


def test_a_binomial_fit_finds_the_chance_of_a_return(make_store: Callable[..., Store]) -> None:
    # Everybody is there every day and takes item 0 again with a chance that halves in ten days, item 1 always.
    generator = np.random.default_rng(0)
    users = []
    for _ in range(400):
        last, events = 0, [(0, 0.5)]
        for day in range(1, 60):
            back = generator.random() < 0.2 * 0.5 ** ((day - last) / 10)
            last = day if back else last
            events.append((0 if back else 1, day + 0.5))
        users.append(events)
    nobody = Targets.none()
    store = make_store(*users)
    options = FitOptions(exposure=ACTIVE_DAYS, estimator="binomial", form="exponential", replicates=0)
    split = Split(store, np.asarray(store.offsets[1:]), nobody, nobody)
    found = fit_return_decay(split, np.array([0, 1]), ["decaying", "rest"], options).entities[0]
    assert found.half_life_days == pytest.approx(10, rel=0.1)
    assert found.amplitude == pytest.approx(0.2, rel=0.1)


def test_an_event_of_no_entity_is_a_trial_all_the_same(make_store: Callable[..., Store]) -> None:
    store, nobody = make_store([(0, 0), (1, DAY), (0, 2 * DAY), (1, 3 * DAY)]), Targets.none()
    split = Split(store, np.asarray(store.offsets[1:]), nobody, nobody)
    (found,) = fit_return_decay(split, np.array([0, -1]), ["known"], FitOptions(exposure="events")).entities
    assert (found.visits, found.returns, found.exposure) == (2, 1, 3.0)
