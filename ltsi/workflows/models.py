"""`ltsi models`: the models that `ltsi train model=NAME` knows, as their configuration and their code describe them."""

from __future__ import annotations

import difflib
import inspect
import json
import sys
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

from hydra import compose, initialize_config_module
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf

from ltsi.errors import ConfigError
from ltsi.models.interest import InterestModel
from ltsi.tables import Result, Table

COLUMNS = ["model", "what it is", "learns by", "parameters", "source"]
# Filled in by the run or the store.
NO_SETTINGS = ("_target_", "name", "n_items", "max_length")


def run(name: str | None = None) -> Result:
    """Describes one model, or lists all.

    Args:
        name: a model's name; None lists all.

    Raises:
        ConfigError: there is no model of that name.
    """
    about = _about()
    if name is None:
        rows = []
        for model, what in about.items():
            cfg = _configuration(model)
            own = [f"{key}={value}" for key, value in _settings(cfg) if "." not in key]
            rows.append([model, what, _learns_by(cfg), " ".join(own), _source(cfg)])
        return Result(tables=[Table("Models", COLUMNS, rows, ["All settings of one model: ltsi models NAME."])])
    if name not in about:
        near = difflib.get_close_matches(name, about, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise ConfigError(f"There is no model '{name}'.{hint} Models: {', '.join(about)}.")
    cfg = _configuration(name)
    facts = [["what it is", about[name]], ["learns by", _learns_by(cfg)], ["source", _source(cfg)]]
    described = inspect.getdoc(get_class(cfg._target_)) or ""
    facts.insert(1, ["in full", " ".join(described.split("\n\nArgs:")[0].split("\n\nAttributes:")[0].split())])
    settings = [[f"model.{key}", value] for key, value in _settings(cfg)]
    return Result(
        tables=[
            Table(name, ["", "about it"], facts),
            Table("Settings", ["key", "default"], settings, [f"ltsi train data=STORE model={name} KEY=VALUE"]),
        ]
    )


def _about() -> dict[str, str]:
    """Returns the first comment of each model's YAML, by name."""
    folder = files("ltsi.conf") / "model"
    texts = {
        entry.name.removesuffix(".yaml"): entry.read_text(encoding="utf-8")
        for entry in sorted(folder.iterdir(), key=lambda entry: entry.name)
        if entry.name.endswith(".yaml")
    }
    return {name: text.split("\n", maxsplit=1)[0].removeprefix("# ") for name, text in texts.items()}


def _configuration(name: str) -> DictConfig:
    with initialize_config_module("ltsi.conf", version_base="1.3"):
        cfg = compose("train", [f"model={name}"])
    # What belongs to the experiment, such as the size of the catalogue, stays a reference.
    model: DictConfig = cfg.model
    return model


def _learns_by(cfg: DictConfig) -> str:
    found = get_class(cfg._target_)
    assert issubclass(found, InterestModel)
    parts = cfg.get("components")
    if parts is not None:
        kinds = sorted({_learns_by(part) for part in parts.values()})
        return f"{' and '.join(kinds)}; weights by validation"
    return "gradient" if found.learns else "counting"


def _source(cfg: DictConfig) -> str:
    """Returns what the module of a model, or of the first class it is made of, says about its sources."""
    for found in get_class(cfg._target_).__mro__:
        document = inspect.getdoc(sys.modules[found.__module__]) or ""
        for mark in ("Sources: ", "Source: "):
            if found.__module__.startswith("ltsi.") and mark in document:
                return " ".join(document.split(mark)[1].split("\n\n")[0].split())
    return ""


def _settings(node: DictConfig, prefix: str = "") -> Iterator[tuple[str, str]]:
    plain = OmegaConf.to_container(node, resolve=False)
    assert isinstance(plain, dict)
    for key, value in ((str(key), value) for key, value in plain.items()):
        inner = OmegaConf.select(node, key, throw_on_resolution_failure=False)
        if isinstance(inner, DictConfig) and value:
            yield from _settings(inner, f"{prefix}{key}.")
        elif key not in NO_SETTINGS:
            yield f"{prefix}{key}", _shown(value)


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
