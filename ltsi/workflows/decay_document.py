"""Writes `decay.json` beside the `decay.parquet` of a decay-fit, so that models can start from it."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from ltsi.decay.result import DecayFit
from ltsi.runs.fitted_decay import DOCUMENT, TABLE, document
from ltsi.store import Store
from ltsi.writing import written_whole


def write_document(fit: DecayFit, cfg: DictConfig, entity: str, store: Store, folder: Path) -> Path:
    """Writes what the rows of the table are and what they were fitted on.

    Args:
        fit: the fit.
        cfg: has `part` and `split`.
        entity: what an entity is.
        store: what was fitted on.
        folder: has `decay.parquet`.
    """
    split: Any = OmegaConf.to_container(cfg.split, resolve=True)
    facts = document(
        entity=entity,
        part=str(cfg.part),
        split=split,
        store=store,
        pooled=asdict(fit.pooled),
        options=asdict(fit.options),
        table=folder / TABLE,
    )
    path = folder / DOCUMENT
    text = json.dumps(_finite(facts), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    with written_whole(path) as partial:
        partial.write_text(text, encoding="utf-8")
    return path


def _finite(node: Any) -> Any:
    """Returns the data with null for numbers that JSON cannot hold."""
    if isinstance(node, dict):
        return {key: _finite(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [_finite(value) for value in node]
    return None if isinstance(node, float) and not math.isfinite(node) else node
