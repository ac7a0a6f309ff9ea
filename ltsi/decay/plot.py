"""Decay curves as a picture: for each entity the observed return hazard and the fitted curve."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ltsi.decay.drawing import BLUE, GREY, ORANGE, label
from ltsi.decay.forms import EXPONENT
from ltsi.decay.observed import fitted_hazard, observed_hazard
from ltsi.decay.result import DecayFit, EntityDecay
from ltsi.decay.statistics import ReturnStatistics
from ltsi.decay.trials import UNITS

PANELS = 12
_COLUMNS = 4
_POINTS = 12


def decay_figure(fit: DecayFit, title: str) -> Figure:
    """Draws one panel for all entities together and one for each of those with the most returns.

    Args:
        fit: the fit.
        title: what the figure shows.

    Returns:
        The figure; it belongs to no window and no global state.
    """
    panels = [] if len(fit.entities) == 1 else [(fit.pooled, fit.statistics.pooled(), 0)]
    most = fit.most_returned(PANELS - len(panels))
    shown = [code for code in most if fit.entities[code].form is not None] or most[:1]
    shown.sort(key=lambda code: fit.entities[code].half_life_days or math.inf)
    panels += [(fit.entities[code], fit.statistics, code) for code in shown]
    columns = min(_COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(3.3 * columns + 0.4, 2.5 * rows + 0.8), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis, (one, statistics, code) in zip(axes, panels):
        _draw(axis, one, statistics, code)
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    figure.suptitle(title.replace("$", r"\$"))
    figure.supxlabel("days since the last visit")
    figure.supylabel(f"returns per {UNITS[fit.options.exposure]} at risk")
    return figure


def _draw(axis: Axes, one: EntityDecay, statistics: ReturnStatistics, code: int) -> None:
    returns, exposure = (total[0, 0] for total in statistics.totals(np.array([code])))
    edges = statistics.edges
    until = min(4.0 * (one.half_life_days or math.inf), float(edges[-1]))
    points = observed_hazard(returns, exposure, edges, until, _POINTS)
    axis.errorbar(
        points.age_days, points.per_day, yerr=1.96 * points.error, fmt="o", color=BLUE, markersize=3.5, linewidth=1
    )
    name = label(one.entity)
    heading = f"{name}: no half-life"
    if one.amplitude:
        age = np.linspace(float(edges[0]), until, 200)
        axis.plot(age, fitted_hazard(one, age), color=ORANGE, linewidth=1.8)
    if one.half_life_days is not None:
        axis.axvline(one.half_life_days, color=GREY, linestyle=":", linewidth=1)
        heading = f"{name}: {one.half_life_days:.3g} d"
        if one.half_life_low_days is not None:
            high = "∞" if one.half_life_high_days is None else f"{one.half_life_high_days:.3g}"
            heading += f" ({one.half_life_low_days:.3g}–{high})"
    elif one.amplitude:
        heading = f"{name}: age^−{one.parameters[EXPONENT]:.2g}"
    axis.set_title(heading, fontsize=9)
    axis.set_xlim(0, until)
    axis.set_ylim(bottom=0)
    axis.tick_params(labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)
