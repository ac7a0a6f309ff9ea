"""When an interest was alive: from constant rates to episodes, the silence between them, and what broke it.

Shape suffixes: S series, G segments, E episodes, T bins.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ltsi.intensity.segments import Segments, posterior_rate

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Episodes:
    """Spans in which an interest was alive, each ended by silence or by the end of the log.

    Attributes:
        series_E: int64, row of the series; episodes are sorted by series, then time.
        start_E: int64, first bin.
        end_E: int64, one past the last bin that is not dormant.
        until_E: int64, where the silence after it ends: the next episode or the end of the log; `end_E` if there is
            none.
        count_E: effective events.
        exposure_E: bins.
        dormant_evidence_E: log Bayes factor of the silence after it; 0 if there is none.
        dormant_rate_E: rate in the silence before it, per bin; NaN for the first of a series.
        return_count_E: effective events of its first segment, which broke the silence.
        return_exposure_E: bins of that segment.
        return_end_E: int64, one past its last bin.
    """

    series_E: Ints
    start_E: Ints
    end_E: Ints
    until_E: Ints
    count_E: Floats
    exposure_E: Floats
    dormant_evidence_E: Floats
    dormant_rate_E: Floats
    return_count_E: Floats
    return_exposure_E: Floats
    return_end_E: Ints


def dormant_segments(segments: Segments, share: float) -> Bools:
    """Says which segments are silence: a rate below a share of that of the episode before, `(G,)`.

    Args:
        segments: the segments.
        share: the share.
    """
    series = segments.series_G
    first = np.flatnonzero(np.append(True, np.diff(series) != 0))
    ordinal = np.arange(len(series)) - np.repeat(first, np.diff(np.append(first, len(series))))
    dormant = np.zeros(len(series), dtype=bool)
    n = int(series.max()) + 1 if len(series) else 0
    count, exposure, silent = np.zeros(n), np.zeros(n), np.zeros(n, dtype=bool)
    for k in range(int(ordinal.max(initial=-1)) + 1):
        at = np.flatnonzero(ordinal == k)
        row = series[at]
        rate = count[row] / np.maximum(exposure[row], 1e-12)
        dormant[at] = (k > 0) & (segments.rate_G[at] < share * rate)
        alive = ~dormant[at]
        # An episode that begins after silence is measured by itself.
        afresh = row[alive & silent[row]]
        count[afresh] = exposure[afresh] = 0.0
        count[row[alive]] += segments.count_G[at[alive]]
        exposure[row[alive]] += segments.exposure_G[at[alive]]
        silent[row] = dormant[at]
    return dormant


def episodes(segments: Segments, dormant_G: Bools, per_bin_S: Floats) -> Episodes:
    """Joins segments to episodes.

    Args:
        segments: the segments.
        dormant_G: which of them are silence.
        per_bin_S: prior mean of the rate.
    """
    series = segments.series_G
    new_series = np.append(True, np.diff(series) != 0)
    turn = np.append(True, dormant_G[1:] != dormant_G[:-1]) | new_series
    run = np.cumsum(turn) - 1
    begin = np.flatnonzero(turn)
    last = np.append(begin[1:], len(series)) - 1
    count, exposure = (
        np.bincount(run, column).astype(np.float64) for column in (segments.count_G, segments.exposure_G)
    )
    alive = np.flatnonzero(~dormant_G[begin])
    before, after = alive - 1, np.minimum(alive + 1, len(begin) - 1)
    has_before = (before >= 0) & (series[begin[before]] == series[begin[alive]])
    has_after = (alive + 1 < len(begin)) & (series[begin[after]] == series[begin[alive]])
    owner = series[begin[alive]]
    return Episodes(
        series_E=owner,
        start_E=segments.start_G[begin[alive]],
        end_E=segments.end_G[last[alive]],
        until_E=np.where(has_after, segments.end_G[last[after]], segments.end_G[last[alive]]),
        count_E=count[alive],
        exposure_E=exposure[alive],
        dormant_evidence_E=np.where(has_after, segments.evidence_G[begin[after]], 0.0),
        dormant_rate_E=np.where(has_before, posterior_rate(count[before], exposure[before], per_bin_S[owner]), np.nan),
        return_count_E=segments.count_G[begin[alive]],
        return_exposure_E=segments.exposure_G[begin[alive]],
        return_end_E=segments.end_G[begin[alive]],
    )


def rate_evidence(count: Floats, exposure: Floats, rate: Floats) -> Floats:
    """Returns the log-likelihood ratio of a Poisson rate of its own against a given one; 0 if it is not higher."""
    own = count / np.maximum(exposure, 1e-12)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(count > 0, count * np.log(own / np.maximum(rate, 1e-12)), 0.0) - (own - rate) * exposure
    return np.where(own > rate, np.maximum(ratio, 0.0), 0.0)


def seasonal_rate(
    x_ST: Floats, exposure_ST: Floats, row: Ints, start: Ints, end: Ints, period: int, slack: int
) -> Floats:
    """Returns the rate that the same season of earlier years leads to expect; NaN where no earlier year was watched.

    The highest of the earlier years counts: who comes every second Christmas has a rhythm, too.

    Args:
        x_ST: effective counts.
        exposure_ST: 0 where a series is not watched.
        row: series of each span asked about.
        start: its first bin.
        end: one past its last bin.
        period: bins of a year.
        slack: bins by which a season may come early or late.
    """
    zero = np.zeros((len(x_ST), 1))
    count = np.concatenate([zero, np.cumsum(x_ST, axis=1)], axis=1)
    watched = np.concatenate([zero, np.cumsum(exposure_ST, axis=1)], axis=1)
    highest = np.full(len(row), np.nan)
    for years in range(1, int(x_ST.shape[1] // period) + 1):
        low = np.maximum(start - years * period - slack, 0)
        # A span longer than a year is no earlier season of itself.
        high = np.minimum(np.maximum(end - years * period + slack, 0), start)
        exposure = watched[row, high] - watched[row, low]
        # The slack makes the window longer than the season it looks for.
        length = np.maximum(np.minimum(end - start, exposure), 1.0)
        rate = np.where(exposure > 0, (count[row, high] - count[row, low]) / length, np.nan)
        highest = np.fmax(highest, rate)
    return highest
