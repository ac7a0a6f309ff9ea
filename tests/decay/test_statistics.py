from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ltsi.decay.forms import FORMS
from ltsi.decay.likelihood import maximise
from ltsi.decay.statistics import GROUPS, MAX_USERS, ReturnStatistics, age_edges, collect, count_groups
from ltsi.sequences.split import Split, Targets, TrainingBlock
from ltsi.store import Store

DAY = 86_400
EDGES = np.array([0.5, 2.0, 5.0, 20.0])


def block(*users: list[tuple[int, float]], first_user: int = 0) -> TrainingBlock:
    """A block from `(item, days)` events, one list a user."""
    events = [event for user in users for event in user]
    return TrainingBlock(
        first_user=first_user,
        offsets=np.cumsum([0, *map(len, users)]).astype(np.int64),
        item=np.array([item for item, _ in events], dtype=np.int32),
        time=np.array([round(days * DAY) for _, days in events], dtype=np.int64),
        behavior=np.zeros(len(events), dtype=np.uint8),
    )


def ends(users: int, days: float) -> NDArray[np.int64]:
    return np.full(users, round(days * DAY), dtype=np.int64)


def test_hand_worked_log() -> None:
    # Item 0: days 0 and 0.25 are one visit; back after 3.75 days (at risk from 0.5 on); cut off 6 days later.
    # Item 1: one visit on day 9, at risk for half a day until day 10.
    log = block([(0, 0.0), (0, 0.25), (0, 4.0), (1, 9.0)])
    found = collect([log], np.array([0, 1]), 2, ends(1, 10), EDGES)
    returns, exposure = found.totals()
    assert returns[0].tolist() == [[0, 1, 0], [0, 0, 0]]
    assert exposure[0] == pytest.approx(np.array([[1.5 + 1.5, 1.75 + 3.0, 0 + 1.0], [0.5, 0, 0]]))
    for sums, totals in zip(found.sums(), (returns, exposure)):
        assert sums == pytest.approx(totals[0].sum(axis=1))
    assert found.visits.tolist() == [2, 1]
    assert found.returning_users.tolist() == [1, 0]
    assert found.returning_users_overall == 1


def test_events_a_session_gap_apart_are_one_visit() -> None:
    found = collect([block([(0, 0.0), (0, 0.5), (0, 1.25)])], np.array([0]), 1, ends(1, 10), EDGES)
    assert found.visits.tolist() == [2]
    assert found.totals()[0].sum() == 1


def test_pooled_adds_the_entities() -> None:
    log = block([(0, 0.0), (1, 1.0), (0, 4.0), (1, 9.0)], [(1, 0.0), (1, 3.0)], [(0, 1.0)])
    found = collect([log], np.array([0, 1]), 2, ends(3, 10), EDGES)
    returns, exposure = found.totals()
    pooled_returns, pooled_exposure = found.pooled().totals()
    assert pooled_returns[0, 0] == pytest.approx(returns[0].sum(axis=0))
    assert pooled_exposure[0, 0] == pytest.approx(exposure[0].sum(axis=0))
    assert found.pooled().returning_users.tolist() == [2]
    assert found.n_users == 3


def test_items_of_one_entity_are_one_interest() -> None:
    log = block([(0, 0.0), (1, 3.0)])
    apart = collect([log], np.array([0, 1]), 2, ends(1, 10), EDGES).totals()[0]
    together = collect([log], np.array([0, 0]), 1, ends(1, 10), EDGES).totals()[0]
    assert (apart.sum(), together.sum()) == (0, 1)


def test_weights_count_users_as_often_as_drawn() -> None:
    users: list[list[tuple[int, float]]] = [[(0, 0), (0, 3)], [(0, 1), (0, 2), (0, 8)], [(0, 5)]]
    found = collect([block(*users)], np.array([0]), 1, ends(3, 10), EDGES)
    drawn = np.array([[2.0, 0.0, 1.0], [1.0, 1.0, 1.0]])
    returns, exposure = found.totals(weights=drawn)
    twice = collect([block(users[0], users[0], users[2])], np.array([0]), 1, ends(3, 10), EDGES)
    for replicate, other in ((0, twice), (1, found)):
        assert returns[replicate] == pytest.approx(other.totals()[0][0])
        assert exposure[replicate] == pytest.approx(other.totals()[1][0])


