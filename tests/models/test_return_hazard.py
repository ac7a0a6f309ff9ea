from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import check_grad

from ltsi.histories import Histories
from ltsi.models import return_hazard
from ltsi.models.exp_decay import ExpDecay
from ltsi.models.return_hazard import NEVER, ReturnHazard, interests
from ltsi.sequences.leave_one_out import LeaveOneOut
from ltsi.sequences.split import Split
from ltsi.store import Store

DAY = 86_400
MakeHistories = Callable[..., Histories]
MakeStore = Callable[..., Store]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), min_size=1, max_size=12), st.integers(0, 3))
def test_interests_are_those_a_loop_finds(events: list[tuple[int, int]], padding: int) -> None:
    events.sort(key=lambda event: event[1])
    key_BL = torch.tensor([[key for key, _ in events] + [4] * padding])
    time_BL = torch.tensor([[time for _, time in events] + [events[-1][1]] * padding])
    last_BL, moments_BL, found_BL = interests(key_BL, 4, time_BL)
    expected = {key: {time for one, time in events if one == key} for key, _ in events}
    real = last_BL[0] < 4
    found = {int(k): (int(m), int(t)) for k, m, t in zip(last_BL[0], moments_BL[0], found_BL[0], strict=True) if k < 4}
    assert real.sum() == len(expected)
    assert found == {key: (len(times), max(times)) for key, times in expected.items()}


@pytest.fixture
def split(make_store: MakeStore) -> Split:
    """Write a log of users who come back to an item about ten days after they took it, or take anything else."""
    random, users = np.random.default_rng(0), []
    for _ in range(400):
        due = [(18_500 + 10 * random.random(), int(item)) for item in random.choice(20, 3, replace=False)]
        events = []
        for _ in range(15):
            day, item = min(due)
            events.append((item if random.random() < 0.6 else int(random.integers(20)), int(day * DAY)))
            due.remove((day, item))
            due.append((day + 10 * random.lognormal(0, 0.3), item))
        users.append(events)
    return LeaveOneOut()(make_store(*users, n_items=20, category=["a", "b"] * 10))


@pytest.fixture
def model(split: Split) -> ReturnHazard:
    model = ReturnHazard(20)
    model.fit_statistics(split)
    return model


def test_what_is_due_comes_before_what_was_just_taken(
    model: ReturnHazard, split: Split, make_histories: MakeHistories
) -> None:
    asked = make_histories([3, 8, 5], n_items=20, step=5 * DAY, wait=0)  # ten, five and no days ago
    assert model(asked)[0].topk(2).indices.tolist() == [3, 8]
    plain = ExpDecay(20)
    plain.fit_statistics(split)
    assert plain(asked)[0].topk(2).indices.tolist() != [3, 8]


def test_an_interest_fades_into_popularity(model: ReturnHazard, make_histories: MakeHistories) -> None:
    def own(days: float) -> float:
        return float(model(make_histories([3], n_items=20, wait=int(days * DAY))).softmax(1)[0, 3])

    assert own(10) > own(60) > own(3_000)
    assert own(100_000) == pytest.approx(float(model.prior_I[3]), rel=0.01)


def test_the_score_is_the_formula(model: ReturnHazard, make_histories: MakeHistories) -> None:
    item_F, category_F = torch.tensor([-1.0, 0.5, -0.3, -0.2]), torch.tensor([-2.0, 0.1, -0.4, -0.1])
    model.item_F, model.category_F, model.scale = item_F, category_F, torch.tensor([11.0, 2.0])
    asked = make_histories([3, 8, 3], [4], n_items=20, step=2 * DAY, wait=DAY)
    p_BI = model(asked).exp()
    ages = [{3: (2, 1), 8: (1, 3)}, {4: (1, 1)}]  # moments, days since the last
    categories = [{1: (2, 1), 0: (1, 3)}, {0: (1, 1)}]

    def rate(weight_F: torch.Tensor, moments: int, days: float) -> torch.Tensor:
        z = (np.log(days * DAY) - 11.0) / 2.0
        return (weight_F @ torch.tensor([1.0, np.log(moments), z, z**2]).float()).exp()

    for b in range(2):
        expected = model.prior_I.clone()
        for item, (moments, days) in ages[b].items():
            expected[item] += rate(item_F, moments, days)
        for category, (moments, days) in categories[b].items():
            same = torch.tensor([i % 2 == category for i in range(20)])
            expected += rate(category_F, moments, days) * model.within_I * same
        torch.testing.assert_close(p_BI[b], expected)


def test_events_of_one_moment_are_one_visit(model: ReturnHazard, make_histories: MakeHistories) -> None:
    model.item_F = torch.tensor([-1.0, 2.0, 0.0, 0.0])
    once, twice = make_histories([3], n_items=20), make_histories([3, 3], n_items=20, step=0)
    torch.testing.assert_close(model(once), model(twice))
    assert model(make_histories([3, 3], n_items=20, step=1))[0, 3] > model(once)[0, 3]


def test_the_gradient_of_the_fit_is_its_slope(split: Split) -> None:
    asked = return_hazard._Asked.of(split, None, np.ones(20))
    assert asked is not None
    kinds = [asked.of_item, asked.of_item]
    theta = np.array([-3.0, 0.4, -0.3, -0.2, -4.0, 0.2, 0.1, -0.1])
    assert check_grad(lambda x: asked._loss(x, kinds)[0], lambda x: asked._loss(x, kinds)[1], theta) < 1e-5


def test_without_returns_popularity_is_all_there_is(make_store: MakeStore, make_histories: MakeHistories) -> None:
    users = [[((user + i) % 9, i * DAY) for i in range(6)] for user in range(90)]
    model = ReturnHazard(9)
    model.fit_statistics(LeaveOneOut()(make_store(*users)))
    torch.testing.assert_close(model(make_histories([1, 2], n_items=9)).softmax(1)[0], model.prior_I, atol=5e-3, rtol=0)
    # One training moment each: nothing could have come back.
    nobody = ReturnHazard(9)
    nobody.fit_statistics(LeaveOneOut()(make_store(*[row[:3] for row in users], name="once")))
    assert nobody.item_F.tolist()[0] == NEVER


def test_the_last_moment_is_asked_for_from_what_came_before_it(make_store: MakeStore) -> None:
    baskets = [
        [(0, 0), (1, 0), (2, DAY), (3, DAY), (4, 2 * DAY), (5, 3 * DAY)],
        [(0, 0), (1, 0), (2, DAY), (3, 2 * DAY)],
    ]
    split = LeaveOneOut()(make_store(*baskets, n_items=6))
    targets = return_hazard._last_moments(split)
    # The last two events of each user are held out; the second has one moment left.
    assert targets.user.tolist() == [0]
    assert (targets.event.tolist(), targets.history_end.tolist(), targets.now.tolist()) == ([2], [2], [DAY])
