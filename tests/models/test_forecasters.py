"""One contract for every forecaster of intensity, and what each of them is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_module
from scipy.optimize import nnls
from statsmodels.tsa.arima.model import ARIMA

from ltsi.entities import Entities
from ltsi.errors import ConfigError, DataError
from ltsi.intensity.series import DAY, Bins, IntensitySeries
from ltsi.intensity.windows import cut_windows
from ltsi.losses.log_squared import LogSquared
from ltsi.losses.mean_and_median import MeanAndMedian
from ltsi.models.arima import Arima, stationary
from ltsi.models.decay_forecast import LEAST, DecayForecast, bounded_solutions
from ltsi.models.forecaster import COVERAGE, Forecaster
from ltsi.models.forecasting import forecaster_of
from ltsi.models.last_value import LastValue
from ltsi.models.seasonal_naive import SeasonalNaive
from ltsi.models.series_network import fit_encoders
from ltsi.models.times import DecayBias, LogGap
from ltsi.objectives.window_batches import PartWindows, TrainingWindows
from ltsi.sequences.batches import Shard
from ltsi.sequences.leave_one_out import LeaveOneOut
from ltsi.store import Store
from ltsi.windows import Windows
from ltsi.workflows.experiment import build_model

WEEK, BINS, END, HORIZON = 7 * DAY, 40, 30, 3
SMALL = {
    "lstm": ["model.dim=8", "model.hidden=8"],
    "gru": ["model.dim=8", "model.hidden=8"],
    "lstm_attention": ["model.dim=8", "model.hidden=[8,4]"],
    "transformer": ["model.dim=8"],
    "hybrid": ["model.components.short.dim=8", "model.components.long.dim=8", "model.components.long.hidden=8"],
}
NAMES = ("last_value", "seasonal_naive", "arima", "exp_decay", *SMALL)


def series_of(x_ST: np.ndarray, entities: int = 1) -> IntensitySeries:
    row, index = np.nonzero(x_ST)
    offsets = np.append(0, np.cumsum((x_ST > 0).sum(axis=1)))
    of = np.sort(np.arange(len(x_ST)) % entities)
    labels = [str(e) for e in range(entities)]
    return IntensitySeries(
        Bins("week", x_ST.shape[1] * WEEK, x_ST.shape[1]), Entities("all", np.zeros(1, dtype=np.int32), labels),
        np.arange(len(x_ST)), of, offsets, index, x_ST[row, index],
    )  # fmt: skip


@pytest.fixture(scope="module")
def series() -> IntensitySeries:
    random = np.random.default_rng(0)
    rate = random.gamma(1.0, 2.0, (40, 1)) * np.exp(-np.arange(BINS) / random.uniform(5, 60, (40, 1)))
    x_ST = random.poisson(rate).astype(float)
    x_ST[:, 0] += 1
    x_ST[0] = 2.0  # constant
    x_ST[1, 1:] = 0.0  # one active bin
    return series_of(x_ST, entities=2)


def built(name: str, *overrides: str) -> Forecaster:
    torch.manual_seed(1)
    with initialize_config_module("ltsi.conf", version_base="1.3"):
        cfg = compose("train", ["objective=intensity", f"model={name}", *SMALL.get(name, []), "n_items=5", *overrides])
        return forecaster_of(build_model(cfg), HORIZON, WEEK)


def training(series: IntensitySeries) -> Windows:
    return cut_windows(series, np.arange(len(series)), np.full(len(series), END), 50, HORIZON, until=END)


def asked(series: IntensitySeries, origins: tuple[int, ...] = (30, 33, 36), length: int = 50) -> Windows:
    end = np.full(len(series), origins[-1])
    return cut_windows(
        series, np.arange(len(series)), end, length, HORIZON, until=BINS, origins=np.array(origins)
    )  # fmt: skip


def fitted(name: str, series: IntensitySeries) -> Forecaster:
    model = built(name)
    model.fit_statistics(series, END)
    if model.learns:
        optimizer = torch.optim.Adam(model.parameters(), 1e-2)
        for _ in range(3):
            optimizer.zero_grad()
            model.training_loss(training(series), MeanAndMedian()).backward()
            optimizer.step()
    model.eval()
    model.calibrate([asked(series)])
    return model


@pytest.fixture(scope="module", params=NAMES)
def model(request: pytest.FixtureRequest, series: IntensitySeries) -> Forecaster:
    return fitted(request.param, series)


@torch.no_grad()
def test_forecasts_are_numbers_in_their_intervals(model: Forecaster, series: IntensitySeries) -> None:
    windows = asked(series)
    mean_NH, median_NH, low_NH, high_NH = model.forecast(windows)
    assert mean_NH.shape == median_NH.shape == (3 * len(series), HORIZON)
    assert all(part.isfinite().all() and (part >= 0).all() for part in (mean_NH, median_NH, low_NH, high_NH))
    assert (low_NH <= high_NH).all()
    actual_NH = windows.future_BLH[windows.asked_BL()]
    held = ((low_NH <= actual_NH + 1e-4) & (actual_NH <= high_NH + 1e-4)).float().mean()
    assert held >= COVERAGE - 0.01


@torch.no_grad()
def test_no_position_sees_its_future(model: Forecaster, series: IntensitySeries) -> None:
    windows = asked(series)
    changed = Windows(**{**vars(windows), "x_BL": windows.x_BL.clone(), "level_BL": windows.level_BL.clone()})
    changed.x_BL[:, 20:] += 3
    changed.level_BL[:, 20:] += 1
    for before, after in zip(model.everywhere(windows), model.everywhere(changed), strict=True):
        torch.testing.assert_close(before[:, :20], after[:, :20])
        assert not torch.allclose(before[:, 20:], after[:, 20:])


@torch.no_grad()
def test_a_series_is_forecast_alone_as_among_others(model: Forecaster, series: IntensitySeries) -> None:
    whole = asked(series)
    one = Windows(**{name: column[5:6] for name, column in vars(whole).items()})
    for among, alone in zip(model.everywhere(whole), model.everywhere(one), strict=True):
        torch.testing.assert_close(among[5:6], alone, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_state_dict_carries_all(model: Forecaster, series: IntensitySeries, request: pytest.FixtureRequest) -> None:
    fresh = built(request.node.callspec.params["model"]).eval()
    fresh.load_state_dict(model.state_dict())
    for one, other in zip(fresh.forecast(asked(series)), model.forecast(asked(series)), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", ["exp_decay", "arima", "seasonal_naive", "hybrid"])
def test_statistics_see_training_bins_only(name: str, series: IntensitySeries) -> None:
    x_ST = series.dense(0, len(series))
    x_ST[:, END:] = np.random.default_rng(1).poisson(5.0, x_ST[:, END:].shape)
    states = []
    for one in (series, series_of(x_ST, entities=2)):
        model = built(name)
        model.fit_statistics(one, END)
        states.append(model.state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_the_loss_counts_asked_positions_only(series: IntensitySeries) -> None:
    model, windows = built("lstm").eval(), training(series)
    with torch.no_grad():
        whole = model.training_loss(windows, LogSquared())
        points = model.everywhere(windows)
    x_ST, expected = series.dense(0, len(series)), 0.0
    for s, first in enumerate(windows.first_B.tolist()):
        for t in range(first, END - HORIZON):
            came = torch.from_numpy(x_ST[s, t + 1 : t + 1 + HORIZON]).float().log1p()
            for log_BLH in points:
                expected += float((log_BLH[s, t - first] - came).square().sum()) / HORIZON
    assert float(whole) == pytest.approx(expected, rel=1e-4)


def test_nothing_is_learned_from_where_a_series_could_not_have_been_chosen() -> None:
    # Chosen for two active bins: before the second one, that the series is here says that it will come.
    x_ST = np.array([[1.0, 0, 0, 2, 0, 0, 0, 0, 5, 5], [0, 3, 1, 0, 0, 0, 0, 0, 5, 5], [1, 0, 0, 0, 0, 0, 0, 1, 0, 0]])
    chosen = replace(series_of(x_ST), least_active=2)
    assert chosen.chosen_S.tolist() == [3, 2, 7]
    assert replace(chosen, least_active=5).chosen_S.tolist() == [10, 10, 10]
    windows = cut_windows(chosen, np.arange(3), np.full(3, 8), 8, 2, until=8)
    first_B = windows.first_B.tolist()
    places = [(b, t + first_B[b]) for b, t in windows.asked_BL().nonzero().tolist()]
    assert places == [(0, 3), (0, 4), (0, 5), (1, 2), (1, 3), (1, 4), (1, 5)]
    for max_length in (8, 3):
        batches = TrainingWindows(chosen, 8, max_length, 2, 1, 0, Shard())
        found = [(batch.n_targets, int(batch.windows.asked_BL().sum())) for batch in batches.epoch(0)]
        assert all(said == asked for said, asked in found)
        assert sum(asked for _, asked in found) == len(places)
    with pytest.raises(DataError, match="No series has 2 bins of training after its 5 active ones"):
        DecayForecast(2).fit_statistics(replace(chosen, least_active=5), 8)


def test_naive_forecasts() -> None:
    series = series_of(np.array([[1.0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]]))
    windows = cut_windows(series, np.array([0]), np.array([9]), 50, HORIZON, until=12, origins=np.array([9]))
    assert LastValue()(windows).mean.expm1().tolist() == [pytest.approx([9, 9, 9])]
    seasonal = SeasonalNaive(period=2)
    seasonal.fit_statistics(series, 9)
    assert seasonal(windows).mean.expm1().tolist() == [pytest.approx([8, 9, 8])]
    four = SeasonalNaive()
    four.fit_statistics(series, 9)
    assert four(windows).median.expm1().tolist() == [pytest.approx([6, 7, 8])]
    far = SeasonalNaive(period=8)
    far.fit_statistics(series, 9)
    short = cut_windows(series, np.array([0]), np.array([9]), 5, HORIZON, until=12, origins=np.array([9]))
    with pytest.raises(ConfigError, match=r"looks 8 bins back, .* max_length=5 .* give max_length=16"):
        far(short)


@pytest.mark.parametrize("length", [50, 60, 80, 103, 104])
def test_a_season_ago_is_seen_before_every_origin_or_refused(length: int) -> None:
    x_ST = np.tile(np.random.default_rng(0).integers(1, 30, (2, 52)).astype(float), 4)
    x_ST[1, :150] = 0.0  # began less than a season before the first origins
    seasonal = SeasonalNaive()
    seasonal.fit_statistics(series_of(x_ST), 160)
    parts = PartWindows(series_of(x_ST), np.arange(160, 206), length, HORIZON, Shard())
    if length < 100:
        with pytest.raises(ConfigError, match=f"max_length={length} .* give max_length=104"):
            [seasonal(windows) for windows in parts]
        return
    for windows in parts:
        asked_BL, always_B1 = windows.asked_BL(), windows.series_B[:, None] == 0
        found = seasonal(windows).mean.expm1()[always_B1.expand_as(asked_BL)[asked_BL]]
        torch.testing.assert_close(found, windows.future_BLH[asked_BL & always_B1])


def test_the_decay_is_the_one_that_made_the_series() -> None:
    # One event fades at a half-life of 4 bins; nothing else happens.
    random = np.random.default_rng(0)
    half_life = float(np.geomspace(0.5, 64, 13)[5])
    left = 0.5 ** (1 / half_life)
    x_ST = np.zeros((300, 40))
    x_ST[:, 0] = random.uniform(5, 40, 300)
    # Each bin is c times what is left of all before: a fading that feeds itself.
    feed = 0.3
    memory = x_ST[:, 0].copy()
    for t in range(1, 40):
        x_ST[:, t] = feed * memory * left
        memory = memory * left + x_ST[:, t]
    model = DecayForecast(1)
    model.fit_statistics(series_of(x_ST), 40)
    assert float(np.log(2) / model.rate_E[0]) == pytest.approx(half_life, rel=1e-3)
    for weight_P in (model.weight_EP[0], model.mean_weight_EP[0]):
        assert weight_P.tolist() == pytest.approx([0, 0, feed], abs=0.01)


def test_the_decay_forecasts_the_mean_of_what_is_mostly_nothing() -> None:
    # A bin is empty nine times in ten: no number that fits the logarithms is the mean of that.
    random = np.random.default_rng(0)
    x_ST = np.where(random.random((400, 60)) < 0.1, random.geometric(0.05, (400, 60)), 0).astype(float)
    x_ST[:, 0] = 1
    model = DecayForecast(2)
    model.fit_statistics(series_of(x_ST, entities=2), 60)
    windows = cut_windows(series_of(x_ST, entities=2), np.arange(400), np.full(400, 60), 60, 2, until=60)
    points = model(windows)
    actual_NH = windows.future_BLH[windows.asked_BL()]
    assert float(points.mean.expm1().mean()) == pytest.approx(float(actual_NH.mean()), rel=0.05)
    assert float(points.median.expm1().mean()) < 0.5 * float(actual_NH.mean())


def test_weights_are_the_best_that_are_not_negative() -> None:
    random = np.random.default_rng(0)
    input_ENP = random.normal(size=(60, 12, 3))
    wanted_EN = random.normal(size=(60, 12))
    curvature, gradient = np.swapaxes(input_ENP, 1, 2) @ input_ENP, np.einsum("enp,en->ep", input_ENP, wanted_EN)
    found_EP = bounded_solutions(torch.from_numpy(curvature), torch.from_numpy(gradient)).numpy()
    best_EP = np.stack(
        [LEAST + nnls(x_NP, y_N - LEAST * x_NP.sum(axis=1))[0] for x_NP, y_N in zip(input_ENP, wanted_EN, strict=True)]
    )
    assert {int(n) for n in (best_EP > 2 * LEAST).sum(axis=1)} == {0, 1, 2, 3}  # bound in every way
    np.testing.assert_allclose(found_EP, best_EP, atol=1e-9)


def test_the_decay_forecasts_the_mean_of_what_falls() -> None:
    # The free solution has a negative weight of the mean so far; without it the others must change.
    random = np.random.default_rng(0)
    x_ST = random.poisson(20 * np.exp(-np.arange(60) / 12) * random.gamma(4.0, 0.25, (400, 1))).astype(float)
    x_ST[:, 0] += 1
    model = DecayForecast(4)
    model.fit_statistics(series_of(x_ST), 60)
    windows = cut_windows(series_of(x_ST), np.arange(400), np.full(400, 60), 60, 4, until=60)
    mean_NH, actual_NH = model(windows).mean.expm1(), windows.future_BLH[windows.asked_BL()]
    # Cutting off the negative weight of the free solution made that 28 %.
    assert float(mean_NH.mean()) == pytest.approx(float(actual_NH.mean()), rel=0.08)


def simulated(phi: float, theta: float, n: int, bins: int) -> np.ndarray:
    error = np.random.default_rng(0).normal(0, 0.3, (n, bins + 50))
    w = np.zeros_like(error)
    for t in range(1, bins + 50):
        w[:, t] = phi * w[:, t - 1] + error[:, t] + theta * error[:, t - 1]
    return np.expm1(w[:, 50:] + 3)


def test_arima_finds_the_parameters_of_a_long_series() -> None:
    model = Arima((1, 0, 1))
    model.fit_statistics(series_of(simulated(0.7, 0.4, 6, 1500)), 1500)
    assert model.phi_SP[:, 0].tolist() == pytest.approx([0.7] * 6, abs=0.12)
    assert model.theta_SQ[:, 0].tolist() == pytest.approx([0.4] * 6, abs=0.15)
    assert model.mean_S.tolist() == pytest.approx([3] * 6, abs=0.2)


def test_arima_forecasts_are_the_recursion_by_hand() -> None:
    model = Arima((1, 0, 1))
    model.mean_S, model.phi_SP, model.theta_SQ = torch.tensor([1.0]), torch.tensor([[0.5]]), torch.tensor([[0.2]])
    series = series_of(np.expm1(np.array([[2.0, 1.0, 3.0, 1.0, 1.0]])))
    windows = cut_windows(series, np.array([0]), np.array([3]), 50, 2, until=5, origins=np.array([3]))
    # Centred 1, 0, 2: surprises 1, 0 − .5 − .2 = −.7, 2 − 0 + .14 = 2.14.
    first = 0.5 * 2 + 0.2 * 2.14
    assert model(windows).mean.tolist() == [pytest.approx([1 + first, 1 + 0.5 * first])]


def test_arima_is_that_of_statsmodels_given_the_same_parameters() -> None:
    x = simulated(0.6, 0.3, 1, 60)
    model = Arima((1, 0, 1))
    model.fit_statistics(series_of(x), 60)
    reference = ARIMA(np.log1p(x[0]), order=(1, 0, 1))
    values = [float(part.flatten()[0]) for part in (model.mean_S, model.phi_SP, model.theta_SQ)]
    theirs = reference.smooth([*values, 0.1]).forecast(HORIZON)
    windows = cut_windows(
        series_of(x), np.array([0]), np.array([60]), 60, HORIZON, until=60 + HORIZON, origins=np.array([60])
    )  # fmt: skip
    assert model(windows).mean[0].tolist() == pytest.approx(list(theirs), abs=1e-3)


def test_arima_of_differences_ends_where_the_series_is() -> None:
    model = Arima((0, 1, 0))
    windows = asked(series_of(np.full((1, BINS), 4.0)))
    assert model(windows).mean.expm1().flatten().tolist() == pytest.approx([4.0] * 9)


@pytest.mark.parametrize(("order", "by", "wanted"), [((1, 0, 1), "mean", 2.0), ((0, 1, 1), "last value", 5.0)])
def test_a_series_too_short_for_arima_is_forecast_as_is_said(
    caplog: pytest.LogCaptureFixture, order: tuple[int, ...], by: str, wanted: float
) -> None:
    x_ST = np.expm1(np.array([[1.0, 1.0, 1.0, 5.0]]))
    model = Arima(order)
    with caplog.at_level("INFO"):
        model.fit_statistics(series_of(x_ST), 4)
    assert caplog.messages[-1].endswith(f"they are forecast by their {by}.")
    windows = cut_windows(series_of(x_ST), np.array([0]), np.array([4]), 4, 2, until=6, origins=np.array([4]))
    assert model(windows).mean.tolist() == [pytest.approx([wanted] * 2)]


def test_coefficients_are_drawn_into_the_unit_circle() -> None:
    wild = torch.tensor([[1.5, 0.3], [0.4, 0.2], [0.0, 2.0]])
    for row, phi in zip(wild.tolist(), stationary(wild).tolist(), strict=True):
        roots = np.abs(np.roots([1, -phi[0], -phi[1]]))
        assert roots.max() <= 0.98 + 1e-5
        if np.abs(np.roots([1, -row[0], -row[1]])).max() < 0.98:
            assert phi == pytest.approx(row)


@pytest.mark.parametrize("order", [(1, 2, 1), (1, 0), (-1, 0, 0), (True, 0, 0)])
def test_orders_that_mean_nothing_are_refused(order: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match=r"model\.order="):
        Arima(order)


def test_the_hybrid_starts_at_the_decay(series: IntensitySeries) -> None:
    hybrid, decay = built("hybrid").eval(), built("exp_decay")
    for model in (hybrid, decay):
        model.fit_statistics(series, END)
    for one, other in zip(hybrid(asked(series)), decay(asked(series)), strict=True):
        torch.testing.assert_close(one, other)


@torch.no_grad()
@pytest.mark.parametrize(("name", "part"), [("transformer", "model"), ("hybrid", "model.components.short")])
def test_encoders_take_their_statistics_from_the_log(make_store: Callable[..., Store], name: str, part: str) -> None:
    users = [[(i % 3, int(1.7**i * DAY) + u) for i in range(12)] for u in range(20)]
    split, alone = LeaveOneOut()(make_store(*users)), DecayBias(1)
    alone.fit_statistics(split)
    forecaster = built(name, f"{part}.decay_bias=true", f"{part}.heads=1")
    (bias,) = [module for module in forecaster.modules() if isinstance(module, DecayBias)]
    assert not torch.allclose(bias.rate_per_day(), alone.rate_per_day())
    fit_encoders(forecaster, split)
    torch.testing.assert_close(bias.rate_per_day(), alone.rate_per_day())


def test_the_gaps_of_a_series_are_all_alike(make_store: Callable[..., Store], series: IntensitySeries) -> None:
    forecaster = built("time_lstm")
    fit_encoders(forecaster, LeaveOneOut()(make_store(*[[(i % 3, 100 * i) for i in range(9)] for _ in range(9)])))
    (log_gap,) = [module for module in forecaster.modules() if isinstance(module, LogGap)]
    gap_BL = log_gap(torch.arange(5)[None] * WEEK)
    torch.testing.assert_close(gap_BL, torch.zeros(1, 5))
    assert forecaster(asked(series)).mean.isfinite().all()


@pytest.mark.parametrize("name", ["popularity", "lstm_transformer"])
def test_models_without_a_counterpart_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="objective=intensity cannot use"):
        built(name)


def test_a_hybrid_without_networks_is_refused() -> None:
    with initialize_config_module("ltsi.conf", version_base="1.3"):
        cfg = compose("train", ["objective=intensity", "model=hybrid", "model.without=[short,long]", "n_items=5"])
        with pytest.raises(ConfigError, match="needs a single network among the components"):
            forecaster_of(build_model(cfg), HORIZON, WEEK)
