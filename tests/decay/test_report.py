import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from scipy import sparse

from ltsi.decay.estimate import fit_statistics
from ltsi.decay.observed import observed_hazard
from ltsi.decay.plot import PANELS, decay_figure
from ltsi.decay.report import MAX_ROWS, covers, decay_table, forms_table, records
from ltsi.decay.result import DecayFit, EntityDecay, FitOptions
from ltsi.decay.terminal import terminal_curves
from ltsi.tables import Cell

HALF_LIVES = (20.0, 3.0, 8.0)


@pytest.fixture(scope="module")
def fit(planted: Callable[..., Any]) -> DecayFit:
    found: DecayFit = planted(HALF_LIVES).fit(0, FitOptions(replicates=20))
    return found


@pytest.fixture(scope="module")
def thin_fit(planted: Callable[..., Any]) -> DecayFit:
    found: DecayFit = planted(HALF_LIVES, users=20).fit(0, FitOptions(replicates=20, min_returns=10_000))
    return found


def test_records_hold_everything_and_never_nan(fit: DecayFit, thin_fit: DecayFit) -> None:
    for one in (fit, thin_fit):
        rows = list(records(one))
        assert [row["entity"] for row in rows] == ["(all)", "20 days", "3 days", "8 days"]
        assert all(value == value for row in rows for value in row.values())  # NaN is not itself
        assert {"aic_exponential", "aic_exponential_floor"} < set(rows[0])
    assert [row["note"] != "" for row in records(thin_fit)] == [True] * 4


def test_table_is_sorted_by_half_life_after_all_together(fit: DecayFit) -> None:
    table = decay_table(fit, "Decay", "category")
    assert [row[0] for row in table.rows] == ["(all)", "3 days", "8 days", "20 days"]
    assert table.columns[:4] == ["category", "half_life_days", "low", "high"]
    assert "95% interval" in table.notes[1]


def test_table_tells_the_truth_and_whether_it_is_covered(fit: DecayFit) -> None:
    truth = {"3 days": 3.0, "8 days": 800.0, "20 days": 20.0}
    table = decay_table(fit, "Decay", "category", truth)
    covered = [row[table.columns.index("covered")] for row in table.rows]
    assert [cell.text for cell in covered if isinstance(cell, Cell)] == ["–", "yes", "no", "yes"]


def test_a_truth_per_day_is_not_held_against_trials(fit: DecayFit) -> None:
    trials = replace(fit, options=replace(fit.options, exposure="active_days"))
    table = decay_table(trials, "Decay", "category", {"3 days": 3.0})
    assert not {"planted_days", "covered"} & set(table.columns)
    assert {len(row) for row in table.rows} == {len(table.columns)}
    assert any("per day at risk, not per active day; set exposure=days" in note for note in table.notes)
    assert not any("Planted" in note for note in decay_table(trials, "Decay", "category").notes)


def test_thin_rows_say_why(thin_fit: DecayFit) -> None:
    table = decay_table(thin_fit, "Decay", "category")
    assert table.columns[-1] == "note"
    assert all("min_returns" in str(row[-1]) for row in table.rows)
    assert terminal_curves(thin_fit) == ""


def test_long_tables_are_cut_and_say_so(fit: DecayFit) -> None:
    many = replace(fit, entities=fit.entities * 20)
    table = decay_table(many, "Decay", "item")
    assert len(table.rows) == MAX_ROWS + 1
    assert any("30 more are in decay.parquet" in note for note in table.notes)


def test_a_contest_of_thin_entities_is_that_of_all_together(planted: Callable[..., Any]) -> None:
    log = planted((3.0, 8.0), users=80, floor=0.0, amplitude=0.1)
    found = log.fit(0, FitOptions(form="auto", replicates=0, min_returns=60))
    fitted = [one.form for one in found.entities]
    alone = replace(found, contest=None)
    table = forms_table(alone)
    assert table is not None
    assert any("all of them as one curve" in note for note in table.notes)
    assert any("could not be fitted" in note for note in decay_table(found, "Decay", "item").notes) == (None in fitted)
    assert forms_table(replace(alone, pooled_contest=None)) is None


