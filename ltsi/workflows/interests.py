"""`ltsi interests`: what each interest is now, and who is about to leave.

The run folder gets `interests.parquet` (one row a user and entity) and `users.parquet` (one row a user).
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from ltsi.entities import Entities
from ltsi.errors import ConfigError, DataError
from ltsi.intensity.churn import churn_table
from ltsi.intensity.options import STATES, StateOptions
from ltsi.intensity.risk import calibrated
from ltsi.intensity.series import DAY, WIDTHS, Bins, intensity_series
from ltsi.intensity.states import NO_LABEL_FLAG, InterestStates, states_of, states_table
from ltsi.moments import parse_moment
from ltsi.store import NO_LABEL, Store
from ltsi.tables import Cell, Entry, Result, Table
from ltsi.workflows.prepare import find_store
from ltsi.workflows.unobserved import seconds_unobserved, told
from ltsi.workflows.users import find_user
from ltsi.writing import write_parquet

SHOWN = 20
"""Rows of a table that a person is shown."""


def run(cfg: DictConfig) -> Result:
    """Finds the state of every interest of a store, or of a user.

    Args:
        cfg: see `conf/interests.yaml`.

    Returns:
        States by entity and the users most at risk, or the interests of the user; and what was written.

    Raises:
        DataError: no such store or user, no clock, nothing before `now`, less than a bin before it, a `now` beyond all
            forecasts, or no such column of the item table.
        ConfigError: a value that means nothing.
    """
    options = _options(cfg)
    store = find_store(str(cfg.data))
    weights = _weights(cfg)
    now, unobserved = _judged_at(cfg, store)
    series = intensity_series(store, str(cfg.entity), unit=str(cfg.bin), now=now, weights=weights)
    _require_a_bin(store, series.bins)
    users = None if cfg.user is None else np.array([find_user(store, str(cfg.user))])
    states = states_of(series, options, users)
    if not len(states):
        raise DataError(f"User '{cfg.user}' of store '{store.name}' did nothing that counts before now.")
    states, found, said = calibrated(states, series, store, str(cfg.entity), options, weights)
    interests, people = states_table(states, store), churn_table(found, states, store)
    folder = Path(HydraConfig.get().runtime.output_dir)
    written = [write_parquet(interests, folder / "interests.parquet"), write_parquet(people, folder / "users.parquet")]
    name, unit = series.entities.name, series.bins.unit
    ahead = f"{options.horizon} {unit}s after the end of the log" if unobserved else f"next {options.horizon} {unit}s"
    if users is None:
        tables = [_by_entity(states, store, name), _at_risk(people, ahead)]
    else:
        tables = [_of_user(interests, str(cfg.user), ahead, float(people["risk"][0]), states.series.entities)]
    return Result(
        tables=tables, messages=[*unobserved, *_remarks(states), *said, *(f"Wrote {path}" for path in written)]
    )


def _options(cfg: DictConfig) -> StateOptions:
    given = {one.name: cfg[one.name] for one in fields(StateOptions)}
    options = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(StateOptions), given))
    assert isinstance(options, StateOptions)
    return options


def _weights(cfg: DictConfig) -> Any:
    if cfg.weights is None:
        return None
    if not isinstance(cfg.weights, DictConfig):
        raise ConfigError(
            f"weights={cfg.weights} must give what an event counts by its behaviour: {{view: 1, buy: 5}}."
        )
    return OmegaConf.to_container(cfg.weights, resolve=True)


def _judged_at(cfg: DictConfig, store: Store) -> tuple[int | None, list[str]]:
    """Returns the moment that interests are judged at, and what to say of the time from then to `now`.

    Nobody was watched after the end of the log, so a silence is counted until then and no longer.

    Raises:
        ConfigError: `now` is not a time.
        DataError: it lies after all that is forecast at the end of the log.
    """
    now = None if cfg.now is None else parse_moment(str(cfg.now), f"now={cfg.now}")
    horizon = f"{cfg.horizon} {cfg.bin}s"
    seconds = seconds_unobserved(store, now)
    if now is None or not seconds or cfg.bin not in WIDTHS:
        return now, []
    gap = f"now={cfg.now} is {told(store, seconds)}"
    if seconds > cfg.horizon * WIDTHS[cfg.bin]:
        raise DataError(
            f"{gap}, and forecasts reach {horizon} beyond it: nothing was observed since, so every interest would look "
            "dormant; leave now out for the end of the log, prepare a log that reaches further, or raise horizon."
        )
    return now - seconds, [
        f"{gap}: nothing was observed since, so states are those of the end of the log, and forecasts and risks are of "
        f"the {horizon} from then on."
    ]


def _require_a_bin(store: Store, bins: Bins) -> None:
    """Refuses a log that was not watched for a whole bin: what happened in a part of it would pass for all of it.

    Raises:
        DataError: it was not.
    """
    seconds = bins.now - int(store.manifest["time"]["first"])
    if seconds >= bins.seconds:
        return
    finer = "" if bins.unit == "day" or seconds < DAY else "take bin=day, or "
    raise DataError(
        f"Store '{store.name}' was watched for {seconds / 3600:,.1f} hours before now, less than one whole bin of "
        f"bin={bins.unit}, so nobody's rate is known; {finer}prepare a longer log."
    )


def _by_entity(states: InterestStates, store: Store, name: str) -> Table:
    labels, of = states.series.entities.labels, states.series.entity_S
    count = np.zeros((len(labels), len(STATES)), dtype=np.int64)
    np.add.at(count, (of, states.state_S), 1)
    returns = np.bincount(of, weights=states.returns_S, minlength=len(labels)).astype(np.int64)
    total = count.sum(axis=1)
    order = np.argsort(-total, kind="stable")[:SHOWN]
    rows: list[list[Entry]] = []
    for e in order[total[order] > 0].tolist():
        counts = [int(n) for n in count[e]]
        scatter = round(float(states.dispersion_E[e]), 2)
        rows.append([labels[e], int(total[e]), *counts, int(returns[e]), scatter])
    notes = [
        "Interests of users, by what they are now. returns: silences that were broken; dispersion: how much more "
        "counts vary than single events would; they are divided by it first."
    ]
    notes += _unlabelled(states.series.entities)
    if len(labels) > SHOWN:
        notes.append(f"The {SHOWN} with most interests of {len(labels):,}; all are in interests.parquet.")
    columns = [name, "interests", *STATES, "returns", "dispersion"]
    return Table(f"Interests in '{store.name}' by {name}", columns, rows, notes=notes)


def _unlabelled(entities: Entities) -> list[str]:
    if entities.unlabelled is None:
        return []
    return [
        f"{NO_LABEL}: {entities.count_unlabelled()} without a value in '{entities.name}', counted together so that "
        "forecasts and risks are of all that a user does; it is not one interest, and its states say little."
    ]


def _at_risk(people: pl.DataFrame, ahead: str) -> Table:
    # Whose interests have all been dormant has left already.
    still = people.filter(pl.col("interests") > pl.col("dormant"))
    top = still.sort(["risk", "user"], descending=[True, False]).head(SHOWN)
    columns = ["user", "risk", "interests", *STATES, "forecast"]
    rows = [[_cell(row[column]) for column in columns] for row in top.iter_rows(named=True)]
    gone = people.height - still.height
    notes = [f"risk: probability of no event at all in the {ahead}."]
    if gone:
        notes.append(f"{gone:,} of {people.height:,} users are not shown: all of their interests are dormant.")
    return Table("Users at risk", columns, rows, notes=notes)


def _of_user(interests: pl.DataFrame, user: str, ahead: str, risk: float, entities: Entities) -> Table:
    dates = ("last", "peak", "turn", "faded", "dormant_since", "returned")
    columns = [
        "entity",
        "state",
        "score",
        "evidence",
        "events",
        *dates,
        "forecast",
        "forecast_low",
        "forecast_high",
        "flag",
    ]
    shown = interests.sort(["score", "entity"], descending=[True, False]).with_columns(
        pl.col(name).dt.strftime("%Y-%m-%d") for name in dates
    )
    rows = [[_cell(row[column]) for column in columns] for row in shown.iter_rows(named=True)]
    notes = [f"forecast: events in the {ahead}; probability that none comes: {risk:.2f}. evidence: nats."]
    if (interests["flag"] == NO_LABEL_FLAG).any():
        notes += _unlabelled(entities)
    return Table(f"Interests of {user}", columns, rows, notes=notes)


def _cell(value: Any) -> Entry:
    return Cell(value, f"{value:.3g}") if isinstance(value, float) else value


def _remarks(states: InterestStates) -> list[str]:
    broken = states.returns_S > 0
    unknown = int((broken & ~states.season_known_S).sum())
    if not unknown:
        return []
    return [
        f"Of {int(broken.sum()):,} interests that came back at some time, whatever they are now, {unknown:,} were not "
        "watched a year before: these are judged against silence alone, and may be a yearly rhythm."
    ]
