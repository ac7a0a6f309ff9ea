from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from ltsi.decay.result import FitOptions
from ltsi.decay.return_decay import fit_return_decay
from ltsi.histories import Histories
from ltsi.models.exp_decay import ExpDecay
from ltsi.sequences.leave_one_out import LeaveOneOut
from ltsi.sequences.split import Split
from ltsi.store import Store

DAY = 86_400
MakeHistories = Callable[..., Histories]


@pytest.fixture
def split(make_store: Callable[..., Store]) -> Split:
    """Write a log whose users go back to their recent items: 20 items in two categories."""
    random, users = np.random.default_rng(0), []
    for _ in range(150):
        day, past = 18_500.0, [int(random.integers(20))]
        events = [(past[0], int(day * DAY))]
        for _ in range(14):
            gap = random.exponential(3)
            day += gap
            back = random.random() < np.exp(-gap / 3)
            past.append(past[-1] if back else int(random.integers(20)))
            events.append((past[-1], int(day * DAY)))
        users.append(events)
    return LeaveOneOut()(make_store(*users, n_items=20, category=["a", "b"] * 10))


@pytest.fixture
def model(split: Split) -> ExpDecay:
    model = ExpDecay(20)
    model.fit_statistics(split)
    return model


def test_recent_own_items_come_first(model: ExpDecay, make_histories: MakeHistories) -> None:
    own = [3, 8, 5]
    score_BI = model(make_histories(own, n_items=20, step=2 * DAY))
    assert score_BI[0].topk(3).indices.tolist() == own[::-1]


def test_an_interest_fades_into_popularity(model: ExpDecay, make_histories: MakeHistories) -> None:
    def own(days: float) -> float:
        return float(model(make_histories([3], n_items=20, wait=int(days * DAY))).softmax(1)[0, 3])

    fresh, later, gone = own(0), own(3), own(100_000)
    assert fresh > later > gone
    assert gone == pytest.approx(float(model.prior_I[3]), rel=0.01)


def test_the_score_is_the_formula(model: ExpDecay, make_histories: MakeHistories) -> None:
    asked = make_histories([3, 8, 3], [4], n_items=20, step=2 * DAY, wait=DAY)
    with torch.no_grad():
        left_BL, p_BI = model.fading(asked), model(asked).exp()
    for b, items in enumerate(([3, 8, 3], [4])):
        expected = model.prior_I.clone()
        for place, item in enumerate(items):
            same = torch.tensor([i % 2 == item % 2 for i in range(20)])
            expected[item] += left_BL[b, place] * model.weight_item
            expected += left_BL[b, place] * model.weight_category * model.within_I * same
        torch.testing.assert_close(p_BI[b], expected)
    assert (left_BL[0, :-1] < left_BL[0, 1:]).all()
    assert left_BL[1, 1:].sum() == 0


def test_what_was_planted_is_worth_fitting(model: ExpDecay, split: Split, make_histories: MakeHistories) -> None:
    assert model.weight_item > 10 * model.prior_I.max()
    scores = [model(make_histories([1], n_items=20, wait=wait)) for wait in (0, 1_000 * DAY)]
    fresh, old = (float(model.evidence(score_BI, score_BI.logsumexp(1))) for score_BI in scores)
    assert fresh > old


def test_without_categories_all_items_are_of_one(
    make_store: Callable[..., Store], make_histories: MakeHistories
) -> None:
    users = [[((user + i) % 5, i * DAY) for i in range(8)] for user in range(10)]
    model = ExpDecay(5)
    model.fit_statistics(LeaveOneOut()(make_store(*users)))
    assert model.category_J.unique().tolist() == [0]
    assert model(make_histories([1, 2], n_items=5)).isfinite().all()


