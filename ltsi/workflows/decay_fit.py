"""`ltsi decay-fit`: how fast the interests in a log fade.

The run folder gets `decay.parquet` (one row per entity) and `decay.png` (observed hazards and fitted curves); with
`excitation=true` also `excitation.parquet` (one row per model of the return).
"""

from __future__ import annotations

import time
from dataclasses import fields, replace
from itertools import islice
from pathlib import Path

import numpy as np
import polars as pl
from hydra.core.hydra_config import HydraConfig
from numpy.typing import NDArray
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.progress import Progress

from ltsi.decay.drawing import write_png
from ltsi.decay.excitation import Excitation, ExcitationModel, fit_excitation
from ltsi.decay.excitation_report import excitation_records, excitation_table
from ltsi.decay.forms import FORMS
from ltsi.decay.plot import decay_figure
from ltsi.decay.report import FURTHER, covers, decay_table, forms_table, is_comparable, records
from ltsi.decay.result import POOLED, DecayFit, EntityDecay, FitOptions
from ltsi.decay.return_decay import fit_return_decay
from ltsi.decay.statistics import SECONDS_PER_DAY
from ltsi.decay.terminal import terminal_curves
from ltsi.decay.trials import DAYS
from ltsi.entities import ALL, AUTO, CATEGORY, ITEM, Entities
from ltsi.errors import ConfigError, DataError
from ltsi.runs.fitted_decay import DOCUMENT
from ltsi.sequences.split import Split, Targets
from ltsi.store import Store
from ltsi.tables import Result
from ltsi.workflows import implied_decay
from ltsi.workflows.build import build
from ltsi.workflows.decay_document import write_document
from ltsi.workflows.decay_page import write_page
from ltsi.workflows.prepare import find_store
from ltsi.writing import write_parquet

PARTS = ("all", "train")
USER = "user"
RECORDS_AT_ONCE = 10_000
EXCITATION, REPORT = "excitation.parquet", "report.html"


def run(cfg: DictConfig) -> Result:
    """Fits the return hazard of every entity of a store.

    Args:
        cfg: see `conf/decay_fit.yaml`.

    Returns:
        The table by half-life, the curves as text, and what was written.

    Raises:
        DataError: no such store, no clock, a log that ends after today or is over within a session, no such column of
            the item table, or an entity that is called as all are.
        ConfigError: a value that means nothing.
    """
    options = _options(cfg)
    if cfg.run is not None:
        return _of_a_model(cfg, options)
    store = find_store(str(cfg.data))
    store.require_clock("decay-fit")
    _refuse_future(store)
    split = _part(cfg, store)
    _refuse_one_session(split, options)
    entity, codes, labels = _entities(cfg.entity, store)
    _refuse_name_of_all(entity, labels)
    _refuse_certain_trials(entity, codes, labels, options)
    parents = _parents(cfg.pool, entity, store)
    fit, excitation = _fit(split, codes, labels, options, parents)
    fit = replace(fit, remarks=(*fit.remarks, *implied_decay.left_out(entity, codes)))
    truth = _truth(store, entity)
    title = f"Interest decay in '{store.name}' by {entity}" + (", training part" if cfg.part == "train" else "")
    folder = Path(HydraConfig.get().runtime.output_dir)
    earlier = (folder / DOCUMENT).exists()
    written = [_write_parquet(fit, folder / "decay.parquet"), write_png(decay_figure(fit, title), folder / "decay.png")]
    written.append(write_document(fit, cfg, entity, store, folder))
    if excitation:
        written.append(_write_excitation(excitation, folder / EXCITATION))
    if cfg.report:
        written.append(write_page(fit, title, entity, truth, store, cfg.part == "all", folder))
    messages = [f"Wrote {path}" for path in written]
    if earlier:
        messages.append(f"Replaced the fit that was in {folder}.")
    messages += _without_leftovers(folder, written)
    if truth and is_comparable(fit):
        messages = [*_covered(fit, truth), *messages]
    figure = terminal_curves(fit)
    tables = [decay_table(fit, title, entity, truth), forms_table(fit)]
    tables.append(excitation_table(excitation, options) if excitation else None)
    return Result(
        tables=[table for table in tables if table],
        messages=messages,
        figures=[figure] if figure else [],
        value=fit.pooled.half_life_days,
    )


