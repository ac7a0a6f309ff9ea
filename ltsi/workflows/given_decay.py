"""Hands the parts of a model the fitted decays that a configuration names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from torch import nn

from ltsi.errors import ConfigError
from ltsi.models.rates import AUTO, rate_sources
from ltsi.runs.fitted_decay import read_artefact
from ltsi.store import Store

KEY = "decay"


def hand_over_decays(model: nn.Module, cfg: DictConfig, store: Store) -> dict[str, str]:
    """Reads every decay that a configuration names, and hands it to the parts of the model that ask for it.

    Args:
        model: built from the configuration, not yet fitted.
        cfg: has `model`, `split` and `decay`.
        store: what is trained on.

    Returns:
        Digest of each decay by the folder it was read from; what a run remembers.

    Raises:
        ConfigError: no part of the model takes a decay that is named.
        RunError: it is none, or has seen what this training may not.
    """
    split: Any = OmegaConf.to_container(cfg.split, resolve=True)
    sources = [source for source in rate_sources(model) if source.source != AUTO]
    found = {}
    for folder in dict.fromkeys(source.source for source in sources):
        found[folder] = read_artefact(Path(folder))
        found[folder].require_fit_for(store, split)
    for source in sources:
        source.given = found[source.source]
    named = dict.fromkeys([str(cfg.decay), *_named(OmegaConf.to_container(cfg.model, resolve=True))])
    idle = [folder for folder in named if folder != AUTO and folder not in found]
    if idle:
        raise ConfigError(
            f"decay={idle[0]} would not be used: no part of model={cfg.model.name} takes a fitted decay rate; those "
            "that do are exp_decay (in the hybrid, too) and the transformer with decay_bias=true."
        )
    return {folder: artefact.digest for folder, artefact in found.items()}


def _named(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == KEY and isinstance(value, str):
                yield value
            yield from _named(value)
