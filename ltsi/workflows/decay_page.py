"""Writes `report.html` beside a decay-fit: its pictures and tables, and how the users' interests stand."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

import polars as pl

from ltsi.decay.page import decay_page
from ltsi.decay.report import decay_table
from ltsi.decay.result import DecayFit
from ltsi.store import Store
from ltsi.tables import Table

ROWS = 20
REVIVALS = ("user", "entity", "returned", "revived_evidence", "events", "returns")
RISKS = ("user", "risk", "interests", "fading", "last")


def write_page(
    fit: DecayFit, title: str, entity: str, truth: Mapping[str, float] | None, store: Store, folder: Path
) -> Path:
    """Writes the page.

    Args:
        fit: the fit.
        title: what was fitted.
        entity: what an entity is.
        truth: planted half-life by label, where it is known.
        store: what was fitted on.
        folder: where to.
    """
    tables = [decay_table(fit, "All numbers", entity, truth), *_interests(store, entity)]
    path = folder / "report.html"
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(decay_page(fit, title, tables), encoding="utf-8")
    return partial.replace(path)


def _interests(store: Store, entity: str) -> list[Table]:
    """Returns the revivals and the users at risk, as of the end of the log, where `ltsi.intensity` can tell."""
    try:
        states = import_module("ltsi.intensity.states")
    except ImportError:
        return []
    table: pl.DataFrame = states.states_table(states.interest_states(store, entity), store)
    revived = table.filter(pl.col("state") == "revived").sort("revived_evidence", descending=True, nulls_last=True)
    revivals = revived.select(REVIVALS).head(ROWS).with_columns(pl.col("returned").dt.strftime("%Y-%m-%d"))
    of_user = table.group_by("user", maintain_order=True).agg(
        # Interests are taken as independent: that all of them stay quiet is the product.
        pl.col("quiet").log().sum().exp().alias("risk"),
        pl.len().alias("interests"),
        pl.col("state").is_in(["falling", "dormant"]).sum().alias("fading"),
        pl.col("last").max().dt.strftime("%Y-%m-%d"),
        pl.col("events").sum(),
    )
    # Who has gone long ago is no risk but a fact: those count who still have an interest that is not asleep.
    awake = of_user.filter(pl.col("fading") < pl.col("interests"))
    risks = awake.sort(["risk", "events"], descending=True).select(RISKS).head(ROWS)
    return [
        Table("Interests that came back", REVIVALS, revivals.rows(), [f"{revived.height:,} in all."]),
        Table(
            "Users at risk",
            RISKS,
            risks.rows(),
            ["Risk: the probability that none of the user's interests shows an event over the horizon ahead."],
        ),
    ]
