from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from ltsi.decay.implied import TOO_FEW, ImpliedCurves, ImpliedDecay, age, fit_implied, implied_curves, implied_edges
from ltsi.decay.result import FitOptions
from ltsi.histories import Histories

DAY = 86_400
MakeHistories = Callable[..., Histories]
EDGES = implied_edges(400.0)


def fading(rate_per_day: float, floor: float = 0.0) -> Callable[[Histories], Tensor]:
    """Four items; what is in the history weighs `5 · exp(−rate · age) + floor`, and one without."""

    def scores(histories: Histories) -> Tensor:
        days_BL = (histories.now_B[:, None] - histories.time_BL) / DAY
        own_BJ = torch.zeros(len(histories), 5, dtype=torch.float64)
        left_BL = torch.exp(-rate_per_day * days_BL.double()) * histories.real_BL()
        own_BJ.scatter_add_(1, histories.item_BL, left_BL)
        touched_BI = own_BJ[:, :4] > 0
        # A constant of each row is free: it may change with age, as a softmax's normaliser does.
        return torch.where(touched_BI, 5 * own_BJ[:, :4] + floor, 1.0).log() - days_BL[:, :1]

    return scores


def test_only_the_now_moves(make_histories: MakeHistories) -> None:
    histories = make_histories([1, 2, 0], [3], n_items=4, wait=5 * DAY)
    aged = age(histories, 30.0)
    assert (aged.now_B - histories.last(histories.time_BL)).tolist() == [30 * DAY, 30 * DAY]
    assert torch.equal(aged.time_BL, histories.time_BL)
    assert torch.equal(aged.now_BL[0, :2], histories.now_BL[0, :2])


@pytest.mark.parametrize("floor", [0.0, 1.0])
def test_the_rate_of_a_model_that_fades_is_found(make_histories: MakeHistories, floor: float) -> None:
    batches = [make_histories([0, 1], [2], [3, 3, 0], n_items=4)] * 10
    curves = implied_curves(fading(0.05, floor), batches, np.arange(4), 4, EDGES)
    assert curves.looks_at_time
    assert curves.n_histories == 30
    pooled, *own = fit_implied(curves, list("abcd"), FitOptions(form="auto"))
    assert pooled.entity == "(all)"
    assert pooled.histories == 50
    assert [one.histories for one in own] == [20, 10, 10, 10]
    expected = "exponential_floor" if floor else "exponential"
    for one in (pooled, *own):
        assert one.form == expected
        assert one.rate_per_day == pytest.approx(0.05, rel=0.01)
        assert one.half_life_days == pytest.approx(np.log(2) / 0.05, rel=0.01)
        # All histories fade alike, so there is nothing to be unsure about.
        assert one.half_life_low_days == pytest.approx(one.half_life_days, rel=0.01)


def test_a_half_life_that_the_curve_does_not_bear_out_is_doubted(make_histories: MakeHistories) -> None:
    batches = [make_histories(*[[0]] * 20, n_items=4)]
    fast = implied_curves(fading(0.1, floor=0.5), batches, np.arange(4), 4, implied_edges(400.0))
    exponential, floor = (
        fit_implied(fast, ["0", "1", "2", "3"], FitOptions(form=form, replicates=0))[1].note
        for form in ("exponential", "exponential_floor")
    )
    assert "not the curve of the scores, which leave it by" in exponential
    assert floor == ""
    slow = implied_curves(fading(0.001), batches, np.arange(4), 4, implied_edges(300.0))
    (_, found, *_) = fit_implied(slow, ["0", "1", "2", "3"], FitOptions(form="exponential", replicates=0))
    assert found.half_life_days == pytest.approx(693, rel=0.02)
    assert found.note == "beyond the 300 days that were aged"


def test_an_entity_has_the_form_of_all(make_histories: MakeHistories) -> None:
    """By a few histories of its own no criterion would pay for the floor that is plain in every one of them."""
    batches = [make_histories([0, 1], [2], [3, 3, 0], n_items=4)] * 11
    edges = implied_edges(100.0)
    curves = implied_curves(fading(0.05, 0.1), batches, np.arange(4), 4, edges)
    for one in fit_implied(curves, list("abcd"), FitOptions(form="simple", replicates=0)):
        assert one.form == "exponential_floor"
        assert one.half_life_days == pytest.approx(np.log(2) / 0.05, rel=0.02)


