from collections.abc import Callable

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import check_grad

from ltsi.histories import Histories
from ltsi.models.exp_decay import ExpDecay
from ltsi.models.return_hazard import NEVER, PULL, ReturnHazard, ReturnRates, _Interests, _loss, interests
from ltsi.sequences.leave_one_out import LeaveOneOut
from ltsi.sequences.split import Split
from ltsi.store import EncodedEvents, Store, store_path
from ltsi.store_writer import write_store

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
    item_F, category_F = torch.tensor([-1.0, 0.5, -0.3, -0.2, -1.5]), torch.tensor([-2.0, 0.1, -0.4, -0.1, 0.3])
    model.of_items.weight_F, model.of_categories.weight_F = item_F, category_F
    for rates in (model.of_items, model.of_categories):
        rates.age = torch.tensor([11.0, 2.0, -1.0, 0.5])  # from 2.3 hours up to 1.9 days
    asked = make_histories([3, 8, 3], [4], [6], n_items=20, step=2 * DAY, wait=DAY)
    asked.now_BL[2] = asked.time_BL[2]
    p_BI = model(asked).exp()
    ages: list[dict[int, tuple[int, float]]] = [{3: (2, 1), 8: (1, 3)}, {4: (1, 1)}, {6: (1, 0)}]  # moments, days
    categories: list[dict[int, tuple[int, float]]] = [{1: (2, 1), 0: (1, 3)}, {0: (1, 1)}, {0: (1, 0)}]

    def rate(weight_F: torch.Tensor, moments: int, days: float) -> torch.Tensor:
        z = np.clip((np.log(max(days * DAY, 1)) - 11.0) / 2.0, -1.0, 0.5)
        return (weight_F @ torch.tensor([1.0, np.log(moments), z, z**2, days == 0]).float()).exp()

    for b in range(3):
        expected = model.prior_I.clone()
        for item, (moments, days) in ages[b].items():
            expected[item] += rate(item_F, moments, days)
        for category, (moments, days) in categories[b].items():
            same = torch.tensor([i % 2 == category for i in range(20)])
            expected += rate(category_F, moments, days) * model.within_I * same
        torch.testing.assert_close(p_BI[b], expected)


def test_ages_are_told_by_how_their_logarithms_scatter() -> None:
    rates = ReturnRates()
    rates.look_at(torch.tensor([0.0, 1.0, np.e**2]))  # logarithms 0 and 2; this very moment has none
    torch.testing.assert_close(rates.age, torch.tensor([1.0, 1.0, -1.0, 1.0]))
    rates.look_at(torch.tensor([np.exp(10.0), np.exp(10.1)]))  # a spread of 0.05 is too little to go by
    torch.testing.assert_close(rates.age, torch.tensor([10.05, 1.0, -0.05, 0.05]), rtol=0, atol=1e-5)


def test_a_second_ago_is_not_this_very_moment() -> None:
    part_AF = ReturnRates().parts(torch.tensor([-1, 0, 1, 2]), torch.ones(4))
    assert part_AF[:, 4].tolist() == [1, 1, 0, 0]


@pytest.mark.parametrize(("slope", "highest"), [(1.5, np.inf), (2.5, 1.0)])
def test_beyond_the_highest_age_only_a_curve_that_falls_goes_on(slope: float, highest: float) -> None:
    """The slope of `slope · z − z²` at z = 1 is `slope − 2`."""
    rates = ReturnRates()
    rates.age = torch.tensor([0.0, 1.0, -1.0, 1.0])
    rates.take(np.array([0.0, 0.0, slope, -1.0, 0.0]))
    assert rates.age.tolist() == [0.0, 1.0, -1.0, highest]


def test_events_of_one_moment_are_one_visit(model: ReturnHazard, make_histories: MakeHistories) -> None:
    model.of_items.weight_F = torch.tensor([-1.0, 2.0, 0.0, 0.0, 0.0])
    once, twice = make_histories([3], n_items=20), make_histories([3, 3], n_items=20, step=0)
    torch.testing.assert_close(model(once), model(twice))
    assert model(make_histories([3, 3], n_items=20, step=1))[0, 3] > model(once)[0, 3]


def test_the_gradient_of_the_fit_is_its_slope() -> None:
    random = np.random.default_rng(0)
    kinds = [
        _Interests(random.integers(0, 30, 200), random.normal(0, 1, (200, 5)), random.random(200) * scale)
        for scale in (1.0, 0.1)
    ]
    theta, prior_N = np.array([-3.0, 0.4, -0.3, -0.2, 1.0, -4.0, 0.2, 0.1, -0.1, -1.0]), random.random(30) / 30
    difference = check_grad(lambda x: _loss(x, kinds, prior_N)[0], lambda x: _loss(x, kinds, prior_N)[1], theta)
    assert difference < 1e-6