def test_users_are_not_said_to_be_resampled_nor_thin(planted: Callable[..., Any]) -> None:
    statistics = planted((3.0, 8.0), users=80).statistics(0)
    options = FitOptions(form="auto", replicates=20, min_returns=40)
    found = fit_statistics(statistics, ["u", "v"], options, of_users=True)
    assert {one.half_life_low_days for one in found.entities} == {None}
    assert found.pooled.half_life_low_days is not None
    notes = decay_table(found, "Decay", "user").notes
    assert any("of all together, for one user cannot be resampled" in note for note in notes)
    table = forms_table(found)
    assert table is not None
    assert not any("enough evidence" in note for note in table.notes)
    assert any("the form of all is the form of each" in note for note in table.notes)


def test_covers_knows_open_ends() -> None:
    one = EntityDecay("x", 1, 1, 1, 1.0)
    assert covers(one, 5.0) is None
    assert covers(replace(one, half_life_low_days=4.0), 1e9)
    assert not covers(replace(one, half_life_low_days=4.0, half_life_high_days=6.0), 7.0)


def test_terminal_curves_fit_a_screen(fit: DecayFit) -> None:
    lines = terminal_curves(fit).splitlines()
    assert len(lines) <= 20
    assert max(map(len, lines)) <= 100
    assert "● 3 days" in lines[-1]
    assert "▲ 20 days" in lines[-1]


def test_terminal_curve_falls_to_half_at_the_half_life(fit: DecayFit) -> None:
    alone = replace(fit, entities=fit.entities[:1])
    lines = terminal_curves(alone).splitlines()
    (half,) = (line for line in lines if line.lstrip().startswith("50%"))
    # The axis ends at three half-lives, so the fitted line crosses a third of the way.
    dots = [column for column, character in enumerate(half[7:]) if "⠀" < character <= "⣿"]
    assert 0.25 < np.mean(dots) / 66 < 0.45


def test_observed_points_hold_every_return_once() -> None:
    edges = np.linspace(0.5, 40.5, 41)
    returns, exposure = np.arange(40.0), np.full(40, 100.0)
    points = observed_hazard(returns, exposure, edges, 1e9, 5)
    assert len(points.age_days) <= 5
    assert np.all(np.diff(points.age_days) > 0)
    counts = (points.per_day / points.error) ** 2  # Poisson: rate / error = square root of the count
    assert counts.sum() == pytest.approx(returns.sum())


def test_observed_points_of_nothing_are_none() -> None:
    edges = np.linspace(0.5, 40.5, 41)
    for returns, exposure in ((np.zeros(40), np.ones(40)), (np.zeros(40), np.zeros(40))):
        assert len(observed_hazard(returns, exposure, edges, 1e9, 5).age_days) == 0


@pytest.mark.parametrize("times", [1, 20])
def test_figure_draws_and_bounds_its_panels(fit: DecayFit, thin_fit: DecayFit, times: int) -> None:
    for one in (fit, thin_fit):
        many = replace(one, entities=one.entities * times)
        figure = decay_figure(replace(many, statistics=_repeated(one, times)), "Decay")
        drawn = [axis for axis in figure.axes if axis.axison]
        assert 1 < len(drawn) <= PANELS
        FigureCanvasAgg(figure).print_figure(io.BytesIO(), format="png")


def _repeated(fit: DecayFit, times: int) -> Any:
    statistics = fit.statistics
    return replace(
        statistics,
        ended=sparse.csc_array(sparse.hstack([statistics.ended] * times)),
        returned=sparse.csc_array(sparse.hstack([statistics.returned] * times)),
        partial=sparse.csc_array(sparse.hstack([statistics.partial] * times)),
        visits=np.tile(statistics.visits, times),
        returning_users=np.tile(statistics.returning_users, times),
    )