def _of_a_model(cfg: DictConfig, options: FitOptions) -> Result:
    _refuse_of_a_log(cfg)
    trained = implied_decay.open_aged(str(cfg.run), cfg.trust)
    entity, codes, labels = _entities(cfg.entity, trained.experiment.store)
    if codes is None:
        raise ConfigError(
            f"entity={entity} cannot be used with a model, which scores items; set entity=item or category."
        )
    _refuse_name_of_all(entity, labels)
    folder = Path(HydraConfig.get().runtime.output_dir)
    return implied_decay.run(trained, entity, codes, labels, options, folder)


def _options(cfg: DictConfig) -> FitOptions:
    given = {one.name: cfg[one.name] for one in fields(FitOptions)}
    options = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(FitOptions), given))
    assert isinstance(options, FitOptions)
    return options


def _refuse_of_a_log(cfg: DictConfig) -> None:
    """Refuses what a model has no answer to."""
    for key in ("excitation", "report", "pool"):
        if cfg[key]:
            value = "true" if cfg[key] is True else cfg[key]
            raise ConfigError(
                f"{key}={value} works on a log, not on a trained model; use data=STORE instead of run=DIR."
            )
    for typed in HydraConfig.get().overrides.task:
        if typed.partition("=")[0] in ("data", "part", "split"):
            raise ConfigError(f"{typed} cannot be combined with run=DIR, which has its own store and split; remove it.")


def _refuse_future(store: Store) -> None:
    """Refuses a log that ends after today: everybody would seem to have been watched until then without a return."""
    last = store.manifest["time"].get("last")
    if last is None or int(last) <= time.time() + SECONDS_PER_DAY:
        return
    raise DataError(
        f"store '{store.name}' ends {(int(last) - time.time()) / SECONDS_PER_DAY:,.0f} days after today, so its open "
        "intervals would be counted until then; prepare it again with the right source.time_unit, or drop the events "
        "that have not happened with clean=time_window."
    )


def _refuse_one_session(split: Split, options: FitOptions) -> None:
    """Refuses a log that is over before the first risk of a return begins."""
    days = (split.training_end_time() - int(split.store.manifest["time"]["first"])) / SECONDS_PER_DAY
    if days > options.session_gap_days:
        return
    raise DataError(
        f"store '{split.store.name}' spans {days:.3g} days, and events up to session_gap_days="
        f"{options.session_gap_days:g} apart are one visit, so no return can be seen; lower session_gap_days, or "
        "prepare a longer log."
    )


def _refuse_name_of_all(entity: str, labels: list[str]) -> None:
    """Refuses an entity that has the name of the row of all entities: who reads the table could not tell the two."""
    if len(labels) > 1 and POOLED in labels:
        raise DataError(
            f"an entity of entity={entity} is called '{POOLED}', as the row of all entities is in the tables; rename "
            "it in the source and prepare the store again."
        )


def _part(cfg: DictConfig, store: Store) -> Split:
    if cfg.part not in PARTS:
        raise ConfigError(f"part={cfg.part} must be one of: {', '.join(PARTS)}.")
    if cfg.part == "train":
        split: Split = build(cfg.split)(store)
        return split
    return Split(store, train_end=np.asarray(store.offsets[1:]), valid=Targets.none(), test=Targets.none())


def _entities(wanted: str, store: Store) -> tuple[str, NDArray[np.integer] | None, list[str]]:
    """Returns what an entity is, the code of each item, and the label of each code.

    An item without a label has the code -1. Where entities are users, there are no codes.
    """
    if wanted == USER:
        return wanted, None, [str(user) for user in store.users["user"]]
    found = Entities.of(store, wanted)
    if wanted == AUTO and found.name == ALL and store.has_repeats:
        found = Entities.of(store, ITEM)
    found = found.labelled()
    return found.name, found.code_I, found.labels