def test_without_categories_all_items_fade_at_one_rate(make_store: Callable[..., Store]) -> None:
    """Items whose returns die out fast and slowly, each with enough of them for a rate of its own."""
    random, users = np.random.default_rng(0), []
    for user in range(600):
        item, days = user % 2, [18_500 + 60 * random.random()]
        while random.random() < 0.7:
            days.append(days[-1] + 0.6 + random.exponential((2, 10)[item]))
        users.append([(item, int(day * DAY)) for day in days if day < 18_600])
    split = LeaveOneOut()(make_store(*users, n_items=2))
    fit = fit_return_decay(split, np.arange(2), ["0", "1"], FitOptions(replicates=0))
    assert fit.rates_per_day()[0] != fit.rates_per_day()[1]
    model = ExpDecay(2)
    model.fit_statistics(split)
    assert model.rate_J.tolist()[:2] == pytest.approx([float(fit.pooled.rate_per_day or 0) / DAY] * 2, rel=1e-5)
    assert model.rate_J[0] > 0


def test_with_categories_an_item_fades_at_the_rate_of_its_own(make_store: Callable[..., Store]) -> None:
    """Two categories, the returns to one of which die out fast."""
    random, users = np.random.default_rng(0), []
    for user in range(600):
        kind, days = user % 2, [18_500 + 60 * random.random()]
        while random.random() < 0.7:
            days.append(days[-1] + 0.6 + random.exponential((2, 10)[kind]))
        users.append([(kind + 2 * int(random.integers(2)), int(day * DAY)) for day in days if day < 18_600])
    split = LeaveOneOut()(make_store(*users, n_items=4, category=["fast", "slow"] * 2))
    fit = fit_return_decay(split, np.array([0, 1, 0, 1]), ["fast", "slow"], FitOptions(replicates=0))
    model = ExpDecay(4)
    model.fit_statistics(split)
    fast, slow = fit.rates_per_day() / DAY
    assert fast > slow
    assert model.rate_J.tolist() == pytest.approx([fast, slow, fast, slow, 0.0], rel=1e-5)


def test_a_category_of_light_events_is_shared_out_among_its_items(make_store: Callable[..., Store]) -> None:
    """Events count a quarter each, so that both events of category b weigh half of one."""
    users = [[(0, 0), (item, DAY), (0, 2 * DAY), (0, 3 * DAY)] for item in (2, 3)]
    store = make_store(*users, n_items=4, category=["a", "a", "b", "b"])
    light = {name: {"weight": 0.25} for name in store.behaviors}
    model = ExpDecay(4)
    model.fit_statistics(LeaveOneOut()(replace(store, manifest={**store.manifest, "roles": light})))
    assert model.within_I.tolist() == [1.0, 0.0, 0.5, 0.5]


def test_an_interest_that_begins_after_the_question_has_not_faded(
    model: ExpDecay, make_histories: MakeHistories
) -> None:
    assert model.fading(make_histories([3], n_items=20, wait=-DAY)).tolist() == [[1.0]]


def test_a_weight_is_fitted_on_what_came_before_the_last_event_too(make_store: Callable[..., Store]) -> None:
    """Everybody goes back and forth between two items: what comes next is what came before the last."""
    users = [[((user + step % 2) % 20, step * DAY // 4) for step in range(8)] for user in range(20)]
    model = ExpDecay(20)
    model.fit_statistics(LeaveOneOut()(make_store(*users, n_items=20)))
    assert model.weight_item > 1


def test_without_a_clock_age_is_counted_in_events(
    make_store: Callable[..., Store], make_histories: MakeHistories
) -> None:
    random = np.random.default_rng(0)
    users = []
    for _ in range(80):
        items = [int(random.integers(12))]
        for _ in range(9):
            items.append(items[-1] if random.random() < 0.7 else int(random.integers(12)))
        users.append([(item, place) for place, item in enumerate(items)])
    model = ExpDecay(12)
    model.fit_statistics(LeaveOneOut()(make_store(*users, clock=False, n_items=12)))
    score_BI = model(make_histories([1, 2, 3], n_items=12, step=1, wait=1))
    assert score_BI[0].topk(2).indices.tolist() == [3, 2]
