"""`ltsi prepare`: raw files to a prepared store."""

from __future__ import annotations

import difflib
import hashlib
import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from ltsi.errors import ConfigError
from ltsi.events import RawData, Step, validate_events
from ltsi.findings import Finding
from ltsi.preparation.audit import audit
from ltsi.preparation.clean import clean
from ltsi.preparation.encode import encode
from ltsi.store import Store, open_store, store_path, write_store
from ltsi.tables import Cell, Result, Table
from ltsi.workflows.build import build

log = logging.getLogger(__name__)

STORE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")


def run(cfg: DictConfig) -> Result:
    """Prepares a store.

    Args:
        cfg: `source` and the steps of `clean` to instantiate, and `name` of the store.

    Returns:
        The audit and what was dropped.
    """
    store = _prepare(cfg)
    counts = store.manifest["counts"]
    summary = f"{counts['users']:,} users, {counts['items']:,} items, {counts['events']:,} events"
    messages = [*store.manifest["notes"], f"Store '{store.name}': {summary}, in {store.path}"]
    return Result(tables=_tables(store), messages=messages)


def source_names() -> list[str]:
    """Returns the sources that `source=NAME` knows, by name."""
    return sorted(
        entry.name.removesuffix(".yaml") for entry in _conf("source").iterdir() if entry.name.endswith(".yaml")
    )


def find_store(name: str) -> Store:
    """Opens a store; a source that needs nothing but its name is prepared on the way.

    Raises:
        DataError: there is neither such a store nor such a source.
    """
    if not (store_path(name) / "manifest.json").exists() and name in source_names():
        log.info("Store '%s' does not exist yet; preparing it from source=%s.", name, name)
        return prepare_source(name)
    return open_store(name)


def prepare_source(name: str) -> Store:
    """Prepares a source that needs no settings of its own, as `ltsi prepare source=NAME` does.

    Args:
        name: a source's name.

    Returns:
        The store of that name.

    Raises:
        ConfigError: there is no such source, or it needs settings.
    """
    if name not in source_names():
        near = difflib.get_close_matches(name, source_names(), n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise ConfigError(f"There is no source '{name}'.{hint} Sources: {', '.join(source_names())}.")
    return _prepare(
        OmegaConf.create(
            {"name": name, "source": _config("source", name), "engine": _config("engine", "polars"), "clean": {}}
        )
    )


def _prepare(cfg: DictConfig) -> Store:
    name = str(cfg.name)
    if not STORE_NAME.fullmatch(name):
        raise ConfigError(f"name={name} is no name for a store; use letters, digits, '_', '-', '.' and '+'.")
    unset = sorted(OmegaConf.missing_keys(cfg.source))
    if unset:
        raise ConfigError(f"source={cfg.source.name} needs {' and '.join(unset)}; set {unset[0]}=VALUE.")
    with _progress() as say, TemporaryDirectory(prefix="ltsi-") as folder:
        say("Reading")
        raw: RawData = build(cfg.source).load(build(cfg.engine, folder=Path(folder)))
        origin = ", ".join(map(str, raw.inputs)) or f"source={cfg.source.name}"
        events = validate_events(raw.events, origin)
        say("Cleaning")
        events, cleaned = clean(events, build(cfg.clean))
        say("Encoding")
        encoded = encode(events, raw.items, raw.users)
        say("Auditing")
        findings = audit(encoded.events, encoded.row, clock=raw.clock)
        say("Writing")
        return write_store(
            store_path(name),
            encoded.events,
            items=encoded.items,
            users=encoded.users,
            truth=None if raw.truth is None else raw.truth.to_polars(),
            manifest=_manifest(cfg, raw, [*raw.steps, *cleaned], findings),
        )


def _manifest(cfg: DictConfig, raw: RawData, steps: list[Step], findings: list[Finding]) -> dict[str, Any]:
    return {
        "source": cfg.source.name,
        "config": OmegaConf.to_container(cfg, resolve=True),
        "inputs": [{"path": str(file), "sha256": _sha256(file)} for file in raw.inputs],
        "time": {"clock": raw.clock},
        "notes": list(raw.notes),
        "steps": [{"step": step.name, "dropped": step.dropped, "left": step.left} for step in steps],
        "audit": [finding.as_dict() for finding in findings],
    }


def _tables(store: Store) -> list[Table]:
    columns = ("severity", "finding", "value", "detail")
    rows = [[_cell(finding[column], finding["finding"]) for column in columns] for finding in store.manifest["audit"]]
    tables = [Table(f"Audit of store '{store.name}'", columns, rows)]
    steps = store.manifest["steps"]
    if steps:
        names = ("step", "dropped", "left")
        tables.append(Table("Dropped events", names, [[step[column] for column in names] for step in steps]))
    return tables


def _cell(value: str | int | float, finding: str) -> Cell | str | int | float:
    """Shows a share in percent."""
    return Cell(value, f"{value:.1%}") if finding == "same_time_steps" and isinstance(value, float) else value


def _config(group: str, name: str) -> DictConfig:
    """Composes an entry of a group by hand: inside a running Hydra job, Hydra's global state belongs to that job."""
    own = OmegaConf.create((_conf(group) / f"{name}.yaml").read_text(encoding="utf-8"))
    assert isinstance(own, DictConfig)
    bases = [_config(group, base) for base in own.pop("defaults", []) if base != "_self_"]
    merged = OmegaConf.merge(*bases, own)
    assert isinstance(merged, DictConfig)
    return merged


def _conf(group: str) -> Any:
    return files("ltsi.conf") / group


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def _progress() -> Iterator[Any]:
    """Yields a function that says what is being done, on stderr if somebody watches."""
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("", total=None)
        yield lambda text: progress.update(task, description=text)