def _refuse_certain_trials(
    entity: str, codes: NDArray[np.integer] | None, labels: list[str], options: FitOptions
) -> None:
    """Refuses trials where whatever a user does is a return: every trial is one then, at any age."""
    if options.exposure != DAYS and (codes is None or (len(labels) == 1 and codes.min(initial=0) == 0)):
        raise ConfigError(
            f"With entity={entity} every later event is a return, so exposure={options.exposure} has no trial without "
            "one; set exposure=days, or use an entity that users can skip, such as item."
        )


def _parents(wanted: str | None, entity: str, store: Store) -> NDArray[np.integer] | None:
    """Returns the code of what each item or user belongs to, for partial pooling between it and all."""
    if wanted is None:
        return None
    if entity == ITEM:
        codes, _ = store.item_codes(wanted)
        return codes
    if entity != USER:
        raise ConfigError(f"pool={wanted} pools items or users and needs entity=item or entity=user, not {entity}.")
    if wanted not in store.users.columns:
        found = ", ".join(store.users.columns)
        raise DataError(f"the users of store '{store.name}' have no column '{wanted}' to pool by; they have: {found}.")
    return store.users[wanted].cast(pl.String).fill_null("").rank("dense").to_numpy().astype(np.int64) - 1


def _fit(
    split: Split,
    codes: NDArray[np.integer] | None,
    labels: list[str],
    options: FitOptions,
    parents: NDArray[np.integer] | None,
) -> tuple[DecayFit, Excitation | None]:
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        tasks = {}

        def watch(stage: str, share: float) -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(stage, total=1.0)
            progress.update(tasks[stage], completed=share)

        fit = fit_return_decay(split, codes, labels, options, watch, parents)
        return fit, fit_excitation(split, codes, len(labels), options, watch) if options.excitation else None


def _truth(store: Store, entity: str) -> dict[str, float] | None:
    """Returns the planted half-life of each category, in days."""
    table = store.truth
    if table is None or entity != CATEGORY:
        return None
    return dict(zip(table[CATEGORY].to_list(), table["half_life_days"].to_list()))


def _covered(fit: DecayFit, truth: dict[str, float]) -> list[str]:
    """Says how many intervals hold what was planted, if there are any."""
    found = [covers(one, truth[one.entity]) for one in fit.entities if one.entity in truth]
    known = [held for held in found if held is not None]
    if not known:
        return []
    without = "" if len(known) == len(truth) else f"; {len(truth) - len(known)} have no interval"
    return [f"The interval covers the planted half-life of {sum(known)} of {len(known)} categories{without}."]


def _without_leftovers(folder: Path, written: list[Path]) -> list[str]:
    """Removes what an earlier fit left in the folder and this one does not write: it would contradict what is there."""
    left = [folder / name for name in (EXCITATION, REPORT) if folder / name not in written and (folder / name).exists()]
    for path in left:
        path.unlink()
    return [f"Removed {path}, which was of an earlier fit." for path in left]


def _write_parquet(fit: DecayFit, path: Path) -> Path:
    # Named, because a column that is empty throughout would else have no type.
    numbers = [one.name for one in fields(EntityDecay) if one.default is None and one.name != "form"]
    numbers += [*FURTHER, *(f"aic_{name}" for name in FORMS)]
    types = {"form": pl.String, **dict.fromkeys(numbers, pl.Float64)}
    rows = records(fit)
    # As Python objects, the records of a million entities take six gigabytes.
    parts = iter(lambda: list(islice(rows, RECORDS_AT_ONCE)), [])
    tables = [pl.DataFrame(part, schema_overrides=types, infer_schema_length=None) for part in parts]
    return write_parquet(pl.concat(tables), path)


def _write_excitation(found: Excitation, path: Path) -> Path:
    # Named, because without models every number is empty.
    types = {
        one.name: pl.String if one.name in ("kernel", "memory", "note") else pl.Float64
        for one in fields(ExcitationModel)
    }
    return write_parquet(pl.DataFrame(excitation_records(found), schema=types), path)
