"""`ltsi datasets`: the published sets that `ltsi prepare source=NAME` knows, as their configuration describes them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, cast

from omegaconf import OmegaConf

from ltsi.errors import ConfigError, did_you_mean
from ltsi.tables import Cell, Entry, Result, Scalar, Table

FACTS = {
    "title": "title",
    "home": "home",
    "licence": "licence",
    "citation": "citation",
    "users": "users",
    "items": "items",
    "events": "events",
    "span": "span",
    "resolution": "resolution of times",
    "ties": "tied steps",
    "behaviors": "behaviours",
    "good_for": "good for",
    "unfit_for": "unfit for",
    "get": "how to get it",
}
SIZE = ("users", "items", "events", "span", "resolution", "ties", "from", "behaviors", "licence", "get")
FOR_PROGRAMS = ("behaviors", "licence", "get")
USE = ("good_for", "unfit_for")
# What describes a set and its files is no setting of a run.
NO_SETTINGS = ("_target_", "reader", "name", "folder", "about", "download", "files", "tables", "adapt")

_SOURCES = files("ltsi.conf") / "source"


def names() -> list[str]:
    """Returns the names of all sets, sorted."""
    return list(_sets())


def run(name: str | None = None) -> Result:
    """Describes one set, or lists all.

    Args:
        name: a set's name; None lists all.

    Raises:
        ConfigError: there is no set of that name.
    """
    if name is None:
        sets = _sets()
        notes = [
            "tied steps: share of a user's steps that carry the time of the one before, where it was counted.",
            "Licence, citation, addresses and settings of one set: ltsi datasets NAME.",
            "Your own log: source=table, source=sequences or source=recbole; a synthetic one: source=shop.",
        ]
        hidden = [FACTS[key] for key in FOR_PROGRAMS]
        return Result(
            tables=[
                _list("Published data sets", sets, SIZE, notes, data_columns=hidden),
                _list("What they are good for", sets, USE),
            ]
        )
    cfg = _set(name)
    if cfg is None:
        sets = _sets()
        raise ConfigError(f"There is no data set '{name}'.{did_you_mean(name, sets)} Data sets: {', '.join(sets)}.")
    facts = [[label, value] for key, label in FACTS.items() if (value := _fact(key, name, cfg)) is not None]
    settings = [[f"source.{key}", value] for key, value in _settings(cfg)]
    return Result(
        tables=[
            Table(name, ["", "about it"], [*facts, *_files(cfg)]),
            Table("Settings", ["key", "value"], settings, [f"ltsi prepare source={name} source.path=FOLDER KEY=VALUE"]),
        ]
    )


def _list(title: str, sets: Mapping[str, Any], keys: Sequence[str], *notes: Any, **settings: Any) -> Table:
    rows = [[name, *(_fact(key, name, cfg) for key in keys)] for name, cfg in sets.items()]
    return Table(title, ["data set", *(FACTS.get(key, key) for key in keys)], rows, *notes, **settings)


def _sets() -> dict[str, dict[str, Any]]:
    """Returns the configuration of each source that describes itself, by name."""
    names = sorted(entry.name.removesuffix(".yaml") for entry in _SOURCES.iterdir() if entry.name.endswith(".yaml"))
    return {name: cfg for name in names if (cfg := _set(name)) is not None}


def _set(name: str) -> dict[str, Any] | None:
    """Returns the configuration of a source with what it is based on; None if it does not describe itself."""
    own = _read(name)
    if own is None or "about" not in own:
        return None
    bases = [_read(base) for base in own.get("defaults", []) if base != "_self_"]
    merged = OmegaConf.create({"source": OmegaConf.merge(*bases, own)})
    found = cast(dict[str, Any], OmegaConf.to_container(merged.source, resolve=True))
    found.pop("defaults", None)
    return found


@cache
def _read(name: str) -> Any:
    """Reads a file of `conf/source`; None if there is none of that name."""
    entry = _SOURCES / f"{name}.yaml"
    return OmegaConf.create(entry.read_text(encoding="utf-8")) if entry.is_file() else None


def _fact(key: str, name: str, cfg: Mapping[str, Any]) -> Entry:
    about = cfg["about"]
    if key == "from":
        return "download" if cfg.get("download") else "by hand"
    if key == "get":
        by_hand = about.get("get")
        return (
            f"{by_hand.strip()} Then set source.path=FOLDER." if by_hand else f"ltsi prepare source={name} downloads it"
        )
    value: Scalar = about.get(key)
    return Cell(value, f"{value:.0%}") if key == "ties" and isinstance(value, float) else value


def _files(cfg: Mapping[str, Any]) -> Iterator[list[Entry]]:
    yield ["files", ", ".join(cfg["files"])]
    for download in cfg.get("download", []):
        digests = [f"{kind} {download[kind]}" for kind in ("sha256", "md5") if download.get(kind)]
        yield ["address", " ".join([download["url"], *(f"({digest})" for digest in digests)])]
        for mirror in download.get("mirrors", []):
            yield ["mirror", mirror]


def _settings(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in node.items():
        if prefix or key not in NO_SETTINGS:
            if isinstance(value, dict) and value:
                yield from _settings(value, f"{prefix}{key}.")
            else:
                yield f"{prefix}{key}", value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
