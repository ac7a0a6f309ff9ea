"""Pictures of a decay fit for a page: curves with bands, half-lives as a heat map, survival of interests.

Figures belong to no window and no global state.
"""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ltsi.decay.drawing import BLUE, GREY, ORANGE, label
from ltsi.decay.forms import Floats
from ltsi.decay.observed import fading_hazard, fitted_hazard, highest_fading, observed_hazard
from ltsi.decay.result import DecayFit, EntityDecay
from ltsi.decay.statistics import ReturnStatistics
from ltsi.decay.trials import DAYS

CURVES, ROWS, SURVIVALS = 12, 30, 6
"""Entities in each picture, those with the most returns."""

LEAST_AT_RISK = 10
"""Visits at risk below which a survival says more about a few users than about an entity."""

_COLUMNS, _POINTS, _AGES = 4, 10, 160
_HALF_LIVES = 4.0


def curves_figure(fit: DecayFit) -> Figure | None:
    """Draws what is left of the return rate of each entity, fitted, with its band, and observed; None if nothing fades.

    The band is that of the half-life: the same curve, run through at the slowest and at the fastest rate of the
    interval.
    """
    shown = [code for code in fit.most_returned(CURVES) if fit.entities[code].half_life_days]
    if not shown:
        return None
    shown.sort(key=lambda code: float(fit.entities[code].half_life_days or math.inf))
    columns = min(_COLUMNS, len(shown))
    rows = math.ceil(len(shown) / columns)
    figure = Figure(figsize=(2.6 * columns + 0.6, 2.1 * rows + 0.6), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis, code in zip(axes, shown, strict=False):
        _draw_curve(axis, fit.entities[code], fit.statistics, code)
    for axis in axes[len(shown) :]:
        axis.set_axis_off()
    figure.supxlabel("days since the last visit", fontsize=9)
    figure.supylabel("share of the return rate left", fontsize=9)
    return figure


def half_lives_figure(fit: DecayFit) -> Figure | None:
    """Draws which share of the return rate is left at which age, an entity a row, and where it is a half; or None."""
    shown = [code for code in fit.most_returned(ROWS) if fit.entities[code].half_life_days]
    if not shown:
        return None
    entities = sorted((fit.entities[code] for code in shown), key=lambda one: float(one.half_life_days or math.inf))
    half_lives = [float(one.half_life_days or math.nan) for one in entities]
    age = np.geomspace(half_lives[0] / 8, half_lives[-1] * 8, _AGES)
    share = np.stack([_share_left(one, age) for one in entities])
    figure = Figure(figsize=(9.5, 0.3 * len(entities) + 1.4), layout="constrained")
    axis = figure.subplots()
    edges, heights = np.concatenate([age, [age[-1] ** 2 / age[-2]]]), np.arange(len(entities) + 1) - 0.5
    mesh = axis.pcolormesh(edges, heights, share, cmap="YlGnBu", vmin=0, vmax=1, rasterized=True)
    for row, one in enumerate(entities):
        low, high = one.half_life_low_days, one.half_life_high_days
        if low is not None:
            axis.hlines(row, max(low, age[0]), min(high or age[-1], age[-1]), color="black", linewidth=1.2)
    axis.plot(half_lives, np.arange(len(entities)), "o", color="white", markeredgecolor="black", markersize=5)
    axis.set_xscale("log")
    axis.set_xlabel("days since the last visit")
    axis.set_yticks(np.arange(len(entities)), [label(one.entity) for one in entities], fontsize=8)
    axis.invert_yaxis()
    figure.colorbar(mesh, ax=axis, label="share of the return rate left", pad=0.01)
    return figure


def survival_figure(fit: DecayFit) -> Figure | None:
    """Draws the share of visits not yet followed by a return, by age, with its 95 % band (Nelson & Aalen).

    None where exposure is counted in trials: returns per trial do not add up over days.
    """
    if fit.options.exposure != DAYS:
        return None
    figure = Figure(figsize=(9.5, 3.6), layout="constrained")
    axis = figure.subplots()
    several = len(fit.entities) > 1
    lines = [(fit.pooled, fit.statistics.pooled(), 0)] if several else []
    lines += [(fit.entities[code], fit.statistics, code) for code in fit.most_returned(SURVIVALS)]
    for index, (one, statistics, code) in enumerate(lines):
        age, alive, low, high = survival(statistics, code)
        colour = "black" if several and index == 0 else f"C{index}"
        axis.fill_between(age, low, high, color=colour, alpha=0.15, linewidth=0)
        axis.plot(age, alive, color=colour, linewidth=1.6, label=label(one.entity))
    axis.set_xlabel("days since the visit")
    axis.set_ylabel("share without a return")
    axis.set_ylim(0, 1.02)
    axis.set_xlim(left=0)
    axis.legend(fontsize=8, frameon=False, loc="upper right")
    axis.spines[["top", "right"]].set_visible(False)
    return figure


def survival(statistics: ReturnStatistics, code: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Computes the survival of an entity's interests, `exp(−H)` with the Nelson-Aalen cumulative hazard H.

    Returns:
        Ages in days, the share not returned by then, and the lower and upper end of its 95 % interval (normal, of H),
        each `(bins + 1,)`; they end where fewer than `LEAST_AT_RISK` visits are at risk.
    """
    returns, exposure = (total[0, 0] for total in statistics.totals(np.array([code])))
    seen = int(np.max(np.flatnonzero(exposure >= LEAST_AT_RISK * np.diff(statistics.edges)), initial=-1)) + 1
    returns, exposure, edges = returns[:seen], exposure[:seen], statistics.edges[: seen + 1]
    width, at_risk = np.diff(edges), np.where(exposure > 0, exposure, 1.0)
    hazard = np.concatenate([[0.0], np.cumsum(returns / at_risk * width)])
    error = np.sqrt(np.concatenate([[0.0], np.cumsum(returns * (width / at_risk) ** 2)]))
    return edges, np.exp(-hazard), np.exp(-hazard - 1.96 * error), np.exp(-np.maximum(hazard - 1.96 * error, 0.0))


def _draw_curve(axis: Axes, one: EntityDecay, statistics: ReturnStatistics, code: int) -> None:
    half_life = float(one.half_life_days or math.nan)
    until = min(_HALF_LIVES * half_life, float(statistics.edges[-1]))
    age = np.linspace(0.0, until, _AGES)
    low, high = one.half_life_low_days, one.half_life_high_days
    if low is not None:
        slow = _share_left(one, age * (half_life / high if high else 0.0))
        axis.fill_between(age, _share_left(one, age * half_life / low), slow, color=ORANGE, alpha=0.2, linewidth=0)
    axis.plot(age, _share_left(one, age), color=ORANGE, linewidth=1.8)
    returns, exposure = (total[0, 0] for total in statistics.totals(np.array([code])))
    points = observed_hazard(returns, exposure, statistics.edges, until, _POINTS)
    floor, highest = fitted_hazard(one, points.age_days) - fading_hazard(one, points.age_days), _highest(one)
    axis.errorbar(
        points.age_days,
        (points.per_day - floor) / highest,
        yerr=1.96 * points.error / highest,
        fmt="o",
        color=BLUE,
        markersize=3,
        linewidth=1,
    )
    axis.axvline(half_life, color=GREY, linestyle=":", linewidth=1)
    axis.set_title(f"{label(one.entity)}: {half_life:.3g} d", fontsize=9)
    axis.set_xlim(0, until)
    axis.set_ylim(-0.1, 1.5)
    axis.tick_params(labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)


def _share_left(one: EntityDecay, age: Floats) -> Floats:
    """Returns the fading part of the fitted rate at ages, as a share of its highest."""
    share: Floats = fading_hazard(one, age) / _highest(one)
    return share


def _highest(one: EntityDecay) -> float:
    return highest_fading(one, _HALF_LIVES * float(one.half_life_days or math.nan))
