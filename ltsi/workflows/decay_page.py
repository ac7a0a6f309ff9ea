"""Writes `report.html` beside a decay-fit: its pictures and tables, and how the users' interests stand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from ltsi.decay.page import decay_page
from ltsi.decay.report import decay_table
from ltsi.decay.result import DecayFit
from ltsi.intensity.churn import churn_table
from ltsi.intensity.options import StateOptions
from ltsi.intensity.risk import calibrated
from ltsi.intensity.series import intensity_series
from ltsi.intensity.states import NO_LABEL_FLAG, states_of, states_table
from ltsi.store import Store
from ltsi.tables import Table
from ltsi.writing import written_whole

ROWS = 20
REVIVALS = ("user", "entity", "returned", "revived_evidence", "events", "returns")
RISKS = ("user", "risk", "interests", "rising", "steady", "falling", "dormant", "revived", "forecast")


def write_page(
    fit: DecayFit, title: str, entity: str, truth: Mapping[str, float] | None, store: Store, whole: bool, folder: Path
) -> Path:
    """Writes the page.

    Args:
        fit: the fit.
        title: what was fitted.
        entity: what an entity is.
        truth: planted half-life by label, where it is known.
        store: what was fitted on.
        whole: whether on all of it; how interests stand is said of the whole log alone.
        folder: where to.
    """
    tables = [decay_table(fit, "All numbers", entity, truth)]
    if whole and not fit.of_users:
        tables += _interests(store, entity)
    path = folder / "report.html"
    with written_whole(path) as partial:
        partial.write_text(decay_page(fit, title, tables), encoding="utf-8")
    return path


def _interests(store: Store, entity: str) -> list[Table]:
    """Returns the revivals and the users at risk, as of the end of the log."""
    series, options = intensity_series(store, entity), StateOptions()
    found = states_of(series, options)
    interests = states_table(found, store)
    known = interests.filter(pl.col("flag").ne_missing(NO_LABEL_FLAG))
    revived = known.filter(pl.col("state") == "revived").sort("revived_evidence", descending=True, nulls_last=True)
    revivals = revived.select(REVIVALS).head(ROWS).with_columns(pl.col("returned").dt.strftime("%Y-%m-%d"))
    found, leaving, told = calibrated(found, series, store, entity, options)
    people = churn_table(leaving, found, store)
    # Whose interests have all been dormant has left already.
    still = people.filter(pl.col("interests") > pl.col("dormant"))
    risks = still.sort(["risk", "user"], descending=[True, False]).select(RISKS).head(ROWS)
    return [
        Table(
            "Interests that came back",
            REVIVALS,
            revivals.rows(),
            [
                f"{revived.height:,} in all that are revived now. Not among them: those that have since fallen, or "
                "fallen silent again, and returns that silence or the season may explain."
            ],
        ),
        Table(
            "Users at risk",
            RISKS,
            risks.rows(),
            [
                f"risk: probability of no event at all in the next {options.horizon} weeks; users whose interests are "
                f"all dormant ({people.height - still.height:,}) are not shown. `ltsi interests data={store.name} "
                f"entity={entity}` has everybody.",
                *told,
            ],
        ),
    ]
