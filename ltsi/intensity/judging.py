"""How the states of a block of series are found; see `states` for what the columns mean.

Shape suffixes: S series, E episodes, T bins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ltsi.intensity.episodes import Episodes, dormant_segments, episodes, rate_evidence, seasonal_rate
from ltsi.intensity.options import DORMANT, FALLING, REVIVED, RISING, STEADY, StateOptions
from ltsi.intensity.predictive import outlook
from ltsi.intensity.segments import SHAPE, Segments, exposure, segment
from ltsi.intensity.turning import Turning, find_turning

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

LEAST_COUNT, LEAST_BINS = 3.0, 3
"""A turn is looked for where that many effective events lie in an episode, and in that many bins."""

AROUND = 2
"""Bins of silence before and after an episode that are looked at with it: a rise and a fall show against them."""


@dataclass(frozen=True)
class Calendar:
    """What the time says before anybody does anything.

    Attributes:
        factor_T: season of each bin.
        ahead: seasons of the bins that are forecast, added up.
        per_year: bins of a year.
        slack: bins by which a yearly rhythm may come early or late.
    """

    factor_T: Floats
    ahead: float
    per_year: int
    slack: int


def judge(
    x_ST: Floats,
    scale_S: Floats,
    unit_S: Floats,
    per_bin_S: Floats,
    alive_S: Floats,
    calendar: Calendar,
    options: StateOptions,
) -> dict[str, NDArray[np.generic]]:
    """Finds the states of a block of series at the end of their bins.

    Args:
        x_ST: counts.
        scale_S: dispersion of the counts.
        unit_S: what an event counts.
        per_bin_S: prior mean of the rate, in effective events.
        alive_S: probability that a living interest keeps silent as long as this one has.
        calendar: seasons.
        options: what is called what.

    Returns:
        The columns of `InterestStates`.
    """
    bins = x_ST.shape[1]
    y_ST = x_ST / scale_S[:, None]
    exposure_ST = exposure(x_ST, calendar.factor_T)
    segments = segment(y_ST, exposure_ST, per_bin_S)
    dormant_G = dormant_segments(segments, options.share)
    found = episodes(segments, dormant_G, per_bin_S)
    last_S = np.append(np.flatnonzero(np.diff(found.series_E)), len(found.series_E) - 1)
    turning, fitted_S = _turning(y_ST, exposure_ST, found, last_S)
    returns = _returns(y_ST, exposure_ST, found, calendar)
    silent_since_S = bins - (x_ST[:, ::-1] > 0).argmax(axis=1)
    is_dormant_S, dormant = _dormant(found, last_S, alive_S, silent_since_S, bins, options)
    final_S = np.append(np.flatnonzero(np.diff(segments.series_G)), len(segments.series_G) - 1)
    state_S, evidence_S = _states(turning, fitted_S, is_dormant_S, dormant, returns, found, last_S, options)
    rate_S = _rate_now(segments, final_S, turning, fitted_S, state_S, bins)
    smooth_ST = _smoothed(x_ST)
    peak_rate_S = smooth_ST.max(axis=1)
    turned_S = _turned(turning, fitted_S, options)
    faded = _faded(turning, turned_S, options)
    columns: dict[str, NDArray[np.generic]] = {
        "state_S": state_S,
        "score_S": np.clip(rate_S * scale_S / peak_rate_S, 0.0, 1.0),
        "evidence_S": evidence_S,
        "rate_S": rate_S * scale_S,
        "peak_S": smooth_ST.argmax(axis=1),
        "peak_rate_S": peak_rate_S,
        "turn_S": np.where(turned_S, turning.at_S, -1),
        "turn_evidence_S": np.where(fitted_S, turning.evidence_S, 0.0),
        **faded,
        **dormant,
        **returns,
    }
    shape_S = SHAPE + segments.count_G[final_S]
    mean_S = scale_S * _expected(turning, state_S, rate_S, calendar, options.horizon)
    return columns | outlook(mean_S, shape_S, scale_S, unit_S, options.confidence)


def _turning(y_ST: Floats, exposure_ST: Floats, found: Episodes, last_S: Ints) -> tuple[Turning, Bools]:
    """Looks for a turn in the last episode of each series; also says where there was enough to look at."""
    n, bins = y_ST.shape
    start, end = found.start_E[last_S], found.end_E[last_S]
    index_T = np.arange(bins)
    low = np.where(np.isnan(found.dormant_rate_E[last_S]), start, np.maximum(start - AROUND, 0))
    high = np.minimum(end + AROUND, found.until_E[last_S])
    window_ST = np.where((index_T >= low[:, None]) & (index_T < high[:, None]), exposure_ST, 0.0)
    inside_ST = y_ST * (window_ST > 0)
    fitted_S = (inside_ST.sum(axis=1) >= LEAST_COUNT) & ((window_ST > 0).sum(axis=1) >= LEAST_BINS)
    columns = {name: np.zeros(n) for name in Turning.__dataclass_fields__}
    if fitted_S.any():
        turning = find_turning(inside_ST[fitted_S], window_ST[fitted_S])
        for name, column in columns.items():
            column[fitted_S] = getattr(turning, name)
    columns["at_S"] = columns["at_S"].astype(np.int64)
    return Turning(**columns), fitted_S  # type: ignore[arg-type]


def _turned(turning: Turning, fitted_S: Bools, options: StateOptions) -> Bools:
    """Says where a rise became a fall; a fall from the first bin on turned there."""
    # A rise alone makes a tent better than a line: the fall must be believed for itself (Wald).
    slope_S = turning.fall_S / np.maximum(turning.fall_error_S, 1e-12)
    falls_S = (turning.fall_S > 0) & (slope_S**2 / 2 >= options.evidence)
    tent_S = (turning.evidence_S >= options.evidence) & falls_S & (turning.rise_S > 0)
    fall_S = (turning.trend_evidence_S >= options.evidence) & (turning.trend_S < 0) & (turning.fall_S > 0)
    return fitted_S & (tent_S | fall_S)


def _returns(y_ST: Floats, exposure_ST: Floats, found: Episodes, calendar: Calendar) -> dict[str, NDArray[np.generic]]:
    """Judges the last time that silence was broken, against silence and against the season."""
    n = len(y_ST)
    broken = np.flatnonzero(~np.isnan(found.dormant_rate_E))
    series = found.series_E[broken]
    revived_S, evidence_S = np.full(n, -1), np.zeros(n)
    known_S = np.zeros(n, dtype=bool)
    count, watched = found.return_count_E[broken], found.return_exposure_E[broken]
    against_silence = rate_evidence(count, watched, found.dormant_rate_E[broken])
    # The season of what is judged: the first segment, however long the episode goes on after it.
    start, end = found.start_E[broken], found.return_end_E[broken]
    rhythm = seasonal_rate(y_ST, exposure_ST, series, start, end, calendar.per_year, calendar.slack)
    known = ~np.isnan(rhythm)
    against_season = np.where(known, rate_evidence(count, watched, np.nan_to_num(rhythm)), np.inf)
    revived_S[series], known_S[series] = start, known
    evidence_S[series] = np.minimum(against_silence, against_season)
    return {
        "revived_S": revived_S,
        "revived_evidence_S": evidence_S,
        "season_known_S": known_S,
        "returns_S": np.bincount(series, minlength=n),
    }


def _dormant(
    found: Episodes, last_S: Ints, alive_S: Floats, silent_since_S: Ints, bins: int, options: StateOptions
) -> tuple[Bools, dict[str, NDArray[np.generic]]]:
    """Says which series are dormant, since when and how surely: by a change of rate, or else by silence alone."""
    by_change = found.end_E[last_S] < bins
    by_silence = ~by_change & (alive_S < options.silence)
    # A change has a bin of its own, and strays may come after it; a silence alone begins after the last event.
    since = np.select([by_change, by_silence], [found.end_E[last_S], silent_since_S], -1)
    evidence = np.where(
        by_change, found.dormant_evidence_E[last_S], np.where(by_silence, -np.log(np.maximum(alive_S, 1e-300)), 0.0)
    )
    return by_change | by_silence, {"dormant_S": since, "dormant_evidence_S": evidence}


def _states(
    turning: Turning,
    fitted_S: Bools,
    is_dormant_S: Bools,
    dormant: Mapping[str, NDArray[np.generic]],
    returns: Mapping[str, NDArray[np.generic]],
    found: Episodes,
    last_S: Ints,
    options: StateOptions,
) -> tuple[Ints, Floats]:
    """Picks one state; the more specific one wins: dormant, falling, revived, rising, steady."""
    back_S = ~np.isnan(found.dormant_rate_E[last_S])
    revival_S = np.asarray(returns["revived_evidence_S"], dtype=np.float64)
    falling_S = _turned(turning, fitted_S, options)
    climbs_S = (turning.trend_S > 0) & (turning.trend_evidence_S >= options.evidence)
    choices = [
        (is_dormant_S, DORMANT, np.asarray(dormant["dormant_evidence_S"], dtype=np.float64)),
        (falling_S, FALLING, np.maximum(turning.evidence_S, turning.trend_evidence_S)),
        (back_S & (revival_S >= options.revival_evidence), REVIVED, revival_S),
        (fitted_S & climbs_S, RISING, turning.trend_evidence_S),
    ]
    conditions, states, evidence = zip(*choices, strict=True)
    return (
        np.select(list(conditions), list(states), STEADY).astype(np.int64),
        np.select(list(conditions), list(evidence), 0.0),
    )


def _rate_now(segments: Segments, final_S: Ints, turning: Turning, fitted_S: Bools, state_S: Ints, bins: int) -> Floats:
    """Returns the rate at the end, effective events per bin: of the last segment, or of the fall."""
    rate_S = segments.rate_G[final_S]
    falling = fitted_S & (state_S == FALLING)
    fallen = turning.rate_S * np.exp(-turning.fall_S * np.maximum(bins - 1 - turning.at_S, 0))
    return np.where(falling, np.minimum(fallen, np.maximum(rate_S, turning.rate_S)), rate_S)


def _smoothed(x_ST: Floats) -> Floats:
    """Smooths by the binomial weights 1-2-1; at the ends the bins that are there."""
    padded = np.pad(x_ST, ((0, 0), (1, 1)))
    weight = np.full(x_ST.shape[1], 4.0)
    weight[0] -= 1
    weight[-1] -= 1
    return np.asarray((padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]) / weight)


def _faded(turning: Turning, falls_S: Bools, options: StateOptions) -> dict[str, NDArray[np.generic]]:
    """Returns when the rate is below `share` of that at the turn, from the slope of the fall and its error."""
    z = float(stats.norm.ppf(0.5 + options.confidence / 2))
    needed = -np.log(options.share)
    named = {"faded_S": 0.0, "faded_low_S": z, "faded_high_S": -z}
    columns: dict[str, NDArray[np.generic]] = {}
    for name, deviations in named.items():
        slope = turning.fall_S + deviations * turning.fall_error_S
        within = falls_S & (slope > 0)
        columns[name] = np.where(within, turning.at_S + needed / np.where(within, slope, 1.0), np.nan)
    return columns


def _expected(turning: Turning, state_S: Ints, rate_S: Floats, calendar: Calendar, horizon: int) -> Floats:
    """Returns the effective events expected over the horizon: at the rate now, falling where the interest falls."""
    falling = state_S == FALLING
    steps = np.arange(1, horizon + 1)
    left_S = np.exp(-np.where(falling, np.maximum(turning.fall_S, 0.0), 0.0)[:, None] * steps).mean(axis=1)
    return np.asarray(rate_S * left_S * calendar.ahead)
