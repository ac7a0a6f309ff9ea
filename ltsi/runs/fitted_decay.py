"""What `decay-fit` leaves behind for models to start from.

A folder with `decay.parquet` (one row an entity) and `decay.json`, which says what the rows are and what they were
fitted on, and holds the digest of the table. Both are data: nothing in them is run.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from ltsi.decay.artefact import DecayArtefact
from ltsi.decay.result import rate_to_use
from ltsi.errors import RunError
from ltsi.store import Store

SCHEMA_VERSION = 1
KIND = "ltsi decay"
DOCUMENT, TABLE = "decay.json", "decay.parquet"

_KEYS = ("entity", "part", "split", "store", "fingerprint", "pooled", "options", "table_sha256")


def document(
    *,
    entity: str,
    part: str,
    split: Mapping[str, Any],
    store: Store,
    pooled: Mapping[str, Any],
    options: Mapping[str, Any],
    table: Path,
) -> dict[str, Any]:
    """Returns what `decay.json` says.

    Args:
        entity: what an entity is.
        part: what was fitted on.
        split: the resolved configuration of the split.
        store: what was fitted on.
        pooled: the record of all entities taken as one.
        options: how they were fitted.
        table: the written `decay.parquet`.
    """
    return {
        "kind": KIND,
        "schema": SCHEMA_VERSION,
        "entity": entity,
        "part": part,
        "split": dict(split),
        "store": store.name,
        "fingerprint": store.fingerprint,
        "pooled": dict(pooled),
        "options": dict(options),
        "table_sha256": hashlib.sha256(table.read_bytes()).hexdigest(),
    }


def read_artefact(folder: Path) -> DecayArtefact:
    """Reads and checks a fitted decay.

    Args:
        folder: the run folder of a `decay-fit`.

    Raises:
        RunError: it is none, or its files are damaged, of another version, or not of one fit.
    """
    text, facts = _read_document(folder / DOCUMENT)
    table = folder / TABLE
    try:
        data = table.read_bytes()
    except OSError as error:
        raise RunError(f"{table} cannot be read ({error.strerror}); {_again()}.") from error
    if hashlib.sha256(data).hexdigest() != facts["table_sha256"]:
        raise RunError(f"{table} is not the table that {folder / DOCUMENT} was written with; {_again()}.")
    try:
        rates = _rates(pl.read_parquet(io.BytesIO(data)))
        pooled = facts["pooled"].get("rate_per_day")
        falling = [rate for rate in rates.values() if rate > 0]
        if pooled is None and not falling:
            why = facts["pooled"].get("note") or f"form={facts['pooled'].get('form')} has none"
            raise RunError(
                f"decay={folder} has no rate, neither of an entity nor of all taken as one ({why}); fit it again with "
                "form=exponential_floor, or train with decay=auto."
            )
        return DecayArtefact(
            path=folder,
            digest=hashlib.sha256(text).hexdigest(),
            entity=str(facts["entity"]),
            part=str(facts["part"]),
            split=facts["split"],
            fingerprint=str(facts["fingerprint"]),
            rate_per_day=rates,
            pooled_rate_per_day=float(np.exp(np.mean(np.log(falling)))) if pooled is None else _rate(pooled),
        )
    except (pl.exceptions.PolarsError, AttributeError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise RunError(f"{folder} does not hold the rates of a decay ({reason}); {_again()}.") from error


def _read_document(path: Path) -> tuple[bytes, dict[str, Any]]:
    try:
        text = path.read_bytes()
    except OSError as error:
        raise RunError(
            f"decay={path.parent} is not the run folder of a decay-fit: {path} cannot be read ({error.strerror}); make "
            "it with `ltsi decay-fit data=STORE part=train hydra.run.dir=DIR`."
        ) from error
    try:
        facts = json.loads(text)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise RunError(f"{path} cannot be read ({error}); {_again()}.") from error
    if not isinstance(facts, dict) or facts.get("kind") != KIND:
        raise RunError(f"{path} is not a fitted decay of ltsi; {_again()}.")
    if facts.get("schema") != SCHEMA_VERSION:
        raise RunError(f"{path} has schema {facts.get('schema')}, this ltsi reads {SCHEMA_VERSION}; {_again()}.")
    missing = [key for key in _KEYS if key not in facts]
    if missing:
        raise RunError(f"{path} has no '{missing[0]}'; {_again()}.")
    return text, facts


def _rates(table: pl.DataFrame) -> dict[str, float]:
    """Returns the rate of each entity that has one."""
    borrowed = table["pooled_rate_per_day"] if "pooled_rate_per_day" in table.columns else [None] * len(table)
    rates = map(rate_to_use, table["rate_per_day"], borrowed)
    return {str(label): _rate(rate) for label, rate in zip(table["entity"], rates, strict=True) if rate is not None}


def _rate(value: float) -> float:
    rate = float(value)
    if not (np.isfinite(rate) and rate >= 0):
        raise ValueError(f"a rate of {rate} per day")
    return rate


def _again() -> str:
    return "fit the decay again"