def test_all_weights_but_the_first_are_pulled_to_zero() -> None:
    """One interest comes back at a rate of two, beside a prior of one half: of three in all 2.5 are right."""
    kind = _Interests(np.array([0]), np.array([[1.0, 0, 0, 0, 0]]), np.array([1.0]))
    theta, prior_N = np.array([np.log(2), 0, 0, 0, 0]), np.array([0.5])
    assert _loss(theta, [kind], prior_N)[0] == pytest.approx(np.log(3) - np.log(2.5))
    theta[2] = 3.0  # which says nothing here
    assert _loss(theta, [kind], prior_N)[0] == pytest.approx(np.log(3) - np.log(2.5) + PULL * 9 / 2)


def test_the_rate_does_not_turn_up_again_with_age(make_store: MakeStore) -> None:
    """What was taken a day or a hundred days ago comes back, what was taken ten days ago never does."""
    users = []
    for user in range(40):
        old, middle, young = (user % 20, (user + 5) % 20, (user + 10) % 20)
        days = [(old, 0), (middle, 90), (young, 99), (old if user % 2 else young, 100)]
        users.append([(item, day * DAY) for item, day in [*days, (0, 200), (0, 300)]])
    model = ReturnHazard(20)
    model.fit_statistics(LeaveOneOut()(make_store(*users, n_items=20)))
    assert model.of_items.known
    assert model.of_items.weight_F[3] <= 0


def test_lines_of_a_basket_do_not_come_back_in_it(make_store: MakeStore) -> None:
    """Baskets of five different items, and favourites that come back in the next one."""
    random, users = np.random.default_rng(0), []
    for _ in range(300):
        favourites = random.choice(40, 2, replace=False)
        baskets = [random.permutation([*favourites, *random.choice(40, 3, replace=False)]) for _ in range(4)]
        weeks = [(week * 7 * DAY, dict.fromkeys(basket)) for week, basket in enumerate(baskets)]
        users.append([(int(item), time) for time, basket in weeks for item in basket])
    model = ReturnHazard(40)
    model.fit_statistics(LeaveOneOut()(make_store(*users, n_items=40)))
    time_BL = torch.tensor([[0, 0, 0, 7, 7, 7]]) * DAY

    def share(day: int) -> float:
        now_BL = torch.full_like(time_BL, day * DAY)
        shown = Histories(torch.tensor([[1, 2, 3, 1, 4, 5]]), time_BL, torch.tensor([6]), now_BL)
        return float(model(shown).softmax(1)[0, 1] / model.prior_I[1])

    assert share(7) < 1.1
    assert share(14) > 3


def test_ages_that_hardly_differ_stay_harmless(make_store: MakeStore, make_histories: MakeHistories) -> None:
    random = np.random.default_rng(0)
    users = [[(user % 9, week * 7 * DAY + int(random.integers(-60, 60))) for week in range(5)] for user in range(300)]
    model = ReturnHazard(9)
    model.fit_statistics(LeaveOneOut()(make_store(*users)))
    scores = [model(make_histories([3], n_items=9, wait=wait))[0] for wait in (0, 60, DAY, 100 * DAY, 100_000 * DAY)]
    assert torch.stack(scores).isfinite().all()
    torch.testing.assert_close(scores[1], scores[2])  # both are younger than anything that was seen


@pytest.mark.parametrize("model", [ReturnHazard(20), ExpDecay(20)])
def test_what_is_asked_for_is_a_target_after_inputs(
    model: ReturnHazard | ExpDecay, make_histories: MakeHistories
) -> None:
    """Views that are bought a week later, and views of anything else: buys alone are asked for, from views alone."""
    random, rows = np.random.default_rng(0), []
    for _ in range(300):
        for week in range(3):
            wanted, day = int(random.integers(10)), 14 * week
            rows += [(wanted, day, 0), (wanted, day + 7, 1)]
            rows += [(int(random.integers(10, 20)), day + 8 + k, 0) for k in range(4)]
    item, day, behavior = np.array(rows).T
    events = EncodedEvents(
        offsets=np.arange(301) * 18,
        item=item.astype(np.int32),
        time=day * DAY,
        behavior=behavior.astype(np.uint8),
        behaviors=("view", "buy"),
    )
    items, users = ({key: [str(i) for i in range(n)]} for key, n in (("item", 20), ("user", 300)))
    store = write_store(
        store_path("roles"),
        events,
        items=pl.DataFrame(items),
        users=pl.DataFrame(users),
        manifest={"time": {"clock": True}},
    )
    model.fit_statistics(LeaveOneOut(input_behaviors=["view"], target_behaviors=["buy"])(store))
    asked = make_histories([3], n_items=20, wait=7 * DAY)
    assert float(model(asked).softmax(1)[0, 3]) > 0.5


def test_without_returns_popularity_is_all_there_is(make_store: MakeStore, make_histories: MakeHistories) -> None:
    users = [[((user + i) % 9, i * DAY) for i in range(6)] for user in range(90)]
    model = ReturnHazard(9)
    model.fit_statistics(LeaveOneOut()(make_store(*users)))
    torch.testing.assert_close(model(make_histories([1, 2], n_items=9)).softmax(1)[0], model.prior_I, atol=5e-3, rtol=0)
    # One training moment each: nothing could have come back.
    nobody = ReturnHazard(9)
    nobody.fit_statistics(LeaveOneOut()(make_store(*[row[:3] for row in users], name="once")))
    assert nobody.of_items.weight_F.tolist()[0] == NEVER