@pytest.fixture
def mixed(make_histories: MakeHistories) -> ImpliedCurves:
    """A model that forgets every second batch ten times as fast."""
    parts = [
        implied_curves(fading(rate), [make_histories(*[[0]] * 8, [1, 0], [2], n_items=4)] * 10, np.arange(4), 4, EDGES)
        for rate in (0.02, 0.2)
    ]
    left, count = (np.stack([getattr(one, name) for one in parts]) for name in ("left_GEN", "count_GE"))
    # Which groups are which is drawn, so that histories differ as users do.
    which, group = np.random.default_rng(0).integers(0, 2, 64), np.arange(64)
    return replace(parts[0], left_GEN=left[which, group], count_GE=count[which, group])


def test_options_hold_for_the_model(mixed: ImpliedCurves) -> None:
    def pooled(**options: object) -> ImpliedDecay:
        return fit_implied(mixed, list("abcd"), FitOptions(**options))[0]  # type: ignore[arg-type]

    def width(one: ImpliedDecay) -> float:
        return float(one.half_life_high_days or np.inf) / float(one.half_life_low_days or np.nan)

    assert pooled(form="simple").form == "exponential_floor"
    assert pooled(form="auto").form == "two_scale"
    assert 1.0 < width(pooled(confidence=0.5)) < width(pooled(confidence=0.99))
    assert pooled(replicates=0).half_life_days == pooled().half_life_days
    assert pooled(replicates=0).half_life_low_days is None
    cut_off = pooled(form="power_cutoff")
    assert cut_off.half_life_days is cut_off.half_life_low_days is None
    assert cut_off.rate_per_day is not None
    assert cut_off.note == "power_cutoff has no half-life"


def test_the_curve_is_the_mean_share_that_is_left(make_histories: MakeHistories) -> None:
    curves = implied_curves(fading(0.05), [make_histories([0], n_items=4)], np.arange(4), 4, EDGES)
    low, high = EDGES[:-1], EDGES[1:]
    mean = (np.exp(-0.05 * low) - np.exp(-0.05 * high)) / (0.05 * (high - low))
    assert curves.count_GE.sum(0).tolist() == [1, 0, 0, 0]
    assert curves.left_GEN.sum(0)[0] == pytest.approx(mean, rel=0.01, abs=1e-4)
    assert not curves.left_GEN[:, 1:].any()


def test_a_model_that_does_not_look_at_time_is_found_out(make_histories: MakeHistories) -> None:
    def scores(histories: Histories) -> Tensor:
        return torch.arange(4.0).repeat(len(histories), 1)

    curves = implied_curves(scores, [make_histories([0, 1], [2], n_items=4)], np.arange(4), 4, EDGES)
    assert not curves.looks_at_time


def test_what_weighs_as_without_a_history_is_no_interest(make_histories: MakeHistories) -> None:
    # After 100 days less than one in a hundred of the first event is left.
    histories = make_histories([0, 1], n_items=4, step=100 * DAY)
    curves = implied_curves(fading(0.05, floor=1.0), [histories], np.arange(4), 4, EDGES)
    assert curves.count_GE.sum(0).tolist() == [0, 1, 0, 0]


def test_a_history_that_holds_everything_and_a_thin_entity_are_left_out(make_histories: MakeHistories) -> None:
    batches = [make_histories([0, 1], [0], n_items=4)] * 6
    curves = implied_curves(fading(0.05), batches, np.array([0, 1, 1, 1]), 2, EDGES)
    assert curves.count_GE.sum(0).tolist() == [6, 0]
    assert curves.n_compared == 6
    pooled, first, second = fit_implied(curves, ["a", "b"], FitOptions(form="exponential"))
    assert pooled.note == first.note == second.note == TOO_FEW
    assert pooled.half_life_days is None
