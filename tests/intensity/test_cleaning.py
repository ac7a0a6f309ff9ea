"""Series cleaned by the steps of prepare, against the same by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from ltsi.errors import ConfigError
from ltsi.intensity.cleaning import LEAST, cleaned
from ltsi.intensity.series import DAY
from ltsi.objectives.intensity import Intensity
from ltsi.preparation.cleaning.missing import FillMean, Interpolate
from ltsi.preparation.cleaning.moving import MovingMedian
from ltsi.preparation.cleaning.outliers import InterquartileRange
from ltsi.sequences.global_time import GlobalTime
from ltsi.store import Store

OWN = ["user", "item"]
ROWS = [[2.0, 0, 9, 0, 3, 4, 7], [0.0, 1, 1, 1, 0, 2, 5]]


def test_a_median_filter_is_causal_and_stays_in_its_series(make_series: Callable) -> None:
    series = make_series(ROWS)
    found, (step,) = cleaned(series, {"moving_median": MovingMedian(3, OWN)}, 6, series.total_T)
    # The second series begins with its second bin.
    wanted = [
        [float(np.median(row[max(first, t - 2) : t + 1])) if t >= first else 0.0 for t in range(6)]
        for row, first in zip(ROWS, (0, 1), strict=True)
    ]
    assert found.dense(0, 2)[:, :6].tolist() == wanted
    # The part that is forecast stays as it was.
    assert found.dense(0, 2)[:, 6].tolist() == [7, 5]
    assert step.changed > 0


def test_outliers_are_clipped(make_series: Callable) -> None:
    row = [1.0, 2, 1, 2, 1, 2, 50, 2]
    series = make_series([row])
    found, _ = cleaned(series, {"outliers_iqr": InterquartileRange(OWN, "clip", 1.5)}, 8, series.total_T)
    low, high = np.quantile(row, [0.25, 0.75])
    assert found.dense(0, 1)[0].tolist() == pytest.approx([*row[:6], high + 1.5 * (high - low), 2])


def test_a_bin_in_which_nobody_did_anything_is_missing(make_series: Callable) -> None:
    series = make_series([[4.0, 0, 8, 1], [2.0, 0, 0, 1]])
    filled, _ = cleaned(series, {"missing_interpolated": Interpolate(OWN)}, 4, series.total_T)
    assert filled.dense(0, 2).tolist() == [[4, 6, 8, 1], [2, 1, 0, 1]]
    # Without a step that fills it, it counts as empty.
    assert cleaned(series, {}, 4, series.total_T)[0].dense(0, 2).tolist() == series.dense(0, 2).tolist()
    mean, _ = cleaned(series, {"missing_mean": FillMean(OWN)}, 4, series.total_T)
    assert mean.dense(0, 2)[:, 1].tolist() == pytest.approx([13 / 3, 1])


@pytest.mark.parametrize("somebody", [True, False])
def test_a_bin_in_which_a_series_left_out_is_active_is_not_missing(
    make_log: Callable[..., Store], somebody: bool
) -> None:
    weekly = [(0, 7.0 * week + 1) for week in range(20) if week != 5]
    # One event is too little to be forecast, and enough to show that the log was on.
    store = make_log(weekly, [(0, 7.0 * 5 + 1)] if somebody else [(0, 7.0 * 6 + 1)])
    objective = Intensity(entity="all", horizon=1, clean={"missing_interpolated": Interpolate(OWN)})
    task = objective.on(GlobalTime(valid="1970-04-09", test="1970-04-30")(store), None)
    assert task.report["series"] == task.report["thin_series"] == 1
    week = 5 - int(task.series.bins.start // (7 * DAY))
    assert task.series.dense(0, 1)[0, week] == (0.0 if somebody else 1.0)


def test_a_series_keeps_its_beginning(make_series: Callable) -> None:
    series = make_series([[1.0, 1, 1, 1, 1, 90], [90.0, 1, 1, 1, 1, 1]])
    found, _ = cleaned(series, {"outliers_iqr": InterquartileRange(OWN, "drop", 1.5)}, 6, series.total_T)
    assert found.first_S.tolist() == [0, 0]
    assert found.dense(0, 2)[0].tolist() == [1, 1, 1, 1, 1, 0]
    assert found.dense(0, 2)[1].tolist() == [LEAST, 1, 1, 1, 1, 1]


def test_a_filter_over_several_series_is_refused(make_series: Callable) -> None:
    with pytest.raises(ConfigError, match=r"several series at once; set its by=\[user,item\]"):
        cleaned(make_series(ROWS), {"moving_median": MovingMedian(3, ["user"])}, 6, np.ones(7))
