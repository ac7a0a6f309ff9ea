"""What an interest is now: rising, falling, steady, dormant or revived, and how sure that is.

`interest_states` is the one function that others need.

Shape suffixes: S series (a user with an entity), E episodes, T bins.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ltsi.intensity.judging import Calendar, judge
from ltsi.intensity.options import STATES, StateOptions
from ltsi.intensity.seasons import YEAR, Seasons, seasons
from ltsi.intensity.segments import dispersion_terms, exposure
from ltsi.intensity.series import DAY, IntensitySeries, intensity_series
from ltsi.intensity.silence import fit_silence, gaps
from ltsi.store import Store

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SEASON_SLACK = 14 * DAY
"""Seconds by which a yearly rhythm may come early or late."""

LATEST = 100_000.0
"""A bin beyond this is never."""

NO_LABEL_FLAG = "no label"
"""Flag of what a user did with all items without a value in the column of the entities."""

PRIOR_PAIRS = 10.0
"""Pairs of bins that are as good as known about the dispersion of an entity."""


@dataclass(frozen=True)
class InterestStates:
    """Interests as of the end of their series. Moments are bins; -1 is never.

    Attributes:
        series: what was looked at.
        seasons: what the calendar does.
        dispersion_E: of each entity, by which its counts were divided.
        state_S: index into `STATES`.
        score_S: rate now as a share of the rate at the peak, from 0 to 1.
        evidence_S: nats; of the state. Of a steady interest: 0, for nothing speaks for anything else.
        rate_S: rate now, events per bin.
        peak_S: bin of the highest smoothed rate.
        peak_rate_S: that rate, events per bin.
        turn_S: bin in which the last episode turned from rising to falling.
        turn_evidence_S: nats, of a turn against none.
        faded_S: bin in which the rate falls under `share` of that at the turn, which may lie ahead; NaN if it does not.
        faded_low_S, faded_high_S: interval of `faded_S`.
        dormant_S: bin since which the interest is dormant: that of the change of rate, or the one after the last
            event where silence alone tells.
        dormant_evidence_S: nats.
        revived_S: bin of the last revival.
        revived_evidence_S: nats, against silence and against the season; of a return that is no revival, too.
        season_known_S: whether the same season of an earlier year was watched.
        returns_S: how often silence was broken.
        silence_S: bins since the last event.
        forecast_S: events expected over the horizon.
        forecast_low_S, forecast_high_S: predictive interval; whole events.
        quiet_S: probability that nothing happens over the horizon.
        shape_S: of the gamma distribution of the rate, which the interval and `quiet_S` follow from.
    """

    series: IntensitySeries
    seasons: Seasons
    dispersion_E: Floats
    state_S: Ints
    score_S: Floats
    evidence_S: Floats
    rate_S: Floats
    peak_S: Ints
    peak_rate_S: Floats
    turn_S: Ints
    turn_evidence_S: Floats
    faded_S: Floats
    faded_low_S: Floats
    faded_high_S: Floats
    dormant_S: Ints
    dormant_evidence_S: Floats
    revived_S: Ints
    revived_evidence_S: Floats
    season_known_S: NDArray[np.bool_]
    returns_S: Ints
    silence_S: Ints
    forecast_S: Floats
    forecast_low_S: Floats
    forecast_high_S: Floats
    quiet_S: Floats
    shape_S: Floats

    def __len__(self) -> int:
        return len(self.series)


COLUMNS = tuple(one.name for one in fields(InterestStates))[3:]


def interest_states(
    store: Store,
    entity: str = "category",
    *,
    now: int | None = None,
    unit: str = "week",
    users: NDArray[np.int64] | None = None,
    options: StateOptions | None = None,
) -> InterestStates:
    """Says what the interest of each user in each entity is at a moment.

    Args:
        store: has a clock.
        entity: a column of the item table, `item`, `all`, or `auto`.
        now: seconds since epoch; nothing from then on is looked at. None: the end of the log.
        unit: `day` or `week`.
        users: indices of the users to look at; None: all. Seasons, dispersion and prior rates are those of everybody.
        options: what is called what.

    Returns:
        A row for each user and entity between which something happened before `now`.

    Raises:
        DataError: the log has no clock, nothing before `now`, or no such column.
        ConfigError: a value that means nothing.
    """
    series = intensity_series(store, entity, unit=unit, now=now)
    return states_of(series, options or StateOptions(), users)


def states_of(series: IntensitySeries, options: StateOptions, users: Ints | None = None) -> InterestStates:
    """Says what each interest is at the end of its series; see `interest_states`."""
    season = seasons(series)
    factor_T = season.factor(series.bins, np.arange(series.bins.count))
    scale_E, per_bin_E = _entity_facts(series, factor_T)
    asked = series if users is None else series.select(np.isin(series.user_S, users))
    ahead = float(season.factor(series.bins, series.bins.count + np.arange(options.horizon)).sum())
    per_year, slack = round(YEAR / series.bins.seconds), round(SEASON_SLACK / series.bins.seconds)
    calendar = Calendar(factor_T, ahead, per_year, slack)
    columns: dict[str, list[NDArray[np.generic]]] = {name: [] for name in COLUMNS}
    alive_S = fit_silence(series).probability(asked.entity_S, *gaps(asked))
    silence_S = asked.bins.count - 1 - asked.bin_M[asked.offsets[1:] - 1]
    for first, last in asked.blocks():
        entity_S = asked.entity_S[first:last]
        facts = (scale_E[entity_S], asked.unit_S[first:last], per_bin_E[entity_S], alive_S[first:last])
        found = judge(asked.dense(first, last), *facts, calendar, options)
        found["silence_S"] = silence_S[first:last]
        for name in COLUMNS:
            columns[name].append(found[name])
    whole = {name: np.concatenate(parts) if parts else np.empty(0) for name, parts in columns.items()}
    return InterestStates(asked, season, scale_E, **whole)  # type: ignore[arg-type]


def _entity_facts(series: IntensitySeries, factor_T: Floats) -> tuple[Floats, Floats]:
    """Returns the dispersion of each entity's counts, and its effective events per bin and series, `(E,)`.

    Args:
        series: the series.
        factor_T: season of each bin.
    """
    n_entities = len(series.entities.labels)
    facts_4E = np.zeros((4, n_entities))
    for first, last in series.blocks():
        x_ST, entity_S = series.dense(first, last), series.entity_S[first:last]
        watched_S = series.bins.count - series.first_S[first:last]
        columns = (*dispersion_terms(x_ST, exposure(x_ST, factor_T)), x_ST.sum(axis=1), watched_S)
        facts_4E += [np.bincount(entity_S, weights=column, minlength=n_entities) for column in columns]
    moved, pairs, count, watched = facts_4E
    # An entity with few pairs is drawn towards what all have in common.
    common = moved.sum() / pairs.sum() if pairs.sum() else 0.0
    # Events that come one by one scatter by what each counts; less is chance.
    scale_E = np.maximum((moved + PRIOR_PAIRS * common) / (pairs + PRIOR_PAIRS), series.weight_E)
    overall = count.sum() / max(watched.sum(), 1.0)
    per_bin_E = (count + overall) / (watched + 1.0) / scale_E
    return scale_E, per_bin_E


def states_table(states: InterestStates, store: Store) -> pl.DataFrame:
    """Returns interests with original ids, moments and names, one row each; what is not known is null.

    Args:
        states: what was found.
        store: what it was found in.
    """
    series, bins = states.series, states.series.bins

    def moment(bin_S: NDArray[np.generic]) -> pl.Series:
        index = np.asarray(bin_S, dtype=np.float64)
        known = ~np.isnan(index) & (index >= 0) & (np.abs(index) < LATEST)
        seconds = bins.start + np.where(known, index, 0.0) * bins.seconds
        written = pl.Series(seconds.astype(np.int64) * 1_000).cast(pl.Datetime("ms", "UTC"))
        return written.set(pl.Series(~known), None)

    last_S = series.bin_M[series.offsets[1:] - 1]
    events_S = np.add.reduceat(series.value_M, series.offsets[:-1])
    returned = pl.Series(states.returns_S > 0)
    return pl.DataFrame(
        {
            "user": store.users["user"].gather(series.user_S),
            "entity": pl.Series(series.entities.labels).gather(series.entity_S),
            "state": pl.Series(STATES).gather(states.state_S),
            "score": states.score_S,
            "evidence": states.evidence_S,
            "events": events_S,
            "first": moment(series.first_S),
            "last": moment(last_S),
            "rate": states.rate_S,
            "peak": moment(states.peak_S),
            "peak_rate": states.peak_rate_S,
            "turn": moment(states.turn_S),
            "turn_evidence": states.turn_evidence_S,
            "faded": moment(states.faded_S),
            "faded_low": moment(states.faded_low_S),
            "faded_high": moment(states.faded_high_S),
            "dormant_since": moment(states.dormant_S),
            "dormant_evidence": states.dormant_evidence_S,
            "returned": moment(states.revived_S),
            "revived_evidence": pl.Series(states.revived_evidence_S).set(~returned, None),
            "season_known": states.season_known_S,
            "returns": states.returns_S,
            "forecast": states.forecast_S,
            "forecast_low": states.forecast_low_S,
            "forecast_high": states.forecast_high_S,
            "quiet": states.quiet_S,
            "flag": _flags(series),
        }
    )


def _flags(series: IntensitySeries) -> pl.Series:
    """Says which series are no interest, or too little to say much about; null elsewhere."""
    active_S, first = np.diff(series.offsets), series.offsets[:-1]
    same_S = np.maximum.reduceat(series.value_M, first) == np.minimum.reduceat(series.value_M, first)
    without_gap_S = active_S == series.bins.count - series.first_S
    none = series.entities.unlabelled
    unlabelled_S = series.entity_S == (-1 if none is None else none)
    flag_S = np.select(
        [unlabelled_S, (active_S == 1) & (series.value_M[first] <= 1), active_S == 1, same_S & without_gap_S],
        [NO_LABEL_FLAG, "one event", "one active bin", "constant"],
        "",
    )
    return pl.Series(flag_S.tolist()).replace("", None)
