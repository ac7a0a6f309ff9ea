from collections.abc import Callable

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