def test_many_users_share_groups_and_no_event_is_lost() -> None:
    users = [[(0, 0.0), (0, 3.0)]] * (MAX_USERS + 5)
    found = collect([block(*users)], np.array([0]), 1, ends(len(users), 10), EDGES)
    assert found.n_groups == GROUPS
    assert found.totals()[0].sum() == len(users)
    assert found.returning_users.tolist() == [len(users)]


def test_as_many_users_as_can_be_are_told_apart() -> None:
    assert [count_groups(n) for n in (1, MAX_USERS, MAX_USERS + 1)] == [1, MAX_USERS, GROUPS]


def test_blocks_do_not_matter(make_store: Callable[..., Store]) -> None:
    generator = np.random.default_rng(0)
    users = [
        sorted(zip(generator.integers(0, 3, 20).tolist(), generator.uniform(0, 30, 20)), key=lambda event: event[1])
        for _ in range(12)
    ]
    store = make_store(*users)
    nobody = Targets.none()
    split = Split(store, np.asarray(store.offsets[1:]), nobody, nobody)

    def collected(max_events: int) -> ReturnStatistics:
        return collect(split.training_blocks(max_events), np.arange(3), 3, ends(12, 30), EDGES)

    whole = collected(10_000)
    for max_events in (1, 45):
        part = collected(max_events)
        assert part.returning_users_overall == whole.returning_users_overall
        for found, wanted in zip((*part.totals(), *part.sums()), (*whole.totals(), *whole.sums())):
            assert found == pytest.approx(wanted)


LONG_EDGES = np.array([0.5, 2.0, 5.0, 30.0])


@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 2), st.integers(0, 30 * 24)), min_size=1, max_size=12),
        min_size=1,
        max_size=4,
    )
)
def test_statistics_agree_with_a_plain_loop(users: list[list[tuple[int, int]]]) -> None:
    returns, exposure = np.zeros((3, 3)), np.zeros((3, 3))
    for events in users:
        for entity in range(3):
            hours = sorted(hour for item, hour in events if item == entity)
            for now, later in zip(hours, [*hours[1:], None]):
                age = ((30 * 24 if later is None else later) - now) / 24
                if age > 0.5:
                    exposure[entity] += np.clip(age - LONG_EDGES[:-1], 0, np.diff(LONG_EDGES))
                    returns[entity] += (later is not None) * ((age > LONG_EDGES[:-1]) & (age <= LONG_EDGES[1:]))
    log = block(*([(item, hour / 24) for item, hour in sorted(events, key=lambda one: one[1])] for events in users))
    found = collect([log], np.arange(3), 3, ends(len(users), 30), LONG_EDGES)
    assert found.totals()[0][0] == pytest.approx(returns)
    assert found.totals()[1][0] == pytest.approx(exposure)


def test_edges_run_from_the_session_gap_to_the_longest_age() -> None:
    for gap, longest in ((0.5, 365.0), (1e-3, 9.0), (0.5, 0.6)):
        edges = age_edges(gap, longest)
        assert edges[0] == gap
        assert edges[-1] == pytest.approx(longest)
        assert np.all(np.diff(edges) > 0)


@pytest.mark.parametrize("minutes", [1.4, 15.0, 720.0])
def test_bins_are_narrow_beside_the_age_at_which_they_begin(minutes: float) -> None:
    """Or quadrature does not see how a power law falls inside them: expected counts give the exponent back exactly."""
    edges, exponent = age_edges(minutes / 1440, 1000.0), 1.3
    passed = edges ** (1 - exponent) / (1 - exponent)
    exposure = np.full((1, len(edges) - 1), 1e6)
    returns = exposure * 0.02 * np.diff(passed) / np.diff(edges)
    found = maximise(FORMS["power"], returns, exposure, edges)
    assert np.exp(found.theta[0, 0]) == pytest.approx(exponent, rel=1e-4)
