"""Which examples events make, and which are positive."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ltsi.errors import ConfigError, DataError
from ltsi.models.click import ClickNetwork
from ltsi.models.items import Items
from ltsi.models.lstm import Lstm
from ltsi.objectives.click import Click
from ltsi.objectives.labels.behavior import Behavior
from ltsi.objectives.labels.labels import Labelled, Labels
from ltsi.objectives.labels.outcome import Outcome
from ltsi.objectives.labels.sampled import Sampled, uniform
from ltsi.objectives.labels.value import Value
from ltsi.sequences.leave_one_out import LeaveOneOut
from ltsi.sequences.ratio import Ratio
from ltsi.sequences.split import Split
from ltsi.store import Store

MakeLog = Callable[..., Store]


def asked(split: Split) -> tuple[np.ndarray, np.ndarray]:
    """Every event of the store but the first of a user: user and row."""
    rows = np.setdiff1d(np.arange(split.store.n_events), split.store.offsets[:-1])
    return np.searchsorted(split.store.offsets, rows, side="right") - 1, rows


def as_rows(found: Labelled, rows: np.ndarray) -> set[tuple[int, int, int, bool]]:
    columns = (rows[found.event_E], found.nth_E, found.item_E, found.label_E)
    return {(int(row), int(nth), int(item), bool(label)) for row, nth, item, label in zip(*columns, strict=True)}


@pytest.mark.parametrize("drawn", ["popularity", "uniform"])
def test_negatives_are_what_the_user_had_not_taken_until_then(random_log: Store, drawn: str) -> None:
    split = LeaveOneOut()(random_log)
    store, (user, rows) = split.store, asked(split)
    found = Sampled(3, drawn).on(split).examples(user, rows, seed=4)
    later = 0
    for n, (owner, row) in enumerate(zip(user, rows, strict=True)):
        mine = found.event_E == n
        item, label = found.item_E[mine], found.label_E[mine]
        first, end = store.offsets[owner : owner + 2]
        taken = set(store.item[first:end][store.time[first:end] <= store.time[row]].tolist())
        assert label.tolist() == [True] + [False] * (len(item) - 1)
        assert item[0] == store.item[row]
        assert not taken & set(item[1:].tolist())
        assert len(item) == 4
        later += len(set(item[1:].tolist()) & set(store.item[row:end].tolist()))
    assert later, "an item that is taken later only may be drawn"


def test_what_is_taken_at_the_same_moment_is_no_negative(make_log: MakeLog) -> None:
    """A basket of all items but one, item by item: whichever is asked for, the others of it are taken too."""
    basket = [(item, 5, "buy") for item in range(1, 42)]
    crowd = [[(item, t, "buy") for t in range(3)] for item in range(42)]
    split = LeaveOneOut()(make_log([(1, 1, "buy"), *basket, (2, 9, "buy"), (3, 10, "buy")], *crowd))
    rows = np.arange(1, 42)
    for asked_rows in (rows, rows[:1]):
        found = Sampled(8).on(split).examples(np.zeros_like(asked_rows), asked_rows, seed=1)
        assert set(found.item_E[~found.label_E].tolist()) == {0}


def test_what_is_drawn_depends_on_seed_and_event_alone(random_log: Store) -> None:
    split = LeaveOneOut()(random_log)
    labeller, (user, rows) = Sampled(3).on(split), asked(split)
    together = as_rows(labeller.examples(user, rows, seed=4), rows)
    some = np.random.default_rng(0).permutation(len(rows))[:30]
    assert as_rows(labeller.examples(user[some], rows[some], seed=4), rows[some]) < together
    other = as_rows(labeller.examples(user, rows, seed=5), rows)
    drawn = [{row for row in found if not row[3]} for found in (together, other)]
    assert len(drawn[0] & drawn[1]) < 0.5 * len(drawn[0])


def test_popular_items_are_drawn_in_proportion_to_training_events(make_log: MakeLog) -> None:
    counts = {1: 6, 2: 3, 3: 1}
    crowd = [[(item, 1, "view"), (item, 2, "view"), (item, 3, "view")] for item, n in counts.items() for _ in range(n)]
    store = make_log(*crowd, [(0, t, "view") for t in range(3)])
    split = LeaveOneOut()(store)
    last, labeller = (np.array([len(crowd)]), np.array([store.n_events - 1])), Sampled(100).on(split)
    drawn = np.concatenate([labeller.examples(*last, seed).item_E[1:] for seed in range(40)])
    share = np.bincount(drawn, minlength=4) / len(drawn)
    assert share[0] == 0
    np.testing.assert_allclose(share[1:4], [0.6, 0.3, 0.1], atol=0.03)


def test_who_has_taken_everything_has_no_negatives(make_log: MakeLog) -> None:
    split = LeaveOneOut()(make_log([(i, i, "view") for i in range(42)] + [(0, 99, "view")]))
    found = Sampled(3).on(split).examples(np.array([0]), np.array([42]), seed=1)
    assert (found.item_E.tolist(), found.label_E.tolist()) == ([0], [True])


def test_random_numbers_are_uniform_and_addressed() -> None:
    place = np.arange(20_000)
    numbers = uniform(3, place, 1)
    assert ((numbers >= 0) & (numbers < 1)).all()
    observed = np.bincount((numbers * 20).astype(int), minlength=20)
    assert ((observed - 1000) ** 2 / 1000).sum() < 43.8  # chi-squared with 19 degrees of freedom, p = 0.001
    assert abs(np.corrcoef(numbers[:-1], numbers[1:])[0, 1]) < 0.03
    assert abs(np.corrcoef(numbers, uniform(4, place, 1))[0, 1]) < 0.03
    assert abs(np.corrcoef(numbers, uniform(3, place, 2))[0, 1]) < 0.03
    np.testing.assert_array_equal(uniform(3, place[7:9], 1), numbers[7:9])


def test_what_was_done_is_the_label(random_log: Store) -> None:
    split = Ratio(target="all")(random_log)
    user, rows = asked(split)
    found = Behavior(["buy", "cart"]).on(split).examples(user, rows, seed=1)
    assert found.label_E.tolist() == [split.store.behaviors[b] != "view" for b in split.store.behavior[rows]]
    assert found.item_E.tolist() == split.store.item[rows].tolist()
    assert found.event_E.tolist() == list(range(len(rows)))


def test_a_behaviour_must_be_asked_for(random_log: Store) -> None:
    split = Ratio(target="all", target_behaviors=["cart", "buy"])(random_log)
    Behavior("buy").on(split)
    with pytest.raises(ConfigError, match=r"positive: 'by' is not one of .*Did you mean 'buy'\?.*: cart, buy\."):
        Behavior(["by"]).on(split)
    with pytest.raises(ConfigError, match=r"'view' is not one of the target behaviours.*these are .*: cart, buy"):
        Behavior(["view"]).on(split)
    for everything in (["cart", "buy"], []):
        with pytest.raises(ConfigError, match=r"must be some, not all.*objective/labels=sampled"):
            Behavior(everything).on(split)


@pytest.mark.parametrize("hours", [None, 1.0])
def test_what_came_of_a_showing_is_its_label(random_log: Store, hours: float | None) -> None:
    """A view is positive if the next view or buy of the item is a buy; training does not know what came after it."""
    split = Ratio(target="all", target_behaviors="view", input_behaviors=["view", "buy"])(random_log)
    store, names = split.store, split.store.behaviors
    rows = np.array([row for row in range(store.n_events) if names[store.behavior[row]] == "view"])
    user = np.searchsorted(store.offsets, rows, side="right") - 1
    found = Outcome("buy", hours).on(split).examples(user, rows, seed=1)
    expected, cut = [], 0
    for owner, row in zip(user, rows, strict=True):
        later = [r for r in range(row + 1, store.offsets[owner + 1]) if store.item[r] == store.item[row]]
        followed = bool(later) and names[store.behavior[later[0]]] == "buy"
        if followed and hours is not None:
            followed = store.time[later[0]] - store.time[row] <= 3_600 * hours
        unknown = followed and row < split.train_end[owner] <= later[0]
        cut += unknown
        expected.append(followed and not unknown)
    assert found.label_E.tolist() == expected
    assert found.item_E.tolist() == store.item[rows].tolist()
    assert 0 < sum(expected) < len(expected)
    assert cut or hours


@pytest.mark.parametrize(
    ("settings", "roles", "said"),
    [
        ({}, {}, r"positive=\[\] names no action"),
        ({"positive": "by"}, {}, r"has no behaviour 'by'\. Did you mean 'buy'\?"),
        ({"positive": ["buy"]}, {}, "'buy' is both a positive action and a target behaviour"),
        ({"positive": ["buy"]}, {"target_behaviors": ["buy", "view"]}, "'buy' is both a positive action"),
        ({"positive": "buy", "hours": 0}, {"target_behaviors": "view"}, "hours=0 must be a number above 0, or null"),
    ],
)
def test_settings_of_outcomes_are_checked(
    random_log: Store, settings: dict[str, Any], roles: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        Outcome(**settings).on(Ratio(target="all", **roles)(random_log))


def test_actions_must_be_shown(random_log: Store) -> None:
    split = Ratio(target="all", target_behaviors="view", input_behaviors="view")(random_log)
    with pytest.raises(DataError, match=r"no event of buy is shown.*name it in split\.input_behaviors"):
        Outcome("buy").on(split)


def test_showings_that_were_answered_are_told_of(make_log: MakeLog, caplog: pytest.LogCaptureFixture) -> None:
    """Their label is no: they were clicked all the same, and the click is told by the showing before it."""
    shown = [(i, 10 * i, "view") for i in range(12)]
    Behavior("buy").on(Ratio(target="all")(make_log([*shown, (20, 200, "buy"), (21, 210, "buy")])))
    assert not caplog.messages
    pairs = [event for i, t, _ in shown for event in ((i, t, "view"), (i, t + 1, "buy"))]
    Behavior("buy").on(Ratio(target="all")(make_log([*pairs, (30, 300, "buy")])))
    (told,) = caplog.messages
    assert "92 % of the positive examples follow a negative one of the same user and item" in told
    assert "objective/labels=outcome 'objective.labels.positive=[buy]' 'split.target_behaviors=[view,cart]'" in told


def test_a_value_from_somewhere_on_is_positive(make_log: MakeLog) -> None:
    log = [(i, i, "view") for i in range(6)]
    split = Ratio(target="all")(make_log(log, value=[1, 5, 3, 4, 3.5, 2]))
    found = Value(3.5).on(split).examples(np.zeros(6, np.int64), np.arange(6), seed=1)
    assert found.label_E.tolist() == [False, True, False, True, True, False]


def test_values_must_be_there(make_log: MakeLog) -> None:
    log = [(i, i, "view" if i % 2 else "buy") for i in range(6)]
    with pytest.raises(DataError, match=r"needs values, and store 'log' has none; prepare it with source\.columns"):
        Value(3).on(Ratio(target="all")(make_log(log)))
    store = make_log(log, value=[1, float("nan"), 3, float("nan"), 5, 6])
    with pytest.raises(DataError, match="2 target events of store 'log' have no value"):
        Value(3).on(Ratio(target="all")(store))
    Value(3).on(Ratio(valid=0.3, test=0.6, target="all", target_behaviors="buy")(store))
    with pytest.raises(ConfigError, match="at_least=many must be a number"):
        Value("many").on(Ratio(target="all")(store))  # type: ignore[arg-type]


def test_a_part_of_one_class_is_refused(make_log: MakeLog) -> None:
    log = [(i, i, "buy" if i < 8 else "view") for i in range(10)]
    labeller = Behavior("buy").on(Ratio(target="all")(make_log(log)))
    with pytest.raises(DataError, match=r"all examples of the valid part of store 'log' are negative"):
        labeller.require_both("valid")
    # The first event is learned from by nobody: there is nothing before it.
    labeller = Behavior("buy").on(Ratio(target="all")(make_log([(0, 0, "view"), *log[1:]])))
    with pytest.raises(DataError, match=r"all examples of the training part of store 'log' are positive"):
        labeller.require_both("train")
    Sampled().on(Ratio(target="all")(make_log(log))).require_both("valid")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"negatives": 0}, "negatives=0 must be a whole number from 1"),
        ({"negatives": 2.5}, "negatives=2.5 must be a whole number"),
        ({"drawn": "rank"}, "drawn=rank must be one of: popularity, uniform"),
    ],
)
def test_settings_of_sampling_are_checked(random_log: Store, settings: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Sampled(**settings).on(LeaveOneOut()(random_log))  # type: ignore[arg-type]


@pytest.mark.parametrize(("labels", "of_items"), [(Sampled(3), False), (Behavior(("buy",)), True)])
def test_traces_of_the_item_do_not_give_drawn_negatives_away(random_log: Store, labels: Labels, of_items: bool) -> None:
    task = Click(labels, [4], 0.0, 2, traces=2).on(Ratio(target="all")(random_log), None)
    model = task.model(Lstm(Items(random_log.n_items, 4), 4, 4, 1, 0.0, 0.0))
    assert isinstance(model, ClickNetwork)
    assert model.traces is not None
    assert model.traces.of_items == of_items
